//! The serving role has what it needs, and nothing else: with exactly the printed actions everything works, and without
//! any one of them something named here does not.

mod roles;
mod scenario;
mod sweeping;

use std::path::PathBuf;

use futures::StreamExt as _;
use serde_json::{Value, json};
use strongroom::provision::iam::{self, Permission, RUNTIME, Role, Scope, When};
use strongroom::provision::{self, AccessLog, BackEnd, Clients, Mode, ObjectLock, Options, Retention, Status, Wanted};
use tempfile::TempDir;

use self::scenario::Scenario;
use crate::support::account;
use crate::support::process::source;
use crate::support::service::Service;

/// The identity with all of them.
const SERVE: &str = "SERVE";
const SECRET: &str = "a-long-secret";
const ROLE: &str = "arn:aws:iam::000000000000:role/serve";

/// What does not work without an action.
const BREAKS: [(&str, Scenario); 25] = [
    ("s3:ListBucket", Scenario::FirstStart),
    ("s3:ListBucketVersions", Scenario::RecoveryAfterKill),
    ("s3:ListBucketMultipartUploads", Scenario::RecoveryAfterKill),
    ("s3:GetBucketVersioning", Scenario::Look),
    ("s3:GetBucketPublicAccessBlock", Scenario::Look),
    ("s3:GetEncryptionConfiguration", Scenario::Look),
    ("s3:GetBucketPolicy", Scenario::Look),
    ("s3:GetBucketOwnershipControls", Scenario::Look),
    ("s3:GetLifecycleConfiguration", Scenario::Look),
    ("s3:GetBucketTagging", Scenario::Look),
    ("s3:GetBucketObjectLockConfiguration", Scenario::Look),
    ("s3:GetBucketLogging", Scenario::Look),
    ("s3:GetBucketNotification", Scenario::Look),
    ("s3:GetBucketCORS", Scenario::Look),
    ("s3:GetObject", Scenario::FirstStart),
    ("s3:GetObjectVersion", Scenario::FirstStart),
    ("s3:PutObject", Scenario::FirstStart),
    ("s3:ListMultipartUploadParts", Scenario::FirstStart),
    ("s3:AbortMultipartUpload", Scenario::FailedUpload),
    ("kms:GenerateDataKey", Scenario::FirstStart),
    ("kms:Decrypt", Scenario::FirstStart),
    ("kms:DescribeKey", Scenario::Look),
    ("kms:GetKeyRotationStatus", Scenario::Look),
    ("kms:GetKeyPolicy", Scenario::Look),
    ("kms:ListResourceTags", Scenario::Look),
];

/// A configuration that needs every action: all options that a look can see, and a key policy.
fn wanted(bucket: &str) -> Wanted {
    let mut wanted = Wanted::new(bucket, "us-east-1", BackEnd::Embedded);
    wanted.runtime_principals = vec![ROLE.to_owned()];
    wanted.options = Options {
        object_lock: Some(ObjectLock { mode: Retention::Governance, days: 1 }),
        access_log: Some(AccessLog { bucket: "logs".into(), prefix: "strongroom/".into() }),
        event_bridge: true,
        cors_origins: vec!["https://a.example".into()],
        ..Options::default()
    };
    wanted
}

/// The printed policy, and the actions it is made of.
fn printed() -> (Value, Vec<&'static str>) {
    let (wanted, key) = (wanted("strongroom"), "arn:aws:kms:us-east-1:000000000000:key/to-be-made".parse().unwrap());
    let scope = Scope { wanted: &wanted, key: Some(&key), provision_role: None };
    let policy = iam::policy(Role::Runtime, &scope).unwrap();
    let listed: Vec<_> = iam::runtime(&scope).iter().map(|permission| permission.action).collect();
    assert_eq!(policy.allowed(), listed, "the printed policy is the list");
    // The service makes its key after it has read the identities: they have it by a pattern.
    let policy = serde_json::to_string(&policy).unwrap().replace("key/to-be-made", "key/*");
    (serde_json::from_str(&policy).unwrap(), listed)
}

/// The access key of the identity that lacks one action.
fn without(action: &str) -> String {
    format!("WITHOUT_{}", action.replace(':', "_"))
}

/// A file of the serving identity, and of one more for each action, which lacks just that.
///
/// Actions and resources are those of the printed policy. Its conditions are left aside: the embedded KMS is asked by
/// nobody but the embedded S3.
fn identities() -> (TempDir, PathBuf) {
    let (policy, all) = printed();
    let identity = |access_key: &str, lacking: Option<&str>| {
        let allow = allowances(&policy, lacking);
        json!({"access_key": access_key, "secret_key": SECRET, "arn": ROLE, "allow": allow})
    };
    let mut list = vec![identity(SERVE, None)];
    list.extend(all.iter().map(|action| identity(&without(action), Some(action))));
    identities_file(&list)
}

/// What a printed policy allows, but for one action, as the embedded store reads it.
fn allowances(policy: &Value, lacking: Option<&str>) -> Vec<Value> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let allowing = statements.filter(|statement| statement["Effect"] == "Allow");
    let limited = |statement: &Value| {
        let actions = statement["Action"].as_array().unwrap().iter();
        let actions: Vec<_> = actions.filter(|action| lacking.is_none_or(|lacking| *action != lacking)).collect();
        json!({"actions": actions, "resources": statement["Resource"]})
    };
    allowing.map(limited).collect()
}

fn identities_file(list: &[Value]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identities.json");
    std::fs::write(&path, serde_json::to_vec(list).unwrap()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (dir, path)
}

/// Clients of one identity, at the endpoint behind a service.
fn clients(service: &Service, access_key: &str) -> Clients {
    let (endpoint, ..) = account::administrator_of(&service.data_dir());
    account::clients(&endpoint, access_key, SECRET)
}

#[test]
fn every_action_has_its_row_and_every_row_an_action() {
    let mut rows: Vec<_> = BREAKS.iter().map(|(action, _)| *action).collect();
    let (_, mut all) = printed();
    let mut data: Vec<_> = RUNTIME.iter().map(|permission| permission.action).collect();
    for list in [&mut rows, &mut all, &mut data] {
        list.sort_unstable();
        assert!(list.windows(2).all(|pair| pair[0] != pair[1]), "twice in {list:?}");
    }
    assert_eq!(rows, all);
    assert_eq!(rows, data);
}

#[tokio::test]
async fn with_exactly_these_actions_everything_works() {
    let (_dir, file) = identities();
    for scenario in Scenario::ALL {
        scenario.play(&file, SERVE).await.unwrap_or_else(|failure| panic!("{scenario:?}: {failure}"));
    }
}

#[tokio::test]
async fn without_any_one_action_a_named_scenario_fails_and_says_which_is_missing() {
    let (_dir, file) = identities();
    let lacking = BREAKS.iter().filter(|(_, scenario)| *scenario != Scenario::Look);
    let outcomes = futures::stream::iter(lacking.map(|(action, scenario)| {
        let file = &file;
        async move { (*action, *scenario, scenario.play(file, &without(action)).await) }
    }))
    .buffer_unordered(3);
    let outcomes: Vec<_> = outcomes.collect().await;
    for (action, scenario, outcome) in outcomes {
        let failure = outcome.expect_err(&format!("{scenario:?} works without {action}"));
        assert!(failure.contains(action), "{scenario:?} without {action} does not name it: {failure}");
    }
}

#[tokio::test]
async fn without_any_one_reading_action_the_watch_sees_less_and_says_which_is_missing() {
    let (_dir, file) = identities();
    let service = scenario::start(&file, SERVE).await.unwrap();
    for (action, _) in BREAKS.iter().filter(|(_, scenario)| *scenario == Scenario::Look) {
        let failure = scenario::look(&service, &without(action)).await;
        let failure = failure.expect_err(&format!("the look works without {action}"));
        assert!(failure.contains(action), "the look without {action} does not name it: {failure}");
    }
}

#[tokio::test]
async fn serving_role_proves_the_bucket_alone_where_others_provision_it() {
    let (_dir, file) = identities();
    let service = scenario::start(&file, SERVE).await.unwrap();
    let mut wanted = Wanted::new(&service.bucket, "us-east-1", BackEnd::Embedded);
    wanted.runtime_principals = vec![ROLE.to_owned()];
    let proven = provision::provision(&clients(&service, SERVE), &wanted, Mode::Verify).await.unwrap();
    assert_eq!(proven.outputs.key_arn, service.key_arn);
    let unproven: Vec<_> = proven.findings.iter().filter(|finding| finding.status != Status::Passed).collect();
    // The embedded store does not know the setting, as its administrator would be told, too.
    assert!(unproven.iter().all(|finding| finding.status == Status::NotVerifiable), "{unproven:?}");
    let mended = provision::provision(&clients(&service, SERVE), &wanted, Mode::Repair).await.unwrap();
    assert_eq!(mended.changes_made, Vec::<String>::new(), "it needs nothing, and could change nothing");
}

#[tokio::test]
async fn serving_role_changes_no_setting_and_destroys_nothing() {
    let (_dir, file) = identities();
    let service = scenario::start(&file, SERVE).await.unwrap();
    service.published("kept/m", "m.bin", b"published").await;
    let refused = scenario::forbidden(&service, &clients(&service, SERVE)).await;
    let allowed: Vec<_> = refused.into_iter().filter(|(_, refused)| !refused).map(|(name, _)| name).collect();
    assert_eq!(allowed, Vec::<&str>::new());
}

#[test]
fn document_lists_the_actions_of_the_serving_role_as_they_are() {
    let text = std::fs::read_to_string(source("docs/SECURITY.md")).unwrap();
    let row = |Permission { action, when, why, .. }: &Permission| {
        let (_, scenario) = BREAKS.iter().find(|(name, _)| name == action).unwrap();
        let why = if *when == When::Always { (*why).to_owned() } else { format!("{why} ({})", when.as_str()) };
        format!("| `{action}` | {why} | {} |", scenario.says())
    };
    let rows: Vec<_> = RUNTIME.iter().map(row).collect();
    assert!(text.contains(&rows.join("\n")), "docs/SECURITY.md should say:\n{}", rows.join("\n"));
    for permission in provision::iam::SWEEPER {
        let row = format!("| `{}` | {} |", permission.action, permission.why);
        assert!(text.contains(&row), "docs/SECURITY.md should say: {row}");
    }
}
