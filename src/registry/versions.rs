//! Reading versions.

use super::{Error, Registry};
use crate::access::Caller;
use crate::catalog::{FileRow, Page, VersionRow};
use crate::domain::{FilePath, ModelRef, VersionNumber, VersionRef};

impl Registry {
    /// Published versions of a model, newest first.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], and of the catalog.
    pub async fn versions(
        &self,
        _caller: &Caller,
        model: &ModelRef,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<VersionRow, VersionNumber>, Error> {
        let page = self.catalog().versions(model, before, limit).await?;
        if page.items.is_empty() && !self.catalog().model_exists(model).await? {
            return Err(Error::ModelNotFound(model.clone()));
        }
        Ok(page)
    }

    /// One published version.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::VersionNotFound`], and of the catalog.
    pub async fn version(&self, _caller: &Caller, model: &ModelRef, version: &VersionRef) -> Result<VersionRow, Error> {
        let found = match version {
            VersionRef::Number(number) => self.catalog().version_by_number(model, *number).await?,
            VersionRef::Latest => self.catalog().versions(model, None, 1).await?.items.pop(),
            VersionRef::Digest(digest) => self.catalog().version_by_digest(model, *digest).await?,
            // No version has an alias: there is no verb that gives one.
            VersionRef::Alias(_) => None,
        };
        match found {
            Some(version) => Ok(version),
            None if self.catalog().model_exists(model).await? => {
                Err(Error::VersionNotFound { model: model.clone(), version: version.clone() })
            }
            None => Err(Error::ModelNotFound(model.clone())),
        }
    }

    /// Files of a version, by path.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn files(
        &self,
        _caller: &Caller,
        version: &VersionRow,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<FileRow, FilePath>, Error> {
        Ok(self.catalog().files(version.id, after, limit).await?)
    }

    /// The S3 address under which loaders find all files of a version with plain, current keys; none when they lie in
    /// several places.
    pub fn s3_uri(&self, version: &VersionRow) -> Option<String> {
        let prefix = crate::domain::ObjectKey::DraftPrefix { model: &version.model, draft: &version.draft };
        version.plain_prefix.then(|| format!("s3://{}/{prefix}", self.store().bucket()))
    }
}
