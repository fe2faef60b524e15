//! Object Lock: until when a version may not be deleted, and which change of that is allowed. Pure.

use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LockMode {
    /// Who has the permission and says so may delete or shorten.
    Governance,
    /// Nobody may, the owner's root included.
    Compliance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retention {
    pub(crate) mode: LockMode,
    pub(crate) until_ms: i64,
}

/// What protects one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lock {
    pub(crate) retention: Option<Retention>,
    /// `None`: never set, which S3 tells from switched off.
    pub(crate) legal_hold: Option<bool>,
}

/// Object Lock of a bucket: once there, it stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketLock {
    /// What new versions get that bring no retention of their own.
    pub(crate) default: Option<DefaultRetention>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefaultRetention {
    pub(crate) mode: LockMode,
    pub(crate) period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Period {
    Days(u32),
    Years(u32),
}

impl Lock {
    /// Whether the version must stay; `bypass`: the caller may and wants to override governance.
    pub(crate) fn protects(&self, now_ms: i64, bypass: bool) -> bool {
        let retained = self.retention.is_some_and(|retention| {
            retention.is_active(now_ms) && !(bypass && retention.mode == LockMode::Governance)
        });
        retained || self.legal_hold == Some(true)
    }
}

impl Retention {
    fn is_active(self, now_ms: i64) -> bool {
        self.until_ms > now_ms
    }

    /// Whether this may be replaced: while it is active, only by a longer one of its mode, or with a bypass.
    pub(crate) fn may_become(self, next: Option<Self>, now_ms: i64, bypass: bool) -> bool {
        let extends = next.is_some_and(|next| next.mode == self.mode && next.until_ms >= self.until_ms);
        !self.is_active(now_ms) || extends || (bypass && self.mode == LockMode::Governance)
    }
}

impl DefaultRetention {
    /// The retention of a version that is made now; a year has 365 days.
    pub(crate) fn from(self, now_ms: i64) -> Retention {
        let days = match self.period {
            Period::Days(days) => i64::from(days),
            Period::Years(years) => i64::from(years) * 365,
        };
        Retention { mode: self.mode, until_ms: now_ms.saturating_add(days.saturating_mul(DAY_MS)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Compliance, Governance};

    const NOW: i64 = 1_000;

    fn retained(mode: LockMode, until_ms: i64) -> Retention {
        Retention { mode, until_ms }
    }

    #[test]
    fn only_governance_can_be_bypassed_and_only_until_its_time() {
        let lock = |mode, until_ms| Lock { retention: Some(retained(mode, until_ms)), legal_hold: None };
        for (lock, bypass, protected) in [
            (Lock::default(), false, false),
            (lock(Governance, NOW + 1), false, true),
            (lock(Governance, NOW + 1), true, false),
            (lock(Compliance, NOW + 1), true, true),
            (lock(Compliance, NOW), false, false),
            (Lock { retention: None, legal_hold: Some(true) }, true, true),
            (Lock { retention: None, legal_hold: Some(false) }, false, false),
            (Lock { legal_hold: Some(true), ..lock(Governance, NOW + 1) }, true, true),
        ] {
            assert_eq!(lock.protects(NOW, bypass), protected, "{lock:?}, bypass {bypass}");
        }
    }

    #[test]
    fn retention_grows_and_shrinks_only_under_governance_with_a_bypass() {
        let (shorter, longer) = (NOW + 5, NOW + 20);
        let active = |mode| retained(mode, NOW + 10);
        for (from, to, bypass, allowed) in [
            (active(Compliance), Some(retained(Compliance, longer)), false, true),
            (active(Compliance), Some(retained(Compliance, shorter)), true, false),
            (active(Compliance), Some(retained(Governance, longer)), true, false),
            (active(Compliance), None, true, false),
            (active(Governance), Some(retained(Governance, longer)), false, true),
            (active(Governance), Some(retained(Governance, shorter)), false, false),
            (active(Governance), Some(retained(Governance, shorter)), true, true),
            (active(Governance), None, true, true),
            (active(Governance), None, false, false),
            (retained(Compliance, NOW), None, false, true),
        ] {
            assert_eq!(from.may_become(to, NOW, bypass), allowed, "{from:?} to {to:?}, bypass {bypass}");
        }
    }

    #[test]
    fn a_default_counts_from_when_the_version_is_made() {
        let default = |period| DefaultRetention { mode: Governance, period }.from(NOW).until_ms - NOW;
        assert_eq!(default(Period::Days(2)), 2 * DAY_MS);
        assert_eq!(default(Period::Years(1)), 365 * DAY_MS);
    }
}
