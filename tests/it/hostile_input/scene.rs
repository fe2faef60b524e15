//! A service with something to steal, and everything that operations need to find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::payloads::encoded;
use super::rules::is_file_path;
use super::wire::{Answer, Wire};
use crate::access::callers::Callers;
use crate::access::matrix::{Things, operations};

/// What stands in the files that nobody may get.
const TREASURE: &str = "nobody may read these words of the treasure";

/// Files with something to steal: in the data directory, and beside it.
#[derive(Debug, Clone)]
pub(super) struct Treasures {
    inside: PathBuf,
    beside: PathBuf,
}

pub(super) struct Scene {
    pub(super) callers: Callers,
    pub(super) document: Value,
    pub(super) operations: Vec<String>,
    pub(super) treasures: Treasures,
    /// Files of the data directory before anything hostile came.
    pub(super) known: BTreeSet<PathBuf>,
}

impl Treasures {
    /// The text with their places in the place of their names.
    pub(super) fn named_in(&self, text: &str) -> String {
        let of = |path: &Path| path.display().to_string();
        text.replace("{INSIDE}", &of(&self.inside)).replace("{BESIDE}", &of(&self.beside))
    }

    /// Beside the data directory.
    pub(super) fn beside(&self) -> &Path {
        &self.beside
    }
}

impl Scene {
    pub(super) async fn new() -> Self {
        // Nobody else is as quick.
        let callers = Callers::with("requests_per_second = 0").await;
        let data = callers.service.data_dir();
        let treasures = Treasures { inside: data.join("secret.txt"), beside: data.join("../secret.txt") };
        let beside = treasures.beside.parent().unwrap().canonicalize().unwrap().join("secret.txt");
        let treasures = Treasures { beside, ..treasures };
        for place in [&treasures.inside, &treasures.beside] {
            std::fs::write(place, TREASURE).unwrap();
        }
        let document = callers.service.anonymous(Method::GET, "/openapi.json").send().await.unwrap();
        let document: Value = document.json().await.unwrap();
        let operations = operations(&document);
        let known = super::aftermath::files_below(&data);
        Self { callers, document, operations, treasures, known }
    }

    /// A connection of its own.
    pub(super) fn wire(&self) -> Wire {
        Wire::to(self.callers.service.api.split("://").nth(1).unwrap())
    }

    /// The headers of the administrator, who may do everything that can be done.
    pub(super) fn credentials(&self) -> (String, String) {
        ("authorization".to_owned(), format!("Bearer {}", self.callers.service.token))
    }

    /// What the operation needs, with the body and the query that make it succeed.
    pub(super) fn request(&self, operation: &str, things: &Things) -> reqwest::Request {
        let (method, path) = operation.split_once(' ').unwrap();
        let request = self.callers.request("root", method.parse().unwrap(), path);
        crate::access::matrix::with_body(operation, things, "hostile", request).build().unwrap()
    }

    /// What is wrong with an answer to something hostile, if anything.
    pub(super) fn fault(&self, answer: &Answer, may_succeed: bool, without_body: bool) -> Option<String> {
        let text = answer.text();
        let whole = || format!("{} {text:.300}", answer.status);
        if text.contains(TREASURE) || text.contains("root:x:0:0") || text.contains("[extensions]") {
            return Some(format!("it gave out a file: {}", whole()));
        }
        if answer.header("x-injected").is_some() {
            return Some("a line of the request became a header of the answer".to_owned());
        }
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        match answer.status {
            200..400 if !may_succeed => return Some(format!("it succeeded: {}", whole())),
            200..400 => {
                let mut paths = Vec::new();
                if let Some(json) = &json {
                    paths_in(json, &mut paths);
                }
                let odd = paths.iter().find(|path| !is_file_path(path));
                return odd.map(|path| format!("it has a file {path:?}: {}", whole()));
            }
            400..500 => {}
            _ => return Some(whole()),
        }
        // What is no HTTP is refused before there is a request that could have an id.
        let is_bare = matches!(answer.status, 400 | 414 | 431) && answer.header("x-request-id").is_none();
        if is_bare && answer.body.is_empty() {
            return None;
        }
        if text.contains(&self.callers.service.key_arn) {
            return Some(format!("it names the key: {}", whole()));
        }
        let is_problem = answer.header("content-type") == Some("application/problem+json");
        let code = json.as_ref().and_then(|json| json["code"].as_str());
        if !is_problem || (code.is_none() && !without_body) {
            return Some(format!("it is no problem document: {}", whole()));
        }
        None
    }
}

/// The texts that a JSON document calls paths.
fn paths_in(json: &Value, paths: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(path) if name == "path" => paths.push(path.clone()),
                    value => paths_in(value, paths),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths_in(item, paths)),
        _ => {}
    }
}

/// How a message names what was sent.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&encoded(bytes, |byte| !byte.is_ascii_graphic())).into_owned()
}
