//! `POST …/versions`: one request, one version.

use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::versions::VersionView;
use crate::access::Caller;
use crate::domain::{AliasChange, Expected, ModelRef};
use crate::http::auth::Authenticated;
use crate::http::extract::{Key, Model, Query};
use crate::http::problem::{ApiError, Problem};
use crate::http::{RETRY_AFTER, body, digest};
use crate::registry::{IncomingStream, PublishWish, Published, Registry};

/// How the body is to be read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishQuery {
    /// Path of the file that a raw body is. Not with `multipart/form-data`, whose field names are the paths.
    path: Option<String>,
    /// An alias that is to name the version as soon as it is visible.
    alias: Option<String>,
}

/// A version that has its number and is not visible yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnderwayView {
    /// The number.
    #[schema(minimum = 1)]
    number: i64,
    /// `publishing`.
    state: &'static str,
}

/// A draft whose files are being verified, because the namespace demands it; it is published by asking again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifyingView {
    /// The draft.
    id: String,
    /// `verifying`.
    state: &'static str,
    /// Files whose digest is only the client's word yet.
    files_to_verify: u64,
}

/// Why a publication is answered before it is done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum AcceptedView {
    /// The version has its number.
    Underway(UnderwayView),
    /// Files are verified first.
    Verifying(VerifyingView),
}

/// Publish a version.
///
/// A raw body is one file, whose path is `?path=`.
/// `multipart/form-data` is several: the **name of each field is the path of its file**, and the field `metadata` is a
/// JSON object.
/// Field names are taken as they are sent: browsers and curl write a quote in a name as `%22`.
/// Bodies stream; nothing is visible before everything was checked, and on any error nothing is left.
/// `Repr-Digest: sha-256=:…:` on the request (raw body) or on a part (form) is checked.
#[utoipa::path(
    post,
    path = "/v1/models/{ns}/{name}/versions",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        PublishQuery,
        ("Repr-Digest" = Option<String>, Header, description = "SHA-256 of a raw body (RFC 9530)"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sending the same request again with the same key answers with the same version"),
    ),
    request_body(content(
        (String = "application/octet-stream"),
        (std::collections::BTreeMap<String, String> = "multipart/form-data"),
    )),
    responses(
        (status = 201, body = VersionView, headers(("Location" = String, description = "The version by its number"))),
        (status = 202, body = UnderwayView, description = "The version has its number and will be visible shortly"),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_file_path`, `path_conflict`, `path_required`, `no_files`, `invalid_query`, `invalid_metadata`, `malformed_body`, `body_incomplete`, `invalid_digest`, `invalid_idempotency_key`, `invalid_alias`"),
        (status = 401, body = Problem),
        (status = 408, body = Problem, description = "`body_timeout`"),
        (status = 409, body = Problem, description = "`alias_conflict`: the version is published, and the alias moved meanwhile; `idempotency_key_in_use`, `model_deleted`: restore it first"),
        (status = 413, body = Problem, description = "`file_too_large`, `too_many_files`, `namespace_full`"),
        (status = 422, body = Problem, description = "`digest_mismatch`, `idempotency_key_reused`"),
        (status = 502, body = Problem, description = "`storage_failed`, `storage_denied`"),
        (status = 503, body = Problem, description = "`writes_refused`, `versioning_pending`, `catalog_unavailable`, `upload_memory_busy`, `storage_unavailable`, `encryption_key_unusable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn publish_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(query): Query<PublishQuery>,
    Key(key): Key,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let aliases = match query.alias.as_deref() {
        Some(alias) => vec![wanted_alias(alias, Expected::Any)?],
        None => Vec::new(),
    };
    // A form is longer than its files: its size is no reason to refuse it.
    let size = body.size_hint().exact().filter(|_| query.path.is_some());
    let incoming = incoming(&query, &headers, body)?;
    let published = registry.publish(&caller, model.clone(), PublishWish { size, key, aliases }, incoming).await?;
    answer(&registry, &caller, &model, published).await
}

/// What is said of a publication: 201 with the version, or 202 with its number.
pub(super) async fn answer(
    registry: &Registry,
    caller: &Caller,
    model: &ModelRef,
    published: Published,
) -> Result<Response, ApiError> {
    Ok(match published {
        Published::Visible(version) => {
            let location = location(&version.model, version.number.get())?;
            let view = VersionView::new(registry, caller, *version).await?;
            (StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response()
        }
        Published::Underway(number) => {
            let location = location(model, number.get())?;
            let view = AcceptedView::Underway(UnderwayView { number: number.get(), state: "publishing" });
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response()
        }
        Published::Verifying { draft, files } => {
            let location = HeaderValue::from_str(&format!("/v1/drafts/{draft}"))
                .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
            let view = VerifyingView { id: draft.to_string(), state: "verifying", files_to_verify: files };
            let view = AcceptedView::Verifying(view);
            let headers =
                [(header::LOCATION, location), (header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()))];
            (StatusCode::ACCEPTED, headers, Json(view)).into_response()
        }
    })
}

/// An alias that is to name the version that is being published.
pub(super) fn wanted_alias(alias: &str, expected: Expected) -> Result<AliasChange, ApiError> {
    let alias = alias.parse().map_err(|error| ApiError::bad_request("invalid_alias", error))?;
    Ok(AliasChange { alias, to: None, expected, reason: String::new() })
}

fn location(model: &ModelRef, number: i64) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(&format!("/v1/models/{model}/versions/{number}"))
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))
}

fn incoming(query: &PublishQuery, headers: &HeaderMap, body: Body) -> Result<IncomingStream, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let stated = digest::stated_by_request(headers)?;
    let is_form = content_type.get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"));
    if is_form {
        if query.path.is_some() {
            let detail = "`path` is for a raw body; in a form the name of each field is the path of its file";
            return Err(ApiError::bad_request("invalid_query", detail));
        }
        if stated.is_some() {
            let detail = "in a form, Repr-Digest belongs to the part whose file it is about";
            return Err(ApiError::bad_request("invalid_digest", detail));
        }
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            ApiError::bad_request("malformed_body", "the Content-Type of the form has no valid boundary")
        })?;
        return Ok(body::form(body, boundary));
    }
    let path = query.path.as_deref().ok_or_else(|| {
        let detail = "say where the file lies in the version: `?path=model.safetensors`; or send several files as \
                      multipart/form-data";
        ApiError::bad_request("path_required", detail)
    })?;
    let path = path.parse().map_err(|error| ApiError::bad_request("invalid_file_path", error))?;
    Ok(body::raw(body, path, stated))
}
