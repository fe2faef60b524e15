//! What the bucket commands do: reach the back end, with or without a running server, and leave it as it was found.

use std::path::PathBuf;

use super::DataDirError;
use super::back_end::{BackEnd, BackEndError, Outputs};
use super::data_dir::DataDir;
use crate::config::{Config, Storage};
use crate::provision::destroy::{self, DestroyError, Destroyed};
use crate::provision::{Mode, ProvisionError};

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
    #[error("a service is using {}: stop it first, it writes under the key; nothing was changed", .0.display())]
    ServiceRuns(PathBuf),
    /// The key stays.
    #[error(transparent)]
    Destroy(#[from] Box<DestroyError>),
}

/// The bucket's name, region, key and alias, asked of the account.
///
/// # Errors
/// [`BucketError`].
pub async fn outputs(config: &Config) -> Result<Outputs, BucketError> {
    refuse_without_store(config)?;
    at(config, async |back_end| Ok(back_end.outputs(config).await?)).await
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
        let destroyed = destroy::destroy(&back_end.provisioning_clients(), &back_end.wanted(config)).await;
        destroyed.map_err(|error| Box::new(error).into())
    };
    back_end.stop().await;
    destroyed
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
    if is_embedded(config) && !DataDir::embedded(&config.data_dir).is_dir() {
        return Err(BucketError::NoStore(config.data_dir.clone()));
    }
    Ok(())
}

fn is_embedded(config: &Config) -> bool {
    matches!(config.storage, Storage::Embedded { .. })
}

impl From<DataDirError> for BucketError {
    fn from(error: DataDirError) -> Self {
        Self::BackEnd(error.into())
    }
}
