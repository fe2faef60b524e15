//! Ids that the service makes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

macro_rules! id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Ulid);

        impl $type {
            /// A new id.
            pub fn generate() -> Self {
                Self(Ulid::generate())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = ulid::DecodeError;

            /// Only as it is written: other letters for a digit, or digits that do not fit, are another text.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Self(Ulid::from_string(text)?);
                if id.to_string() == text { Ok(id) } else { Err(ulid::DecodeError::InvalidChar) }
            }
        }
    };
}

id!(
    /// Id of a draft, and of the prefix of its objects: a ULID, so that prefixes sort by time.
    DraftId
);
id!(
    /// Id of an upload of one file into a draft; S3 knows the same upload by another.
    UploadId
);

/// Unguessable mark that every write to S3 carries in its object metadata.
///
/// It is recorded before the write; when an answer is lost, the object with the token is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadToken(String);

impl UploadToken {
    /// 128 random bits in hex.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn generate() -> Self {
        let mut bytes = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(hex::encode(bytes))
    }

    /// A token as the catalog stored it.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The token as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_has_one_spelling() {
        let id = DraftId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "01arz3ndektsv4rrffq69g5fav", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "O1ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(text.parse::<DraftId>().is_err(), "{text}");
        }
    }
}
