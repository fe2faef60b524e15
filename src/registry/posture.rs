//! How the bucket stands, for operators and load balancers.

use std::time::Duration;

use super::admit::decide_on_system;
use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::provision::{Gauges, Posture, Report, Status};

/// How long a caller waits for a fresh look: one may be under way, and each takes a minute at most.
const FRESH_LIMIT: Duration = Duration::from_secs(150);

/// What a load balancer may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The catalog answers.
    pub catalog: bool,
    /// New bytes are taken.
    pub writes: bool,
    /// How all claims stand together.
    pub posture: Status,
    /// The last complete look at the bucket is older than three intervals.
    pub stale: bool,
}

impl Registry {
    /// Whether the catalog answers and new bytes may be taken.
    pub async fn readiness(&self) -> Readiness {
        let catalog = self.catalog().ping().await.is_ok();
        let posture = self.posture_state();
        Readiness { catalog, writes: posture.verdict().is_ok(), posture: posture.status(), stale: posture.is_stale() }
    }

    /// Every claim about the bucket, as last looked at; with `fresh`, after a look that begins now.
    ///
    /// # Errors
    /// [`Error::LookPending`] when that look does not end in time.
    pub async fn posture(&self, caller: &Caller, fresh: bool) -> Result<Report, Error> {
        self.admit_system(caller, Action::Observe).await?;
        let posture = self.posture_state();
        if fresh && !posture.fresh(FRESH_LIMIT).await {
            return Err(Error::LookPending);
        }
        Ok(posture.report())
    }

    /// The posture in numbers.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn gauges(&self, caller: &Caller) -> Result<Gauges, Error> {
        decide_on_system(caller, Action::Observe)?;
        Ok(self.posture_state().gauges())
    }

    pub(super) fn posture_state(&self) -> &Posture {
        &self.inner.posture
    }
}
