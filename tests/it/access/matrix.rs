//! Every operation of the document as every caller, against the matrix in the repository.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::callers::{Callers, OURS};
use crate::support::drafts::Draft;
use crate::support::service::hex_sha256;

const MATRIX: &str = include_str!("matrix.txt");

/// Expected verdicts by operation, then by caller.
fn matrix() -> (Vec<&'static str>, BTreeMap<String, BTreeMap<&'static str, &'static str>>) {
    let heads = MATRIX.lines().find_map(|line| line.strip_prefix("# operation")).unwrap();
    let callers: Vec<&str> = heads.split_whitespace().collect();
    let rows = MATRIX.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.len(), 2 + callers.len(), "{line}");
        let verdicts = callers.iter().copied().zip(words[2..].iter().copied()).collect();
        (format!("{} {}", words[0], words[1]), verdicts)
    });
    (callers.clone(), rows.collect())
}

/// What the operations are tried on, made by the administrator; nobody else's attempts change it.
pub(crate) struct Things {
    model: String,
    draft: String,
    upload: String,
    token: String,
    grant: String,
}

const PART: &[u8] = b"one part";

impl Things {
    /// A model with two versions, the first of them named by an alias, a draft with a file and an upload, a token, a grant.
    pub(crate) async fn new(callers: &Callers, number: usize) -> Self {
        let service = &callers.service;
        let model = format!("{OURS}/m{number}");
        for content in ["one", "two"] {
            service.published(&model, "dir/file.bin", content.as_bytes()).await;
        }
        let send = async |method: Method, path: String, body: Value| -> Value {
            let answer = service.request(method, &path).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
            answer.json().await.unwrap_or_default()
        };
        send(Method::PUT, format!("/v1/models/{model}/aliases/stable"), json!({ "version": 1 })).await;
        send(Method::PUT, format!("/v1/models/{model}/retention"), json!({ "keep_last": 5 })).await;
        let draft = service.draft(&model, json!({})).await;
        assert!(draft.put("dir/file.bin", b"of the draft").await.status().is_success());
        let id = draft.id.clone();
        let wish = json!({ "name": format!("t{number}"), "grants": [{ "role": "admin", "on": "*" }] });
        let token = send(Method::POST, "/v1/tokens".to_owned(), wish).await["id"].as_str().unwrap().to_owned();
        let wish = json!({ "principal": format!("token:g{number}"), "role": "reader", "on": model });
        let grant = send(Method::POST, "/v1/grants".to_owned(), wish).await["id"].as_str().unwrap().to_owned();
        Self { upload: String::new(), model, draft: id, token, grant }
    }

    /// What an operation needs to find before it can be done.
    pub(crate) async fn prepare(&mut self, callers: &Callers, operation: &str) {
        let service = &callers.service;
        let done = async |method: Method, path: String, body: Value| {
            let answer = service.request(method, &path).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        };
        let version = format!("/v1/models/{}/versions/2", self.model);
        match operation {
            "DELETE /v1/posture/overrides/{claim}" => {
                let wish = json!({ "claim": "versioned", "until": later(), "reason": "a test" });
                done(Method::POST, "/v1/posture/overrides".to_owned(), wish).await;
            }
            "POST /v1/models/{ns}/{name}/versions/{ref}/restore" => done(Method::DELETE, version, json!({})).await,
            "DELETE /v1/models/{ns}/{name}" => {
                done(Method::DELETE, format!("/v1/models/{}/aliases/stable", self.model), json!({})).await;
            }
            "POST /v1/models/{ns}/{name}/restore" => {
                done(Method::DELETE, format!("/v1/models/{}/aliases/stable", self.model), json!({})).await;
                done(Method::DELETE, format!("/v1/models/{}", self.model), json!({})).await;
            }
            _ if operation.contains("{upload_id}") => {
                let draft = Draft { service, id: self.draft.clone() };
                let upload = draft.declare(json!({ "path": "part.bin", "size": PART.len() })).await;
                self.upload = upload["upload_id"].as_str().unwrap().to_owned();
                if operation.ends_with("complete") {
                    assert!(draft.part_url(&self.upload, 1, PART).await.put(PART).await.status().is_success());
                }
            }
            _ => {}
        }
    }

    pub(crate) fn path(&self, operation: &str) -> String {
        let (namespace, name) = self.model.split_once('/').unwrap();
        let id = match operation {
            _ if operation.contains("/tokens/") => &self.token,
            _ if operation.contains("/grants/") => &self.grant,
            _ => &self.draft,
        };
        let path = operation.split_once(' ').unwrap().1;
        let path = path.replace("{ns}", namespace).replace("{name}", name).replace("{alias}", "stable");
        let path = path.replace("{ref}", "2").replace("{claim}", "versioned").replace("{id}", id);
        path.replace("{path}", "dir/file.bin").replace("{upload_id}", &self.upload)
    }
}

fn later() -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// The request with a body that makes it succeed for whoever may.
pub(crate) fn with_body(operation: &str, things: &Things, who: &str, request: RequestBuilder) -> RequestBuilder {
    let model = &things.model;
    match operation {
        "POST /v1/posture/overrides" => {
            request.json(&json!({ "claim": "versioned", "until": later(), "reason": "a test" }))
        }
        "POST /v1/tokens" => request.json(&json!({
            "name": format!("{OURS}.{who}-made"), "grants": [{ "role": "reader", "on": OURS }], "expires_in": 600,
        })),
        "POST /v1/grants" => request.json(&json!({ "principal": "group:corp:ml", "role": "reader", "on": model })),
        "GET /v1/grants" => request.query(&[("on", model)]),
        "GET /v1/audit" => request.query(&[("namespace", OURS)]),
        "POST /v1/authorize" => request.json(&json!({ "principal": "token:ci", "action": "read", "on": model })),
        "PATCH /v1/namespaces/{ns}" => request.json(&json!({ "protected_aliases": ["production"] })),
        "PATCH /v1/models/{ns}/{name}" => request.json(&json!({ "description": format!("{who} says so") })),
        "PATCH /v1/models/{ns}/{name}/versions/{ref}" => {
            request.header("If-Match", "*").json(&json!({ "description": format!("{who} says so") }))
        }
        "PUT /v1/models/{ns}/{name}/retention" => request.json(&json!({ "keep_last": 7 })),
        "PUT /v1/models/{ns}/{name}/aliases/{alias}" => request.json(&json!({ "version": 2 })),
        "POST /v1/models/{ns}/{name}/versions" => request.query(&[("path", "new.bin")]).body("three"),
        "PUT /v1/models/{ns}/{name}/versions/{ref}/hold" => request.json(&json!({ "reason": "a test" })),
        "PUT /v1/drafts/{id}/files/{path}" => request.body("another"),
        "PATCH /v1/drafts/{id}" => request.json(&json!({ "keep": true })),
        "POST /v1/drafts/{id}/uploads" => request.json(&json!({ "files": [{ "path": "more.bin", "size": 9 }] })),
        "POST /v1/drafts/{id}/uploads/{upload_id}/part-urls" => {
            let part = json!({ "part": 1, "size": PART.len(), "sha256": hex_sha256(PART) });
            request.json(&json!({ "parts": [part] }))
        }
        "POST /v1/drafts/{id}/uploads/{upload_id}/complete" => request.json(&json!({ "sha256": hex_sha256(PART) })),
        _ if operation.starts_with("POST ") => request.json(&json!({})),
        _ => request,
    }
}

/// The operations of the document, as `METHOD /path`.
pub(crate) fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| -> Vec<String> {
        let methods = item.as_object().unwrap().keys().filter(|key| key.parse::<Method>().is_ok());
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    paths.iter().flat_map(of).collect()
}

/// What an answer says of the caller.
fn verdict(status: u16) -> String {
    match status {
        200..400 => "ok".to_owned(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn every_operation_answers_every_caller_as_the_matrix_says() {
    let callers = Callers::new().await;
    let document = callers.service.anonymous(Method::GET, "/openapi.json").send().await.unwrap();
    let document: Value = document.json().await.unwrap();
    let (names, matrix) = matrix();
    assert_eq!(names, callers.all.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let operations = operations(&document);
    let listed: Vec<&String> = matrix.keys().collect();
    let unlisted: Vec<&String> = operations.iter().filter(|operation| !matrix.contains_key(*operation)).collect();
    assert!(unlisted.is_empty(), "operations without a row in tests/it/access/matrix.txt: {unlisted:?}");
    let gone: Vec<_> = listed.iter().filter(|operation| !operations.contains(operation)).collect();
    assert!(gone.is_empty(), "rows of the matrix without an operation: {gone:?}");

    let mut wrong = Vec::new();
    let mut made = 0;
    for (operation, verdicts) in &matrix {
        made += 1;
        let mut things = Things::new(&callers, made).await;
        things.prepare(&callers, operation).await;
        let method: Method = operation.split_once(' ').unwrap().0.parse().unwrap();
        // Those who may not come first: what they try must still be there for those who may.
        let mut order = names.clone();
        order.sort_by_key(|name| verdicts[name] == "ok");
        let mut used = false;
        for who in order {
            let expected = verdicts[who];
            if expected == "ok" && used {
                made += 1;
                things = Things::new(&callers, made).await;
                things.prepare(&callers, operation).await;
            }
            used |= expected == "ok" && method != Method::GET && method != Method::HEAD;
            let request = callers.request(who, method.clone(), &things.path(operation));
            let answer = with_body(operation, &things, who, request).send().await.unwrap();
            let status = answer.status().as_u16();
            let expected = if expected == "open" { "ok" } else { expected };
            if verdict(status) != expected {
                let text = answer.text().await.unwrap_or_default();
                wrong.push(format!("{operation} as {who}: {status}, not {expected}: {text:.300}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The document has every route: those that the router has beside it are the documentation and nothing else.
#[test]
fn router_has_no_routes_but_those_of_the_document_and_the_documentation() {
    let source = include_str!("../../../src/http/mod.rs");
    let count = |text: &str| source.matches(text).count();
    assert_eq!(count(".merge("), 1, "SwaggerUi alone is merged");
    assert_eq!(
        (count(".nest("), count(".nest_service("), count(".route_service("), count("fallback_service(")),
        (0, 0, 0, 0)
    );
    assert_eq!(count(".route(&"), 1, "with_rest_of_path alone adds routes by hand, and puts them into the document");
}
