//! What one claim is worth now: the last thing seen, believed for a while when it cannot be looked at any more.

use std::time::{Duration, Instant};

use crate::domain::Timestamp;
use crate::provision::finding::{ClaimId, Effect, Finding, Status};

/// How long what was seen last is believed while it cannot be looked at.
pub const GRACE: Duration = Duration::from_mins(15);

/// A moment on both clocks: the one that never jumps, and the one that people read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) steady: Instant,
    pub(super) wall: Timestamp,
}

/// What a claim was told to be: status and what was observed.
pub(super) type Told = (Status, String);

/// One claim as it stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// The last look or trial that passed or failed; before the first such one, that which could not tell.
    seen: Finding,
    seen_at: Moment,
    /// Why it could not be looked at since then.
    unseen: Option<String>,
    told: Told,
}

impl Standing {
    pub(super) fn new(finding: Finding, now: Moment) -> Self {
        let told = (finding.status, finding.observed.clone());
        Self { seen: finding, seen_at: now, unseen: None, told }
    }

    /// Takes in what a look says; gives what was told before and what is to be told now, when that is news.
    pub(super) fn take(&mut self, finding: Finding, now: Moment) -> Option<(Told, Told)> {
        let definite = finding.status != Status::NotVerifiable;
        if definite || !self.was_definite() || self.is_refuted(&finding) {
            self.seen = finding;
            self.seen_at = now;
            self.unseen = None;
        } else {
            self.unseen = Some(finding.observed);
        }
        let tell = self.tell(now);
        // A failure of another kind is news; the reason why nothing can be seen is told once.
        let worse = definite && tell.0 == Status::Failed && !self.same_failure(&tell.1);
        let news = tell.0 != self.told.0 || worse;
        news.then(|| (std::mem::replace(&mut self.told, tell.clone()), tell))
    }

    /// The finding that counts now: for the gate, the report and the metrics alike.
    pub(super) fn finding(&self, now: Moment) -> Finding {
        let Some(reason) = &self.unseen else { return self.seen.clone() };
        let seen = &self.seen;
        let at = self.seen_at.wall;
        if now.steady.saturating_duration_since(self.seen_at.steady) < GRACE {
            let observed = format!("{} (seen {at}; cannot be looked at since: {reason})", seen.observed);
            return Finding { observed, ..seen.clone() };
        }
        let observed = format!("cannot be looked at since {at}, when it was: {}; {reason}", seen.observed);
        // What cannot be shown to hold does not hold, where bytes depend on it.
        let status = if seen.effect == Effect::Blocking { Status::Failed } else { Status::NotVerifiable };
        Finding { status, observed, ..seen.clone() }
    }

    /// Whether it failed when it was seen last: that it is seen again to fail is no new failure.
    pub(super) fn failed_when_seen(&self) -> bool {
        self.seen.status == Status::Failed
    }

    /// When it was last seen to hold or not to hold, or first could not be told.
    pub(super) fn seen_at(&self) -> Timestamp {
        self.seen_at.wall
    }

    fn was_definite(&self) -> bool {
        self.seen.status != Status::NotVerifiable
    }

    /// Whether a probe that a look found to be open was tried again, and the trial cannot tell: the look, which sees its
    /// statement in force again, no longer speaks against it.
    fn is_refuted(&self, trial: &Finding) -> bool {
        let statement = ClaimId::PROBES.contains(&trial.claim) && trial.effect == Effect::Degrading;
        statement && self.seen.status == Status::Failed
    }

    /// Whether what was told and what is observed differ in nothing but numbers: a scan that goes on is no news. That a
    /// probe gets through is told once, whether a look or a trial says so.
    fn same_failure(&self, observed: &str) -> bool {
        let words = |text: &str| text.replace(|char: char| char.is_ascii_digit(), "");
        ClaimId::PROBES.contains(&self.seen.claim) || words(observed) == words(&self.told.1)
    }

    /// Within the grace the claim counts as before, but that nobody can look at it is told.
    fn tell(&self, now: Moment) -> Told {
        let finding = self.finding(now);
        match &self.unseen {
            Some(reason) if finding.status != Status::Failed || self.seen.status == Status::Failed => {
                (Status::NotVerifiable, reason.clone())
            }
            _ => (finding.status, finding.observed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::finding::ClaimId;

    fn after(start: Moment, minutes: u64) -> Moment {
        Moment { steady: start.steady + Duration::from_mins(minutes), ..start }
    }

    fn start() -> Moment {
        Moment { steady: Instant::now(), wall: Timestamp::from_millis(0) }
    }

    fn enabled() -> Finding {
        Finding::passed(ClaimId::Versioned, "Enabled", "Enabled")
    }

    fn unreadable(claim: ClaimId, reason: &str) -> Finding {
        Finding::not_verifiable(claim, "Enabled", reason)
    }

    #[test]
    fn unreadable_claim_is_believed_for_a_quarter_of_an_hour_and_told_once() {
        let start = start();
        let mut standing = Standing::new(enabled(), start);
        let told = standing.take(unreadable(ClaimId::Versioned, "timeout"), after(start, 1)).unwrap();
        assert_eq!(told.1, (Status::NotVerifiable, "timeout".to_owned()));
        assert_eq!(standing.finding(after(start, 14)).status, Status::Passed);
        assert_eq!(standing.take(unreadable(ClaimId::Versioned, "503"), after(start, 5)), None);
        assert_eq!(standing.finding(after(start, 15)).status, Status::Failed);
        let told = standing.take(unreadable(ClaimId::Versioned, "503"), after(start, 16)).unwrap();
        assert_eq!(told.1.0, Status::Failed);
        assert_eq!(standing.take(unreadable(ClaimId::Versioned, "502"), after(start, 17)), None);
        assert_eq!(standing.take(enabled(), after(start, 18)).unwrap().1.0, Status::Passed);
    }

    #[test]
    fn degrading_claim_that_cannot_be_seen_for_long_is_not_verifiable() {
        let start = start();
        let mut standing = Standing::new(Finding::failed(ClaimId::Tagged, "our tags", "not set"), start);
        standing.take(unreadable(ClaimId::Tagged, "403"), after(start, 1));
        assert_eq!(standing.finding(after(start, 2)).status, Status::Failed);
        assert_eq!(standing.finding(after(start, 20)).status, Status::NotVerifiable);
    }

    #[test]
    fn unreadable_look_does_not_mend_a_failure_however_long_it_lasts() {
        let start = start();
        let mut standing = Standing::new(Finding::failed(ClaimId::Versioned, "Enabled", "Suspended"), start);
        standing.take(unreadable(ClaimId::Versioned, "403"), after(start, 1));
        for minutes in [2, 14, 16, 1000] {
            assert_eq!(standing.finding(after(start, minutes)).status, Status::Failed, "{minutes}");
        }
    }

    #[test]
    fn failure_that_changes_is_told_again() {
        let start = start();
        let mut standing = Standing::new(enabled(), start);
        let failed = |observed: &str| Finding::failed(ClaimId::Versioned, "Enabled", observed);
        assert!(standing.take(failed("Suspended"), start).is_some());
        assert!(standing.take(failed("Suspended"), start).is_none());
        let (from, to) = standing.take(failed("no bucket"), start).unwrap();
        assert_eq!((from.1.as_str(), to.1.as_str()), ("Suspended", "no bucket"));
    }

    #[test]
    fn failure_of_which_only_a_number_grew_is_not_told_again() {
        let start = start();
        let failed = |observed: &str| Finding::failed(ClaimId::ObjectsIntact, "all", observed);
        let mut standing = Standing::new(failed("1839 damaged: a was overwritten; and 1834 more"), start);
        assert_eq!(standing.take(failed("1939 damaged: a was overwritten; and 1934 more"), start), None);
        assert!(standing.finding(start).observed.starts_with("1939"));
        assert!(standing.take(failed("1939 damaged: b was deleted; and 1934 more"), start).is_some());
    }

    #[test]
    fn probe_that_a_look_and_then_a_trial_found_open_is_told_once_and_does_not_stay_failed() {
        let start = start();
        let claim = ClaimId::ForeignKeyRefused;
        let failed = |observed: &str| Finding::failed(claim, "refused", observed);
        let mut standing = Standing::new(Finding::passed(claim, "refused", "refused (AccessDenied)"), start);
        assert!(standing.take(failed("DenyWrongKmsKey is not in force"), start).is_some());
        let trial = failed("it got through: DenyWrongKmsKey is not in force, or not obeyed; removed again");
        assert_eq!(standing.take(trial, start), None);
        let told = standing.take(Finding::not_verifiable(claim, "refused", "500"), start).unwrap();
        assert_eq!(told.1.0, Status::NotVerifiable);
        assert_eq!(standing.finding(start).status, Status::NotVerifiable);
    }
}
