//! Files that are in memory or in S3, and visible to nobody until they are committed.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::budget::Permit;
use super::stored::{Said, TOKEN};
use super::{CanaryError, Error, Store, Stored};
use crate::domain::{Sha256Digest, UploadToken};

const CONTENT_TYPE: &str = "application/octet-stream";

/// A file that was taken in whole.
#[derive(Debug)]
pub struct Pending {
    store: Store,
    state: State,
}

#[derive(Debug)]
enum State {
    Held { key: String, token: UploadToken, bytes: Bytes, permit: Option<Permit>, sha256: Sha256Digest },
    Uploaded { multipart: Multipart, size: u64 },
}

/// A multipart upload and the parts that S3 has of it.
#[derive(Debug)]
pub(super) struct Multipart {
    key: String,
    token: UploadToken,
    id: String,
    parts: BTreeMap<i32, SentPart>,
}

/// A part that S3 has.
#[derive(Debug)]
pub(super) struct SentPart {
    number: i32,
    etag: String,
    sha256: Sha256Digest,
}

impl SentPart {
    pub(super) fn new(number: i32, etag: String, sha256: Sha256Digest) -> Self {
        Self { number, etag, sha256 }
    }
}

impl Pending {
    pub(super) fn held(
        store: Store,
        key: String,
        token: UploadToken,
        bytes: Bytes,
        permit: Option<Permit>,
        sha256: Sha256Digest,
    ) -> Self {
        Self { store, state: State::Held { key, token, bytes, permit, sha256 } }
    }

    pub(super) fn uploaded(store: Store, multipart: Multipart, size: u64) -> Self {
        Self { store, state: State::Uploaded { multipart, size } }
    }

    /// Whether the bytes are in this process's memory.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held { .. })
    }

    /// Where it will be, and the mark it carries.
    pub fn destination(&self) -> (&str, &UploadToken) {
        match &self.state {
            State::Held { key, token, .. } => (key, token),
            State::Uploaded { multipart, .. } => (&multipart.key, &multipart.token),
        }
    }

    /// Sends held bytes to S3 as a multipart upload of one part, which gives their memory back.
    ///
    /// # Errors
    /// Of S3; nothing of the file is left then but these bytes.
    pub async fn send_away(&mut self) -> Result<(), Error> {
        let State::Held { key, token, bytes, permit, .. } = &mut self.state else { return Ok(()) };
        let mut multipart = Multipart::create(&self.store, key, token).await?;
        let size = bytes.len() as u64;
        match multipart.send(&self.store, 1, bytes.clone(), permit.take()).await {
            Ok(part) => multipart.record(part),
            Err(error) => {
                multipart.abort(&self.store).await;
                return Err(error);
            }
        }
        self.state = State::Uploaded { multipart, size };
        Ok(())
    }

    /// Makes it an object, and checks what S3 says of it.
    ///
    /// # Errors
    /// Of S3, [`Error::Unfaithful`] when it stored something else; no object is left then so far as S3 could be
    /// reached.
    pub async fn commit(self) -> Result<Stored, Error> {
        match self.state {
            State::Held { key, token, bytes, permit, sha256 } => {
                let stored = self.store.put(&key, &token, bytes, sha256, CONTENT_TYPE).await;
                drop(permit);
                stored
            }
            State::Uploaded { multipart, size } => multipart.complete(&self.store, size).await,
        }
    }

    /// Removes what S3 has of it.
    pub async fn abort(self) {
        if let State::Uploaded { multipart, .. } = self.state {
            multipart.abort(&self.store).await;
        }
    }
}

impl Store {
    /// Writes a new object in one request; never over another.
    pub(super) async fn put(
        &self,
        key: &str,
        token: &UploadToken,
        bytes: Bytes,
        sha256: Sha256Digest,
        content_type: &str,
    ) -> Result<Stored, Error> {
        let (size, checksum) = (bytes.len() as u64, sha256.to_base64());
        let request = self
            .s3()
            .put_object()
            .bucket(self.bucket())
            .key(key)
            .metadata(TOKEN, token.as_str())
            .content_type(content_type)
            .checksum_sha256(&checksum)
            .if_none_match("*")
            .set_expected_bucket_owner(self.owner())
            .body(ByteStream::from(bytes));
        let turn = self.inner.budget.turn_to_write().await?;
        // The signed checksum header binds the bytes; hashing them once more for the signature would prove no more.
        let answer = self.inner.encryption.put(request).customize().disable_payload_signing().send().await;
        drop(turn);
        match answer {
            Ok(put) => {
                let said = Said {
                    version_id: put.version_id,
                    algorithm: put.server_side_encryption,
                    key: put.ssekms_key_id,
                    checksum: put.checksum_sha256,
                    // A single PUT is stored whole or not at all, and the checksum covers every byte.
                    size: Some(size as i64),
                };
                self.checked(key, said, size, &checksum).await
            }
            Err(error) => {
                let error = Error::during("PutObject")(error);
                self.adopt(key, token, size, &checksum, error).await
            }
        }
    }
}

impl Multipart {
    pub(super) async fn create(store: &Store, key: &str, token: &UploadToken) -> Result<Self, Error> {
        let request = store
            .s3()
            .create_multipart_upload()
            .bucket(store.bucket())
            .key(key)
            .metadata(TOKEN, token.as_str())
            .content_type(CONTENT_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .set_expected_bucket_owner(store.owner());
        let created =
            store.inner.encryption.create(request).send().await.map_err(Error::during("CreateMultipartUpload"))?;
        let id = created.upload_id.ok_or(Error::Unfaithful("it began an upload without an id"))?;
        Ok(Self { key: key.to_owned(), token: token.clone(), id, parts: BTreeMap::new() })
    }

    /// Sends one part; the permit is given back when S3 has it.
    pub(super) fn send(
        &self,
        store: &Store,
        number: i32,
        bytes: Bytes,
        permit: Option<Permit>,
    ) -> impl Future<Output = Result<SentPart, Error>> + Send + use<> {
        let (store, key, id) = (store.clone(), self.key.clone(), self.id.clone());
        async move {
            let sha256 = Sha256Digest::of(&bytes);
            let turn = store.inner.budget.turn_to_write().await?;
            let sent = store
                .s3()
                .upload_part()
                .bucket(store.bucket())
                .key(key)
                .upload_id(id)
                .part_number(number)
                .checksum_sha256(sha256.to_base64())
                .set_expected_bucket_owner(store.owner())
                .body(ByteStream::from(bytes.clone()))
                .customize()
                .disable_payload_signing()
                .send()
                .await
                .map_err(Error::during("UploadPart"))?;
            store.inner.budget.give_back(bytes);
            drop((turn, permit));
            if sent.checksum_sha256.is_some_and(|said| said != sha256.to_base64()) {
                return Err(Error::Unfaithful("a part has another checksum"));
            }
            let etag = sent.e_tag.ok_or(Error::Unfaithful("it stored a part without an ETag"))?;
            Ok(SentPart { number, etag, sha256 })
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Completes the canary's upload, whose one part went by a presigned URL.
    pub(super) async fn finish_canary(
        mut self,
        store: &Store,
        part: SentPart,
        size: u64,
    ) -> Result<Stored, CanaryError> {
        self.record(part);
        self.complete(store, size)
            .await
            .map_err(|source| CanaryError::Step { step: "complete a multipart upload", source })
    }

    pub(super) fn record(&mut self, part: SentPart) {
        self.parts.insert(part.number, part);
    }

    /// The checksum that S3 computes of the whole: SHA-256 over the digests of the parts, and their count.
    fn composite(&self) -> String {
        let mut hash = Context::new(&SHA256);
        for part in self.parts.values() {
            hash.update(part.sha256.as_bytes());
        }
        format!("{}-{}", Sha256Digest::from_hash(hash.finish().as_ref()).to_base64(), self.parts.len())
    }

    async fn complete(self, store: &Store, size: u64) -> Result<Stored, Error> {
        let checksum = self.composite();
        let part = |part: &SentPart| {
            CompletedPart::builder()
                .part_number(part.number)
                .e_tag(&part.etag)
                .checksum_sha256(part.sha256.to_base64())
                .build()
        };
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(self.parts.values().map(part).collect())).build();
        let answer = store
            .s3()
            .complete_multipart_upload()
            .bucket(store.bucket())
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .mpu_object_size(size as i64)
            .checksum_type(ChecksumType::Composite)
            .if_none_match("*")
            .set_expected_bucket_owner(store.owner())
            .send()
            .await;
        match answer {
            Ok(done) => {
                let said = Said {
                    version_id: done.version_id,
                    algorithm: done.server_side_encryption,
                    key: done.ssekms_key_id,
                    checksum: done.checksum_sha256,
                    size: None,
                };
                store.checked(&self.key, said, size, &checksum).await
            }
            Err(error) => {
                let error = Error::during("CompleteMultipartUpload")(error);
                let outcome = store.adopt(&self.key, &self.token, size, &checksum, error).await;
                if outcome.is_err() {
                    self.abort(store).await;
                }
                outcome
            }
        }
    }

    /// Removes the upload and its parts; a failure is left for the recovery at start and the lifecycle rule.
    pub(super) async fn abort(self, store: &Store) {
        for attempt in 0..3_u32 {
            let answer = store
                .s3()
                .abort_multipart_upload()
                .bucket(store.bucket())
                .key(&self.key)
                .upload_id(&self.id)
                .set_expected_bucket_owner(store.owner())
                .send()
                .await;
            match answer {
                Ok(_) => return,
                Err(error) if error.code() == Some("NoSuchUpload") => return,
                Err(error) => {
                    let error = Error::during("AbortMultipartUpload")(error);
                    tracing::warn!(error = &error as &dyn std::error::Error, attempt, "could not abort an upload");
                }
            }
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
        }
    }
}
