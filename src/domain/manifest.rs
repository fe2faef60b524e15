//! What a version is made of, as the bucket keeps it.

use serde::{Deserialize, Serialize};

use super::{FilePath, Integrity, Metadata, ModelName, ModelRef, Namespace, Sha256Digest, Timestamp, VersionNumber};

/// One file of a version: what its digest is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it lies in the version.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Sha256Digest,
}

/// The digest of a version: SHA-256 over the RFC 8785 JSON of `[{"path","size","sha256"}]`, sorted by path bytes.
///
/// Equal content has an equal digest, whatever order the files came in.
///
/// # Panics
/// Never: strings and integers below 2^53 always have a canonical form.
pub fn version_digest(files: &[FileEntry]) -> Sha256Digest {
    let mut sorted: Vec<&FileEntry> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.as_str().as_bytes().cmp(b.path.as_str().as_bytes()));
    let canonical = serde_json_canonicalizer::to_vec(&sorted).expect("plain strings and integers serialise");
    Sha256Digest::of(&canonical)
}

/// Where the bytes of a file are: which object, in which S3 version, under which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
    /// S3 key.
    pub key: String,
    /// S3 VersionId; every read names it.
    pub version_id: String,
    /// Full ARN of the KMS key that S3 said it used.
    pub kms_key_arn: String,
    /// How far the digest was proven when the version was published.
    pub integrity: Integrity,
    /// What S3 computed: base64 SHA-256, or its composite form `…-N`; none where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// The S3 object that describes a version: enough to rebuild its catalog rows from the bucket alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this document; 1.
    pub schema: u32,
    /// Tells a retried write of ours from somebody else's: the draft that was published.
    pub draft: String,
    /// Owner of the model.
    pub namespace: Namespace,
    /// The model.
    pub model: ModelName,
    /// The version.
    pub number: VersionNumber,
    /// [`version_digest`] of the files.
    pub digest: Sha256Digest,
    /// When it was published.
    pub created_at: Timestamp,
    /// Who published it.
    pub created_by: String,
    /// What the publisher said of it.
    pub metadata: Metadata,
    /// What the publisher said of it in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// All its files lie under one prefix, and nothing else does.
    #[serde(default = "by_default")]
    pub plain_prefix: bool,
    /// When the model had its first version, which may be purged by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_created_at: Option<Timestamp>,
    /// When the namespace had its first model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_created_at: Option<Timestamp>,
    /// Sorted by path bytes.
    pub files: Vec<ManifestObject>,
}

/// Versions of releases that did not say so have a plain prefix.
const fn by_default() -> bool {
    true
}

impl Manifest {
    /// Whether both describe the same publication; what a later check found out about the bytes makes no other one.
    pub fn is_of_the_same_version(&self, other: &Self) -> bool {
        self.draft == other.draft && self.number == other.number && self.digest == other.digest
    }

    /// The model.
    pub fn model_ref(&self) -> ModelRef {
        ModelRef { namespace: self.namespace.clone(), name: self.model.clone() }
    }

    /// Whether both tell of the same files of the same version: what is said of it may have changed in between.
    pub fn has_the_files_of(&self, other: &Self) -> bool {
        let file = |file: &ManifestObject| (file.file.clone(), file.key.clone(), file.version_id.clone());
        (&self.namespace, &self.model, self.number, self.digest)
            == (&other.namespace, &other.model, other.number, other.digest)
            && self.files.iter().map(file).eq(other.files.iter().map(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: &[u8]) -> FileEntry {
        FileEntry { path: path.parse().unwrap(), size: bytes.len() as u64, sha256: Sha256Digest::of(bytes) }
    }

    #[test]
    fn manifest_of_an_older_release_is_read_with_defaults() {
        let json = serde_json::json!({
            "schema": 1, "draft": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "namespace": "a", "model": "b", "number": 1,
            "digest": Sha256Digest::of(b"").to_string(), "created_at": "2026-01-01T00:00:00Z", "created_by": "x",
            "metadata": {"large": 9_007_199_254_740_993_u64, "x": 1.0},
            "files": [{
                "path": "m", "size": 1, "sha256": Sha256Digest::of(b"1").to_string(), "key": "k", "version_id": "v",
                "kms_key_arn": "arn", "integrity": "verified",
            }],
        });
        let manifest: Manifest = serde_json::from_value(json).unwrap();
        assert!(manifest.plain_prefix && manifest.description.is_empty() && manifest.files[0].checksum.is_none());
        let again = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&again).unwrap(), manifest);
        assert!(String::from_utf8(again).unwrap().contains(r#"{"large":9007199254740993,"x":1.0}"#));
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_the_files() {
        let (a, b) = (file("a/b", b"1"), file("a-b", b"2"));
        assert_eq!(version_digest(&[a.clone(), b.clone()]), version_digest(&[b, a]));
    }

    #[test]
    fn the_digest_is_that_of_the_documented_json() {
        let files = [file("b", b"2"), file("a", b"abc")];
        let json = format!(
            r#"[{{"path":"a","sha256":"{}","size":3}},{{"path":"b","sha256":"{}","size":1}}]"#,
            Sha256Digest::of(b"abc"),
            Sha256Digest::of(b"2")
        );
        assert_eq!(version_digest(&files), Sha256Digest::of(json.as_bytes()));
    }

    #[test]
    fn the_digest_changes_with_a_path_a_size_or_a_byte() {
        let base = version_digest(&[file("a", b"abc")]);
        assert_ne!(base, version_digest(&[file("b", b"abc")]));
        assert_ne!(base, version_digest(&[file("a", b"abd")]));
        assert_ne!(base, version_digest(&[]));
    }
}
