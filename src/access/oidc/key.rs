//! The keys that an issuer publishes (RFC 7517), and what each is good for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::Algorithm;

/// Most keys of one issuer; those beyond are not looked at. GitHub publishes 4, GitLab 3, a cluster 1 or 2.
const MOST_KEYS: usize = 100;
/// Bounds of an RSA modulus in bits: below is too weak, and above the library does not verify.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longest RSA exponent in bytes; longer ones only cost time.
const LONGEST_EXPONENT: usize = 8;

/// What a key can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const fn fits(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => matches!(self, Self::Rsa),
            Algorithm::ES256 => matches!(self, Self::P256),
            Algorithm::ES384 => matches!(self, Self::P384),
            Algorithm::EdDSA => matches!(self, Self::Ed25519),
        }
    }
}

/// A public key that may verify signatures.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<String>,
    kind: Kind,
    /// When the issuer says for which algorithm alone it is.
    only: Option<Algorithm>,
    pub(super) material: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a published key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusableKey(&'static str);

/// The keys of an issuer that may verify signatures.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// The key set as it is published; keys that are no use to us do not spoil the others (RFC 7517 §5).
#[derive(Deserialize)]
struct PublishedSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Published {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set, and says why keys of it are not used.
    ///
    /// # Errors
    /// When it is no key set at all. One without keys is one: an issuer may withdraw all of them.
    pub(super) fn read(json: &[u8]) -> Result<(Self, Vec<UnusableKey>), serde_json::Error> {
        let published: PublishedSet = serde_json::from_slice(json)?;
        let mut keys = Vec::new();
        let mut unusable = Vec::new();
        for value in published.keys.into_iter().take(MOST_KEYS) {
            let read = serde_json::from_value::<Published>(value).map_err(|_| UnusableKey("it is not a JSON Web Key"));
            match read.and_then(|published| Key::new(&published)) {
                Ok(key) => keys.push(key),
                Err(why) => unusable.push(why),
            }
        }
        Ok((Self(keys), unusable))
    }

    /// The one key that fits: with this id when one is given. None also when several do, rather than to try them all.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| {
            key.kind.fits(algorithm)
                && key.only.is_none_or(|only| only == algorithm)
                && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    /// Whether there is a key with this id, of whatever kind.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_deref() == Some(kid))
    }
}

impl Key {
    fn new(published: &Published) -> Result<Self, UnusableKey> {
        if published.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(UnusableKey("it is not for signatures"));
        }
        if published.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return Err(UnusableKey("it is not for verifying"));
        }
        let (kind, material) = match (published.kty.as_str(), published.crv.as_deref()) {
            ("RSA", _) => (Kind::Rsa, rsa(published)?),
            ("EC", Some("P-256")) => (Kind::P256, point(published, 32)?),
            ("EC", Some("P-384")) => (Kind::P384, point(published, 48)?),
            ("OKP", Some("Ed25519")) => {
                (Kind::Ed25519, DecodingKey::from_ed_der(&exactly(published.x.as_deref(), 32)?))
            }
            // `oct` too: a symmetric key that is published is no secret.
            _ => return Err(UnusableKey("it is of a kind that is not used here")),
        };
        let only = match published.alg.as_deref() {
            None => None,
            Some(name) => {
                let algorithm = Algorithm::parse(name).filter(|algorithm| kind.fits(*algorithm));
                Some(algorithm.ok_or(UnusableKey("its algorithm is not used here, or is not one of its kind"))?)
            }
        };
        Ok(Self { kid: published.kid.clone(), kind, only, material })
    }
}

fn rsa(published: &Published) -> Result<DecodingKey, UnusableKey> {
    let modulus = number(published.n.as_deref())?;
    let exponent = number(published.e.as_deref())?;
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(UnusableKey("it is an RSA key of fewer than 2048 bits, or more than 8192"));
    }
    // With an exponent of 1 everybody can sign.
    let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !is_odd || exponent == [1] || exponent.len() > LONGEST_EXPONENT {
        return Err(UnusableKey("its exponent is not usable"));
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// An uncompressed point; that it lies on the curve is checked with the first signature.
fn point(published: &Published, length: usize) -> Result<DecodingKey, UnusableKey> {
    let mut point = vec![4_u8];
    point.extend(exactly(published.x.as_deref(), length)?);
    point.extend(exactly(published.y.as_deref(), length)?);
    Ok(DecodingKey::from_ec_der(&point))
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, UnusableKey> {
    let text = text.ok_or(UnusableKey("it lacks a number"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| UnusableKey("its numbers are not base64url"))
}

fn exactly(text: Option<&str>, length: usize) -> Result<Vec<u8>, UnusableKey> {
    let bytes = bytes(text)?;
    (bytes.len() == length).then_some(bytes).ok_or(UnusableKey("its numbers do not have the length of its curve"))
}

/// A number without leading zeros, which would make a short one look long.
fn number(text: Option<&str>) -> Result<Vec<u8>, UnusableKey> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number_of(bytes: usize, first: u8) -> String {
        let mut number = vec![0xff_u8; bytes];
        number[0] = first;
        URL_SAFE_NO_PAD.encode(number)
    }

    fn rsa_key(n: &str, e: &str) -> Value {
        json!({"kty": "RSA", "kid": "r", "n": n, "e": e})
    }

    fn read(keys: &[Value]) -> (KeySet, Vec<&'static str>) {
        let (set, unusable) = KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        (set, unusable.into_iter().map(|UnusableKey(why)| why).collect())
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn weak_rsa_keys_are_not_used_however_they_are_written() {
        let weak = "it is an RSA key of fewer than 2048 bits, or more than 8192";
        let mut padded = vec![0_u8; 129];
        padded.extend([0xff; 128]);
        for n in [number_of(128, 0xff), number_of(256, 0x7f), URL_SAFE_NO_PAD.encode(padded), number_of(1025, 1)] {
            assert_eq!(read(&[rsa_key(&n, "AQAB")]).1, [weak]);
        }
        assert_eq!(read(&[rsa_key("", "AQAB")]).1, [weak]);
        assert_eq!(read(&[rsa_key(&number_of(256, 0x80), "AQAB")]).1, [""; 0]);
        for e in ["AQ", "AAAB", "Ag", "", &number_of(9, 1)] {
            assert_eq!(read(&[rsa_key(&number_of(256, 0x80), e)]).1, ["its exponent is not usable"], "{e}");
        }
    }

    #[test]
    fn keys_for_something_else_are_not_used_and_do_not_spoil_the_others() {
        let good = rsa_key(&number_of(256, 0x80), "AQAB");
        let x = number_of(32, 1);
        let keys = [
            with(good.clone(), "use", json!("enc")),
            with(good.clone(), "key_ops", json!(["encrypt"])),
            with(good.clone(), "alg", json!("RSA-OAEP")),
            with(good.clone(), "alg", json!("ES256")),
            with(good.clone(), "alg", json!("HS256")),
            json!({"kty": "oct", "kid": "o", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-521", "x": x, "y": x}),
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": x}),
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!("key"),
            good,
        ];
        let (set, unusable) = read(&keys);
        assert_eq!(unusable.len(), keys.len() - 1, "{unusable:?}");
        assert!(set.find(Some("r"), Algorithm::RS256).is_some());
    }

    #[test]
    fn a_key_verifies_the_algorithms_of_its_own_kind_only() {
        let x = number_of(32, 1);
        let keys = [
            rsa_key(&number_of(256, 0x80), "AQAB"),
            with(with(rsa_key(&number_of(256, 0x80), "AQAB"), "alg", json!("PS384")), "kid", json!("p")),
            json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": x, "y": x}),
            json!({"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": x, "use": "sig", "key_ops": ["verify"]}),
        ];
        let (set, unusable) = read(&keys);
        assert!(unusable.is_empty(), "{unusable:?}");
        let fitting = |kid: &str| -> Vec<&str> {
            Algorithm::ALL.into_iter().filter(|a| set.find(Some(kid), *a).is_some()).map(Algorithm::as_str).collect()
        };
        assert_eq!(fitting("r"), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
        assert_eq!(fitting("p"), ["PS384"]);
        assert_eq!(fitting("e"), ["ES256"]);
        assert_eq!(fitting("d"), ["EdDSA"]);
    }

    #[test]
    fn without_an_id_a_key_is_taken_only_when_no_other_fits() {
        let x = number_of(32, 1);
        let ec = |kid: &str| json!({"kty": "EC", "kid": kid, "crv": "P-256", "x": x, "y": x});
        let (one, _) = read(&[rsa_key(&number_of(256, 0x80), "AQAB"), ec("a")]);
        assert!(one.find(None, Algorithm::ES256).is_some() && one.find(None, Algorithm::EdDSA).is_none());
        let (two, _) = read(&[ec("a"), ec("b")]);
        assert!(two.find(None, Algorithm::ES256).is_none());
        let (twice, _) = read(&[ec("a"), ec("a")]);
        assert!(twice.find(Some("a"), Algorithm::ES256).is_none() && twice.knows("a"));
    }

    #[test]
    fn no_key_set_is_an_error_and_an_empty_one_is_not() {
        for text in ["", "[]", "{}", r#"{"keys":null}"#, r#"{"keys":{}}"#] {
            assert!(KeySet::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(!read(&[]).0.knows("r"));
    }
}
