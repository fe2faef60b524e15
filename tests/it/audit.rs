//! The audit log: what stands in it, who reads it, and that nothing is changed in it without a trace.

mod log;
mod read;
mod tamper;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::service::{BackEnd, Service};

/// A service that tells the bucket soon where its log ends, and leaves the trash to the test.
async fn service() -> Service {
    Service::start_with(BackEnd::Embedded, "audit_head_seconds = 1\nsweep_hours = 0").await
}

/// Sends JSON as the administrator; gives the answer, and the id of the request.
async fn send(service: &Service, method: Method, path: &str, body: Value) -> (StatusCode, Value, String) {
    let answer = service.request(method, path).json(&body).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null), id)
}

/// Sends JSON that must be accepted.
async fn done(service: &Service, method: Method, path: &str, body: Value) -> (Value, String) {
    let (status, body, id) = send(service, method, path, body).await;
    assert!(status.is_success(), "{path}: {status} {body}");
    (body, id)
}

/// All entries that a query finds, oldest first.
async fn exported(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("/v1/audit?format=jsonl{query}")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `strongroom audit verify` says: whether it is content, and its report.
async fn verified(service: &Service) -> (bool, Value) {
    let output = service.command(&["audit", "verify", "--format", "json"]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    (output.status.success(), report)
}

/// The kinds of what it found, with the numbers of the entries.
fn findings(report: &Value) -> Vec<(i64, String)> {
    let finding = |finding: &Value| (finding["seq"].as_i64().unwrap(), finding["kind"].as_str().unwrap().to_owned());
    report["findings"].as_array().unwrap().iter().map(finding).collect()
}

/// Waits until the bucket was told of the log's end; gives its number.
async fn vouched_to_the_end(service: &Service) -> i64 {
    for _ in 0..100 {
        let (_, report) = verified(service).await;
        if report["vouched_to"].as_u64() == report["entries"].as_u64() {
            return report["vouched_to"].as_i64().unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the bucket was not told where the log ends: {}", service.log());
}
