//! Many clients at one service that is killed again and again at moments that chance picks.
//!
//! `STRONGROOM_KILLS` says how often (100), `STRONGROOM_SEED` which chance; the seed is printed, and repeats what the
//! clients do and when the service is killed, though not how the two fall together.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use super::client::{Client, MODELS, SHARED, is_a_chain};
use super::is_whole;
use crate::support::dice::Dice;
use crate::support::ledger::Ledger;
use crate::support::rows::Rows;
use crate::support::service::{Api, BackEnd, Service};
use crate::sweep::scene::{NOW, command};

const CLIENTS: u64 = 6;
/// Kills that one data directory goes through.
const KILLS_A_SET: u64 = 25;
/// Longest life of a service, in milliseconds.
const LIFE: u64 = 500;
/// How long clients may take to notice that the service is gone.
const NOTICED: Duration = Duration::from_secs(30);
/// What is deleted goes with the next sweep, and sweeps wait for nothing; they are the clients' to begin.
const SETTINGS: &str = "sweep_hours = 0\nsweep_age_hours = 0\ntrash_days = 0";

/// A service while it lives.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) api: Api,
    pub(super) data_dir: PathBuf,
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
    let (tell, told) = watch::channel(None::<Life>);
    // Held by whoever acts: the next service starts when nobody speaks to the last one any more.
    let acting = Arc::new(RwLock::new(()));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let dice = Dice(dice.roll(u64::MAX) ^ number);
        let client = Client::new(number, dice, Arc::clone(&ledger));
        clients.spawn(acts(client, told.clone(), Arc::clone(&acting)));
    }
    let mut service = Service::start_with(BackEnd::Embedded, SETTINGS).await;
    let (mut killed, mut started, mut starts) = (0, Duration::ZERO, 0_u32);
    while killed < kills {
        tell.send_replace(Some(Life { api: service.way(), data_dir: service.data_dir() }));
        tokio::time::sleep(Duration::from_millis(dice.roll(LIFE))).await;
        if let Some(ended) = clients.try_join_next() {
            panic!("a client has seen what may not be: {:?}", ended.unwrap_err());
        }
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
        for (model, alias) in MODELS.into_iter().flat_map(|model| SHARED.map(|alias| (model, alias))) {
            is_a_chain(&service.way(), model, alias).await.unwrap();
        }
        // A sweep that was killed keeps others out for two minutes.
        Rows::of(&service).await.execute("delete from leases where name = 'sweep'").await;
    }
    drop(tell);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    end(&service, &ledger).await;
    format!("{:?}, starts took {:?}", ledger.count(), started / starts.max(1))
}

/// Nothing is under way any more; what was deleted goes for good, and everything else is as it should be.
async fn end(service: &Service, ledger: &Ledger) {
    for model in MODELS {
        let drafts = service.json(&format!("/v1/models/{model}/drafts?limit=200")).await;
        for draft in drafts["items"].as_array().unwrap() {
            let at = format!("/v1/drafts/{}", draft["id"].as_str().unwrap());
            assert!(service.request(Method::DELETE, &at).send().await.unwrap().status().is_success());
        }
    }
    // What nothing refers to goes when it is seen for the second time.
    for _ in 0..3 {
        let swept = command(service, NOW, &["--force"]).await;
        assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stdout));
    }
    is_whole(service, ledger).await;
    ledger.reads_right(&service.way()).await;
    let log = service.command(&["audit", "verify"]).await;
    assert!(log.status.success(), "{}", String::from_utf8_lossy(&log.stdout));
}

/// Acts while there is a service.
async fn acts(mut client: Client, mut told: watch::Receiver<Option<Life>>, acting: Arc<RwLock<()>>) {
    loop {
        // An error: there is no more service to come.
        if told.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let _acts = acting.read().await;
        let life = told.borrow().clone();
        if let Some(life) = life
            && let Err(error) = client.act(&life, &mut told).await
        {
            // Nobody knows now whether it had its effect; but only a kill may leave that open.
            assert!(told.borrow().is_none(), "an answer broke off: {error}");
        }
    }
}
