//! Finding the bytes that a manifest names, also in a copy of the bucket: there VersionIds and key differ, and digests
//! decide.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_s3::types::ServerSideEncryption;

use super::{Error, Store};
use crate::domain::{ManifestObject, Sha256Digest};

/// How long S3 may be silent in the middle of an object.
const IDLE: Duration = Duration::from_mins(1);

/// What became of the bytes that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There, in the version that the manifest names or in another with the same bytes.
    There {
        /// S3 VersionId.
        version_id: String,
        /// Full ARN of the key that S3 says it used.
        kms_key_arn: String,
    },
    /// Not there, for this reason.
    Lost(&'static str),
}

/// What S3 says of one version of an object.
struct Head {
    version_id: String,
    size: u64,
    /// None unless it is encrypted under a KMS key.
    kms_key_arn: Option<String>,
}

impl Store {
    /// Looks for the bytes of a file: the version that the manifest names, else the current one of the same key, which
    /// is read whole and compared.
    ///
    /// # Errors
    /// Of S3; that there is nothing is none.
    pub async fn find_object(&self, object: &ManifestObject) -> Result<Found, Error> {
        if let Some(head) = self.head(&object.key, Some(&object.version_id)).await? {
            return Ok(judge(object, head));
        }
        let Some(head) = self.head(&object.key, None).await? else {
            return Ok(Found::Lost("there is no such object"));
        };
        if head.size != object.file.size {
            return Ok(Found::Lost("the recorded version is gone, and the current one has another size"));
        }
        if self.hash(&object.key, &head.version_id).await? != object.file.sha256 {
            return Ok(Found::Lost("the recorded version is gone, and the current one has other bytes"));
        }
        Ok(judge(object, head))
    }

    async fn head(&self, key: &str, version_id: Option<&str>) -> Result<Option<Head>, Error> {
        let answer = self
            .s3()
            .head_object()
            .bucket(self.bucket())
            .key(key)
            .set_version_id(version_id.map(str::to_owned))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await;
        let head = match answer {
            Ok(head) => head,
            Err(error) => {
                // 400: not a VersionId of this bucket at all; 405: a delete marker.
                let status = error.raw_response().map(|answer| answer.status().as_u16());
                return match (Error::during("HeadObject")(error), status) {
                    (Error::NotFound { .. }, _) => Ok(None),
                    (_, Some(400 | 405)) if version_id.is_some() => Ok(None),
                    (error, _) => Err(error),
                };
            }
        };
        let is_kms = head.server_side_encryption == Some(ServerSideEncryption::AwsKms);
        Ok(Some(Head {
            version_id: head.version_id.or(version_id.map(str::to_owned)).unwrap_or_else(|| "null".to_owned()),
            size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            kms_key_arn: head.ssekms_key_id.filter(|_| is_kms),
        }))
    }

    /// The digest of all bytes of one version of an object.
    async fn hash(&self, key: &str, version_id: &str) -> Result<Sha256Digest, Error> {
        let late = |source| Error::Unavailable { operation: "GetObject", source };
        let object = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("GetObject"))?;
        let (mut body, mut hash) = (object.body, Context::new(&SHA256));
        loop {
            let next = tokio::time::timeout(IDLE, body.try_next()).await.map_err(|silent| late(silent.into()))?;
            match next.map_err(|error| late(error.into()))? {
                Some(chunk) => hash.update(&chunk),
                None => return Ok(Sha256Digest::from_hash(hash.finish().as_ref())),
            }
        }
    }
}

fn judge(object: &ManifestObject, head: Head) -> Found {
    if head.size != object.file.size {
        return Found::Lost("the recorded version has another size");
    }
    match head.kms_key_arn {
        Some(kms_key_arn) => Found::There { version_id: head.version_id, kms_key_arn },
        None => Found::Lost("it is not encrypted under a KMS key: copy it onto itself under the bucket's key"),
    }
}
