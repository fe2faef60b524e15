//! The catalog made anew from the bucket alone.

mod copy;
mod events;
mod losses;

use std::collections::BTreeMap;
use std::process::Output;

use reqwest::multipart::Part;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::service::{BackEnd, Service, bytes, form};

/// Everything that reads tell about these models, by path: the bytes of each answer.
async fn answers(service: &Service, models: &[String]) -> BTreeMap<String, String> {
    let mut answers = BTreeMap::new();
    for model in models {
        let base = format!("/v1/models/{model}");
        for version in pages(service, &format!("{base}/versions"), &mut answers).await {
            let path = format!("{base}/versions/{}", version["number"]);
            answers.insert(path.clone(), text(service, &path).await);
            pages(service, &format!("{path}/files"), &mut answers).await;
        }
        for alias in pages(service, &format!("{base}/aliases"), &mut answers).await {
            let name = alias["name"].as_str().unwrap().replace('/', "%2F");
            for path in [format!("{base}/aliases/{name}"), format!("{base}/versions/{name}")] {
                answers.insert(path.clone(), text(service, &path).await);
            }
            pages(service, &format!("{base}/aliases/{name}/history"), &mut answers).await;
        }
        // One that was removed.
        pages(service, &format!("{base}/aliases/retired/history"), &mut answers).await;
    }
    answers
}

async fn text(service: &Service, path: &str) -> String {
    let answer = service.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.text().await.unwrap()
}

/// The items of a list, whose pages are kept as they came.
async fn pages(service: &Service, path: &str, answers: &mut BTreeMap<String, String>) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{path}?limit=20{cursor}");
        let page = text(service, &path).await;
        let read: Value = serde_json::from_str(&page).unwrap();
        items.extend(read["items"].as_array().unwrap().iter().cloned());
        answers.insert(path, page);
        match read["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

async fn move_alias(service: &Service, model: &str, alias: &str, body: Value) {
    let path = format!("/v1/models/{model}/aliases/{alias}");
    let answer = service.request(Method::PUT, &path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path} {body}");
}

/// Publishes `count` versions of each of `models` models, with metadata, folders and aliases.
async fn history(service: &Service, models: usize, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..models).map(|m| format!("Team-{}/Model.{m}", m % 3)).collect();
    let all = names.iter().enumerate().map(|(m, model)| async move {
        for n in 0..u32::try_from(count).unwrap() {
            let metadata =
                json!({"accuracy": 0.1 + f64::from(n) / 7.0, "whole": 1.0, "large": u64::MAX - u64::from(n), "é": [null, {}]});
            let body = form()
                .part("metadata", Part::text(metadata.to_string()))
                .part("weights/é #1.bin", Part::bytes(bytes(u64::from(n) + 1000 * m as u64, 100 + n as usize)))
                .part("config.json", Part::bytes(b"{}".to_vec()));
            let path = format!("/v1/models/{model}/versions");
            let answer = service.request(Method::POST, &path).multipart(body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::CREATED);
            if n % 4 == 0 {
                move_alias(service, model, "production", json!({"version": n + 1, "reason": format!("step {n}")}))
                    .await;
            }
        }
        move_alias(service, model, "staging%2Feu", json!({"version": count, "expected": null})).await;
        move_alias(service, model, "retired", json!({"version": 1, "reason": "old"})).await;
        let removed = service.request(Method::DELETE, &format!("/v1/models/{model}/aliases/retired?reason=gone"));
        assert_eq!(removed.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    });
    futures::future::join_all(all).await;
    names
}

/// What a rebuild said, which must have ended with this status.
#[track_caller]
fn said(output: &Output, status: i32) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

/// A connection to the catalog of a service that does not run.
async fn catalog(service: &Service) -> sqlx::SqlitePool {
    let url = format!("sqlite:{}?mode=rw", service.data_dir().join("catalog.sqlite").display());
    sqlx::SqlitePool::connect(&url).await.unwrap()
}

#[tokio::test]
async fn lost_catalog_comes_back_byte_for_byte_from_the_bucket() {
    let service = Service::start(BackEnd::Embedded).await;
    let models = history(&service, 8, 25).await;
    let before = answers(&service, &models).await;
    assert!(before.len() > 400, "{}", before.len());
    let service = service.forget_catalog();

    let report = service.data_dir().join("report.json");
    let output = service.command(&["rebuild", "--report", report.to_str().unwrap()]).await;
    let told = said(&output, 0);
    for line in ["versions       200\n", "models         8\n", "Nothing was lost", "versions a second"] {
        assert!(told.contains(line), "{line} in {told}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["versions"], &report["objects"], &report["lost"]), (&json!(200), &json!(400), &json!([])));
    assert_eq!((&report["aliases"], &report["moved_objects"]), (&json!(16), &json!(0)));
    let last = report["last_entry"].as_i64().unwrap();
    assert_eq!(report["journal_entries"], last);

    let service = service.restart().await;
    for (path, answer) in answers(&service, &models).await {
        assert_eq!(Some(&answer), before.get(&path), "{path}");
    }
    let stored: i64 =
        sqlx::query_scalar("select sum(bytes) from namespaces").fetch_one(&catalog(&service).await).await.unwrap();
    let sizes: i64 = (0..25).map(|n| 102 + n).sum();
    assert_eq!(stored, 8 * sizes);
    // It goes on where it was: with the numbers of versions and with those of the journal.
    assert_eq!(service.published(&models[0], "m", b"new").await["number"], 26);
    move_alias(&service, &models[0], "production", json!({"version": 26, "expected": 25})).await;
    let (_data, dir) = service.stop();
    let url = format!("sqlite:{}?mode=ro", dir.join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let seq: i64 =
        sqlx::query_scalar("select seq from sqlite_sequence where name = 'outbox'").fetch_one(&pool).await.unwrap();
    assert_eq!(seq, last + 1);
}

#[tokio::test]
async fn rebuild_is_refused_beside_a_running_server_and_over_a_catalog_that_has_models() {
    let service = Service::start(BackEnd::Embedded).await;
    service.published("a/b", "m", b"1").await;
    let told = said(&service.command(&["rebuild"]).await, 1);
    assert!(told.contains("another strongroom is using"), "{told}");
    let before = text(&service, "/v1/models/a/b/versions").await;
    let service = service.embedded_alone().await;
    let told = said(&service.command(&["rebuild"]).await, 1);
    assert!(told.contains("another strongroom is using"), "{told}");
    let service = service.stopped();
    let told = said(&service.command(&["rebuild"]).await, 1);
    assert!(told.contains("has models"), "{told}");
    let service = service.restart().await;
    assert_eq!(text(&service, "/v1/models/a/b/versions").await, before);
}

#[tokio::test]
async fn half_rebuilt_catalog_is_not_served_from_and_the_next_rebuild_begins_anew() {
    let service = Service::start(BackEnd::Embedded).await;
    service.published("a/b", "m", b"1").await;
    let before = text(&service, "/v1/models/a/b/versions").await;
    let service = service.stopped();
    // As it is when a rebuild was killed before its end.
    let pool = catalog(&service).await;
    for sql in [
        "insert into leases (name, owner, until) values ('rebuild', 'rebuild', 9223372036854775807)",
        "update versions set digest = 'half', number = 7",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let output = service.command(&["serve"]).await;
    let told = said(&output, 1);
    assert!(told.contains("half rebuilt") && told.contains("strongroom rebuild"), "{told}");
    said(&service.command(&["rebuild"]).await, 0);
    let service = service.restart().await;
    assert_eq!(text(&service, "/v1/models/a/b/versions").await, before);
}
