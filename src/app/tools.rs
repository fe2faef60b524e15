//! What commands on the service's own state stand on: its catalog and its bucket, with or without a running server.

use super::back_end::{BackEnd, BackEndError};
use super::data_dir::DataDir;
use super::secure::store_on;
use crate::catalog::{self, Catalog};
use crate::config::{Config, Storage};
use crate::provision::{BucketSpec, KeyArn};
use crate::store::{MemoryBudget, Store};

/// Why a command has nothing to work on; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// No service ran here.
    #[error("there is no catalog at {0}: this is for a service that has run, and --data-dir names its place")]
    NoCatalog(String),
    /// The service of this catalog never used this bucket.
    #[error("the catalog has never stored anything in the bucket `{0}`: --bucket names the one that it uses")]
    OtherBucket(String),
    /// The object store or KMS.
    #[error(transparent)]
    BackEnd(#[from] BackEndError),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
}

/// The catalog and the bucket of a service that may be running.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) catalog: Catalog,
    /// With the role that serves.
    pub(super) store: Store,
    back_end: BackEnd,
    /// The data directory, when no server runs: none begins meanwhile.
    _alone: Option<DataDir>,
}

impl Tools {
    /// Opens what is there; nothing is made, and KMS is not asked: the catalog knows the key.
    pub(super) async fn open(config: &Config) -> Result<Self, ToolError> {
        let none = || ToolError::NoCatalog(config.catalog_url());
        let is_embedded = matches!(config.storage, Storage::Embedded { .. });
        if is_embedded && !DataDir::embedded(&config.data_dir).is_dir() {
            return Err(none());
        }
        let catalog = Catalog::open_existing(&config.catalog_url()).await?.ok_or_else(none)?;
        let other = || ToolError::OtherBucket(config.bucket.clone());
        let (_, key) = catalog.last_vault(&config.bucket).await?.ok_or_else(other)?;
        let key: KeyArn = key.parse().map_err(|_| catalog::Error::Corrupt { what: "key ARN", value: key.clone() })?;
        let (back_end, alone) = BackEnd::reach(config).await?;
        let budget = MemoryBudget::new(config.limits.upload_memory, config.limits.memory_wait);
        let store = store_on(&back_end, &BucketSpec::new(&back_end.wanted(config), key), budget);
        Ok(Self { catalog, store, back_end, _alone: alone })
    }

    /// Leaves everything as it was found.
    pub(super) async fn close(self) {
        self.catalog.close().await;
        self.back_end.stop().await;
    }
}
