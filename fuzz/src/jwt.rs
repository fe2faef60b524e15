//! Bearer tokens of an identity provider whose key is known.
//!
//! `raw` and a token; or `signed` or `forged`, then a line of header and lines of claims, from which a token is made
//! here: signed with the issuer's key, or with another one.

use std::sync::LazyLock;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom::access::oidc::{Algorithm, Identity, IssuerSettings, Issuers, KeyPlace, LEEWAY, Windows};
use time::OffsetDateTime;

use crate::input;
use crate::wire;

pub(crate) const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "strongroom";

/// The issuer's key, and one that it does not have.
pub(crate) static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| key_pair(7));
static OTHER: LazyLock<Ed25519KeyPair> = LazyLock::new(|| key_pair(8));

static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let file = wire::folder().join("keys.json");
    let keys = json!({ "keys": [public_key(&KEY, "k"), {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}] });
    std::fs::write(&file, keys.to_string()).unwrap();
    Issuers::new(vec![(settings(KeyPlace::File(file)), reqwest::Client::new())], Windows::default())
});

fn key_pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn public_key(key: &Ed25519KeyPair, id: &str) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(key.public_key())})
}

pub(crate) fn settings(keys: KeyPlace) -> IssuerSettings {
    IssuerSettings {
        name: "ci".to_owned(),
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        principal_claim: "sub".to_owned(),
        groups_claim: Some("groups".to_owned()),
        claims: vec!["ref".to_owned(), "/k.io/namespace".to_owned()],
        algorithms: Algorithm::ALL.to_vec(),
        keys,
        ca_file: None,
    }
}

pub(crate) fn token(key: &Ed25519KeyPair, header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()));
    format!("{text}.{signature}")
}

pub(crate) fn check(bytes: &[u8]) {
    let (mode, rest) = input::first_line(bytes);
    let (header, claims) = input::first_line(rest);
    let text = match mode {
        b"signed" => token(&KEY, header, claims),
        b"forged" => token(&OTHER, header, claims),
        _ => match std::str::from_utf8(rest) {
            Ok(text) => text.to_owned(),
            Err(_) => return,
        },
    };
    let Some(outcome) = wire::block_on(ISSUERS.identify(&text)) else {
        let is_made = matches!(mode, b"signed" | b"forged");
        assert!(!is_made || header.is_empty() || claims.is_empty(), "a JWT is taken for something else");
        return;
    };
    let Ok(identity) = outcome else { return };
    assert!(mode != b"forged", "a forged token is believed");
    proven(&text, &identity);
}

/// What must hold of a token that was believed, found out in another way.
pub(crate) fn proven(text: &str, identity: &Identity) {
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = UnparsedPublicKey::new(&ED25519, KEY.public_key().as_ref());
    public.verify(signed.as_bytes(), &signature).expect("a token is believed that the issuer has not signed");
    let object = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = (object(header), object(claims));
    assert_eq!(header["alg"], "EdDSA");
    assert!(header.get("crit").is_none());
    assert_eq!(claims["iss"], ISSUER);
    let audience = &claims["aud"];
    assert!(audience == AUDIENCE || audience.as_array().unwrap().iter().any(|one| one == AUDIENCE), "{audience}");
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are below 2^53")]
    let (now, leeway) = (OffsetDateTime::now_utc().unix_timestamp() as f64, LEEWAY as f64 + 1.0);
    assert!(claims["exp"].as_f64().unwrap() >= now - leeway, "it has expired");
    for name in ["nbf", "iat"] {
        assert!(claims.get(name).is_none_or(|time| time.as_f64().unwrap() <= now + leeway), "{name} is to come");
    }
    assert_eq!(claims["sub"], identity.subject);
    assert_eq!(identity.principal, format!("oidc:ci:{}", identity.subject));
    assert!(!identity.subject.contains(char::is_control) && (1..=512).contains(&identity.subject.len()));
    for group in &identity.groups {
        let group = group.strip_prefix("ci:").unwrap();
        let stated = &claims["groups"];
        assert!(stated == group || stated.as_array().unwrap().iter().any(|one| one == group));
    }
    assert!(identity.claims.values().all(|value| value.len() <= 512));
}
