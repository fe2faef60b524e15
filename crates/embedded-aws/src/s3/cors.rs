//! What browsers are told about a bucket: preflight requests, and `Access-Control-*` on answers to other web pages.
//!
//! Neither grants anything: the access check decides over every request, wherever it comes from.

use super::{Store, error};
use crate::meta::{MetaError, lookup};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header},
};
use s3s::{S3Result, dto::CORSRule};

/// A request that names the page it comes from.
#[derive(Debug)]
pub(super) struct CrossOrigin {
    bucket: String,
    origin: String,
    method: String,
}

/// What one rule lets one origin do.
#[derive(Debug, PartialEq)]
struct Grant<'r> {
    rule: &'r CORSRule,
    /// The origin itself, or `*` when the rule is for everyone.
    origin: &'r str,
}

impl CrossOrigin {
    /// `None` when the request has no `Origin`.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let origin = text(request.headers(), &header::ORIGIN)?.to_owned();
        Some(Self { bucket: bucket(request), origin, method: request.method().as_str().to_owned() })
    }

    /// Adds what the bucket's rules say to the answer, whatever it is; without a rule that fits, nothing.
    pub(super) fn tell(&self, store: &Store, answer: &mut HeaderMap) {
        let rules = match rules(store, &self.bucket) {
            Ok(rules) => rules,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "CORS rules cannot be read");
                return;
            }
        };
        if let Some(grant) = grant(&rules, &self.origin, &self.method, &[]) {
            grant.write(answer);
        }
    }
}

/// Answers `OPTIONS`: 200 with what is allowed, 403 when no rule fits.
pub(super) fn preflight<B>(store: &Store, request: &Request<B>) -> S3Result<Response<Body>> {
    let headers = request.headers();
    let insufficient = || error::custom("BadRequest", 400, "Insufficient information. Origin request header needed.");
    let origin = text(headers, &header::ORIGIN).ok_or_else(insufficient)?;
    let method = text(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)
        .ok_or_else(|| error::custom("BadRequest", 400, "Invalid Access-Control-Request-Method: null"))?;
    let wanted = text(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let rules = rules(store, &bucket(request))?;
    if rules.is_empty() {
        return Err(error::custom("AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket."));
    }
    let grant = grant(&rules, origin, method, &wanted).ok_or_else(|| {
        error::custom(
            "AccessForbidden",
            403,
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
             method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
             resource's CORS spec.",
        )
    })?;
    let mut response = Response::new(Body::empty());
    grant.write(response.headers_mut());
    insert(response.headers_mut(), header::ACCESS_CONTROL_ALLOW_HEADERS, &wanted.join(", "));
    Ok(response)
}

impl Grant<'_> {
    fn write(&self, headers: &mut HeaderMap) {
        insert(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        insert(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &self.rule.allowed_methods.join(", "));
        if let Some(exposed) = &self.rule.expose_headers {
            insert(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &exposed.join(", "));
        }
        if let Some(seconds) = self.rule.max_age_seconds {
            insert(headers, header::ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
        }
        if self.origin != "*" {
            insert(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        insert(headers, header::VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
    }
}

/// The first rule that fits, as S3 takes them in order.
fn grant<'r>(rules: &'r [CORSRule], origin: &'r str, method: &str, headers: &[&str]) -> Option<Grant<'r>> {
    rules.iter().find_map(|rule| {
        let allowed = rule.allowed_origins.iter().find(|pattern| matches(pattern, origin))?;
        let fits = rule.allowed_methods.iter().any(|allowed| allowed == method)
            && headers.iter().all(|name| {
                let name = name.to_ascii_lowercase();
                rule.allowed_headers.iter().flatten().any(|pattern| matches(&pattern.to_ascii_lowercase(), &name))
            });
        let origin = if allowed == "*" { "*" } else { origin };
        fits.then_some(Grant { rule, origin })
    })
}

/// Compares with a pattern of at most one `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
    }
}

/// The rules of a bucket; none when it has none or does not exist.
fn rules(store: &Store, bucket: &str) -> Result<Vec<CORSRule>, MetaError> {
    let snapshot = store.inner.meta.read()?;
    let Some(record) = lookup::bucket(&snapshot.buckets, bucket)? else { return Ok(Vec::new()) };
    match lookup::settings(&snapshot.settings, record.id)?.cors {
        Some(json) => Ok(serde_json::from_str(&json)?),
        None => Ok(Vec::new()),
    }
}

/// The first segment of the path: names of buckets need no decoding.
fn bucket<B>(request: &Request<B>) -> String {
    request.uri().path().split('/').nth(1).unwrap_or_default().to_owned()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Sets a header; what cannot stand in one, and what is empty, is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, methods: &[&str], headers: &[&str]) -> CORSRule {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        CORSRule {
            allowed_headers: Some(owned(headers)),
            allowed_methods: owned(methods),
            allowed_origins: vec![origin.to_owned()],
            expose_headers: None,
            id: None,
            max_age_seconds: None,
        }
    }

    #[test]
    fn first_rule_that_fits_in_all_three_decides() {
        let rules = [
            rule("https://a.example", &["GET"], &["x-amz-*"]),
            rule("https://*.example", &["PUT"], &[]),
            rule("*", &["HEAD"], &["*"]),
        ];
        let granted = |origin, method, headers: &[&str]| {
            grant(&rules, origin, method, headers).map(|grant| grant.origin.to_owned())
        };
        assert_eq!(granted("https://a.example", "GET", &["X-Amz-Date"]).as_deref(), Some("https://a.example"));
        assert_eq!(granted("https://a.example", "GET", &["x-amz-date", "range"]), None);
        assert_eq!(granted("https://b.example", "GET", &[]), None);
        assert_eq!(granted("https://b.example", "PUT", &[]).as_deref(), Some("https://b.example"));
        assert_eq!(granted("https://elsewhere", "HEAD", &["range"]).as_deref(), Some("*"));
    }

    #[test]
    fn one_star_stands_for_any_text() {
        assert!(matches("https://*.example", "https://a.b.example"));
        assert!(!matches("https://*.example", "https://.exampl"));
        assert!(!matches("ab*ba", "aba"), "the two ends do not overlap");
        assert!(matches("*", ""));
        assert!(!matches("https://a.example", "https://A.example"));
    }
}
