//! `bucket check`: everything looked at, everything tried, and a record of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BucketError, at, existing_catalog, refuse_without_store};
use crate::app::back_end::BackEnd;
use crate::app::look::Looker;
use crate::app::secure::{Trial, store_on};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::domain::Timestamp;
use crate::provision::evidence::Evidence;
use crate::provision::{self, BucketSpec, ClaimId, Finding, Mode, Report, Status, journal};
use crate::registry;
use crate::store::MemoryBudget;

/// Looks at every setting and tries every good and bad path, as the role that serves; what is written is removed again.
///
/// Nothing is made and nothing is claimed. A claim that does not hold is no error.
///
/// # Errors
/// [`BucketError`] when there is nothing to look at, or no key.
pub async fn check(config: &Config) -> Result<Evidence, BucketError> {
    refuse_without_store(config)?;
    at(config, async |back_end| {
        let catalog = existing_catalog(config).await?;
        let checked = recorded(config, back_end, catalog.as_ref()).await;
        if let Some(catalog) = catalog {
            catalog.close().await;
        }
        checked
    })
    .await
}

async fn recorded(config: &Config, back_end: &BackEnd, catalog: Option<&Catalog>) -> Result<Evidence, BucketError> {
    let began = Timestamp::now();
    let (checked, journal) = journal::record(Box::pin(look_and_try(config, back_end, catalog))).await;
    let (spec, findings) = checked?;
    let overrides = match catalog {
        Some(catalog) => registry::overrides_in_force(catalog).await?,
        None => Vec::new(),
    };
    let ended = Timestamp::now();
    let posture = Report::of(findings, ended, provision::apart(&spec.options), overrides);
    Ok(Evidence::new(&spec, config.provision, posture, journal, (began, ended)))
}

async fn look_and_try(
    config: &Config,
    back_end: &BackEnd,
    catalog: Option<&Catalog>,
) -> Result<(BucketSpec, Vec<Finding>), BucketError> {
    let (clients, wanted) = (back_end.serving_clients(), back_end.wanted(config));
    // Only the key's ARN is learned here.
    let spec = provision::provision(&clients, &wanted, Mode::Off).await.map_err(Box::new)?.spec;
    let budget = MemoryBudget::new(config.limits.upload_memory, config.limits.memory_wait);
    let store = store_on(back_end, &spec, budget);
    let vault = match catalog {
        Some(catalog) => catalog.known_vault(&spec.bucket, spec.key.as_str()).await?.map(|id| (catalog.clone(), id)),
        None => None,
    };
    let mut looker = Looker::new(clients.clone(), wanted, spec.clone(), store.clone(), vault);
    let looked = Box::pin(looker.look()).await;
    let policy = [ClaimId::EncryptionEnforced, ClaimId::TlsOnly];
    let missing = looked.iter().any(|seen| policy.contains(&seen.claim) && seen.status == Status::Failed);
    // Where the policy is seen to be missing there is nothing to wait for.
    let settling = if missing { Duration::ZERO } else { provision::POLICY_SETTLING };
    let trial = Trial { clients: Some(&clients), store: &store, spec: &spec, settling, looked: &looked };
    let tried = Box::pin(trial.run(catalog.map(Catalog::id))).await;
    // By claim: what was tried counts, where the trial could tell.
    let findings: BTreeMap<_, _> = looked.into_iter().chain(tried).map(|finding| (finding.claim, finding)).collect();
    Ok((spec, findings.into_values().collect()))
}
