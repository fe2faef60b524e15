//! What browsers are told with every answer, and what they are not believed.
//!
//! Nothing here is for programs: they ignore the headers, and never say which page made them ask.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::ApiError;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers of the API are data: whatever a browser takes them for, it loads and runs nothing, and nobody frames it.
const OF_DATA: HeaderValue =
    HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");

/// As [`OF_DATA`], for bytes that somebody has stored: were they shown, they would have no origin either.
pub(super) const OF_FILES: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
);

/// The documentation is a page of ours: its own scripts and styles, its pictures (some within its styles), this API.
/// It sets styles of its elements by itself, which nobody else's text gets into.
const OF_DOCUMENTATION: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Refuses what a page of another site makes a browser send, and gives every answer the headers that keep it inert.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let policy = if path == "/docs" || path.starts_with("/docs/") { OF_DOCUMENTATION } else { OF_DATA };
    let mut response = if changes(request.method()) && is_of_another_site(&request) {
        let detail = "a browser sent this for a page of another site: what changes something is taken from pages of \
                      this service's own origin, and from programs";
        ApiError::new(StatusCode::FORBIDDEN, "cross_site_request", detail).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether a browser says that a page of another origin made it ask.
///
/// Browsers add the password that they remember for Basic to whatever any page makes them send, a form of another site
/// too. A Bearer token they never add by themselves: who sends one has it.
fn is_of_another_site(request: &Request) -> bool {
    let headers = request.headers();
    let bearer = text(headers, &header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if bearer {
        return false;
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        // `none`: the user typed it. `same-site` is another host or port, which may be somebody else's.
        return !matches!(text(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
    }
    // Browsers from before 2023 say only where the page came from.
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let host = text(headers, &header::HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    let origin = text(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, page)), Some(host)) => !page.eq_ignore_ascii_case(host),
        // `null`: a page without an origin.
        _ => true,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
