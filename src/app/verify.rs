//! `verify`: everything that is stored looked at again, with or without a running server.

use std::time::Duration;

use super::back_end::{BackEnd, BackEndError};
use super::data_dir::DataDir;
use super::secure::store_on;
use crate::catalog::{self, Catalog};
use crate::config::{Config, Storage};
use crate::domain::Namespace;
use crate::provision::{self, Mode, ProvisionError};
pub use crate::registry::InspectionReport;
use crate::registry::{InspectionOptions, InspectionProgress, Inspector};
use crate::store::{MemoryBudget, Store};

/// How often somebody is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Why nothing was looked at; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No service ran here.
    #[error("there is no catalog at {0}: this is for a service that has run, and --data-dir names its place")]
    NoCatalog(String),
    /// A name that nobody has.
    #[error("there is no namespace `{0}`")]
    NoNamespace(Namespace),
    /// The object store or KMS.
    #[error(transparent)]
    BackEnd(#[from] BackEndError),
    /// The bucket's key.
    #[error(transparent)]
    Provision(#[from] Box<ProvisionError>),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
}

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The part of the objects whose bytes are read, in millionths.
    pub sample: u32,
    /// Only this one.
    pub namespace: Option<Namespace>,
    /// Files of drafts and manifests, too.
    pub full: bool,
    /// Quarantine what is missing or wrong.
    pub quarantine: bool,
}

/// Looks at everything once; `tell` hears again and again how far it is.
///
/// # Errors
/// [`VerifyError`]; what S3 does not say is in the report.
pub async fn verify(config: &Config, wish: Wish, tell: impl Fn(String)) -> Result<InspectionReport, VerifyError> {
    let opened = Opened::open(config).await?;
    let looked = opened.look(config, wish, tell).await;
    opened.close().await;
    looked
}

/// The catalog and the bucket of a service that may be running.
#[derive(Debug)]
struct Opened {
    catalog: Catalog,
    /// With the role that serves.
    store: Store,
    back_end: BackEnd,
    /// The data directory, when no server runs: none begins meanwhile.
    _alone: Option<DataDir>,
}

impl Opened {
    /// Opens what is there; nothing is made.
    async fn open(config: &Config) -> Result<Self, VerifyError> {
        let none = || VerifyError::NoCatalog(config.catalog_url());
        let is_embedded = matches!(config.storage, Storage::Embedded { .. });
        if is_embedded && !DataDir::embedded(&config.data_dir).is_dir() {
            return Err(none());
        }
        let catalog = Catalog::open_existing(&config.catalog_url()).await?.ok_or_else(none)?;
        let (back_end, alone) = BackEnd::reach(config).await?;
        // Only the key's ARN is learned here.
        let found = provision::provision(&back_end.provisioning_clients(), &back_end.wanted(config), Mode::Off).await;
        let spec = match found {
            Ok(found) => found.spec,
            Err(error) => {
                catalog.close().await;
                back_end.stop().await;
                return Err(Box::new(error).into());
            }
        };
        let budget = MemoryBudget::new(config.limits.upload_memory, config.limits.memory_wait);
        let store = store_on(&back_end, &spec, budget);
        Ok(Self { catalog, store, back_end, _alone: alone })
    }

    async fn look(&self, config: &Config, wish: Wish, tell: impl Fn(String)) -> Result<InspectionReport, VerifyError> {
        if let Some(namespace) = &wish.namespace
            && self.catalog.namespace(namespace).await?.is_none()
        {
            return Err(VerifyError::NoNamespace(namespace.clone()));
        }
        let Wish { sample, namespace, full, quarantine } = wish;
        let parallel = config.limits.verify_parallel.max(1);
        let options = InspectionOptions { sample, namespace, full, quarantine, parallel };
        let progress = InspectionProgress::default();
        let inspector = Inspector::new(self.catalog.clone(), self.store.clone());
        let mut looking = std::pin::pin!(inspector.run(&options, &progress));
        loop {
            match tokio::time::timeout(TOLD_EVERY, &mut looking).await {
                Ok(looked) => return Ok(looked?),
                Err(_still) => tell(progress.to_string()),
            }
        }
    }

    /// Leaves everything as it was found.
    async fn close(self) {
        self.catalog.close().await;
        self.back_end.stop().await;
    }
}
