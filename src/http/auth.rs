//! The door: who presents no valid token gets no further, whatever the route.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client_address::ClientAddress;
use super::problem::ApiError;
use super::request_log::RequestId;
use crate::access::Caller;
use crate::domain::Origin;
use crate::registry::Registry;

/// The only paths that need no caller, and those below `/docs/`.
pub(super) const OPEN: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/docs"];

/// Puts the [`Caller`] of a valid token into the request; answers 401 otherwise.
pub(super) async fn require_caller(State(registry): State<Registry>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) || path.starts_with("/docs/") {
        return next.run(request).await;
    }
    let Some(presented) = presented(request.headers()) else {
        return unauthorized("present an API token: `Authorization: Bearer <token>`").into_response();
    };
    let origin = origin(&request);
    match registry.authenticate(&presented, origin).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => unauthorized("the token is not valid").into_response(),
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// Where the request came from.
fn origin(request: &Request) -> Origin {
    let address = request.extensions().get::<ClientAddress>().map(|client| client.0);
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    Origin { address, request_id }
}

/// The token of a Bearer header, or the password of a Basic one.
fn presented(headers: &HeaderMap) -> Option<String> {
    let mut sent = headers.get_all(header::AUTHORIZATION).into_iter();
    let one = sent.next()?;
    if sent.next().is_some() {
        // A proxy may have looked at the other one.
        return None;
    }
    let (scheme, rest) = one.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return decoded.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

fn unauthorized(detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer, Basic realm=\"strongroom\""))
}

/// The caller whom [`require_caller`] let in.
#[derive(Debug)]
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| unauthorized("the route needs a caller"))
    }
}
