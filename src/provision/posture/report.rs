//! The posture as operators and auditors get it: one JSON form, for the API and the command line.

use serde::Serialize;

use super::Override;
use crate::domain::Timestamp;
use crate::provision::finding::{Apart, ClaimId, Finding, Status};

/// Every claim, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// `failed` when any claim failed; else `not_verifiable` when one is, without which no byte is taken; else `passed`.
    pub status: Status,
    /// When the last complete look ended.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
    /// The claims, each with when it was seen.
    pub claims: Vec<Judged>,
    /// Controls that scanners ask for and no service of this kind can meet, with the reason; they fail nothing.
    pub apart: Vec<Apart>,
    /// Overrides in force.
    pub overrides: Vec<Override>,
}

/// A claim, and when it was seen to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Judged {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// When: claims that only a trial can tell are tried at start, and by `strongroom bucket check`.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Timestamp,
}

impl Report {
    /// What one look or check found, all at the same time.
    pub fn of(findings: Vec<Finding>, checked_at: Timestamp, apart: Vec<Apart>, overrides: Vec<Override>) -> Self {
        let claims = findings.into_iter().map(|finding| Judged { finding, checked_at }).collect();
        Self::new(claims, checked_at, apart, overrides)
    }

    pub(super) fn new(claims: Vec<Judged>, checked_at: Timestamp, apart: Vec<Apart>, overrides: Vec<Override>) -> Self {
        let status = overall(claims.iter().map(|judged| (judged.finding.claim, judged.finding.status)));
        Self { status, checked_at, claims, apart, overrides }
    }
}

/// The status of all claims together.
pub(super) fn overall(claims: impl Iterator<Item = (ClaimId, Status)>) -> Status {
    let mut missing = ClaimId::REQUIRED.to_vec();
    for (claim, status) in claims {
        match status {
            Status::Failed => return Status::Failed,
            Status::Passed => missing.retain(|required| *required != claim),
            Status::NotVerifiable => {}
        }
    }
    if missing.is_empty() { Status::Passed } else { Status::NotVerifiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_whole_and_what_is_required_must_be_seen() {
        let passed = || ClaimId::REQUIRED.into_iter().map(|claim| (claim, Status::Passed));
        assert_eq!(overall(passed()), Status::Passed);
        assert_eq!(overall(passed().skip(1)), Status::NotVerifiable);
        let unknown = [(ClaimId::KeyPolicyLimits, Status::NotVerifiable)];
        assert_eq!(overall(passed().chain(unknown)), Status::Passed);
        assert_eq!(overall(passed().chain([(ClaimId::Tagged, Status::Failed)])), Status::Failed);
    }
}
