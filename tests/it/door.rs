//! Who gets in, and how every refusal looks.

mod caps;
mod ending;
mod limits;
mod proxies;
mod raw;
mod slow;
mod tls;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::service::{BackEnd, Service, code, problem};

/// A path for every route of the document, with its parameters filled in.
fn routes(document: &Value) -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut filled = path.replace("{path}", "dir/file.bin").replace("{claim}", "versioned");
        // Anything else takes a number: the caller is asked for before the path is read.
        while let (Some(start), Some(end)) = (filled.find('{'), filled.find('}')) {
            filled.replace_range(start..=end, "1");
        }
        for method in item.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), filled.clone()));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_of_the_document_refuses_a_caller_without_a_valid_token() {
    let service = Service::start_with(BackEnd::Embedded, "auth_failures_per_minute = 0").await;
    let document: Value = service.anonymous(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let open = ["/healthz", "/readyz"];
    let mut refused = 0;
    for (method, path) in routes(&document) {
        let anonymous = service.anonymous(method.clone(), &path).send().await.unwrap();
        if open.contains(&path.as_str()) {
            assert_eq!(anonymous.status(), StatusCode::OK, "{path}");
            continue;
        }
        refused += 1;
        let mut wrong = service.token.clone();
        wrong.replace_range(3..5, if &wrong[3..5] == "00" { "11" } else { "00" });
        let mut attempts = vec![anonymous];
        for header in
            [format!("Bearer {wrong}"), "Bearer ".into(), "Basic !".into(), format!("Digest {}", service.token)]
        {
            let request = service.anonymous(method.clone(), &path).header("Authorization", header);
            attempts.push(request.send().await.unwrap());
        }
        for answer in attempts {
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(answer.headers().contains_key("www-authenticate"));
            if method != Method::HEAD {
                assert_eq!(code(answer, 401).await, "unauthorized", "{method} {path}");
            }
        }
    }
    assert!(refused >= 8, "the document lists only {refused} routes that need a caller");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_and_need_a_caller_too() {
    let service = Service::start(BackEnd::Embedded).await;
    for path in ["/", "/v1", "/v2/models", "/v1/models/a/b/versions/1/files", "/docs/../v1/outputs", "/healthz/x"] {
        let answer = service.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(code(answer, 401).await, "unauthorized", "{path}");
    }
    let answer = service.get("/v1/nothing").await;
    assert_eq!(code(answer, 404).await, "route_not_found");
    let answer = service.request(Method::DELETE, "/v1/whoami").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET,HEAD");
    assert_eq!(code(answer, 405).await, "method_not_allowed");
    let answer = service.get("/v1/models/%FF/b/versions").await;
    assert_eq!(code(answer, 400).await, "invalid_path");
}

#[tokio::test]
async fn token_is_taken_as_bearer_and_as_basic_password() {
    let service = Service::start(BackEnd::Embedded).await;
    let bearer = service.json("/v1/whoami").await;
    let admin = serde_json::json!({
        "principal": "token:admin", "groups": [], "grants": [{"role": "admin", "on": "*"}], "expires_at": null,
    });
    assert_eq!(bearer, admin);
    let basic = service.anonymous(Method::GET, "/v1/whoami").basic_auth("anybody", Some(&service.token));
    assert_eq!(basic.send().await.unwrap().json::<Value>().await.unwrap(), bearer);
}

#[tokio::test]
async fn request_id_of_a_trusted_proxy_is_kept_when_it_is_harmless() {
    let service = Service::start_with(BackEnd::Embedded, "trusted_proxies = '127.0.0.1'").await;
    let send = |id: &str| service.anonymous(Method::GET, "/v1/whoami").header("X-Request-Id", id.to_owned()).send();
    let (_, body) = problem(send("abc-1.2:3").await.unwrap()).await;
    assert_eq!(body["request_id"], "abc-1.2:3");
    let (_, body) = problem(send("a b\"c").await.unwrap()).await;
    assert_ne!(body["request_id"], "a b\"c");
    let (_, body) = problem(send(&"x".repeat(65)).await.unwrap()).await;
    assert_eq!(body["request_id"].as_str().unwrap().len(), 26);
}

#[tokio::test]
async fn request_id_of_anybody_else_is_not_taken_over_and_of_two_tokens_none_counts() {
    let service = Service::start(BackEnd::Embedded).await;
    let named = service.anonymous(Method::GET, "/v1/whoami").header("X-Request-Id", "abc-1.2:3");
    let (_, body) = problem(named.send().await.unwrap()).await;
    assert_eq!(body["request_id"].as_str().unwrap().len(), 26, "it stands in the audit log: nobody writes another's");
    let twice = service.request(Method::GET, "/v1/whoami").header("Authorization", "Bearer other");
    assert_eq!(problem(twice.send().await.unwrap()).await.0, 401);
}

#[tokio::test]
async fn health_document_and_documentation_are_open() {
    let service = Service::start(BackEnd::Embedded).await;
    let open = |path: &'static str| {
        let request = service.anonymous(Method::GET, path);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(open("/healthz").await.json::<Value>().await.unwrap(), serde_json::json!({"status": "ok"}));
    let ready: Value = open("/readyz").await.json().await.unwrap();
    let words = serde_json::json!({
        "status": "ready", "catalog": "ok", "writes": "ok", "posture": "passed", "stale": false,
    });
    assert_eq!(ready, words);
    let page = open("/docs/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("swagger-ui"));
}
