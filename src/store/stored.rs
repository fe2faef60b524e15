//! What S3 says it stored, checked.

use aws_sdk_s3::types::ServerSideEncryption;

use super::{Error, Store};
use crate::domain::Sha256Digest;

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
    /// What S3 checked the bytes against: base64 SHA-256, or its composite form `…-N`; empty when it did not.
    pub checksum: String,
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

/// What S3 must have computed of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    /// Base64 SHA-256, or its composite form `…-N`, which the request stated too: S3 has compared it.
    Stated(&'a str),
    /// The SHA-256 of the whole, if S3 computed one; the request did not state it.
    Whole(Sha256Digest),
}

impl Said {
    fn is_complete(&self) -> bool {
        self.algorithm.is_some() && self.key.is_some() && self.checksum.is_some() && self.size.is_some()
    }
}

impl Store {
    /// Checks what S3 said of a write; asks again for what it left out.
    ///
    /// # Errors
    /// [`Error::Unversioned`], [`Error::Unfaithful`] when anything differs; the version is removed then, so far as it has
    /// an id and the role may. When S3 cannot be asked the object stays: its token finds it again.
    pub(super) async fn checked(
        &self,
        key: &str,
        mut said: Said,
        size: u64,
        expected: Expected<'_>,
    ) -> Result<Stored, Error> {
        // After versioning was first enabled, S3 may write without a version for some minutes.
        let Some(version_id) = said.version_id.take().filter(|id| id != "null" && !id.is_empty()) else {
            self.remove_unversioned(key).await;
            return Err(Error::Unversioned);
        };
        let mut encrypted = self.inner.encryption.is_what_s3_used(said.algorithm.as_ref(), said.key.as_deref());
        if !said.is_complete() {
            let head = match self.head_version(key, &version_id).await {
                Ok(head) => head,
                Err(Error::NotFound { .. }) => return Err(Error::Unfaithful("the object that it wrote is not there")),
                Err(error) => return Err(error),
            };
            encrypted = head.is_encrypted_as_stated;
            said.checksum = said.checksum.or(head.checksum);
            said.size = i64::try_from(head.size).ok();
        }
        let fault = if !encrypted {
            "the object is not encrypted with the bucket's key"
        } else if said.size != Some(size as i64) {
            "the object has another size"
        } else if said.checksum.as_deref().is_some_and(|said| !expected.allows(said)) {
            "the object has another checksum"
        } else {
            let kms_key_arn = self.inner.encryption.kms_key_arn.clone();
            let checksum = match expected {
                Expected::Stated(stated) => stated.to_owned(),
                Expected::Whole(_) => said.checksum.unwrap_or_default(),
            };
            return Ok(Stored { key: key.to_owned(), version_id, kms_key_arn, checksum });
        };
        if let Err(error) = self.remove_version(key, &version_id).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                key,
                "could not remove an object that is not as it should be"
            );
        }
        Err(Error::Unfaithful(fault))
    }
}

impl Expected<'_> {
    fn allows(self, said: &str) -> bool {
        match self {
            // Some servers leave the part count out of the composite form.
            Self::Stated(stated) => said == stated || stated.split_once('-').is_some_and(|(bare, _)| bare == said),
            // A composite says nothing about the whole.
            Self::Whole(sha256) => said.contains('-') || said == sha256.to_base64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checksum_of_other_bytes_is_a_fault() {
        let sha256 = Sha256Digest::of(b"bytes");
        let (whole, other) = (sha256.to_base64(), Sha256Digest::of(b"others").to_base64());
        let composite = format!("{whole}-2");
        assert!(Expected::Stated(&whole).allows(&whole) && !Expected::Stated(&whole).allows(&other));
        assert!(Expected::Stated(&composite).allows(&whole) && !Expected::Stated(&composite).allows(&other));
        assert!(!Expected::Stated(&composite).allows(&format!("{whole}-3")));
        assert!(Expected::Whole(sha256).allows(&whole) && !Expected::Whole(sha256).allows(&other));
        assert!(Expected::Whole(sha256).allows(&format!("{other}-2")));
    }
}
