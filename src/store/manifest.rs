//! The object that describes a version.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempts::within;
use super::pace::Pace;
use super::{Error, Store};
use crate::domain::{Manifest, ModelRef, ObjectKey, Sha256Digest, UploadToken};

/// Largest manifest: 100,000 files of the longest path take about 130 MB, ordinary ones a few hundred KB.
pub(super) const MAX_BYTES: u64 = 256 * 1024 * 1024;

impl Store {
    /// Writes the manifest of a version, create-only; one that is there must be the same.
    ///
    /// # Errors
    /// Of S3; [`Error::Unfaithful`] when another manifest has that name.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let model = ModelRef { namespace: manifest.namespace.clone(), name: manifest.model.clone() };
        let key = ObjectKey::Manifest { model: &model, number: manifest.number }.to_string();
        // Not the canonical form: it would turn a 1.0 of the metadata into a 1, and round large integers.
        let json = serde_json::to_vec(manifest)
            .map_err(|error| Error::Unexpected { operation: "write a manifest", source: error.into() })?;
        let json = Bytes::from(json);
        // One token a write, not one a version: two may describe a version at once, and differ in what was found out about
        // its bytes in between. Each must recognise only its own object, or the second would take the first one's for a
        // wrong one of its own and remove it. After a crash the other's is compared, below.
        let token = UploadToken::generate();
        match self.put(&key, &token, json.clone(), Sha256Digest::of(&json), "application/json", true).await {
            Ok(_) => Ok(()),
            Err(Error::Exists { .. }) => {
                let there = self.read_small(&key, MAX_BYTES).await?;
                let is_ours = serde_json::from_slice::<Manifest>(&there)
                    .is_ok_and(|there| there.is_of_the_same_version(manifest));
                if is_ours { Ok(()) } else { Err(Error::Unfaithful("another manifest has the version's name")) }
            }
            Err(error) => Err(error),
        }
    }

    /// The current bytes of a small object of ours.
    pub(super) async fn read_small(&self, key: &str, max: u64) -> Result<Vec<u8>, Error> {
        let object = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .set_expected_bucket_owner(self.owner())
            .customize()
            .config_override(within(self.until_first_byte()))
            .send()
            .await
            .map_err(Error::during("GetObject"))?;
        read_at_most(object.body, max, self.pace()).await
    }
}

/// The whole of a body that must be small.
pub(super) async fn read_at_most(mut body: ByteStream, max: u64, mut pace: Pace) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let next = pace.next(&mut body).await;
        match next.map_err(|error| Error::Unavailable { operation: "GetObject", source: error.into() })? {
            Some(chunk) if (bytes.len() + chunk.len()) as u64 > max => {
                return Err(Error::Unfaithful("an object of the service is larger than it can be"));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => return Ok(bytes),
        }
    }
}
