//! Finding what a write left when its answer was lost, and removing what nobody needs.

use super::stored::Said;
use super::{Error, ListedVersion, Store, Stored};
use crate::domain::UploadToken;

/// Most pages of any list that recovery reads.
const MAX_PAGES: usize = 10_000;

impl Store {
    /// After a failed write: the object with our token is ours, whatever the answer said.
    ///
    /// One is adopted; others that the SDK's own retries made are removed, so far as the role may. Without one, `error` is the outcome.
    pub(super) async fn adopt(
        &self,
        key: &str,
        token: &UploadToken,
        size: u64,
        checksum: &str,
        error: Error,
    ) -> Result<Stored, Error> {
        // A refusal for what the request says cannot have had an effect.
        if matches!(error, Error::Denied { .. } | Error::Key { .. } | Error::Unfaithful(_)) {
            return Err(error);
        }
        let mut ours = None;
        for listed in self.versions_below(key).await? {
            if listed.key != key || listed.is_marker || !self.carries(key, &listed.version_id, token).await? {
                continue;
            }
            if ours.is_none() {
                ours = Some(listed.version_id);
            } else if let Err(error) = self.remove_version(key, &listed.version_id).await {
                // The serving role need not own DeleteObjectVersion, and a copy that nobody names does no harm.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    key,
                    "a second copy that a retry made stays until it is swept"
                );
            }
        }
        match ours {
            Some(version_id) => {
                let said = Said { version_id: Some(version_id), ..Said::default() };
                self.checked(key, said, size, checksum).await
            }
            None => Err(error),
        }
    }

    /// Removes one version of an object.
    ///
    /// # Errors
    /// Of S3; a version that is not there is none.
    pub async fn remove_version(&self, key: &str, version_id: &str) -> Result<(), Error> {
        let answer = self
            .s3()
            .delete_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(Error::during("DeleteObject"));
        match answer {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes an object that was written while versioning was not in force.
    pub(super) async fn remove_unversioned(&self, key: &str) {
        if let Err(error) = self.remove_version(key, "null").await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                key,
                "could not remove an object without a version"
            );
        }
    }

    /// Removes every upload and every version below a prefix that no published version names.
    ///
    /// # Errors
    /// Of S3; what was removed until then stays removed.
    pub async fn remove_prefix(&self, prefix: &str) -> Result<usize, Error> {
        let mut removed = 0;
        for (key, upload) in self.uploads_below(prefix).await? {
            let answer = self
                .s3()
                .abort_multipart_upload()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload)
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(Error::during("AbortMultipartUpload"));
            match answer {
                Ok(_) => removed += 1,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for listed in self.versions_below(prefix).await? {
            self.remove_version(&listed.key, &listed.version_id).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn versions_below(&self, prefix: &str) -> Result<Vec<ListedVersion>, Error> {
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let page = self.list_versions(prefix, next.as_ref()).await?;
            all.extend(page.versions);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }

    async fn uploads_below(&self, prefix: &str) -> Result<Vec<(String, String)>, Error> {
        let mut all = Vec::new();
        let (mut key_marker, mut upload_marker) = (None, None);
        for _ in 0..MAX_PAGES {
            let page = self
                .s3()
                .list_multipart_uploads()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(upload_marker.take())
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(Error::during("ListMultipartUploads"))?;
            let uploads = page.uploads.unwrap_or_default();
            all.extend(uploads.into_iter().filter_map(|upload| Some((upload.key?, upload.upload_id?))));
            if page.is_truncated != Some(true) {
                break;
            }
            (key_marker, upload_marker) = (page.next_key_marker, page.next_upload_id_marker);
        }
        Ok(all)
    }
}
