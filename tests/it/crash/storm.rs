//! Many clients at one service that is killed again and again at moments that chance picks.
//!
//! `STRONGROOM_KILLS` says how often (100), `STRONGROOM_SEED` which chance; the seed is printed, and repeats what the
//! clients do and when the service is killed, though not how the two fall together.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::multipart::Part;
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use super::is_whole;
use crate::support::dice::Dice;
use crate::support::ledger::{Attempt, Ledger};
use crate::support::service::{Api, BackEnd, Service, form, repr_digest};

const CLIENTS: u64 = 6;
/// Kills that one data directory goes through.
const KILLS_A_SET: u64 = 25;
const MODELS: [&str; 3] = ["storm/a", "storm/b", "gale/a"];
const MIB: usize = 1024 * 1024;
/// Longest life of a service, in milliseconds.
const LIFE: u64 = 500;
/// How long clients may take to notice that the service is gone.
const NOTICED: Duration = Duration::from_secs(30);

/// What a client does next, and how often.
const ACTIONS: &[(u64, Action)] = &[
    (8, Action::PublishRaw),
    (6, Action::PublishForm),
    (1, Action::PublishLarge),
    (2, Action::Refused),
    (5, Action::Read),
    (4, Action::List),
];

#[derive(Debug, Clone, Copy)]
enum Action {
    /// One small file.
    PublishRaw,
    /// Some small files.
    PublishForm,
    /// A file of two parts, and a small one.
    PublishLarge,
    /// One that does not have the digest that it is said to have.
    Refused,
    /// A version that was acknowledged.
    Read,
    /// All versions of a model.
    List,
}

#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting of the service")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_a_hundred_times_under_load_it_has_what_it_acknowledged_and_nothing_else() {
    let kills = number("STRONGROOM_KILLS").unwrap_or(100);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = number("STRONGROOM_SEED").unwrap_or(now);
    let told = format!("{kills} kills, STRONGROOM_SEED={seed}\n");
    // Also seen when the test passes: libtest captures only what is printed.
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    let mut dice = Dice(seed);
    let mut left = kills;
    while left > 0 {
        let of_this_set = left.min(KILLS_A_SET);
        let told = working_set(&mut dice, of_this_set).await;
        left -= of_this_set;
        std::io::stderr().write_all(format!("{told}; {left} kills left\n").as_bytes()).unwrap();
    }
}

/// Kills one service so many times; gives what it went through.
async fn working_set(dice: &mut Dice, kills: u64) -> String {
    let ledger = Arc::new(Ledger::default());
    let (tell, told) = watch::channel(None::<Api>);
    // Held by whoever acts: the next service starts when nobody speaks to the last one any more.
    let acting = Arc::new(RwLock::new(()));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let dice = Dice(dice.roll(u64::MAX) ^ number);
        clients.spawn(client(dice, Arc::clone(&ledger), told.clone(), Arc::clone(&acting)));
    }
    let mut service = Service::start(BackEnd::Embedded).await;
    let (mut killed, mut started, mut starts) = (0, Duration::ZERO, 0_u32);
    while killed < kills {
        tell.send_replace(Some(service.way()));
        tokio::time::sleep(Duration::from_millis(dice.roll(LIFE))).await;
        assert!(clients.try_join_next().is_none(), "a client has seen what may not be");
        // Nobody begins anything more; what is under way is cut off.
        tell.send_replace(None);
        service.kill();
        killed += 1;
        drop(tokio::time::timeout(NOTICED, acting.write()).await.expect("clients notice that the service is gone"));
        while killed < kills && dice.roll(5) == 0 {
            service = service.killed_in_start_after(Duration::from_millis(dice.roll(600))).await;
            killed += 1;
        }
        let begun = Instant::now();
        service = service.restart().await;
        started += begun.elapsed();
        starts += 1;
        ledger.settle(&service.way()).await;
    }
    drop(tell);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    is_whole(&service, &ledger).await;
    ledger.reads_right(&service.way()).await;
    format!("{:?}, starts took {:?}", ledger.count(), started / starts.max(1))
}

async fn client(mut dice: Dice, ledger: Arc<Ledger>, mut told: watch::Receiver<Option<Api>>, acting: Arc<RwLock<()>>) {
    loop {
        // An error: there is no more service to come.
        if told.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let _acts = acting.read().await;
        let api = told.borrow().clone();
        if let Some(api) = api {
            act(&mut dice, &ledger, &api).await;
        }
    }
}

async fn act(dice: &mut Dice, ledger: &Ledger, api: &Api) {
    let model = dice.pick(&MODELS);
    match any_action(dice) {
        Action::PublishRaw => {
            let attempt = ledger.attempt(model, &[("model.bin", size(dice, 40_000))]);
            publish(ledger, &attempt, raw(api, &attempt)).await;
        }
        Action::PublishForm => {
            let all =
                [("config.json", size(dice, 500)), ("a/b.bin", size(dice, 60_000)), ("a/c.bin", size(dice, 9_000))];
            let attempt = ledger.attempt(model, &all[..=size(dice, 2)]);
            publish(ledger, &attempt, fields(api, &attempt)).await;
        }
        Action::PublishLarge => {
            let attempt = ledger.attempt(model, &[("config.json", 100), ("large.bin", 8 * MIB + size(dice, MIB))]);
            publish(ledger, &attempt, fields(api, &attempt)).await;
        }
        Action::Refused => {
            let attempt = ledger.attempt(model, &[("model.bin", size(dice, 40_000))]);
            ledger.refused(&attempt);
            let request = raw(api, &attempt).header("Repr-Digest", repr_digest(b"others"));
            if let Ok(answer) = request.send().await {
                assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
            }
        }
        Action::Read => {
            let present = ledger.present();
            if !present.is_empty() {
                let (attempt, number) = &present[size(dice, present.len()) - 1];
                // No answer: it was killed meanwhile.
                let _ = attempt.reads_right(api, *number).await;
            }
        }
        Action::List => {
            let known = ledger.present();
            if let Ok(listed) = api.versions(model).await {
                ledger.may_be_seen(model, &known, &listed);
            }
        }
    }
}

fn any_action(dice: &mut Dice) -> Action {
    let mut left = dice.roll(ACTIONS.iter().map(|(weight, _)| weight).sum());
    for (weight, action) in ACTIONS {
        if left < *weight {
            return *action;
        }
        left -= weight;
    }
    unreachable!("the throw is below the sum")
}

/// From one to this.
fn size(dice: &mut Dice, most: usize) -> usize {
    1 + usize::try_from(dice.roll(most as u64)).unwrap()
}

fn raw(api: &Api, attempt: &Attempt) -> RequestBuilder {
    let file = &attempt.files[0];
    let request = api.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model));
    request.query(&[("path", &file.path)]).body(file.bytes())
}

fn fields(api: &Api, attempt: &Attempt) -> RequestBuilder {
    let part = |form: reqwest::multipart::Form, file: &crate::support::ledger::File| {
        form.part(file.path.clone(), Part::bytes(file.bytes()))
    };
    let body = attempt.files.iter().fold(form(), part);
    api.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model)).multipart(body)
}

/// Sends it, and notes what was answered; without an answer nobody knows.
async fn publish(ledger: &Ledger, attempt: &Attempt, request: RequestBuilder) {
    let Ok(answer) = request.send().await else { return };
    let (status, location) = (answer.status(), answer.headers().get("location").cloned());
    // The status was the acknowledgement, also when the rest of the answer is lost.
    if status == StatusCode::CREATED {
        let location = location.unwrap().to_str().unwrap().to_owned();
        ledger.acknowledged(attempt, location.rsplit('/').next().unwrap().parse().unwrap());
    } else {
        panic!("{status}: {}", answer.text().await.unwrap_or_default());
    }
}
