//! `strongroom rebuild`: the catalog made anew from the bucket alone, with nobody else at work.

use std::path::PathBuf;

use super::DataDirError;
use super::back_end::{BackEnd, BackEndError};
use super::data_dir::DataDir;
use super::secure::store_on;
use crate::catalog::{self, Catalog};
use crate::config::{Config, Storage};
use crate::provision::claim::{Claim, ClaimError};
use crate::provision::{self, Mode, ProvisionError};
use crate::registry::{self, RebuildError as RegistryError};
pub use crate::registry::{Loss, LossKind, Rebuilt};
use crate::store::{self, MemoryBudget};

/// Why there is no rebuilt catalog; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is nothing to rebuild from.
    #[error("there is no embedded store in {}: --data-dir names another place", .0.display())]
    NoStore(PathBuf),
    /// The object store or KMS.
    #[error(transparent)]
    BackEnd(#[from] BackEndError),
    /// The key.
    #[error("the bucket's key was not found: `strongroom bucket apply` makes key and bucket")]
    Key(#[source] Box<ProvisionError>),
    /// The claim could not be read.
    #[error("the bucket's claim could not be read")]
    ClaimIo(#[source] store::Error),
    /// The claim could not be understood.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Nobody's bucket.
    #[error(
        "the bucket `{0}` has no claim (strongroom-claim.json), so it is not known whose journal it holds: in a copy of \
         a bucket, copy the claim too"
    )]
    NoClaim(String),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
    /// There is a catalog already.
    #[error(
        "the catalog at {0} has models: a rebuild makes a catalog in an empty database only. Move that one away first, \
         if it is the one that is lost"
    )]
    NotEmpty(String),
    /// The rebuild itself.
    #[error(transparent)]
    Rebuild(#[from] RegistryError),
}

/// Reads manifests and journal of the bucket into an empty catalog, and adopts the id that the bucket's claim names.
///
/// # Errors
/// [`RebuildError`]; a catalog that is half rebuilt is not served from, and the next rebuild begins anew.
pub async fn rebuild(config: &Config) -> Result<Rebuilt, RebuildError> {
    let embedded = matches!(config.storage, Storage::Embedded { .. });
    if embedded && !DataDir::embedded(&config.data_dir).is_dir() {
        return Err(RebuildError::NoStore(config.data_dir.clone()));
    }
    // Held to the end: a server refuses to start meanwhile.
    let _data_dir = DataDir::lock(&config.data_dir)?;
    let back_end = BackEnd::alone(config).await?;
    let rebuilt = from_bucket(config, &back_end).await;
    back_end.stop().await;
    rebuilt
}

async fn from_bucket(config: &Config, back_end: &BackEnd) -> Result<Rebuilt, RebuildError> {
    let clients = back_end.serving_clients();
    // Only the key's ARN is learned here.
    let found = provision::provision(&clients, &back_end.wanted(config), Mode::Off).await;
    let found = found.map_err(|error| RebuildError::Key(Box::new(error)))?;
    let budget = MemoryBudget::new(config.limits.upload_memory, config.limits.memory_wait);
    let store = store_on(back_end, &found.spec, budget);
    let claim = store.look_at_claim().await.claim.map_err(RebuildError::ClaimIo)?;
    let claim = Claim::parse(&claim.ok_or_else(|| RebuildError::NoClaim(config.bucket.clone()))?)?;

    let catalog = Catalog::open(&config.catalog_url()).await?;
    let handle = catalog.clone();
    let rebuilt = match catalog.begin_rebuild(claim.catalog_id()).await {
        Ok(Some(emptied)) => {
            registry::rebuild(&emptied, &store, &found.outputs.region).await.map_err(RebuildError::from)
        }
        Ok(None) => Err(RebuildError::NotEmpty(config.catalog_url())),
        Err(error) => Err(error.into()),
    };
    handle.close().await;
    rebuilt
}
