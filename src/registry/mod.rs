//! What the service does, a file per verb. `&Caller` is the first argument of each, so that nobody forgets who asks.
//!
//! The registry does not know that HTTP exists: bytes come in as a stream of [`Incoming`] and go out as a stream, and
//! a client's place is a [`Seat`]. Bytes are in S3 and checked before a row refers to them, and no
//! call to S3 happens inside a transaction.

mod describe;
mod download;
mod error;
mod models;
mod outputs;
mod overrides;
mod posture;
mod publish;
mod recover;
mod retention;
mod sweep;
mod take_in;
mod trash;
mod urls;
mod versions;

// The protocols see rows, places and failures through here, and name neither the catalog nor the store.
pub use crate::catalog::{Deletion, Error as CatalogError, FileRow, ModelRow, Said, VersionRow};
pub use crate::provision::{ClaimId, Effect, Gauges, InvalidOverride, Override, Report, Status};
pub use crate::store::{Error as StoreError, Seat};
pub use download::{Download, Wanted, content_disposition};
pub use error::{Error, InputError};
pub use overrides::{overrides_in_force, record_override, refresh_overrides};
pub use posture::Readiness;
pub use publish::Published;
pub use recover::Recovered;
pub use retention::Foreseen;
pub use sweep::{Removed, SweepError, SweepGauges, SweepOptions, SweepReport, Sweeper, Sweeps};
pub use take_in::{Incoming, IncomingStream};
pub use urls::FileUrl;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::access::{self, Caller};
use crate::catalog::Catalog;
use crate::config::Limits;
use crate::domain::DraftId;
use crate::provision::{Outputs, Posture};
use crate::store::Store;

/// The service, without its protocol; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Parts>,
    /// Drafts that a request of this process is working on: recovery leaves them alone.
    live: Arc<Mutex<HashSet<DraftId>>>,
    tasks: TaskTracker,
    /// Turns of uploads to have their bodies read.
    turns: Arc<Semaphore>,
}

/// What a [`Registry`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The rows.
    pub catalog: Catalog,
    /// The bytes.
    pub store: Store,
    /// Row id of the bucket and key that new bytes go to.
    pub vault: i64,
    /// How the bucket stands, and whether new bytes may be taken.
    pub posture: Posture,
    /// What the service takes.
    pub limits: Limits,
    /// Where things are, for operators.
    pub outputs: Outputs,
    /// What the sweeper of this process did.
    pub sweeps: Sweeps,
}

/// Keeps a draft on the list of live ones while it is alive.
#[derive(Debug)]
struct LiveDraft {
    live: Arc<Mutex<HashSet<DraftId>>>,
    id: DraftId,
}

impl Registry {
    /// A registry of these parts.
    pub fn new(parts: Parts) -> Self {
        let turns = Arc::new(Semaphore::new(parts.limits.uploads));
        Self { inner: Arc::new(parts), live: Arc::default(), tasks: TaskTracker::new(), turns }
    }

    /// The caller who presents this token; none when it is not valid.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn authenticate(&self, presented: &str) -> Result<Option<Caller>, Error> {
        Ok(access::authenticate(self.catalog(), presented).await?)
    }

    /// Waits until every upload that goes on without its request has ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    fn make_live(&self, id: DraftId) -> LiveDraft {
        lock(&self.live).insert(id);
        LiveDraft { live: Arc::clone(&self.live), id }
    }

    fn is_live(&self, id: DraftId) -> bool {
        lock(&self.live).contains(&id)
    }
}

impl Drop for LiveDraft {
    fn drop(&mut self) {
        lock(&self.live).remove(&self.id);
    }
}

fn lock(live: &Mutex<HashSet<DraftId>>) -> MutexGuard<'_, HashSet<DraftId>> {
    // A panic while it was held cannot have left the set half changed.
    live.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
