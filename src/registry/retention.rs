//! Rules about which versions of a model are kept: set, shown, and tried without effect.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::Page;
use crate::domain::{KeptBecause, ModelRef, Retention, Timestamp, VersionNumber};

/// What the rules would do with a version at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// Which.
    pub number: VersionNumber,
    /// When it was published.
    pub published_at: Timestamp,
    /// Why it would stay; empty: it would go.
    pub kept_because: Vec<KeptBecause>,
}

impl Registry {
    /// Gives a model rules, which the sweeper applies.
    ///
    /// # Errors
    /// [`Error::Retention`] when they are none, [`Error::ModelNotFound`], [`Error::ModelTrashed`], and of the catalog.
    pub async fn set_retention(&self, caller: &Caller, model: &ModelRef, rules: Retention) -> Result<Retention, Error> {
        self.admit(caller, Action::Govern, model).await?;
        let rules = rules.checked().map_err(Error::Retention)?;
        let done = self.catalog().set_retention(model, Some(rules), &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, None))?;
        Ok(rules)
    }

    /// Takes the rules away; harmless when there are none.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelTrashed`], and of the catalog.
    pub async fn remove_retention(&self, caller: &Caller, model: &ModelRef) -> Result<(), Error> {
        self.admit(caller, Action::Govern, model).await?;
        let done = self.catalog().set_retention(model, None, &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, None))
    }

    /// The rules of a model.
    ///
    /// # Errors
    /// [`Error::NoRetention`], [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn retention(&self, caller: &Caller, model: &ModelRef) -> Result<Retention, Error> {
        self.admit(caller, Action::Read, model).await?;
        let row = self.model(caller, model).await?;
        row.retention.ok_or(Error::NoRetention(row.model))
    }

    /// What would go and, for what stays, why: by the rules of the model, or by others that are to be tried.
    ///
    /// # Errors
    /// As [`Self::retention`], and [`Error::Retention`].
    pub async fn foresee_retention(
        &self,
        caller: &Caller,
        model: &ModelRef,
        tried: Option<Retention>,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<Foreseen, VersionNumber>, Error> {
        self.admit(caller, Action::Read, model).await?;
        let row = self.model(caller, model).await?;
        let rules = match tried {
            Some(rules) => rules.checked().map_err(Error::Retention)?,
            None => row.retention.ok_or(Error::NoRetention(row.model))?,
        };
        let now = Timestamp::now();
        let page = self.catalog().standings(row.id, before, limit).await?;
        let foreseen = page.items.into_iter().map(|(number, standing)| Foreseen {
            number,
            published_at: standing.published_at,
            kept_because: rules.keeps(standing, now),
        });
        Ok(Page { items: foreseen.collect(), next: page.next })
    }
}
