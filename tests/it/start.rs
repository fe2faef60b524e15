//! Starting, and the commands beside a running server.

use std::path::Path;
use std::process::{Command, Output};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde_json::Value;

use crate::support::service::{BackEnd, Service, code, on_every_back_end};

on_every_back_end!(
    bucket_is_secured_at_the_first_start_and_found_so_at_the_second,
    outputs_are_the_same_everywhere,
    bucket_of_another_catalog_is_refused,
);

/// Runs the binary to its end, in an environment of its own.
fn strongroom(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn bucket_is_secured_at_the_first_start_and_found_so_at_the_second(service: Service) {
    assert!(service.greeting.contains("secured:"), "{}", service.greeting);
    let s3 = service.s3().await;
    let versioning = s3.get_bucket_versioning().bucket(&service.bucket).send().await.unwrap();
    assert_eq!(versioning.status(), Some(&BucketVersioningStatus::Enabled));
    let encryption = s3.get_bucket_encryption().bucket(&service.bucket).send().await.unwrap();
    let rules = encryption.server_side_encryption_configuration.unwrap();
    let default = rules.rules()[0].apply_server_side_encryption_by_default().unwrap();
    assert_eq!(default.sse_algorithm().as_str(), "aws:kms");
    assert_eq!(default.kms_master_key_id(), Some(service.key_arn.as_str()));
    let policy = s3.get_bucket_policy().bucket(&service.bucket).send().await.unwrap().policy.unwrap();
    assert!(policy.contains("DenyInsecureTransport"), "{policy}");

    let service = service.restart().await;
    assert!(!service.greeting.contains("secured:"), "{}", service.greeting);
}

async fn outputs_are_the_same_everywhere(service: Service) {
    let outputs = service.json("/v1/outputs").await;
    assert_eq!(outputs["bucket"], service.bucket.as_str());
    assert_eq!(outputs["region"], "us-east-1");
    assert_eq!(outputs["kms_key_arn"], service.key_arn.as_str());
    assert_eq!(outputs["kms_key_alias"], format!("alias/{}", service.bucket));
}

async fn bucket_of_another_catalog_is_refused(service: Service) {
    let service = service.forget_catalog();
    let refusal = service.refused_start().await;
    assert!(refusal.contains("belongs to catalog"), "{refusal}");
}

#[tokio::test]
async fn outputs_command_works_beside_a_running_server_and_without_one() {
    let service = Service::start(BackEnd::Embedded).await;
    let dir = service.data_dir();
    let outputs = |dir: &Path| -> Value {
        let dir = dir.display().to_string();
        let output = strongroom(
            &["bucket", "outputs", "--format", "json", "--data-dir", &dir],
            &[("STRONGROOM_EMBEDDED_LISTEN", "127.0.0.1:0")],
        );
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let beside = outputs(&dir);
    assert_eq!(beside["kms_key_arn"], service.key_arn.as_str());
    let (_data, dir) = service.stop();
    assert_eq!(outputs(&dir), beside);
}

#[tokio::test]
async fn second_server_on_the_same_directory_is_refused() {
    let service = Service::start(BackEnd::Embedded).await;
    let dir = service.data_dir().display().to_string();
    let arguments = ["serve", "--data-dir", &dir, "--listen", "127.0.0.1:0", "--embedded-listen", "127.0.0.1:0"];
    let output = strongroom(&arguments, &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("another strongroom is using"), "{}", stderr(&output));
}

#[tokio::test]
async fn port_in_use_is_told_before_anything_is_made() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let arguments = ["serve", "--data-dir", &data, "--listen", &address, "--embedded-listen", "127.0.0.1:0"];
    let output = strongroom(&arguments, &[]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&format!("cannot listen on {address}")), "{}", stderr(&output));
    assert!(!dir.path().join("data/catalog.sqlite").exists());
}

#[test]
fn every_problem_of_the_configuration_is_told_at_once() {
    let output = strongroom(
        &["check-config", "--storage", "tape"],
        &[("STRONGROOM_LISTEN", "0.0.0.0:8080"), ("STRONGROOM_BUKET", "x")],
    );
    assert!(!output.status.success());
    let text = stderr(&output);
    for part in ["--storage", "--behind-tls-proxy", "STRONGROOM_BUKET", "3 problem(s)"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(strongroom(&["check-config"], &[]).status.success());
}

#[test]
fn retention_that_nobody_can_end_is_a_warning_and_no_error() {
    let compliance = [("STRONGROOM_OBJECT_LOCK_MODE", "compliance"), ("STRONGROOM_OBJECT_LOCK_DAYS", "36500")];
    let output = strongroom(&["check-config"], &compliance);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("warning: object_lock_mode = compliance") && text.contains("root included"), "{text}");
}

#[tokio::test]
async fn drift_on_the_embedded_store_is_repaired_at_the_next_start() {
    let service = Service::start(BackEnd::Embedded).await;
    let s3 = service.s3().await;
    s3.delete_bucket_policy().bucket(&service.bucket).send().await.unwrap();
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    s3.put_bucket_versioning().bucket(&service.bucket).versioning_configuration(suspended).send().await.unwrap();
    let service = service.restart().await;
    assert_eq!(service.greeting.matches("secured:").count(), 2, "{}", service.greeting);
    service.published("after/repair", "m", b"bytes").await;
}

#[tokio::test]
async fn unsafe_bucket_that_is_not_ours_stops_the_start() {
    let service = Service::start_with(BackEnd::Embedded, "provision = 'create'").await;
    let s3 = service.s3().await;
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    s3.put_bucket_versioning().bucket(&service.bucket).versioning_configuration(suspended).send().await.unwrap();
    let claims = s3.list_object_versions().bucket(&service.bucket).prefix("strongroom-claim").send().await.unwrap();
    let claim = &claims.versions()[0];
    let delete = s3.delete_object().bucket(&service.bucket).key(claim.key().unwrap());
    delete.version_id(claim.version_id().unwrap()).send().await.unwrap();
    let refusal = service.refused_start().await;
    assert!(refusal.contains("not safe") && refusal.contains("versioned"), "{refusal}");
}

#[tokio::test]
async fn bucket_that_is_not_ours_and_lets_wrong_writes_through_stops_the_start_and_ours_does_not() {
    let service = Service::start(BackEnd::Embedded).await;
    let verify = || vec![("STRONGROOM_PROVISION", "verify".to_owned())];
    let s3 = service.s3().await;
    s3.delete_bucket_policy().bucket(&service.bucket).send().await.unwrap();
    let service = service.restart_in(verify()).await;
    assert!(service.greeting.contains("note: foreign_key_refused failed"), "{}", service.greeting);
    service.published("a/b", "m", b"our own writes are right").await;

    let s3 = service.s3().await;
    let claims = s3.list_object_versions().bucket(&service.bucket).prefix("strongroom-claim").send().await.unwrap();
    let claim = &claims.versions()[0];
    let delete = s3.delete_object().bucket(&service.bucket).key(claim.key().unwrap());
    delete.version_id(claim.version_id().unwrap()).send().await.unwrap();
    let refusal = service.refused_start().await;
    assert!(refusal.contains("not safe") && refusal.contains("DenyWrongKmsKey is not in force"), "{refusal}");
}

#[tokio::test]
async fn disabled_key_stops_the_start_and_is_not_replaced() {
    let service = Service::start(BackEnd::Embedded).await;
    let kms = service.kms().await;
    kms.disable_key().key_id(&service.key_arn).send().await.unwrap();
    let refusal = service.refused_start().await;
    assert!(refusal.contains("disabled"), "{refusal}");
}

#[tokio::test]
async fn disabled_key_of_the_embedded_store_can_be_enabled_while_the_service_does_not_start() {
    let service = Service::start(BackEnd::Embedded).await;
    service.published("before/m", "m", b"bytes").await;
    service.kms().await.disable_key().key_id(&service.key_arn).send().await.unwrap();
    let service = service.embedded_alone().await;
    service.kms().await.enable_key().key_id(&service.key_arn).send().await.unwrap();
    let service = service.restart().await;
    let body = service.get("/v1/models/before/m/versions/1/files/m").await.bytes().await.unwrap();
    assert_eq!(body, "bytes");
}

#[tokio::test]
async fn disabled_key_refuses_uploads_and_leaves_nothing() {
    let service = Service::start(BackEnd::Embedded).await;
    // The first look is over; the next is minutes away.
    service.json("/v1/posture?fresh=true").await;
    service.kms().await.disable_key().key_id(&service.key_arn).send().await.unwrap();
    let answer = service.upload("a/b", "m.bin", b"bytes").await;
    assert_eq!(code(answer, 503).await, "encryption_key_unusable");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn secrets_in_the_data_directory_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::start(BackEnd::Embedded).await;
    let mode = |path: &str| std::fs::metadata(service.data_dir().join(path)).unwrap().permissions().mode() & 0o777;
    for secret in ["admin-token", "catalog.sqlite", "embedded/root-key", "embedded/credentials.json"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    assert_eq!(mode(""), 0o700);
    let stored = std::fs::read(service.data_dir().join("catalog.sqlite")).unwrap();
    let token = service.token.as_bytes();
    assert!(!stored.windows(token.len()).any(|window| window == token), "the token's text is in the catalog");
}
