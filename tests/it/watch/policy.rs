//! What only a trial proves and a look can disprove: the statements behind the probes, gone and back.

use serde_json::Value;

use super::scene::{Scene, strongroom};
use super::settings::{policy, put_policy};
use super::watched_on_every_back_end;
use crate::support::service::{BackEnd, Service};

watched_on_every_back_end!(policy_removed);

/// Claims that both forms of the policy, and both back ends, can prove.
const PROBES: [&str; 4] =
    ["wrong_algorithm_refused", "foreign_key_refused", "dual_layer_refused", "customer_key_write_refused"];

async fn policy_removed(scene: Scene) {
    let service = &scene.service;
    service.s3().await.delete_bucket_policy().bucket(&service.bucket).send().await.unwrap();
    for claim in ["tls_only", "encryption_enforced", "presigned_bounded"].into_iter().chain(PROBES) {
        scene.is_told_that_it_failed(claim).await;
    }
    let observed = scene.sees("foreign_key_refused", "failed").await;
    assert!(observed.starts_with("DenyWrongKmsKey") && observed.ends_with(" is not in force"), "{observed}");
    scene.takes_uploads().await;
    scene.apply().await;
    for claim in ["tls_only", "encryption_enforced", "presigned_bounded"].into_iter().chain(PROBES) {
        scene.recovers(claim).await;
    }
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

#[tokio::test]
async fn service_restart_and_check_agree_on_a_statement_that_is_gone() {
    let failed = |posture: &Value| {
        let claims = posture["claims"].as_array().unwrap();
        let failed = claims.iter().filter(|claim| claim["status"] == "failed");
        failed.map(|claim| claim["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let gone = ["nameless_key_refused", "foreign_key_refused", "encryption_enforced"];
    let service = Service::start_with(BackEnd::Embedded, "watch_seconds = 1").await;
    let before = policy(&service).await;
    let mut edited = before.clone();
    edited["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "DenyWrongKmsKey");
    put_policy(&service, &edited).await;

    assert_eq!(failed(&service.json("/v1/posture?fresh=true").await), gone);
    let checked = strongroom(&service, &["bucket", "check", "--format", "json"]).await;
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(failed(&checked), gone);
    let mut ids: Vec<_> = checked["claims"].as_array().unwrap().iter().map(|claim| claim["id"].to_string()).collect();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "each claim once");

    let service = service.restart_in(vec![("STRONGROOM_PROVISION", "verify".to_owned())]).await;
    assert_eq!(failed(&service.json("/v1/posture").await), gone);
    service.published("a/b", "m", b"our own writes are right").await;
    put_policy(&service, &before).await;
    let posture = service.json("/v1/posture?fresh=true").await;
    assert_eq!(failed(&posture), Vec::<String>::new(), "{posture:#}");
    assert_eq!(posture["status"], "passed");
}
