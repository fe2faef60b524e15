//! What is too much: each answer is a problem document that says when to come again.

use std::time::Duration;

use futures::channel::mpsc;
use reqwest::{Body, Method, Response, StatusCode};

use super::raw::metric;
use crate::support::service::{BackEnd, Service, bytes, code};

/// Seconds of `Retry-After`.
fn retry_after(answer: &Response) -> u64 {
    answer.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

async fn refused(answer: Response, status: u16, expected: &str, longest: u64) {
    let wait = retry_after(&answer);
    assert!((1..=longest).contains(&wait), "{expected}: {wait}");
    assert_eq!(code(answer, status).await, expected);
}

#[tokio::test]
async fn requests_above_the_bound_are_shed_and_health_is_not() {
    let service = Service::start_with(BackEnd::Embedded, "max_requests = 1").await;
    let (pieces, body) = mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    pieces.unbounded_send(Ok(bytes(1, 1000))).unwrap();
    let upload = service.request(Method::POST, "/v1/models/a/b/versions?path=m").body(Body::wrap_stream(body));
    let upload = tokio::spawn(upload.send());
    // It has the only place once the catalog knows of it.
    while service.rows("drafts").await == 0 {
        assert!(!upload.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused(service.get("/v1/whoami").await, 503, "overloaded", 5).await;
    assert_eq!(service.anonymous(Method::GET, "/healthz").send().await.unwrap().status(), StatusCode::OK);
    drop(pieces);
    assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::CREATED);
    assert_eq!(service.get("/v1/whoami").await.status(), StatusCode::OK);
    assert!(metric(&service, "strongroom_requests_refused_total{reason=\"overload\"}").await >= 1);
    assert_eq!(metric(&service, "strongroom_requests_in_flight").await, 1);
}

#[tokio::test]
async fn caller_has_a_rate_and_an_address_a_number_of_failures() {
    let settings = "requests_per_second = 1\nrequest_burst = 5\nauth_failures_per_minute = 3";
    let service = Service::start_with(BackEnd::Embedded, settings).await;
    let answers = futures::future::join_all((0..12).map(|_| service.get("/v1/whoami"))).await;
    let (mut served, mut limited) = (0, 0);
    for answer in answers {
        if answer.status() == StatusCode::OK {
            served += 1;
        } else {
            limited += 1;
            refused(answer, 429, "too_many_requests", 1).await;
        }
    }
    assert!((5..=8).contains(&served) && limited >= 4, "{served} {limited}");
    // Whoever waits as long as he is told gets on.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(service.get("/v1/whoami").await.status(), StatusCode::OK);

    let wrong = || service.anonymous(Method::GET, "/v1/whoami").bearer_auth("sr_wrong");
    for _ in 0..3 {
        // Being asked for credentials is no failure.
        let without = service.anonymous(Method::GET, "/v1/whoami").send().await.unwrap();
        assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(wrong().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    refused(wrong().send().await.unwrap(), 429, "too_many_failures", 20).await;
    refused(service.get("/v1/whoami").await, 429, "too_many_failures", 20).await;
    let without = service.anonymous(Method::GET, "/v1/whoami").send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bytes_of_a_day_are_bounded_whether_their_number_is_said_or_not() {
    let service = Service::start_with(BackEnd::Embedded, "upload_mib_per_day = 1").await;
    service.published("a/b", "m", &bytes(1, 600_000)).await;
    let day = 86_400;
    refused(service.upload("a/b", "m", &bytes(2, 600_000)).await, 429, "quota_exceeded", day).await;
    let pieces = futures::stream::iter((0..10).map(|n| Ok::<_, std::io::Error>(bytes(n, 60_000))));
    let upload = service.request(Method::POST, "/v1/models/a/b/versions?path=m").body(Body::wrap_stream(pieces));
    refused(upload.send().await.unwrap(), 429, "quota_exceeded", day).await;
    let versions = service.json("/v1/models/a/b/versions").await;
    assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    assert_eq!(service.rows("drafts").await, 0);
}
