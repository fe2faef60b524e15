//! Names of namespaces and models.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MAX_BYTES: usize = 96;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Empty or too long.
    #[error("a {what} is 1 to 96 bytes long, this one has {len}")]
    Length {
        /// Which kind of name.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A first character that is neither letter nor digit.
    #[error("a {what} starts with a letter or a digit")]
    Start {
        /// Which kind of name.
        what: &'static str,
    },
    /// A character outside the alphabet.
    #[error("a {what} holds only `A-Z a-z 0-9 . _ -`, not {found:?}")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The first offender.
        found: char,
    },
    /// Two dots in a row.
    #[error("a {what} does not hold `..`")]
    DotDot {
        /// Which kind of name.
        what: &'static str,
    },
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.is_empty() || text.len() > MAX_BYTES {
        return Err(InvalidName::Length { what, len: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(found) = text.chars().find(|c| !allowed(*c)) {
        return Err(InvalidName::Character { what, found });
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(InvalidName::Start { what });
    }
    if text.contains("..") {
        return Err(InvalidName::DotDot { what });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 96 bytes of `A-Z a-z 0-9 . _ -`, starting with a letter or digit, without `..`: it needs no escaping
        /// in a URL path, an S3 key or a log line. The first spelling is kept; [`Self::folded`] is what is unique.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as it was first written.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The lower-case form, by which names are compared.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check($what, text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                check($what, &text).map(|()| Self(text))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of a namespace: the tenant boundary that owns models.
    Namespace,
    "namespace"
);
name!(
    /// Name of a model within its namespace.
    ModelName,
    "model name"
);

/// A model, as `{namespace}/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// Who owns it.
    pub namespace: Namespace,
    /// What it is called there.
    pub name: ModelName,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_grammar_are_kept_as_written() {
        for text in ["a", "7", "ResNet-50", "a.b_c-d", &"x".repeat(96)] {
            assert_eq!(text.parse::<ModelName>().unwrap().as_str(), text);
        }
        assert_eq!("ResNet-50".parse::<ModelName>().unwrap().folded(), "resnet-50");
    }

    #[test]
    fn each_refusal_says_which_rule() {
        let of = |text: &str| text.parse::<Namespace>().unwrap_err().to_string();
        assert_eq!(of(""), "a namespace is 1 to 96 bytes long, this one has 0");
        assert_eq!(of(&"x".repeat(97)), "a namespace is 1 to 96 bytes long, this one has 97");
        assert_eq!(of("-a"), "a namespace starts with a letter or a digit");
        assert_eq!(of("a..b"), "a namespace does not hold `..`");
        for bad in ["a b", "a/b", "é", "a\0", "a%2f", "a\\b", "a\n"] {
            assert!(of(bad).starts_with("a namespace holds only"), "{bad:?}");
        }
    }
}
