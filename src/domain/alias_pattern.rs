//! Which aliases a namespace protects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Alias;

/// An alias, or several: each `*` stands for any characters, also for none; at most 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AliasPattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pattern of aliases is 1 to 128 bytes of `A-Z a-z 0-9 . _ - /` and `*`, not {0:?}")]
pub struct InvalidAliasPattern(String);

impl AliasPattern {
    /// Most patterns of one namespace.
    pub const MOST: usize = 100;

    /// Whether an alias is one of those that are meant, also in another case: who protects `production` does not want
    /// others to move `Production`.
    pub fn matches(&self, alias: &Alias) -> bool {
        let (pattern, alias) = (self.0.to_ascii_lowercase(), alias.as_str().to_ascii_lowercase());
        let mut rest = alias.as_str();
        let mut pieces = pattern.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(after) = rest.strip_prefix(first) else { return false };
        rest = after;
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

impl FromStr for AliasPattern {
    type Err = InvalidAliasPattern;

    fn from_str(text: &str) -> Result<Self, InvalidAliasPattern> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'*');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAliasPattern(text.chars().take(160).collect()))
        }
    }
}

impl TryFrom<String> for AliasPattern {
    type Error = InvalidAliasPattern;

    fn try_from(text: String) -> Result<Self, InvalidAliasPattern> {
        text.parse()
    }
}

impl From<AliasPattern> for String {
    fn from(pattern: AliasPattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for AliasPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_characters_and_nothing_else_does() {
        let is = |pattern: &str, alias: &str| {
            pattern.parse::<AliasPattern>().unwrap().matches(&alias.parse::<Alias>().unwrap())
        };
        for (pattern, alias) in [
            ("production", "production"),
            ("*", "anything"),
            ("release/*", "release/1.2"),
            ("*-eu", "prod-eu"),
            ("a*b*c", "axxbyyc"),
            ("a*b*c", "abc"),
            ("a*", "a"),
            ("*a*a", "aa"),
            ("production", "Production"),
            ("Release/*", "release/2"),
        ] {
            assert!(is(pattern, alias), "{pattern} {alias}");
        }
        for (pattern, alias) in [
            ("production", "production2"),
            ("release/*", "release"),
            ("a*b*c", "acb"),
            ("a*a", "a"),
            ("pro.uction", "production"),
        ] {
            assert!(!is(pattern, alias), "{pattern} {alias}");
        }
        for text in ["", "a b", "[a-z]", &"x".repeat(129)] {
            assert!(text.parse::<AliasPattern>().is_err(), "{text}");
        }
    }
}
