//! What the verifier of this process remembers: who waits for it, what it tries again later, and what it has done.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::domain::DraftId;

/// Drafts that are read before others; further ones wait for their turn.
const MOST_URGENT: usize = 1_000;

/// The pause before an object is tried again, doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LAST_PAUSE: Duration = Duration::from_hours(1);

/// An object that was not tried again for so long is not there any more.
const FORGOTTEN: Duration = Duration::from_hours(3);

/// Shared by requests and the verifier.
#[derive(Debug, Default)]
pub(super) struct Verification {
    /// Rung when there is something to read.
    wake: Notify,
    /// Rung when something was recorded.
    recorded: Notify,
    urgent: Mutex<VecDeque<DraftId>>,
    later: Mutex<HashMap<i64, Later>>,
    pub(super) verified: AtomicU64,
    pub(super) wrong: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// An object that could not be read.
#[derive(Debug, Clone, Copy)]
struct Later {
    at: Instant,
    failures: u32,
    is_missing: bool,
}

/// The verifier in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerificationGauges {
    /// Declared objects, those of drafts included.
    pub waiting: u64,
    /// Objects whose bytes are not what they should be.
    pub wrong: u64,
    /// Declared objects that this process did not find in the bucket.
    pub missing: u64,
    /// Objects that this process has verified.
    pub verified: u64,
    /// Objects that this process has found to be wrong.
    pub found_wrong: u64,
    /// Reads of this process that failed.
    pub failures: u64,
    /// Bytes that this process has read.
    pub bytes: u64,
}

impl Verification {
    /// Lets the verifier look for work now.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Until somebody rings, or until this time.
    pub(super) async fn woken(&self, at_latest: Instant) {
        // Whether it was rung or it is time makes no difference.
        let _woken = tokio::time::timeout_at(at_latest, self.wake.notified()).await;
    }

    pub(super) fn tell_recorded(&self) {
        self.recorded.notify_waiters();
    }

    /// Until something was recorded, or for this long: what is told in between is not missed for longer than that.
    pub(super) async fn something_recorded(&self, at_latest: Duration) {
        let _woken = tokio::time::timeout(at_latest, self.recorded.notified()).await;
    }

    /// Puts a draft before everything else.
    pub(super) fn urge(&self, draft: DraftId) {
        let mut urgent = lock(&self.urgent);
        if !urgent.contains(&draft) && urgent.len() < MOST_URGENT {
            urgent.push_back(draft);
        }
        drop(urgent);
        self.wake();
    }

    pub(super) fn most_urgent(&self) -> Vec<DraftId> {
        lock(&self.urgent).iter().copied().collect()
    }

    /// Nothing of the draft is left to be read.
    pub(super) fn is_through_with(&self, draft: DraftId) {
        lock(&self.urgent).retain(|urgent| *urgent != draft);
    }

    pub(super) fn try_later(&self, object: i64, is_missing: bool) {
        let mut later = lock(&self.later);
        let failures = later.get(&object).map_or(0, |known| known.failures);
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LAST_PAUSE);
        later.insert(object, Later { at: Instant::now() + pause, failures: failures + 1, is_missing });
    }

    pub(super) fn is_for_later(&self, object: i64) -> bool {
        lock(&self.later).get(&object).is_some_and(|later| later.at > Instant::now())
    }

    /// When the next object is to be tried again, if that is before this time.
    pub(super) fn due_before(&self, at_latest: Instant) -> Instant {
        let now = Instant::now();
        // Those that are due already are tried in this round, or are not declared any more.
        let due = lock(&self.later).values().map(|later| later.at).filter(|at| *at > now).min();
        due.map_or(at_latest, |due| due.min(at_latest))
    }

    pub(super) fn forget(&self, object: i64) {
        lock(&self.later).remove(&object);
    }

    /// Forgets what is not declared any more, for whatever reason.
    pub(super) fn forget_old(&self) {
        lock(&self.later).retain(|_, later| later.at + FORGOTTEN > Instant::now());
    }

    fn missing(&self) -> u64 {
        lock(&self.later).values().filter(|later| later.is_missing).count() as u64
    }
}

impl Registry {
    /// The verifier in numbers.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn verification_gauges(&self, caller: &Caller) -> Result<VerificationGauges, Error> {
        self.admit_system(caller, Action::Observe).await?;
        let (counts, own) = (self.catalog().object_counts().await?, &self.verification);
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Ok(VerificationGauges {
            waiting: counts.declared,
            wrong: counts.wrong,
            missing: own.missing(),
            verified: load(&own.verified),
            found_wrong: load(&own.wrong),
            failures: load(&own.failures),
            bytes: load(&own.bytes),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held cannot have left the value half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_that_fails_waits_longer_each_time_and_one_that_is_missing_is_counted() {
        let verification = Verification::default();
        assert!(!verification.is_for_later(1));
        verification.try_later(1, false);
        verification.try_later(2, true);
        assert!(verification.is_for_later(1));
        assert_eq!(verification.missing(), 1);
        for _ in 0..40 {
            verification.try_later(1, false);
        }
        let pause = lock(&verification.later)[&1].at - Instant::now();
        assert!(pause > LAST_PAUSE / 2 && pause <= LAST_PAUSE, "{pause:?}");
        let now = Instant::now();
        assert!(verification.due_before(now + LAST_PAUSE) < now + LAST_PAUSE / 2, "the other one is due sooner");
        assert_eq!(verification.due_before(now), now);
        verification.forget(1);
        assert!(!verification.is_for_later(1));
    }

    #[test]
    fn drafts_that_somebody_waits_for_come_in_their_order_once_and_are_bounded() {
        let verification = Verification::default();
        let (a, b) = (DraftId::generate(), DraftId::generate());
        for draft in [a, b, a] {
            verification.urge(draft);
        }
        assert_eq!(verification.most_urgent(), [a, b]);
        verification.is_through_with(a);
        assert_eq!(verification.most_urgent(), [b]);
        for _ in 0..2 * MOST_URGENT {
            verification.urge(DraftId::generate());
        }
        assert_eq!(verification.most_urgent().len(), MOST_URGENT);
    }
}
