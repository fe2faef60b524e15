//! After any run, from any state, in any mode, there is nothing left to do, and nothing of others is lost.
//!
//! Each case is drawn from its number; a failure names it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, CorsConfiguration, CorsRule, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, VersioningConfiguration,
};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use strongroom::provision::observe::Setting;
use strongroom::provision::plan::Unplannable;
use strongroom::provision::{
    self, Clients, Mode, ObjectLock, Options, Preview, Profile, ProvisionError, Retention, Wanted,
};

use super::account::Account;
use super::{told, wanted};
use crate::support::dice::Dice;

const CASES: u64 = 150;
const AT_ONCE: usize = 16;
const ROOT: &str = "arn:aws:iam::000000000000:root";

fn any_wish(dice: &mut Dice, bucket: &str) -> Wanted {
    let lock = ObjectLock { mode: Retention::Governance, days: dice.pick(&[1, 30]) };
    let options = Options {
        perimeter: dice.roll(3) == 0,
        object_lock: (dice.roll(4) == 0).then_some(lock),
        cors_origins: if dice.coin() { vec!["https://models.example".to_owned()] } else { Vec::new() },
        intelligent_tiering: dice.coin(),
        ..Options::default()
    };
    let named = options.perimeter || dice.coin();
    Wanted {
        profile: dice.pick(&[Profile::Explicit, Profile::DefaultOk]),
        rotation_days: dice.pick(&[90, 365, 2560]),
        runtime_principals: if named { vec![ROOT.to_owned()] } else { Vec::new() },
        administrators: if named { vec![ROOT.to_owned()] } else { Vec::new() },
        options,
        ..wanted(bucket)
    }
}

/// The account before the run: nothing, a bucket that somebody made, or one of ours that lived since.
async fn any_state(dice: &mut Dice, account: &Account, bucket: &str) {
    let clients = account.clients();
    match dice.roll(5) {
        0 => return,
        1 => {
            clients.s3.create_bucket().bucket(bucket).send().await.unwrap();
            if dice.coin() {
                let body = ByteStream::from_static(b"precious");
                clients.s3.put_object().bucket(bucket).key("theirs").body(body).send().await.unwrap();
            }
        }
        _ => {
            let before = any_wish(dice, bucket);
            account.provision(&before, Mode::Create).await.unwrap();
        }
    }
    for harm in HARMS {
        if dice.roll(4) == 0 {
            harm(dice, &clients, bucket).await;
        }
    }
}

type Harm = for<'a> fn(&'a mut Dice, &'a Clients, &'a str) -> BoxFuture<'a, ()>;

const HARMS: [Harm; 9] = [
    |dice, clients, bucket| Box::pin(public_access(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(ownership(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(encryption(dice, clients, bucket)),
    |_, clients, bucket| Box::pin(versioning(clients, bucket)),
    |dice, clients, bucket| Box::pin(policy(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(lifecycle(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(tags(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(cors(dice, clients, bucket)),
    |dice, clients, bucket| Box::pin(key(dice, clients, bucket)),
];

/// Object Lock and the public access block refuse some harms, which is as good.
fn tried<T, E, R>(_: Result<T, SdkError<E, R>>) {}

async fn public_access(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    if dice.coin() {
        tried(s3.delete_public_access_block().bucket(bucket).send().await);
    } else {
        let open = PublicAccessBlockConfiguration::builder().block_public_acls(true).build();
        tried(s3.put_public_access_block().bucket(bucket).public_access_block_configuration(open).send().await);
    }
}

async fn ownership(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    if dice.coin() {
        tried(s3.delete_bucket_ownership_controls().bucket(bucket).send().await);
    } else {
        let rule = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::ObjectWriter).build().unwrap();
        let controls = OwnershipControls::builder().rules(rule).build().unwrap();
        tried(s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls).send().await);
    }
}

async fn encryption(dice: &mut Dice, Clients { s3, kms, .. }: &Clients, bucket: &str) {
    if dice.coin() {
        tried(s3.delete_bucket_encryption().bucket(bucket).send().await);
        return;
    }
    let other = kms.create_key().description("other").send().await.unwrap();
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(other.key_metadata().unwrap().arn().unwrap())
        .build()
        .unwrap();
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    tried(s3.put_bucket_encryption().bucket(bucket).server_side_encryption_configuration(all).send().await);
}

async fn versioning(Clients { s3, .. }: &Clients, bucket: &str) {
    let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    tried(s3.put_bucket_versioning().bucket(bucket).versioning_configuration(off).send().await);
}

async fn policy(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    let in_force = s3.get_bucket_policy().bucket(bucket).send().await.ok().and_then(|found| found.policy);
    let mut document: serde_json::Value = match (in_force, dice.roll(4)) {
        (_, 0) => return tried(s3.delete_bucket_policy().bucket(bucket).send().await),
        // Weaker than it was.
        (Some(text), 1) => serde_json::from_str(&text.replace("\"aws:kms\"", "\"AES256\"")).unwrap(),
        (Some(text), 2) => serde_json::from_str(&text).unwrap(),
        _ => serde_json::json!({"Version": "2012-10-17", "Statement": []}),
    };
    let objects = format!("arn:aws:s3:::{bucket}/*");
    let statements = document["Statement"].as_array_mut().unwrap();
    statements.push(serde_json::json!({"Sid": "TheirDeny", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectAcl", "Resource": objects}));
    if dice.coin() {
        statements.push(serde_json::json!({"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": ["s3:GetObject"], "Resource": objects}));
    }
    tried(s3.put_bucket_policy().bucket(bucket).policy(document.to_string()).send().await);
}

async fn lifecycle(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    let found = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.ok();
    let mut rules = found.and_then(|found| found.rules).unwrap_or_default();
    match dice.roll(3) {
        0 => return tried(s3.delete_bucket_lifecycle().bucket(bucket).send().await),
        1 => rules.iter_mut().for_each(|rule| rule.status = ExpirationStatus::Disabled),
        _ => rules.clear(),
    }
    let scratch = LifecycleRule::builder()
        .id("scratch")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("scratch/").build())
        .expiration(LifecycleExpiration::builder().days(3).build());
    rules.push(scratch.build().unwrap());
    let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
    tried(s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(all).send().await);
}

async fn tags(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    let found = s3.get_bucket_tagging().bucket(bucket).send().await.ok();
    let mut tags = found.map(|found| found.tag_set).unwrap_or_default();
    match dice.roll(3) {
        0 => tags.clear(),
        1 => tags.retain(|tag| tag.key() == "managed-by"),
        _ => {
            tags.retain(|tag| tag.key() != "strongroom-spec-version");
            tags.push(Tag::builder().key("strongroom-spec-version").value("0").build().unwrap());
        }
    }
    tags.push(Tag::builder().key("cost-centre").value("7").build().unwrap());
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
    tried(s3.put_bucket_tagging().bucket(bucket).tagging(tagging).send().await);
}

async fn cors(dice: &mut Dice, Clients { s3, .. }: &Clients, bucket: &str) {
    let rule = |id: &str, origin: &str| {
        CorsRule::builder().id(id).allowed_methods("GET").allowed_origins(origin).build().unwrap()
    };
    let mut rules = vec![rule("theirs", "https://else.example")];
    if dice.coin() {
        rules.push(rule("strongroom-presigned-urls", "https://wrong.example"));
    }
    let all = CorsConfiguration::builder().set_cors_rules(Some(rules)).build().unwrap();
    tried(s3.put_bucket_cors().bucket(bucket).cors_configuration(all).send().await);
}

async fn key(dice: &mut Dice, Clients { kms, .. }: &Clients, bucket: &str) {
    let alias = format!("alias/{bucket}");
    let Ok(found) = kms.describe_key().key_id(&alias).send().await else { return };
    let id = found.key_metadata().unwrap().key_id();
    match dice.roll(5) {
        0 => tried(kms.disable_key_rotation().key_id(id).send().await),
        1 => tried(kms.enable_key_rotation().key_id(id).rotation_period_in_days(700).send().await),
        2 => tried(kms.untag_resource().key_id(id).tag_keys("deletion-window-days").send().await),
        3 => {
            let policy = kms.get_key_policy().key_id(id).send().await.unwrap().policy.unwrap();
            let policy = policy.replacen("\"Statement\":[{", "\"Statement\":[{\"Sid\":\"x\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::000000000000:root\"},\"Action\":\"kms:CreateGrant\",\"Resource\":\"*\"},{", 1);
            tried(kms.put_key_policy().key_id(id).policy(policy).send().await);
        }
        _ => tried(kms.update_key_description().key_id(id).description("whose?").send().await),
    }
}

/// Everything about the bucket, as text.
async fn snapshot(Clients { s3, .. }: &Clients, bucket: &str) -> BTreeMap<&'static str, String> {
    let policy = s3.get_bucket_policy().bucket(bucket).send().await;
    let tags = s3.get_bucket_tagging().bucket(bucket).send().await;
    let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
    let cors = s3.get_bucket_cors().bucket(bucket).send().await;
    let versioning = s3.get_bucket_versioning().bucket(bucket).send().await;
    let access = s3.get_public_access_block().bucket(bucket).send().await;
    let ownership = s3.get_bucket_ownership_controls().bucket(bucket).send().await;
    let encryption = s3.get_bucket_encryption().bucket(bucket).send().await.ok();
    let encryption = encryption.and_then(|found| found.server_side_encryption_configuration);
    let default = encryption.map(|all| all.rules()[0].apply_server_side_encryption_by_default().cloned());
    BTreeMap::from([
        ("policy", policy.ok().and_then(|found| found.policy).unwrap_or_default()),
        ("tags", format!("{:?}", tags.map(|found| found.tag_set).ok())),
        ("lifecycle", format!("{:?}", lifecycle.map(|found| found.rules).ok())),
        ("cors", format!("{:?}", cors.map(|found| found.cors_rules).ok())),
        ("versioning", format!("{:?}", versioning.map(|found| found.status).ok())),
        ("public access", format!("{:?}", access.map(|found| found.public_access_block_configuration).ok())),
        ("ownership", format!("{:?}", ownership.map(|found| found.ownership_controls).ok())),
        ("encryption", default.flatten().and_then(|default| default.kms_master_key_id).unwrap_or_default()),
    ])
}

const OF_OTHERS: [(&str, &str); 5] = [
    ("policy", "TheirDeny"),
    ("policy", "\"Allow\""),
    ("tags", "cost-centre"),
    ("lifecycle", "\"scratch\""),
    ("cors", "\"theirs\""),
];

fn left(preview: &Preview) -> BTreeSet<Setting> {
    preview.left_alone.iter().map(|difference| difference.setting).collect()
}

/// What may refuse a run that could change something.
fn is_refusal(error: &ProvisionError) -> bool {
    matches!(
        error,
        ProvisionError::Unplannable(
            Unplannable::KeyMoved { .. } | Unplannable::KeyLost { .. } | Unplannable::PolicyConflict { .. }
        )
    )
}

/// How a case ended, for the count at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    NothingToDo,
    Changed,
    Refused,
    NothingThere,
}

async fn run_case(account: &Account, number: u64) -> End {
    let dice = &mut Dice(number);
    let bucket = format!("case-{number}");
    any_state(dice, account, &bucket).await;
    let wanted = any_wish(dice, &bucket);
    let mode = dice.pick(&[Mode::Create, Mode::Repair, Mode::Repair, Mode::Verify]);
    let case = format!("case {number}, {mode}, {:?}", wanted.options);
    let clients = account.clients();
    let before = snapshot(&clients, &bucket).await;
    let foreseen = provision::preview(&clients, &wanted, mode).await;

    let made = match account.provision(&wanted, mode).await {
        Ok(made) => made,
        Err(error) => {
            let nothing_there = mode == Mode::Verify
                && matches!(
                    error,
                    ProvisionError::BucketMissing { .. } | ProvisionError::Unplannable(Unplannable::KeyAbsent { .. })
                );
            assert!(nothing_there || is_refusal(&error), "{case}: {}", told(&error));
            assert_eq!(foreseen.map(drop).map_err(|error| told(&error)), Err(told(&error)), "{case}");
            assert_eq!(snapshot(&clients, &bucket).await, before, "{case}: {}", told(&error));
            return if nothing_there { End::NothingThere } else { End::Refused };
        }
    };

    let foreseen = foreseen.unwrap_or_else(|error| panic!("{case}: {}", told(&error)));
    let changes: Vec<String> = foreseen.changes.iter().map(ToString::to_string).collect();
    assert_eq!(made.changes_made, changes, "{case}");
    let after = snapshot(&clients, &bucket).await;
    for (place, word) in OF_OTHERS {
        assert!(!before[place].contains(word) || after[place].contains(word), "{case}: {word} is lost: {after:#?}");
    }
    if mode == Mode::Verify {
        assert_eq!(after, before, "{case}");
    }
    let preview = provision::preview(&clients, &wanted, mode).await.unwrap();
    assert_eq!(preview.changes, [], "{case}");
    let kept = if mode == Mode::Repair { BTreeSet::new() } else { left(&foreseen) };
    assert_eq!(left(&preview), kept, "{case}: {:#?}", preview.left_alone);
    let again = account.provision(&wanted, mode).await.unwrap();
    assert_eq!(again.changes_made, Vec::<String>::new(), "{case}");
    if changes.is_empty() { End::NothingToDo } else { End::Changed }
}

#[tokio::test]
async fn after_any_run_from_any_state_nothing_is_left_to_do_and_nothing_of_others_is_lost() {
    let account = Account::new().await;
    let mut ends = BTreeMap::<End, u64>::new();
    // A run pauses between its looks; together they take a fraction of the time.
    let mut cases = stream::iter(0..CASES).map(|number| run_case(&account, number)).buffer_unordered(AT_ONCE);
    while let Some(end) = cases.next().await {
        *ends.entry(end).or_default() += 1;
    }
    println!("{ends:?}");
    for end in [End::NothingToDo, End::Changed, End::Refused, End::NothingThere] {
        assert!(ends.get(&end).is_some_and(|count| *count >= 3), "the cases are not worth much: {ends:?}");
    }
}
