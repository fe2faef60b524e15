//! Hostile names in queries, in JSON and in forms.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use percent_encoding::percent_decode;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::payloads::{encoded, forms, payloads, texts};
use super::rules::{is_alias, is_file_path};
use super::scene::{Scene, shown};
use crate::access::matrix::Things;

const AT_ONCE: usize = 4;

/// A way from the top of a JSON document to one of its texts.
type Way = Vec<Step>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    First,
}

fn operation<'a>(scene: &'a Scene, name: &str) -> &'a Value {
    let (method, path) = name.split_once(' ').unwrap();
    &scene.document["paths"][path][method.to_lowercase()]
}

/// The operations that have this, with what they need.
async fn with_things(scene: &Scene, has: impl Fn(&str) -> bool) -> Vec<(&String, Things)> {
    let mut all = Vec::new();
    for (number, name) in scene.operations.iter().enumerate().filter(|(_, name)| has(name)) {
        let mut things = Things::new(&scene.callers, number).await;
        if name.contains("{upload_id}") {
            things.prepare(&scene.callers, name).await;
        }
        all.push((name, things));
    }
    all
}

fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
}

/// The names of the parameters of an operation's query.
fn query_of(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// What a server takes for the value of a parameter of this query.
fn value_of<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    let query = query.split(|b| *b == b'#').next().unwrap();
    query.split(|b| *b == b'&').find_map(|pair| pair.strip_prefix(format!("{name}=").as_bytes()))
}

#[tokio::test]
async fn no_name_in_a_query_reaches_anything_outside_the_model() {
    let scene = Scene::new().await;
    let all = with_things(&scene, |name| !query_of(operation(&scene, name)).is_empty()).await;
    assert!(all.len() > 10, "{} operations have a query", all.len());
    let tried = futures::stream::iter(&all).map(async |(name, things)| {
        let mut wire = scene.wire();
        let mut faults = Vec::new();
        let method = name.split_once(' ').unwrap().0;
        for parameter in query_of(operation(&scene, name)) {
            for payload in payloads(&scene.treasures) {
                for form in forms(&payload) {
                    let query = [parameter.as_bytes(), b"=", &form].concat();
                    let target = [things.path(name).as_bytes(), b"?", &query].concat();
                    let answer = wire.ask(method, &target, &[scene.credentials()], b"bytes").await;
                    let value = value_of(&query, &parameter).unwrap_or_default();
                    let spaced: Vec<u8> = value.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
                    let value = percent_decode(&spaced).decode_utf8();
                    let may_succeed = match (parameter.as_str(), &value) {
                        ("path", Ok(value)) => is_file_path(value),
                        ("alias", Ok(value)) => is_alias(value),
                        (_, Err(_)) => false,
                        _ => true,
                    };
                    if let Some(fault) = scene.fault(&answer, may_succeed, method == "HEAD") {
                        faults.push(format!("{method} {}: {fault}", shown(&target)));
                    }
                }
            }
        }
        faults
    });
    let faults: Vec<Vec<String>> = tried.buffer_unordered(AT_ONCE).collect().await;
    report(faults.concat());
    scene.assert_nothing_lies_elsewhere().await;
}

/// The ways to every text that a schema has room for.
fn ways(document: &Value, schema: &Value, depth: usize) -> Vec<Way> {
    if depth > 8 {
        return Vec::new();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return ways(document, document.pointer(reference.trim_start_matches('#')).unwrap(), depth + 1);
    }
    let kinds: BTreeSet<&str> = match &schema["type"] {
        Value::String(kind) => BTreeSet::from([kind.as_str()]),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    };
    let mut all = Vec::new();
    if kinds.contains("string") {
        all.push(Vec::new());
    }
    let below = |step: Step, schema: &Value| {
        let ways = ways(document, schema, depth + 1).into_iter();
        ways.map(move |way| [vec![step.clone()], way].concat()).collect::<Vec<Way>>()
    };
    for choice in ["oneOf", "anyOf", "allOf"] {
        let choices = schema[choice].as_array().into_iter().flatten();
        all.extend(choices.flat_map(|schema| ways(document, schema, depth + 1)));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        all.extend(below(Step::Field(name.clone()), schema));
    }
    if kinds.contains("array") {
        all.extend(below(Step::First, &schema["items"]));
    }
    if kinds.contains("object") && schema.get("properties").is_none() {
        // Anything may stand in it.
        all.push(vec![Step::Field("any".to_owned())]);
    }
    all
}

/// Puts a text where the way leads, and makes the way where there is none.
fn put(value: &mut Value, way: &[Step], text: &str) {
    match way {
        [] => *value = json!(text),
        [Step::Field(name), rest @ ..] => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            put(&mut value[name], rest, text);
        }
        [Step::First, rest @ ..] => {
            if value.as_array().is_none_or(Vec::is_empty) {
                *value = json!([null]);
            }
            put(&mut value[0], rest, text);
        }
    }
}

fn json_of(operation: &Value) -> Option<&Value> {
    operation["requestBody"]["content"].get("application/json").map(|content| &content["schema"])
}

#[tokio::test]
async fn no_name_in_json_reaches_anything_outside_the_model() {
    let scene = Scene::new().await;
    let all = with_things(&scene, |name| json_of(operation(&scene, name)).is_some()).await;
    let tried = futures::stream::iter(all.into_iter().enumerate()).map(async |(number, (name, mut things))| {
        let mut wire = scene.wire();
        let (mut faults, mut places) = (Vec::new(), 0);
        let method = name.split_once(' ').unwrap().0;
        for way in ways(&scene.document, json_of(operation(&scene, name)).unwrap(), 0) {
            places += 1;
            let is_path = way.iter().any(|step| matches!(step, Step::Field(name) if name == "path" || name == "paths"));
            for (at, text) in texts(&scene.treasures).into_iter().enumerate() {
                let request = scene.request(name, &things);
                let whole = request.body().and_then(|body| body.as_bytes()).unwrap_or(b"{}");
                let mut body: Value = serde_json::from_slice(whole).unwrap();
                put(&mut body, &way, &text);
                let target = things.path(name).into_bytes();
                let json = ("content-type".to_owned(), "application/json".to_owned());
                let condition = ("if-match".to_owned(), "*".to_owned());
                let headers = [scene.credentials(), json, condition];
                let answer = wire.ask(method, &target, &headers, body.to_string().as_bytes()).await;
                if let Some(fault) = scene.fault(&answer, !is_path || is_file_path(&text), false) {
                    faults.push(format!("{name} {body}: {fault}"));
                }
                if answer.status < 300 && (name.ends_with("/publish") || name.ends_with("/complete")) {
                    // What was open is closed now.
                    things = Things::new(&scene.callers, 1000 * (number + 1) + 200 * places + at).await;
                    things.prepare(&scene.callers, name).await;
                }
            }
        }
        (places, faults)
    });
    let tried: Vec<(usize, Vec<String>)> = tried.buffer_unordered(AT_ONCE).collect().await;
    let places: usize = tried.iter().map(|(places, _)| places).sum();
    assert!(places > 30, "{places} places of JSON bodies were tried");
    report(tried.into_iter().flat_map(|(_, faults)| faults).collect());
    scene.assert_nothing_lies_elsewhere().await;
}

#[tokio::test]
async fn no_name_of_a_field_reaches_anything_outside_the_model() {
    let scene = Scene::new().await;
    let mut wire = scene.wire();
    let mut faults = Vec::new();
    for payload in payloads(&scene.treasures).into_iter().filter(|payload| !payload.contains(&b'\n')) {
        for form in forms(&payload) {
            // The name of the file on the client's machine is nobody's business.
            let head = b"--limit\r\nContent-Disposition: form-data; filename=\"";
            let quoted = encoded(&form, |byte| byte == b'"');
            let body = [&head[..], &quoted, b"\"; name=\"", &form, b"\"\r\n\r\nbytes\r\n--limit--\r\n"].concat();
            let kind = ("content-type".to_owned(), "multipart/form-data; boundary=limit".to_owned());
            let target = b"/v1/models/vision/forms/versions";
            let answer = wire.ask("POST", target, &[scene.credentials(), kind], &body).await;
            // Where a name has a quote, the rest of it is another parameter.
            let may_succeed = std::str::from_utf8(&form).is_ok_and(|name| is_file_path(name) || name.contains('"'));
            if let Some(fault) = scene.fault(&answer, may_succeed, false) {
                faults.push(format!("the field {}: {fault}", shown(&form)));
            }
        }
    }
    report(faults);
    scene.assert_nothing_lies_elsewhere().await;
}

/// The odd names that are names come back as they were sent, and nothing else does.
#[tokio::test]
async fn name_that_looks_like_a_way_out_is_a_name() {
    let scene = Scene::new().await;
    let service = &scene.callers.service;
    let names: BTreeSet<String> = texts(&scene.treasures).into_iter().filter(|text| is_file_path(text)).collect();
    let mut kept = 0;
    for (number, name) in names.iter().enumerate() {
        let content = format!("content of {name}");
        let version = service.published(&format!("vision/odd{number}"), name, content.as_bytes()).await;
        let path = version["files"][0]["path"].as_str().unwrap();
        let escaped = String::from_utf8(encoded(path.as_bytes(), |byte| !byte.is_ascii_alphanumeric())).unwrap();
        let at = format!("/v1/models/vision/odd{number}/versions/1/files/{escaped}?via=proxy");
        let answer = service.request(Method::GET, &at).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, content), "{name:?}");
        kept += 1;
    }
    assert!(kept > 30, "{kept} names were kept");
    scene.assert_nothing_lies_elsewhere().await;
}
