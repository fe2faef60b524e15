//! Texts that people write for people: descriptions and reasons.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What is said of a model or a version: at most 16 KiB, without control characters but line breaks and tabs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(String);

/// Why something is done: 1 to 500 characters in one line, not only blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(String);

/// Why a text is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWords {
    /// A description that is too long.
    #[error("a description is at most {max} bytes, this one has {len}")]
    TooLong {
        /// Its size.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A character that no text has.
    #[error("a description holds no control characters but line breaks and tabs")]
    Control,
    /// No reason.
    #[error("a reason is 1 to 500 characters in one line")]
    Reason,
}

impl Description {
    /// Longest description, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Description {
    type Err = InvalidWords;

    fn from_str(text: &str) -> Result<Self, InvalidWords> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidWords::TooLong { len: text.len(), max: Self::MAX_BYTES });
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(InvalidWords::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = InvalidWords;

    fn from_str(text: &str) -> Result<Self, InvalidWords> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= 500 && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidWords::Reason) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_and_cannot_move_a_cursor() {
        assert_eq!("a\nb\tc".parse::<Description>().unwrap().as_str(), "a\nb\tc");
        assert_eq!("\u{1b}[2J".parse::<Description>(), Err(InvalidWords::Control));
        assert!("x".repeat(16 * 1024 + 1).parse::<Description>().is_err());
        assert_eq!(" lawsuit 4711 ".parse::<Reason>().unwrap().as_str(), "lawsuit 4711");
        for text in ["", "  ", "a\nb", &"x".repeat(501)] {
            assert_eq!(text.parse::<Reason>(), Err(InvalidWords::Reason), "{text:.9}");
        }
    }
}
