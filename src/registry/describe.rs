//! What is said of versions, and holds on them.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{Said, VersionRow};
use crate::domain::{ModelRef, Reason, VersionNumber, VersionRef};

impl Registry {
    /// Changes metadata and description of a version; its files never change.
    ///
    /// `revision` is the one that the caller has seen; none: whichever it is.
    ///
    /// # Errors
    /// [`Error::OtherRevision`], [`Error::VersionNotFound`], [`Error::VersionDeleted`], [`Error::ModelNotFound`],
    /// [`Error::ModelTrashed`], and of the catalog.
    pub async fn describe_version(
        &self,
        caller: &Caller,
        model: &ModelRef,
        number: VersionNumber,
        revision: Option<i64>,
        said: &Said,
    ) -> Result<VersionRow, Error> {
        self.admit(caller, Action::Describe, model).await?;
        let done = self.catalog().describe_version(model, number, revision, said, &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, Some(number)))?;
        self.version(caller, model, &VersionRef::Number(number)).await
    }

    /// Puts a version on legal hold, also one in the trash: it cannot be deleted, and is not purged.
    ///
    /// # Errors
    /// [`Error::VersionDeleted`] when its purge has begun; else as [`Self::describe_version`].
    pub async fn hold(
        &self,
        caller: &Caller,
        model: &ModelRef,
        number: VersionNumber,
        reason: &Reason,
    ) -> Result<(), Error> {
        self.admit(caller, Action::Govern, model).await?;
        let done = self.catalog().hold_version(model, number, Some(reason), &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, Some(number)))
    }

    /// Takes a version off legal hold; harmless when it is not on one.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn release(&self, caller: &Caller, model: &ModelRef, number: VersionNumber) -> Result<(), Error> {
        self.admit(caller, Action::Govern, model).await?;
        let done = self.catalog().hold_version(model, number, None, &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, Some(number)))
    }
}
