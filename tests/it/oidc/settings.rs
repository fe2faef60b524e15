//! Where keys come from, and how a service is told.

use std::path::Path;

use serde_json::json;
use strongroom::access::oidc::{IssuerSettings, KeyPlace, Refused};
use strongroom::app::{self, OidcError};

use super::provider::{Provider, accepted, calm, eager, reason, refused};
use super::signer::Key;
use crate::support::service::{BackEnd, Service};

fn with_keys(provider: &Provider, keys: KeyPlace) -> IssuerSettings {
    IssuerSettings { keys, ..provider.settings("ci") }
}

fn write_keys(path: &Path, keys: &[&Key]) {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

#[tokio::test]
async fn keys_of_a_file_need_no_network_and_are_read_again() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = Provider::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let settings = with_keys(&provider, KeyPlace::File(path.clone()));
    assert!(matches!(app::issuers(std::slice::from_ref(&settings), eager()), Err(OidcError::File { .. })));
    write_keys(&path, &[&old]);
    let issuers = app::issuers(&[settings], eager()).unwrap();
    accepted(&issuers, &old.token(&provider.claims())).await;
    write_keys(&path, &[&new]);
    accepted(&issuers, &new.token(&provider.claims())).await;
    assert_eq!(reason(&issuers, &old.token(&provider.claims())).await, "its key is none of its issuer's");
    std::fs::write(&path, vec![b' '; 600 << 10]).unwrap();
    accepted(&issuers, &new.token(&provider.claims())).await;
    assert_eq!(refused(&issuers, &old.token(&provider.claims())).await, Refused::Unavailable);
    assert_eq!(provider.asked(), 0);
}

#[tokio::test]
async fn written_url_is_asked_without_discovery_and_with_the_token_of_the_moment() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let place = |token_file| KeyPlace::Url { url: provider.keys_url(), token_file };
    let token = key.token(&provider.claims());
    accepted(&app::issuers(&[with_keys(&provider, place(None))], calm()).unwrap(), &token).await;
    assert_eq!(provider.presented(), None);
    let issuers = app::issuers(&[with_keys(&provider, place(Some(path.clone())))], eager()).unwrap();
    assert_eq!(refused(&issuers, &token).await, Refused::Unavailable);
    for mounted in ["first", "second"] {
        std::fs::write(&path, format!("{mounted}\n")).unwrap();
        accepted(&issuers, &token).await;
        assert_eq!(provider.presented(), Some(format!("Bearer {mounted}")));
    }
    std::fs::write(&path, "two\nlines").unwrap();
    accepted(&issuers, &token).await;
    assert_eq!((provider.asked(), provider.presented()), (3, Some("Bearer second".to_owned())));
}

#[tokio::test]
async fn discovery_may_be_somewhere_else_than_the_issuer() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    // Nobody listens at the issuer's own address, and the document names it all the same.
    let document = format!("{}/.well-known/openid-configuration", provider.url());
    let settings = with_keys(&provider, KeyPlace::Discovery(document.clone()));
    accepted(&app::issuers(std::slice::from_ref(&settings), calm()).unwrap(), &key.token(&provider.claims())).await;
    let other = IssuerSettings { issuer: "http://127.0.0.1:9/other".into(), ..settings };
    let token = key.token(&provider.claims_but(json!({"iss": other.issuer})));
    assert_eq!(refused(&app::issuers(&[other], calm()).unwrap(), &token).await, Refused::Unavailable);
}

#[tokio::test]
async fn nothing_but_names_shows_in_a_debug_print() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(calm());
    let token = key.token(&provider.claims());
    accepted(&issuers, &token).await;
    assert_eq!(format!("{issuers:?}"), format!("{{{:?}}}", provider.url()));
    let refusal = refused(&issuers, &key.token(&provider.claims_but(json!({"aud": "sesame"})))).await;
    let printed = format!("{refusal:?} {refusal}");
    assert!(!printed.contains("sesame") && !printed.contains(&token[..20]), "{printed}");
}

#[tokio::test]
async fn service_is_told_by_a_variable_and_starts_without_its_issuers() {
    let issuers = json!([{"name": "ci", "issuer": "http://127.0.0.1:9", "audiences": ["strongroom"]}]);
    let environment = vec![("STRONGROOM_OIDC", issuers.to_string())];
    let service = Service::start_in(BackEnd::Embedded, "", environment).await;
    service.json("/v1/posture").await;
    drop(service);
    let missing = json!([{"name": "ci", "issuer": "https://i", "audiences": ["a"], "jwks_file": "/nowhere/keys"}]);
    let environment = vec![("STRONGROOM_OIDC", missing.to_string())];
    let said = Service::refused_first_start(BackEnd::Embedded, "", environment).await;
    assert!(said.contains("oidc issuer ci: /nowhere/keys cannot be read"), "{said}");
}
