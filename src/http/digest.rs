//! `Repr-Digest` (RFC 9530).

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::ApiError;
use crate::domain::Sha256Digest;

/// The name of the header.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The SHA-256 that a sender states; other algorithms beside it are passed over, alone they are refused.
///
/// # Errors
/// What is wrong with the header.
pub fn stated(headers: &HeaderMap) -> Result<Option<Sha256Digest>, String> {
    if !headers.contains_key(REPR_DIGEST) {
        return Ok(None);
    }
    let wrong = || {
        "Repr-Digest must hold `sha-256=:<base64 of 32 bytes>:` once (RFC 9530); no other algorithm is checked"
            .to_owned()
    };
    let texts: Vec<&str> =
        headers.get_all(REPR_DIGEST).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let members = texts.iter().flat_map(|text| text.split(','));
    let stated: Vec<&str> = members.filter_map(|member| member.trim().strip_prefix("sha-256=")).collect();
    let [member] = stated[..] else { return Err(wrong()) };
    let base64 = member.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or_else(wrong)?;
    Sha256Digest::from_base64(base64).map(Some).map_err(|_| wrong())
}

/// As [`stated`], for the header of a request.
pub(super) fn stated_by_request(headers: &HeaderMap) -> Result<Option<Sha256Digest>, ApiError> {
    stated(headers).map_err(|detail| ApiError::bad_request("invalid_digest", detail))
}

/// The header that states a digest.
///
/// # Panics
/// Never: base64 is a header value.
pub fn repr_digest(digest: Sha256Digest) -> HeaderValue {
    HeaderValue::from_str(&format!("sha-256=:{}:", digest.to_base64())).expect("base64 is plain ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<Sha256Digest>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(REPR_DIGEST, HeaderValue::from_str(text).unwrap());
        stated(&headers)
    }

    #[test]
    fn what_is_written_is_read_back_also_beside_other_algorithms() {
        let digest = Sha256Digest::of(b"abc");
        let text = repr_digest(digest).to_str().unwrap().to_owned();
        assert_eq!(of(&text), Ok(Some(digest)));
        assert_eq!(of(&format!("sha-512=:AAAA:, {text}")), Ok(Some(digest)));
        assert_eq!(stated(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_digest_that_cannot_be_checked_is_refused() {
        for text in [
            "",
            "sha-512=:AAAA:",
            "sha-256=AAAA",
            "sha-256=:AAAA:",
            "sha-256=::",
            "md5=:x:",
            "sha-256=:a:, sha-256=:b:",
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
