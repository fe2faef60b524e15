//! Looking at stored objects again: their bytes, what S3 says of them, and what lies over them.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_s3::config::{Builder, ResponseChecksumValidation};

use super::manifest::MAX_BYTES as MAX_MANIFEST_BYTES;
use super::stored::Expected;
use super::{Error, Store};
use crate::domain::{Manifest, ModelRef, ObjectKey, Sha256Digest, VersionNumber};

/// How long S3 may be silent in the middle of an object.
const IDLE: Duration = Duration::from_mins(1);

/// Pages of the versions of one key that are read: a key of ours has a few versions.
const PAGES: usize = 10;

/// What the bytes of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Of all of them.
    pub sha256: Sha256Digest,
    /// How many.
    pub size: u64,
}

/// An object as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct Pinned<'a> {
    /// S3 key.
    pub key: &'a str,
    /// S3 VersionId.
    pub version_id: &'a str,
    /// Bytes.
    pub size: u64,
    /// Full ARN of the KMS key.
    pub kms_key_arn: &'a str,
    /// What S3 computed when it was written; empty when that is not known.
    pub checksum: &'a str,
}

/// What is wrong with a stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The version is not there.
    Missing,
    /// Something newer lies over it; reads that name the version get it still.
    Covered {
        /// The newest version, or the delete marker.
        by: String,
        /// Whether that hides the key instead of holding bytes.
        is_marker: bool,
    },
    /// It has another size.
    Size {
        /// Bytes.
        found: u64,
    },
    /// It is not under SSE-KMS.
    Algorithm {
        /// As S3 names it; empty for none.
        found: String,
    },
    /// It is under another key.
    Key,
    /// S3 says another checksum than when it was written.
    Checksum {
        /// Base64, or its composite form.
        found: String,
    },
}

impl Store {
    /// Reads all bytes of one version of a key and hashes them, a chunk at a time; `read` is told of each chunk's size.
    ///
    /// # Errors
    /// Of S3; [`Error::NotFound`] when there is no such version, [`Error::Unavailable`] when the bytes break off.
    pub async fn hash_version(&self, key: &str, version_id: &str, read: impl Fn(u64) + Send) -> Result<Hashed, Error> {
        // We hash by ourselves: that S3's own checksum differs is a finding, not a failure of the read.
        let unchecked = Builder::new().response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let object = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .set_expected_bucket_owner(self.owner())
            .customize()
            .config_override(unchecked)
            .send()
            .await
            .map_err(Error::during("GetObject"))?;
        let (mut body, mut hash, mut size) = (object.body, Context::new(&SHA256), 0);
        let broken = |source| Error::Unavailable { operation: "GetObject", source };
        loop {
            let next = tokio::time::timeout(IDLE, body.try_next()).await.map_err(|silent| broken(silent.into()))?;
            let Some(chunk) = next.map_err(|error| broken(error.into()))? else { break };
            hash.update(&chunk);
            size += chunk.len() as u64;
            read(chunk.len() as u64);
        }
        Ok(Hashed { sha256: Sha256Digest::from_hash(hash.finish().as_ref()), size })
    }

    /// Compares what S3 says of an object with its row, without its bytes.
    ///
    /// # Errors
    /// Of S3; that the object is not there is a [`Fault`].
    pub async fn faults(&self, pinned: Pinned<'_>) -> Result<Vec<Fault>, Error> {
        let head = match self.head_version(pinned.key, pinned.version_id).await {
            Ok(head) => head,
            Err(Error::NotFound { .. }) => return Ok(vec![Fault::Missing]),
            Err(error) => return Err(error),
        };
        let mut faults = Vec::new();
        if head.size != pinned.size {
            faults.push(Fault::Size { found: head.size });
        }
        if head.algorithm != "aws:kms" {
            faults.push(Fault::Algorithm { found: head.algorithm });
        } else if head.kms_key_arn.as_deref() != Some(pinned.kms_key_arn) {
            faults.push(Fault::Key);
        }
        // Not every S3 keeps one, and rows of old do not have it.
        if let Some(found) = head.checksum
            && !pinned.checksum.is_empty()
            && !Expected::Stated(pinned.checksum).allows(&found)
        {
            faults.push(Fault::Checksum { found });
        }
        faults.extend(self.cover(pinned).await?);
        Ok(faults)
    }

    /// The manifest of a version as it is in the bucket; none when what is there is no manifest.
    ///
    /// # Errors
    /// Of S3; [`Error::NotFound`] when nothing is there.
    pub async fn manifest(&self, model: &ModelRef, number: VersionNumber) -> Result<Option<Manifest>, Error> {
        let key = ObjectKey::Manifest { model, number }.to_string();
        let bytes = self.read_small(&key, MAX_MANIFEST_BYTES).await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// What lies over an object that is there.
    async fn cover(&self, pinned: Pinned<'_>) -> Result<Option<Fault>, Error> {
        let mut next = None;
        for _ in 0..PAGES {
            let page = self.list_versions(pinned.key, next.as_ref()).await?;
            // A longer key that begins alike comes behind this one.
            let newest = page.versions.into_iter().find(|version| version.key == pinned.key && version.is_latest);
            if let Some(newest) = newest {
                let is_ours = newest.version_id == pinned.version_id && !newest.is_marker;
                let fault = Fault::Covered { by: newest.version_id, is_marker: newest.is_marker };
                return Ok((!is_ours).then_some(fault));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        // The list does not say which is newest: nothing is said of it.
        Ok(None)
    }
}
