//! Labels: short texts by name, on models, for policies and for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// At most 64 labels; a name is 1 to 63 bytes of `A-Z a-z 0-9 . _ - /`, a value at most 255 bytes without control
/// characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

/// Why a map is no set of labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// Too many.
    #[error("a model has at most 64 labels, these are {0}")]
    TooMany(usize),
    /// A name.
    #[error("the name of a label is 1 to 63 bytes of `A-Z a-z 0-9 . _ - /`, not {0:?}")]
    Name(String),
    /// A value.
    #[error("the value of the label `{0}` is at most 255 bytes without control characters")]
    Value(String),
}

impl Labels {
    /// Name and value of each, by name.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = InvalidLabels;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, InvalidLabels> {
        if labels.len() > 64 {
            return Err(InvalidLabels::TooMany(labels.len()));
        }
        for (name, value) in &labels {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
            if name.is_empty() || name.len() > 63 || !name.bytes().all(allowed) {
                return Err(InvalidLabels::Name(name.chars().take(100).collect()));
            }
            if value.len() > 255 || value.chars().any(char::is_control) {
                return Err(InvalidLabels::Value(name.clone()));
            }
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_hold_no_control_characters() {
        let of = |name: &str, value: &str| Labels::try_from(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(of("team/name", "vision & speech").is_ok());
        for (name, value) in [("", ""), ("a b", ""), (&*"x".repeat(64), ""), ("a", "\n"), ("a", &*"x".repeat(256))] {
            assert!(of(name, value).is_err(), "{name:?} {value:?}");
        }
        let many: BTreeMap<String, String> = (0..65).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(Labels::try_from(many), Err(InvalidLabels::TooMany(65)));
    }
}
