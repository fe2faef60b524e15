//! Provisioning while AWS conflicts, throttles, forgets, refuses for a while, and answers that get lost.
//!
//! Everything goes through [`FaultProxy`] to an empty embedded account; what a run leaves is always looked at without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::config::retry::RetryConfig;
use strongroom::provision::apply::ApplyError;
use strongroom::provision::read::BucketRefused;
use strongroom::provision::{self, BackEnd, Clients, Mode, Patience, ProvisionError, Provisioned, Status, Wanted};

use tokio::task::JoinSet;

use super::account::Account;
use super::{clients_of, standing, told, wanted};
use crate::support::fault_proxy::{Asked, Fault, FaultProxy, Rule};
use crate::support::outside::seaweedfs_with_localstack;

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
async fn answer_lost_after_any_change_costs_no_second_key_and_no_second_run() {
    let spoiled = Spoiled::new().await;
    let clean = spoiled.clean_run(&limited("nothing-lost")).await;
    let count: usize = changes(&clean).values().sum();
    assert!(count >= 10, "{count}");
    for number in 1..=count {
        spoiled.proxy.heal();
        spoiled.proxy.inject(Rule::on_changes().nth(number).does(Fault::HangUpAfter));
        let wanted = limited(&format!("lost-{number}"));
        let made = spoiled.create(&wanted).await.unwrap_or_else(|error| panic!("{number}: {}", told(&error)));
        assert_eq!(spoiled.proxy.faults(), 1);
        spoiled.assert_one_key(&wanted, &made).await;
    }
}

#[tokio::test]
async fn key_whose_answer_was_lost_is_found_although_it_is_listed_late() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("CreateKey").first(1).does(Fault::HangUpAfter));
    spoiled.proxy.inject(Rule::on("ListKeys").first(3).does(Fault::Stale));
    let made = spoiled.create(&wanted("listed-late")).await.unwrap();
    assert_eq!((spoiled.proxy.count("CreateKey"), spoiled.proxy.faults()), (1, 4));
    spoiled.assert_one_key(&wanted("listed-late"), &made).await;
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
async fn slower_of_two_takes_the_winners_key_and_gives_up_its_own() {
    let spoiled = Spoiled::new().await;
    let wanted = wanted("two");
    spoiled.proxy.inject(Rule::on("CreateAlias").first(1).does(Fault::Delay(Duration::from_secs(1))));
    let winner = async {
        while spoiled.proxy.count("CreateAlias") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        spoiled.account.provision(&wanted, Mode::Create).await
    };
    let (loser, winner) = tokio::join!(spoiled.create(&wanted), winner);
    let (loser, winner) = (loser.unwrap(), winner.unwrap());
    assert_eq!(loser.outputs, winner.outputs);
    spoiled.assert_settled(&wanted, &loser).await;
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
async fn ten_at_once_with_throttling_and_lost_answers_end_with_one_of_everything() {
    for seed in [11, 12, 13] {
        let account = Account::new().await;
        let wanted = limited("ten-at-once");
        let mut proxies = Vec::new();
        for number in 0..10 {
            let proxy = FaultProxy::new(account.endpoint()).await;
            proxy.inject(Rule::on_all().chance(50, seed * 1000 + number).does(Fault::HangUpAfter));
            proxy.inject(Rule::on_all().chance(30, seed * 2000 + number).does(Fault::HangUpBefore));
            throttle(&proxy, 150, seed * 3000 + number);
            proxies.push(proxy);
        }
        let runs = proxies.iter().map(async |proxy| {
            let clients = account.clients_through(proxy.endpoint(), Patience::of(Duration::from_secs(15)));
            provision::provision(&clients, &wanted, Mode::Create).await
        });
        let ended = futures::future::join_all(runs).await;
        let mut outputs = BTreeSet::new();
        for run in ended {
            let made = run.unwrap_or_else(|error| panic!("seed {seed}: {}", told(&error)));
            assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new());
            outputs.insert(made.outputs.key_arn);
        }
        assert_eq!(outputs.len(), 1, "seed {seed}: {outputs:?}");
        let used = outputs.pop_first().unwrap();
        let clients = account.clients();
        // A key whose CreateKey answer was lost may stay, ours by its tags and without a name: it is never in use.
        for (arn, state) in account.keys_made_for(&wanted).await {
            let names = clients.kms.list_aliases().key_id(&arn).send().await.unwrap().aliases().len();
            assert_eq!(names, usize::from(arn == used), "{arn}");
            assert!(arn != used || state == KeyState::Enabled, "{arn} is {state}");
        }
        assert_eq!(clients.s3.list_buckets().send().await.unwrap().buckets().len(), 1);
        let default = clients.s3.get_bucket_encryption().bucket(&wanted.bucket).send().await.unwrap();
        let default = default.server_side_encryption_configuration().unwrap().rules()[0].clone();
        let default = default.apply_server_side_encryption_by_default().unwrap();
        assert_eq!(default.kms_master_key_id(), Some(used.as_str()));
        assert_eq!(provision::preview(&clients, &wanted, Mode::Repair).await.unwrap().changes, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_single_fault_at_any_call_ends_cleanly_and_the_next_run_completes_the_bucket() {
    let answer = |status, code| Fault::Answer { status, code, message: "injected", headers: Vec::new() };
    let faults: [(&str, Fault); 7] = [
        ("before", Fault::HangUpBefore),
        ("after", Fault::HangUpAfter),
        ("cut", Fault::Truncate(1)),
        ("internal", answer(500, "InternalError")),
        ("denied", answer(403, "AccessDenied")),
        ("unknown", answer(404, "NoSuchBucket")),
        ("conflict", answer(409, "OperationAborted")),
    ];
    // How often tags are listed follows from how many keys there are: that call has its turn while there are none.
    let tags = "ListResourceTags";
    let clean = Spoiled::new().await.clean_run(&limited("undisturbed")).await;
    let calls = clean.iter().filter(|asked| asked.operation != tags).count();
    assert!(calls > 30 && calls + 1 == clean.len(), "{calls} of {}", clean.len());
    let mut runs = JoinSet::new();
    for (name, fault) in faults {
        runs.spawn(async move {
            let spoiled = Spoiled::new().await;
            for position in 0..=calls {
                let rule = match position {
                    0 => Rule::on(tags).first(1),
                    _ => Rule::when(move |asked| asked.operation != tags).nth(position),
                };
                spoiled.proxy.inject(rule.does(fault.clone()));
                let wanted = limited(&format!("{name}-{position}"));
                let first = spoiled.create(&wanted).await;
                assert_eq!(spoiled.proxy.faults(), 1, "{name} at {position}");
                if let Err(error) = &first {
                    assert!(["denied", "unknown", "conflict"].contains(&name), "{name} at {position}: {}", told(error));
                }
                spoiled.proxy.heal();
                let made = spoiled.create(&wanted).await;
                let made = made.unwrap_or_else(|error| panic!("{name} at {position}: {}", told(&error)));
                if let Ok(first) = first {
                    assert_eq!(first.outputs, made.outputs, "{name} at {position}");
                    assert_eq!(made.changes_made, Vec::<String>::new(), "{name} at {position}");
                }
                spoiled.assert_one_key(&wanted, &made).await;
                spoiled.proxy.heal();
            }
        });
    }
    runs.join_all().await;
}

#[tokio::test]
async fn servers_that_others_wrote_are_set_up_through_the_same_faults() {
    let outside = seaweedfs_with_localstack().await;
    let s3 = FaultProxy::before_tls(&outside.s3_endpoint, &outside.ca_file).await;
    let kms = FaultProxy::new(&outside.kms_endpoint).await;
    let direct = clients_of(outside);
    let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(10));
    let config = direct.s3.config().to_builder().endpoint_url(s3.endpoint()).retry_config(retry.clone());
    let clients = Clients {
        s3: aws_sdk_s3::Client::from_conf(config.build()),
        kms: aws_sdk_kms::Client::from_conf(
            direct.kms.config().to_builder().endpoint_url(kms.endpoint()).retry_config(retry).build(),
        ),
        ..direct.clone()
    };
    for (number, proxy) in [&s3, &kms].into_iter().enumerate() {
        proxy.inject(Rule::on_all().chance(60, 41 + u64::try_from(number).unwrap()).does(Fault::HangUpAfter));
        throttle(proxy, 200, 51);
    }
    let wanted = Wanted::new("it-through-faults", outside.region, BackEnd::Compatible);
    let made = provision::provision(&clients, &wanted, Mode::Create).await;
    let made = made.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(s3.faults() >= 3 && kms.faults() >= 1, "{} {}", s3.faults(), kms.faults());
    assert_eq!(standing(&made.findings, Status::Failed), BTreeSet::new());
    let again = provision::provision(&direct, &wanted, Mode::Create).await.unwrap();
    assert_eq!((again.outputs, again.changes_made), (made.outputs, Vec::new()));
}

#[tokio::test]
async fn changes_that_arrive_twice_change_nothing_more() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::when(|asked| asked.changes() && asked.operation != "CreateKey").does(Fault::Duplicate));
    let wanted = limited("twice");
    let made = spoiled.create(&wanted).await.unwrap();
    assert!(spoiled.proxy.faults() >= 10);
    spoiled.assert_one_key(&wanted, &made).await;
}

#[tokio::test]
async fn taken_name_is_told_apart_from_a_bucket_of_ours() {
    let spoiled = Spoiled::new().await;
    spoiled.proxy.inject(Rule::on("CreateBucket").answers(409, "BucketAlreadyExists", "taken"));
    let error = spoiled.create(&wanted("taken")).await.unwrap_err();
    assert!(matches!(error, ProvisionError::Apply(ApplyError::NameTaken { .. })), "{}", told(&error));
}
