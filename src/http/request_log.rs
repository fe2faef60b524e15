//! The outermost layer: names each request, logs it once, and gives every error its document.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use ulid::Ulid;

use super::client_address::Proxies;
use super::lingering::Lingering;
use super::problem::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a proxy that is taken over.
const MAX_ID: usize = 64;

/// The id of the request, for whoever tells of it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

pub(super) async fn name_and_log(State(proxies): State<Arc<Proxies>>, mut request: Request, next: Next) -> Response {
    // As with addresses: anybody could write another request's id, and it stands in the audit log.
    let given = if proxies.trusts_peer_of(&request) { given_id(&request) } else { None };
    let id = given.unwrap_or_else(|| Ulid::generate().to_string());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    // The route, not the path: a path may hold what somebody pasted into it, and makes a bad field to group by.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let client = proxies.client(&request);
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let client = client.map_or_else(|| "-".to_owned(), |client| client.0.to_string());
    let started = Instant::now();
    let waits = request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| Body::new(Lingering::new(body, waits)));
    let response = next.run(request).await;
    let error = response.extensions().get::<ApiError>().cloned();
    let error = error.or_else(|| bare_error(&response));
    let mut response = match &error {
        Some(error) => {
            let mut rendered = error.render(&id);
            for (name, value) in response.headers() {
                if !rendered.headers().contains_key(name) && name != "content-length" {
                    rendered.headers_mut().insert(name.clone(), value.clone());
                }
            }
            rendered
        }
        None => response,
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let route = route.as_deref().unwrap_or("-");
    let code = error.as_ref().map(|error| error.code);
    match error.as_ref().and_then(|error| error.cause.as_deref()) {
        Some(cause) => {
            let cause = chain(cause);
            tracing::error!(request.id = %id, client, %method, route, status, code, duration_ms, cause, "answered");
        }
        None if response.status().is_server_error() => {
            tracing::warn!(request.id = %id, client, %method, route, status, code, duration_ms, "answered");
        }
        None => tracing::info!(request.id = %id, client, %method, route, status, code, duration_ms, "answered"),
    }
    response
}

/// The id that a proxy gave the request, if it can stand in a log line.
fn given_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    (!id.is_empty() && id.len() <= MAX_ID && id.bytes().all(plain)).then(|| id.to_owned())
}

/// An error answer that no handler of ours made.
fn bare_error(response: &Response) -> Option<ApiError> {
    let status = response.status();
    (status.is_client_error() || status.is_server_error()).then(|| ApiError::of_status(status))
}

/// The cause and its causes, outermost first.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
