//! Bucket policies and signatures judged over the wire, with the SDK and with requests that no SDK sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use embedded_aws::Config;
use support::raw::Raw;
use support::{Endpoint, code, s3_client};
use tempfile::TempDir;

const EXPLICIT: &str = include_str!("policies/explicit.json");
const DEFAULT_OK: &str = include_str!("policies/default-ok.json");
const BUCKET: &str = "models";

/// A bucket whose default is one key, another key, and the identity `TRAIN` with limited actions.
struct Bench {
    endpoint: Endpoint,
    cmk: String,
    other: String,
}

/// A row of the truth table, as headers of a request.
#[derive(Clone, Copy)]
struct Row {
    number: u8,
    algorithm: Option<&'static str>,
    /// `cmk`, `other`, or no key header.
    key: Option<&'static str>,
    customer: bool,
    explicit: bool,
    default_ok: bool,
}

#[rustfmt::skip]
const ROWS: [Row; 8] = [
    Row { number: 1, algorithm: None,                 key: None,          customer: false, explicit: false, default_ok: true },
    Row { number: 2, algorithm: Some("aws:kms"),      key: Some("cmk"),   customer: false, explicit: true,  default_ok: true },
    Row { number: 3, algorithm: Some("aws:kms"),      key: Some("other"), customer: false, explicit: false, default_ok: false },
    Row { number: 4, algorithm: Some("aws:kms"),      key: None,          customer: false, explicit: false, default_ok: false },
    Row { number: 5, algorithm: Some("AES256"),       key: None,          customer: false, explicit: false, default_ok: false },
    Row { number: 6, algorithm: Some("aws:kms:dsse"), key: Some("cmk"),   customer: false, explicit: false, default_ok: false },
    Row { number: 7, algorithm: Some("aws:kms:dsse"), key: Some("other"), customer: false, explicit: false, default_ok: false },
    Row { number: 8, algorithm: None,                 key: None,          customer: true,  explicit: false, default_ok: false },
];

impl Bench {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("identities.json");
        let entries = r#"[{"access_key":"TRAIN","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/train",
            "actions":["s3:GetObject","s3:PutObject","s3:PutBucketPolicy","s3:DeleteObject","kms:*"]},
            {"access_key":"STRANGER","secret_key":"a-long-secret","arn":"arn:aws:iam::999999999999:role/stranger",
            "actions":["*"]}]"#;
        std::fs::write(&file, entries).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let config = Config { identities_file: Some(file), ..Config::new(dir.path().join("store")) };
        let endpoint = Endpoint::with(dir, config).await;
        let (cmk, other) = (endpoint.key().await, endpoint.key().await);
        endpoint.versioned_bucket(BUCKET).await;
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::AwsKms)
            .kms_master_key_id(&cmk)
            .build()
            .unwrap();
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(true)
            .build();
        let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
        let put = endpoint.s3.put_bucket_encryption().bucket(BUCKET);
        put.server_side_encryption_configuration(configuration).send().await.unwrap();
        Self { endpoint, cmk, other }
    }

    async fn policy(&self, text: &str) {
        let text = text.replace("${KEY_ARN}", &self.cmk);
        self.endpoint.s3.put_bucket_policy().bucket(BUCKET).policy(text).send().await.unwrap();
    }

    async fn no_public_access_block(&self) {
        self.endpoint.s3.delete_public_access_block().bucket(BUCKET).send().await.unwrap();
    }

    fn client(&self, name: &str) -> aws_sdk_s3::Client {
        s3_client(&self.endpoint.url(), name, "a-long-secret")
    }

    /// The key ARN that a row's header names.
    fn key(&self, row: Row) -> Option<String> {
        row.key.map(|key| if key == "cmk" { self.cmk.clone() } else { self.other.clone() })
    }

    async fn put(&self, row: Row) -> Result<(), String> {
        let mut put = self.endpoint.s3.put_object().bucket(BUCKET).key(format!("row-{}", row.number));
        put = put.body(ByteStream::from_static(b"bytes"));
        put = put.set_server_side_encryption(row.algorithm.map(ServerSideEncryption::from));
        put = put.set_ssekms_key_id(self.key(row));
        if row.customer {
            put = put
                .sse_customer_algorithm("AES256")
                .sse_customer_key("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
                .sse_customer_key_md5("3YD6sTqzhAoNNLKHKkwQzw==");
        }
        let sent = put.send().await;
        if sent.is_ok() { Ok(()) } else { Err(code(sent)) }
    }

    /// Creates an upload as a row says, puts one part and completes it; says where it was refused.
    async fn multipart(&self, row: Row) -> Result<(), &'static str> {
        let s3 = &self.endpoint.s3;
        let key = format!("upload-{}", row.number);
        let create = s3.create_multipart_upload().bucket(BUCKET).key(&key);
        let create = create.set_server_side_encryption(row.algorithm.map(ServerSideEncryption::from));
        let Ok(upload) = create.set_ssekms_key_id(self.key(row)).send().await else { return Err("create") };
        let id = upload.upload_id().unwrap();
        let part = s3.upload_part().bucket(BUCKET).key(&key).upload_id(id).part_number(1);
        let Ok(part) = part.body(ByteStream::from_static(b"part")).send().await else { return Err("part") };
        let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = s3.complete_multipart_upload().bucket(BUCKET).key(&key).upload_id(id).multipart_upload(parts);
        if complete.send().await.is_ok() { Ok(()) } else { Err("complete") }
    }
}

#[tokio::test]
async fn truth_table_holds_for_both_profiles() {
    let bench = Bench::new().await;
    for (name, policy) in [("explicit", EXPLICIT), ("default-ok", DEFAULT_OK)] {
        bench.policy(policy).await;
        for row in ROWS {
            let allowed = if name == "explicit" { row.explicit } else { row.default_ok };
            let expected = if allowed { Ok(()) } else { Err("AccessDenied".to_owned()) };
            assert_eq!(bench.put(row).await, expected, "{name}, row {}", row.number);
        }
    }
    let head = bench.endpoint.s3.head_object().bucket(BUCKET).key("row-1").send().await.unwrap();
    assert_eq!(head.ssekms_key_id(), Some(bench.cmk.as_str()), "row 1 is stored under the default key");
}

#[tokio::test]
async fn parts_are_judged_by_the_settings_of_their_upload() {
    let bench = Bench::new().await;
    bench.policy(EXPLICIT).await;
    assert_eq!(bench.multipart(ROWS[1]).await, Ok(()));
    for row in [ROWS[0], ROWS[2], ROWS[3], ROWS[4]] {
        assert_eq!(bench.multipart(row).await, Err("create"), "row {}", row.number);
    }
    bench.policy(DEFAULT_OK).await;
    assert_eq!(bench.multipart(ROWS[0]).await, Ok(()));
    assert_eq!(bench.multipart(ROWS[1]).await, Ok(()));

    // An upload that began before the policy does not slip through under it.
    let s3 = &bench.endpoint.s3;
    s3.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    let create =
        s3.create_multipart_upload().bucket(BUCKET).key("old").server_side_encryption(ServerSideEncryption::Aes256);
    let upload = create.send().await.unwrap();
    let part = |id: &str| {
        let part = s3.upload_part().bucket(BUCKET).key("old").upload_id(id).part_number(1);
        part.body(ByteStream::from_static(b"part")).send()
    };
    let id = upload.upload_id().unwrap();
    let tag = part(id).await.unwrap().e_tag;
    bench.policy(EXPLICIT).await;
    assert_eq!(code(part(id).await), "AccessDenied");
    let done = CompletedPart::builder().part_number(1).set_e_tag(tag).build();
    let parts = CompletedMultipartUpload::builder().parts(done).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("old").upload_id(id).multipart_upload(parts);
    assert_eq!(code(complete.send().await), "AccessDenied");
    s3.abort_multipart_upload().bucket(BUCKET).key("old").upload_id(id).send().await.unwrap();
    assert_eq!(code(part(id).await), "NoSuchUpload");
}

#[tokio::test]
async fn copies_need_their_own_headers_and_the_right_to_read() {
    let bench = Bench::new().await;
    bench.put(ROWS[1]).await.unwrap();
    bench.policy(EXPLICIT).await;
    let copy = |client: &aws_sdk_s3::Client| {
        client.copy_object().bucket(BUCKET).key("copy").copy_source(format!("{BUCKET}/row-2"))
    };
    let s3 = &bench.endpoint.s3;
    assert_eq!(code(copy(s3).send().await), "AccessDenied");
    let with_headers = |client: &aws_sdk_s3::Client| {
        copy(client).server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&bench.cmk)
    };
    with_headers(s3).send().await.unwrap();
    with_headers(&bench.client("TRAIN")).send().await.unwrap();
    bench
        .policy(
            r#"{"Statement":{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:role/train"},
                "Action":"s3:GetObject","Resource":"arn:aws:s3:::models/row-*"}}"#,
        )
        .await;
    assert_eq!(code(with_headers(&bench.client("TRAIN")).send().await), "AccessDenied");
    let version = with_headers(&bench.client("TRAIN")).copy_source(format!("{BUCKET}/copy?versionId=none"));
    assert_eq!(code(version.send().await), "AccessDenied", "a version needs s3:GetObjectVersion");
}

#[tokio::test]
async fn presigned_requests_carry_only_what_was_signed() {
    let bench = Bench::new().await;
    let address = bench.endpoint.server.addr();
    let valid = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let put = bench.endpoint.s3.put_object().bucket(BUCKET).key("presigned").presigned(valid).await.unwrap();
    let send = || Raw::of_url("PUT", put.uri()).body(b"bytes");
    let plain = send().send(address).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
    for (name, value) in [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-owner", "me"),
        ("x-amz-tagging", "a=b"),
    ] {
        let refused = send().header(name, value).send(address).await;
        assert!(refused.is(403, "AccessDenied"), "{name}: {}", refused.text);
        assert!(refused.text.contains("There were headers present in the request which were not signed"));
    }
    let hash = support::raw::sha256_hex(b"bytes");
    assert_eq!(send().header("x-amz-content-sha256", &hash).send(address).await.status, 200);
    let lie = send().header("x-amz-content-sha256", &support::raw::sha256_hex(b"other")).send(address).await;
    assert!(lie.is(400, "XAmzContentSHA256Mismatch"), "{}", lie.text);
    let moved = Raw::of_url("PUT", &format!("{}&x-amz-acl=public-read", put.uri())).body(b"bytes");
    assert_eq!(moved.send(address).await.status, 403, "the query is signed as well");
}

#[tokio::test]
async fn presigned_requests_expire_and_grow_stale() {
    let bench = Bench::new().await;
    let address = bench.endpoint.server.addr();
    bench.put(ROWS[1]).await.unwrap();
    let presign = |minutes_ago: u64, valid: u64| {
        let start = SystemTime::now() - Duration::from_mins(minutes_ago);
        let config = PresigningConfig::builder().start_time(start).expires_in(Duration::from_secs(valid)).build();
        bench.endpoint.s3.get_object().bucket(BUCKET).key("row-2").presigned(config.unwrap())
    };
    let get = async |minutes_ago, valid| {
        let url = presign(minutes_ago, valid).await.unwrap();
        Raw::of_url("GET", url.uri()).send(address).await
    };
    assert_eq!(get(0, 60).await.status, 200);
    assert!(get(10, 60).await.is(403, "AccessDenied"), "expired");
    assert_eq!(get(20, 3600).await.status, 200, "no policy yet");
    bench.policy(EXPLICIT).await;
    assert_eq!(get(9, 3600).await.status, 200);
    let stale = get(11, 3600).await;
    assert!(stale.is(403, "AccessDenied") && stale.text.contains("explicit deny"), "{}", stale.text);
    let url = presign(0, 604_800).await.unwrap().uri().to_owned();
    assert_eq!(Raw::of_url("GET", &url).send(address).await.status, 200);
    let longer = Raw::of_url("GET", &url.replace("604800", "604801")).send(address).await;
    assert_eq!(longer.status, 403, "the expiry is signed: {}", longer.text);
}

#[tokio::test]
async fn signatures_must_be_whole_current_and_of_this_region() {
    let bench = Bench::new().await;
    let address = bench.endpoint.server.addr();
    let signer = bench.endpoint.signer("s3");
    let list = || Raw::new("GET", "/models?list-type=2");
    let good = list().sign(address, &signer).send(address).await;
    assert_eq!(good.status, 200, "{}", good.text);

    let mut west = signer.clone();
    west.region = "us-west-2".into();
    let refused = list().sign(address, &west).send(address).await;
    assert!(refused.is(400, "AuthorizationHeaderMalformed"), "{}", refused.text);
    assert!(refused.text.contains("expecting &apos;us-east-1&apos;") || refused.text.contains("expecting 'us-east-1'"));

    let mut late = signer.clone();
    late.time -= time::Duration::minutes(16);
    assert!(list().sign(address, &late).send(address).await.is(403, "RequestTimeTooSkewed"));
    let mut wrong = signer.clone();
    wrong.secret_key.push('x');
    assert!(list().sign(address, &wrong).send(address).await.is(403, "SignatureDoesNotMatch"));
    let mut nobody = signer.clone();
    nobody.access_key = "NOBODY".into();
    assert!(list().sign(address, &nobody).send(address).await.is(403, "InvalidAccessKeyId"));
    let added = list().sign(address, &signer).header("x-amz-expected-bucket-owner", "111111111111");
    assert!(added.send(address).await.is(403, "AccessDenied"), "an unsigned header");
    let owner = list().header("x-amz-expected-bucket-owner", "111111111111").sign(address, &signer);
    assert!(owner.send(address).await.is(403, "AccessDenied"), "another owner");
    let owner = list().header("x-amz-expected-bucket-owner", "000000000000").sign(address, &signer);
    assert_eq!(owner.send(address).await.status, 200);
    let v2 = list().header("authorization", "AWS AKID:c2lnbmF0dXJl").header("date", "Mon, 01 Jan 2029 00:00:00 GMT");
    assert_ne!(v2.send(address).await.status, 200);
    let form = Raw::new("POST", "/models").header("content-type", "multipart/form-data; boundary=x").body(b"--x--");
    assert!(form.send(address).await.is(501, "NotImplemented"));
    let select = Raw::new("POST", "/models/key?select=&select-type=2").sign(address, &signer).send(address).await;
    assert!(select.is(501, "NotImplemented"), "{}", select.text);
}

#[tokio::test]
async fn signed_body_must_be_the_one_that_arrives() {
    let bench = Bench::new().await;
    let address = bench.endpoint.server.addr();
    let signer = bench.endpoint.signer("s3");
    let mut swapped = Raw::new("PUT", "/models/swapped").body(b"signed bytes").sign(address, &signer);
    swapped.body = b"other! bytes".to_vec();
    let refused = swapped.send(address).await;
    assert!(refused.is(400, "XAmzContentSHA256Mismatch"), "{}", refused.text);
    let absent = bench.endpoint.s3.get_object().bucket(BUCKET).key("swapped").send().await;
    assert_eq!(code(absent), "NoSuchKey");
    let empty = support::raw::sha256_hex(b"");
    let hidden = Raw::new("PUT", "/models/empty").sign_payload(address, &signer, &support::raw::sha256_hex(b"x"));
    assert!(hidden.send(address).await.is(400, "XAmzContentSHA256Mismatch"), "also an empty body is compared");
    assert_eq!(Raw::new("PUT", "/models/empty").sign_payload(address, &signer, &empty).send(address).await.status, 200);

    let unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let chunked = |body: &[u8], length: &str| {
        Raw::new("PUT", "/models/chunked")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", length)
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .body(body)
            .sign_payload(address, &signer, unsigned)
    };
    let whole = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    let stored = chunked(whole, "11").send(address).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    let wrong_sum = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    assert!(chunked(wrong_sum, "11").send(address).await.is(400, "BadDigest"));
    let cut = chunked(b"b\r\nhello world\r\n", "11").send(address).await;
    assert!(cut.is(400, "IncompleteBody"), "{}", cut.text);
    let longer = chunked(whole, "10").send(address).await;
    assert!(longer.is(400, "InvalidRequest"), "{}", longer.text);
    let no_trailer = chunked(b"b\r\nhello world\r\n0\r\n\r\n", "11").send(address).await;
    assert!(no_trailer.is(400, "InvalidRequest"), "{}", no_trailer.text);
    let large = format!("400000\r\n{}\r\n0\r\nx-amz-checksum-crc32:EUdAag==\r\n\r\n", "\0".repeat(4 << 20));
    let stored = chunked(large.as_bytes(), &(4 << 20).to_string()).send(address).await;
    assert_eq!(stored.status, 200, "one large chunk is taken in pieces: {}", stored.text);
}

#[tokio::test]
async fn anonymous_callers_need_a_public_policy_that_is_not_blocked() {
    let bench = Bench::new().await;
    let address = bench.endpoint.server.addr();
    let s3 = &bench.endpoint.s3;
    s3.put_object()
        .bucket(BUCKET)
        .key("public")
        .body(ByteStream::from_static(b"open"))
        .server_side_encryption(ServerSideEncryption::Aes256)
        .send()
        .await
        .unwrap();
    bench.put(ROWS[1]).await.unwrap();
    let get = async |key: &str| Raw::new("GET", &format!("/models/{key}")).send(address).await;
    assert!(get("public").await.is(403, "AccessDenied"));
    let public = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*"}}"#;
    let blocked = s3.put_bucket_policy().bucket(BUCKET).policy(public).send().await;
    assert_eq!(code(blocked), "AccessDenied", "BlockPublicPolicy");
    bench.no_public_access_block().await;
    bench.policy(public).await;
    let open = get("public").await;
    assert!(open.status == 200 && open.text.ends_with("open"), "{}", open.text);
    assert!(get("row-2").await.is(403, "AccessDenied"), "nobody decrypts anonymously");
    assert!(get("none").await.is(403, "AccessDenied"), "absence is not told without s3:ListBucket");
    assert!(Raw::new("PUT", "/models/public").body(b"x").send(address).await.is(403, "AccessDenied"));
    assert!(Raw::new("GET", "/").send(address).await.is(403, "AccessDenied"));
    assert!(Raw::new("PUT", "/new-bucket").send(address).await.is(403, "AccessDenied"));
    let restricted = PublicAccessBlockConfiguration::builder().restrict_public_buckets(true).build();
    let put = s3.put_public_access_block().bucket(BUCKET).public_access_block_configuration(restricted);
    put.send().await.unwrap();
    assert!(get("public").await.is(403, "AccessDenied"), "RestrictPublicBuckets");
}

#[tokio::test]
async fn explicit_deny_holds_for_all_but_the_policy_of_the_owner() {
    let bench = Bench::new().await;
    let s3 = &bench.endpoint.s3;
    let deny_all = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*",
        "Resource":["arn:aws:s3:::models","arn:aws:s3:::models/*"]}}"#;
    bench.policy(deny_all).await;
    assert_eq!(bench.put(ROWS[1]).await, Err("AccessDenied".to_owned()));
    assert_eq!(code(s3.list_objects_v2().bucket(BUCKET).send().await), "AccessDenied");
    assert_eq!(code(s3.get_bucket_encryption().bucket(BUCKET).send().await), "AccessDenied");
    let train = bench.client("TRAIN");
    assert_eq!(code(train.put_bucket_policy().bucket(BUCKET).policy(deny_all).send().await), "AccessDenied");
    s3.get_bucket_policy().bucket(BUCKET).send().await.unwrap();
    s3.put_bucket_policy().bucket(BUCKET).policy(deny_all).send().await.unwrap();
    s3.delete_bucket_policy().bucket(BUCKET).send().await.unwrap();
    s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
}

#[tokio::test]
async fn a_perimeter_lets_only_the_named_role_in() {
    let bench = Bench::new().await;
    bench.no_public_access_block().await;
    bench.put(ROWS[1]).await.unwrap();
    bench
        .policy(
            r#"{"Statement":[
                {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*"},
                {"Sid":"DenyAllButServicePrincipals","Effect":"Deny","Principal":"*",
                 "Action":["s3:GetObject*","s3:PutObject*","s3:DeleteObject*","s3:AbortMultipartUpload"],
                 "Resource":"arn:aws:s3:::models/*",
                 "Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::000000000000:role/train"]},
                    "BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}]}"#,
        )
        .await;
    let get = |client: aws_sdk_s3::Client| client.get_object().bucket(BUCKET).key("row-2").send();
    get(bench.client("TRAIN")).await.unwrap();
    assert_eq!(code(get(bench.client("STRANGER")).await), "AccessDenied");
    assert_eq!(code(get(bench.endpoint.s3.clone()).await), "AccessDenied", "the root is not named");
    let anonymous = Raw::new("GET", "/models/row-2").send(bench.endpoint.server.addr()).await;
    assert!(anonymous.is(403, "AccessDenied"), "absent keys do not open the perimeter: {}", anonymous.text);
    bench.endpoint.s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
}

#[tokio::test]
async fn policies_add_to_identities_and_accounts_stay_apart() {
    let bench = Bench::new().await;
    bench.no_public_access_block().await;
    bench.put(ROWS[1]).await.unwrap();
    let (train, stranger) = (bench.client("TRAIN"), bench.client("STRANGER"));
    let list = |client: &aws_sdk_s3::Client| client.list_objects_v2().bucket(BUCKET).send();
    assert_eq!(code(list(&train).await), "AccessDenied");
    assert_eq!(code(list(&stranger).await), "AccessDenied", "another account needs the bucket's consent");
    bench
        .policy(
            r#"{"Statement":[
                {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:role/train"},"Action":"s3:ListBucket",
                 "Resource":"arn:aws:s3:::models","Condition":{"StringLike":{"s3:prefix":"row-*"}}},
                {"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"s3:GetObject",
                 "Resource":"arn:aws:s3:::models/*"}]}"#,
        )
        .await;
    assert_eq!(code(list(&train).await), "AccessDenied", "without the prefix");
    train.list_objects_v2().bucket(BUCKET).prefix("row-").send().await.unwrap();
    stranger.get_object().bucket(BUCKET).key("row-2").send().await.unwrap();
    assert_eq!(code(list(&stranger).await), "AccessDenied");
    assert_eq!(code(stranger.delete_object().bucket(BUCKET).key("row-2").send().await), "AccessDenied");
}

#[tokio::test]
async fn deletions_of_many_are_judged_key_by_key() {
    let bench = Bench::new().await;
    for row in [ROWS[0], ROWS[1]] {
        bench.put(row).await.unwrap();
    }
    bench
        .policy(
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:DeleteObject*","Resource":"arn:aws:s3:::models/row-2"}}"#,
        )
        .await;
    let object = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let delete = Delete::builder().objects(object("row-1")).objects(object("row-2")).build().unwrap();
    let done = bench.client("TRAIN").delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!(done.deleted()[0].key(), Some("row-1"));
    assert_eq!((done.errors()[0].key(), done.errors()[0].code()), (Some("row-2"), Some("AccessDenied")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_of_a_large_body_reaches_the_client() {
    let bench = Bench::new().await;
    bench.policy(EXPLICIT).await;
    let body = support::bytes(64 << 20, 1);
    // A client that reads no answer before it has sent everything.
    let refused = Raw::new("PUT", "/models/large").body(&body).send(bench.endpoint.server.addr()).await;
    assert!(refused.is(403, "AccessDenied"), "{}", refused.text);
    for _ in 0..5 {
        let put = bench.endpoint.s3.put_object().bucket(BUCKET).key("large").body(ByteStream::from(body.clone()));
        assert_eq!(code(put.send().await), "AccessDenied");
    }
}

#[tokio::test]
async fn unsupported_policies_are_refused_with_their_reason() {
    let bench = Bench::new().await;
    let s3 = &bench.endpoint.s3;
    for (policy, reason) in [
        (
            r#"{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"*"},"Action":"s3:*","Resource":"arn:aws:s3:::models"}}"#,
            "NotPrincipal",
        ),
        (
            r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::other"}}"#,
            "invalid resource",
        ),
        ("{", "not valid JSON"),
    ] {
        let refused = s3.put_bucket_policy().bucket(BUCKET).policy(policy).send().await.unwrap_err();
        let refused = refused.into_service_error();
        assert_eq!(refused.meta().code(), Some("MalformedPolicy"));
        assert!(refused.meta().message().unwrap_or_default().contains(reason), "{refused:?}");
    }
}
