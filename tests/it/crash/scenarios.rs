//! How a test gets to each place of `strongroom::failpoint::POINTS`, and what must be there after a kill.

use reqwest::multipart::Part;
use reqwest::{Method, StatusCode};
use tokio::task::JoinHandle;

use super::{is_whole, stopping_at};
use crate::support::ledger::{Attempt, Ledger};
use crate::support::service::{Api, BackEnd, Service, form, repr_digest};

/// How a test gets to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By publishing a form of several files, the so many-th time that it is passed.
    Publish(u32),
    /// By a form that must be refused when it has been read.
    Refuse,
    /// In the start after a kill at that other place of a publication.
    Recover(&'static str),
}

/// What the killed publication leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    Nothing,
    Version,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) point: &'static str,
    pub(super) way: Way,
    pub(super) leaves: Leaves,
}

const SCENARIOS: &[Scenario] = &[
    publishing("publish:before_draft", 1, Leaves::Nothing),
    publishing("publish:after_draft", 1, Leaves::Nothing),
    publishing("publish:after_create_upload", 1, Leaves::Nothing),
    publishing("publish:after_create_upload", 2, Leaves::Nothing),
    publishing("publish:after_part", 1, Leaves::Nothing),
    publishing("publish:after_part", 4, Leaves::Nothing),
    publishing("publish:after_body", 1, Leaves::Nothing),
    publishing("publish:before_commit", 1, Leaves::Nothing),
    publishing("publish:before_commit", 3, Leaves::Nothing),
    publishing("publish:after_commit", 1, Leaves::Nothing),
    publishing("publish:after_commit", 3, Leaves::Nothing),
    publishing("publish:after_commits", 1, Leaves::Nothing),
    publishing("publish:after_number", 1, Leaves::Version),
    publishing("publish:after_manifest", 1, Leaves::Version),
    publishing("publish:after_visible", 1, Leaves::Version),
    refusing("discard:before_removal"),
    refusing("discard:after_removal"),
    refusing("discard:after_row"),
    recovering("recover:before_version", "publish:after_number", Leaves::Version),
    recovering("publish:after_manifest", "publish:after_number", Leaves::Version),
    recovering("recover:after_version", "publish:after_manifest", Leaves::Version),
    recovering("recover:before_draft", "publish:after_part", Leaves::Nothing),
    recovering("discard:before_removal", "publish:after_commit", Leaves::Nothing),
    recovering("discard:after_removal", "publish:after_commits", Leaves::Nothing),
    recovering("discard:after_row", "publish:before_commit", Leaves::Nothing),
    recovering("recover:after_draft", "publish:after_draft", Leaves::Nothing),
];

const fn publishing(point: &'static str, time: u32, leaves: Leaves) -> Scenario {
    Scenario { point, way: Way::Publish(time), leaves }
}

const fn refusing(point: &'static str) -> Scenario {
    Scenario { point, way: Way::Refuse, leaves: Leaves::Nothing }
}

const fn recovering(point: &'static str, after: &'static str, leaves: Leaves) -> Scenario {
    Scenario { point, way: Way::Recover(after), leaves }
}

/// Every place that a scenario gets to.
pub(super) fn reached() -> Vec<&'static str> {
    SCENARIOS.iter().map(|scenario| scenario.point).collect()
}

pub(super) fn of_kind(wanted: impl Fn(Way) -> bool) -> Vec<Scenario> {
    SCENARIOS.iter().copied().filter(|scenario| wanted(scenario.way)).collect()
}

const MIB: usize = 1024 * 1024;
/// Two files of several parts, and two that are held in memory.
const FILES: [(&str, usize); 4] =
    [("config.json", 100), ("weights/a.bin", 17 * MIB), ("tokenizer.json", 300_000), ("weights/b.bin", 9 * MIB)];
const MODEL: &str = "crash/model";
/// Whoever publishes to the same model finishes what stands in front of him, and leaves recovery nothing to do.
const ANOTHER: &str = "crash/another";

/// Goes through all of them on one data directory: each finds what the others left.
pub(super) async fn walk(scenarios: &[Scenario]) {
    let ledger = Ledger::default();
    let mut service = Service::start(BackEnd::Embedded).await;
    for _ in 0..2 {
        publish_small(&service.way(), &ledger, MODEL).await;
    }
    for scenario in scenarios {
        println!("{scenario:?}");
        service = play(service, &ledger, *scenario).await;
    }
    ledger.reads_right(&service.way()).await;
}

async fn play(service: Service, ledger: &Ledger, scenario: Scenario) -> Service {
    let attempt = ledger.attempt(MODEL, &FILES);
    let service = match scenario.way {
        Way::Publish(time) => {
            let point = format!("{}:{time}", scenario.point);
            killed_at(service, ledger, &attempt, scenario.point, &point, MODEL).await
        }
        Way::Refuse => {
            ledger.refused(&attempt);
            killed_at(service, ledger, &attempt, scenario.point, scenario.point, MODEL).await
        }
        Way::Recover(after) => {
            let service = killed_at(service, ledger, &attempt, after, after, ANOTHER).await;
            service.killed_in_start_at(scenario.point, stopping_at(scenario.point)).await
        }
    };
    let service = service.restart_in(Vec::new()).await;
    let before = ledger.present().len();
    is_whole(&service, ledger).await;
    let there = ledger.present().len() - before;
    assert_eq!(there, usize::from(scenario.leaves == Leaves::Version), "{scenario:?}");
    publish_small(&service.way(), ledger, MODEL).await;
    service
}

/// Sends the attempt to a service that stops at `armed`, and kills it there.
async fn killed_at(
    service: Service,
    ledger: &Ledger,
    attempt: &Attempt,
    point: &str,
    armed: &str,
    beside: &str,
) -> Service {
    let mut service = service.restart_in(stopping_at(armed)).await;
    let way = service.way();
    let sending = send(&way, attempt, point.starts_with("discard:"));
    service.stands_at(point).await;
    // Not before its time: whoever looks now sees what was there.
    let there = ledger.present().iter().filter(|(attempt, _)| attempt.model == MODEL).count();
    let known = ledger.known();
    let listed = way.versions(MODEL).await.unwrap();
    if point != "publish:after_visible" {
        assert_eq!(listed.len(), there, "{point}: {listed:?}");
    }
    ledger.may_be_seen(MODEL, &known, &listed);
    // Nobody waits for it, and the numbers go on.
    publish_small(&way, ledger, beside).await;
    service.kill();
    assert!(sending.await.unwrap().is_err(), "{point}: it was answered");
    service
}

fn send(way: &Api, attempt: &Attempt, wrong: bool) -> JoinHandle<reqwest::Result<StatusCode>> {
    let mut body = form();
    for file in &attempt.files {
        let mut part = Part::bytes(file.bytes());
        if wrong && file.path == "weights/b.bin" {
            let headers = [("repr-digest".parse().unwrap(), repr_digest(b"others").parse().unwrap())];
            part = part.headers(headers.into_iter().collect());
        }
        body = body.part(file.path.clone(), part);
    }
    let request = way.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model)).multipart(body);
    tokio::spawn(async move { request.send().await.map(|answer| answer.status()) })
}

async fn publish_small(way: &Api, ledger: &Ledger, model: &str) {
    let attempt = ledger.attempt(model, &[("small.bin", 1000)]);
    let request = way.request(Method::POST, &format!("/v1/models/{model}/versions")).query(&[("path", "small.bin")]);
    let answer = request.body(attempt.files[0].bytes()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let version: serde_json::Value = answer.json().await.unwrap();
    ledger.acknowledged(&attempt, version["number"].as_i64().unwrap());
}
