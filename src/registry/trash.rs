//! Into the trash and out of it. Nothing of the bytes goes here: the sweeper purges when the time is over.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{Deletion, Page, VersionRow};
use crate::domain::{ModelRef, Timestamp, VersionNumber, VersionRef, VersionState};

impl Registry {
    /// Puts a version into the trash; harmless when it is there.
    ///
    /// # Errors
    /// [`Error::VersionAliased`], [`Error::VersionHeld`], [`Error::VersionNotFound`], [`Error::ModelNotFound`],
    /// [`Error::ModelTrashed`], and of the catalog.
    pub async fn delete_version(
        &self,
        caller: &Caller,
        model: &ModelRef,
        number: VersionNumber,
    ) -> Result<(Deletion, VersionState), Error> {
        self.admit(caller, Action::Delete, model).await?;
        let done = self.catalog().trash_version(model, number, self.deletion(caller), &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, Some(number)))
    }

    /// Takes a version out of the trash; harmless when it is not in it.
    ///
    /// # Errors
    /// [`Error::VersionDeleted`] when its purge has begun; else as [`Self::delete_version`].
    pub async fn restore_version(
        &self,
        caller: &Caller,
        model: &ModelRef,
        number: VersionNumber,
    ) -> Result<VersionRow, Error> {
        self.admit(caller, Action::Delete, model).await?;
        let done = self.catalog().restore_version(model, number, &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, Some(number)))?;
        self.version(caller, model, &VersionRef::Number(number)).await
    }

    /// Versions in the trash, highest number first.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn trash(
        &self,
        caller: &Caller,
        model: &ModelRef,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<VersionRow, VersionNumber>, Error> {
        self.admit(caller, Action::Read, model).await?;
        let page = self.catalog().trashed_versions(model, before, limit).await?;
        if page.items.is_empty() {
            self.readable(model).await?;
        }
        Ok(page)
    }

    /// Puts a model into the trash with all its versions; harmless when it is there.
    ///
    /// # Errors
    /// [`Error::VersionAliased`], [`Error::VersionHeld`], [`Error::ModelBusy`], [`Error::ModelNotFound`], and of the
    /// catalog.
    pub async fn delete_model(&self, caller: &Caller, model: &ModelRef) -> Result<Deletion, Error> {
        self.admit(caller, Action::Delete, model).await?;
        let done = self.catalog().trash_model(model, self.deletion(caller), &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, None))
    }

    /// Takes a model out of the trash; harmless when it is not in it.
    ///
    /// Versions that were in the trash by themselves stay there.
    ///
    /// # Errors
    /// [`Error::ModelDeleted`] when its time is over, [`Error::ModelNotFound`], and of the catalog.
    pub async fn restore_model(&self, caller: &Caller, model: &ModelRef) -> Result<(), Error> {
        self.admit(caller, Action::Delete, model).await?;
        let done = self.catalog().restore_model(model, &caller.actor()).await?;
        done.map_err(|refusal| match Error::refused(refusal, model, None) {
            Error::ModelTrashed { model, until } => Error::ModelDeleted { model, until: Some(until) },
            error => error,
        })
    }

    fn deletion(&self, caller: &Caller) -> Deletion {
        let at = Timestamp::now();
        Deletion { at, by: caller.principal.clone(), purge_at: at.plus(self.limits().trash) }
    }
}
