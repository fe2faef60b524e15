//! SHA-256 digests.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// SHA-256 of bytes as the client sees them, before any encryption S3 applies.
///
/// The text form is 64 lower-case hex digits, that of `sha256sum`; S3's headers take [`Self::to_base64`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

/// A text that is not 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 lower-case hex digits")]
pub struct InvalidDigest;

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(digest(&SHA256, bytes).as_ref())
    }

    /// The digest that a finished hash holds.
    ///
    /// # Panics
    /// Never with SHA-256, whose output is 32 bytes.
    pub fn from_hash(hash: &[u8]) -> Self {
        Self(hash.try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The form of S3's checksum headers and of RFC 9530.
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Self::to_base64`].
    ///
    /// # Errors
    /// [`InvalidDigest`] unless it is base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidDigest> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidDigest)?;
        bytes.try_into().map(Self).map_err(|_| InvalidDigest)
    }
}

/// SHA-256 over bytes that come piece by piece.
#[derive(Clone)]
pub struct Sha256Hasher(Context);

impl Default for Sha256Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that was taken.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest::from_hash(self.0.finish().as_ref())
    }
}

impl fmt::Debug for Sha256Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA-256 in progress")
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidDigest);
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidDigest)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_text_form_is_that_of_sha256sum() {
        assert_eq!(Sha256Digest::of(b"abc").to_string(), ABC);
        assert_eq!(ABC.parse::<Sha256Digest>().unwrap(), Sha256Digest::of(b"abc"));
        let base64 = Sha256Digest::of(b"abc").to_base64();
        assert_eq!(Sha256Digest::from_base64(&base64).unwrap(), Sha256Digest::of(b"abc"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", &ABC[1..], &ABC.to_uppercase(), &format!("{ABC}0"), &ABC.replace('b', "g")] {
            assert_eq!(text.parse::<Sha256Digest>(), Err(InvalidDigest), "{text}");
        }
    }
}
