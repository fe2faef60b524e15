//! Multipart uploads: begun, completed and aborted in one way, whoever sends the parts.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::attempts::{Repeated, once, within};
use super::budget::Permit;
use super::pending::CONTENT_TYPE;
use super::stored::{Expected, Said, TOKEN};
use super::{Error, Store, Stored};
use crate::domain::{Sha256Digest, UploadToken};

/// A part that takes longer than at this rate, in bytes a second, is sent again.
pub(super) const SLOWEST: u64 = 1024 * 1024;

/// A multipart upload and the parts that S3 has of it.
#[derive(Debug)]
pub(super) struct Multipart {
    key: String,
    token: UploadToken,
    id: String,
    parts: BTreeMap<u32, SentPart>,
}

/// A part that S3 has.
#[derive(Debug, Clone)]
pub(super) struct SentPart {
    number: u32,
    etag: String,
    sha256: Sha256Digest,
}

/// An upload whose parts S3 has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<'a> {
    pub(super) key: &'a str,
    pub(super) id: &'a str,
    pub(super) token: &'a UploadToken,
    pub(super) size: u64,
    /// Never over another object.
    pub(super) create_only: bool,
}

impl SentPart {
    pub(super) fn new(number: u32, etag: String, sha256: Sha256Digest) -> Self {
        Self { number, etag, sha256 }
    }

    fn completed(&self) -> CompletedPart {
        CompletedPart::builder()
            .part_number(wire(self.number))
            .e_tag(&self.etag)
            .checksum_sha256(self.sha256.to_base64())
            .build()
    }
}

/// A part number as the SDK takes it; ours are at most 10,000.
pub(super) fn wire(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The checksum that S3 computes of the whole: SHA-256 over the digests of the parts, and their count.
pub(super) fn composite<'a>(digests: impl ExactSizeIterator<Item = &'a Sha256Digest>) -> String {
    let (mut hash, count) = (Context::new(&SHA256), digests.len());
    for digest in digests {
        hash.update(digest.as_bytes());
    }
    format!("{}-{count}", Sha256Digest::from_hash(hash.finish().as_ref()).to_base64())
}

impl Store {
    /// Begins a multipart upload: its encryption, checksums and token are fixed here, for every part of it.
    ///
    /// # Errors
    /// Of S3.
    pub async fn begin_upload(&self, key: &str, token: &UploadToken) -> Result<String, Error> {
        let request = self
            .s3()
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .metadata(TOKEN, token.as_str())
            .content_type(CONTENT_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .set_expected_bucket_owner(self.owner());
        let request = self.inner.encryption.create(request);
        let created = request.send().await.map_err(Error::during("CreateMultipartUpload"))?;
        created.upload_id.ok_or(Error::Unfaithful("it began an upload without an id"))
    }

    /// Ends a multipart upload and removes its parts; one that is gone is no error.
    ///
    /// # Errors
    /// Of S3.
    pub async fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), Error> {
        let answer = self
            .s3()
            .abort_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload_id)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("AbortMultipartUpload"));
        match answer {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes an object of an upload's parts, in this order, and checks what S3 says of it.
    ///
    /// The upload stays when S3 refuses.
    pub(super) async fn join(&self, whole: Whole<'_>, parts: &[SentPart]) -> Result<Stored, Error> {
        let checksum = composite(parts.iter().map(|part| &part.sha256));
        let completed: Vec<CompletedPart> = parts.iter().map(SentPart::completed).collect();
        let request = self
            .s3()
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(whole.key)
            .upload_id(whole.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(completed)).build())
            .mpu_object_size(whole.size as i64)
            .checksum_type(ChecksumType::Composite)
            .set_if_none_match(whole.create_only.then(|| "*".to_owned()))
            .set_expected_bucket_owner(self.owner());
        let attempt = || async {
            let request = request.clone().customize().config_override(once(self.long()));
            let done = request.send().await.map_err(Error::during("CompleteMultipartUpload"))?;
            Ok(Said {
                version_id: done.version_id,
                algorithm: done.server_side_encryption,
                key: done.ssekms_key_id,
                checksum: done.checksum_sha256,
                size: None,
            })
        };
        // An upload is completed once: S3 repeats its answer, or has no such upload any more.
        let said = self.write(whole.key, whole.token, Repeated::Harmless, attempt).await?;
        self.checked(whole.key, said, whole.size, Expected::Stated(&checksum)).await
    }
}

impl Multipart {
    pub(super) async fn create(store: &Store, key: &str, token: &UploadToken) -> Result<Self, Error> {
        let id = store.begin_upload(key, token).await?;
        Ok(Self { key: key.to_owned(), token: token.clone(), id, parts: BTreeMap::new() })
    }

    /// Sends one part; the permit is given back when S3 has it.
    pub(super) fn send(
        &self,
        store: &Store,
        number: u32,
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
                .part_number(wire(number))
                .checksum_sha256(sha256.to_base64())
                .set_expected_bucket_owner(store.owner())
                .body(ByteStream::from(bytes.clone()))
                .customize()
                .config_override(within(store.limit_for(bytes.len() as u64, SLOWEST)))
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

    /// Where the object will be, and the mark it carries.
    pub(super) fn destination(&self) -> (&str, &UploadToken) {
        (&self.key, &self.token)
    }

    pub(super) fn record(&mut self, part: SentPart) {
        self.parts.insert(part.number, part);
    }

    /// Makes an object of it; when that fails nothing is left of the upload.
    pub(super) async fn complete(self, store: &Store, size: u64, create_only: bool) -> Result<Stored, Error> {
        let parts: Vec<SentPart> = self.parts.values().cloned().collect();
        let whole = Whole { key: &self.key, id: &self.id, token: &self.token, size, create_only };
        let outcome = store.join(whole, &parts).await;
        if outcome.is_err() {
            self.abort(store).await;
        }
        outcome
    }

    /// Removes the upload and its parts; a failure is left for the recovery at start and the lifecycle rule.
    pub(super) async fn abort(self, store: &Store) {
        for attempt in 0..3_u32 {
            match store.abort_upload(&self.key, &self.id).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, attempt, "could not abort an upload");
                }
            }
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
        }
    }
}
