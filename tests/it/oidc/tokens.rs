//! Which tokens are believed.

use serde_json::{Value, json};
use strongroom::access::oidc::{Algorithm, LEEWAY, Refused};
use strongroom::app;

use super::provider::{Provider, accepted, calm, now, reason, refused};
use super::signer::{Key, hmac_token, message};

#[tokio::test]
async fn every_algorithm_of_a_key_is_verified_and_the_bearer_is_named() {
    let keys = [Key::rsa("r"), Key::p256("e"), Key::p384("f"), Key::ed25519("d")];
    let provider = Provider::start(&keys.each_ref()).await;
    let issuers = provider.issuers(calm());
    let claims = provider.claims_but(json!({"groups": ["team", "ci"], "ref": "refs/heads/main", "secret": "x"}));
    for key in &keys {
        let identity = accepted(&issuers, &key.token(&claims)).await;
        assert_eq!((identity.issuer.as_str(), identity.subject.as_str()), ("ci", "job"));
        assert_eq!(identity.principal, "oidc:ci:job");
        assert_eq!(identity.groups, ["ci:team", "ci:ci"]);
        assert_eq!(identity.claims.into_iter().collect::<Vec<_>>(), [("ref".into(), "refs/heads/main".into())]);
        assert_eq!(identity.expires_at.millis(), claims["exp"].as_i64().unwrap() * 1000);
    }
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let header = json!({"alg": algorithm, "kid": "r"});
        accepted(&issuers, &keys[0].token_with(&header, &claims)).await;
    }
    assert_eq!(provider.sets(), 1);
}

#[tokio::test]
async fn public_key_is_no_shared_secret() {
    for key in [Key::rsa("k"), Key::p256("k")] {
        let provider = Provider::start(&[&key]).await;
        let issuers = provider.issuers(calm());
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "k"});
        let jwk = key.jwk().to_string();
        let secrets: [&[u8]; 3] = [key.public_bytes(), jwk.as_bytes(), b""];
        for secret in secrets {
            let token = hmac_token(&header, &provider.claims(), secret);
            assert_eq!(reason(&issuers, &token).await, "its algorithm is not allowed for its issuer");
        }
        // Nor when the header says what the key is for.
        let token = hmac_token(&key.header(), &provider.claims(), key.public_bytes());
        assert_eq!(reason(&issuers, &token).await, "its signature is wrong");
    }
}

#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(calm());
    for algorithm in ["none", "None", "NONE", "nOnE", "", "ES256 ", "es256"] {
        let unsigned = message(&json!({"alg": algorithm, "kid": "k"}), &provider.claims());
        for token in [format!("{unsigned}."), format!("{unsigned}.AAAA")] {
            assert_eq!(reason(&issuers, &token).await, "its algorithm is not allowed for its issuer", "{algorithm}");
        }
    }
    let unsigned = message(&key.header(), &provider.claims());
    assert_eq!(reason(&issuers, &format!("{unsigned}.")).await, "its signature is wrong");
}

#[tokio::test]
async fn an_algorithm_is_used_with_a_key_of_its_kind_and_where_it_is_allowed() {
    let (rsa, ec) = (Key::rsa("r"), Key::p256("e"));
    let provider = Provider::start(&[&rsa, &ec]).await;
    let settings = provider.settings("ci");
    let only = |algorithm| {
        let settings = strongroom::access::oidc::IssuerSettings { algorithms: vec![algorithm], ..settings.clone() };
        app::issuers(&[settings], calm()).unwrap()
    };
    let issuers = only(Algorithm::ES256);
    accepted(&issuers, &ec.token(&provider.claims())).await;
    let refusal = reason(&issuers, &rsa.token(&provider.claims())).await;
    assert_eq!(refusal, "its algorithm is not allowed for its issuer");
    let crossed = ec.token_with(&json!({"alg": "ES256", "kid": "r"}), &provider.claims());
    assert!(reason(&issuers, &crossed).await.starts_with("its issuer has no key"), "{crossed}");
    // A key that says what it is for is for nothing else.
    let mut jwk = rsa.jwk();
    jwk["alg"] = json!("RS512");
    provider.publish_json(vec![jwk]);
    let refusal = reason(&only(Algorithm::RS256), &rsa.token(&provider.claims())).await;
    assert!(refusal.starts_with("its issuer has no key"), "{refusal}");
}

#[tokio::test]
async fn claims_must_be_there_and_be_for_us_and_for_now() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(calm());
    let leeway = i64::try_from(LEEWAY).unwrap();
    let lacking = "it lacks exp, iss, aud or sub";
    let other = "it is for another audience";
    let cases = [
        (json!({ "exp": null }), lacking),
        (json!({ "aud": null }), lacking),
        (json!({ "sub": null }), lacking),
        (json!({ "iss": null }), "it names no issuer"),
        (json!({ "iss": "https://other" }), "its issuer is not configured"),
        (json!({ "iss": format!("{}/", provider.url()) }), "its issuer is not configured"),
        (json!({ "iss": [provider.url()] }), "it names no issuer"),
        (json!({ "aud": "other" }), other),
        (json!({ "aud": "Strongroom" }), other),
        (json!({ "aud": "strongroom2" }), other),
        (json!({ "aud": ["other", "more"] }), other),
        (json!({ "aud": [] }), other),
        (json!({ "aud": {"a": "strongroom"} }), lacking),
        (json!({ "exp": now() - leeway - 5 }), "it has expired"),
        (json!({ "exp": 0 }), "it has expired"),
        (json!({ "exp": "tomorrow" }), lacking),
        (json!({ "nbf": now() + leeway + 60 }), "it is not valid yet"),
        (json!({ "nbf": "now" }), "its times are not numbers"),
        (json!({ "iat": now() + leeway + 60 }), "it was issued in the future"),
        (json!({ "sub": "" }), "its subject is not a name of 1 to 512 bytes"),
        (json!({ "sub": 7 }), lacking),
    ];
    for (changes, expected) in cases {
        let token = key.token(&provider.claims_but(changes.clone()));
        assert_eq!(reason(&issuers, &token).await, expected, "{changes}");
    }
    let right = [
        json!({ "aud": ["other", "https://strongroom.example"] }),
        json!({ "nbf": null, "iat": null }),
        json!({ "exp": now() - 2, "iat": null }),
        json!({ "nbf": now() + 2, "iat": now() + 2 }),
    ];
    for changes in right {
        accepted(&issuers, &key.token(&provider.claims_but(changes))).await;
    }
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let key = Key::rsa("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(calm());
    let token = key.token(&provider.claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = message(&key.header(), &provider.claims_but(json!({"sub": "root"})));
    assert_eq!(reason(&issuers, &format!("{other}.{signature}")).await, "its signature is wrong");
    let short = &signature[..signature.len() / 4 * 4 - 4];
    assert_eq!(reason(&issuers, &format!("{signed}.{short}")).await, "its signature is wrong");
    let stranger = Key::rsa("k");
    assert_eq!(reason(&issuers, &stranger.token(&provider.claims())).await, "its signature is wrong");
}

#[tokio::test]
async fn issuers_do_not_speak_for_each_other() {
    let (key_a, key_b) = (Key::p256("a"), Key::p256("b"));
    let (a, b) = (Provider::start(&[&key_a]).await, Provider::start(&[&key_b]).await);
    let issuers = app::issuers(&[a.settings("a"), b.settings("b")], calm()).unwrap();
    assert_eq!(accepted(&issuers, &key_a.token(&a.claims())).await.principal, "oidc:a:job");
    assert_eq!(accepted(&issuers, &key_b.token(&b.claims())).await.principal, "oidc:b:job");
    assert_eq!(reason(&issuers, &key_b.token(&a.claims())).await, "its key is none of its issuer's");
    let same_kid = key_b.token_with(&json!({"alg": "ES256", "kid": "a"}), &a.claims());
    assert_eq!(reason(&issuers, &same_kid).await, "its signature is wrong");
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_looked_at() {
    let (key, evil_key) = (Key::p256("k"), Key::p256("evil"));
    let (provider, evil) = (Provider::start(&[&key]).await, Provider::start(&[&evil_key]).await);
    let issuers = provider.issuers(calm());
    let brought: [(&str, Value); 4] = [
        ("jku", json!(evil.keys_url())),
        ("x5u", json!(evil.keys_url())),
        ("jwk", evil_key.jwk()),
        ("x5c", json!(["MIIB"])),
    ];
    for (name, value) in brought {
        for kid in ["evil", "k"] {
            let mut header = json!({"alg": "ES256", "kid": kid});
            header[name] = value.clone();
            refused(&issuers, &evil_key.token_with(&header, &provider.claims())).await;
            header["kid"] = json!("k");
            accepted(&issuers, &key.token_with(&header, &provider.claims())).await;
        }
    }
    assert_eq!(evil.asked(), 0);
}

#[tokio::test]
async fn nobody_is_asked_about_a_token_of_a_stranger() {
    let (key, evil_key) = (Key::p256("k"), Key::p256("k"));
    let (provider, evil) = (Provider::start(&[&key]).await, Provider::start(&[&evil_key]).await);
    let issuers = provider.issuers(calm());
    assert_eq!(reason(&issuers, &evil_key.token(&evil.claims())).await, "its issuer is not configured");
    let long = key.token(&provider.claims_but(json!({"x": "x".repeat(16 << 10)})));
    assert_eq!(reason(&issuers, &long).await, "it is too long");
    let critical = json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": true});
    let critical = key.token_with(&critical, &provider.claims());
    assert_eq!(reason(&issuers, &critical).await, "its header has critical extensions");
    let typed = key.token_with(&json!({"alg": "ES256", "kid": "k", "typ": "secevent+jwt"}), &provider.claims());
    assert_eq!(reason(&issuers, &typed).await, "its type is neither JWT nor at+jwt");
    for other in ["sr_0123", "", "a.b", "Bearer a.b.c", "a.b.c.d.e"] {
        assert!(issuers.identify(other).await.is_none(), "{other}");
    }
    for broken in ["a.b.c", "e30.e30.", "e30.e30.AAAA"] {
        assert!(matches!(refused(&issuers, broken).await, Refused::Invalid(_)), "{broken}");
    }
    assert_eq!((provider.asked(), evil.asked()), (0, 0));
}

#[tokio::test]
async fn without_a_key_id_the_key_must_be_the_only_one_that_fits() {
    let (rsa, first, second) = (Key::rsa("r"), Key::p256("a"), Key::p256("b"));
    let provider = Provider::start(&[&rsa, &first]).await;
    let token = first.token_with(&json!({"alg": "ES256"}), &provider.claims());
    accepted(&provider.issuers(calm()), &token).await;
    provider.publish(&[&rsa, &first, &second]);
    let refusal = reason(&provider.issuers(calm()), &token).await;
    assert!(refusal.starts_with("its issuer has no key, or not just one"), "{refusal}");
}
