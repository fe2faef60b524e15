//! Versions of objects as S3 lists them, a page at a time.

use super::{Error, Store};

/// A version of a key, or a delete marker in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// S3 key.
    pub key: String,
    /// S3 VersionId, or `null`.
    pub version_id: String,
    /// Whether it is what a read of the key without a version gets.
    pub is_latest: bool,
    /// Whether it hides the key instead of holding bytes.
    pub is_marker: bool,
    /// Bytes; 0 when S3 does not say.
    pub size: u64,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTo {
    key: String,
    version_id: Option<String>,
}

/// At most 1,000 versions, keys in the order of their bytes, the versions of a key newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPage {
    /// Versions and delete markers.
    pub versions: Vec<ListedVersion>,
    /// Where the next page begins; none after the last.
    pub next: Option<ListedTo>,
}

impl ListedTo {
    /// Behind every version of this key.
    pub fn key(key: &str) -> Self {
        Self { key: key.to_owned(), version_id: None }
    }
}

impl Store {
    /// One page of versions below a prefix, from behind `after`.
    ///
    /// # Errors
    /// Of S3; [`Error::NotFound`] when there is no bucket.
    pub async fn list_versions(&self, prefix: &str, after: Option<&ListedTo>) -> Result<VersionPage, Error> {
        let page = self
            .s3()
            .list_object_versions()
            .bucket(self.bucket())
            .prefix(prefix)
            .set_key_marker(after.map(|after| after.key.clone()))
            .set_version_id_marker(after.and_then(|after| after.version_id.clone()))
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("ListObjectVersions"))?;
        let listed = |key: Option<String>, version_id: Option<String>, is_latest: Option<bool>, size: Option<u64>| {
            Some(ListedVersion {
                key: key?,
                version_id: version_id.unwrap_or_else(|| "null".to_owned()),
                is_latest: is_latest == Some(true),
                is_marker: size.is_none(),
                size: size.unwrap_or_default(),
            })
        };
        let versions = page.versions.unwrap_or_default().into_iter();
        let markers = page.delete_markers.unwrap_or_default().into_iter();
        let mut versions: Vec<ListedVersion> = versions
            .filter_map(|version| {
                let size = version.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                listed(version.key, version.version_id, version.is_latest, Some(size))
            })
            .chain(markers.filter_map(|marker| listed(marker.key, marker.version_id, marker.is_latest, None)))
            .collect();
        // The SDK gives versions and markers as two lists; within a key the order of each is kept.
        versions.sort_by(|a, b| (&a.key, !a.is_latest).cmp(&(&b.key, !b.is_latest)));
        let next = match (page.is_truncated, page.next_key_marker) {
            (Some(true), Some(key)) => Some(ListedTo { key, version_id: page.next_version_id_marker }),
            _ => None,
        };
        Ok(VersionPage { versions, next })
    }
}
