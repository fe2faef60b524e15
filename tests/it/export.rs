//! The desired state as Terraform and Pulumi code, read by parsers that others wrote: it is the specification, setting
//! by setting; it is what provisioning really sets; and a bucket that is made from it passes every claim.

mod applied;
mod parsed;

use serde_json::Value;
use strongroom::provision::export::Format;
use strongroom::provision::key::ObservedKey;
use strongroom::provision::observe::{BucketSettings, Observed, ObservedBucket, ObservedOptions, Setting};
use strongroom::provision::plan::{plan_bucket, plan_key};
use strongroom::provision::read::observe_bucket;
use strongroom::provision::{
    self, AccessLog, BackEnd, BucketSpec, KeyArn, KeySpec, KeyWish, Mode, ObjectLock, Options, Profile, Retention,
    Status, Wanted,
};

use self::applied::{apply, brought_key};
use self::parsed::Exported;
use crate::support::account::{Account, REGION};

const FORMATS: [Format; 2] = [Format::Terraform, Format::Pulumi];
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/0f1e2d3c";

fn plain(back_end: BackEnd) -> Wanted {
    Wanted::new("exported", REGION, back_end)
}

/// Every option that there is.
fn everything() -> Wanted {
    let mut wanted = plain(BackEnd::Aws);
    wanted.runtime_principals =
        vec!["arn:aws:iam::123456789012:role/serve".into(), "arn:aws:iam::123456789012:role/b".into()];
    wanted.administrators = vec!["arn:aws:iam::123456789012:role/admin".into()];
    wanted.rotation_days = 90;
    wanted.options = Options {
        perimeter: true,
        vpc_endpoint: Some("vpce-0a1b".into()),
        object_lock: Some(ObjectLock { mode: Retention::Governance, days: 30 }),
        access_log: Some(AccessLog { bucket: "logs".into(), prefix: "models/".into() }),
        event_bridge: true,
        cors_origins: vec!["https://a.example".into(), "https://b.example:8443".into()],
        intelligent_tiering: true,
    };
    wanted
}

/// What the embedded store can do of it.
fn everything_embedded() -> Wanted {
    let mut wanted = Wanted { back_end: BackEnd::Embedded, ..everything() };
    // Who applies here is the account's root.
    wanted.administrators = vec!["arn:aws:iam::000000000000:root".into()];
    wanted.runtime_principals = vec!["arn:aws:iam::000000000000:role/serve".into()];
    wanted.options = Options { vpc_endpoint: None, access_log: None, event_bridge: false, ..wanted.options };
    wanted
}

fn default_ok(back_end: BackEnd) -> Wanted {
    Wanted { profile: Profile::DefaultOk, ..plain(back_end) }
}

fn brought(back_end: BackEnd, arn: KeyArn) -> Wanted {
    Wanted { key: KeyWish::Brought(arn), ..plain(back_end) }
}

fn on_aws() -> [Wanted; 4] {
    [plain(BackEnd::Aws), default_ok(BackEnd::Aws), brought(BackEnd::Aws, KEY.parse().unwrap()), everything()]
}

/// The settings that a plan would still change.
fn unsettled(wanted: &Wanted, key: &KeyArn, exported: &Exported) -> Vec<Setting> {
    let resolved = exported.resolved(key, &wanted.bucket);
    settings_due(wanted, key, resolved.bucket(&wanted.bucket))
}

fn settings_due(wanted: &Wanted, key: &KeyArn, bucket: BucketSettings) -> Vec<Setting> {
    let spec = BucketSpec::new(wanted, key.clone());
    let plan = plan_bucket(&spec, &ObservedBucket::Present(Box::new(bucket)), Mode::Repair).unwrap();
    plan.changes.iter().filter_map(provision::Change::setting).collect()
}

#[test]
fn what_is_exported_is_the_specification_setting_by_setting() {
    let key: KeyArn = KEY.parse().unwrap();
    for wanted in on_aws() {
        for format in FORMATS {
            let exported = Exported::read(format, &wanted);
            assert_eq!(unsettled(&wanted, &key, &exported), [], "{format:?} of {wanted:?}");
            let spec = KeySpec::new(&wanted);
            match (&wanted.key, exported.resolved(&key, &wanted.bucket).key(&key)) {
                (KeyWish::Brought(_), None) => assert!(!exported.has("aws_kms_key") && !exported.has("aws_kms_alias")),
                (KeyWish::Alias(alias), Some(facts)) => {
                    let have = ObservedKey::Present(Box::new(facts));
                    let due = plan_key(&spec, &have, &ObservedBucket::Absent, Mode::Repair).unwrap().changes;
                    assert_eq!(due, [], "{format:?} of {wanted:?}");
                    assert_eq!(exported.json["resources"]["aws_kms_alias"]["name"], alias.as_str());
                }
                (wish, facts) => panic!("{wish:?} was exported as {facts:?}"),
            }
        }
    }
}

/// The comparison would notice: each setting, left out of the export, is due again.
#[test]
fn setting_that_the_export_left_out_would_be_missed() {
    let (wanted, key) = (everything(), KEY.parse::<KeyArn>().unwrap());
    let exported = Exported::read(Format::Terraform, &wanted).resolved(&key, &wanted.bucket);
    let whole = exported.bucket(&wanted.bucket);
    // Whoever adds a setting has to say here how it is left out.
    let without = |setting: Setting| -> Option<BucketSettings> {
        let (all, options) = (whole.clone(), whole.options.clone());
        let with = |options: ObservedOptions| BucketSettings { options, ..all.clone() };
        Some(match setting {
            Setting::PublicAccessBlock => BucketSettings { public_access: Observed::Absent, ..all },
            Setting::Ownership => BucketSettings { ownership: Observed::Absent, ..all },
            Setting::DefaultEncryption => BucketSettings { encryption: Observed::Absent, ..all },
            Setting::Versioning => BucketSettings { versioning: Observed::Absent, ..all },
            Setting::Policy => BucketSettings { policy: Observed::Absent, ..all },
            Setting::Lifecycle => BucketSettings { lifecycle: Observed::Absent, ..all },
            Setting::Tags => BucketSettings { tags: Observed::Absent, ..all },
            Setting::ObjectLock => with(ObservedOptions { object_lock: Observed::Absent, ..options }),
            Setting::AccessLog => with(ObservedOptions { access_log: Observed::Absent, ..options }),
            Setting::Notifications => with(ObservedOptions { notifications: Observed::Absent, ..options }),
            Setting::Cors => with(ObservedOptions { cors: Observed::Absent, ..options }),
            // Not of the bucket, or nothing that anybody sets.
            Setting::Contents
            | Setting::KeyTags
            | Setting::KeyDescription
            | Setting::KeyPolicy
            | Setting::KeyRotation => return None,
        })
    };
    for setting in [
        Setting::PublicAccessBlock,
        Setting::Ownership,
        Setting::DefaultEncryption,
        Setting::Versioning,
        Setting::Policy,
        Setting::Lifecycle,
        Setting::Tags,
        Setting::ObjectLock,
        Setting::AccessLog,
        Setting::Notifications,
        Setting::Cors,
    ] {
        let due = settings_due(&wanted, &key, without(setting).unwrap());
        assert!(due.contains(&setting), "{setting:?}: {due:?}");
    }
}

#[test]
fn data_is_protected_providers_are_pinned_and_outputs_are_the_seeds() {
    for wanted in on_aws() {
        for format in FORMATS {
            let exported = Exported::read(format, &wanted);
            let ours = matches!(wanted.key, KeyWish::Alias(_));
            let precious: Vec<&str> = if ours { vec!["aws_kms_key", "aws_s3_bucket"] } else { vec!["aws_s3_bucket"] };
            assert_eq!(exported.json["precious"], serde_json::json!(precious));
            assert_eq!(exported.json["region"], REGION);
            assert_eq!(exported.json["after"]["aws_s3_bucket_policy"][0], "aws_s3_bucket_public_access_block.models");
            let version = match format {
                Format::Terraform => ">= 6.40.0, < 7.0.0",
                Format::Pulumi => "7.39.0",
            };
            assert_eq!(exported.json["provider_version"], version);
            assert_eq!(exported.json["asks_account"], !wanted.runtime_principals.is_empty() && ours);
            let outputs = &exported.resolved(&KEY.parse().unwrap(), &wanted.bucket).json["outputs"];
            assert_eq!(*outputs, serde_json::json!({"bucket_name": "exported", "kms_key_arn": KEY}));
        }
    }
}

#[tokio::test]
async fn bucket_that_is_made_from_the_export_is_the_one_that_provisioning_makes_and_passes_every_claim() {
    for which in 0..4 {
        let ours = Account::new(None).await;
        let made_by_us = wanted_on(which, &ours).await;
        let made = provision::provision(&ours.clients, &made_by_us, Mode::Create).await.unwrap();
        let set = look(&ours, &made_by_us, &made.spec.key).await;
        for format in FORMATS {
            let exported = Exported::read(format, &made_by_us);
            let says = exported.resolved(&made.spec.key, &made_by_us.bucket).bucket(&made_by_us.bucket);
            assert_same(&set, &says);

            let theirs = Account::new(None).await;
            let wanted = wanted_on(which, &theirs).await;
            let key = apply(&theirs.clients, &Exported::read(format, &wanted), &wanted).await;
            let proven = provision::provision(&theirs.clients, &wanted, Mode::Verify).await.unwrap();
            assert_eq!(proven.outputs.key_arn, key.as_str());
            let claims = |findings: &[provision::Finding]| -> Vec<_> {
                findings.iter().map(|finding| (finding.claim, finding.status)).collect()
            };
            assert_eq!(claims(&proven.findings), claims(&made.findings), "{format:?} of {wanted:?}");
            let failed: Vec<_> = proven.findings.iter().filter(|finding| finding.status == Status::Failed).collect();
            assert!(failed.is_empty(), "{format:?} of {wanted:?}: {failed:?}");
            let due = provision::preview(&theirs.clients, &wanted, Mode::Repair).await.unwrap();
            assert_eq!(due.changes, [], "{format:?} of {wanted:?}");
        }
    }
}

/// One of several wishes; a key that is brought is made in the account first.
async fn wanted_on(which: usize, account: &Account) -> Wanted {
    match which {
        0 => plain(BackEnd::Embedded),
        1 => default_ok(BackEnd::Embedded),
        2 => brought(BackEnd::Embedded, brought_key(&account.clients).await),
        _ => everything_embedded(),
    }
}

async fn look(account: &Account, wanted: &Wanted, key: &KeyArn) -> BucketSettings {
    let owner = key.account();
    let seen = observe_bucket(&account.clients, &wanted.bucket, REGION, Some(owner), &wanted.options).await.unwrap();
    match seen {
        ObservedBucket::Present(settings) => *settings,
        ObservedBucket::Absent => panic!("there is no bucket"),
    }
}

/// Setting by setting; a policy as what it says.
fn assert_same(set: &BucketSettings, says: &BucketSettings) {
    let policy =
        |settings: &BucketSettings| -> Value { serde_json::from_str(settings.policy.known().unwrap()).unwrap() };
    assert_eq!(policy(set), policy(says));
    let lifecycle = |settings: &BucketSettings| settings.lifecycle.known().unwrap().rules.clone();
    assert_eq!(lifecycle(set), lifecycle(says));
    let rest = |settings: &BucketSettings| BucketSettings {
        policy: Observed::Absent,
        lifecycle: Observed::Absent,
        ..settings.clone()
    };
    assert_eq!(rest(set), rest(says));
}
