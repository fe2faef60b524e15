//! What stands in the log: every change, by whom, from where, and what came of it.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{done, exported, findings, send, service, verified};
use crate::support::rows::Rows;
use crate::support::service::{BackEnd, Service, code};

/// The entry of a request, which has made one only.
async fn entry_of(service: &Service, request_id: &str) -> Value {
    let entries = exported(service, &format!("&request_id={request_id}")).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

fn later() -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}

#[tokio::test]
async fn every_change_by_a_request_leaves_an_entry_with_who_what_where_and_from_where() {
    let service = service().await;
    let model = "/v1/models/vision/resnet50";
    let put = async |path: String, body: Value| done(&service, Method::PUT, &path, body).await;
    service.published("vision/resnet50", "m.bin", b"one").await;
    service.published("vision/resnet50", "m.bin", b"two").await;
    let published = exported(&service, "&action=version.publish").await;
    assert_eq!(published.len(), 2);
    let first = &published[0];
    assert_eq!(
        (&first["principal"], &first["on"], &first["result"]),
        (&json!("token:admin"), &json!("models/vision/resnet50/versions/1"), &json!("done"))
    );
    assert_eq!(first["address"], "127.0.0.1");
    assert!(!first["request_id"].as_str().unwrap().is_empty());
    let version = service.json(&format!("{model}/versions/1")).await;
    assert_eq!(first["details"], json!({ "digest": version["digest"], "files": 1, "size": 3 }));

    // Each request, what the entry is about, and some of what it says.
    let mut expected: Vec<(String, &str, String, Value)> = Vec::new();
    let on_model = "models/vision/resnet50".to_owned();
    let (_, id) = put(format!("{model}/aliases/stable"), json!({ "version": 1, "reason": "tried" })).await;
    let moved = json!({ "from": null, "to": 1, "reason": "tried" });
    expected.push((id, "alias.move", format!("{on_model}/aliases/stable"), moved));
    let patch = |path: &'static str, body: Value| done(&service, Method::PATCH, path, body);
    let (_, id) = patch("/v1/models/vision/resnet50", json!({ "description": "of cats" })).await;
    expected.push((id, "model.describe", on_model.clone(), json!({})));
    let (_, id) = patch("/v1/models/vision/resnet50", json!({ "labels": { "team": "cats" } })).await;
    expected.push((id, "model.label", on_model.clone(), json!({ "labels": { "team": "cats" } })));
    let (_, id) = put(format!("{model}/retention"), json!({ "keep_last": 5 })).await;
    expected.push((id, "model.retention", on_model.clone(), json!({})));
    let (_, id) = put(format!("{model}/versions/1/hold"), json!({ "reason": "a lawsuit" })).await;
    let version_1 = format!("{on_model}/versions/1");
    expected.push((id, "version.hold", version_1.clone(), json!({ "hold": "a lawsuit" })));
    let (_, id) = patch("/v1/namespaces/vision", json!({ "protected_aliases": ["production"] })).await;
    expected.push((id, "namespace.change", "namespaces/vision".into(), json!({ "protected_aliases": ["production"] })));
    let described = service.request(Method::PATCH, &format!("{model}/versions/1")).header("If-Match", "*");
    let described = described.json(&json!({ "description": "the first" })).send().await.unwrap();
    let id = described.headers()["x-request-id"].to_str().unwrap().to_owned();
    expected.push((id, "version.describe", version_1, json!({ "revision": 1 })));
    let (_, id) = done(&service, Method::DELETE, &format!("{model}/versions/2"), json!({})).await;
    expected.push((id, "version.trash", format!("{on_model}/versions/2"), json!({})));
    let (_, id) = done(&service, Method::POST, &format!("{model}/versions/2/restore"), json!({})).await;
    expected.push((id, "version.restore", format!("{on_model}/versions/2"), json!({})));

    let (draft, id) = done(&service, Method::POST, &format!("{model}/drafts"), json!({ "base": 1 })).await;
    let draft = draft["id"].as_str().unwrap().to_owned();
    let (at, on_draft) = (format!("/v1/drafts/{draft}"), format!("{on_model}/drafts/{draft}"));
    expected.push((id, "draft.begin", on_draft.clone(), json!({ "base": 1, "keep": false })));
    let (_, id) = done(&service, Method::PATCH, &at, json!({ "keep": true })).await;
    expected.push((id, "draft.change", on_draft.clone(), json!({ "keep": true })));
    let added = service.request(Method::PUT, &format!("{at}/files/x.bin")).body("three").send().await.unwrap();
    let id = added.headers()["x-request-id"].to_str().unwrap().to_owned();
    expected.push((id, "file.add", on_draft.clone(), json!({ "path": "x.bin", "size": 5 })));
    let (_, id) = done(&service, Method::DELETE, &format!("{at}/files/x.bin"), json!({})).await;
    expected.push((id, "file.remove", on_draft.clone(), json!({ "path": "x.bin" })));
    let wish = json!({ "files": [{ "path": "p.bin", "size": 3 }] });
    let (declared, _) = done(&service, Method::POST, &format!("{at}/uploads"), wish).await;
    let upload = declared["files"][0]["upload_id"].as_str().unwrap().to_owned();
    let parts = json!({ "parts": [{ "part": 1, "size": 3, "sha256": "0".repeat(64) }] });
    let (signed, id) = done(&service, Method::POST, &format!("{at}/uploads/{upload}/part-urls"), parts).await;
    let minted = json!({ "upload": upload, "parts": [1], "expires_at": signed["expires_at"], "path": "p.bin" });
    expected.push((id, "upload_url.mint", on_draft.clone(), minted));
    let (_, id) = done(&service, Method::DELETE, &format!("{at}/uploads/{upload}"), json!({})).await;
    expected.push((id, "upload.abort", on_draft.clone(), json!({ "upload": upload, "path": "p.bin" })));
    let (_, id) = done(&service, Method::DELETE, &at, json!({})).await;
    expected.push((id, "draft.discard", on_draft, json!({})));

    let wish = json!({ "name": "ci", "grants": [] });
    let (token, id) = done(&service, Method::POST, "/v1/tokens", wish).await;
    let token = token["id"].as_str().unwrap().to_owned();
    expected.push((id, "token.make", format!("tokens/{token}"), json!({ "name": "ci" })));
    let (second, id) = done(&service, Method::POST, &format!("/v1/tokens/{token}/rotate"), json!({})).await;
    let second = second["id"].as_str().unwrap().to_owned();
    expected.push((id, "token.rotate", format!("tokens/{second}"), json!({ "old": token })));
    let wish = json!({ "principal": "token:ci", "role": "reader", "on": "vision/resnet50" });
    let (grant, id) = done(&service, Method::POST, "/v1/grants", wish.clone()).await;
    let grant = grant["id"].as_str().unwrap().to_owned();
    let given = json!({ "to": "token:ci", "role": "reader", "on": "vision/resnet50" });
    expected.push((id, "grant.give", format!("{on_model}/grants/{grant}"), given.clone()));
    let (_, again) = done(&service, Method::POST, "/v1/grants", wish).await;
    assert_eq!(exported(&service, &format!("&request_id={again}")).await, Vec::<Value>::new(), "nothing changed");
    let (_, id) = done(&service, Method::DELETE, &format!("/v1/grants/{grant}"), json!({})).await;
    expected.push((id, "grant.take_back", format!("{on_model}/grants/{grant}"), given));
    let (_, id) = done(&service, Method::DELETE, &format!("/v1/tokens/{second}"), json!({})).await;
    expected.push((id, "token.revoke", format!("tokens/{second}"), json!({ "name": "ci" })));
    let wish = json!({ "claim": "versioned", "until": later(), "reason": "a drill" });
    let (_, id) = done(&service, Method::POST, "/v1/posture/overrides", wish).await;
    expected.push((id, "override.set", "claims/versioned".into(), json!({ "reason": "a drill" })));
    let (_, id) = done(&service, Method::DELETE, "/v1/posture/overrides/versioned", json!({})).await;
    expected.push((id, "override.end", "claims/versioned".into(), json!({})));

    let (urls, id) = done(&service, Method::POST, &format!("{model}/versions/stable/download-urls"), json!({})).await;
    let url = &urls["items"][0];
    let minted = json!({ "digest": version["digest"], "urls": [
        { "path": "m.bin", "sha256": url["sha256"], "expires_at": url["expires_at"] },
    ] });
    expected.push((id, "download_url.mint", format!("{on_model}/versions/1"), minted));
    let got = service.get(&format!("{model}/versions/1/files/m.bin?via=proxy")).await;
    let id = got.headers()["x-request-id"].to_str().unwrap().to_owned();
    expected.push((id, "file.read", format!("{on_model}/versions/1"), json!({ "path": "m.bin", "from": 0, "to": 3 })));
    let got = service.get(&format!("{model}/versions/1/files/m.bin?via=redirect")).await;
    assert_eq!(got.status(), StatusCode::TEMPORARY_REDIRECT);
    let id = got.headers()["x-request-id"].to_str().unwrap().to_owned();
    expected.push((id, "download_url.mint", format!("{on_model}/versions/1"), json!({ "digest": version["digest"] })));

    done(&service, Method::DELETE, &format!("{model}/aliases/stable"), json!({})).await;
    done(&service, Method::DELETE, &format!("{model}/versions/1/hold"), json!({})).await;
    let (_, id) = done(&service, Method::DELETE, model, json!({})).await;
    expected.push((id, "model.trash", on_model.clone(), json!({})));
    let (_, id) = done(&service, Method::POST, &format!("{model}/restore"), json!({})).await;
    expected.push((id, "model.restore", on_model, json!({})));

    for (id, action, on, details) in &expected {
        let entry = entry_of(&service, id).await;
        assert_eq!((&entry["action"], &entry["on"]), (&json!(action), &json!(on)), "{entry}");
        assert_eq!((&entry["principal"], &entry["result"]), (&json!("token:admin"), &json!("done")), "{entry}");
        assert_eq!(entry["address"], "127.0.0.1", "{entry}");
        for (name, value) in details.as_object().unwrap() {
            assert_eq!(entry["details"][name], *value, "{entry}");
        }
    }
    let (is_clean, report) = verified(&service).await;
    assert!(is_clean, "{report}");
    let secrets = exported(&service, "").await;
    let text = json!(secrets).to_string();
    for secret in [service.token.as_str(), "X-Amz-Signature"] {
        assert!(!text.contains(secret), "a secret stands in the log");
    }
    // What the service does by itself, and what commands do, is in other tests.
    let seen: BTreeSet<&str> = expected.iter().map(|(_, action, ..)| *action).chain(["version.publish"]).collect();
    let elsewhere = BTreeSet::from([
        "version.purge",
        "version.quarantine",
        "model.purge",
        "draft.expire",
        "catalog.rebuild",
        "access.refuse",
    ]);
    let all: BTreeSet<&str> = strongroom::domain::AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(seen.union(&elsewhere).copied().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn what_the_service_and_its_commands_do_is_in_the_log_under_their_names() {
    let service = Service::start_with(BackEnd::Embedded, "trash_days = 0\nsweep_hours = 0\nsweep_age_hours = 0").await;
    service.published("a/purged", "m.bin", b"one").await;
    service.published("a/purged", "m.bin", b"two").await;
    done(&service, Method::DELETE, "/v1/models/a/purged/versions/1", json!({})).await;
    service.published("a/model", "m.bin", b"three").await;
    done(&service, Method::DELETE, "/v1/models/a/model", json!({})).await;
    let (draft, _) = done(&service, Method::POST, "/v1/models/a/purged/drafts", json!({})).await;
    let draft = draft["id"].as_str().unwrap().to_owned();
    let rows = Rows::of(&service).await;
    rows.execute(format!("update drafts set expires_at = 1 where id = '{draft}'")).await;
    for _ in 0..2 {
        let swept = service.command(&["sweep"]).await;
        assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
    }
    let made = service.command(&["token", "create", "robot", "--grant", "reader:a"]).await;
    assert!(made.status.success());
    let by = async |query: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        exported(&service, query).await.iter().map(|entry| (text(&entry["action"]), text(&entry["on"]))).collect()
    };
    let swept = by("&principal=strongroom:sweeper").await;
    for expected in [
        ("version.purge", "models/a/purged/versions/1".to_owned()),
        ("version.purge", "models/a/model/versions/1".to_owned()),
        ("model.purge", "models/a/model".to_owned()),
        ("draft.expire", format!("models/a/purged/drafts/{draft}")),
    ] {
        assert!(swept.contains(&(expected.0.to_owned(), expected.1.clone())), "{expected:?} in {swept:?}");
    }
    let made: Vec<String> = by("&principal=operator").await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(made, ["token.make", "grant.give"]);
    let first: Vec<String> = by("&principal=strongroom:start").await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(first, ["token.make", "grant.give"], "the first token");
}

#[tokio::test]
async fn a_change_that_may_not_be_made_is_in_the_log_as_refused_and_reading_is_not() {
    let service = service().await;
    service.published("vision/resnet50", "m.bin", b"one").await;
    let wish = json!({ "name": "vision.reader", "grants": [{ "role": "reader", "on": "vision" }] });
    let (made, _) = done(&service, Method::POST, "/v1/tokens", wish).await;
    let reader = made["token"].as_str().unwrap();
    let attempts = [
        (Method::PUT, "/v1/models/vision/resnet50/aliases/a", "moveAlias", "models/vision/resnet50/aliases/a"),
        (Method::DELETE, "/v1/models/vision/resnet50", "delete", "models/vision/resnet50"),
        (Method::DELETE, "/v1/models/speech/there-is-none", "delete", "models/speech/there-is-none"),
        (Method::POST, "/v1/tokens", "operate", "service"),
    ];
    for (method, path, right, on) in attempts {
        let body = if path.ends_with("tokens") { json!({ "name": "mine" }) } else { json!({ "version": 1 }) };
        let answer = service.anonymous(method, path).bearer_auth(reader).json(&body).send().await.unwrap();
        assert!([403, 404].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        let entry = entry_of(&service, id).await;
        assert_eq!(
            (&entry["action"], &entry["result"], &entry["on"], &entry["details"]),
            (&json!("access.refuse"), &json!("refused"), &json!(on), &json!({ "right": right }))
        );
        assert_eq!(entry["principal"], "token:vision.reader");
    }
    let before = exported(&service, "").await.len();
    let hidden = service.anonymous(Method::GET, "/v1/models/speech/there-is-none").bearer_auth(reader);
    assert_eq!(hidden.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(exported(&service, "").await.len(), before);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let service = service().await;
    service.published("a/b", "m.bin", b"one").await;
    let rows = Rows::of(&service).await;
    rows.execute("create trigger full before insert on audit begin select raise(abort, 'no room'); end").await;
    let counts = async || {
        let tables = ["aliases", "alias_history", "tokens", "grants", "drafts", "versions", "outbox", "audit"];
        let mut counts = Vec::new();
        for table in tables {
            counts.push((table, rows.number(format!("select count(*) from {table}")).await));
        }
        counts
    };
    let before = counts().await;
    let sent = [
        (Method::PUT, "/v1/models/a/b/aliases/stable", json!({ "version": 1 })),
        (Method::POST, "/v1/tokens", json!({ "name": "ci" })),
        (Method::POST, "/v1/grants", json!({ "principal": "token:ci", "role": "reader", "on": "a" })),
        (Method::POST, "/v1/models/a/b/drafts", json!({})),
        (Method::DELETE, "/v1/models/a/b", json!({})),
        (Method::POST, "/v1/models/a/b/versions/1/download-urls", json!({})),
    ];
    for (method, path, body) in sent {
        let (status, problem, _) = send(&service, method, path, body).await;
        assert!(status.is_server_error(), "{path}: {status}");
        assert!(!problem.to_string().contains("X-Amz"), "a URL was given out without its entry");
    }
    for way in ["proxy", "redirect"] {
        let answer = service.get(&format!("/v1/models/a/b/versions/1/files/m.bin?via={way}")).await;
        assert!(answer.status().is_server_error(), "{way}: {}", answer.status());
        assert!(!answer.headers().contains_key("location"));
    }
    assert_eq!(counts().await, before);
    rows.execute("drop trigger full").await;
    done(&service, Method::PUT, "/v1/models/a/b/aliases/stable", json!({ "version": 1 })).await;
    let (is_clean, report) = verified(&service).await;
    assert!(is_clean, "{report}");
}

#[tokio::test]
async fn a_request_that_changes_nothing_leaves_no_entry() {
    let service = service().await;
    service.published("a/b", "m.bin", b"one").await;
    done(&service, Method::PUT, "/v1/models/a/b/aliases/stable", json!({ "version": 1 })).await;
    let before = exported(&service, "").await.len();
    let moved = json!({ "version": 1, "expected": null });
    let (status, ..) = send(&service, Method::PUT, "/v1/models/a/b/aliases/other", moved.clone()).await;
    assert!(status.is_success());
    let refused = service.request(Method::DELETE, "/v1/models/a/b/aliases/other?expected=9").send().await.unwrap();
    assert_eq!(code(refused, 412).await, "alias_changed");
    let refused = service.request(Method::PUT, "/v1/models/a/b/aliases/third").json(&json!({ "version": 99 }));
    assert_eq!(refused.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    done(&service, Method::PUT, "/v1/models/a/b/aliases/stable", json!({ "version": 1 })).await;
    let wrong = service.request(Method::POST, "/v1/models/a/b/versions?path=m.bin");
    let wrong = wrong.header("Repr-Digest", crate::support::service::repr_digest(b"other")).body("two");
    assert!(wrong.send().await.unwrap().status().is_client_error());
    assert_eq!(exported(&service, "").await.len(), before + 1, "the one alias that was set");
}

#[tokio::test]
async fn entries_of_many_at_once_stand_in_one_chain_without_a_gap() {
    let service = service().await;
    service.published("a/b", "m.bin", b"one").await;
    let before = exported(&service, "").await.len();
    let reads = (0..200).map(|n| {
        let request = match n % 4 {
            0 => service.request(Method::PUT, &format!("/v1/models/a/b/aliases/a{n}")).json(&json!({ "version": 1 })),
            1 => service.request(Method::POST, "/v1/models/a/b/versions/1/download-urls").json(&json!({})),
            2 => service.request(Method::GET, "/v1/models/a/b/versions/1/files/m.bin?via=redirect"),
            _ => service.request(Method::GET, "/v1/models/a/b/versions/1/files/m.bin?via=proxy"),
        };
        async move { request.send().await.unwrap().status() }
    });
    for status in futures::future::join_all(reads).await {
        assert!(status.is_success() || status == StatusCode::TEMPORARY_REDIRECT, "{status}");
    }
    let entries = exported(&service, "").await;
    assert_eq!(entries.len(), before + 200);
    for (n, pair) in entries.windows(2).enumerate() {
        assert_eq!(pair[1]["prev"], pair[0]["hash"], "entry {}", n + 2);
        let at = |entry: &Value| entry["at"].as_str().unwrap().parse::<strongroom::domain::Timestamp>().unwrap();
        assert!(at(&pair[1]) >= at(&pair[0]));
    }
    let (is_clean, report) = verified(&service).await;
    assert!(is_clean && findings(&report).is_empty(), "{report}");
}
