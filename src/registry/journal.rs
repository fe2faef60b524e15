//! The journal in the bucket: the outbox, drained in order.
//!
//! What the outbox still has is what a rebuild from the bucket would not know: its age is the loss window.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::Catalog;
use crate::domain::Timestamp;
use crate::failpoint;
use crate::store::Store;

/// Who drains has this long for a batch; short, so that one that was killed holds nobody up. Two at once do no harm:
/// entries are create-only and the same whoever writes them.
const LEASE: Duration = Duration::from_secs(10);

/// Entries between two looks at the lease.
const BATCH: i64 = 50;

/// What the journal does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLag {
    /// Changes.
    pub entries: i64,
    /// For how long the oldest has waited.
    pub age: Duration,
}

/// Writes what the outbox has into the bucket's journal, oldest first; true when nothing was left, false when somebody
/// else is at it.
pub(super) async fn drain(catalog: &Catalog, store: &Store) -> Result<bool, Error> {
    if catalog.unjournalled(1).await?.is_empty() {
        return Ok(true);
    }
    let Some(lease) = catalog.take_lease("journal", LEASE).await? else { return Ok(false) };
    let flushed = async {
        loop {
            let batch = catalog.unjournalled(BATCH).await?;
            if batch.is_empty() {
                return Ok(true);
            }
            for entry in &batch {
                store.put_journal_entry(catalog.id(), entry).await?;
                failpoint::reached("journal:after_entry").await;
                catalog.journalled(entry.seq).await?;
            }
            if !catalog.renew(&lease, LEASE).await? {
                return Ok(false);
            }
        }
    };
    let flushed = flushed.await;
    catalog.give_back(lease).await?;
    flushed
}

impl Registry {
    /// Writes what the outbox has into the bucket's journal, oldest first.
    ///
    /// True when nothing was left; false when somebody else is at it, or the bucket is not known to be secured.
    ///
    /// # Errors
    /// Of the object store and the catalog; what was written until then stays written, the rest waits.
    pub async fn flush_journal(&self) -> Result<bool, Error> {
        // A bucket that is not ours, or not secured, gets nothing: the outbox keeps it.
        if self.posture_state().check().is_err() {
            return Ok(self.catalog().unjournalled(1).await?.is_empty());
        }
        drain(self.catalog(), self.store()).await
    }

    /// How far the journal is behind.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn journal_lag(&self, caller: &Caller) -> Result<JournalLag, Error> {
        self.admit_system(caller, Action::Observe).await?;
        let (entries, oldest) = self.catalog().journal_lag().await?;
        let age = oldest.map_or(0, |oldest| Timestamp::now().millis().saturating_sub(oldest.millis()));
        Ok(JournalLag { entries, age: Duration::from_millis(u64::try_from(age).unwrap_or_default()) })
    }

    /// Waits until there is something to write, and no longer than `most`.
    pub async fn journal_wanted(&self, most: Duration) {
        let bell = Arc::clone(&self.journal);
        // Either is a reason to look.
        let _late = tokio::time::timeout(most, bell.notified()).await;
    }

    /// To be called behind every transaction that put something into the outbox.
    pub(super) fn journal_due(&self) {
        self.journal.notify_one();
    }
}
