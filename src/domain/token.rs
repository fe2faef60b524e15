//! Ids that the service makes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Id of a draft: a ULID, so that prefixes sort by time. It names the prefix of the draft's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(Ulid);

impl DraftId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }
}

impl fmt::Display for DraftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DraftId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self)
    }
}

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
