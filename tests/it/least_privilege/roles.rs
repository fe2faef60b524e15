//! The other roles' policies, each tried alone: what the provisioner, the destroyer and the sweeper do with theirs, and
//! the command that prints them.

use std::process::{Command, Output};

use aws_sdk_s3::types::ServerSideEncryption;
use futures::StreamExt as _;
use serde_json::{Value, json};
use strongroom::provision::claim::Claim;
use strongroom::provision::iam::{self, PROVISIONER_BUCKET, Role, Scope, When};
use strongroom::provision::{self, BackEnd, Clients, Mode, ObjectLock, Options, Retention, Status, Wanted, destroy};

use super::{SECRET, allowances, identities_file};
use crate::support::account::{Account, REGION};
use crate::support::service::{BackEnd as Kind, Service};

/// Everything that the embedded store can do, so that every permission is needed.
fn wanted() -> Wanted {
    let mut wanted = Wanted::new("roles", REGION, BackEnd::Embedded);
    wanted.runtime_principals = vec![super::ROLE.to_owned()];
    wanted.options = Options {
        object_lock: Some(ObjectLock { mode: Retention::Governance, days: 1 }),
        cors_origins: vec!["https://a.example".into()],
        intelligent_tiering: true,
        ..Options::default()
    };
    wanted
}

fn policy(role: Role, wanted: &Wanted) -> Value {
    let key = "arn:aws:kms:us-east-1:000000000000:key/to-be-made".parse().unwrap();
    let policy = iam::policy(role, &Scope { wanted, key: Some(&key), provision_role: None }).unwrap();
    serde_json::from_str(&serde_json::to_string(&policy).unwrap().replace("key/to-be-made", "key/*")).unwrap()
}

/// An account with an identity for this role, and one for each of some actions, that lacks it.
async fn account_for(role: Role, wanted: &Wanted, lacking: &[&str]) -> (Account, Clients, Vec<Clients>) {
    let policy = policy(role, wanted);
    let identity = |access_key: String, lacking: Option<&str>| {
        json!({
            "access_key": access_key,
            "secret_key": SECRET,
            "arn": format!("arn:aws:iam::000000000000:role/{role}"),
            "allow": allowances(&policy, lacking),
        })
    };
    let mut list = vec![identity("WHOLE".to_owned(), None)];
    list.extend(lacking.iter().enumerate().map(|(n, action)| identity(format!("LACKS{n}"), Some(action))));
    let (_dir, file) = identities_file(&list);
    let account = Account::new(Some(&file)).await;
    let whole = account.clients_of("WHOLE", SECRET);
    let reduced = (0..lacking.len()).map(|n| account.clients_of(&format!("LACKS{n}"), SECRET)).collect();
    (account, whole, reduced)
}

/// Access logs and events cannot be switched on in the embedded store.
fn tried(when: When) -> bool {
    !matches!(when, When::AccessLog | When::EventBridge)
}

#[tokio::test]
async fn provisioner_makes_everything_with_its_policy_alone_and_uses_nothing() {
    let wanted = wanted();
    let (account, provisioner, _) = account_for(Role::Provisioner, &wanted, &[]).await;
    let made = provision::provision(&provisioner, &wanted, Mode::Repair).await.unwrap();
    let failed: Vec<_> = made.findings.iter().filter(|finding| finding.status == Status::Failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let seen = provision::provision(&account.clients, &wanted, Mode::Verify).await.unwrap();
    assert_eq!(seen.findings, made.findings, "the administrator sees no more");
    let (s3, kms) = (&provisioner.s3, &provisioner.kms);
    assert!(s3.get_object().bucket("roles").key("models/a").send().await.is_err());
    assert!(s3.put_object().bucket("roles").key("models/a").send().await.is_err());
    assert!(s3.delete_bucket().bucket("roles").send().await.is_err());
    let key = made.outputs.key_arn.as_str();
    assert!(kms.generate_data_key().key_id(key).number_of_bytes(32).send().await.is_err());
    assert!(kms.disable_key().key_id(key).send().await.is_err());
}

/// A new bucket is read and set in every way: without any one action the run fails, or leaves a claim unproven.
#[tokio::test]
async fn provisioner_needs_each_of_its_actions_on_the_bucket() {
    let wanted = wanted();
    let lacking: Vec<_> = PROVISIONER_BUCKET.iter().filter(|one| tried(one.when)).map(|one| one.action).collect();
    // A bucket that is not marked as ours is looked into, which this one is not before it has its tags.
    let unneeded_here = ["s3:ListBucketVersions"];
    let outcomes = futures::stream::iter(lacking.into_iter().map(|action| {
        let wanted = &wanted;
        async move {
            let (_account, _, reduced) = account_for(Role::Provisioner, wanted, &[action]).await;
            let patience = provision::Patience::of(std::time::Duration::from_millis(300));
            let clients = Clients { patience, ..reduced.into_iter().next().unwrap() };
            let outcome = provision::provision(&clients, wanted, Mode::Repair).await;
            let complete = outcome.is_ok_and(|made| {
                made.findings.iter().all(|finding| finding.status == Status::Passed || unknown_to_the_store(finding))
            });
            (action, complete)
        }
    }));
    for (action, complete) in outcomes.buffer_unordered(3).collect::<Vec<_>>().await {
        assert_eq!(complete, unneeded_here.contains(&action), "without {action}");
    }
}

fn unknown_to_the_store(finding: &provision::Finding) -> bool {
    finding.status == Status::NotVerifiable && finding.observed.contains("does not")
}

#[tokio::test]
async fn destroyer_ends_an_empty_buckets_key_and_touches_no_model() {
    // Object Lock would keep the claim, and with it the key.
    let wanted = Wanted { options: Options::default(), ..wanted() };
    let (account, destroyer, _) = account_for(Role::Destroyer, &wanted, &[]).await;
    let made = provision::provision(&account.clients, &wanted, Mode::Repair).await.unwrap();
    for key in ["models/a", "probes/left", "strongroom-claim.json"] {
        assert!(destroyer.s3.put_object().bucket("roles").key(key).send().await.is_err());
    }
    let claim = account.clients.s3.put_object().bucket("roles").key("strongroom-claim.json");
    let claim = claim.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&made.outputs.key_arn);
    claim.body(Claim::new("ours").to_json().into()).send().await.unwrap();
    let destroyed = destroy::destroy(&destroyer, &wanted, Some("ours")).await.unwrap();
    assert_eq!(destroyed.key.to_string(), made.outputs.key_arn);
    assert!(!destroyed.already);
}

#[tokio::test]
async fn sweeper_removes_versions_and_reads_none() {
    let service = {
        let wanted = Wanted::new("strongroom", REGION, BackEnd::Embedded);
        let policy = policy(Role::Sweeper, &wanted);
        let identity = json!({
            "access_key": "SWEEP",
            "secret_key": SECRET,
            "arn": "arn:aws:iam::000000000000:role/sweep",
            "allow": allowances(&policy, None),
        });
        let (dir, file) = identities_file(&[identity]);
        let service = Service::start_with(Kind::Embedded, &format!("identities_file = '{}'", file.display())).await;
        drop(dir);
        service
    };
    service.published("kept/m", "m.bin", b"published").await;
    let sweeper = super::clients(&service, "SWEEP").s3;
    let listed = sweeper.list_object_versions().bucket(&service.bucket).prefix("models/").send().await.unwrap();
    let version = &listed.versions()[0];
    let (key, id) = (version.key().unwrap(), version.version_id().unwrap());
    assert!(sweeper.get_object().bucket(&service.bucket).key(key).version_id(id).send().await.is_err());
    assert!(sweeper.delete_object().bucket(&service.bucket).key(key).send().await.is_err(), "a delete marker");
    let claim = "strongroom-claim.json";
    let claims = sweeper.list_object_versions().bucket(&service.bucket).prefix(claim).send().await.unwrap();
    let claimed = claims.versions()[0].version_id().unwrap();
    let swept = sweeper.delete_object().bucket(&service.bucket).key(claim).version_id(claimed).send().await;
    assert!(swept.is_err(), "the claim");
    sweeper.delete_object().bucket(&service.bucket).key(key).version_id(id).send().await.unwrap();
}

fn strongroom(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(arguments)
        .env_clear()
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn policies_are_printed_for_the_key_that_exists() {
    let service = Service::start(Kind::Embedded).await;
    let dir = service.data_dir().display().to_string();
    let all = document(&strongroom(&["bucket", "iam", "--data-dir", &dir]));
    for role in Role::ALL {
        let one = document(&strongroom(&["bucket", "iam", "--data-dir", &dir, "--role", role.as_str()]));
        assert_eq!(all[role.as_str()], one);
        assert_eq!(one["Version"], "2012-10-17");
    }
    assert!(all["runtime"].to_string().contains(&service.key_arn));
}

#[test]
fn before_there_is_a_key_its_users_have_no_policy() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let output = strongroom(&["bucket", "iam", "--data-dir", &data]);
    let all = document(&output);
    let roles: Vec<_> = all.as_object().unwrap().keys().cloned().collect();
    assert_eq!(roles, ["provisioner"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("strongroom bucket apply"));
    let refused = strongroom(&["bucket", "iam", "--data-dir", &data, "--role", "runtime"]);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(!dir.path().join("data").exists(), "looking makes nothing");
}

#[test]
fn policies_of_a_key_that_was_brought_need_no_account() {
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/0f-1";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("strongroom.toml");
    std::fs::write(&file, format!("storage = 's3'\nbucket = 'models-1'\nkms_key_arn = '{arn}'\n")).unwrap();
    let runtime = document(&strongroom(&["bucket", "iam", "--config", file.to_str().unwrap(), "--role", "runtime"]));
    assert!(runtime.to_string().contains(arn) && runtime.to_string().contains("s3.eu-west-1.amazonaws.com"));
    for format in ["terraform", "pulumi"] {
        let output = strongroom(&["bucket", "export", "--config", file.to_str().unwrap(), "--format", format]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(arn) && text.contains("STRONGROOM_PROVISION=verify"), "{text}");
    }
}
