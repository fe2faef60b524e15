//! `bucket check` and its evidence.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use strongroom::domain::Sha256Digest;
use strongroom::provision::ClaimId;

use super::place::Place;

/// Claims with this status.
fn standing(posture: &Value, status: &str) -> BTreeSet<String> {
    let claims = posture["claims"].as_array().unwrap().iter();
    claims.filter(|claim| claim["status"] == status).map(|claim| claim["id"].as_str().unwrap().to_owned()).collect()
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn fresh_bucket_passes_and_says_what_cannot_be_verified() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let posture = place.json(0, &["check", "--format", "json"]);
    assert_eq!(standing(&posture, "failed"), BTreeSet::new(), "{posture:#}");
    for claim in ["versioned", "canary", "headerless_write_refused", "anonymous_write_refused", "clock_in_step"] {
        assert!(standing(&posture, "passed").contains(claim), "{claim} of {posture:#}");
    }
    // Nobody has claimed it yet, and looking does not claim it.
    assert!(standing(&posture, "not_verifiable").contains("bucket_ours"), "{posture:#}");
    assert!(!place.data_dir().join("catalog.sqlite").exists());
    for claim in posture["claims"].as_array().unwrap() {
        let id: ClaimId = claim["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(claim["effect"], serde_json::to_value(id.effect()).unwrap());
        assert!(claim["expected"].is_string() && claim["observed"].is_string() && claim["controls"].is_array());
    }
    assert!(posture["apart"].as_array().unwrap().iter().any(|apart| apart["asks"] == "MFA delete"));
    assert_eq!(posture["overrides"], serde_json::json!([]));

    let text = place.expect(0, &["check"]);
    for part in ["passed", "not verifiable", "versioned", "MFA delete", "FSBP S3.14"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let unknown = standing(&posture, "not_verifiable").len();
    assert!(text.contains(&format!("0 failed, {unknown} not verifiable")), "{text}");
    let left = place.s3().await.list_object_versions().bucket("strongroom").send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");
}

#[tokio::test]
async fn bucket_of_a_running_service_is_ours() {
    let mut place = Place::embedded().await;
    place.start("serve", "Publish a first version").await;
    let posture = place.json(0, &["check", "--format", "json"]);
    assert_eq!(posture["status"], "passed", "{posture:#}");
    for claim in ["bucket_ours", "objects_intact"] {
        assert!(standing(&posture, "passed").contains(claim), "{claim} of {posture:#}");
    }
    place.stop();
    assert_eq!(place.json(0, &["check", "--format", "json"])["status"], "passed");
}

#[tokio::test]
async fn missing_policy_fails_the_check_and_the_evidence_says_so() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    place.s3().await.delete_bucket_policy().bucket("strongroom").send().await.unwrap();
    let file = place.path("failed.json").display().to_string();
    let posture = place.json(1, &["check", "--format", "json", "--evidence", &file]);
    let failed = standing(&posture, "failed");
    for claim in ["tls_only", "encryption_enforced", "headerless_write_refused"] {
        assert!(failed.contains(claim), "{claim} of {posture:#}");
    }
    let text = place.bucket(&["check"]);
    assert_eq!(text.code, 1);
    assert!(text.out.contains("FAILED") && text.out.contains("bucket apply"), "{}", text.out);
    let evidence: Value = serde_json::from_str(&text_of(&place.path("failed.json"))).unwrap();
    assert_eq!(evidence["posture"]["status"], "failed");
    assert!(text_of(&place.path("failed.md")).contains("**FAILED**"));
}

#[tokio::test]
async fn evidence_is_complete_signed_and_without_secrets() {
    let mut place = Place::embedded().await;
    place.start("serve", "Publish a first version").await;
    let file = place.path("evidence.json").display().to_string();
    place.expect(0, &["check", "--evidence", &file, "--signed-by", "A. Auditor"]);
    let (json, markdown) = (text_of(&place.path("evidence.json")), text_of(&place.path("evidence.md")));

    let mut evidence: Value = serde_json::from_str(&json).unwrap();
    let digest = evidence.as_object_mut().unwrap().remove("digest").unwrap();
    let canonical = canonical(&evidence);
    assert_eq!(digest, format!("sha256:{}", Sha256Digest::of(canonical.as_bytes())));
    assert!(markdown.contains(digest.as_str().unwrap()));

    assert_eq!(evidence["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&evidence["bucket"], &evidence["signed_by"]), (&"strongroom".into(), &"A. Auditor".into()));
    assert_eq!((&evidence["back_end"], &evidence["policy_profile"]), (&"embedded".into(), &"explicit".into()));
    assert!(evidence["started_at"].as_str() < evidence["ended_at"].as_str());
    for claim in evidence["posture"]["claims"].as_array().unwrap() {
        assert!(markdown.contains(&format!("| {} |", claim["id"].as_str().unwrap())), "{claim}");
    }
    for apart in evidence["posture"]["apart"].as_array().unwrap() {
        assert!(markdown.contains(apart["asks"].as_str().unwrap()), "{apart}");
    }
    assert!(markdown.contains("Name: A. Auditor"));

    let calls = evidence["calls"].as_array().unwrap();
    let operations: BTreeSet<&str> = calls.iter().map(|call| call["operation"].as_str().unwrap()).collect();
    for operation in ["HeadBucket", "GetBucketPolicy", "GetBucketVersioning", "DescribeKey", "PutObject"] {
        assert!(operations.contains(operation), "{operation} of {operations:?}");
    }
    assert!(operations.iter().any(|operation| operation.contains("canary")), "{operations:?}");
    for call in calls.iter().filter(|call| !call["operation"].as_str().unwrap().contains(' ')) {
        let id = call["request_id"].as_str().unwrap_or_else(|| panic!("{call}"));
        assert!(!id.is_empty() && markdown.contains(id), "{call}");
        assert!(call["at"].is_string() && call["millis"].is_u64(), "{call}");
    }
    let refused: Vec<_> = calls.iter().filter(|call| call["operation"] == "PutObject").collect();
    assert!(!refused.is_empty());
    for call in refused {
        assert_eq!((call["answer"].as_str(), call["status"].as_u64()), (Some("error"), Some(403)), "{call}");
    }

    let token = text_of(&place.data_dir().join("admin-token"));
    for secret in [place.secret().as_str(), token.trim(), "X-Amz-Signature"] {
        assert!(!json.contains(secret) && !markdown.contains(secret));
    }
}

#[tokio::test]
async fn evidence_is_never_overwritten() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let file = place.path("evidence.json");
    std::fs::write(place.path("evidence.md"), "signed").unwrap();
    let said = place.bucket(&["check", "--evidence", &file.display().to_string()]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("evidence.md") && said.err.contains("exists"), "{}", said.err);
    assert_eq!(text_of(&place.path("evidence.md")), "signed");
    assert!(!file.exists());
}

#[tokio::test]
async fn check_works_on_servers_that_others_wrote() {
    let place = Place::outside().await;
    place.expect(0, &["apply"]);
    let said = place.bucket(&["check", "--format", "json"]);
    let posture: Value = serde_json::from_str(&said.out).unwrap();
    // SeaweedFS evaluates neither the age of a signature nor how a request was signed.
    let failed = standing(&posture, "failed");
    let cannot = ["presigned_post_refused", "stale_presigned_refused"].map(str::to_owned);
    assert!(failed.is_subset(&cannot.into()), "{posture:#}");
    assert_eq!(said.code, i32::from(!failed.is_empty()), "{}", said.err);
    for claim in ["versioned", "canary", "public_access_blocked", "headerless_write_refused"] {
        assert!(standing(&posture, "passed").contains(claim), "{claim} of {posture:#}");
    }
}

/// RFC 8785 for what evidence holds: members are sorted, `serde_json` escapes as it says, and whole numbers have one
/// form.
fn canonical(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    serde_json::to_string(&value).unwrap()
}
