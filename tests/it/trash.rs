//! Deleting and restoring, holds, rules and descriptions: what clients see, and what the journal will tell.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::rows::Rows;
use crate::support::service::{BackEnd, Service, code, problem};

async fn service() -> (Service, Rows) {
    let service = Service::start_with(BackEnd::Embedded, "sweep_hours = 0").await;
    let rows = Rows::of(&service).await;
    (service, rows)
}

async fn call(service: &Service, method: Method, path: &str) -> Response {
    service.request(method, path).send().await.unwrap()
}

async fn answered(service: &Service, method: Method, path: &str) -> Value {
    let answer = call(service, method, path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.unwrap()
}

async fn send(service: &Service, method: Method, path: &str, body: Value) -> Response {
    service.request(method, path).json(&body).send().await.unwrap()
}

#[tokio::test]
async fn a_deleted_version_is_hidden_listed_in_the_trash_and_comes_back_as_it_was() {
    let (service, rows) = service().await;
    service.published("a/b", "m.bin", b"one").await;
    let second = service.published("a/b", "m.bin", b"two").await;
    let versions = "/v1/models/a/b/versions";
    let deleted = answered(&service, Method::DELETE, &format!("{versions}/2")).await;
    assert_eq!((&deleted["number"], &deleted["state"]), (&json!(2), &json!("trashed")));
    assert_eq!(deleted["deleted_by"], second["created_by"]);
    assert_eq!(rows.events().await, ["version_trashed"]);

    for path in ["", "/files", "/files/m.bin"] {
        let (status, body) = problem(service.get(&format!("{versions}/2{path}")).await).await;
        assert_eq!((status.as_u16(), &body["code"]), (410, &json!("version_deleted")), "{path}");
        assert!(body["detail"].as_str().unwrap().contains(deleted["purge_at"].as_str().unwrap()), "{body}");
    }
    let urls = send(&service, Method::POST, &format!("{versions}/2/download-urls"), json!({})).await;
    assert_eq!(code(urls, 410).await, "version_deleted");
    let digest = second["digest"].as_str().unwrap();
    assert_eq!(code(service.get(&format!("{versions}/{digest}")).await, 404).await, "version_not_found");
    assert_eq!(service.json(&format!("{versions}/latest")).await["number"], 1);
    let listed = service.json(versions).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(listed["items"][0].get("deleted_at").is_none(), "{listed}");
    let trash = service.json(&format!("{versions}?state=trashed")).await;
    assert_eq!(trash["items"].as_array().unwrap().len(), 1);
    for field in ["deleted_at", "deleted_by", "purge_at"] {
        assert_eq!(trash["items"][0][field], deleted[field], "{field}");
    }

    let again = answered(&service, Method::DELETE, &format!("{versions}/2")).await;
    assert_eq!(again, deleted, "repeating it changes nothing");
    let restored = answered(&service, Method::POST, &format!("{versions}/2/restore")).await;
    assert_eq!(restored, second);
    assert_eq!(answered(&service, Method::POST, &format!("{versions}/2/restore")).await, second);
    assert_eq!(service.get(&format!("{versions}/2/files/m.bin")).await.bytes().await.unwrap(), b"two"[..]);
    assert_eq!(rows.events().await, ["version_trashed", "version_restored"]);
}

#[tokio::test]
async fn only_a_number_names_what_is_deleted_and_it_must_be_one_of_the_model() {
    let (service, _) = service().await;
    let version = service.published("a/b", "m.bin", b"one").await;
    let digest = version["digest"].as_str().unwrap();
    for name in ["latest", "production", digest] {
        let answer = call(&service, Method::DELETE, &format!("/v1/models/a/b/versions/{name}")).await;
        assert_eq!(code(answer, 400).await, "number_required");
    }
    for (path, expected) in [("a/b/versions/2", "version_not_found"), ("a/c/versions/1", "model_not_found")] {
        for (method, end) in [(Method::DELETE, ""), (Method::POST, "/restore")] {
            let answer = call(&service, method, &format!("/v1/models/{path}{end}")).await;
            assert_eq!(code(answer, 404).await, expected);
        }
    }
    assert_eq!(code(call(&service, Method::DELETE, "/v1/models/a/c").await, 404).await, "model_not_found");
}

#[tokio::test]
async fn what_an_alias_names_or_a_hold_keeps_is_not_deleted_and_neither_is_its_model() {
    let (service, rows) = service().await;
    service.published("a/b", "m.bin", b"one").await;
    rows.execute("insert into aliases select id, 'production', 1, 0, 'test' from models").await;
    for path in ["/v1/models/a/b/versions/1", "/v1/models/a/b"] {
        let (status, body) = problem(call(&service, Method::DELETE, path).await).await;
        assert_eq!((status.as_u16(), &body["code"]), (409, &json!("version_aliased")));
        assert!(body["detail"].as_str().unwrap().contains("production -> 1"), "{body}");
    }
    rows.execute("delete from aliases").await;

    let hold = "/v1/models/a/b/versions/1/hold";
    assert_eq!(code(send(&service, Method::PUT, hold, json!({"reason": " "})).await, 400).await, "invalid_reason");
    let held = send(&service, Method::PUT, hold, json!({"reason": "case 4711"})).await;
    assert_eq!(held.status(), StatusCode::NO_CONTENT);
    assert_eq!(service.json("/v1/models/a/b/versions/1").await["hold"], "case 4711");
    for path in ["/v1/models/a/b/versions/1", "/v1/models/a/b"] {
        assert_eq!(code(call(&service, Method::DELETE, path).await, 409).await, "version_held");
    }
    for _ in 0..2 {
        assert_eq!(call(&service, Method::DELETE, hold).await.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(service.json("/v1/models/a/b/versions/1").await["hold"], Value::Null);
    answered(&service, Method::DELETE, "/v1/models/a/b/versions/1").await;
    assert_eq!(rows.events().await, ["hold_set", "hold_set", "version_trashed"]);
}

#[tokio::test]
async fn a_deleted_model_hides_everything_takes_nothing_and_comes_back_without_its_own_trash() {
    let (service, rows) = service().await;
    for bytes in [b"one", b"two"] {
        service.published("a/b", "m.bin", bytes).await;
    }
    answered(&service, Method::DELETE, "/v1/models/a/b/versions/1").await;
    let deleted = answered(&service, Method::DELETE, "/v1/models/A/B").await;
    assert_eq!(answered(&service, Method::DELETE, "/v1/models/a/b").await["purge_at"], deleted["purge_at"]);
    for path in
        ["", "/versions", "/versions?state=trashed", "/versions/1", "/versions/latest", "/versions/2/files/m.bin"]
    {
        let answer = service.get(&format!("/v1/models/a/b{path}")).await;
        assert_eq!(code(answer, 410).await, "model_deleted", "{path}");
    }
    assert_eq!(service.json("/v1/models").await["items"], json!([]));
    assert_eq!(code(service.upload("a/b", "m.bin", b"three").await, 409).await, "model_deleted");
    for (method, path) in [
        (Method::DELETE, "/versions/2"),
        (Method::POST, "/versions/1/restore"),
        (Method::DELETE, "/versions/2/hold"),
        (Method::DELETE, "/retention"),
    ] {
        let answer = call(&service, method, &format!("/v1/models/a/b{path}")).await;
        assert_eq!(code(answer, 409).await, "model_deleted", "{path}");
    }
    for _ in 0..2 {
        let restored = answered(&service, Method::POST, "/v1/models/a/b/restore").await;
        assert_eq!((&restored["latest"], &restored["version_count"]), (&json!(2), &json!(1)));
    }
    assert_eq!(code(service.get("/v1/models/a/b/versions/1").await, 410).await, "version_deleted");
    assert_eq!(service.published("a/b", "m.bin", b"three").await["number"], 3);
    assert_eq!(rows.events().await, ["version_trashed", "model_trashed", "model_restored"]);
}

#[tokio::test]
async fn an_upload_that_ends_after_its_model_was_deleted_leaves_nothing() {
    let (service, _) = service().await;
    service.published("a/b", "m.bin", b"one").await;
    let before = service.in_bucket().await;
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    sender.unbounded_send(Ok(b"tw".to_vec())).unwrap();
    let body = reqwest::Body::wrap_stream(receiver);
    let upload = service.request(Method::POST, "/v1/models/a/b/versions?path=m.bin").body(body).send();
    let upload = tokio::spawn(upload);
    while service.rows("drafts").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    answered(&service, Method::DELETE, "/v1/models/a/b").await;
    sender.unbounded_send(Ok(b"o".to_vec())).unwrap();
    drop(sender);
    assert_eq!(code(upload.await.unwrap().unwrap(), 409).await, "model_deleted");
    assert_eq!(service.in_bucket().await, before);
    assert_eq!(service.rows("drafts").await, 0);
}

#[tokio::test]
async fn a_description_is_changed_by_who_has_seen_the_last_one_and_files_never() {
    let (service, rows) = service().await;
    let version = service.published("a/b", "m.bin", b"one").await;
    let path = "/v1/models/a/b/versions/1";
    let tag = service.get(path).await.headers()["etag"].to_str().unwrap().to_owned();
    let patch =
        |tag: &str, body: Value| service.request(Method::PATCH, path).header("if-match", tag).json(&body).send();
    let said = json!({"metadata": {"accuracy": 0.9}, "description": "trained\non cats"});
    assert_eq!(code(send(&service, Method::PATCH, path, said.clone()).await, 428).await, "if_match_required");
    let changed = patch(&tag, said).await.unwrap();
    let new_tag = changed.headers()["etag"].to_str().unwrap().to_owned();
    let changed: Value = changed.json().await.unwrap();
    assert_eq!((&changed["metadata"]["accuracy"], &changed["revision"]), (&json!(0.9), &json!(1)));
    assert_eq!((&changed["digest"], &changed["files"]), (&version["digest"], &version["files"]));
    assert_eq!(code(patch(&tag, json!({"description": "x"})).await.unwrap(), 412).await, "revision_mismatch");
    assert_eq!(code(patch("\"x\"", json!({"description": "x"})).await.unwrap(), 400).await, "invalid_if_match");
    assert_eq!(code(patch(&new_tag, json!({})).await.unwrap(), 400).await, "nothing_to_change");
    assert_eq!(code(patch(&new_tag, json!({"files": []})).await.unwrap(), 422).await, "invalid_json");
    let description = patch("*", json!({"description": ""})).await.unwrap().json::<Value>().await.unwrap();
    assert_eq!((&description["description"], &description["metadata"]["accuracy"]), (&json!(""), &json!(0.9)));
    assert_eq!(rows.events().await, ["version_described", "version_described"]);
}

#[tokio::test]
async fn models_are_listed_by_name_in_pages_with_what_they_have() {
    let (service, rows) = service().await;
    for model in ["b/Two", "a/z", "B/one", "a/a"] {
        service.published(model, "m.bin", model.as_bytes()).await;
    }
    service.published("a/a", "m.bin", b"more").await;
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.json(&format!("/v1/models?limit=3{cursor}")).await;
        let of = |item: &Value| format!("{}/{}", item["namespace"].as_str().unwrap(), item["name"].as_str().unwrap());
        names.extend(page["items"].as_array().unwrap().iter().map(of));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["a/a", "a/z", "b/one", "b/Two"]);
    let of_a = service.json("/v1/models?namespace=A").await;
    assert_eq!(of_a["items"].as_array().unwrap().len(), 2);
    assert_eq!((&of_a["items"][0]["latest"], &of_a["items"][0]["version_count"]), (&json!(2), &json!(2)));

    let path = "/v1/models/a/a";
    let described = send(&service, Method::PATCH, path, json!({"description": "cats"})).await;
    assert_eq!(described.json::<Value>().await.unwrap()["description"], "cats");
    assert_eq!(service.json(path).await["description"], "cats");
    assert_eq!(rows.events().await, ["model_described"]);
    let long = send(&service, Method::PATCH, path, json!({"description": "x".repeat(20_000)})).await;
    assert_eq!(code(long, 400).await, "invalid_description");
}

#[tokio::test]
async fn rules_are_tried_before_they_are_set_and_say_why_each_version_stays() {
    let (service, rows) = service().await;
    for n in 0..6 {
        service.published("a/b", "m.bin", &[n]).await;
    }
    rows.execute("insert into aliases select id, 'old', 1, 0, 'test' from models").await;
    rows.execute("update versions set hold = 'case' where number = 2").await;
    rows.execute("update versions set created_at = created_at - 10 * 86400000 where number < 6").await;
    let retention = "/v1/models/a/b/retention";
    assert_eq!(code(service.get(retention).await, 404).await, "retention_not_found");
    assert_eq!(code(service.get(&format!("{retention}/preview")).await, 404).await, "retention_not_found");
    for rules in [json!({}), json!({"keep_last": 0}), json!({"keep_days": 36501})] {
        assert_eq!(code(send(&service, Method::PUT, retention, rules).await, 400).await, "invalid_retention");
    }

    let why = |preview: &Value| -> Vec<(i64, bool, String)> {
        let items = preview["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| {
                let reasons = item["kept_because"].as_array().unwrap().iter().map(|why| why.as_str().unwrap());
                (
                    item["number"].as_i64().unwrap(),
                    item["goes"].as_bool().unwrap(),
                    reasons.collect::<Vec<_>>().join("+"),
                )
            })
            .collect()
    };
    let expected = |number, reasons: &str| (number, reasons.is_empty(), reasons.to_owned());
    let tried = service.json(&format!("{retention}/preview?keep_last=2&keep_days=3")).await;
    let all = [
        expected(6, "highest+keep_last+keep_days"),
        expected(5, "keep_last"),
        expected(4, ""),
        expected(3, ""),
        expected(2, "held"),
        expected(1, "aliased"),
    ];
    assert_eq!(why(&tried), all);
    assert_eq!(rows.events().await, Vec::<String>::new(), "trying changes nothing");

    let set = send(&service, Method::PUT, retention, json!({"keep_last": 2, "keep_days": 3})).await;
    assert_eq!(set.json::<Value>().await.unwrap(), json!({"keep_last": 2, "keep_days": 3}));
    assert_eq!(service.json(retention).await, json!({"keep_last": 2, "keep_days": 3}));
    assert_eq!(service.json("/v1/models/a/b").await["retention"]["keep_last"], 2);
    let first = service.json(&format!("{retention}/preview?limit=2")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = service.json(&format!("{retention}/preview?limit=200&cursor={cursor}")).await;
    assert_eq!([why(&first), why(&rest)].concat(), all, "pages know their rank");
    for _ in 0..2 {
        assert_eq!(call(&service, Method::DELETE, retention).await.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(rows.events().await, ["retention_set", "retention_set"]);
}

#[tokio::test]
async fn without_a_window_a_model_cannot_be_restored_and_a_version_until_it_is_swept() {
    let service = Service::start_with(BackEnd::Embedded, "sweep_hours = 0\ntrash_days = 0").await;
    service.published("a/b", "m.bin", b"one").await;
    answered(&service, Method::DELETE, "/v1/models/a/b/versions/1").await;
    answered(&service, Method::POST, "/v1/models/a/b/versions/1/restore").await;
    answered(&service, Method::DELETE, "/v1/models/a/b").await;
    let answer = call(&service, Method::POST, "/v1/models/a/b/restore").await;
    assert_eq!(code(answer, 410).await, "model_deleted");
}
