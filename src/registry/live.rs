//! What requests of this process are working on, so that recovery leaves it alone.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ids that are being worked on; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Live<T>(Arc<Mutex<HashSet<T>>>);

/// Keeps an id on the list while it is alive.
#[derive(Debug)]
pub(super) struct Working<T: Copy + Eq + Hash> {
    live: Live<T>,
    id: T,
}

impl<T> Default for Live<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Copy + Eq + Hash> Live<T> {
    /// Puts an id on the list for as long as the answer lives.
    pub(super) fn begin(&self, id: T) -> Working<T> {
        self.lock().insert(id);
        Working { live: Self(Arc::clone(&self.0)), id }
    }

    /// Whether somebody works on it.
    pub(super) fn has(&self, id: T) -> bool {
        self.lock().contains(&id)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<T>> {
        // A panic while it was held cannot have left the set half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy + Eq + Hash> Drop for Working<T> {
    fn drop(&mut self) {
        self.live.lock().remove(&self.id);
    }
}
