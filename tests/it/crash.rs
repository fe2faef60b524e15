//! A service that is killed at any moment loses nothing that it acknowledged, and leaves nothing else behind.

mod aliases;
mod client;
mod drafts;
mod scenarios;
mod storm;
mod sweeps;

use strongroom::failpoint::{POINTS, SETTING};

use self::scenarios::{Way, of_kind, reached};
use crate::support::audit::audit;
use crate::support::ledger::Ledger;
use crate::support::service::{Environment, Service};

/// The variable that stops a service at this place.
fn stopping_at(point: &str) -> Environment {
    assert_eq!(SETTING, "failpoint");
    vec![("STRONGROOM_FAILPOINT", point.to_owned())]
}

/// Asserts that a service has exactly what it must have, and nothing else.
async fn is_whole(service: &Service, ledger: &Ledger) {
    ledger.settle(&service.way()).await;
    audit(&service.s3().await, &service.bucket, &service.data_dir(), None).await;
}

#[test]
fn every_place_is_reached_by_a_scenario() {
    let known = [reached().as_slice(), drafts::POINTS, &[drafts::FROZEN], aliases::POINTS, sweeps::POINTS].concat();
    let mut missing: Vec<&str> = POINTS.iter().copied().filter(|point| !known.contains(point)).collect();
    missing.dedup();
    assert_eq!(missing, Vec::<&str>::new(), "say below tests/it/crash/ how a test gets there");
}

#[tokio::test]
async fn killed_at_each_place_of_a_publication_it_keeps_all_or_nothing_of_it() {
    scenarios::walk(&of_kind(|way| matches!(way, Way::Publish(_)))).await;
}

#[tokio::test]
async fn killed_while_it_removes_what_it_refused_it_removes_it_at_the_next_start() {
    scenarios::walk(&of_kind(|way| matches!(way, Way::Refuse))).await;
}

#[tokio::test]
async fn killed_again_while_it_recovers_it_recovers_at_the_start_after_that() {
    scenarios::walk(&of_kind(|way| matches!(way, Way::Recover(_)))).await;
}
