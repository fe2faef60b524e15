//! Provisioning against the embedded endpoint and against servers that others wrote: made once, mended, proven.

mod account;
mod drift;
mod faults;
mod options;
mod perimeter;
mod property;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use aws_sdk_s3::primitives::ByteStream;
use strongroom::provision::apply::Applied;
use strongroom::provision::apply_key::KeyRun;
use strongroom::provision::change::{Change, Step};
use strongroom::provision::observe::Setting;
use strongroom::provision::plan::Unplannable;
use strongroom::provision::{
    self, BackEnd, Bare, ClaimId, Clients, Finding, KeyArn, KeySpec, KeyWish, Mode, Patience, ProvisionError, Status,
    Wanted,
};

use self::account::{Account, Death};
use crate::support::outside::{Outside, cannot, seaweedfs_with_localstack};

const REGION: &str = "us-east-1";

fn wanted(bucket: &str) -> Wanted {
    Wanted::new(bucket, REGION, BackEnd::Embedded)
}

fn standing(findings: &[Finding], status: Status) -> BTreeSet<ClaimId> {
    findings.iter().filter(|finding| finding.status == status).map(|finding| finding.claim).collect()
}

/// What a repair would change.
async fn changes_due(account: &Account, wanted: &Wanted) -> Vec<Change> {
    let preview = provision::preview(&account.clients(), wanted, Mode::Repair).await.unwrap();
    assert_eq!(preview.left_alone, []);
    preview.changes
}

/// An error and its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn first_run_makes_everything_and_the_second_nothing() {
    let account = Account::new().await;
    let wanted = wanted("fresh");
    let preview = provision::preview(&account.clients(), &wanted, Mode::Create).await.unwrap();
    let made = account.provision(&wanted, Mode::Create).await.unwrap();

    let foreseen: Vec<String> = preview.changes.iter().map(ToString::to_string).collect();
    assert_eq!(made.changes_made, foreseen);
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new());
    assert_eq!(standing(&made.findings, Status::NotVerifiable), BTreeSet::from([ClaimId::KeyPolicyLimits]));
    assert_eq!(made.unsupported, []);
    assert_eq!((made.outputs.bucket.as_str(), made.outputs.region.as_str()), ("fresh", REGION));
    assert_eq!(made.outputs.key_alias.as_deref(), Some("alias/fresh"));

    let Clients { s3, kms, .. } = account.clients();
    let policy = s3.get_bucket_policy().bucket("fresh").send().await.unwrap();
    assert_eq!(policy.policy(), Some(made.spec.policy.render().as_str()));
    let key = kms.describe_key().key_id("alias/fresh").send().await.unwrap();
    let key = key.key_metadata().unwrap();
    assert_eq!(key.arn(), Some(made.outputs.key_arn.as_str()));
    assert_eq!(key.description(), Some("KMS key for S3 machine learning artifacts"));

    for mode in [Mode::Create, Mode::Repair, Mode::Verify, Mode::Off] {
        let again = account.provision(&wanted, mode).await.unwrap();
        assert_eq!(again.changes_made, Vec::<String>::new(), "{mode}");
        assert_eq!(again.outputs, made.outputs);
    }
    let posture = provision::posture(&account.clients(), &wanted, &made.spec).await;
    assert_eq!(posture, made.findings);
}

#[tokio::test]
async fn nothing_is_made_by_a_run_that_only_looks() {
    let account = Account::new().await;
    let wanted = wanted("nothing-yet");
    let error = account.provision(&wanted, Mode::Verify).await.unwrap_err();
    assert!(matches!(error, ProvisionError::BucketMissing { .. }), "{}", told(&error));
    assert!(account.provision(&wanted, Mode::Off).await.is_err());
    assert_eq!(account.keys_made_for(&wanted).await, BTreeMap::new());
}

#[tokio::test]
async fn process_may_die_at_any_change_and_the_next_run_completes_the_same_bucket() {
    let account = Account::new().await;
    let clean = account.provision(&wanted("clean"), Mode::Create).await.unwrap();
    let steps = clean.changes_made.len();
    for after_sending in [false, true] {
        for changes in 0..steps {
            let wanted = wanted(&format!("dead-{}-{changes}", if after_sending { "after" } else { "before" }));
            let dying = account.clients_that(Some(Death::after(changes, after_sending)));
            provision::provision(&dying, &wanted, Mode::Create).await.unwrap_err();

            let made = account.provision(&wanted, Mode::Create).await.unwrap();

            assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{}", wanted.bucket);
            assert_eq!(standing(&made.findings, Status::Passed), standing(&clean.findings, Status::Passed));
            let keys = account.keys_made_for(&wanted).await;
            assert_eq!(keys, BTreeMap::from([(made.outputs.key_arn.clone(), KeyState::Enabled)]), "{}", wanted.bucket);
            assert_eq!(changes_due(&account, &wanted).await, []);
        }
    }
}

#[tokio::test]
async fn replicas_that_race_end_with_one_key_and_no_live_second() {
    let account = Account::new().await;
    let wanted = wanted("race");
    let run = || account.provision(&wanted, Mode::Create);
    let (a, b, c, d) = tokio::join!(run(), run(), run(), run());
    let arns: BTreeSet<String> = [a, b, c, d].into_iter().map(|made| made.unwrap().outputs.key_arn).collect();
    assert_eq!(arns.len(), 1, "{arns:?}");
    for (arn, state) in account.keys_made_for(&wanted).await {
        let expected = if arns.contains(&arn) { KeyState::Enabled } else { KeyState::PendingDeletion };
        assert_eq!(state, expected, "{arn}");
    }
    assert_eq!(changes_due(&account, &wanted).await, []);
}

#[tokio::test]
async fn loser_of_the_race_disposes_of_its_own_key_and_of_no_other() {
    let account = Account::new().await;
    let clients = account.clients();
    let wanted = wanted("loser");
    let spec = KeySpec::new(&wanted);
    let name = |key| Change::new("loser", Step::CreateAlias { alias: "alias/loser".to_owned(), key }, None);
    let (mut winner, mut loser, mut late) =
        (KeyRun::new(&clients, &spec, None), KeyRun::new(&clients, &spec, None), KeyRun::new(&clients, &spec, None));
    for run in [&mut winner, &mut loser, &mut late] {
        assert_eq!(run.apply(&Change::new("loser", Step::CreateKey, None)).await.unwrap(), Applied::Done);
    }
    let [won, lost, left_over] = [&winner, &loser, &late].map(|run| run.key().unwrap().clone());
    assert_eq!(winner.apply(&name(None)).await.unwrap(), Applied::Done);

    assert_eq!(loser.apply(&name(None)).await.unwrap(), Applied::Superseded);
    // A run that only found a key, and made none.
    let mut finder = KeyRun::new(&clients, &spec, None);
    assert_eq!(finder.apply(&name(Some(left_over.clone()))).await.unwrap(), Applied::Superseded);

    assert_eq!([loser.key(), finder.key()], [Some(&won), Some(&won)]);
    let states = account.keys_made_for(&wanted).await;
    let state = |key: &KeyArn| states[key.as_str()].clone();
    assert_eq!(state(&won), KeyState::Enabled);
    assert_eq!(state(&lost), KeyState::PendingDeletion);
    assert_eq!(state(&left_over), KeyState::Enabled);
}

#[tokio::test]
async fn settings_that_were_taken_away_are_made_again_in_create() {
    let account = Account::new().await;
    let Clients { s3, kms, .. } = account.clients();
    let wanted = wanted("taken-away");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    s3.delete_public_access_block().bucket("taken-away").send().await.unwrap();
    s3.delete_bucket_policy().bucket("taken-away").send().await.unwrap();
    s3.delete_bucket_encryption().bucket("taken-away").send().await.unwrap();
    s3.delete_bucket_ownership_controls().bucket("taken-away").send().await.unwrap();
    s3.delete_bucket_lifecycle().bucket("taken-away").send().await.unwrap();
    kms.disable_key_rotation().key_id(&made.outputs.key_arn).send().await.unwrap();

    let again = account.provision(&wanted, Mode::Create).await.unwrap();

    assert_eq!(again.changes_made.len(), 6, "{:?}", again.changes_made);
    assert_eq!(standing(&again.findings, Status::Failed), BTreeSet::new());
}

#[tokio::test]
async fn unusable_key_is_fatal_and_never_replaced() {
    let account = Account::new().await;
    let kms = account.clients().kms;
    let wanted = wanted("unusable");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    let key = made.outputs.key_arn.as_str();
    let fatal = async |word: &str, failed: &[ClaimId]| {
        for mode in [Mode::Create, Mode::Repair, Mode::Verify] {
            let error = account.provision(&wanted, mode).await.unwrap_err();
            assert!(told(&error).contains(word), "{mode}: {}", told(&error));
        }
        let seen = provision::posture(&account.clients(), &wanted, &made.spec).await;
        assert_eq!(standing(&seen, Status::Failed), failed.iter().copied().collect());
        assert_eq!(account.keys_made_for(&wanted).await.len(), 1);
    };

    kms.disable_key().key_id(key).send().await.unwrap();
    fatal("is disabled", &[ClaimId::KeyUsable]).await;
    kms.schedule_key_deletion().key_id(key).pending_window_in_days(7).send().await.unwrap();
    fatal("scheduled for deletion", &[ClaimId::KeyUsable, ClaimId::KeyRotates]).await;

    kms.cancel_key_deletion().key_id(key).send().await.unwrap();
    kms.enable_key().key_id(key).send().await.unwrap();
    assert_eq!(account.provision(&wanted, Mode::Create).await.unwrap().changes_made, Vec::<String>::new());
}

#[tokio::test]
async fn lost_alias_is_fatal_and_costs_no_second_key() {
    let account = Account::new().await;
    let wanted = wanted("lost-alias");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    account.clients().kms.delete_alias().alias_name("alias/lost-alias").send().await.unwrap();
    for mode in [Mode::Create, Mode::Repair] {
        let error = account.provision(&wanted, mode).await.unwrap_err();
        let ProvisionError::Unplannable(Unplannable::KeyLost { key, .. }) = &error else { panic!("{}", told(&error)) };
        assert_eq!(*key, made.outputs.key_arn);
    }
    assert_eq!(account.keys_made_for(&wanted).await.len(), 1);
    // The message's way out works.
    let brought = Wanted { key: KeyWish::Brought(made.spec.key.clone()), ..wanted };
    assert_eq!(account.provision(&brought, Mode::Create).await.unwrap().changes_made, Vec::<String>::new());
}

#[tokio::test]
async fn brought_key_is_used_and_left_as_it_is() {
    let account = Account::new().await;
    let kms = account.clients().kms;
    let key = kms.create_key().description("theirs").send().await.unwrap();
    let arn = key.key_metadata().unwrap().arn().unwrap().to_owned();
    let wanted = Wanted { key: KeyWish::Brought(arn.parse().unwrap()), ..wanted("brought") };

    let made = account.provision(&wanted, Mode::Repair).await.unwrap();

    assert_eq!((made.outputs.key_arn.as_str(), made.outputs.key_alias), (arn.as_str(), None));
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::from([ClaimId::KeyRotates]));
    let after = kms.describe_key().key_id(&arn).send().await.unwrap();
    assert_eq!(after.key_metadata().unwrap().description(), Some("theirs"));
    assert!(kms.list_resource_tags().key_id(&arn).send().await.unwrap().tags().is_empty());
}

#[tokio::test]
async fn key_policy_names_the_runtime_principals() {
    let account = Account::new().await;
    let mut wanted = wanted("principals");
    // First left to IAM, then tightened: the policy that KMS gives by default counts as never set.
    account.provision(&wanted, Mode::Create).await.unwrap();
    wanted.runtime_principals = vec!["arn:aws:iam::000000000000:role/runtime".to_owned()];

    let made = account.provision(&wanted, Mode::Create).await.unwrap();

    assert_eq!(made.changes_made, ["let only the runtime principals use the key, and only through S3"]);
    assert!(standing(&made.findings, Status::Passed).contains(&ClaimId::KeyPolicyLimits));
    assert_eq!(account.provision(&wanted, Mode::Repair).await.unwrap().changes_made, Vec::<String>::new());
}

#[tokio::test]
async fn bucket_of_somebody_else_stays_as_it_is_until_repair() {
    let account = Account::new().await;
    let s3 = account.clients().s3;
    s3.create_bucket().bucket("theirs").send().await.unwrap();
    s3.put_object().bucket("theirs").key("precious").body(ByteStream::from_static(b"x")).send().await.unwrap();

    let looked = account.provision(&wanted("theirs"), Mode::Create).await.unwrap();
    assert!(looked.changes_made.iter().all(|change| change.contains("key")), "{:?}", looked.changes_made);
    assert!(standing(&looked.findings, Status::Failed).contains(&ClaimId::Versioned));
    assert!(s3.get_bucket_policy().bucket("theirs").send().await.is_err());

    let taken = account.provision(&wanted("theirs"), Mode::Repair).await.unwrap();
    assert_eq!(standing(&taken.findings, Status::Failed), BTreeSet::new());
}

#[tokio::test]
async fn bad_writes_are_refused_and_a_missing_policy_is_found_out() {
    let account = Account::new().await;
    let clients = account.clients();
    let made = account.provision(&wanted("probed"), Mode::Create).await.unwrap();

    let refused = provision::probe(&clients, &made.spec, Duration::ZERO).await;
    assert_eq!(refused.len(), 9);
    assert_eq!(standing(&refused, Status::Passed).len(), 9, "{refused:#?}");

    clients.s3.delete_bucket_policy().bucket("probed").send().await.unwrap();
    let open = provision::probe(&clients, &made.spec, Duration::ZERO).await;
    let failed = standing(&open, Status::Failed);
    for claim in [
        ClaimId::HeaderlessWriteRefused,
        ClaimId::WrongAlgorithmRefused,
        ClaimId::NamelessKeyRefused,
        ClaimId::StalePresignedRefused,
    ] {
        assert!(failed.contains(&claim), "{claim}: {open:#?}");
    }
    assert!(standing(&open, Status::Passed).contains(&ClaimId::AnonymousWriteRefused), "{open:#?}");
    let left = clients.s3.list_object_versions().bucket("probed").send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");
}

#[tokio::test]
async fn servers_that_others_wrote_are_provisioned_too() {
    let outside = seaweedfs_with_localstack().await;
    let clients = clients_of(outside);
    let wanted = Wanted::new("outside-provisioned", outside.region, BackEnd::Compatible);

    let made = provision::provision(&clients, &wanted, Mode::Create).await.unwrap();
    assert_eq!(made.unsupported, [Setting::PublicAccessBlock]);
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{:#?}", made.findings);
    assert!(standing(&made.findings, Status::Passed).contains(&ClaimId::PublicAccessBlocked), "{:#?}", made.findings);

    let probed = provision::probe(&clients, &made.spec, Duration::ZERO).await;
    // A key that is only meant to exist is an unknown one there, and no answer to it proves anything.
    let unproven = BTreeSet::from([ClaimId::NamelessKeyRefused]);
    assert_eq!(standing(&probed, Status::NotVerifiable), unproven, "{}: {probed:#?}", cannot("unknown KMS key"));
    // These really get through, and the operator is told.
    let open = BTreeSet::from([ClaimId::StalePresignedRefused, ClaimId::PresignedPostRefused]);
    let limits = [cannot("age of a signature"), cannot("presigned forms under a policy")];
    assert_eq!(standing(&probed, Status::Failed), open, "{limits:?}: {probed:#?}");
    assert_eq!(standing(&probed, Status::Passed).len(), 6, "{probed:#?}");
    let left = clients.s3.list_object_versions().bucket("outside-provisioned").send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");

    for mode in [Mode::Create, Mode::Repair] {
        let again = provision::provision(&clients, &wanted, mode).await.unwrap();
        assert_eq!(again.changes_made, Vec::<String>::new(), "{mode}");
    }
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused_before_anything_is_made() {
    let outside = seaweedfs_with_localstack().await;
    let clients = Clients { s3: outside.s3_plain(), ..clients_of(outside) };
    let mut wanted = Wanted::new("outside-plain", outside.region, BackEnd::Compatible);
    wanted.secure_transport = false;

    let error = provision::provision(&clients, &wanted, Mode::Create).await.unwrap_err();

    assert!(matches!(error, ProvisionError::Unplannable(Unplannable::PlainHttp)), "{}", told(&error));
    assert!(clients.s3.head_bucket().bucket("outside-plain").send().await.is_err());
}

fn clients_of(outside: &Outside) -> Clients {
    let s3 = outside.s3();
    let mut anonymous = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(outside.region))
        .endpoint_url(&outside.s3_endpoint)
        .force_path_style(true)
        .allow_no_auth();
    anonymous.set_http_client(s3.config().http_client());
    let anonymous = Some(aws_sdk_s3::Client::from_conf(anonymous.build()));
    let bare = Some(Bare {
        connector: outside.connector(),
        credentials: SharedCredentialsProvider::new(outside.credentials()),
    });
    Clients { s3, kms: outside.kms(), anonymous, bare, patience: Patience::default() }
}
