//! Memory of all uploads together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

/// Memory is counted in units of this many bytes.
const UNIT: u64 = 64 * 1024;

/// A fixed amount of memory that uploads take parts of, first come first served.
///
/// Who waits for a part holds none that only it could give back: full parts are on their way to S3 and come free by
/// themselves, and small files that are held for later are sent away before waiting.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    wait: Duration,
}

/// Memory taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// A budget of `bytes`, of which a taker waits at most `wait`.
    pub fn new(bytes: u64, wait: Duration) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), wait }
    }

    /// Takes `bytes` if they are free now.
    pub(super) fn try_take(&self, bytes: u64) -> Option<Permit> {
        Arc::clone(&self.units).try_acquire_many_owned(units(bytes)).ok().map(Permit)
    }

    /// Takes `bytes`, after those who asked before.
    ///
    /// # Errors
    /// [`Error::Busy`] when they did not come free in time.
    pub(super) async fn take(&self, bytes: u64) -> Result<Permit, Error> {
        let wait = Arc::clone(&self.units).acquire_many_owned(units(bytes));
        match tokio::time::timeout(self.wait, wait).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::Busy(self.wait)),
        }
    }
}

impl Permit {
    /// Gives back what exceeds `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(surplus));
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_shrunk_or_dropped_comes_free_and_waiting_is_bounded() {
        let budget = MemoryBudget::new(4 * UNIT, Duration::from_millis(20));
        let mut first = budget.take(3 * UNIT).await.unwrap();
        assert!(budget.try_take(2 * UNIT).is_none());
        assert!(matches!(budget.take(2 * UNIT).await, Err(Error::Busy(_))));
        first.shrink_to(1);
        let second = budget.try_take(3 * UNIT).unwrap();
        drop((first, second));
        assert!(budget.try_take(4 * UNIT).is_some());
    }
}
