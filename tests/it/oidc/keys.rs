//! What tokens can make an issuer be asked, and for how long its keys are believed.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use strongroom::access::oidc::{Refused, Windows};

use super::provider::{Fault, Provider, accepted, calm, curious, eager, reason, refused};
use super::signer::Key;

const UNKNOWN: &str = "its key is none of its issuer's";

#[tokio::test]
async fn rotated_key_is_fetched_when_it_is_first_used() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = Provider::start(&[&old]).await;
    let issuers = provider.issuers(curious());
    accepted(&issuers, &old.token(&provider.claims())).await;
    provider.publish(&[&old, &new]);
    accepted(&issuers, &old.token(&provider.claims())).await;
    assert_eq!(provider.sets(), 1);
    for key in [&new, &old, &new] {
        accepted(&issuers, &key.token(&provider.claims())).await;
    }
    assert_eq!(provider.sets(), 2);
}

#[tokio::test]
async fn withdrawn_key_ends_when_the_keys_are_fetched_again() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let provider = Provider::start(&[&old]).await;
    let (issuers, slow) = (provider.issuers(eager()), provider.issuers(curious()));
    let token = old.token(&provider.claims());
    accepted(&issuers, &token).await;
    accepted(&slow, &token).await;
    provider.publish(&[&new]);
    assert_eq!(reason(&issuers, &token).await, UNKNOWN);
    // Where keys are still fresh it goes on, until they are fetched for whatever reason.
    accepted(&slow, &token).await;
    accepted(&slow, &new.token(&provider.claims())).await;
    assert_eq!(reason(&slow, &token).await, UNKNOWN);
    provider.publish(&[]);
    assert_eq!(reason(&issuers, &new.token(&provider.claims())).await, UNKNOWN);
}

#[tokio::test]
async fn last_keys_go_on_for_a_while_when_the_issuer_is_away() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let window = Duration::from_secs(3);
    let long = provider.issuers(eager());
    let short = provider.issuers(Windows { last_good: window, ..eager() });
    let token = key.token(&provider.claims());
    for issuers in [&long, &short] {
        accepted(issuers, &token).await;
    }
    provider.fail(Fault::Status(StatusCode::INTERNAL_SERVER_ERROR));
    for issuers in [&long, &short] {
        accepted(issuers, &token).await;
        // Nobody knows whether the issuer has this one by now.
        assert_eq!(refused(issuers, &Key::p256("other").token(&provider.claims())).await, Refused::Unavailable);
    }
    tokio::time::sleep(window).await;
    accepted(&long, &token).await;
    assert_eq!(refused(&short, &token).await, Refused::Unavailable);
    provider.fail(Fault::None);
    accepted(&short, &token).await;
}

#[tokio::test]
async fn who_has_a_good_key_does_not_wait_for_an_issuer_that_is_away() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(eager());
    let token = key.token(&provider.claims());
    accepted(&issuers, &token).await;
    provider.fail(Fault::Status(StatusCode::BAD_GATEWAY));
    accepted(&issuers, &token).await;
    provider.fail(Fault::Slow(Duration::from_mins(1)));
    tokio::time::timeout(Duration::from_secs(10), accepted(&issuers, &token)).await.unwrap();
}

#[tokio::test]
async fn many_tokens_at_once_cause_one_fetch() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    provider.fail(Fault::Slow(Duration::from_millis(300)));
    let issuers = provider.issuers(calm());
    let strange = |n: usize| key.token_with(&json!({"alg": "ES256", "kid": format!("k{n}")}), &provider.claims());
    let strangers = (0..100).map(|n| {
        let (issuers, token) = (issuers.clone(), strange(n));
        tokio::spawn(async move { refused(&issuers, &token).await })
    });
    let friends = (0..100).map(|_| {
        let (issuers, token) = (issuers.clone(), key.token(&provider.claims()));
        tokio::spawn(async move { accepted(&issuers, &token).await })
    });
    let (strangers, friends): (Vec<_>, Vec<_>) = (strangers.collect(), friends.collect());
    for stranger in strangers {
        assert_eq!(stranger.await.unwrap(), Refused::Invalid(UNKNOWN));
    }
    for friend in friends {
        friend.await.unwrap();
    }
    assert_eq!(provider.sets(), 1);
}

#[tokio::test]
async fn who_hangs_up_ends_no_fetch_and_begins_no_other_one() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    provider.fail(Fault::Slow(Duration::from_secs(1)));
    let issuers = provider.issuers(calm());
    let token = key.token(&provider.claims());
    for _ in 0..20 {
        let given_up = tokio::time::timeout(Duration::from_millis(5), issuers.identify(&token)).await;
        assert!(given_up.is_err(), "the fetch takes longer");
    }
    accepted(&issuers, &token).await;
    assert_eq!(provider.sets(), 1);
}

#[tokio::test]
async fn flood_of_unknown_keys_does_not_reach_the_issuer() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(calm());
    for n in 0..3_000 {
        let token = key.token_with(&json!({"alg": "ES256", "kid": format!("k{n}")}), &provider.claims());
        assert_eq!(reason(&issuers, &token).await, UNKNOWN);
    }
    accepted(&issuers, &key.token(&provider.claims())).await;
    assert_eq!(provider.sets(), 1);
}

#[tokio::test]
async fn key_that_the_issuer_does_not_have_is_asked_for_once_until_it_has_it() {
    let (key, late) = (Key::p256("k"), Key::p256("late"));
    let provider = Provider::start(&[&key]).await;
    let issuers = provider.issuers(curious());
    for _ in 0..20 {
        assert_eq!(reason(&issuers, &late.token(&provider.claims())).await, UNKNOWN);
    }
    assert_eq!(provider.sets(), 1);
    // Whatever fetches the keys next brings it.
    provider.publish(&[&key, &late]);
    assert_eq!(reason(&issuers, &Key::p256("other").token(&provider.claims())).await, UNKNOWN);
    accepted(&issuers, &late.token(&provider.claims())).await;
    assert_eq!(provider.sets(), 2);
    // Or the time after which it is asked for again.
    let issuers = provider.issuers(Windows { unknown: Duration::ZERO, ..curious() });
    for _ in 0..3 {
        assert_eq!(reason(&issuers, &Key::p256("other").token(&provider.claims())).await, UNKNOWN);
    }
    assert_eq!(provider.sets(), 5);
}

#[tokio::test]
async fn what_an_issuer_was_asked_before_a_token_came_says_nothing_of_its_key() {
    let (key, late) = (Key::p256("k"), Key::p256("late"));
    let provider = Provider::start(&[&key]).await;
    provider.fail(Fault::Slow(Duration::from_secs(1)));
    let issuers = provider.issuers(curious());
    let (first, joins) = (key.token(&provider.claims()), late.token(&provider.claims()));
    let (_, joined) = tokio::join!(accepted(&issuers, &first), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        reason(&issuers, &joins).await
    });
    assert_eq!((joined, provider.sets()), (UNKNOWN, 1));
    provider.publish(&[&key, &late]);
    accepted(&issuers, &joins).await;
}

#[tokio::test]
async fn an_issuer_that_is_away_is_asked_once_in_a_pause() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    provider.fail(Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let issuers = provider.issuers(calm());
    for _ in 0..50 {
        assert_eq!(refused(&issuers, &key.token(&provider.claims())).await, Refused::Unavailable);
    }
    assert_eq!(provider.sets(), 1);
}

#[tokio::test]
async fn what_the_issuer_answers_is_bounded_and_must_be_its_own() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let token = key.token(&provider.claims());
    let faults = [
        Fault::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Status(StatusCode::NO_CONTENT),
        Fault::HugeDocument,
        Fault::HugeSet,
        Fault::OtherIssuer,
        Fault::KeysElsewhere,
        Fault::RedirectedDocument,
        Fault::RedirectedSet,
        Fault::Html,
    ];
    for fault in faults {
        provider.fail(fault);
        assert_eq!(refused(&provider.issuers(calm()), &token).await, Refused::Unavailable, "{fault:?}");
    }
    provider.fail(Fault::Slow(Duration::from_mins(1)));
    let impatient = provider.issuers(Windows { fetch: Duration::from_millis(200), ..calm() });
    assert_eq!(refused(&impatient, &token).await, Refused::Unavailable);
    provider.fail(Fault::None);
    accepted(&provider.issuers(calm()), &token).await;
}

#[tokio::test]
async fn client_that_follows_redirects_is_found_out() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let follows = strongroom::access::oidc::Issuers::new(vec![(provider.settings("ci"), client)], eager());
    let token = key.token(&provider.claims());
    for fault in [Fault::RedirectedDocument, Fault::RedirectedSet] {
        provider.fail(fault);
        assert_eq!(refused(&follows, &token).await, Refused::Unavailable, "{fault:?}");
    }
    provider.fail(Fault::None);
    accepted(&follows, &token).await;
}

#[tokio::test]
async fn weak_and_foreign_keys_are_as_if_they_were_not_there() {
    let key = Key::rsa("k");
    let provider = Provider::start(&[]).await;
    let mut encryption = key.jwk();
    encryption["use"] = json!("enc");
    let weak = json!({"kty": "RSA", "kid": "k", "n": "x".repeat(172), "e": "AQAB"});
    let shared = json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0"});
    for useless in [encryption, weak, shared, json!({"kid": "k"})] {
        provider.publish_json(vec![useless]);
        assert_eq!(reason(&provider.issuers(calm()), &key.token(&provider.claims())).await, UNKNOWN);
    }
}
