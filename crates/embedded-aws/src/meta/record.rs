//! What is stored about buckets, object versions, uploads and parts.
//!
//! Records are JSON: they are small, read one at a time, and gain fields without a migration.
//! Times are milliseconds since 1970, UTC.

use super::lock::{BucketLock, Lock};
use crate::blob::BlobId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bucket's identity; its [`Settings`] are a record of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bucket {
    /// Never given out twice, so that nothing of a deleted bucket can come back in one of the same name.
    pub(crate) id: u64,
    pub(crate) created_ms: i64,
    pub(crate) versioning: Versioning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Versioning {
    /// Never switched on; no way back to it.
    Unversioned,
    Enabled,
    Suspended,
}

/// What a bucket was configured with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// `None`: SSE-S3, which S3 applies when nothing is configured.
    pub(crate) encryption: Option<DefaultEncryption>,
    /// The policy document as it was sent.
    pub(crate) policy: Option<String>,
    pub(crate) public_access_block: Option<PublicAccessBlock>,
    /// `BucketOwnerEnforced` and its like; `None` after the controls were deleted.
    pub(crate) ownership: Option<String>,
    /// Lifecycle rules as JSON; only `s3` knows their shape.
    pub(crate) lifecycle: Option<String>,
    /// `None`: Object Lock was never switched on.
    pub(crate) object_lock: Option<BucketLock>,
    /// CORS rules as JSON; only `s3` knows their shape.
    pub(crate) cors: Option<String>,
    /// Bucket tags; `None` and empty differ, as on AWS.
    pub(crate) tags: Option<Vec<(String, String)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefaultEncryption {
    /// `AES256` or `aws:kms`.
    pub(crate) algorithm: String,
    /// As it was sent: S3 does not validate it before the first write that uses it.
    pub(crate) key_id: Option<String>,
    pub(crate) bucket_key: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicAccessBlock {
    pub(crate) block_public_acls: bool,
    pub(crate) ignore_public_acls: bool,
    pub(crate) block_public_policy: bool,
    pub(crate) restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// What AWS gives to every new bucket.
    pub(crate) const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// One version of one key: content, or a delete marker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) sequence: u64,
    pub(crate) nonce: u64,
    /// Shown as `null`: written while versioning was not enabled.
    pub(crate) null: bool,
    pub(crate) modified_ms: i64,
    /// `None`: a delete marker.
    pub(crate) content: Option<Content>,
}

impl Version {
    /// Whether Object Lock keeps it; a delete marker is never locked.
    pub(crate) fn is_locked(&self, now_ms: i64, bypass: bool) -> bool {
        self.content.as_ref().is_some_and(|content| content.lock.protects(now_ms, bypass))
    }
}

/// What a version holds, apart from the bytes (see [`Segment`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    /// How many parts it was uploaded in; `None` for a single PUT.
    pub(crate) parts: Option<u16>,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) encryption: Encryption,
    pub(crate) description: Description,
    #[serde(default)]
    pub(crate) lock: Lock,
    #[serde(default)]
    pub(crate) storage_class: StorageClass,
}

/// Where a version is said to be kept; the bytes lie in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StorageClass {
    #[default]
    Standard,
    /// By a lifecycle rule.
    IntelligentTiering,
}

/// What the writer said about an object besides its bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) expires_ms: Option<i64>,
    pub(crate) website_redirect: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tags: Vec<(String, String)>,
}

/// Under which key an object's data keys are wrapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Encryption {
    /// Full ARN of the KMS key; `None` for SSE-S3.
    pub(crate) kms_key: Option<String>,
    /// With a bucket key the encryption context names the bucket, else the object.
    pub(crate) bucket_key: bool,
    /// What the writer added to the encryption context.
    pub(crate) context: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChecksumKind {
    /// Over the bytes of the whole object.
    FullObject,
    /// Over the checksums of the parts.
    Composite,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: ChecksumKind,
    /// Base64 as on the wire, with `-N` for a composite one.
    pub(crate) value: String,
}

/// A run of an object's bytes: one blob.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) blob: BlobId,
    /// The blob's data key, wrapped; base64 in JSON.
    #[serde(with = "base64_bytes")]
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) size: u64,
    /// The part's checksum, base64, in the object's algorithm.
    pub(crate) checksum: Option<String>,
}

/// A multipart upload that is not completed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) sequence: u64,
    pub(crate) nonce: u64,
    pub(crate) initiated_ms: i64,
    /// ARN of who began it.
    pub(crate) initiator: String,
    pub(crate) encryption: Encryption,
    /// The `x-amz-server-side-encryption` header of its creation, as sent.
    pub(crate) algorithm_header: Option<String>,
    pub(crate) checksum: Option<(Algorithm, ChecksumKind)>,
    pub(crate) description: Description,
    /// What the object is to be locked with; without a retention the bucket's default applies.
    #[serde(default)]
    pub(crate) lock: Lock,
}

/// One part of an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) blob: BlobId,
    #[serde(with = "base64_bytes")]
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) modified_ms: i64,
    /// In the upload's algorithm (CRC64NVME when it declared none), base64.
    pub(crate) checksum: String,
    /// What the client sent when the upload had declared no algorithm.
    pub(crate) sent_checksum: Option<(Algorithm, String)>,
}

/// An upload that was completed: a repeated Complete is answered from it for a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Completed {
    pub(crate) nonce: u64,
    pub(crate) bucket: u64,
    pub(crate) key: String,
    pub(crate) version: u64,
    /// As in [`Upload`].
    pub(crate) algorithm_header: Option<String>,
    pub(crate) kms_key: Option<String>,
    /// SHA-256 over the list of parts that was asked for, hex.
    pub(crate) request: String,
    pub(crate) at_ms: i64,
}

mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_older_versions_are_read_without_the_newer_fields() {
        let content = r#"{"size":1,"etag":"e","parts":null,"checksum":null,
            "encryption":{"kms_key":null,"bucket_key":false,"context":{}},
            "description":{"content_type":null,"content_encoding":null,"content_disposition":null,
                "content_language":null,"cache_control":null,"expires_ms":null,"website_redirect":null,
                "metadata":{},"tags":[]}}"#;
        let content: Content = serde_json::from_str(content).unwrap();
        assert_eq!((content.lock, content.storage_class), (Lock::default(), StorageClass::Standard));
        let upload = r#"{"sequence":1,"nonce":2,"initiated_ms":3,"initiator":"","algorithm_header":null,
            "encryption":{"kms_key":null,"bucket_key":false,"context":{}},"checksum":null,
            "description":{"content_type":null,"content_encoding":null,"content_disposition":null,
                "content_language":null,"cache_control":null,"expires_ms":null,"website_redirect":null,
                "metadata":{},"tags":[]}}"#;
        assert_eq!(serde_json::from_str::<Upload>(upload).unwrap().lock, Lock::default());
        let settings = r#"{"encryption":null,"policy":null,"public_access_block":null,"ownership":null,
            "lifecycle":null,"tags":null}"#;
        let settings: Settings = serde_json::from_str(settings).unwrap();
        assert!(settings.object_lock.is_none() && settings.cors.is_none());
    }
}
