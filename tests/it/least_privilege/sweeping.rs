//! The sweep with the sweeper's policy, and without any one action of it; and with the serving role's, which may not
//! remove versions.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use strongroom::provision::BackEnd;
use strongroom::provision::Wanted;
use strongroom::provision::iam::{self, Role, SWEEPER, Scope};
use tempfile::TempDir;

use super::{SECRET, allowances, identities_file, without};
use crate::support::service::{BackEnd as Kind, Service};
use crate::sweep::scene::{NOW, Scene};

/// Identities with the sweeper's policy, each but one lacking an action; and one with the serving role's.
fn identities() -> TempDir {
    let key = "arn:aws:kms:us-east-1:000000000000:key/to-be-made".parse().unwrap();
    let wanted = Wanted::new("strongroom", "us-east-1", BackEnd::Embedded);
    let policy = |role| {
        let policy = iam::policy(role, &Scope { wanted: &wanted, key: Some(&key), provision_role: None }).unwrap();
        let text = serde_json::to_string(&policy).unwrap().replace("key/to-be-made", "key/*");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let identity = |access_key: &str, role: Role, lacking: Option<&str>| {
        let (arn, allow) = (format!("arn:aws:iam::000000000000:role/{role}"), allowances(&policy(role), lacking));
        json!({"access_key": access_key, "secret_key": SECRET, "arn": arn, "allow": allow})
    };
    let mut list = vec![identity("SWEEP", Role::Sweeper, None), identity("SERVE", Role::Runtime, None)];
    let lacking = SWEEPER.iter().map(|permission| permission.action);
    list.extend(lacking.map(|action| identity(&without(action), Role::Sweeper, Some(action))));
    identities_file(&list).0
}

async fn scene(dir: &Path) -> Scene {
    let file = dir.join("identities.json");
    let settings = format!("sweep_hours = 0\ntrash_days = 0\nidentities_file = '{}'", file.display());
    let scene = Scene::of(Service::start_with(Kind::Embedded, &settings).await).await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene
}

fn with(identity: &str) -> Vec<(&'static str, String)> {
    let age = NOW.iter().map(|(name, value)| (*name, (*value).to_owned()));
    age.chain([("STRONGROOM_EMBEDDED_IDENTITY", identity.to_owned())]).collect()
}

async fn swept(scene: &Scene, identity: &str) -> (bool, Value) {
    let environment = with(identity);
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (output, report) = scene.swept(&environment, &[]).await;
    (output.status.success(), report)
}

async fn spoil(scene: &Scene) {
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/x").await;
    scene.begin_upload("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/x").await;
}

#[tokio::test]
async fn sweeper_does_all_its_work_with_its_policy_alone() {
    let dir = identities();
    let scene = scene(dir.path()).await;
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b/versions/1").await, 200);
    spoil(&scene).await;
    let (clean, report) = swept(&scene, "SWEEP").await;
    assert!(clean && report["denied"] == 0, "{report:#}");
    assert_eq!((&report["removed"]["versions"], &report["removed"]["uploads"]), (&json!(1), &json!(1)));
    scene.rows.flush().await;
    let (clean, report) = swept(&scene, "SWEEP").await;
    assert!(clean && report["versions_purged"] == 1, "{report:#}");
    assert_eq!(scene.listed().await, Vec::new());
}

#[tokio::test]
async fn without_any_one_action_the_sweeper_says_so_and_removes_nothing_wrong() {
    let dir = identities();
    let scene = scene(dir.path()).await;
    let kept = scene.listed().await;
    for permission in SWEEPER {
        spoil(&scene).await;
        let (clean, report) = swept(&scene, &without(permission.action)).await;
        if matches!(permission.action, "s3:AbortMultipartUpload" | "s3:DeleteObjectVersion") {
            assert!(clean && report["denied"].as_u64() > Some(0), "{}: {report:#}", permission.action);
        } else {
            let failed = report["failed"].as_str().unwrap_or_else(|| panic!("{}: {report:#}", permission.action));
            assert!(!clean && failed.contains(permission.action), "{}: {failed}", permission.action);
        }
        assert!(scene.listed().await.iter().filter(|found| kept.contains(found)).count() == kept.len());
    }
}

#[tokio::test]
async fn with_the_serving_role_the_sweep_says_what_stays_and_does_not_fail() {
    let dir = identities();
    let scene = scene(dir.path()).await;
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b/versions/1").await, 200);
    scene.sweep(NOW, &[]).await;
    scene.rows.flush().await;
    spoil(&scene).await;
    let before = scene.listed().await;
    let (clean, report) = swept(&scene, "SERVE").await;
    assert!(clean, "{report:#}");
    // The purged version's object, and what nobody refers to; the upload is ended.
    assert_eq!((&report["denied"], &report["removed"]["uploads"]), (&json!(2), &json!(1)), "{report:#}");
    assert_eq!(scene.listed().await, before);
    assert_eq!(scene.rows.texts("select state from versions").await, ["purging"], "its manifest waits for the bytes");
    let (clean, report) = swept(&scene, "SWEEP").await;
    assert!(clean && report["versions_purged"] == 1, "{report:#}");
    assert_eq!(scene.listed().await, Vec::new());
}
