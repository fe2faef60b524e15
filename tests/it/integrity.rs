//! Files whose digest is the client's word: read once by the service, then verified, or quarantined for good.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::service::{BackEnd, Service, bytes, code, hex_sha256, on_every_back_end, problem, repr_digest};
use crate::verify::flip_a_byte;

const MIB: usize = 1 << 20;
/// Two parts, so that S3 proves no digest of the whole.
const SIZE: usize = 6 * MIB;
const LIMIT: Duration = Duration::from_mins(1);
const OFF: &str = "verify_parallel = 0";

on_every_back_end!(
    declared_file_is_read_once_and_becomes_verified,
    file_whose_stated_digest_was_wrong_quarantines_its_version,
    namespace_that_demands_verification_publishes_only_what_was_read,
);

/// What a page says once it is as expected.
async fn eventually(service: &Service, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = service.json(path).await;
        if expected(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{seen}\n{}", service.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn eventually_is(service: &Service, path: &str, integrity: &str) -> Value {
    eventually(service, path, |version| version["integrity"] == integrity).await
}

/// A version of one file in parts, and its bytes; with a digest that is not theirs if it is to be wrong.
async fn published(service: &Service, model: &str, seed: u64, is_right: bool) -> Vec<u8> {
    let content = bytes(seed, SIZE);
    let stated = if is_right { hex_sha256(&content) } else { hex_sha256(b"something else") };
    let draft = service.draft(model, json!({})).await;
    assert_eq!(draft.put("config.json", b"{}").await.status(), StatusCode::OK);
    let file = draft.upload("weights/model.bin", &content, &stated).await;
    assert_eq!(file.json::<Value>().await.unwrap()["integrity"], "declared");
    draft.published().await;
    content
}

/// The first column of the first row.
async fn asked(service: &Service, query: &'static str) -> String {
    let url = format!("sqlite:{}?mode=rw", service.data_dir().join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let row = sqlx::query(query).fetch_optional(&pool).await.unwrap();
    let value = row.map(|row| row.get::<String, _>(0)).unwrap_or_default();
    pool.close().await;
    value
}

async fn metric(service: &Service, name: &str) -> u64 {
    let text = service.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("strongroom_verification_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn verifying(service: Service) -> Service {
    service.restart_in(vec![("STRONGROOM_VERIFY_PARALLEL", "2".to_owned())]).await
}

async fn declared_file_is_read_once_and_becomes_verified(service: Service) {
    let content = published(&service, "vision/resnet", 1, true).await;
    let version = eventually_is(&service, "/v1/models/vision/resnet/versions/1", "verified").await;
    assert_eq!(version["quarantine"], Value::Null);
    assert!(version["files"].as_array().unwrap().iter().all(|file| file["integrity"] == "verified"), "{version}");
    let got = service.get("/v1/models/vision/resnet/versions/1/files/weights/model.bin?via=proxy").await;
    assert_eq!(got.headers()["etag"], format!("\"sha256:{}\"", hex_sha256(&content)));
    assert_eq!(got.headers()["repr-digest"], repr_digest(&content));
    assert_eq!(got.bytes().await.unwrap(), content);
    assert_eq!(metric(&service, "verified_total").await, 1);
    assert_eq!(metric(&service, "read_bytes_total").await, SIZE as u64, "it was read once");
    assert_eq!(metric(&service, "waiting").await, 0);
    assert_eq!(service.rows("leases where name like 'verify/%'").await, 0);
    assert_eq!(service.rows("outbox where event like '%object_checked%verified%'").await, 1);
    // Now it saves others the sending.
    let draft = service.draft("vision/resnet", json!({})).await;
    let file = json!({ "path": "again.bin", "size": SIZE, "sha256": hex_sha256(&content) });
    assert_eq!(draft.declare(file).await["state"], "present");
}

async fn file_whose_stated_digest_was_wrong_quarantines_its_version(service: Service) {
    let content = published(&service, "a/b", 2, false).await;
    let at = "/v1/models/a/b/versions/1";
    let reason = "the bytes of `weights/model.bin` do not have the SHA-256 that was stated";
    let version = eventually_is(&service, at, "wrong").await;
    assert_eq!(version["quarantine"], reason);
    assert_eq!(version["state"], "published");
    let list = service.json("/v1/models/a/b/versions").await;
    assert_eq!((&list["items"][0]["quarantine"], &list["items"][0]["integrity"]), (&json!(reason), &json!("wrong")));
    let files = service.json(&format!("{at}/files")).await;
    assert_eq!(
        (&files["items"][0]["integrity"], &files["items"][1]["integrity"]),
        (&json!("verified"), &json!("wrong"))
    );

    // Its bytes are not given out, whichever way, also those of its other files.
    for file in ["weights/model.bin", "config.json", "weights/model.bin?via=redirect", "not-there"] {
        let (status, body) = problem(service.get(&format!("{at}/files/{file}")).await).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("version_quarantined")), "{body}");
        assert!(body["detail"].as_str().unwrap().contains(reason), "{body}");
    }
    let head = service.request(Method::HEAD, &format!("{at}/files/weights/model.bin")).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::CONFLICT);
    for wish in [json!({}), json!({ "paths": ["config.json"] })] {
        let urls = service.request(Method::POST, &format!("{at}/download-urls")).json(&wish).send().await.unwrap();
        assert_eq!(code(urls, 409).await, "version_quarantined");
    }
    let log = service.log();
    assert_eq!(log.matches("quarantined, because").count(), 1, "{log}");
    assert!(log.contains(reason) && log.contains("a/b version 1"), "{log}");
    assert_eq!(metric(&service, "wrong").await, 1);
    assert_eq!(service.rows("outbox where event like '%object_checked%wrong%'").await, 1);

    // A draft from it shows which file is wrong, and is a version when that is replaced.
    let draft = service.draft("a/b", json!({ "base": 1 })).await;
    let seen = draft.look().await;
    assert_eq!(seen["files"][1]["integrity"], "wrong", "{seen}");
    let (status, body) = problem(draft.publish(json!({})).await).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("digest_mismatch")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("weights/model.bin"), "{body}");
    draft.uploaded("weights/model.bin", &content).await;
    assert_eq!(draft.published().await["number"], 2);
    eventually_is(&service, "/v1/models/a/b/versions/2", "verified").await;
    assert_eq!(service.json(at).await["quarantine"], reason, "it stays");
}

async fn namespace_that_demands_verification_publishes_only_what_was_read(service: Service) {
    assert_eq!(code(service.get("/v1/namespaces/strict").await, 404).await, "namespace_not_found");
    let patch = |body: Value| service.request(Method::PATCH, "/v1/namespaces/strict").json(&body).send();
    assert_eq!(code(patch(json!({})).await.unwrap(), 404).await, "namespace_not_found");
    let demanded: Value = patch(json!({ "require_verified": true })).await.unwrap().json().await.unwrap();
    assert_eq!((&demanded["name"], &demanded["require_verified"]), (&json!("strict"), &json!(true)));
    assert_eq!(demanded["bytes"], 0);
    assert_eq!(service.json("/v1/namespaces/Strict").await, demanded);

    let content = bytes(3, SIZE);
    let draft = service.draft("strict/m", json!({})).await;
    draft.uploaded("m.bin", &content).await;
    let version = draft.published().await;
    assert_eq!((&version["integrity"], &version["files"][0]["integrity"]), (&json!("verified"), &json!("verified")));
    assert_eq!(service.json("/v1/namespaces/strict").await["bytes"], SIZE);

    // What was sent through the service was read on the way.
    let version = service.published("strict/m", "small.bin", b"x").await;
    assert_eq!(version["integrity"], "verified");

    let draft = service.draft("strict/m", json!({})).await;
    draft.upload("weights/w.bin", &content, &hex_sha256(b"another")).await;
    let (status, body) = problem(draft.publish(json!({})).await).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("digest_mismatch")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("weights/w.bin"), "{body}");
    assert_eq!(draft.look().await["files"][0]["integrity"], "wrong", "the draft stays");
    draft.uploaded("weights/w.bin", &content).await;
    assert_eq!(draft.published().await["number"], 3);

    let lifted: Value = patch(json!({ "require_verified": false })).await.unwrap().json().await.unwrap();
    assert_eq!(lifted["require_verified"], false);
    patch(json!({ "require_verified": false })).await.unwrap();
    assert_eq!(service.journalled("verification_demanded").await, 2);
    assert_eq!(code(patch(json!({ "require_verified": "yes" })).await.unwrap(), 422).await, "invalid_json");
}

#[tokio::test]
async fn until_it_is_verified_a_file_is_given_out_without_a_digest_that_a_cache_could_trust() {
    let service = Service::start_with(BackEnd::Embedded, OFF).await;
    let content = published(&service, "a/b", 4, true).await;
    let at = "/v1/models/a/b/versions/1/files/weights/model.bin?via=proxy";
    let tag = format!("\"sha256:{}\"", hex_sha256(&content));
    let with = |method: Method, name: &'static str, value: &str| service.request(method, at).header(name, value).send();
    for method in [Method::GET, Method::HEAD] {
        let answer = with(method.clone(), "If-None-Match", &tag).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{method}");
        assert!(!answer.headers().contains_key("etag") && !answer.headers().contains_key("repr-digest"), "{method}");
        assert_eq!(with(method, "If-Match", &tag).await.unwrap().status(), StatusCode::PRECONDITION_FAILED);
    }
    let spliced = service.request(Method::GET, at).header("Range", "bytes=0-9").header("If-Range", &tag);
    assert_eq!(spliced.send().await.unwrap().status(), StatusCode::OK, "all of it");
    let range = with(Method::GET, "Range", "bytes=0-9").await.unwrap();
    assert_eq!(
        (range.status(), range.bytes().await.unwrap().to_vec()),
        (StatusCode::PARTIAL_CONTENT, content[..10].to_vec())
    );
    let version = service.json("/v1/models/a/b/versions/1").await;
    assert_eq!((&version["integrity"], &version["quarantine"]), (&json!("declared"), &Value::Null));
    let urls = service.request(Method::POST, "/v1/models/a/b/versions/1/download-urls").json(&json!({}));
    assert_eq!(urls.send().await.unwrap().status(), StatusCode::OK);
    // What nobody has verified is never "already here".
    let draft = service.draft("a/b", json!({})).await;
    let file = json!({ "path": "again.bin", "size": SIZE, "sha256": hex_sha256(&content) });
    assert_eq!(draft.declare(file).await["state"], "upload");
    assert_eq!(metric(&service, "waiting").await, 1);
}

#[tokio::test]
async fn versions_that_share_an_object_are_verified_or_quarantined_together() {
    let service = Service::start_with(BackEnd::Embedded, OFF).await;
    for (model, seed, is_right) in [("both/right", 5, true), ("both/wrong", 6, false)] {
        published(&service, model, seed, is_right).await;
        let draft = service.draft(model, json!({ "base": 1 })).await;
        assert_eq!(draft.put("more.txt", b"more").await.status(), StatusCode::OK);
        draft.published().await;
    }
    // A third one is still a draft when the verdict falls.
    let draft = service.draft("both/wrong", json!({ "base": 2 })).await;
    let id = draft.id.clone();
    drop(draft);
    let service = verifying(service).await;
    for number in [1, 2] {
        let at = format!("/v1/models/both/right/versions/{number}");
        assert_eq!(eventually_is(&service, &at, "verified").await["quarantine"], Value::Null);
        let at = format!("/v1/models/both/wrong/versions/{number}");
        let version = eventually_is(&service, &at, "wrong").await;
        assert!(version["quarantine"].as_str().unwrap().contains("`weights/model.bin`"), "{version}");
        assert_eq!(code(service.get(&format!("{at}/files/config.json")).await, 409).await, "version_quarantined");
    }
    let published = service.request(Method::POST, &format!("/v1/drafts/{id}/publish")).send().await.unwrap();
    assert_eq!(code(published, 409).await, "digest_mismatch");
    let log = service.log();
    assert_eq!(log.matches("quarantined, because").count(), 1, "{log}");
    assert!(log.contains("both/wrong version 1, both/wrong version 2"), "{log}");
}

#[tokio::test]
async fn kill_in_the_middle_delays_the_verdict_and_changes_nothing_else() {
    let service = Service::start_with(BackEnd::Embedded, OFF).await;
    published(&service, "a/b", 7, true).await;
    // What a process that was killed leaves: a lease that nobody renews.
    asked(
        &service,
        "insert into leases (name, owner, until) select 'verify/' || id, 'killed', \
         (cast(strftime('%s', 'now') as integer) + 5) * 1000 from objects where integrity = 'declared' returning name",
    )
    .await;
    let service = verifying(service).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&service, "read_bytes_total").await, 0, "one reader an object");
    eventually_is(&service, "/v1/models/a/b/versions/1", "verified").await;
    assert_eq!(metric(&service, "read_bytes_total").await, SIZE as u64);

    published(&service, "a/c", 8, false).await;
    let service = service.kill_and_restart().await;
    let version = eventually_is(&service, "/v1/models/a/c/versions/1", "wrong").await;
    assert!(version["quarantine"].is_string());
}

#[tokio::test]
async fn missing_and_unreadable_bytes_are_told_and_judge_nobody() {
    let service = Service::start_with(BackEnd::Embedded, OFF).await;
    published(&service, "a/unreadable", 12, true).await;
    flip_a_byte(&service.data_dir());
    published(&service, "a/missing", 9, true).await;
    let of_missing = "select s3_key from objects where integrity = 'declared' and s3_key like '%/missing/%'";
    let key = asked(&service, of_missing).await;
    let of_missing = "select s3_version_id from objects where integrity = 'declared' and s3_key like '%/missing/%'";
    let version = asked(&service, of_missing).await;
    let s3 = service.s3().await;
    s3.delete_object().bucket(&service.bucket).key(&key).version_id(version).send().await.unwrap();
    let service = verifying(service).await;
    let deadline = Instant::now() + LIMIT;
    while metric(&service, "missing").await == 0 || metric(&service, "failures_total").await < 2 {
        assert!(Instant::now() < deadline, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = service.log();
    assert!(log.contains("ERROR") && log.contains("are not in the bucket") && log.contains(&key), "{log}");
    assert!(log.contains("a file could not be verified; it will be tried again"), "{log}");
    for model in ["missing", "unreadable"] {
        let version = service.json(&format!("/v1/models/a/{model}/versions/1")).await;
        assert_eq!((&version["integrity"], &version["quarantine"]), (&json!("declared"), &Value::Null));
    }
    assert_eq!((metric(&service, "wrong").await, metric(&service, "waiting").await), (0, 2));
    // They hold up nobody else.
    published(&service, "a/there", 10, true).await;
    eventually_is(&service, "/v1/models/a/there/versions/1", "verified").await;
}

#[tokio::test]
async fn publishing_what_is_still_being_verified_is_accepted_and_can_be_repeated() {
    let service = Service::start_with(BackEnd::Embedded, OFF).await;
    let demand = service.request(Method::PATCH, "/v1/namespaces/strict").json(&json!({ "require_verified": true }));
    assert_eq!(demand.send().await.unwrap().status(), StatusCode::OK);
    let draft = service.draft("strict/m", json!({})).await;
    draft.uploaded("m.bin", &bytes(11, SIZE)).await;
    for _ in 0..2 {
        let answer = draft.publish(json!({})).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(answer.headers()["location"], draft.at("").as_str());
        assert!(answer.headers().contains_key("retry-after"));
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body, json!({ "id": draft.id, "state": "verifying", "files_to_verify": 1 }));
    }
    assert_eq!(code(service.get("/v1/models/strict/m/versions").await, 404).await, "model_not_found");
    let at = draft.at("");
    drop(draft);
    let service = verifying(service).await;
    // Also without anybody who asks: drafts there are read in the background.
    eventually(&service, &at, |draft| draft["files"][0]["integrity"] == "verified").await;
    let answer = service.request(Method::POST, &format!("{at}/publish")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer = service.request(Method::POST, &format!("{at}/publish")).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["number"], 1);
}
