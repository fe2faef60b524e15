//! Finding what a write left when its answer was lost, and removing what nobody needs.

use super::{Error, ListedUpload, ListedVersion, Store};
use crate::domain::UploadToken;

/// Most pages of any list that recovery reads.
const MAX_PAGES: usize = 10_000;

impl Store {
    /// The versions of exactly this key that carry the token, newest first; each is ours, whatever the answer said.
    pub(super) async fn find(&self, key: &str, token: &UploadToken) -> Result<Vec<String>, Error> {
        let (mut ours, mut next) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let page = self.list_versions(key, next.as_ref()).await?;
            // Keys come in the order of their bytes: after this one only longer ones.
            let only_this = page.versions.iter().all(|listed| listed.key == key);
            for listed in page.versions.into_iter().filter(|listed| listed.key == key && !listed.is_marker) {
                match self.head_version(key, &listed.version_id).await {
                    Ok(head) if head.token.as_ref() == Some(token) => ours.push(listed.version_id),
                    // One that has gone since it was listed is nobody's.
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            next = page.next.filter(|_| only_this);
            if next.is_none() {
                break;
            }
        }
        Ok(ours)
    }

    /// Removes what a repeated write left beside the version that counts, so far as the role may.
    pub(super) async fn remove_copies(&self, key: &str, copies: &[String]) {
        for version_id in copies {
            if let Err(error) = self.remove_version(key, version_id).await {
                // The serving role need not own DeleteObjectVersion, and a copy that nobody names does no harm.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    key,
                    "a second copy that a retry made stays until it is swept"
                );
            }
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
        let mut removed = self.abort_uploads_below(prefix).await?;
        for listed in self.versions_below(prefix).await? {
            self.remove_version(&listed.key, &listed.version_id).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Aborts every upload below a prefix that nobody writes to any more.
    ///
    /// # Errors
    /// Of S3; what was aborted until then stays aborted.
    pub async fn abort_uploads_below(&self, prefix: &str) -> Result<usize, Error> {
        let uploads = self.uploads_below(prefix).await?;
        for upload in &uploads {
            self.abort_upload(&upload.key, &upload.id).await?;
        }
        Ok(uploads.len())
    }

    /// Ids of the unfinished uploads to exactly this key.
    ///
    /// # Errors
    /// Of S3.
    pub async fn uploads_to(&self, key: &str) -> Result<Vec<String>, Error> {
        let below = self.uploads_below(key).await?;
        Ok(below.into_iter().filter(|upload| upload.key == key).map(|upload| upload.id).collect())
    }

    /// Removes every version of a key that carries the token, which nobody goes on with.
    ///
    /// # Errors
    /// Of S3; what was removed until then stays removed.
    pub async fn remove_carrying(&self, key: &str, token: &UploadToken) -> Result<(), Error> {
        for version_id in self.find(key, token).await? {
            self.remove_version(key, &version_id).await?;
        }
        Ok(())
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

    async fn uploads_below(&self, prefix: &str) -> Result<Vec<ListedUpload>, Error> {
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let page = self.list_uploads(prefix, next.as_ref()).await?;
            all.extend(page.uploads);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }
}
