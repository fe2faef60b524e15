//! A whole endpoint on a free port, and the clients that the service itself uses.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses its own part of it")]

pub mod process;
pub mod raw;

use aws_sdk_s3::{
    config::{BehaviorVersion, Credentials, Region},
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{BucketVersioningStatus, ServerSideEncryption, VersioningConfiguration},
};
use embedded_aws::{Config, EmbeddedAws};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Endpoint {
    pub server: EmbeddedAws,
    pub s3: aws_sdk_s3::Client,
    pub kms: aws_sdk_kms::Client,
    pub dir: TempDir,
}

impl Endpoint {
    pub async fn start() -> Self {
        Self::in_dir(TempDir::new().unwrap()).await
    }

    pub async fn in_dir(dir: TempDir) -> Self {
        let config = Config::new(dir.path());
        Self::with(dir, config).await
    }

    pub async fn with(dir: TempDir, config: Config) -> Self {
        let server = EmbeddedAws::start(config).await.unwrap();
        let url = format!("http://{}", server.addr());
        let (access, secret) = (server.credentials().access_key(), server.credentials().secret_key());
        Self { s3: s3_client(&url, access, secret), kms: kms_client(&url, access, secret), server, dir }
    }

    /// Stops and starts again on the same directory.
    pub async fn restart(self) -> Self {
        let Self { server, dir, s3, kms } = self;
        drop((s3, kms));
        server.stop().await;
        Self::in_dir(dir).await
    }

    /// The administrator's signer for raw requests.
    pub fn signer(&self, service: &str) -> raw::Signer {
        let pair = self.server.credentials();
        raw::Signer::new(pair.access_key(), pair.secret_key(), service)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    pub async fn bucket(&self, name: &str) {
        self.s3.create_bucket().bucket(name).send().await.unwrap();
    }

    pub async fn versioned_bucket(&self, name: &str) {
        self.bucket(name).await;
        self.versioning(name, BucketVersioningStatus::Enabled).await;
    }

    pub async fn versioning(&self, bucket: &str, status: BucketVersioningStatus) {
        let configuration = VersioningConfiguration::builder().status(status).build();
        self.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(configuration).send().await.unwrap();
    }

    /// A new KMS key's ARN.
    pub async fn key(&self) -> String {
        let created = self.kms.create_key().send().await.unwrap();
        created.key_metadata().unwrap().arn().unwrap().to_owned()
    }

    /// Puts an object and returns its version id.
    pub async fn put(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) -> Option<String> {
        let body = ByteStream::from(bytes.into());
        let put = self.s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
        put.version_id().map(str::to_owned)
    }

    pub async fn put_kms(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>, kms_key: &str) {
        self.s3
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(bytes.into()))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(kms_key)
            .send()
            .await
            .unwrap();
    }

    pub async fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let got = self.s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        got.body.collect().await.unwrap().to_vec()
    }

    /// Files under the directory that hold bytes of objects.
    pub fn blob_files(&self) -> Vec<PathBuf> {
        blob_files(self.dir.path())
    }
}

pub fn s3_client(url: &str, access_key: &str, secret_key: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

pub fn kms_client(url: &str, access_key: &str, secret_key: &str) -> aws_sdk_kms::Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
        .endpoint_url(url)
        .region(aws_sdk_kms::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_kms::config::Credentials::new(access_key, secret_key, None, None, "test"))
        .build();
    aws_sdk_kms::Client::from_conf(config)
}

/// Everything in `incoming/` and `blobs/`.
pub fn blob_files(dir: &Path) -> Vec<PathBuf> {
    let list =
        |dir: &Path| -> Vec<PathBuf> { std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let mut files = list(&dir.join("incoming"));
    files.extend(list(&dir.join("blobs")).iter().flat_map(|shard| list(shard)));
    files
}

/// The error code of a failed call.
pub fn code<T: std::fmt::Debug, E, R>(result: Result<T, SdkError<E, R>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    let error = result.expect_err("the call must fail");
    match error.as_service_error() {
        Some(service) => service.code().unwrap_or("none").to_owned(),
        None => format!("{error:?}"),
    }
}

/// The HTTP status of a failed call.
pub fn status<T: std::fmt::Debug, E: std::fmt::Debug>(
    result: Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>,
) -> u16 {
    let error = result.expect_err("the call must fail");
    error.raw_response().expect("an answer").status().as_u16()
}

/// Bytes that differ at every place, so that swapped frames show.
pub fn bytes(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}
