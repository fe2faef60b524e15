//! A versioned bucket with a key, and the store on it, as the service builds it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use futures::TryStreamExt as _;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use strongroom::domain::{Sha256Digest, UploadToken};
use strongroom::store::{
    Encryption, Error, ListedPart, MemoryBudget, PartToSign, Parts, PresignedPart, Reach, Seat, Store, Stored,
    UploadToComplete,
};

use crate::support::account::Account;
use crate::support::outside::seaweedfs_with_localstack;

/// Where parts go.
pub(super) struct Place {
    pub(super) store: Store,
    pub(super) s3: Client,
    pub(super) bucket: String,
    pub(super) key_arn: String,
    pub(super) is_seaweedfs: bool,
    http: reqwest::Client,
    _account: Option<Account>,
}

/// An upload that was begun.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) token: UploadToken,
    pub(super) id: String,
}

/// A store on a server that does not look at signatures.
pub(super) fn store(s3: &Client, direct: SharedHttpConnector, bucket: &str, key_arn: &str) -> Store {
    store_with(s3, direct, bucket, key_arn, Credentials::new("test", "test", None, None, "test"))
}

/// A store whose URLs are signed with these credentials.
pub(super) fn store_with(
    s3: &Client,
    direct: SharedHttpConnector,
    bucket: &str,
    key_arn: &str,
    credentials: Credentials,
) -> Store {
    Store::new(Parts {
        s3: s3.clone(),
        direct,
        reach: Reach::Everyone(s3.clone()),
        credentials: SharedCredentialsProvider::new(credentials),
        bucket: bucket.to_owned(),
        encryption: Encryption { kms_key_arn: key_arn.to_owned() },
        expected_owner: None,
        budget: MemoryBudget::new(64 << 20, Duration::from_secs(5)),
        patience: Duration::from_secs(30),
    })
}

/// A part with these bytes.
pub(super) fn part(number: u32, bytes: &[u8]) -> PartToSign {
    PartToSign { number, size: bytes.len() as u64, sha256: Sha256Digest::of(bytes) }
}

/// The URL of a part.
pub(super) fn exposed(part: &PresignedPart) -> &str {
    part.url.expose_secret()
}

impl Place {
    pub(super) async fn embedded() -> Self {
        let account = Account::new(None).await;
        let key = account.clients.kms.create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
        let direct = SharedHttpConnector::new(Connector::builder().build_http());
        let (s3, credentials) = (account.clients.s3.clone(), account.credentials());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self::on(s3, direct, credentials, key, http, false, Some(account)).await
    }

    pub(super) async fn seaweedfs() -> Self {
        let outside = seaweedfs_with_localstack().await;
        let key = outside.kms().create_key().send().await.unwrap().key_metadata.unwrap().arn.unwrap();
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&outside.ca_file).unwrap()).unwrap();
        let http = reqwest::Client::builder().no_proxy().add_root_certificate(ca).build().unwrap();
        Self::on(outside.s3(), outside.connector(), outside.credentials(), key, http, true, None).await
    }

    async fn on(
        s3: Client,
        direct: SharedHttpConnector,
        credentials: Credentials,
        key_arn: String,
        http: reqwest::Client,
        is_seaweedfs: bool,
        account: Option<Account>,
    ) -> Self {
        let bucket = format!("parts-{}", ulid::Ulid::generate().to_string().to_ascii_lowercase());
        s3.create_bucket().bucket(&bucket).send().await.unwrap();
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(enabled).send().await.unwrap();
        let store = store_with(&s3, direct, &bucket, &key_arn, credentials);
        Self { store, s3, bucket, key_arn, is_seaweedfs, http, _account: account }
    }

    pub(super) async fn begin(&self, key: &str) -> Upload {
        let token = UploadToken::generate();
        let id = self.store.begin_upload(key, &token).await.unwrap();
        Upload { key: key.to_owned(), token, id }
    }

    pub(super) async fn urls(&self, upload: &Upload, parts: &[PartToSign]) -> Vec<PresignedPart> {
        let life = Duration::from_mins(15);
        let signed = self.store.presign_parts(Seat::Remote, &upload.key, &upload.id, parts, life).await;
        signed.unwrap().unwrap().parts
    }

    pub(super) async fn list(&self, upload: &Upload) -> Vec<ListedPart> {
        self.store.list_parts(&upload.key, &upload.id).await.unwrap()
    }

    /// In a task of its own, as the service does it.
    pub(super) async fn complete(
        &self,
        upload: &Upload,
        parts: &[PartToSign],
        listed: &[ListedPart],
        create_only: bool,
    ) -> Result<Stored, Error> {
        let (store, key, id, token) = (self.store.clone(), upload.key.clone(), upload.id.clone(), upload.token.clone());
        let (parts, listed) = (parts.to_vec(), listed.to_vec());
        let task = tokio::spawn(async move {
            let size = parts.iter().map(|part| part.size).sum();
            let (key, upload_id, token, parts, listed) = (&*key, &*id, &token, &*parts, &*listed);
            store.complete_upload(&UploadToComplete { key, upload_id, token, size, parts, listed, create_only }).await
        });
        task.await.unwrap()
    }

    /// Sends bytes to a part's URL with its headers; the length is that of the bytes.
    pub(super) async fn send(&self, part: &PresignedPart, bytes: &[u8]) -> (StatusCode, String) {
        self.put(exposed(part), &part.headers, bytes).await
    }

    /// As [`Self::send`], with the checksum of another part and one more header.
    pub(super) async fn send_with(
        &self,
        part: &PresignedPart,
        bytes: &[u8],
        other: &PartToSign,
        extra: Option<(&str, &str)>,
    ) -> (StatusCode, String) {
        let mut headers = part.headers.clone();
        for (name, value) in &mut headers {
            if name == "x-amz-checksum-sha256" {
                *value = other.sha256.to_base64();
            }
        }
        headers.extend(extra.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.put(exposed(part), &headers, bytes).await
    }

    pub(super) async fn put(&self, url: &str, headers: &[(String, String)], bytes: &[u8]) -> (StatusCode, String) {
        let mut request = self.http.put(url).timeout(Duration::from_mins(1)).body(bytes.to_vec());
        for (name, value) in headers.iter().filter(|(name, _)| name != "content-length") {
            request = request.header(name, value);
        }
        let answer = request.header("content-length", bytes.len()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// All bytes of an object version.
    pub(super) async fn read(&self, key: &str, version_id: &str, size: usize) -> Vec<u8> {
        let stream = self.store.open(key, version_id, 0..size as u64, None).await.unwrap().into_stream();
        let chunks: Vec<bytes::Bytes> = stream.try_collect().await.unwrap();
        chunks.concat()
    }

    /// The versions of a key, newest first.
    pub(super) async fn versions(&self, key: &str) -> Vec<String> {
        let page = self.store.list_versions(key, None).await.unwrap();
        page.versions.into_iter().filter(|version| version.key == key).map(|version| version.version_id).collect()
    }
}
