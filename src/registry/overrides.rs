//! Overrides of security claims: made, ended and taken into the posture; every one of these is in the log.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{self, Catalog, OverrideRow};
use crate::domain::{Actor, Timestamp};
use crate::provision::{ClaimId, Override, OverrideNews, Posture};

impl Registry {
    /// Lets writes pass in spite of a claim, from now until a stated time.
    ///
    /// # Errors
    /// [`Error::Override`] when it may not be made as it is; of the catalog.
    pub async fn set_override(
        &self,
        caller: &Caller,
        claim: ClaimId,
        until: Timestamp,
        reason: &str,
    ) -> Result<Override, Error> {
        self.admit_system(caller, Action::Operate).await?;
        let made = Override::new(claim, until, reason, &caller.principal, Timestamp::now()).map_err(Error::Override)?;
        record_override(self.catalog(), &made, &caller.actor()).await?;
        refresh_overrides(self.catalog(), self.posture_state()).await?;
        Ok(made)
    }

    /// Ends the override of a claim before its time.
    ///
    /// # Errors
    /// [`Error::OverrideNotFound`]; of the catalog.
    pub async fn end_override(&self, caller: &Caller, claim: ClaimId) -> Result<(), Error> {
        self.admit_system(caller, Action::Operate).await?;
        let ended = self.catalog().end_override(claim.as_str(), &caller.principal, &caller.actor()).await?;
        refresh_overrides(self.catalog(), self.posture_state()).await?;
        if ended { Ok(()) } else { Err(Error::OverrideNotFound(claim)) }
    }
}

/// Stores an override; a running service takes it in at its next look.
///
/// # Errors
/// Of the catalog.
pub async fn record_override(catalog: &Catalog, made: &Override, who: &Actor) -> Result<(), catalog::Error> {
    let Override { claim, until, reason, by, since } = made;
    let row =
        OverrideRow { claim: claim.to_string(), until: *until, reason: reason.clone(), by: by.clone(), since: *since };
    catalog.set_override(&row, who).await
}

/// The overrides in force; one of a claim that this release does not know counts for nothing.
///
/// # Errors
/// Of the catalog.
pub async fn overrides_in_force(catalog: &Catalog) -> Result<Vec<Override>, catalog::Error> {
    let known = |row: OverrideRow| {
        let OverrideRow { claim, until, reason, by, since } = row;
        Some(Override { claim: claim.parse().ok()?, until, reason, by, since })
    };
    Ok(catalog.overrides().await?.into_iter().filter_map(known).collect())
}

/// Takes the overrides of the catalog into the posture, and logs each that began or ended.
///
/// # Errors
/// Of the catalog; the posture keeps what it has then, each until its own time.
pub async fn refresh_overrides(catalog: &Catalog, posture: &Posture) -> Result<(), catalog::Error> {
    for news in posture.put_overrides(overrides_in_force(catalog).await?) {
        match news {
            OverrideNews::InForce(Override { claim, until, reason, by, since }) => tracing::warn!(
                audit = true, %claim, %until, reason, by, %since,
                "override in force: writes pass in spite of the claim"
            ),
            OverrideNews::Over(Override { claim, until, by, .. }) => {
                tracing::warn!(audit = true, %claim, %until, by, "override ended: the claim counts again");
            }
        }
    }
    Ok(())
}
