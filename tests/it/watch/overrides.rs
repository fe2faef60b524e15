//! Operators let writes pass in spite of a claim, for a while and on the record.

use std::time::Duration;

use aws_sdk_s3::types::ServerSideEncryption;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use strongroom::domain::Timestamp;

use super::scene::Scene;
use super::settings::encrypt_by_default_with;
use crate::support::service::{BackEnd, Service, code, problem};

const CLAIM: &str = "default_encryption";

async fn make_override(service: &Service, claim: &str, until: Timestamp, reason: &str) -> Response {
    let body = json!({"claim": claim, "until": until, "reason": reason});
    service.request(Method::POST, "/v1/posture/overrides").json(&body).send().await.unwrap()
}

async fn end_override(service: &Service, claim: &str) -> Response {
    service.request(Method::DELETE, &format!("/v1/posture/overrides/{claim}")).send().await.unwrap()
}

fn ahead(seconds: u64) -> Timestamp {
    Timestamp::now().plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn override_lets_writes_pass_until_its_time_and_is_in_the_log() {
    let scene = Scene::new(BackEnd::Embedded).await;
    let service = &scene.service;
    encrypt_by_default_with(service, ServerSideEncryption::AwsKms).await;
    scene.is_told_that_it_failed(CLAIM).await;
    scene.refuses_uploads_naming(CLAIM).await;

    let until = ahead(8);
    let made = make_override(service, CLAIM, until, "the fix is on its way").await;
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    assert_eq!((&made["claim"], &made["by"]), (&json!(CLAIM), &json!("token:admin")), "{made}");
    scene.takes_uploads().await;
    let posture = service.json("/v1/posture").await;
    assert_eq!(posture["status"], "failed", "an override changes no claim");
    assert_eq!(posture["overrides"], json!([made]));
    assert!(scene.metrics().await.contains("strongroom_posture_overrides 1"));

    scene.until("it ends by itself", async || (Timestamp::now() > until).then_some(())).await;
    scene.refuses_uploads_naming(CLAIM).await;
    for told in ["override in force", "override used", "override ended", "the fix is on its way", "audit=true"] {
        scene.until(told, async || service.log().contains(told).then_some(())).await;
    }
    assert_eq!(service.log().matches("override in force").count(), 1);
    scene.ends_readable().await;
}

#[tokio::test]
async fn override_survives_a_restart_and_ends_when_it_is_ended() {
    let service = Service::start_with(BackEnd::Embedded, "provision = 'create'\nwatch_seconds = 1").await;
    // Drift, which `create` leaves alone.
    encrypt_by_default_with(&service, ServerSideEncryption::AwsKms).await;
    assert_eq!(make_override(&service, CLAIM, ahead(3600), "drill").await.status(), 201);
    let service = service.restart().await;
    assert!(service.log().contains("override in force"), "{}", service.log());
    service.published("a/b", "m", b"bytes").await;
    assert_eq!(end_override(&service, CLAIM).await.status(), 204);
    assert_eq!(code(service.upload("a/b", "m", b"bytes").await, 503).await, "writes_refused");
    assert_eq!(code(end_override(&service, CLAIM).await, 404).await, "override_not_found");
    assert!(service.log().contains("override ended"));
    assert_eq!(service.rows("posture_overrides").await, 1, "history is kept");
}

#[tokio::test]
async fn override_that_nobody_should_make_is_refused() {
    let service = Service::start(BackEnd::Embedded).await;
    let refused =
        async |claim, until, reason: &str| code(make_override(&service, claim, until, reason).await, 400).await;
    assert_eq!(refused("tagged", ahead(60), "why").await, "invalid_override");
    assert_eq!(refused("versioned", ahead(8 * 24 * 3600), "why").await, "invalid_override");
    assert_eq!(refused("versioned", Timestamp::from_millis(0), "why").await, "invalid_override");
    assert_eq!(refused("versioned", ahead(60), " ").await, "invalid_override");
    assert_eq!(refused("weather", ahead(60), "why").await, "unknown_claim");
    let nothing = service.request(Method::POST, "/v1/posture/overrides").send().await.unwrap();
    assert_eq!(code(nothing, 400).await, "invalid_json");
    let list = service.request(Method::POST, "/v1/posture/overrides").json(&json!([])).send().await.unwrap();
    let (status, body) = problem(list).await;
    assert_eq!((status.as_u16(), &body["code"]), (422, &json!("invalid_json")));
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("claim, until and reason") && !detail.contains("Override"), "{detail}");
    assert_eq!(code(end_override(&service, "weather").await, 400).await, "unknown_claim");
    assert_eq!(service.rows("posture_overrides").await, 0);
}
