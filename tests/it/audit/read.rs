//! Who reads the log, how entries are found, and how an outsider computes their hashes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{done, exported, service};
use crate::support::service::{Service, code, hex_sha256};

/// A token of this name with this role on a namespace.
async fn token(service: &Service, name: &str, role: &str, on: &str) -> String {
    let wish = json!({ "name": name, "grants": [{ "role": role, "on": on }] });
    let (made, _) = done(service, Method::POST, "/v1/tokens", wish).await;
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_governs_a_namespace_sees_what_happened_in_it_and_nothing_else() {
    let service = service().await;
    service.published("Vision/resnet50", "m.bin", b"one").await;
    service.published("speech/whisper", "m.bin", b"two").await;
    let admin = token(&service, "vision.admin", "admin", "vision").await;
    let get = async |path: &str| {
        service.anonymous(Method::GET, &format!("/v1/audit{path}")).bearer_auth(&admin).send().await.unwrap()
    };
    assert_eq!(code(get("").await, 403).await, "forbidden");
    assert_eq!(code(get("?principal=token:admin").await, 403).await, "forbidden");
    assert_eq!(code(get("?on=tokens").await, 403).await, "forbidden");
    for path in ["?namespace=speech", "?on=models/speech/whisper", "?namespace=there-is-none"] {
        assert_eq!(code(get(path).await, 404).await, "namespace_not_found", "{path}");
    }
    assert_eq!(code(get("?namespace=vision&on=models/speech/whisper").await, 400).await, "invalid_filter");
    for path in ["?namespace=VISION", "?on=models/vision/resnet50", "?on=models/vision"] {
        let page: Value = get(path).await.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{path}");
        for item in items {
            let on = item["on"].as_str().unwrap().to_ascii_lowercase();
            assert!(on.starts_with("models/vision/") || on.starts_with("namespaces/vision"), "{item}");
        }
    }
    let lines = get("?namespace=vision&format=jsonl").await.text().await.unwrap();
    assert!(lines.contains("version.publish") && lines.contains("grant.give") && !lines.contains("whisper"));
}

#[tokio::test]
async fn entries_are_found_by_who_what_where_when_and_how_it_ended() {
    let service = service().await;
    for model in ["a/one", "a/one-more", "b/two"] {
        service.published(model, "m.bin", model.as_bytes()).await;
    }
    let (_, id) = done(&service, Method::PUT, "/v1/models/a/one/aliases/x", json!({ "version": 1 })).await;
    let found = async |query: &str| -> Vec<String> {
        let entries = exported(&service, query).await;
        entries.iter().map(|entry| format!("{} {}", entry["action"], entry["on"]).replace('"', "")).collect()
    };
    let one = "version.publish models/a/one/versions/1".to_owned();
    let alias = "alias.move models/a/one/aliases/x".to_owned();
    assert_eq!(found("&on=models/a/one").await, [one.clone(), alias.clone()]);
    assert_eq!(found("&on=models/A/ONE/versions/1").await, std::slice::from_ref(&one));
    assert_eq!(found(&format!("&request_id={id}")).await, std::slice::from_ref(&alias));
    assert_eq!(found("&action=alias.move&principal=token:admin&result=done").await, std::slice::from_ref(&alias));
    assert_eq!(found("&action=alias.move&principal=token:other").await, Vec::<String>::new());
    assert_eq!(found("&result=refused").await, Vec::<String>::new());
    assert_eq!(found("&namespace=b").await, ["version.publish models/b/two/versions/1"]);
    let all = exported(&service, "").await;
    let at = all.iter().find(|entry| entry["action"] == "alias.move").unwrap()["at"].as_str().unwrap().to_owned();
    assert_eq!(found(&format!("&since={at}")).await, std::slice::from_ref(&alias));
    assert_eq!(found(&format!("&until={at}")).await.len(), all.len() - 1);
    let seq = all.iter().position(|entry| entry["action"] == "alias.move").unwrap();
    assert_eq!(found(&format!("&after={seq}")).await, [alias]);

    // Pages go from the newest to the oldest, and have them all.
    let (mut seqs, mut path) = (Vec::new(), "/v1/audit?limit=2".to_owned());
    loop {
        let page = service.json(&path).await;
        seqs.extend(page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/audit?limit=2&cursor={cursor}");
    }
    let expected: Vec<i64> = (1..=i64::try_from(all.len()).unwrap()).rev().collect();
    assert_eq!(seqs, expected);

    for query in [
        "action=version.paint",
        "result=perhaps",
        "on=elsewhere/a",
        "namespace=a b",
        "since=yesterday",
        "until=1",
        "after=1",
        "format=jsonl&limit=2",
        "format=jsonl&cursor=MQ",
    ] {
        let refused = service.get(&format!("/v1/audit?{query}")).await;
        assert_eq!(code(refused, 400).await, "invalid_filter", "{query}");
    }
    for query in ["format=csv", "colour=red", "limit=0", "cursor=%00", "after=x"] {
        let refused = service.get(&format!("/v1/audit?{query}")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn an_export_is_checked_by_an_outsider_with_the_formula_alone() {
    let service = service().await;
    service.published("a/b", "größe und mehr.bin", "ü".as_bytes()).await;
    done(&service, Method::POST, "/v1/models/a/b/versions/1/download-urls", json!({})).await;
    let entries = exported(&service, "").await;
    assert!(entries.len() >= 4);
    let mut prev = "0".repeat(64);
    for mut entry in entries {
        assert_eq!(entry["prev"], prev.as_str());
        let hash = entry.as_object_mut().unwrap().remove("hash").unwrap();
        // Members in the order of their names, no white space: RFC 8785, as far as there are no fractions.
        entry.sort_all_objects();
        assert_eq!(hash, hex_sha256(entry.to_string().as_bytes()), "{entry}");
        hash.as_str().unwrap().clone_into(&mut prev);
    }
}
