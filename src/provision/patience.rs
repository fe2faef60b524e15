//! Waiting for what AWS does "in a while": bounded, and jittered so that replicas do not retry in step.

use std::time::{Duration, Instant};

use super::fault::Fault;

/// How long a change, or its read-back, may take to be seen: bucket propagation is given two minutes elsewhere, too.
const PROPAGATION: Duration = Duration::from_secs(150);

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// After which the operator is told what is waited for.
const SILENCE: Duration = Duration::from_secs(5);

/// How long each call may be repeated, and each read-back may lag, before a run gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    total: Duration,
}

/// Pauses that double from 0.2 to 10 seconds, with jitter, until their time is up.
#[derive(Debug)]
pub(super) struct Pauses {
    until: Instant,
    next: Duration,
}

impl Patience {
    /// Waits at most this long for one call or one read-back.
    pub const fn of(total: Duration) -> Self {
        Self { total }
    }

    pub(super) fn pauses(self) -> Pauses {
        Pauses::new(self.total)
    }

    /// Repeats a call while its failure `passes`; the last failure is given when the time is up.
    pub(super) async fn outwait<T, F>(
        self,
        mut attempt: impl FnMut() -> F,
        passes: impl Fn(&Fault) -> bool,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut pauses = self.pauses();
        let begun = Instant::now();
        let mut told = false;
        loop {
            match attempt().await {
                Err(fault) if passes(&fault) => {
                    tracing::debug!(%fault, "will try again");
                    if !told && begun.elapsed() > SILENCE {
                        told = true;
                        tracing::warn!(%fault, "still trying, for at most {} seconds", self.total.as_secs());
                    }
                    if !pauses.pause().await {
                        return Err(fault);
                    }
                }
                answer => return answer,
            }
        }
    }
}

impl Default for Patience {
    /// Two and a half minutes: what AWS needs at worst.
    fn default() -> Self {
        Self::of(PROPAGATION)
    }
}

impl Pauses {
    pub(super) fn new(total: Duration) -> Self {
        Self { until: Instant::now() + total, next: FIRST }
    }

    /// Sleeps once; false when the time is up.
    pub(super) async fn pause(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(jittered(self.next).min(left)).await;
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}

/// Half to all of a pause.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [u8::MAX];
    // Without randomness the full pause is right, too.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    pause / 2 + pause.mul_f64(f64::from(byte[0]) / 510.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::provision::fault::tests::fault;

    #[tokio::test]
    async fn conflict_is_tried_again_until_it_passes() {
        let tries = Cell::new(0);
        let answer = Patience::default().outwait(
            || {
                tries.set(tries.get() + 1);
                let again = tries.get() < 3;
                async move { if again { Err(fault(409, "OperationAborted")) } else { Ok("done") } }
            },
            Fault::passes_on_bucket,
        );
        assert_eq!(answer.await, Ok("done"));
        assert_eq!(tries.get(), 3);
    }

    #[tokio::test]
    async fn refusal_is_tried_once() {
        let tries = Cell::new(0);
        let answer: Result<(), _> = Patience::default()
            .outwait(
                || {
                    tries.set(tries.get() + 1);
                    async { Err(fault(403, "AccessDenied")) }
                },
                Fault::passes_on_bucket,
            )
            .await;
        assert!(answer.is_err());
        assert_eq!(tries.get(), 1);
    }

    #[tokio::test]
    async fn pauses_end_with_their_time() {
        let mut pauses = Pauses::new(Duration::from_millis(20));
        let mut count = 0;
        while pauses.pause().await {
            count += 1;
        }
        assert!((1..=2).contains(&count), "{count}");
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(1));
            assert!((500..=1000).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
