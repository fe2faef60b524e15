//! Texts that callers carry for the service, and may neither read nor make.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Every text is filled up to this many bytes, so that its length says nothing: two names and what is between them fit.
const FILLED: usize = 256;

/// A key under which texts are sealed, each for one principal.
#[derive(Clone)]
pub struct Seal(Arc<RandomizedNonceKey>);

impl Seal {
    /// With this key; none only where the crypto library has no AES-256-GCM.
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key).ok().map(|key| Self(Arc::new(key)))
    }

    /// A new key; none when the operating system has no randomness to give.
    pub fn new_key() -> Option<[u8; 32]> {
        let mut key = [0; 32];
        rand::fill(&mut key).ok().map(|()| key)
    }

    /// Seals a text of at most 256 bytes without NUL; none for a longer one.
    pub fn close(&self, text: &str, principal: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.len() > FILLED || bytes.contains(&0) {
            return None;
        }
        bytes.resize(FILLED, 0);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(principal), &mut bytes).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_ref(), &bytes[..]].concat()))
    }

    /// The text; none when it was not sealed for this principal.
    pub fn open(&self, sealed: &str, principal: &str) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        if bytes.len() <= NONCE_LEN {
            return None;
        }
        let mut sealed = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let text = self.0.open_in_place(nonce, Aad::from(principal), &mut sealed).ok()?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        String::from_utf8(text[..end].to_vec()).ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_is_opened_by_whom_it_is_for_and_by_nobody_else() {
        let (seal, other) = (Seal::new(&[7; 32]).unwrap(), Seal::new(&[8; 32]).unwrap());
        let sealed = seal.close("vision/secret", "token:ci").unwrap();
        assert_eq!(seal.open(&sealed, "token:ci").as_deref(), Some("vision/secret"));
        assert_eq!(seal.open(&sealed, "token:other"), None);
        assert_eq!(other.open(&sealed, "token:ci"), None);
        assert_ne!(seal.close("vision/secret", "token:ci").unwrap(), sealed);
        assert_eq!(seal.close("v/s", "token:ci").unwrap().len(), sealed.len(), "its length says nothing");
        let mut forged = sealed.clone();
        forged.replace_range(20..21, if &sealed[20..21] == "A" { "B" } else { "A" });
        for wrong in [forged.as_str(), &sealed[1..], "", "n0", "dmlzaW9uL3NlY3JldA"] {
            assert_eq!(seal.open(wrong, "token:ci"), None, "{wrong}");
        }
        assert_eq!(seal.close(&"x".repeat(257), "token:ci"), None);
    }
}
