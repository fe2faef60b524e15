//! Aliases: moved by compare-and-swap, read wherever a version is, with a history that stays.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::service::{BackEnd, Service, code, on_every_back_end, problem};

on_every_back_end!(
    alias_is_set_moved_read_and_removed_and_its_history_stays,
    of_many_that_move_an_alias_from_the_same_version_one_succeeds,
    alias_names_a_version_wherever_a_ref_does,
    each_move_is_in_the_journal_of_the_bucket,
);

/// Publishes `count` versions of a model.
async fn versions(service: &Service, model: &str, count: usize) {
    for n in 1..=count {
        service.published(model, "m.bin", format!("{model} {n}").as_bytes()).await;
    }
}

async fn put(service: &Service, model: &str, alias: &str, body: Value) -> Response {
    let path = format!("/v1/models/{model}/aliases/{alias}");
    service.request(Method::PUT, &path).json(&body).send().await.unwrap()
}

async fn delete(service: &Service, path: &str) -> Response {
    service.request(Method::DELETE, path).send().await.unwrap()
}

/// Moves an alias that can be moved.
async fn moved(service: &Service, model: &str, alias: &str, body: Value) -> Value {
    let answer = put(service, model, alias, body).await;
    let status = answer.status();
    let view: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{view}");
    view
}

async fn alias_is_set_moved_read_and_removed_and_its_history_stays(service: Service) {
    versions(&service, "vision/resnet", 3).await;
    let path = "/v1/models/vision/resnet/aliases/production";
    let history = format!("{path}/history");
    assert_eq!(code(service.get(path).await, 404).await, "alias_not_found");
    assert_eq!(code(service.get(&history).await, 404).await, "alias_not_found");

    let set = moved(&service, "vision/resnet", "production", json!({"version": 1, "expected": null})).await;
    assert_eq!((&set["name"], &set["version"]), (&json!("production"), &json!(1)));
    assert_eq!(set["updated_by"], "token:admin");
    let body = json!({"version": 3, "expected": 1, "reason": " canary passed "});
    let there = moved(&service, "Vision/ResNet", "production", body.clone()).await;
    // The same again, as a client does that got no answer.
    assert_eq!(moved(&service, "vision/resnet", "production", body).await, there);
    assert_eq!(service.json(path).await, there);
    assert_eq!(service.json("/v1/models/vision/resnet/aliases").await["items"], json!([there]));

    let (status, refusal) =
        problem(put(&service, "vision/resnet", "production", json!({"version": 2, "expected": 1})).await).await;
    assert_eq!((status.as_u16(), &refusal["code"]), (412, &json!("alias_changed")));
    assert!(refusal["detail"].as_str().unwrap().contains("is at version 3"), "{refusal}");
    let answer = put(&service, "vision/resnet", "production", json!({"version": 2, "expected": null})).await;
    assert_eq!(code(answer, 412).await, "alias_changed");
    let answer = put(&service, "vision/resnet", "new", json!({"version": 2, "expected": 1})).await;
    let (_, refusal) = problem(answer).await;
    assert!(refusal["detail"].as_str().unwrap().contains("does not exist"), "{refusal}");

    assert_eq!(code(delete(&service, &format!("{path}?expected=1")).await, 412).await, "alias_changed");
    let gone = delete(&service, &format!("{path}?expected=3&reason=retired")).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(code(delete(&service, path).await, 404).await, "alias_not_found");
    assert_eq!(code(delete(&service, &format!("{path}?expected=3")).await, 412).await, "alias_changed");
    assert_eq!(code(service.get(path).await, 404).await, "alias_not_found");

    let page = service.json(&format!("{history}?limit=2")).await;
    let rest = service.json(&format!("{history}?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest["next_cursor"], Value::Null);
    let all: Vec<Value> = [&page, &rest].iter().flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
    let told: Vec<Value> =
        all.iter().map(|made| json!([made["from"], made["to"], made["reason"], made["by"]])).collect();
    let by = "token:admin";
    assert_eq!(told, [json!([3, null, "retired", by]), json!([1, 3, "canary passed", by]), json!([null, 1, "", by])]);
    assert!(all.iter().all(|made| made["at"].as_str().is_some_and(|at| at.ends_with('Z'))), "{all:?}");
}

async fn of_many_that_move_an_alias_from_the_same_version_one_succeeds(service: Service) {
    versions(&service, "race/m", 9).await;
    moved(&service, "race/m", "production", json!({"version": 1})).await;
    let moves = (2..=9).map(|n| put(&service, "race/m", "production", json!({"version": n, "expected": 1})));
    let statuses: Vec<u16> = futures::future::join_all(moves).await.iter().map(|a| a.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    let won = 2 + statuses.iter().position(|status| *status == 200).unwrap();
    assert_eq!(service.json("/v1/models/race/m/aliases/production").await["version"], won);
    let history = service.json("/v1/models/race/m/aliases/production/history").await;
    assert_eq!(history["items"].as_array().unwrap().len(), 2, "{history}");
    // A new alias is made by one of them, too.
    let firsts = (1..=8).map(|n| put(&service, "race/m", "staging", json!({"version": n, "expected": null})));
    let statuses: Vec<u16> = futures::future::join_all(firsts).await.iter().map(|a| a.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

async fn alias_names_a_version_wherever_a_ref_does(service: Service) {
    versions(&service, "nlp/bert", 3).await;
    for (alias, version) in [("staging%2Feu", 2), ("production", 2), ("Production", 1)] {
        moved(&service, "nlp/bert", alias, json!({"version": version})).await;
    }
    let by_alias = service.json("/v1/models/nlp/bert/versions/staging%2Feu").await;
    assert_eq!(by_alias, service.json("/v1/models/nlp/bert/versions/2").await);
    assert_eq!(by_alias["aliases"], json!(["production", "staging/eu"]));
    let listed = service.json("/v1/models/nlp/bert/versions").await;
    let aliases: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|version| &version["aliases"]).collect();
    assert_eq!(aliases, [&json!([]), &json!(["production", "staging/eu"]), &json!(["Production"])]);

    let file = service.get("/v1/models/nlp/bert/versions/production/files/m.bin").await;
    assert_eq!(file.headers()["strongroom-version"], "2");
    assert_eq!(file.bytes().await.unwrap(), "nlp/bert 2");
    assert_eq!(service.json("/v1/models/nlp/bert/versions/Production/files").await["items"][0]["size"], 10);
    let urls = service.request(Method::POST, "/v1/models/nlp/bert/versions/staging%2Feu/download-urls");
    assert_eq!(urls.send().await.unwrap().json::<Value>().await.unwrap()["number"], 2);

    moved(&service, "nlp/bert", "production", json!({"version": 3})).await;
    let file = service.get("/v1/models/nlp/bert/versions/production/files/m.bin").await;
    assert_eq!(file.bytes().await.unwrap(), "nlp/bert 3");
    let answer = service.get("/v1/models/nlp/bert/versions/canary").await;
    assert_eq!(code(answer, 404).await, "version_not_found");
    let names: Vec<String> = service.json("/v1/models/nlp/bert/aliases?limit=2").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alias| alias["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["Production", "production"]);
}

/// The entries of the journal in the bucket, once there are this many.
async fn journal(service: &Service, count: usize) -> Vec<Value> {
    let s3 = service.s3().await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let listed = s3.list_objects_v2().bucket(&service.bucket).prefix("journal/").send().await.unwrap();
        if listed.contents().len() >= count {
            let mut entries = Vec::new();
            for object in listed.contents() {
                let key = object.key().unwrap();
                let read = s3.get_object().bucket(&service.bucket).key(key).send().await.unwrap();
                assert_eq!(read.ssekms_key_id(), Some(service.key_arn.as_str()), "{key}");
                let entry: Value = serde_json::from_slice(&read.body.collect().await.unwrap().to_vec()).unwrap();
                assert!(key.ends_with(&format!("/{:020}.json", entry["seq"].as_i64().unwrap())), "{key}");
                entries.push(entry);
            }
            return entries;
        }
        assert!(std::time::Instant::now() < deadline, "{} entries", listed.contents().len());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn each_move_is_in_the_journal_of_the_bucket(service: Service) {
    versions(&service, "a/b", 2).await;
    moved(&service, "a/b", "production", json!({"version": 1})).await;
    moved(&service, "a/b", "production", json!({"version": 1})).await;
    moved(&service, "a/b", "production", json!({"version": 2, "expected": 1, "reason": "better"})).await;
    delete(&service, "/v1/models/a/b/aliases/production").await;
    let entries = journal(&service, 3).await;
    let told: Vec<Value> = entries.iter().map(|e| json!([e["event"]["from"], e["event"]["to"], e["seq"]])).collect();
    assert_eq!(told, [json!([null, 1, 1]), json!([1, 2, 2]), json!([2, null, 3])]);
    let event = &entries[1]["event"];
    assert_eq!((&event["type"], &event["alias"]), (&json!("alias_moved"), &json!("production")));
    assert_eq!(event["model"], json!({"namespace": "a", "name": "b"}));
    assert_eq!((&event["reason"], &event["by"]), (&json!("better"), &json!("token:admin")));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let metrics = service.get("/metrics").await.text().await.unwrap();
        if metrics.contains("\nstrongroom_journal_lag_entries 0\n") {
            assert!(metrics.contains("\nstrongroom_journal_lag_seconds 0.0\n"), "{metrics}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{metrics}");
    }
}

#[tokio::test]
async fn each_bad_request_about_an_alias_says_which_rule_it_breaks() {
    let service = Service::start(BackEnd::Embedded).await;
    let answer = put(&service, "a/b", "production", json!({"version": 1})).await;
    assert_eq!(code(answer, 404).await, "model_not_found");
    assert_eq!(code(service.get("/v1/models/a/b/aliases").await, 404).await, "model_not_found");
    versions(&service, "a/b", 1).await;
    assert_eq!(service.json("/v1/models/a/b/aliases").await, json!({"items": [], "next_cursor": null}));
    let long = "x".repeat(501);
    for (alias, body, status, expected) in [
        ("7", json!({"version": 1}), 400, "invalid_alias"),
        ("LATEST", json!({"version": 1}), 400, "invalid_alias"),
        ("a%20b", json!({"version": 1}), 400, "invalid_alias"),
        ("a%2F%2Fb", json!({"version": 1}), 400, "invalid_alias"),
        ("sha256:abc", json!({"version": 1}), 400, "invalid_alias"),
        ("ok", json!({"version": 2}), 404, "version_not_found"),
        ("ok", json!({"version": 0}), 422, "invalid_json"),
        ("ok", json!({"version": 1, "expected": "1"}), 422, "invalid_json"),
        ("ok", json!({"version": 1, "expekted": 1}), 422, "invalid_json"),
        ("ok", json!({"expected": 1}), 422, "invalid_json"),
        ("ok", json!({"version": 1, "reason": long}), 400, "invalid_reason"),
        ("ok", json!({"version": 1, "reason": "a\u{7}"}), 400, "invalid_reason"),
    ] {
        let told = format!("{alias} {body}");
        assert_eq!(code(put(&service, "a/b", alias, body).await, status).await, expected, "{told}");
    }
    let path = "/v1/models/a/b/aliases/ok";
    assert_eq!(code(service.request(Method::PUT, path).send().await.unwrap(), 400).await, "invalid_json");
    assert_eq!(code(delete(&service, &format!("{path}?expected=null")).await, 400).await, "invalid_query");
    assert_eq!(service.rows("alias_history").await, 0);
    assert_eq!(service.rows("outbox").await, 0);
}

#[tokio::test]
async fn outbox_that_a_kill_left_is_in_the_journal_after_the_next_start() {
    let service = Service::start(BackEnd::Embedded).await;
    versions(&service, "a/b", 1).await;
    // Nobody may write below journal/ for now, so that the outbox keeps what it has.
    let s3 = service.s3().await;
    let policy = s3.get_bucket_policy().bucket(&service.bucket).send().await.unwrap().policy.unwrap();
    let mut denied: Value = serde_json::from_str(&policy).unwrap();
    denied["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "NoJournal", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{}/journal/*", service.bucket),
    }));
    s3.put_bucket_policy().bucket(&service.bucket).policy(denied.to_string()).send().await.unwrap();
    moved(&service, "a/b", "production", json!({"version": 1, "reason": "not lost"})).await;
    assert_eq!(service.rows("outbox").await, 1);
    let metrics = service.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("\nstrongroom_journal_lag_entries 1\n"), "{metrics}");

    let service = service.kill_and_restart().await;
    assert_eq!(service.rows("outbox").await, 1);
    let s3 = service.s3().await;
    s3.put_bucket_policy().bucket(&service.bucket).policy(policy).send().await.unwrap();
    let entries = journal(&service, 1).await;
    assert_eq!(entries[0]["event"]["reason"], "not lost");
}

#[tokio::test]
async fn graceful_end_leaves_nothing_in_the_outbox() {
    let service = Service::start(BackEnd::Embedded).await;
    versions(&service, "a/b", 1).await;
    let moves = (0..40).map(|n| {
        let service = &service;
        async move { put(service, "a/b", &format!("alias-{n}"), json!({"version": 1})).await.status() }
    });
    assert!(futures::future::join_all(moves).await.iter().all(|status| *status == StatusCode::OK));
    let (_data, dir) = service.stop();
    let url = format!("sqlite:{}?mode=ro", dir.join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let left: i64 = sqlx::query_scalar("select count(*) from outbox").fetch_one(&pool).await.unwrap();
    pool.close().await;
    assert_eq!(left, 0);
}
