//! The committed OpenAPI document is the one that the router serves.

use std::fs;

use serde_json::Value;

use crate::support::process::source;
use crate::support::service::{BackEnd, Service};

/// `openapi/strongroom.json` is what clients are generated from; it changes only in the same commit as the code.
/// Refresh it with `cargo run -- openapi > openapi/strongroom.json`.
#[test]
fn committed_document_is_what_the_code_says() {
    let fresh = strongroom::http::openapi().to_pretty_json().unwrap() + "\n";
    let committed = fs::read_to_string(source("openapi/strongroom.json")).unwrap_or_default();
    assert!(committed == fresh, "openapi/strongroom.json is stale; see the comment on this test");
}

#[tokio::test]
async fn served_document_is_the_committed_one() {
    let service = Service::start(BackEnd::Embedded).await;
    let served: Value = reqwest::get(format!("{}/openapi.json", service.api)).await.unwrap().json().await.unwrap();
    let committed: Value = serde_json::from_slice(&fs::read(source("openapi/strongroom.json")).unwrap()).unwrap();
    assert_eq!(served, committed);
}

#[test]
fn document_names_this_project_and_describes_every_operation() {
    let document: Value = serde_json::to_value(strongroom::http::openapi()).unwrap();
    assert_eq!(document["info"]["title"], "Strongroom");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let described = operation["summary"].as_str().is_some_and(|summary| !summary.is_empty());
            assert!(described, "{method} {path} has no summary");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            let open = ["/healthz", "/readyz"].contains(&path.as_str());
            assert_eq!(operation["security"].is_array(), !open, "{method} {path}");
        }
    }
}
