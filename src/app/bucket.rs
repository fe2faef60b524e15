//! What the bucket commands do: reach the back end, with or without a running server, and leave it as it was found.

mod check;
pub mod overrides;

pub use self::check::check;

use std::path::PathBuf;

use super::DataDirError;
use super::back_end::{BackEnd, BackEndError, Outputs};
use super::data_dir::DataDir;
use super::desired;
use crate::catalog::{self, Catalog};
use crate::config::{Config, Storage};
use crate::provision::destroy::{self, DestroyError, Destroyed};
use crate::provision::{self, Change, Difference, InvalidOverride, Mode, Preview, ProvisionError, Provisioned};

/// Why a bucket command did not do what it was asked; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is nothing to look at, and looking must not make it.
    #[error(
        "there is no embedded store in {}: `strongroom serve` or `strongroom bucket apply` makes it, and --data-dir \
         names another place",
        .0.display()
    )]
    NoStore(PathBuf),
    /// The object store or KMS.
    #[error(transparent)]
    BackEnd(#[from] BackEndError),
    /// Looking or provisioning.
    #[error(transparent)]
    Provision(#[from] Box<ProvisionError>),
    /// The mode of the configuration changes nothing.
    #[error("the configuration says provision = {0}, which changes nothing: say --mode create or --mode repair")]
    ChangesNothing(Mode),
    /// The name that was typed is not the bucket's.
    #[error("the configured bucket is `{configured}`, not `{given}`; nothing was changed")]
    OtherBucket {
        /// What was typed.
        given: String,
        /// What is configured.
        configured: String,
    },
    /// Somebody may be writing.
    #[error(
        "a service or `strongroom embedded` is using {}: stop it first, what is stored through it is encrypted under the \
         key; nothing was changed",
        .0.display()
    )]
    ServiceRuns(PathBuf),
    /// The key stays.
    #[error(transparent)]
    Destroy(#[from] Box<DestroyError>),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
    /// No service ran here.
    #[error("there is no catalog at {0}: overrides are for a service that has run, and --data-dir names its place")]
    NoCatalog(String),
    /// The override may not be as it is.
    #[error(transparent)]
    Override(#[from] InvalidOverride),
}

/// The bucket's name, region, key and alias, asked of the account.
///
/// # Errors
/// [`BucketError`].
pub async fn outputs(config: &Config) -> Result<Outputs, BucketError> {
    refuse_without_store(config)?;
    at(config, async |back_end| Ok(back_end.outputs(config).await?)).await
}

/// What `bucket apply` would do in `mode`; nothing is changed. Without a mode: the configuration's, or `create` when
/// that changes nothing.
///
/// # Errors
/// [`BucketError`].
pub async fn plan(config: &Config, mode: Option<Mode>) -> Result<(Mode, Preview), BucketError> {
    let configured = if config.provision.changes() { config.provision } else { Mode::Create };
    let mode = mode.unwrap_or(configured);
    let preview = if is_embedded(config) && !has_store(config) {
        // Before the first start the account is empty, and looking would make the store.
        let foreseen = provision::preview_of_nothing(&desired::wanted(config).await?, mode);
        foreseen.map_err(|refused| Box::new(ProvisionError::from(refused)))?
    } else {
        at(config, async |back_end| preview(config, back_end, mode).await).await?
    };
    Ok((mode, preview))
}

/// What an apply did.
#[derive(Debug)]
pub struct Done {
    /// The mode that it ran in.
    pub mode: Mode,
    /// What it made, and the posture after it.
    pub provisioned: Provisioned,
    /// What differs still, because the mode leaves it alone.
    pub left_alone: Vec<Difference>,
}

/// Brings key and bucket to what is wanted, telling `made` each change as soon as it is made.
///
/// # Errors
/// [`BucketError`]; what was made stays, and the next run goes on from there.
pub async fn apply(config: &Config, mode: Option<Mode>, made: &(dyn Fn(&Change) + Sync)) -> Result<Done, BucketError> {
    let mode = mode.unwrap_or(config.provision);
    if !mode.changes() {
        return Err(BucketError::ChangesNothing(mode));
    }
    at(config, async |back_end| {
        let (clients, wanted) = (back_end.provisioning_clients(), back_end.wanted(config));
        let provisioned = provision::provision_telling(&clients, &wanted, mode, made).await.map_err(Box::new)?;
        let left_alone = preview(config, back_end, mode).await?.left_alone;
        Ok(Done { mode, provisioned, left_alone })
    })
    .await
}

/// Schedules the deletion of the bucket's key, if the bucket is empty.
///
/// `understood` is the bucket's name as the operator typed it.
///
/// # Errors
/// [`BucketError`]; the key can still be used then.
pub async fn destroy(config: &Config, understood: &str) -> Result<Destroyed, BucketError> {
    if understood != config.bucket {
        let (given, configured) = (understood.to_owned(), config.bucket.clone());
        return Err(BucketError::OtherBucket { given, configured });
    }
    refuse_without_store(config)?;
    let (back_end, lock) = BackEnd::reach(config).await?;
    let destroyed = if is_embedded(config) && lock.is_none() {
        Err(BucketError::ServiceRuns(config.data_dir.clone()))
    } else {
        destroy_key(config, &back_end).await
    };
    back_end.stop().await;
    destroyed
}

async fn destroy_key(config: &Config, back_end: &BackEnd) -> Result<Destroyed, BucketError> {
    let catalog = existing_catalog(config).await?;
    let id = catalog.as_ref().map(Catalog::id);
    let destroyed = destroy::destroy(&back_end.provisioning_clients(), &back_end.wanted(config), id).await;
    if let Some(catalog) = &catalog {
        catalog.close().await;
    }
    destroyed.map_err(|error| Box::new(error).into())
}

async fn preview(config: &Config, back_end: &BackEnd, mode: Mode) -> Result<Preview, BucketError> {
    let preview = provision::preview(&back_end.provisioning_clients(), &back_end.wanted(config), mode).await;
    preview.map_err(|error| Box::new(error).into())
}

/// Does `work` at the back end, which ends with it when this process started it.
async fn at<T>(config: &Config, work: impl AsyncFnOnce(&BackEnd) -> Result<T, BucketError>) -> Result<T, BucketError> {
    let (back_end, _lock) = BackEnd::reach(config).await?;
    let done = work(&back_end).await;
    back_end.stop().await;
    done
}

/// Looking must not make a store: an empty one would answer, and say something about another bucket.
fn refuse_without_store(config: &Config) -> Result<(), BucketError> {
    if is_embedded(config) && !has_store(config) {
        return Err(BucketError::NoStore(config.data_dir.clone()));
    }
    Ok(())
}

fn has_store(config: &Config) -> bool {
    DataDir::embedded(&config.data_dir).is_dir()
}

/// The catalog, if a service ever ran here; looking must not make one.
async fn existing_catalog(config: &Config) -> Result<Option<Catalog>, BucketError> {
    Ok(Catalog::open_existing(&config.catalog_url()).await?)
}

fn is_embedded(config: &Config) -> bool {
    matches!(config.storage, Storage::Embedded { .. })
}

impl From<DataDirError> for BucketError {
    fn from(error: DataDirError) -> Self {
        Self::BackEnd(error.into())
    }
}
