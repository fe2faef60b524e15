//! The keys that an identity provider publishes: a line with the header of a token, then the key set.

use std::sync::LazyLock;

use serde_json::Value;
use strongroom::access::oidc::{Issuers, KeyPlace, Windows};

use crate::jwt::{ISSUER, KEY, proven, public_key, settings, token};
use crate::{input, wire};

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);

pub(crate) fn check(bytes: &[u8]) {
    let (header, keys) = input::first_line(bytes);
    let file = wire::folder().join("published.json");
    // The key that signs can be named, so that sets with it are found.
    let ours = public_key(&KEY, "k")["x"].as_str().unwrap().to_owned();
    let keys = input::replace(keys, b"$X", ours.as_bytes());
    std::fs::write(&file, &keys).unwrap();
    let issuers = Issuers::new(vec![(settings(KeyPlace::File(file)), CLIENT.clone())], Windows::default());
    let claims = format!(r#"{{"iss":"{ISSUER}","aud":"strongroom","sub":"job","exp":4102444800}}"#);
    let text = token(&KEY, header, claims.as_bytes());
    if let Some(Ok(identity)) = wire::block_on(issuers.identify(&text)) {
        proven(&text, &identity);
        let set: Value = serde_json::from_slice(&keys).unwrap();
        let published = set["keys"].as_array().unwrap();
        let signs = |key: &&Value| key["x"] == ours.as_str() && key["kty"] == "OKP" && key["crv"] == "Ed25519";
        assert!(published.iter().any(|key| signs(&key)), "a key is believed that is not published");
    }
}
