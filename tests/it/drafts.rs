//! Drafts: filled by many writers, through the service and straight to S3, and published.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::drafts::Draft;
use crate::support::service::{BackEnd, Bucket, Service, bytes, code, hex_sha256, on_every_back_end, problem};

const MIB: usize = 1 << 20;

on_every_back_end!(
    file_in_parts_straight_to_s3_and_one_through_the_service_make_a_version,
    wrong_byte_wrong_length_and_replayed_url_are_refused_by_s3_itself,
    replaced_and_removed_files_leave_nothing_behind,
    kept_draft_goes_on_after_publishing_and_the_version_stays_as_it_was,
);

async fn file_in_parts_straight_to_s3_and_one_through_the_service_make_a_version(service: Service) {
    let weights = bytes(7, 12 * MIB + 3);
    let draft = service.draft("vision/resnet", json!({ "metadata": { "framework": "torch" } })).await;
    assert_eq!(draft.put("config.json", b"{}").await.status(), StatusCode::OK);
    let file = draft.uploaded("weights/model.bin", &weights).await;
    assert_eq!(file["sha256"], hex_sha256(&weights));
    assert_eq!(file["integrity"], "declared");
    let seen = draft.look().await;
    assert_eq!(seen["state"], "open");
    let files = seen["files"].as_array().unwrap();
    assert!(files.iter().all(|file| file["state"] == "complete"), "{seen}");
    // Nobody but its writers sees a draft.
    assert_eq!(code(service.get("/v1/models/vision/resnet/versions").await, 404).await, "model_not_found");

    let version = draft.published().await;

    assert_eq!((version["number"].as_i64(), version["file_count"].as_i64()), (Some(1), Some(2)));
    assert_eq!(version["metadata"]["framework"], "torch");
    let prefix = format!("s3://{}/models/vision/resnet/{}/", service.bucket, draft.id);
    assert_eq!(version["s3_uri"], prefix);
    let got = service.get("/v1/models/vision/resnet/versions/1/files/weights/model.bin?via=proxy").await;
    assert_eq!(got.bytes().await.unwrap(), weights);
    assert_eq!(draft.look().await["state"], "published");
    assert_eq!(draft.published().await["number"], 1, "repeating it is harmless");
    assert_eq!(service.in_bucket().await.uploads, Vec::<String>::new());
    assert_eq!((service.rows("drafts").await, service.rows("uploads").await), (0, 0));
}

async fn wrong_byte_wrong_length_and_replayed_url_are_refused_by_s3_itself(service: Service) {
    let right = bytes(1, 5 * MIB + 9);
    let draft = service.draft("a/b", json!({})).await;
    let upload = draft.declare(json!({ "path": "m.bin", "size": right.len(), "part_size": 5 * MIB })).await;
    let id = upload["upload_id"].as_str().unwrap();
    let (first, last) = right.split_at(5 * MIB);
    let url = draft.part_url(id, 1, first).await;
    let mut wrong = first.to_vec();
    wrong[77] ^= 1;
    assert!(url.put(&wrong).await.status().is_client_error());
    assert!(url.put(&first[1..]).await.status().is_client_error());
    let another = url.url.replace("partNumber=1", "partNumber=2");
    assert_ne!(another, url.url);
    let other = crate::support::drafts::PartUrl { url: another, headers: url.headers.clone() };
    assert_eq!(other.put(first).await.status(), StatusCode::FORBIDDEN);
    let missing = draft.post(&format!("/uploads/{id}/complete"), json!({ "sha256": hex_sha256(&right) })).await;
    assert_eq!(code(missing, 409).await, "parts_missing");
    let part = |sha256| json!({ "part": 1, "size": 5 * MIB, "sha256": sha256 });
    let twice = json!({ "parts": [part(hex_sha256(first)), part(hex_sha256(b""))] });
    let twice = draft.post(&format!("/uploads/{id}/part-urls"), twice).await;
    assert_eq!(code(twice, 400).await, "invalid_batch");
    for (part, size) in [(0, 1), (3, 1), (1, 5 * MIB - 1), (2, 8)] {
        let wish = json!({ "parts": [{ "part": part, "size": size, "sha256": hex_sha256(b"") }] });
        let answer = draft.post(&format!("/uploads/{id}/part-urls"), wish).await;
        assert_eq!(code(answer, 400).await, "invalid_part", "{part} {size}");
    }
    assert_eq!(url.put(first).await.status(), StatusCode::OK);
    let seen = draft.look().await;
    assert_eq!(seen["files"][0]["parts"]["ranges"], json!([[1, 1]]), "{seen}");
    assert_eq!(code(draft.publish(json!({})).await, 409).await, "uploads_unfinished");
    draft.send_parts(&upload, &right, 2..=2).await;
    let _ = last;

    let at = format!("/uploads/{id}/complete");
    let complete = || draft.post(&at, json!({ "sha256": hex_sha256(&right) }));
    assert_eq!(complete().await.status(), StatusCode::OK);
    assert_eq!(complete().await.status(), StatusCode::OK, "repeating it is harmless");
    let another = draft.post(&at, json!({ "sha256": hex_sha256(b"another") })).await;
    assert_eq!(code(another, 422).await, "digest_mismatch");
    let replayed = url.put(first).await.status();
    assert_eq!(replayed, StatusCode::NOT_FOUND);
    draft.published().await;
    let got = service.get("/v1/models/a/b/versions/1/files/m.bin?via=proxy").await;
    assert_eq!(got.bytes().await.unwrap(), right);
    assert_eq!(service.in_bucket().await.versions.len(), 2, "the file and the manifest");
}

async fn replaced_and_removed_files_leave_nothing_behind(service: Service) {
    let draft = service.draft("a/b", json!({})).await;
    assert_eq!(draft.put("m.bin", b"first").await.status(), StatusCode::OK);
    assert_eq!(draft.put("m.bin", b"second").await.status(), StatusCode::OK);
    assert_eq!(draft.put("gone.bin", b"gone").await.status(), StatusCode::OK);
    let removed = service.request(Method::DELETE, &draft.at("/files/gone.bin")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let again = service.request(Method::DELETE, &draft.at("/files/gone.bin")).send().await.unwrap();
    assert_eq!(code(again, 404).await, "file_not_found");
    let key = format!("models/a/b/{}/m.bin", draft.id);
    assert_eq!(service.in_bucket().await.versions, [key.as_str()]);
    assert_eq!(service.rows("objects").await, 1);
    let version = draft.published().await;
    assert_eq!(version["files"][0]["sha256"], hex_sha256(b"second"));
    assert!(version["s3_uri"].is_string(), "{version}");

    let discarded = service.draft("a/b", json!({ "base": 1 })).await;
    assert_eq!(discarded.put("more.bin", b"more").await.status(), StatusCode::OK);
    discarded.declare(json!({ "path": "part.bin", "size": 6 * MIB })).await;
    assert_eq!(discarded.discard().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(code(discarded.discard().await, 404).await, "draft_not_found");
    let left = service.in_bucket().await;
    assert_eq!((left.versions.len(), left.uploads.len()), (2, 0), "{left:?}");
    assert_eq!(service.rows("objects").await, 1);
    let got = service.get("/v1/models/a/b/versions/1/files/m.bin").await;
    assert_eq!(got.bytes().await.unwrap(), "second");
}

async fn kept_draft_goes_on_after_publishing_and_the_version_stays_as_it_was(service: Service) {
    let draft = service.draft("a/b", json!({ "keep": true })).await;
    assert_eq!(draft.look().await["expires_at"], Value::Null);
    draft.put("m.bin", b"first").await;
    draft.put("same.bin", b"same").await;
    assert_eq!(draft.published().await["number"], 1);
    assert_eq!(draft.published().await["number"], 1, "nothing changed since");
    draft.put("m.bin", b"second").await;
    let second = draft.published().await;
    assert_eq!(second["number"], 2);
    // It shares `same.bin` with the first, so its files lie in two places.
    assert_eq!(second["s3_uri"], Value::Null);
    for (version, expected) in [(1, "first"), (2, "second")] {
        let got = service.get(&format!("/v1/models/a/b/versions/{version}/files/m.bin")).await;
        assert_eq!(got.bytes().await.unwrap(), expected);
        let got = service.get(&format!("/v1/models/a/b/versions/{version}/files/same.bin")).await;
        assert_eq!(got.bytes().await.unwrap(), "same");
    }
    assert_eq!(draft.discard().await.status(), StatusCode::NO_CONTENT);
    let got = service.get("/v1/models/a/b/versions/2/files/m.bin").await;
    assert_eq!(got.bytes().await.unwrap(), "second");
    assert_eq!(service.in_bucket().await.versions.len(), 5, "three files and two manifests");
}

#[tokio::test]
async fn sixty_four_writers_fill_one_draft_at_once() {
    let service = Service::start(BackEnd::Embedded).await;
    let draft = service.draft("train/llm", json!({})).await;
    let ranks = (0..64_u64).map(|rank| {
        let draft = &draft;
        async move {
            let shard = bytes(rank, 200_000);
            if rank % 2 == 0 {
                assert_eq!(draft.put(&format!("shard-{rank:02}.bin"), &shard).await.status(), StatusCode::OK);
            } else {
                draft.uploaded(&format!("shard-{rank:02}.bin"), &shard).await;
            }
        }
    });
    futures::future::join_all(ranks).await;
    let version = draft.published().await;
    assert_eq!(version["file_count"], 64);
    for rank in [0, 1, 62, 63] {
        let at = format!("/v1/models/train/llm/versions/1/files/shard-{rank:02}.bin");
        assert_eq!(service.get(&at).await.bytes().await.unwrap(), bytes(rank, 200_000));
    }
    assert_eq!(service.in_bucket().await.versions.len(), 65);
}

#[tokio::test]
async fn upload_goes_on_after_the_client_and_the_service_were_killed() {
    let service = Service::start(BackEnd::Embedded).await;
    let whole = bytes(3, 16 * MIB);
    let file = json!({ "path": "m.bin", "size": whole.len(), "part_size": 5 * MIB, "sha256": hex_sha256(&whole) });
    let id = {
        let draft = service.draft("a/b", json!({})).await;
        let upload = draft.declare(file.clone()).await;
        draft.send_parts(&upload, &whole, 1..=2).await;
        draft.id
    };
    let service = service.kill_and_restart().await;
    let draft = Draft { service: &service, id };

    // A client that has forgotten everything declares the file again.
    let upload = draft.declare(file).await;
    let there = service.json(&draft.at(&format!("/uploads/{}", upload["upload_id"].as_str().unwrap()))).await;
    assert_eq!(there["parts"]["ranges"], json!([[1, 2]]), "{there}");
    draft.send_parts(&upload, &whole, 3..=4).await;
    let complete = format!("/uploads/{}/complete", upload["upload_id"].as_str().unwrap());
    assert_eq!(draft.posted(&complete, json!({})).await["sha256"], hex_sha256(&whole));
    draft.published().await;
    let got = service.get("/v1/models/a/b/versions/1/files/m.bin?via=proxy").await;
    assert_eq!(got.bytes().await.unwrap(), whole);
}

#[tokio::test]
async fn streaming_into_a_draft_that_a_kill_interrupts_leaves_the_draft_as_it_was() {
    let service = Service::start(BackEnd::Embedded).await;
    let id = {
        let draft = service.draft("a/b", json!({})).await;
        draft.put("kept.bin", b"kept").await;
        draft.id
    };
    let at = format!("/v1/drafts/{id}/files/m.bin");
    let chunks = futures::stream::unfold(0, |sent| async move {
        if sent == 3 {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        Some((Ok::<_, std::io::Error>(bytes(sent, 9 * MIB)), sent + 1))
    });
    let body = reqwest::Body::wrap_stream(chunks);
    let sending = tokio::spawn(service.request(Method::PUT, &at).body(body).send());
    while service.in_bucket().await.uploads.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let service = service.kill_and_restart().await;
    sending.abort();
    let draft = Draft { service: &service, id };
    let left = service.in_bucket().await;
    assert_eq!((left.versions.len(), left.uploads.len()), (1, 0), "{left:?}");
    assert_eq!(service.rows("uploads").await, 0);
    assert_eq!(draft.published().await["file_count"], 1);
}

#[tokio::test]
async fn bytes_that_the_model_or_its_namespace_has_verified_need_not_be_sent() {
    let service = Service::start(BackEnd::Embedded).await;
    let weights = bytes(5, 3 * MIB);
    service.published("vision/a", "m.bin", &weights).await;
    service.published("other/a", "secret.bin", &bytes(6, MIB)).await;
    let file = json!({ "path": "copy/of/m.bin", "size": weights.len(), "sha256": hex_sha256(&weights) });

    let same = service.draft("vision/a", json!({})).await;
    assert_eq!(same.declare(file.clone()).await["state"], "present");
    let version = same.published().await;
    assert_eq!((version["number"].as_i64(), &version["s3_uri"]), (Some(2), &Value::Null));
    assert_eq!(service.rows("objects").await, 2, "the two versions share one");

    let beside = service.draft("vision/b", json!({})).await;
    let there = beside.declare(file.clone()).await;
    assert_eq!((there["state"].as_str(), there["integrity"].as_str()), (Some("present"), Some("verified")), "{there}");
    let version = beside.published().await;
    assert!(version["s3_uri"].is_string(), "it has its own copy: {version}");
    let got = service.get("/v1/models/vision/b/versions/1/files/copy/of/m.bin").await;
    assert_eq!(got.bytes().await.unwrap(), weights);

    // What is in another namespace, or has another size, or is only declared, is not there.
    let secret = json!({ "path": "m.bin", "size": MIB, "sha256": hex_sha256(&bytes(6, MIB)) });
    assert_eq!(service.draft("vision/c", json!({})).await.declare(secret).await["state"], "upload");
    let shorter = json!({ "path": "m.bin", "size": weights.len() - 1, "sha256": hex_sha256(&weights) });
    assert_eq!(service.draft("vision/c", json!({})).await.declare(shorter).await["state"], "upload");
    let declared = bytes(9, 6 * MIB);
    let draft = service.draft("vision/d", json!({ "keep": true })).await;
    draft.uploaded("m.bin", &declared).await;
    let file = json!({ "path": "again.bin", "size": declared.len(), "sha256": hex_sha256(&declared) });
    assert_eq!(draft.declare(file).await["state"], "upload");
}

/// Digests of one size, declared one after the other in turns, so that a busy machine is as slow for all of them.
#[tokio::test]
async fn declaring_what_only_others_have_is_answered_and_timed_as_what_nobody_has() {
    const SAMPLES: usize = 100;
    let service = Service::start(BackEnd::Embedded).await;
    let secret = bytes(6, MIB);
    service.published("theirs/a", "secret.bin", &secret).await;
    let draft = service.draft("ours/a", json!({})).await;
    let (mut theirs, mut nobodys) = (Vec::new(), Vec::new());
    let mut answers = std::collections::BTreeSet::new();
    for sample in 0..SAMPLES {
        let unknown = hex_sha256(&bytes(1000 + sample as u64, 100));
        for (times, sha256) in [(&mut theirs, hex_sha256(&secret)), (&mut nobodys, unknown)] {
            let path = format!("{sample}-{sha256}");
            let file = json!({ "path": path, "size": secret.len(), "sha256": sha256 });
            let begun = std::time::Instant::now();
            let answer = draft.declare(file).await;
            times.push(begun.elapsed());
            let fields: Vec<String> = answer.as_object().unwrap().keys().cloned().collect();
            answers.insert((answer["state"].to_string(), answer["part_size"].to_string(), fields));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(service.in_bucket().await.uploads.len(), 2 * SAMPLES, "each is to be sent");
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort();
        times[SAMPLES / 2].as_secs_f64()
    };
    let ratio = median(&mut theirs) / median(&mut nobodys);
    assert!((0.67..1.5).contains(&ratio), "what others have takes {ratio} times as long");
}

#[tokio::test]
async fn each_bad_call_says_what_is_wrong_and_changes_nothing() {
    let service = Service::start_with(BackEnd::Embedded, "max_files = 3\nmax_drafts = 3\nmax_file_mib = 9").await;
    let draft = service.draft("a/b", json!({})).await;
    draft.put("folder/m.bin", b"x").await;
    for (path, status, expected) in [
        ("folder", 400, "path_conflict"),
        ("folder/m.bin/n", 400, "path_conflict"),
        ("a//b", 400, "invalid_file_path"),
        ("a%5Cb", 400, "invalid_file_path"),
    ] {
        assert_eq!(code(draft.put(path, b"y").await, status).await, expected, "{path}");
    }
    let large = draft.put("large.bin", &bytes(1, 9 * MIB + 1)).await;
    assert_eq!(code(large, 413).await, "file_too_large");
    let digest = service.request(Method::PUT, &draft.at("/files/m.bin")).body("x");
    let digest = digest.header("Repr-Digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    assert_eq!(code(digest.send().await.unwrap(), 422).await, "digest_mismatch");
    let file = |path: &str| json!({ "path": path, "size": 10 });
    for (files, status, expected) in [
        (json!([]), 400, "invalid_batch"),
        (json!([file("1"), file("1")]), 400, "path_conflict"),
        (json!([file("1"), file("1/2")]), 400, "path_conflict"),
        (json!([file("folder")]), 400, "path_conflict"),
        (json!([file("1"), file("2"), file("3")]), 413, "too_many_files"),
        (json!([{ "path": "1", "size": 1_u64 << 60 }]), 400, "invalid_part_size"),
        (json!([{ "path": "1", "size": 1, "part_size": 1 }]), 400, "invalid_part_size"),
        (json!([{ "path": "1", "size": 1, "sha256": "abc" }]), 400, "invalid_digest"),
        (json!([{ "path": "1" }]), 422, "invalid_json"),
    ] {
        let answer = draft.post("/uploads", json!({ "files": files })).await;
        assert_eq!(code(answer, status).await, expected, "{files}");
    }
    assert_eq!(service.rows("uploads").await, 0);
    assert_eq!(service.in_bucket().await.uploads, Vec::<String>::new());
    let twice = json!({ "aliases": [{ "name": "a" }, { "name": "b" }, { "name": "a" }] });
    assert_eq!(code(draft.publish(twice).await, 400).await, "invalid_batch");
    let two_values = r#"{"metadata":{"lr":0.1,"lr":0.2}}"#;
    let at = draft.at("/publish");
    let two_values = service.request(Method::POST, &at).header("Content-Type", "application/json").body(two_values);
    let (status, body) = problem(two_values.send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["code"]), (400, &json!("invalid_json")));
    assert!(body["detail"].as_str().unwrap().contains(r#"says "lr" twice"#), "{body}");
    for key in ["two words", ""] {
        let keyed = service.request(Method::POST, &at).header("Idempotency-Key", key).json(&json!({}));
        assert_eq!(code(keyed.send().await.unwrap(), 400).await, "invalid_idempotency_key", "{key:?}");
    }
    let unknown = Draft { service: &service, id: "01M84MKB68N0KDABWK59D4RX4A".into() };
    assert_eq!(code(unknown.put("m", b"x").await, 404).await, "draft_not_found");
    assert_eq!(code(unknown.publish(json!({})).await, 404).await, "draft_not_found");
    // One id has one spelling.
    let (lower, above) = (draft.id.to_lowercase(), format!("8{}", &draft.id[1..]));
    for id in ["nonsense", &lower, &above] {
        assert_eq!(code(service.get(&format!("/v1/drafts/{id}")).await, 404).await, "draft_not_found", "{id}");
    }
    let empty = service.draft("a/c", json!({})).await;
    assert_eq!(code(empty.publish(json!({})).await, 400).await, "no_files");
    let based = service.request(Method::POST, "/v1/models/a/b/drafts").json(&json!({ "base": "latest" }));
    assert_eq!(code(based.send().await.unwrap(), 404).await, "model_not_found");
    service.draft("a/d", json!({})).await;
    let fourth = service.request(Method::POST, "/v1/models/a/e/drafts").json(&json!({}));
    assert_eq!(code(fourth.send().await.unwrap(), 429).await, "too_many_drafts");
    assert_eq!(draft.published().await["file_count"], 1);
    let (status, body) = problem(draft.discard().await).await;
    assert_eq!((status.as_u16(), &body["code"]), (409, &json!("draft_published")));
    assert!(body["detail"].as_str().unwrap().contains("version 1 of `a/b`"), "{body}");
    assert_eq!(service.json("/v1/models/a/b/versions/1").await["file_count"], 1);
}

#[tokio::test]
async fn wrong_digest_of_a_file_in_one_part_is_refused_and_leaves_nothing() {
    let service = Service::start(BackEnd::Embedded).await;
    let draft = service.draft("a/b", json!({})).await;
    let answer = draft.upload("m.bin", b"abc", &hex_sha256(b"xyz")).await;
    assert_eq!(code(answer, 422).await, "digest_mismatch");
    assert_eq!(service.in_bucket().await, Bucket::default());
    let file = draft.uploaded("m.bin", b"abc").await;
    assert_eq!(file["integrity"], "verified", "one part is the whole file");
    let empty = draft.uploaded("empty.bin", b"").await;
    assert_eq!((empty["size"].as_i64(), empty["integrity"].as_str()), (Some(0), Some("verified")));
    draft.published().await;
    let got = service.get("/v1/models/a/b/versions/1/files/empty.bin").await;
    assert_eq!(got.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn same_request_with_the_same_key_answers_the_same_and_another_is_refused() {
    let service = Service::start(BackEnd::Embedded).await;
    let post = |key: &str, body: &'static str| {
        let request = service.request(Method::POST, "/v1/models/a/b/versions?path=m.bin").body(body);
        request.header("Idempotency-Key", key).send()
    };
    let first: Value = post("one", "bytes").await.unwrap().json().await.unwrap();
    let again = post("one", "bytes").await.unwrap();
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(code(post("one", "other").await.unwrap(), 422).await, "idempotency_key_reused");
    assert_eq!(post("two", "bytes").await.unwrap().status(), StatusCode::CREATED);
    let bad = post(" ", "bytes").await.unwrap();
    assert_eq!(code(bad, 400).await, "invalid_idempotency_key");
    assert_eq!(service.rows("versions").await, 2);
    // A request that failed may be tried again with its key.
    let wrong = service.request(Method::POST, "/v1/models/a/b/versions?path=m.bin").body("x");
    let wrong = wrong.header("Repr-Digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    let wrong = wrong.header("Idempotency-Key", "three").send().await.unwrap();
    assert_eq!(code(wrong, 422).await, "digest_mismatch");
    assert_eq!(post("three", "bytes").await.unwrap().status(), StatusCode::CREATED);

    let draft = |wish: Value| {
        let request = service.request(Method::POST, "/v1/models/a/b/drafts").json(&wish);
        request.header("Idempotency-Key", "one").send()
    };
    let first: Value = draft(json!({ "keep": true })).await.unwrap().json().await.unwrap();
    let again: Value = draft(json!({ "keep": true })).await.unwrap().json().await.unwrap();
    assert_eq!(again, first);
    assert_eq!(code(draft(json!({})).await.unwrap(), 422).await, "idempotency_key_reused");
    assert_eq!(service.rows("drafts").await, 1);

    // Calls that answer the same by themselves take a key too, and no other request has it.
    let at = |rest: &str| format!("/v1/drafts/{}{rest}", first["id"].as_str().unwrap());
    let declare = |size: u64| {
        let files = json!({ "files": [{ "path": "m.bin", "size": size }] });
        service.request(Method::POST, &at("/uploads")).json(&files).header("Idempotency-Key", "one").send()
    };
    let upload: Value = declare(5).await.unwrap().json().await.unwrap();
    let again: Value = declare(5).await.unwrap().json().await.unwrap();
    assert_eq!(again, upload);
    assert_eq!(code(declare(6).await.unwrap(), 422).await, "idempotency_key_reused");
    assert_eq!(service.rows("uploads").await, 1);
}

#[tokio::test]
async fn second_request_with_a_key_in_use_is_told_to_wait() {
    let service = Service::start(BackEnd::Embedded).await;
    let slow = futures::stream::unfold(0, |sent| async move {
        if sent > 0 {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        (sent < 2).then(|| (Ok::<_, std::io::Error>(vec![1_u8; 10]), sent + 1))
    });
    let post = || {
        let request = service.request(Method::POST, "/v1/models/a/b/versions?path=m.bin");
        request.header("Idempotency-Key", "k")
    };
    let first = tokio::spawn(post().body(reqwest::Body::wrap_stream(slow)).send());
    while service.rows("idempotency").await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = post().body(vec![1_u8; 20]).send().await.unwrap();
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(code(second, 409).await, "idempotency_key_in_use");
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::CREATED);
    let third = post().body(vec![1_u8; 20]).send().await.unwrap();
    assert_eq!(third.status(), StatusCode::CREATED);
    assert_eq!(service.rows("versions").await, 1);
}

#[tokio::test]
async fn namespace_takes_no_more_bytes_than_it_may_have() {
    let service = Service::start_with(BackEnd::Embedded, "max_namespace_gib = 1").await;
    service.published("a/b", "m.bin", b"small").await;
    let draft = service.draft("a/c", json!({})).await;
    let file = json!({ "path": "m.bin", "size": (1_u64 << 30) - 4 });
    let answer = draft.post("/uploads", json!({ "files": [file] })).await;
    assert_eq!(code(answer, 413).await, "namespace_full");
    assert_eq!(service.rows("uploads").await, 0);
    let file = json!({ "path": "m.bin", "size": (1_u64 << 30) - 5 });
    assert_eq!(draft.declare(file).await["state"], "upload");
}

#[tokio::test]
async fn aliases_move_with_the_publication_or_the_draft_stays_as_it_was() {
    let service = Service::start(BackEnd::Embedded).await;
    let post = |alias: &str| {
        service.request(Method::POST, &format!("/v1/models/a/b/versions?path=m.bin&alias={alias}")).body("x").send()
    };
    let first: Value = post("stable%2Feu").await.unwrap().json().await.unwrap();
    assert_eq!(first["aliases"], json!(["stable/eu"]), "{first}");
    assert_eq!(code(post("latest").await.unwrap(), 400).await, "invalid_alias");
    let draft = service.draft("a/b", json!({ "base": "stable/eu" })).await;
    draft.put("n.bin", b"y").await;
    for expected in [Value::Null, json!(7)] {
        let wish = json!({ "aliases": [{ "name": "stable/eu", "expected": expected }] });
        assert_eq!(code(draft.publish(wish).await, 412).await, "alias_changed");
    }
    assert_eq!(draft.look().await["state"], "open");
    let wish = json!({ "aliases": [{ "name": "stable/eu", "expected": 1 }, { "name": "new" }] });
    let second: Value = draft.publish(wish).await.json().await.unwrap();
    assert_eq!((second["number"].as_i64(), &second["aliases"]), (Some(2), &json!(["new", "stable/eu"])), "{second}");
    assert_eq!(service.json("/v1/models/a/b/versions/1").await["aliases"], json!([]));
    let history = service.json("/v1/models/a/b/aliases/stable%2Feu/history").await;
    assert_eq!(history["items"].as_array().unwrap().len(), 2, "{history}");
}

#[tokio::test]
async fn kept_draft_that_many_publish_at_once_is_one_version_and_a_key_answers_with_it_for_ever() {
    let service = Service::start(BackEnd::Embedded).await;
    let draft = service.draft("a/b", json!({ "keep": true })).await;
    draft.put("m.bin", b"first").await;
    let publish = |key: &'static str| {
        let request = service.request(Method::POST, &draft.at("/publish")).json(&json!({}));
        async move {
            let answer = request.header("Idempotency-Key", key).send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap()["number"].as_i64())
        }
    };
    let mut at_once = futures::future::join_all((0..4).map(|_| publish("one"))).await;
    at_once.extend(futures::future::join_all(["two", "three", "four"].map(publish)).await);
    assert!(at_once.iter().all(|answer| *answer == (StatusCode::CREATED, Some(1))), "{at_once:?}");
    draft.put("m.bin", b"second").await;
    assert_eq!(publish("one").await, (StatusCode::CREATED, Some(1)));
    assert_eq!(publish("five").await, (StatusCode::CREATED, Some(2)));
    assert_eq!(service.rows("versions").await, 2);
}
