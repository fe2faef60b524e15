//! Moving an alias by compare-and-swap.

use serde::{Deserialize, Serialize};

use super::{Alias, VersionNumber};

/// Where whoever moves an alias believes it to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Wherever it is, or nowhere.
    #[default]
    Any,
    /// It must not be there.
    Absent,
    /// It must name this version.
    Version(VersionNumber),
}

/// A wish to set, move or remove an alias.
///
/// Its JSON is stored with a version that is to get the alias when it becomes visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasChange {
    /// Which.
    pub alias: Alias,
    /// Where to; none removes it.
    pub to: Option<VersionNumber>,
    /// Where it must be before.
    #[serde(default)]
    pub expected: Expected,
    /// Why, for its history; see [`Self::MAX_REASON`].
    #[serde(default)]
    pub reason: String,
}

/// A reason that is too long, or not one line of text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reason is at most {} characters without control characters", AliasChange::MAX_REASON)]
pub struct InvalidReason;

impl AliasChange {
    /// Longest reason, in characters.
    pub const MAX_REASON: usize = 500;

    /// Checks a reason from outside; the empty one says nothing.
    ///
    /// # Errors
    /// [`InvalidReason`].
    pub fn checked_reason(reason: &str) -> Result<String, InvalidReason> {
        let reason = reason.trim();
        let ok = reason.chars().count() <= Self::MAX_REASON && !reason.chars().any(char::is_control);
        if ok { Ok(reason.to_owned()) } else { Err(InvalidReason) }
    }
}

impl Expected {
    /// Whether an alias that is at `now` is where it is believed to be.
    pub fn holds(self, now: Option<VersionNumber>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => now.is_none(),
            Self::Version(number) => now == Some(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_read_back_also_without_what_has_a_default() {
        let of = |expected| AliasChange {
            alias: "production".parse().unwrap(),
            to: VersionNumber::new(7),
            expected,
            reason: String::new(),
        };
        for expected in [Expected::Any, Expected::Absent, Expected::Version(VersionNumber::new(6).unwrap())] {
            let json = serde_json::to_string(&of(expected)).unwrap();
            assert_eq!(serde_json::from_str::<AliasChange>(&json).unwrap(), of(expected), "{json}");
        }
        let short: AliasChange = serde_json::from_str(r#"{"alias":"production","to":7}"#).unwrap();
        assert_eq!(short, of(Expected::Any));
    }

    #[test]
    fn what_is_expected_holds_or_not() {
        let (six, seven) = (VersionNumber::new(6), VersionNumber::new(7));
        assert!(Expected::Any.holds(None) && Expected::Any.holds(six));
        assert!(Expected::Absent.holds(None) && !Expected::Absent.holds(six));
        let is_six = Expected::Version(six.unwrap());
        assert!(is_six.holds(six) && !is_six.holds(seven) && !is_six.holds(None));
    }

    #[test]
    fn reason_is_one_bounded_line() {
        assert_eq!(AliasChange::checked_reason("  canary passed "), Ok("canary passed".to_owned()));
        assert_eq!(AliasChange::checked_reason(&"é".repeat(500)), Ok("é".repeat(500)));
        for bad in ["a\nb", "a\u{1b}[2J", &"x".repeat(501)] {
            assert_eq!(AliasChange::checked_reason(bad), Err(InvalidReason), "{bad}");
        }
    }
}
