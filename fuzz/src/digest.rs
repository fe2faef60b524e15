//! `Repr-Digest`: each line is one field of it.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom::domain::Sha256Digest;
use strongroom::http::digest::{REPR_DIGEST, repr_digest, stated};

pub(crate) fn check(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(REPR_DIGEST, value);
        }
        round_trip(line);
    }
    match stated(&headers) {
        Ok(None) => assert!(headers.is_empty(), "a digest that was sent is not checked"),
        Ok(Some(digest)) => {
            // It is really there, in the one form that it has.
            let form = format!("sha-256=:{}:", STANDARD.encode(digest.as_bytes()));
            let fields = headers.get_all(REPR_DIGEST).iter();
            let mut texts = fields.filter_map(|field| field.to_str().ok());
            assert!(texts.any(|field| field.contains(&form)), "{form} was not sent");
            let mut again = HeaderMap::new();
            again.insert(REPR_DIGEST, repr_digest(digest));
            assert_eq!(stated(&again), Ok(Some(digest)));
        }
        Err(_) => assert!(!headers.is_empty()),
    }
}

fn round_trip(line: &[u8]) {
    let Ok(text) = std::str::from_utf8(line) else { return };
    if let Ok(digest) = Sha256Digest::from_base64(text) {
        assert_eq!(digest.to_base64(), text);
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
