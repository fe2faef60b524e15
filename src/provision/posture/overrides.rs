//! Overrides: an operator lets writes pass in spite of a named claim, until a stated time.

use std::time::Duration;

use serde::Serialize;

use crate::domain::Timestamp;
use crate::provision::finding::{ClaimId, Effect};

/// How far ahead an override may end.
pub const LONGEST_OVERRIDE: Duration = Duration::from_hours(7 * 24);
/// Longest reason, in characters.
pub(super) const LONGEST_REASON: usize = 500;

/// Writes pass in spite of this claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Override {
    /// Which claim; always a blocking one.
    pub claim: ClaimId,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Why, for the audit.
    pub reason: String,
    /// Who made it.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Why an override cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOverride {
    /// The claim refuses nothing.
    #[error("`{0}` is a degrading claim: it refuses no writes, so there is nothing to override")]
    Degrading(ClaimId),
    /// It would be over at once.
    #[error("an override ends in the future: `until` is past")]
    Past,
    /// It would last too long.
    #[error("an override lasts at most 7 days: choose an earlier `until`, and renew it if it is still needed")]
    TooLong,
    /// Nobody would know why.
    #[error("an override needs a `reason` of 1 to {LONGEST_REASON} characters")]
    Reason,
}

/// What became of an override, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideNews {
    /// It is in force from now on, or is found in force at start.
    InForce(Override),
    /// Its time is over, or somebody ended it.
    Over(Override),
}

impl Override {
    /// An override from `since` on.
    ///
    /// # Errors
    /// [`InvalidOverride`] says what an operator has to change.
    pub fn new(
        claim: ClaimId,
        until: Timestamp,
        reason: &str,
        by: impl Into<String>,
        since: Timestamp,
    ) -> Result<Self, InvalidOverride> {
        let reason = reason.trim();
        if claim.effect() != Effect::Blocking {
            return Err(InvalidOverride::Degrading(claim));
        }
        if until <= since {
            return Err(InvalidOverride::Past);
        }
        if until > since.plus(LONGEST_OVERRIDE) {
            return Err(InvalidOverride::TooLong);
        }
        if reason.is_empty() || reason.chars().count() > LONGEST_REASON || reason.chars().any(char::is_control) {
            return Err(InvalidOverride::Reason);
        }
        Ok(Self { claim, until, reason: reason.to_owned(), by: by.into(), since })
    }

    /// Whether it still counts.
    pub fn in_force(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn override_is_for_a_blocking_claim_with_a_reason_and_a_near_end() {
        let now = Timestamp::from_millis(1_000_000);
        let hours = |n: u64| now.plus(Duration::from_hours(n));
        let make = |claim, until, reason: &str| Override::new(claim, until, reason, "me", now);
        assert_eq!(make(ClaimId::Versioned, hours(168), " why ").unwrap().reason, "why");
        assert_eq!(make(ClaimId::Tagged, hours(1), "why"), Err(InvalidOverride::Degrading(ClaimId::Tagged)));
        assert_eq!(make(ClaimId::Versioned, now, "why"), Err(InvalidOverride::Past));
        assert_eq!(make(ClaimId::Versioned, hours(169), "why"), Err(InvalidOverride::TooLong));
        for reason in ["", "  ", "two\nlines", &"x".repeat(501)] {
            assert_eq!(make(ClaimId::Versioned, hours(1), reason), Err(InvalidOverride::Reason), "{reason}");
        }
    }
}
