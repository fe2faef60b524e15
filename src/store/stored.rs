//! What S3 says it stored, checked.

use aws_sdk_s3::types::{ChecksumMode, ServerSideEncryption};

use super::{Error, Store};
use crate::domain::UploadToken;

/// Name of the object metadata that carries the upload token.
pub(super) const TOKEN: &str = "strongroom-token";

/// An object that is stored as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// S3 key.
    pub key: String,
    /// S3 VersionId.
    pub version_id: String,
    /// Full ARN of the key that S3 used.
    pub kms_key_arn: String,
}

/// What an answer of S3 says of an object; none where it said nothing.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) version_id: Option<String>,
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
    pub(super) checksum: Option<String>,
    pub(super) size: Option<i64>,
}

impl Said {
    fn is_complete(&self) -> bool {
        self.algorithm.is_some() && self.key.is_some() && self.checksum.is_some() && self.size.is_some()
    }
}

impl Store {
    /// Checks what S3 said of a write; asks again for what it left out.
    ///
    /// `checksum` is what S3 must have computed: base64 SHA-256, or its composite form `…-N` for a multipart upload.
    ///
    /// # Errors
    /// [`Error::Unversioned`], [`Error::Unfaithful`] when anything differs; the version is removed then, so far as it has an id.
    pub(super) async fn checked(&self, key: &str, mut said: Said, size: u64, checksum: &str) -> Result<Stored, Error> {
        // After versioning was first enabled, S3 may write without a version for some minutes.
        let Some(version_id) = said.version_id.take().filter(|id| id != "null" && !id.is_empty()) else {
            self.remove_unversioned(key).await;
            return Err(Error::Unversioned);
        };
        let fault = match self.fault(key, &version_id, said, size, checksum).await {
            Ok(None) => {
                let kms_key_arn = self.inner.encryption.kms_key_arn.clone();
                return Ok(Stored { key: key.to_owned(), version_id, kms_key_arn });
            }
            Ok(Some(fault)) => Error::Unfaithful(fault),
            Err(error) => error,
        };
        if let Err(error) = self.remove_version(key, &version_id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                key,
                "could not remove an object that is not as it should be"
            );
        }
        Err(fault)
    }

    async fn fault(
        &self,
        key: &str,
        version_id: &str,
        mut said: Said,
        size: u64,
        checksum: &str,
    ) -> Result<Option<&'static str>, Error> {
        if !said.is_complete() {
            let head = self
                .s3()
                .head_object()
                .bucket(self.bucket())
                .key(key)
                .version_id(version_id)
                .checksum_mode(ChecksumMode::Enabled)
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(Error::during("HeadObject"))?;
            said.algorithm = head.server_side_encryption;
            said.key = head.ssekms_key_id;
            said.checksum = said.checksum.or(head.checksum_sha256);
            said.size = head.content_length;
        }
        let encrypted = self.inner.encryption.is_what_s3_used(said.algorithm.as_ref(), said.key.as_deref());
        Ok(if !encrypted {
            Some("the object is not encrypted with the bucket's key")
        } else if said.size != Some(size as i64) {
            Some("the object has another size")
        } else if said.checksum.is_some_and(|said| !same_checksum(&said, checksum)) {
            Some("the object has another checksum")
        } else {
            None
        })
    }

    /// Whether the object in this version carries the token.
    pub(super) async fn carries(&self, key: &str, version_id: &str, token: &UploadToken) -> Result<bool, Error> {
        let head = self
            .s3()
            .head_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("HeadObject"))?;
        Ok(head.metadata.and_then(|all| all.get(TOKEN).map(|found| found == token.as_str())).unwrap_or(false))
    }
}

/// Some servers leave the part count out of the composite form.
fn same_checksum(said: &str, expected: &str) -> bool {
    said == expected || expected.split_once('-').is_some_and(|(bare, _)| bare == said)
}
