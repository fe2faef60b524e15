//! An S3 and a KMS that others wrote: SeaweedFS over TLS, with LocalStack as its KMS.
//!
//! The service passes its own tests against its own endpoint too easily; this pair has other opinions.
//! It refuses writes by bucket policy (algorithm, key, TLS), encrypts on disk, and refuses a disabled key.
//! [`CANNOT`] lists what a test on this pair does not prove.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio::sync::OnceCell;

use super::process::{Guarded, free_ports, installed};

/// What the pair does not do as AWS does, as (feature, what happens instead); a test proves each of these.
pub(crate) const CANNOT: &[(&str, &str)] = &[
    ("PublicAccessBlock", "SeaweedFS answers NotImplemented to Get and Put"),
    ("ACLs under BucketOwnerEnforced", "SeaweedFS accepts a public one"),
    ("public bucket policy", "SeaweedFS accepts it and obeys it: nothing blocks public access"),
    ("ExpectedBucketOwner", "SeaweedFS ignores it"),
    ("GetObjectAttributes checksum", "SeaweedFS leaves it out"),
    ("IfExists operators", "SeaweedFS refuses the policy"),
    ("age of a signature", "a policy on it denies nothing: old presigned URLs are served"),
    ("presigned forms under a policy", "SeaweedFS stores them, whatever the policy says of the authType POST"),
    (
        "strict policy and multipart",
        "a statement that demands a header denies ListParts, Complete and Abort, and one that names the key UploadPart too",
    ),
    ("UploadPartCopy under SSE-KMS", "SeaweedFS answers NotImplemented"),
    (
        "encryption in answers",
        "SeaweedFS leaves it out of CreateMultipartUpload, CompleteMultipartUpload and CopyObject: ask HeadObject",
    ),
    ("ListParts", "SeaweedFS omits ChecksumSHA256 and lists an overwritten part twice"),
    ("checksum of a copy", "SeaweedFS computes none: its answer has none, and HEAD repeats what the source has"),
    ("Content-Encoding after a trailer", "SeaweedFS keeps aws-chunked as the object's own"),
    ("unknown KMS key", "SeaweedFS answers 500 InternalError instead of 400 KMS.NotFoundException"),
    ("disabled KMS key", "SeaweedFS answers 500 InternalError, and may serve from a cache what was read just before"),
    ("region of a signature", "SeaweedFS accepts any"),
    ("key policy", "LocalStack stores it, malformed too, and never enforces it"),
    ("credentials at the KMS", "LocalStack takes any"),
];

/// The entry of [`CANNOT`] for a feature, for the message of a test that asks less of this pair.
pub(crate) fn cannot(feature: &str) -> String {
    let (feature, instead) = CANNOT.iter().find(|(name, _)| *name == feature).expect("a feature that CANNOT lists");
    format!("the outside pair does not do {feature}: {instead}")
}

/// Where the pair answers; it lives as long as the test process.
#[derive(Debug)]
pub(crate) struct Outside {
    /// `https://127.0.0.1:…`; the certificate also holds for `localhost`.
    pub(crate) s3_endpoint: String,
    /// The same S3 without TLS, which a bucket's policy should refuse.
    pub(crate) s3_plain_endpoint: String,
    /// `http://127.0.0.1:…`, KMS and STS.
    pub(crate) kms_endpoint: String,
    /// The private CA in PEM.
    pub(crate) ca_file: PathBuf,
    pub(crate) region: &'static str,
    /// One pair of credentials, good for both.
    pub(crate) access_key: &'static str,
    pub(crate) secret_key: &'static str,
    /// Access key and secret of somebody who reads and writes objects, and may not change a bucket.
    pub(crate) serving: (&'static str, &'static str),
    servers: [Guarded; 2],
}

const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "test-secret-key";
const SERVING: (&str, &str) = ("serving", "serving-secret-key");
/// Both take 2 to 10 seconds on an idle machine; LocalStack loads its KMS at the first request.
const START_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
/// A port may be taken between its choice and its use.
const ATTEMPTS: usize = 3;

/// Starts the pair at the first call; later calls share it.
///
/// # Panics
/// When a server does not become ready, with what it wrote.
pub(crate) async fn seaweedfs_with_localstack() -> &'static Outside {
    static OUTSIDE: OnceCell<Result<Outside, String>> = OnceCell::const_new();
    // The failure is kept: every other test would wait as long to learn the same.
    match OUTSIDE.get_or_init(start).await {
        Ok(outside) => outside,
        Err(message) => panic!("{message}"),
    }
}

impl Outside {
    /// An S3 client that trusts the private CA.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let provider = Provider::Rustls(CryptoMode::AwsLc);
        let http = Builder::new().tls_provider(provider).tls_context(self.trust()).build_https();
        self.s3_at(&self.s3_endpoint, Some(http))
    }

    /// Connections that trust the private CA, without any client.
    pub(crate) fn connector(&self) -> SharedHttpConnector {
        let provider = Provider::Rustls(CryptoMode::AwsLc);
        SharedHttpConnector::new(Connector::builder().tls_provider(provider).tls_context(self.trust()).build())
    }

    fn trust(&self) -> TlsContext {
        let trust = TrustStore::empty().with_pem_certificate(fs::read(&self.ca_file).expect("the CA file was written"));
        TlsContext::builder().with_trust_store(trust).build().expect("a trust store makes a TLS context")
    }

    /// An S3 client without TLS.
    pub(crate) fn s3_plain(&self) -> aws_sdk_s3::Client {
        self.s3_at(&self.s3_plain_endpoint, None)
    }

    /// A KMS client.
    pub(crate) fn kms(&self) -> aws_sdk_kms::Client {
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.kms_endpoint)
            .region(Region::new(self.region))
            .credentials_provider(self.credentials())
            .timeout_config(bounded())
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_kms::Client::from_conf(config)
    }

    fn s3_at(
        &self,
        endpoint: &str,
        http: Option<aws_smithy_runtime_api::client::http::SharedHttpClient>,
    ) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .force_path_style(true)
            .region(Region::new(self.region))
            .credentials_provider(self.credentials())
            .timeout_config(bounded())
            .retry_config(RetryConfig::disabled());
        config.set_http_client(http);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.access_key, self.secret_key, None, None, "outside")
    }

    fn logs(&self) -> String {
        self.servers.iter().map(Guarded::log_tail).collect()
    }
}

fn bounded() -> TimeoutConfig {
    TimeoutConfig::builder().operation_timeout(Duration::from_secs(20)).build()
}

async fn start() -> Result<Outside, String> {
    let mut failure = String::new();
    for _ in 0..ATTEMPTS {
        let (mut outside, master) =
            spawn().map_err(|error| format!("cannot start SeaweedFS and LocalStack: {error}"))?;
        match ready(&mut outside, &master).await {
            Ok(()) => return Ok(outside),
            Err(NotReady::Ended(which)) => failure = format!("{which} ended at start\n{}", outside.logs()),
            Err(NotReady::Late(missing)) => {
                return Err(format!("after {START_LIMIT:?} {missing}\n{}", outside.logs()));
            }
        }
    }
    Err(failure)
}

/// Starts both without waiting; also gives the address of SeaweedFS's master.
fn spawn() -> io::Result<(Outside, String)> {
    let [kms, s3, s3_tls, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] = free_ports()?;
    let kms_endpoint = format!("http://127.0.0.1:{kms}");

    let dir = own_directory("localstack")?;
    let localstack = Guarded::start(
        "LocalStack",
        &dir,
        &installed("localstack/bin/python"),
        &["-m", "localstack.runtime.main"].map(String::from),
        &[
            // The default server listens on every interface, whatever it is told.
            ("GATEWAY_SERVER", "hypercorn".to_owned()),
            ("GATEWAY_LISTEN", format!("127.0.0.1:{kms}")),
            ("SERVICES", "kms,sts".to_owned()),
            ("FILESYSTEM_ROOT", dir.join("files").display().to_string()),
            // Nothing leaves this machine.
            ("DISABLE_EVENTS", "1".to_owned()),
            ("SKIP_SSL_CERT_DOWNLOAD", "1".to_owned()),
            ("DNS_ADDRESS", "0".to_owned()),
        ],
        &[],
    )?;

    let dir = own_directory("seaweedfs")?;
    let ca_file = write_certificates(&dir)?;
    fs::create_dir(dir.join("data"))?;
    // One volume at a time instead of seven: they are preallocated in memory and on disk.
    fs::write(dir.join("master.toml"), "[master.volume_growth]\ncopy_1 = 1\n")?;
    fs::write(dir.join("s3.json"), seaweedfs_identities(&kms_endpoint).to_string())?;
    let mut arguments: Vec<String> =
        ["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"].map(String::from).into();
    arguments.extend(
        [
            ("dir", "data"),
            ("master.telemetry", "false"),
            ("master.volumeSizeLimitMB", "1024"),
            ("volume.max", "400"),
            // It waits ten seconds after SIGTERM by default.
            ("volume.preStopSeconds", "0"),
            ("filer.localSocket", "filer.sock"),
            ("s3", "true"),
            ("s3.config", "s3.json"),
            ("s3.cert.file", "cert.pem"),
            ("s3.key.file", "key.pem"),
            ("s3.localSocket", "s3.sock"),
            // As AWS, and unlike the defaults.
            ("s3.autoCreateBucket", "false"),
            ("s3.allowDeleteBucketNotEmpty", "false"),
            // Two servers that nobody here needs.
            ("s3.port.iceberg", "0"),
            ("s3.port.lance", "0"),
        ]
        .map(|(name, value)| format!("-{name}={value}")),
    );
    arguments.extend(
        [
            ("s3.port", s3),
            ("s3.port.https", s3_tls),
            ("s3.port.grpc", s3_grpc),
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
        ]
        .map(|(name, port)| format!("-{name}={port}")),
    );
    // Names that it does not let us choose.
    let sockets = [("s3", s3_grpc), ("master", master_grpc), ("volume", volume_grpc), ("filer", filer_grpc)]
        .map(|(server, port)| PathBuf::from(format!("/tmp/seaweedfs-{server}-grpc-{port}.sock")));
    let seaweedfs = Guarded::start(
        "SeaweedFS",
        &dir,
        &installed("seaweedfs/bin/weed"),
        &arguments,
        &[("WEED_S3_SSE_KEY", "not used: objects are under KMS keys".to_owned())],
        &sockets,
    )?;

    let outside = Outside {
        s3_endpoint: format!("https://127.0.0.1:{s3_tls}"),
        s3_plain_endpoint: format!("http://127.0.0.1:{s3}"),
        kms_endpoint,
        ca_file,
        region: REGION,
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        serving: SERVING,
        servers: [seaweedfs, localstack],
    };
    Ok((outside, format!("http://127.0.0.1:{master}")))
}

enum NotReady {
    /// A server has ended: its ports may have been taken.
    Ended(String),
    /// The time is over, and this did not happen.
    Late(&'static str),
}

/// Waits until S3 and KMS answer their SDKs and there is a place to put bytes.
async fn ready(outside: &mut Outside, master: &str) -> Result<(), NotReady> {
    let deadline = Instant::now() + START_LIMIT;
    let (s3, kms) = (outside.s3(), outside.kms());
    wait(outside, deadline, "the S3 did not answer over TLS", async || s3.list_buckets().send().await.is_ok()).await?;
    wait(outside, deadline, "no volume server registered", async || has_volume_server(master).await).await?;
    wait(outside, deadline, "the KMS did not answer", async || kms.list_keys().send().await.is_ok()).await
}

async fn wait(
    outside: &mut Outside,
    deadline: Instant,
    missing: &'static str,
    is_there: impl AsyncFn() -> bool,
) -> Result<(), NotReady> {
    while !is_there().await {
        for server in &mut outside.servers {
            if let Some(status) = server.ended() {
                return Err(NotReady::Ended(format!("{} ({status})", server.name())));
            }
        }
        if Instant::now() > deadline {
            return Err(NotReady::Late(missing));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The S3 answers before a volume server has registered, and then refuses writes.
async fn has_volume_server(master: &str) -> bool {
    let status = async {
        let response =
            reqwest::Client::new().get(format!("{master}/dir/status")).timeout(Duration::from_secs(5)).send().await?;
        response.json::<serde_json::Value>().await
    };
    status.await.is_ok_and(|status| status.pointer("/Topology/DataCenters/0/Racks/0/DataNodes/0/Url").is_some())
}

/// A directory that outlives this process's destructors, which never run for a static; the guard removes it.
fn own_directory(name: &str) -> io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix(&format!("strongroom-{name}-")).tempdir()?.keep())
}

fn seaweedfs_identities(kms_endpoint: &str) -> serde_json::Value {
    serde_json::json!({
        "identities": [{
            "name": "admin",
            "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }, {
            "name": "serving",
            "credentials": [{ "accessKey": SERVING.0, "secretKey": SERVING.1 }],
            "actions": ["Read", "Write", "List", "Tagging"],
        }],
        "kms": {
            "default_provider": "localstack",
            "providers": { "localstack": {
                "type": "aws",
                "region": REGION,
                "endpoint": kms_endpoint,
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
            }},
        },
    })
}

/// Writes `cert.pem` and `key.pem` for loopback, and gives the file of the CA that signed them.
fn write_certificates(dir: &Path) -> io::Result<PathBuf> {
    let make = || {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "Strongroom test CA");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_pem = authority.self_signed(&authority_key)?.pem();

        let mut server = CertificateParams::new(["localhost", "127.0.0.1"].map(String::from))?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        // Python's TLS refuses a certificate without it.
        server.use_authority_key_identifier_extension = true;
        let server_key = KeyPair::generate()?;
        let server_pem = server.signed_by(&server_key, &Issuer::new(authority, authority_key))?.pem();
        Ok::<_, rcgen::Error>((authority_pem, server_pem, server_key.serialize_pem()))
    };
    let (authority, certificate, key) = make().map_err(io::Error::other)?;
    let ca_file = dir.join("ca.pem");
    fs::write(&ca_file, authority)?;
    fs::write(dir.join("cert.pem"), certificate)?;
    fs::write(dir.join("key.pem"), key)?;
    Ok(ca_file)
}
