//! Hostile names in the place of every parameter of every path, and as whole targets.

use futures::StreamExt as _;

use super::payloads::{forms, payloads};
use super::rules::is_legitimate;
use super::scene::{Scene, shown};
use crate::access::matrix::Things;

/// Requests at once: enough to keep the service busy, on a machine that others use too.
const AT_ONCE: usize = 4;

/// Stands in a path for what is hostile.
const PLACE: &str = "HOSTILE";

/// The names of the parameters of an operation's path.
fn parameters(operation: &str) -> Vec<&str> {
    operation.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
}

/// Sends the table in the place of one parameter; gives what was wrong.
async fn try_parameter(scene: &Scene, operation: &str, parameter: &str, things: &Things) -> Vec<String> {
    let method = operation.split_once(' ').unwrap().0;
    let place = things.path(&operation.replace(&format!("{{{parameter}}}"), PLACE));
    let (before, after) = place.split_once(PLACE).unwrap();
    let request = scene.request(operation, things);
    let query = request.url().query().map(|query| format!("?{query}")).unwrap_or_default();
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers: Vec<_> = headers.collect();
    let mut wire = scene.wire();
    let mut faults = Vec::new();
    for payload in payloads(&scene.treasures) {
        for form in forms(&payload) {
            let target = [before.as_bytes(), &form, after.as_bytes(), query.as_bytes()].concat();
            let answer = wire.ask(method, &target, &headers, &body).await;
            let may_succeed = is_legitimate(&scene.operations, method, &target);
            if let Some(fault) = scene.fault(&answer, may_succeed, method == "HEAD") {
                faults.push(format!("{operation}, {parameter}: {method} {}: {fault}", shown(&target)));
            }
        }
    }
    faults
}

#[tokio::test]
async fn no_name_in_a_path_reaches_anything_outside_the_model() {
    let scene = Scene::new().await;
    let operations: Vec<(usize, &String)> = scene.operations.iter().enumerate().collect();
    let tried = futures::stream::iter(operations).map(async |(number, operation)| {
        let mut faults = Vec::new();
        let parameters = parameters(operation);
        if !parameters.is_empty() {
            // What exists is what could be reached in a wrong way.
            let mut things = Things::new(&scene.callers, number).await;
            if operation.contains("{upload_id}") {
                things.prepare(&scene.callers, operation).await;
            }
            for parameter in &parameters {
                faults.extend(try_parameter(&scene, operation, parameter, &things).await);
            }
        }
        (parameters.len(), faults)
    });
    let tried: Vec<(usize, Vec<String>)> = tried.buffer_unordered(AT_ONCE).collect().await;
    let count: usize = tried.iter().map(|(count, _)| count).sum();
    assert!(count > 90, "{count} parameters were tried");
    let faults: Vec<String> = tried.into_iter().flat_map(|(_, faults)| faults).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
    scene.assert_nothing_lies_elsewhere().await;
}

#[tokio::test]
async fn no_target_of_a_request_reaches_a_file() {
    let scene = Scene::new().await;
    let address = scene.callers.service.api.split("://").nth(1).unwrap().to_owned();
    let places = ["", "/", "/v1/", "/v1/models/", "/docs/", "/docs/../", "/openapi.json/", "/healthz/../"];
    let places = places.map(str::to_owned).into_iter().chain([format!("http://{address}/"), format!("{address}/")]);
    let mut wire = scene.wire();
    let mut faults = Vec::new();
    for place in places {
        for payload in payloads(&scene.treasures) {
            for form in forms(&payload) {
                for method in ["GET", "PUT", "DELETE"] {
                    let target = [place.as_bytes(), &form].concat();
                    let answer = wire.ask(method, &target, &[scene.credentials()], b"").await;
                    // The pages of the documentation are what is served below it: `?` and `#` lead to the first.
                    let path = target.strip_prefix(format!("http://{address}").as_bytes()).unwrap_or(&target);
                    let end = path.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(path.len());
                    let is_page = method == "GET" && matches!(&path[..end], b"/docs/" | b"/docs");
                    let may_succeed = is_page || is_legitimate(&scene.operations, method, path);
                    if let Some(fault) = scene.fault(&answer, may_succeed, false) {
                        faults.push(format!("{method} {}: {fault}", shown(&target)));
                    }
                }
            }
        }
    }
    for line in ["OPTIONS *", "CONNECT 127.0.0.1:1", "TRACE /", "GET ", "get /v1/whoami", "PRI *"] {
        let (method, target) = line.split_once(' ').unwrap();
        let answer = wire.ask(method, target.as_bytes(), &[scene.credentials()], b"").await;
        faults.extend(scene.fault(&answer, false, false).map(|fault| format!("{line}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(40)].join("\n"));
    scene.assert_nothing_lies_elsewhere().await;
}
