//! Files that are in memory or in S3, and visible to nobody until they are committed.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempts::{Repeated, once};
use super::budget::Permit;
use super::multipart::{Multipart, SLOWEST};
use super::stored::{Expected, Said, TOKEN};
use super::{Error, Store, Stored};
use crate::domain::{Sha256Digest, UploadToken};

pub(super) const CONTENT_TYPE: &str = "application/octet-stream";

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
            State::Uploaded { multipart, .. } => multipart.destination(),
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

    /// Makes it an object where there is none, and checks what S3 says of it.
    ///
    /// # Errors
    /// Of S3, [`Error::Exists`], [`Error::Unfaithful`] when it stored something else; no object is left then so far as S3
    /// could be reached.
    pub async fn commit(self) -> Result<Stored, Error> {
        self.write(true).await
    }

    /// As [`Self::commit`], also where there is an object: this becomes a newer version of it.
    ///
    /// # Errors
    /// As of [`Self::commit`], but for [`Error::Exists`].
    pub async fn commit_over(self) -> Result<Stored, Error> {
        self.write(false).await
    }

    async fn write(self, create_only: bool) -> Result<Stored, Error> {
        match self.state {
            State::Held { key, token, bytes, permit, sha256 } => {
                let stored = self.store.put(&key, &token, bytes, sha256, CONTENT_TYPE, create_only).await;
                drop(permit);
                stored
            }
            State::Uploaded { multipart, size } => multipart.complete(&self.store, size, create_only).await,
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
    /// Writes an object in one request; `create_only` never over another.
    pub(super) async fn put(
        &self,
        key: &str,
        token: &UploadToken,
        bytes: Bytes,
        sha256: Sha256Digest,
        content_type: &str,
        create_only: bool,
    ) -> Result<Stored, Error> {
        let (size, checksum) = (bytes.len() as u64, sha256.to_base64());
        let attempt = || async {
            let request = self
                .s3()
                .put_object()
                .bucket(self.bucket())
                .key(key)
                .metadata(TOKEN, token.as_str())
                .content_type(content_type)
                .checksum_sha256(&checksum)
                .set_if_none_match(create_only.then(|| "*".to_owned()))
                .set_expected_bucket_owner(self.owner())
                .body(ByteStream::from(bytes.clone()));
            let turn = self.inner.budget.turn_to_write().await?;
            // The signed checksum header binds the bytes; hashing them once more for the signature would prove no more.
            let request = self.inner.encryption.put(request).customize().disable_payload_signing();
            let answer = request.config_override(once(self.limit_for(size, SLOWEST))).send().await;
            drop(turn);
            let put = answer.map_err(Error::during("PutObject"))?;
            Ok(Said {
                version_id: put.version_id,
                algorithm: put.server_side_encryption,
                key: put.ssekms_key_id,
                checksum: put.checksum_sha256,
                // A single PUT is stored whole or not at all, and the checksum covers every byte.
                size: Some(size as i64),
            })
        };
        // A create-only write that had its effect is refused the second time.
        let repeated = if create_only { Repeated::Harmless } else { Repeated::Doubles };
        let said = self.write(key, token, repeated, attempt).await?;
        self.checked(key, said, size, Expected::Stated(&checksum)).await
    }
}
