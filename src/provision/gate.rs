//! The gate in front of every write: open only while the bucket is known to be safe.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use super::finding::{ClaimId, Effect, Finding, Status};

/// How long a claim that held once is believed while it cannot be looked at.
pub const GRACE: Duration = Duration::from_mins(15);

/// Tells whether new bytes may be taken; clones share one state.
///
/// It starts closed: a claim that was never verified refuses like one that failed.
#[derive(Debug, Clone)]
pub struct WriteGate {
    state: Arc<RwLock<State>>,
}

/// The bucket is not known to be safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bucket is not proven safe: {}", Listed(.claims))]
pub struct GateClosed {
    /// The blocking claims that do not hold, or were never seen to hold.
    pub claims: Vec<ClaimId>,
}

#[derive(Debug, Default)]
struct State {
    verdicts: BTreeMap<ClaimId, Verdict>,
    overrides: BTreeMap<ClaimId, SystemTime>,
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    status: Status,
    last_passed: Option<Instant>,
}

struct Listed<'a>(&'a [ClaimId]);

impl WriteGate {
    /// A gate that opens once every required claim has passed.
    pub fn closed() -> Self {
        Self { state: Arc::new(RwLock::new(State::requiring(&ClaimId::REQUIRED))) }
    }

    /// A gate for an operator who has turned provisioning off: only what a trial or the catalog tells closes it.
    pub fn trusting() -> Self {
        Self { state: Arc::new(RwLock::new(State::requiring(&[ClaimId::BucketOurs, ClaimId::Canary]))) }
    }

    /// Whether new bytes and publishing are allowed now.
    ///
    /// # Errors
    /// The claims that stand against it.
    pub fn check(&self) -> Result<(), GateClosed> {
        self.check_at(Instant::now(), SystemTime::now())
    }

    /// Takes in what a look or a trial found; claims it does not mention keep their verdict.
    pub fn judge(&self, findings: &[Finding]) {
        self.judge_at(findings, Instant::now());
    }

    /// Lets writes pass in spite of these claims, until a stated time. The caller writes the audit record.
    pub fn override_until(&self, claims: impl IntoIterator<Item = ClaimId>, until: SystemTime) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.overrides.extend(claims.into_iter().map(|claim| (claim, until)));
    }

    /// The overrides that are in force.
    pub fn overrides(&self) -> BTreeMap<ClaimId, SystemTime> {
        let now = SystemTime::now();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.overrides.iter().filter(|(_, until)| now < **until).map(|(claim, until)| (*claim, *until)).collect()
    }

    fn judge_at(&self, findings: &[Finding], now: Instant) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for finding in findings.iter().filter(|finding| finding.effect == Effect::Blocking) {
            let known = state.verdicts.contains_key(&finding.claim);
            // A claim that is not required and cannot be verified says nothing against the bucket.
            if !known && finding.status == Status::NotVerifiable {
                continue;
            }
            let verdict = state.verdicts.entry(finding.claim).or_insert(Verdict::NEVER);
            verdict.status = finding.status;
            match finding.status {
                Status::Passed => verdict.last_passed = Some(now),
                // Later unreadable looks must not revive the time before a failure.
                Status::Failed => verdict.last_passed = None,
                Status::NotVerifiable => {}
            }
        }
    }

    fn check_at(&self, now: Instant, today: SystemTime) -> Result<(), GateClosed> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let against = state.verdicts.iter().filter(|(_, verdict)| !verdict.holds(now)).map(|(claim, _)| *claim);
        let overridden: BTreeSet<ClaimId> =
            state.overrides.iter().filter(|(_, until)| today < **until).map(|(claim, _)| *claim).collect();
        let claims: Vec<ClaimId> = against.filter(|claim| !overridden.contains(claim)).collect();
        if claims.is_empty() { Ok(()) } else { Err(GateClosed { claims }) }
    }
}

impl State {
    fn requiring(claims: &[ClaimId]) -> Self {
        Self { verdicts: claims.iter().map(|claim| (*claim, Verdict::NEVER)).collect(), overrides: BTreeMap::new() }
    }
}

impl Verdict {
    const NEVER: Self = Self { status: Status::NotVerifiable, last_passed: None };

    fn holds(&self, now: Instant) -> bool {
        match self.status {
            Status::Passed => true,
            Status::Failed => false,
            Status::NotVerifiable => {
                self.last_passed.is_some_and(|passed| now.saturating_duration_since(passed) < GRACE)
            }
        }
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
mod tests {
    use super::*;

    fn all(status: Status) -> Vec<Finding> {
        ClaimId::REQUIRED.iter().map(|claim| with(*claim, status)).collect()
    }

    fn with(claim: ClaimId, status: Status) -> Finding {
        Finding { status, ..Finding::passed(claim, "", "") }
    }

    #[test]
    fn new_gate_is_closed_until_every_required_claim_has_passed() {
        let gate = WriteGate::closed();
        assert_eq!(gate.check().unwrap_err().claims, ClaimId::REQUIRED);
        let mut findings = all(Status::Passed);
        let last = findings.pop().unwrap();
        gate.judge(&findings);
        assert_eq!(gate.check().unwrap_err().claims, [ClaimId::Canary]);
        gate.clone().judge(&[last]);
        assert_eq!(gate.check(), Ok(()));
    }

    #[test]
    fn failed_claim_closes_at_once_and_degrading_ones_never() {
        let gate = WriteGate::closed();
        gate.judge(&all(Status::Passed));
        gate.judge(&[with(ClaimId::KeyRotates, Status::Failed)]);
        assert_eq!(gate.check(), Ok(()));
        gate.judge(&[with(ClaimId::Versioned, Status::Failed)]);
        let closed = gate.check().unwrap_err();
        assert_eq!(closed.to_string(), "the bucket is not proven safe: versioned");
    }

    #[test]
    fn trial_that_failed_closes_although_it_is_not_required() {
        let gate = WriteGate::closed();
        gate.judge(&all(Status::Passed));
        gate.judge(&[with(ClaimId::ForeignKeyRefused, Status::NotVerifiable)]);
        assert_eq!(gate.check(), Ok(()));
        gate.judge(&[with(ClaimId::ForeignKeyRefused, Status::Failed)]);
        assert_eq!(gate.check().unwrap_err().claims, [ClaimId::ForeignKeyRefused]);
    }

    #[test]
    fn unreadable_claim_is_believed_for_a_quarter_of_an_hour() {
        let gate = WriteGate::closed();
        let start = Instant::now();
        gate.judge_at(&all(Status::Passed), start);
        gate.judge_at(&[with(ClaimId::Versioned, Status::NotVerifiable)], start + Duration::from_mins(1));
        let check = |after| gate.check_at(start + after, SystemTime::now());
        assert_eq!(check(GRACE.saturating_sub(Duration::from_secs(1))), Ok(()));
        assert_eq!(check(GRACE).unwrap_err().claims, [ClaimId::Versioned]);
    }

    #[test]
    fn unreadable_after_a_failure_stays_failed() {
        let gate = WriteGate::closed();
        gate.judge(&all(Status::Passed));
        gate.judge(&[with(ClaimId::KeyUsable, Status::Failed)]);
        gate.judge(&[with(ClaimId::KeyUsable, Status::NotVerifiable)]);
        assert_eq!(gate.check().unwrap_err().claims, [ClaimId::KeyUsable]);
    }

    #[test]
    fn override_opens_named_claims_until_its_time() {
        let gate = WriteGate::closed();
        gate.judge(&all(Status::Passed));
        gate.judge(&[with(ClaimId::Canary, Status::Failed), with(ClaimId::Versioned, Status::Failed)]);
        let now = SystemTime::now();
        gate.override_until([ClaimId::Canary], now + Duration::from_mins(1));
        assert_eq!(gate.check().unwrap_err().claims, [ClaimId::Versioned]);
        gate.override_until([ClaimId::Versioned], now + Duration::from_mins(1));
        assert_eq!(gate.check(), Ok(()));
        assert_eq!(gate.overrides().len(), 2);
        let later = gate.check_at(Instant::now(), now + Duration::from_secs(61)).unwrap_err();
        assert_eq!(later.claims, [ClaimId::Versioned, ClaimId::Canary]);
    }
}
