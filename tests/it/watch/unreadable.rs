//! An S3 that does not say how the bucket is set up: what was seen last counts, and it is told once.

use std::time::Duration;

use serde_json::Value;

use crate::support::fault_proxy::{Fault, FaultProxy, Rule};
use crate::support::outside::seaweedfs_with_localstack;
use crate::support::service::{BackEnd, Service};

async fn fresh(service: &Service, claim: &str) -> Value {
    let posture = service.json("/v1/posture?fresh=true").await;
    let found = posture["claims"].as_array().unwrap().iter().find(|found| found["id"] == claim).cloned();
    found.unwrap_or_else(|| panic!("no claim {claim} in {posture:#}"))
}

/// A service whose S3 is behind a proxy; it only verifies, because the way to the proxy is plain HTTP.
async fn behind_a_proxy() -> (FaultProxy, Service) {
    let outside = seaweedfs_with_localstack().await;
    let proxy = FaultProxy::before_tls(&outside.s3_endpoint, &outside.ca_file).await;
    let service = Service::start(BackEnd::SeaweedFs).await;
    let service = service
        .restart_in(vec![
            ("STRONGROOM_S3_ENDPOINT", proxy.endpoint().to_owned()),
            ("STRONGROOM_PROVISION", "verify".to_owned()),
            ("STRONGROOM_WATCH_SECONDS", "1".to_owned()),
        ])
        .await;
    service.published("a/b", "m", b"before").await;
    assert_eq!(fresh(&service, "versioned").await["status"], "passed");
    (proxy, service)
}

#[tokio::test]
async fn what_cannot_be_read_is_told_once_and_refuses_nothing_for_a_while() {
    let (proxy, service) = behind_a_proxy().await;
    let drifts =
        |text: String| text.lines().filter(|line| line.contains("drift_total") && !line.ends_with(" 0")).count();
    let before = drifts(service.get("/metrics").await.text().await.unwrap());

    proxy.inject(Rule::on("GetBucketVersioning").answers(500, "InternalError", "try again"));
    for _ in 0..2 {
        let versioned = fresh(&service, "versioned").await;
        let observed = versioned["observed"].as_str().unwrap();
        assert_eq!(versioned["status"], "passed", "{versioned}");
        assert!(observed.contains("cannot be looked at since") && observed.contains("InternalError"), "{versioned}");
    }
    service.published("a/b", "m", b"meanwhile").await;
    assert_eq!(service.log().matches("posture: cannot look at versioned").count(), 1, "{}", service.log());

    proxy.heal();
    assert_eq!(fresh(&service, "versioned").await["observed"], "Enabled");
    assert!(service.log().contains("posture: seen to hold: versioned"), "{}", service.log());
    let metrics = service.get("/metrics").await.text().await.unwrap();
    assert_eq!(drifts(metrics), before, "a look that failed is no drift");
}

#[tokio::test]
async fn look_at_an_s3_that_hangs_ends_and_the_service_goes_on() {
    let (proxy, service) = behind_a_proxy().await;

    proxy.inject(Rule::on("GetBucketPolicy").does(Fault::BlackHole));
    let asked = std::time::Instant::now();
    let answer = service.get("/v1/posture?fresh=true").await;
    assert!(answer.status() == 200 || answer.status() == 503, "{}", answer.status());
    assert!(asked.elapsed() < Duration::from_secs(100), "{:?}", asked.elapsed());
    service.published("a/b", "m", b"meanwhile").await;

    proxy.heal();
    let deadline = asked + Duration::from_mins(3);
    while fresh(&service, "tls_only").await["observed"].as_str().unwrap().contains("cannot be looked at") {
        assert!(std::time::Instant::now() < deadline, "{}", service.log());
    }
}

#[tokio::test]
async fn brought_key_needs_no_kms_to_be_asked() {
    let outside = seaweedfs_with_localstack().await;
    let made = outside.kms().create_key().description("theirs").send().await.unwrap();
    let arn = made.key_metadata().unwrap().arn().unwrap().to_owned();
    let nobody = vec![("STRONGROOM_KMS_ENDPOINT", "http://127.0.0.1:1".to_owned())];
    let service = Service::start_in(BackEnd::SeaweedFs, &format!("kms_key_arn = '{arn}'"), nobody).await;

    service.published("a/b", "m", b"bytes").await;
    let usable = fresh(&service, "key_usable").await;
    assert_eq!(usable["status"], "passed", "{usable}");
    assert_eq!(usable["observed"], "KMS was not asked; the claim in the bucket was read under it");
    let read = service.get("/v1/models/a/b/versions/1/files/m").await;
    assert_eq!(read.bytes().await.unwrap(), "bytes");
    let head = service.s3().await.head_object().bucket(&service.bucket).key("strongroom-claim.json").send().await;
    assert_eq!(head.unwrap().ssekms_key_id(), Some(arn.as_str()));
}
