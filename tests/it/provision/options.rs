//! What only some buckets have: set when asked for, added to a bucket that exists, kept beside what others set.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, CorsConfiguration, CorsRule, DefaultRetention, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule,
};
use strongroom::provision::observe::Setting;
use strongroom::provision::plan::Unplannable;
use strongroom::provision::{
    self, AccessLog, BackEnd, ClaimId, Clients, Mode, ObjectLock, Options, Profile, ProvisionError, Retention, Status,
    Wanted,
};

use super::account::Account;
use super::{changes_due, clients_of, standing, told, wanted};
use crate::support::outside::{cannot, seaweedfs_with_localstack};

const ROOT: &str = "arn:aws:iam::000000000000:root";

fn stored_options() -> Options {
    Options {
        perimeter: true,
        object_lock: Some(ObjectLock { mode: Retention::Governance, days: 2 }),
        cors_origins: vec!["https://models.example".to_owned()],
        intelligent_tiering: true,
        ..Options::default()
    }
}

fn with(options: Options, bucket: &str) -> Wanted {
    let root = vec![ROOT.to_owned()];
    Wanted { options, runtime_principals: root.clone(), administrators: root, ..wanted(bucket) }
}

const CLAIMS: [ClaimId; 4] =
    [ClaimId::PerimeterClosed, ClaimId::ObjectsLocked, ClaimId::CorsExact, ClaimId::ObjectsTiered];

#[tokio::test]
async fn options_are_made_with_the_bucket_and_proven() {
    let account = Account::new().await;
    let wanted = with(stored_options(), "with-options");
    let foreseen = provision::preview(&account.clients(), &wanted, Mode::Create).await.unwrap();
    let made = account.provision(&wanted, Mode::Create).await.unwrap();

    let foreseen: Vec<String> = foreseen.changes.iter().map(ToString::to_string).collect();
    assert_eq!(made.changes_made, foreseen);
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{:#?}", made.findings);
    assert!(standing(&made.findings, Status::Passed).is_superset(&BTreeSet::from(CLAIMS)), "{:#?}", made.findings);
    assert_eq!(changes_due(&account, &wanted).await, []);
    let posture = provision::posture(&account.clients(), &wanted, &made.spec).await;
    assert_eq!(posture, made.findings);
    let probed = provision::probe(&account.clients(), &made.spec, Duration::ZERO).await;
    assert_eq!(standing(&probed, Status::Failed), BTreeSet::new(), "{probed:#?}");
}

#[tokio::test]
async fn options_are_added_to_a_bucket_that_exists_and_none_is_taken_away() {
    let account = Account::new().await;
    let bare = with(Options::default(), "later");
    let before = account.provision(&bare, Mode::Create).await.unwrap();
    let wanted = with(stored_options(), "later");
    assert_eq!(
        standing(&account.provision(&wanted, Mode::Verify).await.unwrap().findings, Status::Failed),
        BTreeSet::from(CLAIMS)
    );

    let made = account.provision(&wanted, Mode::Create).await.unwrap();

    assert_eq!(made.changes_made.len(), 4, "{:?}", made.changes_made);
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{:#?}", made.findings);
    assert_eq!(made.outputs, before.outputs);
    // Object Lock stays; statements and rules of ours that are no longer wanted go with a repair.
    let back = account.provision(&bare, Mode::Repair).await.unwrap();
    assert_eq!(back.changes_made.len(), 2, "{:?}", back.changes_made);
    let lock = account.clients().s3.get_object_lock_configuration().bucket("later").send().await.unwrap();
    assert!(lock.object_lock_configuration().unwrap().object_lock_enabled().is_some());
}

#[tokio::test]
async fn options_changed_behind_our_back_are_brought_back_beside_the_rules_of_others() {
    let account = Account::new().await;
    let s3 = account.clients().s3;
    let wanted = with(stored_options(), "spoiled");
    account.provision(&wanted, Mode::Create).await.unwrap();
    let theirs = CorsRule::builder().id("theirs").allowed_methods("GET").allowed_origins("https://else.example");
    let cors = CorsConfiguration::builder().cors_rules(theirs.build().unwrap()).build().unwrap();
    s3.put_bucket_cors().bucket("spoiled").cors_configuration(cors).send().await.unwrap();
    let scratch = LifecycleRule::builder()
        .id("scratch")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("scratch/").build())
        .expiration(LifecycleExpiration::builder().days(3).build());
    let rules = BucketLifecycleConfiguration::builder().rules(scratch.build().unwrap()).build().unwrap();
    s3.put_bucket_lifecycle_configuration().bucket("spoiled").lifecycle_configuration(rules).send().await.unwrap();
    retain(&account.clients(), "spoiled", 1).await;

    let looked = account.provision(&wanted, Mode::Verify).await.unwrap();
    let failed = [ClaimId::ObjectsLocked, ClaimId::CorsExact, ClaimId::ObjectsTiered, ClaimId::MultipartExpires];
    assert_eq!(standing(&looked.findings, Status::Failed), BTreeSet::from(failed));

    let mended = account.provision(&wanted, Mode::Repair).await.unwrap();
    // Theirs lets other pages in: that is told, and not removed.
    assert_eq!(standing(&mended.findings, Status::Failed), BTreeSet::from([ClaimId::CorsExact]));
    let cors = s3.get_bucket_cors().bucket("spoiled").send().await.unwrap();
    let ids: Vec<_> = cors.cors_rules().iter().filter_map(CorsRule::id).collect();
    assert_eq!(ids, ["strongroom-presigned-urls", "theirs"]);
    let rules = s3.get_bucket_lifecycle_configuration().bucket("spoiled").send().await.unwrap();
    let ids: Vec<_> = rules.rules().iter().filter_map(LifecycleRule::id).collect();
    assert_eq!(ids, ["scratch", "strongroom-abort-incomplete-uploads", "strongroom-intelligent-tiering"]);
    assert_eq!(changes_due(&account, &wanted).await, []);
}

#[tokio::test]
async fn longer_retention_is_in_order() {
    let account = Account::new().await;
    let wanted = with(stored_options(), "longer");
    account.provision(&wanted, Mode::Create).await.unwrap();
    retain(&account.clients(), "longer", 9).await;
    let again = account.provision(&wanted, Mode::Repair).await.unwrap();
    assert_eq!(again.changes_made, Vec::<String>::new());
    assert_eq!(standing(&again.findings, Status::Failed), BTreeSet::new());
}

async fn retain(clients: &Clients, bucket: &str, days: i32) {
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(days).build();
    let lock = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(retention).build())
        .build();
    let request = clients.s3.put_object_lock_configuration().bucket(bucket).object_lock_configuration(lock);
    request.send().await.unwrap();
}

#[tokio::test]
async fn what_the_back_end_does_not_have_is_no_failure_of_the_run() {
    let account = Account::new().await;
    account.clients().s3.create_bucket().bucket("logs").send().await.unwrap();
    let options = Options {
        access_log: Some(AccessLog { bucket: "logs".to_owned(), prefix: "ml/".to_owned() }),
        event_bridge: true,
        ..Options::default()
    };
    let made = account.provision(&with(options, "no-such-thing"), Mode::Create).await.unwrap();
    assert_eq!(made.unsupported, [Setting::AccessLog, Setting::Notifications]);
    let unknown = standing(&made.findings, Status::NotVerifiable);
    assert_eq!(unknown, BTreeSet::from([ClaimId::AccessLogged, ClaimId::EventsSent]));
}

#[tokio::test]
async fn headerless_profile_lets_writes_fall_under_the_key_and_refuses_the_rest() {
    let account = Account::new().await;
    let wanted = Wanted { profile: Profile::DefaultOk, ..wanted("default-ok") };
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{:#?}", made.findings);
    let probed = provision::probe(&account.clients(), &made.spec, Duration::ZERO).await;
    assert_eq!(standing(&probed, Status::Passed).len(), 9, "{probed:#?}");
    assert_eq!(changes_due(&account, &wanted).await, []);
}

#[tokio::test]
async fn alias_that_was_moved_is_fatal_and_the_bucket_stays_under_its_key() {
    let account = Account::new().await;
    let kms = account.clients().kms;
    let wanted = wanted("moved-alias");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    let other = kms.create_key().description("other").send().await.unwrap();
    let other = other.key_metadata().unwrap().arn().unwrap().to_owned();
    kms.update_alias().alias_name("alias/moved-alias").target_key_id(&other).send().await.unwrap();

    for mode in [Mode::Create, Mode::Repair, Mode::Verify] {
        let error = account.provision(&wanted, mode).await.unwrap_err();
        let ProvisionError::Unplannable(Unplannable::KeyMoved { key, set_up_for, .. }) = &error else {
            panic!("{}", told(&error))
        };
        assert_eq!((key.as_str(), set_up_for), (other.as_str(), &vec![made.outputs.key_arn.clone()]));
    }

    // Both ways out that the message names.
    let brought = Wanted { key: strongroom::provision::KeyWish::Brought(other.parse().unwrap()), ..wanted.clone() };
    let taken = account.provision(&brought, Mode::Repair).await.unwrap();
    assert_eq!(taken.changes_made.len(), 2, "{:?}", taken.changes_made);
    account.provision(&wanted, Mode::Create).await.unwrap();
    kms.update_alias().alias_name("alias/moved-alias").target_key_id(&made.outputs.key_arn).send().await.unwrap();
    assert!(account.provision(&wanted, Mode::Create).await.is_err(), "the bucket was set up for the other key now");
}

#[tokio::test]
async fn alias_that_was_deleted_is_told_with_the_key_that_the_bucket_names() {
    let account = Account::new().await;
    let wanted = wanted("lost-alias");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    account.clients().kms.delete_alias().alias_name("alias/lost-alias").send().await.unwrap();
    for mode in [Mode::Create, Mode::Repair, Mode::Verify] {
        let error = account.provision(&wanted, mode).await.unwrap_err();
        let ProvisionError::Unplannable(Unplannable::KeyLost { key, .. }) = &error else { panic!("{}", told(&error)) };
        assert_eq!(key, &made.outputs.key_arn);
    }
    // Nobody looks at the bucket here: the advice fits one that exists, and one that does not.
    let off = told(&account.provision(&wanted, Mode::Off).await.unwrap_err());
    for part in ["give its key that alias again", "STRONGROOM_KMS_KEY_ARN", "if there is none yet"] {
        assert!(off.contains(part), "{off}");
    }
}

#[tokio::test]
async fn key_policy_that_opens_the_key_fails_its_claim_and_is_brought_back() {
    let account = Account::new().await;
    let kms = account.clients().kms;
    let wanted = wanted("open-key");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    let key = made.outputs.key_arn.as_str();
    let open = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"kms:*","Resource":"*"},{"Sid":"World","Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*"}]}"#;
    kms.put_key_policy().key_id(key).policy_name("default").policy(open).send().await.unwrap();
    let posture = provision::posture(&account.clients(), &wanted, &made.spec).await;
    assert_eq!(standing(&posture, Status::Failed), BTreeSet::from([ClaimId::KeyPolicyLimits]));
    let told = posture.iter().find(|finding| finding.claim == ClaimId::KeyPolicyLimits).unwrap();
    assert_eq!(told.observed, "open to everybody, by `World` (kms:Decrypt)");
    let left = provision::preview(&account.clients(), &wanted, Mode::Create).await.unwrap();
    assert_eq!((left.changes, left.left_alone[0].setting), (vec![], Setting::KeyPolicy));
    let brought = Wanted { key: strongroom::provision::KeyWish::Brought(key.parse().unwrap()), ..wanted.clone() };
    let used = account.provision(&brought, Mode::Repair).await.unwrap();
    assert_eq!(used.changes_made, Vec::<String>::new(), "a brought key is never changed");
    assert_eq!(standing(&used.findings, Status::Failed), BTreeSet::from([ClaimId::KeyPolicyLimits]));

    let mended = account.provision(&wanted, Mode::Repair).await.unwrap();
    assert_eq!(mended.changes_made.len(), 1, "{:?}", mended.changes_made);
    assert!(mended.changes_made[0].starts_with("leave the use of the key to IAM"), "{:?}", mended.changes_made);
    assert_eq!(mended.findings, made.findings);

    // Naming the runtime principals limits the key, and naming none any more leaves it to IAM again.
    let limited = Wanted { runtime_principals: vec![ROOT.to_owned()], ..wanted.clone() };
    let limited = account.provision(&limited, Mode::Create).await.unwrap();
    assert!(standing(&limited.findings, Status::Passed).contains(&ClaimId::KeyPolicyLimits));
    assert_eq!(changes_due(&account, &wanted).await.len(), 1);
    assert_eq!(account.provision(&wanted, Mode::Repair).await.unwrap().findings, made.findings);
}

#[tokio::test]
async fn key_that_lost_our_mark_is_told_and_never_adopted() {
    let account = Account::new().await;
    let kms = account.clients().kms;
    let wanted = wanted("unmarked-key");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    kms.untag_resource().key_id(&made.outputs.key_arn).tag_keys("managed-by").send().await.unwrap();
    for mode in [Mode::Create, Mode::Repair, Mode::Verify] {
        let left = provision::preview(&account.clients(), &wanted, mode).await.unwrap();
        assert_eq!((left.changes, left.left_alone[0].setting), (vec![], Setting::KeyTags), "{mode}");
        let run = account.provision(&wanted, mode).await.unwrap();
        assert_eq!(run.changes_made, Vec::<String>::new(), "{mode}");
        assert_eq!(standing(&run.findings, Status::Failed), BTreeSet::from([ClaimId::Tagged]), "{mode}");
        assert_eq!(provision::posture(&account.clients(), &wanted, &made.spec).await, run.findings);
    }
    // The way out that both name.
    let tag = aws_sdk_kms::types::Tag::builder().tag_key("managed-by").tag_value("strongroom").build().unwrap();
    kms.tag_resource().key_id(&made.outputs.key_arn).tags(tag).send().await.unwrap();
    assert_eq!(account.provision(&wanted, Mode::Verify).await.unwrap().findings, made.findings);
}

#[tokio::test]
async fn policy_of_somebody_else_is_kept_and_a_statement_under_our_name_refuses_the_run() {
    let account = Account::new().await;
    let s3 = account.clients().s3;
    s3.create_bucket().bucket("with-policy").send().await.unwrap();
    let policy = |sid: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Sid":"{sid}","Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::with-policy"}}}}"#
        )
    };
    s3.put_bucket_policy().bucket("with-policy").policy(policy("DenySseC")).send().await.unwrap();
    for mode in [Mode::Create, Mode::Repair] {
        let error = account.provision(&wanted("with-policy"), mode).await.unwrap_err();
        let text = told(&error);
        assert!(text.contains("s3:x-amz-server-side-encryption-customer-algorithm"), "ours is shown: {text}");
        assert!(text.contains("s3:DeleteBucket"), "theirs is shown: {text}");
        let tags = s3.get_bucket_tagging().bucket("with-policy").send().await;
        assert!(tags.is_err(), "nothing was changed");
        assert_eq!(account.keys_made_for(&wanted("with-policy")).await.len(), 0, "and no key was made");
    }
    s3.put_bucket_policy().bucket("with-policy").policy(policy("KeepIt")).send().await.unwrap();
    let made = account.provision(&wanted("with-policy"), Mode::Create).await.unwrap();
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new());
    let in_force = s3.get_bucket_policy().bucket("with-policy").send().await.unwrap();
    assert!(in_force.policy().unwrap().contains("KeepIt"));
}

#[tokio::test]
async fn options_that_seaweedfs_knows_are_set_there_too() {
    let outside = seaweedfs_with_localstack().await;
    let clients = clients_of(outside);
    // It takes no lifecycle with a transition: that option is for stores that have classes.
    let options = Options { perimeter: false, intelligent_tiering: false, ..stored_options() };
    let wanted = Wanted { options, ..Wanted::new("outside-options", outside.region, BackEnd::Compatible) };
    let made = provision::provision(&clients, &wanted, Mode::Create).await.unwrap();
    assert_eq!(made.unsupported, [Setting::PublicAccessBlock], "{}", cannot("PublicAccessBlock"));
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{:#?}", made.findings);
    let passed = standing(&made.findings, Status::Passed);
    for claim in [ClaimId::ObjectsLocked, ClaimId::CorsExact, ClaimId::MultipartExpires] {
        assert!(passed.contains(&claim), "{:#?}", made.findings);
    }
    for mode in [Mode::Create, Mode::Repair] {
        let again = provision::provision(&clients, &wanted, mode).await.unwrap();
        assert_eq!(again.changes_made, Vec::<String>::new(), "{mode}");
    }
}

#[tokio::test]
async fn store_without_classes_is_told_apart_from_one_that_failed() {
    let outside = seaweedfs_with_localstack().await;
    let options = Options { intelligent_tiering: true, ..Options::default() };
    let wanted = Wanted { options, ..Wanted::new("outside-tiering", outside.region, BackEnd::Compatible) };
    let made = provision::provision(&clients_of(outside), &wanted, Mode::Create).await.unwrap();
    assert_eq!(made.unsupported, [Setting::PublicAccessBlock, Setting::Lifecycle]);
    let unknown = standing(&made.findings, Status::NotVerifiable);
    assert!(unknown.is_superset(&BTreeSet::from([ClaimId::ObjectsTiered, ClaimId::MultipartExpires])), "{unknown:?}");
}
