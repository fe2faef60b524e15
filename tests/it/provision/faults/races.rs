//! Answers that get lost, runs that race, and any one fault at any call: what is left is always one of everything.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::config::retry::RetryConfig;
use strongroom::provision::{self, BackEnd, Clients, Mode, Patience, Status, Wanted};
use tokio::task::JoinSet;

use super::{Spoiled, changes, limited, throttle};
use crate::provision::account::Account;
use crate::provision::{clients_of, standing, told, wanted};
use crate::support::fault_proxy::{Fault, FaultProxy, Rule};
use crate::support::outside::seaweedfs_with_localstack;

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
