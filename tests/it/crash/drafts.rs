//! A client fills a draft, and goes on after the service was killed as if nothing had happened.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::stopping_at;
use crate::support::audit::audit;
use crate::support::drafts::Draft;
use crate::support::service::{BackEnd, Service, bytes, code, hex_sha256};
use crate::sweep::scene::command;

/// Where the service is killed.
pub(super) const POINTS: &[&str] = &[
    "upload:after_rows",
    "upload:after_create",
    "upload:after_complete",
    "put:after_row",
    "put:after_commit",
    "removal:after_bytes",
    "end_draft:after_rows",
];

/// Where it is killed while somebody else moves an alias.
pub(super) const FROZEN: &str = "freeze:after_number";

const MIB: usize = 1 << 20;
const SETTINGS: &str = "sweep_age_hours = 0";

/// What a client does that may be stopped at any place, and does it again then.
async fn fill(service: &Service, id: &str, other: &str) {
    let draft = Draft { service, id: id.to_owned() };
    let large = bytes(8, 11 * MIB);
    let file = json!({ "path": "large.bin", "size": large.len(), "part_size": 5 * MIB, "sha256": hex_sha256(&large) });
    let there = draft.declare(file).await;
    if there["state"] == "upload" {
        draft.send_parts(&there, &large, 1..=3).await;
        let complete = format!("/uploads/{}/complete", there["upload_id"].as_str().unwrap());
        draft.posted(&complete, json!({})).await;
    }
    for content in ["first", "second"] {
        assert_eq!(draft.put("small.bin", content.as_bytes()).await.status(), StatusCode::OK);
    }
    let discarded = service.request(Method::DELETE, &format!("/v1/drafts/{other}")).send().await.unwrap();
    assert!([StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&discarded.status()));
}

#[tokio::test]
async fn killed_at_each_place_of_a_draft_the_client_goes_on_and_nothing_else_is_left() {
    for point in POINTS {
        let mut service = Service::start_in(BackEnd::Embedded, SETTINGS, stopping_at(point)).await;
        let wish = json!({ "keep": true });
        let begin =
            |model: &str| service.request(Method::POST, &format!("/v1/models/{model}/drafts")).json(&wish).send();
        let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
        let draft = id(begin("crash/draft").await.unwrap().json().await.unwrap());
        let other = id(begin("crash/other").await.unwrap().json().await.unwrap());
        tokio::select! {
            () = fill(&service, &draft, &other) => panic!("{point} was not reached"),
            () = service.stands_at(point) => {}
        }
        service.kill();
        let service = service.restart_in(Vec::new()).await;

        fill(&service, &draft, &other).await;
        let draft = Draft { service: &service, id: draft };
        let version = draft.published().await;
        assert_eq!((version["number"].as_i64(), version["file_count"].as_i64()), (Some(1), Some(2)), "{point}");
        for (path, expected) in [("large.bin", bytes(8, 11 * MIB)), ("small.bin", b"second".to_vec())] {
            let at = format!("/v1/models/crash/draft/versions/1/files/{path}?via=proxy");
            assert_eq!(service.get(&at).await.bytes().await.unwrap(), expected, "{point} {path}");
        }
        assert_eq!(draft.discard().await.status(), StatusCode::NO_CONTENT);
        // What recovery does not know of is the sweeper's: it sees it twice, and removes it.
        for _ in 0..2 {
            let swept = command(&service, &[], &[]).await;
            assert!(swept.status.success(), "{point}: {}", String::from_utf8_lossy(&swept.stderr));
        }
        audit(&service.s3().await, &service.bucket, &service.data_dir(), None).await;
    }
}

#[tokio::test]
async fn alias_that_moves_while_its_version_is_published_stays_and_the_publisher_is_told() {
    let mut service = Service::start_in(BackEnd::Embedded, "", stopping_at(FROZEN)).await;
    for content in ["one", "two"] {
        service.published("crash/alias", "m.bin", content.as_bytes()).await;
    }
    let draft = service.draft("crash/alias", json!({})).await.id;
    let publish = async |service: &Service| {
        let draft = Draft { service, id: draft.clone() };
        if draft.look().await["state"] == "open" {
            draft.put("m.bin", b"three").await;
        }
        draft.publish(json!({ "aliases": [{ "name": "production", "expected": null }] })).await
    };
    tokio::select! {
        _ = publish(&service) => panic!("it was not stopped"),
        () = service.stands_at(FROZEN) => {}
    }
    let moved =
        service.request(Method::PUT, "/v1/models/crash/alias/aliases/production").json(&json!({ "version": 1 }));
    assert!(moved.send().await.unwrap().status().is_success());
    service.kill();
    let service = service.restart_in(Vec::new()).await;

    assert_eq!(code(publish(&service).await, 409).await, "alias_conflict");
    assert_eq!(service.json("/v1/models/crash/alias/versions/latest").await["number"], 3);
    assert_eq!(service.json("/v1/models/crash/alias/aliases/production").await["version"], 1);
}
