//! The posture of a running service: how every claim stands, and what follows for writes. One truth for the gate, the
//! report, the metrics and the log.

mod overrides;
mod remedy;
mod report;
mod standing;

pub use self::overrides::{InvalidOverride, LONGEST_OVERRIDE, Override, OverrideNews};
pub use self::remedy::remedy;
pub use self::report::{Judged, Report};
pub use self::standing::GRACE;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use self::standing::{Moment, Standing};
use super::finding::{Apart, ClaimId, Effect, Finding, Status};
use crate::domain::Timestamp;

/// A look that is older than this many intervals is stale.
const STALE_AFTER: u32 = 3;

/// The state of all claims; clones share it.
///
/// Until every required claim has passed it refuses writes: a claim that was never verified counts like one that failed.
#[derive(Debug, Clone)]
pub struct Posture {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    required: &'static [ClaimId],
    apart: Vec<Apart>,
    /// How often somebody looks; none: nobody does.
    every: Option<Duration>,
    asked: Notify,
    done: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    claims: BTreeMap<ClaimId, Standing>,
    overrides: BTreeMap<ClaimId, InForce>,
    drifts: BTreeMap<ClaimId, u64>,
    begun: u64,
    last_look: LastLook,
}

#[derive(Debug)]
struct InForce {
    made: Override,
    used: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct LastLook {
    ended: Moment,
    took: Duration,
}

/// A claim that does not stand as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Which.
    pub claim: ClaimId,
    /// What follows when it does not hold.
    pub effect: Effect,
    /// How it stood, and what was observed.
    pub from: (Status, String),
    /// How it stands.
    pub to: (Status, String),
}

/// The bucket is not known to be safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bucket is not proven safe: {}", Listed(.claims))]
pub struct GateClosed {
    /// The blocking claims that do not hold, or were never seen to hold.
    pub claims: Vec<ClaimId>,
}

/// A look that has begun.
#[derive(Debug)]
#[must_use = "a look that is not ended leaves those waiting who asked for it"]
pub struct Looking {
    number: u64,
    began: Instant,
}

/// The posture in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// Every claim that was looked at.
    pub claims: Vec<(ClaimId, Status)>,
    /// How often each claim was seen to fail after it had not.
    pub drifts: Vec<(ClaimId, u64)>,
    /// When the last complete look ended.
    pub last_look: Timestamp,
    /// How long it took.
    pub look_took: Duration,
    /// Whether new bytes are refused.
    pub writes_refused: bool,
    /// Overrides in force.
    pub overrides: usize,
}

struct Listed<'a>(&'a [ClaimId]);

impl Posture {
    /// Closed until every required claim has passed; somebody looks every `every`.
    pub fn closed(apart: Vec<Apart>, every: Duration) -> Self {
        Self::new(&ClaimId::REQUIRED, apart, Some(every))
    }

    /// For an operator who has turned provisioning off: nobody looks, and only what a trial or the catalog tells closes it.
    pub fn trusting(apart: Vec<Apart>) -> Self {
        Self::new(&[ClaimId::BucketOurs, ClaimId::Canary], apart, None)
    }

    fn new(required: &'static [ClaimId], apart: Vec<Apart>, every: Option<Duration>) -> Self {
        let state = State {
            claims: BTreeMap::new(),
            overrides: BTreeMap::new(),
            drifts: BTreeMap::new(),
            begun: 0,
            last_look: LastLook { ended: Moment::now(), took: Duration::ZERO },
        };
        let (asked, done) = (Notify::new(), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { state: RwLock::new(state), required, apart, every, asked, done }) }
    }

    /// Whether new bytes and publishing are allowed now.
    ///
    /// # Errors
    /// The claims that stand against it.
    pub fn verdict(&self) -> Result<(), GateClosed> {
        self.against(Moment::now()).map(drop)
    }

    /// As [`Self::verdict`], asked for a write: the first that only an override lets pass is in the log.
    ///
    /// # Errors
    /// The claims that stand against it.
    pub fn check(&self) -> Result<(), GateClosed> {
        self.check_at(Moment::now())
    }

    /// Takes in what a look or a trial found; claims it does not mention stand as before.
    ///
    /// What is found for the first time is no news unless it fails.
    pub fn take(&self, findings: Vec<Finding>) -> Vec<Transition> {
        self.take_at(findings, Moment::now())
    }

    /// How a claim stands; none when it was never looked at.
    pub fn status_of(&self, claim: ClaimId) -> Option<Status> {
        self.read().claims.get(&claim).map(|standing| standing.finding(Moment::now()).status)
    }

    /// How all claims stand together.
    pub fn status(&self) -> Status {
        let now = Moment::now();
        report::overall(self.read().claims.iter().map(|(claim, standing)| (*claim, standing.finding(now).status)))
    }

    /// Whether writes pass in spite of a claim.
    pub fn is_overridden(&self, claim: ClaimId) -> bool {
        self.read().in_force(Timestamp::now()).any(|in_force| in_force.made.claim == claim)
    }

    /// Whether the last complete look is older than three intervals.
    pub fn is_stale(&self) -> bool {
        let ended = self.read().last_look.ended.steady;
        // A look itself may take a minute.
        self.shared.every.is_some_and(|every| ended.elapsed() > every * STALE_AFTER + Duration::from_mins(1))
    }

    /// Everything, for operators.
    pub fn report(&self) -> Report {
        let now = Moment::now();
        let state = self.read();
        let judged = |standing: &Standing| Judged { finding: standing.finding(now), checked_at: standing.seen_at() };
        let claims = state.claims.values().map(judged).collect();
        let overrides = state.in_force(now.wall).map(|in_force| in_force.made.clone()).collect();
        Report::new(claims, state.last_look.ended.wall, self.shared.apart.clone(), overrides)
    }

    /// The posture in numbers.
    pub fn gauges(&self) -> Gauges {
        let now = Moment::now();
        let writes_refused = self.against(now).is_err();
        let state = self.read();
        Gauges {
            claims: state.claims.iter().map(|(claim, standing)| (*claim, standing.finding(now).status)).collect(),
            drifts: state.claims.keys().map(|claim| (*claim, state.drifts.get(claim).copied().unwrap_or(0))).collect(),
            last_look: state.last_look.ended.wall,
            look_took: state.last_look.took,
            writes_refused,
            overrides: state.in_force(now.wall).count(),
        }
    }

    /// Replaces the overrides by these, of which those past their time do not count; gives what changed.
    pub fn put_overrides(&self, all: Vec<Override>) -> Vec<OverrideNews> {
        let now = Timestamp::now();
        let mut state = self.write();
        let mut before = std::mem::take(&mut state.overrides);
        let mut news = Vec::new();
        for made in all.into_iter().filter(|made| made.in_force(now)) {
            let in_force = match before.remove(&made.claim) {
                Some(same) if same.made == made => same,
                _ => {
                    news.push(OverrideNews::InForce(made.clone()));
                    InForce { made: made.clone(), used: false.into() }
                }
            };
            state.overrides.insert(made.claim, in_force);
        }
        news.extend(
            before
                .into_values()
                .filter(|gone| !state.overrides.contains_key(&gone.made.claim))
                .map(|gone| OverrideNews::Over(gone.made)),
        );
        news
    }

    /// Begins a look; the one who watches calls it.
    pub fn begin_look(&self) -> Looking {
        let mut state = self.write();
        state.begun += 1;
        Looking { number: state.begun, began: Instant::now() }
    }

    /// Ends a look whose findings were taken in, and tells those who wait for it.
    pub fn end_look(&self, looking: Looking) {
        self.write().last_look = LastLook { ended: Moment::now(), took: looking.began.elapsed() };
        self.shared.done.send_replace(looking.number);
    }

    /// Asks for a look and waits until one that began after this call has ended, at most `limit`; false when it has not.
    ///
    /// Where nobody looks it is true at once.
    pub async fn fresh(&self, limit: Duration) -> bool {
        if self.shared.every.is_none() {
            return true;
        }
        let mut done = self.shared.done.subscribe();
        let needed = self.read().begun + 1;
        self.shared.asked.notify_one();
        let looked = done.wait_for(|number| *number >= needed);
        tokio::time::timeout(limit, looked).await.is_ok_and(|looked| looked.is_ok())
    }

    /// Waits until somebody asks for a look.
    pub async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    fn check_at(&self, now: Moment) -> Result<(), GateClosed> {
        let overridden = self.against(now)?;
        if !overridden.is_empty() {
            let state = self.read();
            for in_force in overridden.iter().filter_map(|claim| state.overrides.get(claim)) {
                if !in_force.used.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    let Override { claim, until, reason, by, .. } = &in_force.made;
                    tracing::warn!(audit = true, %claim, %until, reason, by, "override used: a write passed in spite of the claim");
                }
            }
        }
        Ok(())
    }

    /// The claims that only an override keeps from closing the gate.
    fn against(&self, now: Moment) -> Result<Vec<ClaimId>, GateClosed> {
        let state = self.read();
        let mut against: BTreeSet<ClaimId> = self.shared.required.iter().copied().collect();
        for (claim, standing) in state.claims.iter().filter(|(claim, _)| claim.effect() == Effect::Blocking) {
            match standing.finding(now).status {
                Status::Passed => _ = against.remove(claim),
                Status::Failed => _ = against.insert(*claim),
                // One that is not required says nothing against the bucket when it cannot be verified.
                Status::NotVerifiable => {}
            }
        }
        let in_force: BTreeSet<ClaimId> = state.in_force(now.wall).map(|in_force| in_force.made.claim).collect();
        let (overridden, claims): (Vec<_>, Vec<_>) = against.into_iter().partition(|claim| in_force.contains(claim));
        if claims.is_empty() { Ok(overridden) } else { Err(GateClosed { claims }) }
    }

    fn take_at(&self, findings: Vec<Finding>, now: Moment) -> Vec<Transition> {
        let mut state = self.write();
        let mut transitions = Vec::new();
        for finding in findings {
            let (claim, effect) = (finding.claim, finding.effect);
            let known = state.claims.get(&claim).is_some_and(Standing::failed_when_seen);
            let news = if let Some(standing) = state.claims.get_mut(&claim) {
                standing.take(finding, now)
            } else {
                let to = (finding.status, finding.observed.clone());
                state.claims.insert(claim, Standing::new(finding, now));
                (to.0 == Status::Failed).then(|| ((Status::NotVerifiable, "never looked at".to_owned()), to))
            };
            let Some((from, to)) = news else { continue };
            if to.0 == Status::Failed && from.0 != Status::Failed && !known {
                *state.drifts.entry(claim).or_default() += 1;
            }
            transitions.push(Transition { claim, effect, from, to });
        }
        transitions
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic while it was held cannot have left a claim half changed.
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &InForce> {
        self.overrides.values().filter(move |in_force| in_force.made.in_force(now))
    }
}

impl Moment {
    fn now() -> Self {
        Self { steady: Instant::now(), wall: Timestamp::now() }
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, claim) in self.0.iter().enumerate() {
            write!(f, "{}{claim}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
