//! An alias that was moved stays moved, and the bucket's journal tells of it exactly once.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::stopping_at;
use crate::support::service::{BackEnd, Service};

/// Where the service is killed.
pub(super) const POINTS: &[&str] = &["alias:after_move", "journal:after_entry"];

const ALIAS: &str = "/v1/models/crash/alias/aliases/production";

async fn moves(service: &Service) -> usize {
    service.json(&format!("{ALIAS}/history")).await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn alias_whose_move_nobody_was_told_of_is_moved_once_and_journalled_once() {
    for point in POINTS {
        let mut service = Service::start_in(BackEnd::Embedded, "", stopping_at(point)).await;
        service.published("crash/alias", "m.bin", b"one").await;
        let moved = service.request(Method::PUT, ALIAS).json(&json!({ "version": 1 })).send();
        // What is journalled is answered without waiting for the journal.
        let answered = tokio::select! {
            answer = async { let answer = moved.await; service.stands_at(point).await; answer } => Some(answer.unwrap()),
            () = service.stands_at(point) => None,
        };
        assert!(answered.is_none_or(|answer| answer.status() == StatusCode::OK));
        service.kill();
        let service = service.restart_in(Vec::new()).await;

        assert_eq!(service.json(ALIAS).await["version"], 1, "{point}");
        assert_eq!(moves(&service).await, 1, "{point}");
        let again = service.request(Method::PUT, ALIAS).json(&json!({ "version": 1 })).send().await.unwrap();
        assert_eq!((again.status(), moves(&service).await), (StatusCode::OK, 1), "{point}");
        assert_eq!(service.journalled("alias_moved").await, 1, "{point}");
    }
}
