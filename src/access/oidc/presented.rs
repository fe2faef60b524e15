//! What a token says before anything is proven: enough to find its issuer and key, and nothing that is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Refused;
use crate::domain::check_json;

/// Longest token in bytes. Those of GitHub, GitLab and Kubernetes have 1 to 3 KiB.
const LONGEST: usize = 16 * 1024;
/// Longest key id in bytes: ids are kept in memory for a while.
const LONGEST_KID: usize = 256;

/// The parts of a token that are needed before its signature is checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
    pub(super) issuer: String,
}

/// Whether the text is three parts of base64url: the compact form of a JWS. The last one may be empty (`alg: none`).
pub(super) fn has_the_form(text: &str) -> bool {
    let base64url = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None) => {
            !header.is_empty() && !claims.is_empty() && [header, claims, signature].into_iter().all(base64url)
        }
        _ => false,
    }
}

impl Presented {
    /// Reads a text that [`has_the_form`] of a token.
    pub(super) fn read(text: &str) -> Result<Self, Refused> {
        if text.len() > LONGEST {
            return Err(Refused::Invalid("it is too long"));
        }
        let mut parts = text.split('.');
        let header = object(parts.next()).ok_or(Refused::Invalid("its header is not a JSON object"))?;
        let claims = object(parts.next()).ok_or(Refused::Invalid("its claims are not a JSON object"))?;
        // `jku`, `x5u`, `jwk` and `x5c` would bring a key along, and are not looked at. What is critical and unknown
        // must refuse (RFC 7515 §4.1.11), and nothing is known here.
        if header.contains_key("crit") {
            return Err(Refused::Invalid("its header has critical extensions"));
        }
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) if is_ours(typ) => {}
            Some(_) => return Err(Refused::Invalid("its type is neither JWT nor at+jwt")),
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= LONGEST_KID => Some(kid.clone()),
            Some(_) => return Err(Refused::Invalid("its key id is not a text of 1 to 256 bytes")),
        };
        let text_of = |object: &Map<String, Value>, name: &str| object.get(name)?.as_str().map(str::to_owned);
        Ok(Self {
            algorithm: text_of(&header, "alg").ok_or(Refused::Invalid("it names no algorithm"))?,
            kid,
            issuer: text_of(&claims, "iss").ok_or(Refused::Invalid("it names no issuer"))?,
        })
    }
}

/// A media type is compared without case, and `application/` may be left out (RFC 7515 §4.1.9).
fn is_ours(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// A part as an object that says no name twice: of two values another reader of the same token may take the other one.
fn object(part: Option<&str>) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part?).ok()?;
    check_json(&bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    fn reason(header: &str, claims: &str) -> &'static str {
        match Presented::read(&token(header, claims)) {
            Err(Refused::Invalid(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    const CLAIMS: &str = r#"{"iss":"https://i"}"#;

    #[test]
    fn other_kinds_of_tokens_do_not_have_the_form() {
        for text in
            ["", "sr_0123", "a.b", "a.b.c.d", "a.b.c.d.e", ".b.c", "a..c", "a.b.c=", "a.b .c", "ä.b.c", "a.b.c\n"]
        {
            assert!(!has_the_form(text), "{text}");
        }
        assert!(has_the_form("a.b.c"));
        assert!(has_the_form("a.b."), "an unsigned token is one, and is refused as one");
    }

    #[test]
    fn header_and_issuer_are_read() {
        let text = token(r#"{"alg":"RS256","kid":"k","typ":"JWT","jku":"https://evil"}"#, CLAIMS);
        let read = Presented::read(&text).unwrap();
        assert_eq!(read, Presented { algorithm: "RS256".into(), kid: Some("k".into()), issuer: "https://i".into() });
    }

    #[test]
    fn types_are_those_of_access_and_identity_tokens() {
        for typ in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
            assert!(Presented::read(&token(&format!(r#"{{"alg":"x","typ":"{typ}"}}"#), CLAIMS)).is_ok(), "{typ}");
        }
        for typ in [r#""logout+jwt""#, r#""dpop+jwt""#, r#""""#, "null", "1"] {
            let reason = reason(&format!(r#"{{"alg":"x","typ":{typ}}}"#), CLAIMS);
            assert_eq!(reason, "its type is neither JWT nor at+jwt", "{typ}");
        }
    }

    #[test]
    fn what_is_malformed_or_ambiguous_is_refused() {
        assert_eq!(reason(r#"{"alg":"x","crit":["b64"]}"#, CLAIMS), "its header has critical extensions");
        assert_eq!(reason(r#"{"alg":"x","crit":null}"#, CLAIMS), "its header has critical extensions");
        assert_eq!(reason(r#"{"kid":"k"}"#, CLAIMS), "it names no algorithm");
        assert_eq!(reason(r#"{"alg":"x"}"#, r#"{"iss":["https://i"]}"#), "it names no issuer");
        assert_eq!(reason(r#"{"alg":"x"}"#, r#"{"iss":"a","iss":"b"}"#), "its claims are not a JSON object");
        assert_eq!(reason(r#"{"alg":"x","alg":"y"}"#, CLAIMS), "its header is not a JSON object");
        assert_eq!(reason("[]", CLAIMS), "its header is not a JSON object");
        for kid in [r#""""#, "7", "null", &format!("{:?}", "k".repeat(257))] {
            let reason = reason(&format!(r#"{{"alg":"x","kid":{kid}}}"#), CLAIMS);
            assert_eq!(reason, "its key id is not a text of 1 to 256 bytes", "{kid}");
        }
        let long = token(r#"{"alg":"x"}"#, &format!(r#"{{"iss":"i","x":"{}"}}"#, "x".repeat(LONGEST)));
        assert_eq!(Presented::read(&long), Err(Refused::Invalid("it is too long")));
    }
}
