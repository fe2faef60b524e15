//! awsJson1_1 over HTTP: one route, signed requests, JSON both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Kms, KmsError};
use crate::identity::{Identities, Identity};
use crate::sigv4::{self, Scope, SigV4Error, SignedRequest};

/// Largest request body in bytes.
const MAX_BODY: usize = 1024 * 1024;

const TARGET: &str = "x-amz-target";
const SERVICE: &str = "TrentService.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Whether a request is for KMS: every request of its protocol names an operation in a header, none of S3 does.
pub(crate) fn is_for_kms(headers: &HeaderMap) -> bool {
    headers.get(TARGET).is_some_and(|target| target.as_bytes().starts_with(SERVICE.as_bytes()))
}

/// Reads the body of a request within `limit`, or gives the answer to one that is too long or too slow.
pub(crate) async fn read_body(body: Body, limit: Duration) -> Result<Bytes, Response> {
    match tokio::time::timeout(limit, axum::body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(error_response(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            "the request is cut off or has more than 1 MiB",
        )),
        Err(_) => Err(error_response(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeoutException",
            "the request did not arrive in time",
        )),
    }
}

/// Answers one request: signature, then permission, then the operation, on a thread that may wait for the disk.
pub(crate) async fn handle(
    kms: Kms,
    identities: &Identities,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    if method != Method::POST || uri.path() != "/" || uri.query().is_some() {
        let operation = format!("{method} {}", uri.path());
        return answer(Err(KmsError::UnknownOperation(operation)));
    }
    let identity = match authenticate(&kms, identities, headers, &body) {
        Ok(identity) => identity,
        Err(error) => return signature_response(&error),
    };
    let mut targets = headers.get_all(TARGET).iter();
    let target = targets.next().and_then(|target| target.to_str().ok()).filter(|_| targets.next().is_none());
    let Some(operation) = target.and_then(|target| target.strip_prefix(SERVICE)).map(str::to_owned) else {
        return answer(Err(KmsError::UnknownOperation("the named target".to_owned())));
    };
    let work = tokio::task::spawn_blocking(move || kms.call(&identity, &operation, &body));
    match work.await {
        Ok(result) => answer(result),
        Err(failed) => answer(Err(KmsError::internal(failed))),
    }
}

fn authenticate(
    kms: &Kms,
    identities: &Identities,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Arc<Identity>, SigV4Error> {
    let region = kms.region();
    let request = SignedRequest { method: "POST", path: "/", headers, body };
    let scope = Scope { region: &region, service: "kms", now: OffsetDateTime::now_utc() };
    sigv4::verify(&request, scope, |access_key| {
        let identity = identities.get(access_key)?;
        let secret = Zeroizing::new(identity.secret_key().to_owned());
        Some((identity, secret))
    })
}

fn answer(result: Result<Value, KmsError>) -> Response {
    match result {
        // Operations without a result have an empty body, as on AWS.
        Ok(Value::Null) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], Bytes::new()).into_response(),
        Ok(value) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], value.to_string()).into_response(),
        Err(error) if error.is_internal() => {
            tracing::error!(error = &error as &dyn std::error::Error, "KMS request failed");
            error_response(StatusCode::INTERNAL_SERVER_ERROR, error.code(), &error.to_string())
        }
        Err(error) => error_response(StatusCode::BAD_REQUEST, error.code(), &error.to_string()),
    }
}

fn signature_response(error: &SigV4Error) -> Response {
    let code = match error {
        SigV4Error::Missing => "MissingAuthenticationTokenException",
        SigV4Error::Incomplete(_) => "IncompleteSignatureException",
        SigV4Error::UnknownAccessKey => "UnrecognizedClientException",
        SigV4Error::Invalid(_) => "InvalidSignatureException",
    };
    error_response(StatusCode::BAD_REQUEST, code, &error.to_string())
}

fn error_response(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "__type": code, "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}
