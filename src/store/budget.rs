//! Memory of all uploads together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;
use crate::domain::MIN_PART_BYTES;

/// Memory is counted in units of this many bytes: what a tiny file that is held for later costs, all told.
const UNIT: u64 = 4 * 1024;

/// A fixed amount of memory that uploads take parts of, first come first served.
///
/// Who waits for a part holds none that only it could give back: full parts are on their way to S3 and come free by
/// themselves, and small files that are held for later are sent away before waiting.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    wait: Duration,
    writes: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<BytesMut>>>,
}

/// One write to S3 may be under way for this much memory of the budget: bytes on their way have copies in buffers of
/// connections, here and (when S3 is embedded) there.
const MEMORY_PER_WRITE: u64 = 4 * 1024 * 1024;

/// Buffers of the usual part size that are kept for the next part: allocating and freeing them for each part leaves the
/// system's allocator with twice the memory that is in use.
const SPARE_BUFFERS: usize = 8;

/// Memory taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(OwnedSemaphorePermit);

impl MemoryBudget {
    /// A budget of `bytes`, of which a taker waits at most `wait`.
    pub fn new(bytes: u64, wait: Duration) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let writes = usize::try_from(bytes / MEMORY_PER_WRITE).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let (units, writes) = (Arc::new(Semaphore::new(units)), Arc::new(Semaphore::new(writes)));
        Self { units, wait, writes, spare: Arc::default() }
    }

    /// Waits for a turn to write; whoever has one gives it back within the time limits of a request to S3.
    ///
    /// # Errors
    /// [`Error::Busy`] only when the service is ending.
    pub(super) async fn turn_to_write(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.writes).acquire_owned().await.map_err(|_| Error::Busy(self.wait))
    }

    /// An empty buffer with room for `capacity` bytes, for who has taken as many.
    pub(super) fn buffer(&self, capacity: usize) -> BytesMut {
        let spare = if is_usual(capacity) { self.spare().pop() } else { None };
        // At once and exactly: growing would leave a trail of halves behind, and pages that no byte reaches cost nothing.
        spare.unwrap_or_else(|| BytesMut::with_capacity(capacity))
    }

    /// Keeps the buffer of a part that S3 has, if nobody else has it any more.
    pub(super) fn give_back(&self, bytes: Bytes) {
        if let Ok(mut buffer) = bytes.try_into_mut()
            && is_usual(buffer.capacity())
        {
            buffer.clear();
            let mut spare = self.spare();
            if spare.len() < SPARE_BUFFERS {
                spare.push(buffer);
            }
        }
    }

    /// Makes a buffer that is not full hold what it has and no more, together with its permit.
    pub(super) fn trim(&self, buffer: BytesMut, mut permit: Permit) -> (Bytes, Permit) {
        permit.shrink_to(buffer.len() as u64);
        if buffer.len() > buffer.capacity() / 2 {
            return (buffer.freeze(), permit);
        }
        let bytes = Bytes::copy_from_slice(&buffer);
        self.give_back(buffer.freeze());
        (bytes, permit)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        // A panic cannot leave a list of empty buffers half changed.
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
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

fn is_usual(capacity: usize) -> bool {
    capacity as u64 == MIN_PART_BYTES
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_of_a_sent_part_is_used_again_and_a_shared_one_is_not() {
        let budget = MemoryBudget::new(MIN_PART_BYTES, Duration::from_secs(1));
        let mut buffer = budget.buffer(8 * 1024 * 1024);
        buffer.extend_from_slice(b"part");
        let address = buffer.as_ptr();
        budget.give_back(buffer.freeze());
        let again = budget.buffer(8 * 1024 * 1024);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        let shared = again.freeze();
        budget.give_back(shared.clone());
        assert!(budget.spare().is_empty());
        drop(shared);
    }

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
