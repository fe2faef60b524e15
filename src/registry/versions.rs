//! Reading versions.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{Deletion, FileRow, ModelStanding, Page, VersionRow};
use crate::domain::{FilePath, ModelRef, VersionNumber, VersionRef, VersionState};

impl Registry {
    /// Published versions of a model, newest first.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn versions(
        &self,
        caller: &Caller,
        model: &ModelRef,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<VersionRow, VersionNumber>, Error> {
        self.admit(caller, Action::Read, model).await?;
        let page = self.catalog().versions(model, before, limit).await?;
        if page.items.is_empty() {
            self.readable(model).await?;
        }
        Ok(page)
    }

    /// One published version.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], [`Error::VersionNotFound`], [`Error::VersionDeleted`], and of
    /// the catalog.
    pub async fn version(&self, caller: &Caller, model: &ModelRef, version: &VersionRef) -> Result<VersionRow, Error> {
        self.admit(caller, Action::Read, model).await?;
        let found = match version {
            VersionRef::Number(number) => self.catalog().version_by_number(model, *number).await?,
            VersionRef::Latest => self.catalog().versions(model, None, 1).await?.items.pop(),
            VersionRef::Digest(digest) => self.catalog().version_by_digest(model, *digest).await?,
            VersionRef::Alias(alias) => self.catalog().version_by_alias(model, alias).await?,
        };
        if let Some(version) = found {
            return Ok(version);
        }
        self.readable(model).await?;
        if let VersionRef::Number(number) = *version
            && let Some((state, purge_at)) = self.catalog().version_standing(model, number).await?
            && matches!(state, VersionState::Trashed | VersionState::Purging)
        {
            let until = (state == VersionState::Trashed).then_some(purge_at);
            return Err(Error::VersionDeleted { model: model.clone(), version: version.clone(), until });
        }
        Err(Error::VersionNotFound { model: model.clone(), version: version.clone() })
    }

    /// The row id of a model, unless it is not there or in the trash.
    pub(super) async fn readable(&self, model: &ModelRef) -> Result<i64, Error> {
        match self.catalog().model_standing(model).await? {
            ModelStanding::Live(id) => Ok(id),
            ModelStanding::Absent => Err(Error::ModelNotFound(model.clone())),
            ModelStanding::Trashed(Deletion { purge_at: until, .. }) => {
                Err(Error::ModelDeleted { model: model.clone(), until: Some(until) })
            }
        }
    }

    /// Files of a version, by path.
    ///
    /// # Errors
    /// As [`Self::version`].
    pub async fn files(
        &self,
        caller: &Caller,
        version: &VersionRow,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<FileRow, FilePath>, Error> {
        self.admit(caller, Action::Read, &version.model).await?;
        Ok(self.catalog().files(version.id, after, limit).await?)
    }

    /// The S3 address under which loaders find all files of a version with plain, current keys; none when they lie in
    /// several places.
    pub fn s3_uri(&self, version: &VersionRow) -> Option<String> {
        let prefix = crate::domain::ObjectKey::DraftPrefix { model: &version.model, draft: &version.draft };
        version.plain_prefix.then(|| format!("s3://{}/{prefix}", self.store().bucket()))
    }
}
