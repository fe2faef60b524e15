//! The claim: the one object that says which catalog a bucket belongs to.

use bytes::Bytes;

use super::{Error, Store};
use crate::domain::{ObjectKey, Sha256Digest, UploadToken};

/// Longest claim that is read, in bytes.
pub(super) const MAX_BYTES: u64 = 4096;

impl Store {
    /// The claim that the bucket has, after writing `ours` if it had none.
    ///
    /// The caller decides what it means: a retried write of our own finds itself.
    ///
    /// # Errors
    /// Of S3.
    pub async fn claim(&self, ours: Vec<u8>) -> Result<Vec<u8>, Error> {
        let key = ObjectKey::Claim.to_string();
        // Looking first leaves the usual start without a write.
        match self.read_small(&key, MAX_BYTES).await {
            Err(Error::NotFound { .. }) => {}
            found_or_failed => return found_or_failed,
        }
        let json = Bytes::from(ours);
        let digest = Sha256Digest::of(&json);
        match self.put(&key, &UploadToken::generate(), json.clone(), digest, "application/json", true).await {
            Ok(_) => Ok(json.to_vec()),
            Err(Error::Exists { .. }) => self.read_small(&key, MAX_BYTES).await,
            Err(error) => Err(error),
        }
    }
}
