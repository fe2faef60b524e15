//! How a version is named.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Sha256Digest;

/// Number of a version within its model: 1, 2, 3 …
///
/// Given by the catalog in one transaction, never reused, also not after a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionNumber(NonZeroU32);

impl VersionNumber {
    /// The number, unless it is zero, negative or above `u32::MAX`.
    pub fn new(number: i64) -> Option<Self> {
        u32::try_from(number).ok().and_then(NonZeroU32::new).map(Self)
    }

    /// The number as the catalog stores it.
    pub fn get(self) -> i64 {
        i64::from(self.0.get())
    }
}

impl FromStr for VersionNumber {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let number = text.parse().ok().filter(|_| !text.starts_with(['0', '+'])).and_then(Self::new);
        number.ok_or_else(|| InvalidRef::Number(text.to_owned()))
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a version is named in a URL for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// Its number.
    Number(VersionNumber),
    /// The highest published version.
    Latest,
    /// The highest visible version with this digest, written `sha256:<hex>`.
    Digest(Sha256Digest),
    /// A movable name.
    Alias(Alias),
}

/// A movable name of a version.
///
/// 1 to 128 bytes of `A-Z a-z 0-9 . _ -` and inner single `/`, case-sensitive, starting with a letter or digit,
/// without `..`; not a number, not a digest, not `latest` in any case, not a word that is a segment of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(String);

/// Words that stand where an alias could stand in a URL.
const RESERVED: [&str; 6] = ["latest", "compare", "files", "download-urls", "restore", "versions"];

/// Why a text names no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRef {
    /// Neither number, `latest`, digest nor alias.
    #[error(
        "a version is named by its number, `latest`, an alias (1 to 128 bytes of `A-Z a-z 0-9 . _ - /`) or \
         `sha256:` and 64 lower-case hex digits, not {0:?}"
    )]
    Form(String),
    /// Digits that are no version number.
    #[error("a version number is between 1 and 4294967295 without leading zeros, not {0:?}")]
    Number(String),
    /// Digits that cannot be an alias.
    #[error("an alias has a character that is no digit: `{0}` would be a version number")]
    Digits(String),
    /// A word that cannot be an alias.
    #[error("`{0}` is reserved and cannot be an alias")]
    Reserved(String),
}

impl Alias {
    /// The alias as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Alias {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let form = || InvalidRef::Form(text.chars().take(160).collect());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) || text.contains("..") {
            return Err(form());
        }
        if text.split('/').any(|segment| !segment.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            return Err(form());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidRef::Digits(text.to_owned()));
        }
        if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return Err(InvalidRef::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Alias {
    type Error = InvalidRef;

    fn try_from(text: String) -> Result<Self, InvalidRef> {
        text.parse()
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        alias.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VersionRef {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(hex) = text.strip_prefix("sha256:") {
            return hex.parse().map(Self::Digest).map_err(|_| InvalidRef::Form(text.chars().take(160).collect()));
        }
        if !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Number);
        }
        text.parse().map(Self::Alias)
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Latest => f.write_str("latest"),
            Self::Digest(digest) => write!(f, "sha256:{digest}"),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_forms_are_told_apart() {
        let of = |text: &str| text.parse::<VersionRef>().unwrap();
        assert_eq!(of("7"), VersionRef::Number(VersionNumber::new(7).unwrap()));
        assert_eq!(of("latest"), VersionRef::Latest);
        let digest = Sha256Digest::of(b"x");
        assert_eq!(of(&format!("sha256:{digest}")), VersionRef::Digest(digest));
        assert!(matches!(of("production/eu"), VersionRef::Alias(_)));
    }

    #[test]
    fn each_refusal_says_which_rule() {
        assert!(matches!("7".parse::<Alias>(), Err(InvalidRef::Digits(_))));
        let of = |text: &str| text.parse::<VersionRef>().unwrap_err();
        for text in ["0", "007", "4294967296", "99999999999999999999"] {
            assert!(matches!(of(text), InvalidRef::Number(_)), "{text}");
        }
        for text in ["", "sha256:abc", "a b", "a//b", "/a", "a/", "-1", "..", "é", &"x".repeat(129)] {
            assert!(matches!(of(text), InvalidRef::Form(_)), "{text}");
        }
        for text in ["Latest", "compare", "FILES"] {
            assert!(matches!(of(text), InvalidRef::Reserved(_)), "{text}");
        }
    }
}
