//! The proxy does what it says, and nothing else.

use std::time::{Duration, Instant};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use embedded_aws::EmbeddedAws;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Fault, FaultProxy, Rule};
use crate::support::outside::seaweedfs_with_localstack;
use crate::support::service::{bytes, hex_sha256};

const MIB: usize = 1024 * 1024;

/// A store with the bucket `spoiled`, and a proxy in front of it.
struct Spoiled {
    proxy: FaultProxy,
    keys: Credentials,
    _server: EmbeddedAws,
    _dir: TempDir,
}

impl Spoiled {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = embedded_aws::Config::new(dir.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        let server = EmbeddedAws::start(config).await.unwrap();
        let pair = server.credentials();
        let keys = Credentials::new(pair.access_key(), pair.secret_key(), None, None, "test");
        let proxy = FaultProxy::new(&format!("http://{}", server.addr())).await;
        let spoiled = Self { proxy, keys, _server: server, _dir: dir };
        spoiled.s3().create_bucket().bucket("spoiled").send().await.unwrap();
        spoiled.proxy.heal();
        spoiled
    }

    /// A client that tries once and waits two seconds.
    fn s3(&self) -> aws_sdk_s3::Client {
        client(self.proxy.endpoint(), self.keys.clone(), Duration::from_secs(2))
    }

    async fn objects(&self) -> i32 {
        self.s3().list_objects_v2().bucket("spoiled").send().await.unwrap().key_count().unwrap()
    }
}

fn client(endpoint: &str, keys: Credentials, limit: Duration) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(keys)
        .timeout_config(TimeoutConfig::builder().operation_timeout(limit).build())
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_both_ways_and_signatures_hold() {
    let spoiled = Spoiled::new().await;
    let s3 = client(spoiled.proxy.endpoint(), spoiled.keys.clone(), Duration::from_mins(1));
    let sent = bytes(7, 64 * MIB);
    let key = "a b/ü+&'(1)=%.bin";
    s3.put_object().bucket("spoiled").key(key).body(ByteStream::from(sent.clone())).send().await.unwrap();
    let got = s3.get_object().bucket("spoiled").key(key).send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(hex_sha256(&got.into_bytes()), hex_sha256(&sent));
    let seen = spoiled.proxy.seen();
    assert_eq!(seen.iter().map(|seen| seen.asked.operation.as_str()).collect::<Vec<_>>(), ["PutObject", "GetObject"]);
    assert!(seen.iter().all(|seen| seen.fault.is_none() && seen.status == Some(200)), "{seen:?}");
}

#[tokio::test]
async fn server_that_does_not_read_stops_the_client_instead_of_filling_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::new(&format!("http://{}", listener.local_addr().unwrap())).await;
    let never_reads = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    });
    let address = proxy.endpoint().trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"PUT /spoiled/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n").await.unwrap();
    let block = vec![0; MIB];
    let mut taken = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), client.write(&block)).await {
        taken += written.unwrap();
        assert!(taken < 48 * MIB, "the proxy keeps what the server does not take");
    }
    never_reads.abort();
}

#[tokio::test]
async fn answers_of_its_own_have_the_form_of_the_service_that_was_asked() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("PutObject").first(2).answers(409, "OperationAborted", "a conflict"));
    spoiled.proxy.inject(Rule::on("HeadBucket").does(Fault::Answer {
        status: 301,
        code: "PermanentRedirect",
        message: "",
        headers: vec![("x-amz-bucket-region", "eu-west-1")],
    }));
    spoiled.proxy.inject(Rule::on("CreateKey").answers(400, "ThrottlingException", "slower"));
    let put = || async { spoiled.s3().put_object().bucket("spoiled").key("k").send().await };
    for _ in 0..2 {
        let error = put().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 409);
        assert_eq!(error.code(), Some("OperationAborted"));
    }
    put().await.unwrap();
    let error = spoiled.s3().head_bucket().bucket("spoiled").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().headers().get("x-amz-bucket-region"), Some("eu-west-1"));
    let kms = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(spoiled.proxy.endpoint())
        .credentials_provider(spoiled.keys.clone())
        .retry_config(RetryConfig::disabled());
    let error = aws_sdk_kms::Client::from_conf(kms.build()).create_key().send().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Some("ThrottlingException"), Some("slower")));
    assert_eq!((spoiled.proxy.count("PutObject"), spoiled.proxy.faults()), (3, 4));
}

#[tokio::test]
async fn success_may_carry_an_error() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("CompleteMultipartUpload").answers(200, "InternalError", "try again"));
    let s3 = spoiled.s3();
    let upload = s3.create_multipart_upload().bucket("spoiled").key("k").send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let error = s3.complete_multipart_upload().bucket("spoiled").key("k").upload_id(id).send().await.unwrap_err();
    assert_eq!(error.code(), Some("InternalError"));
}

#[tokio::test]
async fn hanging_up_before_has_no_effect_and_after_has() {
    let spoiled = Spoiled::new().await;
    for (fault, objects) in [(Fault::HangUpBefore, 0), (Fault::HangUpAfter, 1)] {
        spoiled.proxy.heal();
        spoiled.proxy.inject(Rule::on("PutObject").does(fault));
        let put = spoiled.s3().put_object().bucket("spoiled").key("k").body(ByteStream::from_static(b"x")).send().await;
        assert!(put.unwrap_err().raw_response().is_none());
        assert_eq!(spoiled.objects().await, objects);
    }
}

#[tokio::test]
async fn black_hole_takes_the_request_and_never_answers() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("PutObject").does(Fault::BlackHole));
    let started = Instant::now();
    let put = spoiled.s3().put_object().bucket("spoiled").key("k").body(ByteStream::from(bytes(1, MIB))).send().await;
    assert!(put.unwrap_err().raw_response().is_none());
    assert!(started.elapsed() >= Duration::from_millis(1900));
    assert_eq!(spoiled.objects().await, 0);
}

#[tokio::test]
async fn delay_truncation_and_drip_do_what_they_say() {
    let spoiled = Spoiled::new().await;
    let s3 = spoiled.s3();
    let sent = bytes(3, 100_000);
    s3.put_object().bucket("spoiled").key("k").body(ByteStream::from(sent.clone())).send().await.unwrap();
    let get = || async {
        let answer = s3.get_object().bucket("spoiled").key("k").send().await.unwrap();
        answer.body.collect().await.map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes)
    };

    spoiled.proxy.inject(Rule::on("GetObject").first(1).does(Fault::Delay(Duration::from_millis(300))));
    let started = Instant::now();
    assert_eq!(get().await.unwrap(), sent);
    assert!(started.elapsed() >= Duration::from_millis(300));

    spoiled.proxy.heal();
    spoiled.proxy.inject(Rule::on("GetObject").first(1).does(Fault::Drip(10_000, Duration::from_millis(30))));
    let started = Instant::now();
    assert_eq!(get().await.unwrap(), sent);
    assert!(started.elapsed() >= Duration::from_millis(300));

    spoiled.proxy.heal();
    spoiled.proxy.inject(Rule::on("GetObject").first(1).does(Fault::Truncate(50_000)));
    assert!(get().await.is_err());
    assert_eq!(get().await.unwrap(), sent);

    // Byte for byte, without the SDK, which would hide what came before the end.
    let url = presigned(&s3).await;
    spoiled.proxy.inject(Rule::on("GetObject").does(Fault::Truncate(50_000)));
    let address = spoiled.proxy.endpoint().trim_start_matches("http://").to_owned();
    let mut raw = TcpStream::connect(address).await.unwrap();
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    raw.write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = raw.read_to_end(&mut answer).await;
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer[start..], sent[..50_000]);
}

#[tokio::test]
async fn body_that_is_cut_or_spoiled_on_its_way_to_the_server_has_no_effect() {
    let spoiled = Spoiled::new().await;
    for fault in [Fault::CutSent(0), Fault::CutSent(99_999), Fault::SpoilSent(0), Fault::SpoilSent(99_999)] {
        spoiled.proxy.inject(Rule::on("PutObject").first(1).does(fault.clone()));
        let body = ByteStream::from(bytes(8, 100_000));
        let error = spoiled.s3().put_object().bucket("spoiled").key("k").body(body).send().await.unwrap_err();
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let expected = if matches!(fault, Fault::CutSent(_)) { None } else { Some(400) };
        assert_eq!((status, spoiled.proxy.faults()), (expected, 1), "{fault:?}");
        assert_eq!(spoiled.objects().await, 0, "{fault:?}");
        spoiled.proxy.heal();
    }
}

async fn presigned(s3: &aws_sdk_s3::Client) -> String {
    let config = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    s3.get_object().bucket("spoiled").key("k").presigned(config).await.unwrap().uri().to_owned()
}

#[tokio::test]
async fn duplicate_reaches_the_server_twice_and_stale_only_once() {
    let spoiled = Spoiled::new().await;
    let s3 = spoiled.s3();
    let enabled = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
        .build();
    spoiled.proxy.inject(Rule::on("GetBucketVersioning").first(3).does(Fault::Stale));
    let status = || async { s3.get_bucket_versioning().bucket("spoiled").send().await.unwrap().status().cloned() };
    assert_eq!(status().await, None);
    s3.put_bucket_versioning().bucket("spoiled").versioning_configuration(enabled).send().await.unwrap();
    assert_eq!([status().await, status().await], [None, None]);
    assert_eq!(status().await, Some(aws_sdk_s3::types::BucketVersioningStatus::Enabled));

    spoiled.proxy.inject(Rule::on("PutObject").does(Fault::Duplicate));
    s3.put_object().bucket("spoiled").key("k").body(ByteStream::from_static(b"x")).send().await.unwrap();
    let versions = s3.list_object_versions().bucket("spoiled").send().await.unwrap();
    assert_eq!(versions.versions().len(), 2);
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let strikes = |seed| {
        let mut rule = Rule::on_all().chance(300, seed).does(Fault::HangUpBefore);
        let request = axum::http::Request::new(()).into_parts().0;
        let asked = super::Asked::of(&request);
        (0..1000).map(|_| rule.judge(&asked).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(strikes(1), strikes(1));
    assert_ne!(strikes(1), strikes(2));
    let struck = strikes(3).into_iter().filter(|struck| *struck).count();
    assert!((230..370).contains(&struck), "{struck}");
}

#[tokio::test]
async fn servers_that_others_wrote_accept_what_passes_with_and_without_tls() {
    let outside = seaweedfs_with_localstack().await;
    let keys = Credentials::new(outside.access_key, outside.secret_key, None, None, "test");
    let plain = FaultProxy::new(&outside.s3_plain_endpoint).await;
    let tls = FaultProxy::before_tls(&outside.s3_endpoint, &outside.ca_file).await;
    for (proxy, bucket) in [(&plain, "it-through-plain"), (&tls, "it-through-tls")] {
        let s3 = client(proxy.endpoint(), keys.clone(), Duration::from_secs(20));
        s3.create_bucket().bucket(bucket).send().await.unwrap();
        s3.put_object().bucket(bucket).key("k").body(ByteStream::from(bytes(5, MIB))).send().await.unwrap();
        let got = s3.get_object().bucket(bucket).key("k").send().await.unwrap().body.collect().await.unwrap();
        assert_eq!(got.into_bytes(), bytes(5, MIB));
        proxy.inject(Rule::on("GetObject").answers(503, "SlowDown", "slower"));
        assert_eq!(s3.get_object().bucket(bucket).key("k").send().await.unwrap_err().code(), Some("SlowDown"));
    }
    let kms = FaultProxy::new(&outside.kms_endpoint).await;
    let config = outside.kms().config().to_builder().endpoint_url(kms.endpoint()).build();
    aws_sdk_kms::Client::from_conf(config).list_keys().send().await.unwrap();
    assert_eq!(kms.count("ListKeys"), 1);
}
