//! `bucket override`: an operator lets writes pass in spite of named claims, on the record and until a stated time.

use super::{BucketError, existing_catalog};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::domain::{Actor, Timestamp};
use crate::provision::{ClaimId, Override};
use crate::registry;

/// Overrides these claims; all or none.
///
/// # Errors
/// [`BucketError`]; then nothing is overridden that was not before, unless the catalog itself fails midway.
pub async fn set(
    config: &Config,
    claims: &[ClaimId],
    until: Timestamp,
    reason: &str,
    by: &str,
) -> Result<Vec<Override>, BucketError> {
    let now = Timestamp::now();
    let made: Result<Vec<_>, _> = claims.iter().map(|claim| Override::new(*claim, until, reason, by, now)).collect();
    let made = made?;
    on_catalog(config, async |catalog| {
        for made in &made {
            registry::record_override(catalog, made, &Actor::operator()).await?;
        }
        Ok(())
    })
    .await?;
    Ok(made)
}

/// Ends the overrides of these claims; gives those that had none.
///
/// # Errors
/// [`BucketError`].
pub async fn end(config: &Config, claims: &[ClaimId], by: &str) -> Result<Vec<ClaimId>, BucketError> {
    on_catalog(config, async |catalog| {
        let mut had_none = Vec::new();
        for claim in claims {
            if !catalog.end_override(claim.as_str(), by, &Actor::operator()).await? {
                had_none.push(*claim);
            }
        }
        Ok(had_none)
    })
    .await
}

/// The overrides in force.
///
/// # Errors
/// [`BucketError`].
pub async fn list(config: &Config) -> Result<Vec<Override>, BucketError> {
    on_catalog(config, async |catalog| Ok(registry::overrides_in_force(catalog).await?)).await
}

async fn on_catalog<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Catalog) -> Result<T, BucketError>,
) -> Result<T, BucketError> {
    let catalog = existing_catalog(config).await?.ok_or_else(|| BucketError::NoCatalog(config.catalog_url()))?;
    let done = work(&catalog).await;
    catalog.close().await;
    done
}
