//! What S3 says of one object version.

use aws_sdk_s3::types::ChecksumMode;

use super::stored::TOKEN;
use super::{Error, Store};
use crate::domain::UploadToken;

/// What S3 says of one object version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadFacts {
    /// Bytes.
    pub size: u64,
    /// Base64 SHA-256, or its composite form `…-N`; none when S3 keeps no SHA-256 of it.
    pub checksum: Option<String>,
    /// Whether it is under SSE-KMS with the key that writes state today.
    pub is_encrypted_as_stated: bool,
    /// Full ARN of the key that S3 used; none without SSE-KMS.
    pub kms_key_arn: Option<String>,
    /// The token of the write that brought it; none when it was written by somebody else.
    pub token: Option<UploadToken>,
}

impl Store {
    /// Asks what S3 has in one version of a key.
    ///
    /// # Errors
    /// Of S3; [`Error::NotFound`] when there is no such version.
    pub async fn head_version(&self, key: &str, version_id: &str) -> Result<HeadFacts, Error> {
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
        let (algorithm, used) = (head.server_side_encryption, head.ssekms_key_id);
        Ok(HeadFacts {
            size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            checksum: head.checksum_sha256,
            is_encrypted_as_stated: self.inner.encryption.is_what_s3_used(algorithm.as_ref(), used.as_deref()),
            kms_key_arn: used,
            token: head.metadata.and_then(|mut all| all.remove(TOKEN)).map(UploadToken::from_stored),
        })
    }
}
