//! API tokens.

use aws_lc_rs::rand;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::Sha256Digest;

const PREFIX: &str = "sr_";
const SECRET_BYTES: usize = 32;
const CHECK_DIGITS: usize = 8;

/// An API token: `sr_`, 256 random bits in hex, and 8 hex digits of their SHA-256 for secret scanners.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// A new token.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn generate() -> Self {
        let mut bytes = [0_u8; SECRET_BYTES];
        rand::fill(&mut bytes).expect("the operating system gives random bytes");
        let secret = hex::encode(bytes);
        let check = check(&secret);
        Self(format!("{PREFIX}{secret}{check}").into())
    }

    /// The token, unless the text does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if rest.len() != 2 * SECRET_BYTES + CHECK_DIGITS || !rest.is_ascii() {
            return None;
        }
        let (secret, given) = rest.split_at(2 * SECRET_BYTES);
        (check(secret) == given).then(|| Self(text.to_owned().into()))
    }

    /// What the catalog stores of it. A fast hash is right for a secret of full entropy.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.expose_secret().as_bytes())
    }

    /// The text, to be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

fn check(secret: &str) -> String {
    let mut digest = Sha256Digest::of(secret.as_bytes()).to_string();
    digest.truncate(CHECK_DIGITS);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_a_mistyped_one_is_not() {
        let token = Token::generate();
        assert_eq!(Token::parse(token.expose()).unwrap().digest(), token.digest());
        let mut wrong = token.expose().to_owned();
        wrong.replace_range(5..6, if &wrong[5..6] == "0" { "1" } else { "0" });
        assert!(Token::parse(&wrong).is_none());
        for text in ["", "sr_", "sr_abc", "hf_0000", &format!("{}0", token.expose())] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_does_not_show_in_a_debug_print() {
        let token = Token::generate();
        assert!(!format!("{token:?}").contains(&token.expose()[3..20]));
    }
}
