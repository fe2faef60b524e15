//! Aliases: moved by compare-and-swap, read, and where each has been.

use std::collections::HashMap;

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{AliasMove, AliasOutcome, AliasRow, MAX_ALIASES, Objection, Page, VersionRow};
use crate::domain::{Alias, AliasChange, Expected, ModelRef, VersionRef};
use crate::failpoint;

impl Registry {
    /// Sets or moves an alias, or removes it when `change.to` is none; repeating it changes nothing and succeeds.
    ///
    /// Gives where it is now; none when it was removed.
    ///
    /// # Errors
    /// [`Error::AliasChanged`] when it is not where the caller believes it to be, [`Error::AliasNotFound`] when there
    /// is nothing to remove; of the model and the version as for reading; and of the catalog.
    pub async fn change_alias(
        &self,
        caller: &Caller,
        model: &ModelRef,
        change: &AliasChange,
    ) -> Result<Option<AliasRow>, Error> {
        self.admit_aliases(caller, model, std::slice::from_ref(change)).await?;
        let outcome = self.catalog().change_alias(model, change, &caller.actor()).await?;
        let outcome = outcome.map_err(|objection| match objection {
            Objection::ModelTrashed { until } => Error::ModelDeleted { model: model.clone(), until: Some(until) },
            _ => Error::ModelNotFound(model.clone()),
        })?;
        match outcome {
            AliasOutcome::Moved => {
                failpoint::reached("alias:after_move").await;
                self.journal_due();
            }
            AliasOutcome::Unchanged if change.to.is_none() => {
                return Err(match change.expected {
                    Expected::Version(_) => Error::AliasChanged { alias: change.alias.clone(), now: None },
                    Expected::Any | Expected::Absent => not_found(model, &change.alias),
                });
            }
            AliasOutcome::Unchanged => {}
            refused => return Err(refusal(model, change, refused)),
        }
        if change.to.is_none() {
            return Ok(None);
        }
        // Somebody may have moved it on since: the answer tells where it is.
        self.alias(caller, model, &change.alias).await.map(Some)
    }

    /// Aliases of a model, by name.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn aliases(
        &self,
        caller: &Caller,
        model: &ModelRef,
        after: Option<&Alias>,
        limit: usize,
    ) -> Result<Page<AliasRow, Alias>, Error> {
        self.admit(caller, Action::Read, model).await?;
        let id = self.readable(model).await?;
        Ok(self.catalog().aliases(id, after, limit).await?)
    }

    /// One alias of a model.
    ///
    /// # Errors
    /// [`Error::AliasNotFound`], and as [`Self::aliases`].
    pub async fn alias(&self, caller: &Caller, model: &ModelRef, alias: &Alias) -> Result<AliasRow, Error> {
        self.admit(caller, Action::Read, model).await?;
        let id = self.readable(model).await?;
        self.catalog().alias(id, alias).await?.ok_or_else(|| not_found(model, alias))
    }

    /// Moves of an alias, newest first; also after it was removed.
    ///
    /// # Errors
    /// [`Error::AliasNotFound`] when there never was one of this name, and as [`Self::aliases`].
    pub async fn alias_history(
        &self,
        caller: &Caller,
        model: &ModelRef,
        alias: &Alias,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<AliasMove, i64>, Error> {
        self.admit(caller, Action::Read, model).await?;
        let id = self.readable(model).await?;
        let page = self.catalog().alias_history(id, alias, before, limit).await?;
        if page.items.is_empty() && before.is_none() {
            return Err(not_found(model, alias));
        }
        Ok(page)
    }

    /// The sorted names of the aliases that name these versions, by the versions' row ids.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn aliases_of(
        &self,
        _caller: &Caller,
        versions: &[VersionRow],
    ) -> Result<HashMap<i64, Vec<Alias>>, Error> {
        let ids: Vec<i64> = versions.iter().map(|version| version.id).collect();
        Ok(self.catalog().aliases_of(&ids).await?)
    }
}

fn not_found(model: &ModelRef, alias: &Alias) -> Error {
    Error::AliasNotFound { model: model.clone(), alias: alias.clone() }
}

fn refusal(model: &ModelRef, change: &AliasChange, refused: AliasOutcome) -> Error {
    let version = change.to.map_or(VersionRef::Latest, VersionRef::Number);
    let model = model.clone();
    match refused {
        AliasOutcome::Elsewhere(now) => Error::AliasChanged { alias: change.alias.clone(), now },
        AliasOutcome::Deleted(until) => Error::VersionDeleted { model, version, until },
        AliasOutcome::Quarantined(reason) => Error::VersionQuarantined { model, version, reason },
        AliasOutcome::TooMany => Error::TooManyAliases { max: MAX_ALIASES },
        AliasOutcome::NoVersion | AliasOutcome::Moved | AliasOutcome::Unchanged => {
            Error::VersionNotFound { model, version }
        }
    }
}
