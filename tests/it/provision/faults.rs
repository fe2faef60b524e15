//! Provisioning while AWS conflicts, throttles, forgets, refuses for a while, and answers that get lost.
//!
//! Everything goes through [`FaultProxy`] to an empty embedded account; what a run leaves is always looked at without it.

mod races;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kms::types::KeyState;
use strongroom::provision::apply::ApplyError;
use strongroom::provision::read::BucketRefused;
use strongroom::provision::{self, BackEnd, Clients, Mode, Patience, ProvisionError, Provisioned, Status, Wanted};

use super::account::Account;
use super::{standing, told, wanted};
use crate::support::fault_proxy::{Asked, Fault, FaultProxy, Rule};

/// An account, and the proxy between it and those who set it up.
struct Spoiled {
    account: Account,
    proxy: FaultProxy,
}

impl Spoiled {
    async fn new() -> Self {
        Self::before(Account::new().await).await
    }

    async fn before(account: Account) -> Self {
        let proxy = FaultProxy::new(account.endpoint()).await;
        Self { account, proxy }
    }

    /// Clients as the service has them, but for the time they take.
    fn clients(&self) -> Clients {
        self.account.clients_through(self.proxy.endpoint(), Patience::of(Duration::from_secs(8)))
    }

    fn impatient(&self) -> Clients {
        self.account.clients_through(self.proxy.endpoint(), Patience::of(Duration::from_millis(500)))
    }

    async fn create(&self, wanted: &Wanted) -> Result<Provisioned, ProvisionError> {
        provision::provision(&self.clients(), wanted, Mode::Create).await
    }

    /// Every request of a run that nothing disturbs.
    async fn clean_run(&self, wanted: &Wanted) -> Vec<Asked> {
        self.proxy.heal();
        self.create(wanted).await.unwrap();
        let seen = self.proxy.seen();
        self.proxy.heal();
        seen.into_iter().map(|seen| seen.asked).collect()
    }

    /// One bucket in order, one alias, one enabled key; whatever other key was made for it will be deleted.
    async fn assert_settled(&self, wanted: &Wanted, made: &Provisioned) {
        let bucket = &wanted.bucket;
        let clients = self.account.clients();
        assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{bucket}");
        assert_eq!(provision::preview(&clients, wanted, Mode::Repair).await.unwrap().changes, [], "{bucket}");
        for (arn, state) in self.account.keys_made_for(wanted).await {
            let expected = if arn == made.outputs.key_arn { KeyState::Enabled } else { KeyState::PendingDeletion };
            assert_eq!(state, expected, "{bucket} {arn}");
        }
        let named = clients.kms.describe_key().key_id(format!("alias/{bucket}")).send().await.unwrap();
        assert_eq!(named.key_metadata().unwrap().arn(), Some(made.outputs.key_arn.as_str()));
        assert_eq!(provision::posture(&clients, wanted, &made.spec).await, made.findings);
    }

    /// As [`Self::assert_settled`], and no second key was ever made.
    async fn assert_one_key(&self, wanted: &Wanted, made: &Provisioned) {
        self.assert_settled(wanted, made).await;
        let keys = self.account.keys_made_for(wanted).await;
        assert_eq!(keys, BTreeMap::from([(made.outputs.key_arn.clone(), KeyState::Enabled)]), "{}", wanted.bucket);
    }
}

/// A wish that also sets a key policy.
fn limited(bucket: &str) -> Wanted {
    Wanted { runtime_principals: vec!["arn:aws:iam::000000000000:root".to_owned()], ..wanted(bucket) }
}

fn changes(asked: &[Asked]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for asked in asked.iter().filter(|asked| asked.changes()) {
        *counts.entry(asked.operation.clone()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn conflicts_on_every_change_to_the_bucket_are_waited_out() {
    let spoiled = Spoiled::new().await;
    let clean = spoiled.clean_run(&wanted("no-conflict")).await;
    let of_bucket: BTreeSet<_> = clean
        .iter()
        .filter(|asked| asked.changes() && asked.target.starts_with("/no-conflict"))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|asked| asked.operation.clone())
        .collect();
    assert!(of_bucket.len() >= 6, "{of_bucket:?}");
    for operation in of_bucket.clone() {
        let conflicts = Rule::when(move |asked| asked.operation == operation).first(2);
        spoiled.proxy.inject(conflicts.answers(
            409,
            "OperationAborted",
            "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        ));
    }
    let wanted = wanted("conflict");
    let made = spoiled.create(&wanted).await.unwrap();
    spoiled.assert_one_key(&wanted, &made).await;
    for operation in &of_bucket {
        let once = changes(&clean)[operation];
        assert_eq!(spoiled.proxy.count(operation), once + 2, "{operation}: refused twice, tried thrice");
    }
}

#[tokio::test]
async fn bucket_that_was_just_made_may_be_unknown_for_a_while() {
    let spoiled = Spoiled::new().await;
    let clean = spoiled.clean_run(&wanted("known-at-once")).await;
    let made = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&made);
    spoiled.proxy.inject(
        Rule::when(move |asked| {
            noticed.fetch_or(asked.operation == "CreateBucket", Ordering::SeqCst);
            false
        })
        .answers(500, "InternalError", "never"),
    );
    let of_bucket: BTreeSet<String> =
        clean.iter().filter(|asked| asked.target.starts_with("/known")).map(|asked| asked.operation.clone()).collect();
    for operation in of_bucket {
        if operation == "CreateBucket" {
            continue;
        }
        let made = Arc::clone(&made);
        let unknown = Rule::when(move |asked| made.load(Ordering::SeqCst) && asked.operation == operation);
        spoiled.proxy.inject(unknown.first(2).answers(404, "NoSuchBucket", "The specified bucket does not exist"));
    }
    let wanted = wanted("unknown-for-a-while");
    let done = spoiled.create(&wanted).await.unwrap();
    spoiled.assert_one_key(&wanted, &done).await;
    assert_eq!(spoiled.proxy.count("CreateBucket"), 1);
    assert!(spoiled.proxy.faults() >= 20, "{}", spoiled.proxy.faults());
}

#[tokio::test]
async fn settings_that_are_not_seen_at_once_are_read_again() {
    let spoiled = Spoiled::new().await;
    let wanted = wanted("stale");
    spoiled.account.clients().s3.create_bucket().bucket("stale").send().await.unwrap();
    // The first answer is true; the three that follow repeat it, whatever was set meanwhile.
    for operation in
        ["GetBucketPolicy", "GetBucketVersioning", "GetBucketEncryption", "GetBucketLifecycleConfiguration"]
    {
        spoiled.proxy.inject(Rule::on(operation).first(4).does(Fault::Stale));
    }
    let made = spoiled.create(&wanted).await.unwrap();
    spoiled.assert_one_key(&wanted, &made).await;
    assert_eq!((spoiled.proxy.count("PutBucketPolicy"), spoiled.proxy.count("PutBucketVersioning")), (1, 1));

    let never = Wanted { bucket: "stale-for-ever".to_owned(), ..super::wanted("stale-for-ever") };
    spoiled.account.clients().s3.create_bucket().bucket("stale-for-ever").send().await.unwrap();
    spoiled.proxy.heal();
    spoiled.proxy.inject(Rule::on("GetBucketVersioning").does(Fault::Stale));
    let error = provision::provision(&spoiled.impatient(), &never, Mode::Create).await.unwrap_err();
    assert!(matches!(error, ProvisionError::NotSettled { .. }), "{}", told(&error));
    assert!(told(&error).contains("enable versioning"), "{}", told(&error));
}

#[tokio::test]
async fn principals_that_are_too_new_are_waited_for_and_the_end_says_what_to_check() {
    let spoiled = Spoiled::new().await;
    let new_principal = || {
        spoiled.proxy.heal();
        [
            Rule::on("PutBucketPolicy").first(2).answers(400, "MalformedPolicy", "Invalid principal in policy"),
            Rule::on("PutKeyPolicy").first(2).answers(
                400,
                "MalformedPolicyDocumentException",
                "Policy contains a statement with one or more invalid principals.",
            ),
        ]
    };
    let wanted = limited("new-role");
    for rule in new_principal() {
        spoiled.proxy.inject(rule);
    }
    let made = spoiled.create(&wanted).await.unwrap();
    spoiled.assert_one_key(&wanted, &made).await;
    assert_eq!((spoiled.proxy.count("PutBucketPolicy"), spoiled.proxy.count("PutKeyPolicy")), (3, 3));

    for (number, rule) in new_principal().into_iter().enumerate() {
        spoiled.proxy.heal();
        spoiled.proxy.inject(rule.first(usize::MAX));
        let wanted = limited(&format!("no-such-role-{number}"));
        let started = Instant::now();
        let error = provision::provision(&spoiled.impatient(), &wanted, Mode::Create).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(told(&error).contains("STRONGROOM_RUNTIME_PRINCIPALS"), "{}", told(&error));
    }

    // Any other fault of the policy is ours, and no time makes it better.
    spoiled.proxy.heal();
    spoiled.proxy.inject(Rule::on("PutBucketPolicy").answers(400, "MalformedPolicy", "Missing required field Effect"));
    let error = spoiled.create(&super::wanted("bad-policy")).await.unwrap_err();
    assert!(told(&error).contains("Missing required field"), "{}", told(&error));
    assert_eq!(spoiled.proxy.count("PutBucketPolicy"), 1);
}

#[tokio::test]
async fn third_of_all_calls_throttled_changes_nothing_but_the_time() {
    for seed in [1, 2, 3] {
        let spoiled = Spoiled::new().await;
        throttle(&spoiled.proxy, 300, seed);
        let wanted = limited("throttled");
        let made = spoiled.create(&wanted).await.unwrap();
        assert!(spoiled.proxy.faults() >= 5, "{}", spoiled.proxy.faults());
        assert!(spoiled.proxy.seen().len() < 200, "{}", spoiled.proxy.seen().len());
        spoiled.assert_one_key(&wanted, &made).await;
    }
}

fn throttle(proxy: &FaultProxy, per_mille: u64, seed: u64) {
    let of_s3 = Rule::when(|asked| asked.target != "/").chance(per_mille, seed);
    proxy.inject(of_s3.answers(503, "SlowDown", "Please reduce your request rate."));
    let of_kms = Rule::when(|asked| asked.target == "/").chance(per_mille, seed + 100);
    proxy.inject(of_kms.answers(400, "ThrottlingException", "You have exceeded the rate at which you may call KMS."));
}

#[tokio::test]
async fn bucket_that_was_there_after_all_is_adopted_and_not_overwritten() {
    for region in ["us-east-1", "eu-west-1"] {
        let spoiled = Spoiled::before(Account::in_region(region).await).await;
        let s3 = spoiled.account.clients().s3;
        let wanted = Wanted::new("there-after-all", region, BackEnd::Embedded);
        let made = spoiled.create(&wanted).await.unwrap();
        assert_eq!(made.outputs.region, region);

        // HeadBucket denies the bucket until CreateBucket has been asked: it says 200 in us-east-1, 409 elsewhere.
        spoiled.proxy.heal();
        spoiled.proxy.inject(Rule::on("HeadBucket").first(2).answers(404, "", ""));
        let again = spoiled.create(&wanted).await.unwrap();
        assert_eq!(spoiled.proxy.count("CreateBucket"), 1);
        assert_eq!(spoiled.proxy.count("PutBucketPolicy"), 0, "what is there is looked at before it is changed");
        assert_eq!(again.outputs, made.outputs);
        spoiled.assert_one_key(&wanted, &again).await;

        // The same with a bucket that holds another's denials: they stay.
        let deny = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::theirs"}]}"#;
        let location =
            aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region.into()).build();
        let create = s3.create_bucket().bucket("theirs");
        let create = if region == "us-east-1" { create } else { create.create_bucket_configuration(location) };
        create.send().await.unwrap();
        s3.put_bucket_policy().bucket("theirs").policy(deny).send().await.unwrap();
        spoiled.proxy.heal();
        spoiled.proxy.inject(Rule::on("HeadBucket").first(2).answers(404, "", ""));
        let theirs = Wanted::new("theirs", region, BackEnd::Embedded);
        let _ = spoiled.create(&theirs).await;
        let policy = s3.get_bucket_policy().bucket("theirs").send().await.unwrap();
        assert!(policy.policy().unwrap().contains("\"Theirs\""), "{policy:?}");
    }
}

#[tokio::test]
async fn refusals_that_no_time_heals_are_fatal_at_once_and_say_what_to_do() {
    let spoiled = Spoiled::new().await;
    let head = |status, region: Option<&'static str>| {
        let headers = region.map(|region| ("x-amz-bucket-region", region)).into_iter().collect();
        Rule::on("HeadBucket").does(Fault::Answer { status, code: "", message: "", headers })
    };
    let cases = [
        (head(301, Some("eu-west-1")), "is in region eu-west-1"),
        (head(400, Some("eu-west-1")), "is in region eu-west-1"),
        (head(403, Some("eu-west-1")), "is in region eu-west-1"),
        (head(301, None), "is in region another one"),
        (head(403, None), "belongs to another account"),
        (head(400, None), "cannot learn whether bucket"),
        (Rule::on("CreateBucket").answers(409, "BucketAlreadyExists", "taken"), "is taken by another account"),
        (
            Rule::on("CreateBucket").answers(400, "IllegalLocationConstraintException", "incompatible"),
            "the endpoint is not one of region us-east-1",
        ),
        (Rule::on("CreateBucket").answers(403, "AccessDenied", "no"), "s3:CreateBucket"),
        (Rule::on("PutBucketPolicy").answers(403, "AccessDenied", "no"), "s3:PutBucketPolicy"),
        (Rule::on("CreateKey").answers(400, "LimitExceededException", "too many keys"), "too many keys"),
        (Rule::on("CreateAlias").answers(400, "AccessDeniedException", "no"), "kms:CreateAlias"),
        (Rule::on("EnableKeyRotation").answers(400, "DisabledException", "is disabled"), "DisabledException"),
        (Rule::on("EnableKeyRotation").answers(400, "KMSInvalidStateException", "is pending"), "KMSInvalidState"),
    ];
    for (number, (rule, words)) in cases.into_iter().enumerate() {
        let wanted = wanted(&format!("refused-{number}"));
        spoiled.proxy.heal();
        spoiled.proxy.inject(rule);
        let started = Instant::now();
        let Err(error) = spoiled.create(&wanted).await else { panic!("{words}: it was not refused") };
        assert!(told(&error).contains(words), "{words}: {}", told(&error));
        assert_eq!(spoiled.proxy.faults(), 1, "{words}: tried once");
        assert!(started.elapsed() < Duration::from_secs(5), "{words}");
        spoiled.proxy.heal();
        let made = spoiled.create(&wanted).await.unwrap();
        spoiled.assert_one_key(&wanted, &made).await;
    }
    // What a bucket of others costs: nothing.
    spoiled.proxy.inject(head(403, None));
    let error = spoiled.create(&wanted("of-others")).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Bucket(BucketRefused::Forbidden { .. })));
    assert_eq!(spoiled.account.keys_made_for(&wanted("of-others")).await, BTreeMap::new());
}

#[tokio::test]
async fn key_that_was_just_made_may_be_unknown_for_a_while() {
    let spoiled = Spoiled::new().await;
    let clean = spoiled.clean_run(&limited("key-known")).await;
    let made = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&made);
    spoiled.proxy.inject(
        Rule::when(move |asked| {
            noticed.fetch_or(asked.operation == "CreateKey", Ordering::SeqCst);
            false
        })
        .answers(500, "InternalError", "never"),
    );
    let of_kms: BTreeSet<String> =
        clean.iter().filter(|asked| asked.target == "/").map(|asked| asked.operation.clone()).collect();
    for operation in of_kms {
        if matches!(operation.as_str(), "CreateKey" | "ListKeys") {
            continue;
        }
        let made = Arc::clone(&made);
        let unknown = Rule::when(move |asked| made.load(Ordering::SeqCst) && asked.operation == operation);
        spoiled.proxy.inject(unknown.first(2).answers(400, "NotFoundException", "Key does not exist"));
    }
    let wanted = limited("key-unknown");
    let done = spoiled.create(&wanted).await.unwrap();
    assert!(spoiled.proxy.faults() >= 8, "{}", spoiled.proxy.faults());
    assert_eq!(spoiled.proxy.count("CreateKey"), 1);
    spoiled.assert_one_key(&wanted, &done).await;
}

#[tokio::test]
async fn no_call_waits_for_ever_for_an_answer() {
    let spoiled = Spoiled::new().await;
    let clean = spoiled.clean_run(&limited("answered")).await;
    let operations: BTreeSet<String> = clean.into_iter().map(|asked| asked.operation).collect();
    assert!(operations.len() >= 20, "{operations:?}");
    let runs = operations.into_iter().enumerate().map(async |(number, operation)| {
        let proxy = FaultProxy::new(spoiled.account.endpoint()).await;
        let clients = spoiled.account.clients_through(proxy.endpoint(), Patience::of(Duration::from_millis(300)));
        let silent = operation.clone();
        proxy.inject(Rule::when(move |asked| asked.operation == silent).does(Fault::BlackHole));
        let wanted = limited(&format!("silent-{number}"));
        let run = provision::provision(&clients, &wanted, Mode::Create);
        let Ok(ended) = tokio::time::timeout(Duration::from_mins(1), run).await else { panic!("{operation}") };
        match ended {
            Err(error) => assert!(told(&error).contains("no answer"), "{operation}: {}", told(&error)),
            // What is only looked at to find what an earlier run left may stay unseen.
            Ok(made) => {
                assert_eq!(operation, "ListKeys");
                assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new());
            }
        }
        drop(proxy);
        let made = spoiled.account.provision(&wanted, Mode::Create).await.unwrap();
        assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new(), "{operation}");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn endpoint_that_is_not_there_is_told_at_once_and_not_after_all_patience() {
    let account = Account::new().await;
    // A port that was free a moment ago.
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let clients = account.clients_through(&format!("http://{nowhere}"), Patience::default());
    let started = Instant::now();
    let error = provision::provision(&clients, &wanted("nowhere"), Mode::Create).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let text = told(&error);
    assert!(text.contains("check the S3 endpoint") && text.contains("onnection refused"), "{text}");
    assert!(!text.contains("DispatchFailure"), "no debug form: {text}");
}

#[tokio::test]
async fn taken_name_is_told_apart_from_a_bucket_of_ours() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("CreateBucket").answers(409, "BucketAlreadyExists", "taken"));
    let error = spoiled.create(&wanted("taken")).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Apply(ApplyError::NameTaken { .. })), "{}", told(&error));
}
