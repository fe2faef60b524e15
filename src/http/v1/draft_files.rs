//! Files of a draft that go through the service, and publishing the draft.

use std::collections::HashSet;

use axum::Json as Answer;
use axum::body::{Body, HttpBody as _};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::aliases::stated;
use super::drafts::metadata;
use super::files::FileView;
use super::publish::{AcceptedView, answer, wanted_alias};
use super::versions::VersionView;
use crate::domain::Expected;
use crate::http::auth::Authenticated;
use crate::http::extract::{Draft, DraftFile, Json, Key};
use crate::http::problem::{ApiError, Problem};
use crate::http::{body, digest};
use crate::registry::{DraftPublication, Registry};

/// Put a file into a draft.
///
/// The body is the file; one with the same path is replaced when all bytes have arrived.
#[utoipa::path(
    put,
    path = "/v1/drafts/{id}/files/{path}",
    tag = "drafts",
    params(
        ("id" = String, Path, description = "The draft"),
        ("path" = String, Path, description = "Path of the file; its slashes stand as they are"),
        ("Repr-Digest" = Option<String>, Header, description = "SHA-256 of the body (RFC 9530)"),
    ),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = FileView),
        (status = 400, body = Problem, description = "`invalid_file_path`, `path_conflict`, `invalid_digest`, `body_incomplete`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
        (status = 408, body = Problem, description = "`body_timeout`"),
        (status = 409, body = Problem, description = "`draft_changing`, `model_deleted`"),
        (status = 413, body = Problem, description = "`file_too_large`, `too_many_files`, `namespace_full`"),
        (status = 422, body = Problem, description = "`digest_mismatch`"),
        (status = 502, body = Problem, description = "`storage_failed`, `storage_denied`"),
        (status = 503, body = Problem, description = "`writes_refused`, `upload_memory_busy`, `storage_unavailable`, `encryption_key_unusable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn put_file(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    DraftFile { draft, path }: DraftFile,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<FileView>, ApiError> {
    let stated = digest::stated_by_request(&headers)?;
    let size = body.size_hint().exact();
    let incoming = body::raw(body, path.clone(), stated);
    let file = registry.put_draft_file(&caller, draft, path, size, incoming).await?;
    Ok(Answer(file.into()))
}

/// Take a file out of a draft.
#[utoipa::path(
    delete,
    path = "/v1/drafts/{id}/files/{path}",
    tag = "drafts",
    params(
        ("id" = String, Path, description = "The draft"),
        ("path" = String, Path, description = "Path of the file; its slashes stand as they are"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`, `file_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn remove_file(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    DraftFile { draft, path }: DraftFile,
) -> Result<StatusCode, ApiError> {
    registry.remove_draft_file(&caller, draft, &path).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Most aliases that one publication moves.
const MAX_ALIASES: usize = 100;

/// How a draft is published.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// What is said of the version, instead of what the draft says.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Aliases that are to name the version as soon as it is visible, at most 100.
    #[serde(default)]
    aliases: Vec<WantedAlias>,
}

/// An alias that is to name the version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedAlias {
    /// Its name.
    name: String,
    /// The version that it must name before: left out, it may name any or be new; null, it must be new.
    #[serde(default, deserialize_with = "stated")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    expected: Expected,
}

/// Publish a draft.
///
/// Its files are frozen into the model's next version.
/// Repeating it is harmless: it answers with the same version.
#[utoipa::path(
    post,
    path = "/v1/drafts/{id}/publish",
    tag = "drafts",
    params(
        ("id" = String, Path, description = "The draft"),
        ("Idempotency-Key" = Option<String>, Header, description = "Another request with the same key is refused"),
    ),
    request_body = PublishRequest,
    responses(
        (status = 201, body = VersionView, headers(("Location" = String, description = "The version by its number"))),
        (status = 202, body = AcceptedView, description = "`publishing`: the version has its number and will be visible shortly. `verifying`: the namespace demands that files are verified first, and the service reads them now; publish again after `Retry-After`", headers(("Location" = String, description = "The version, or the draft"), ("Retry-After" = u64, description = "Seconds, when files are verified first"))),
        (status = 400, body = Problem, description = "`no_files`, `invalid_json`, `invalid_metadata`, `invalid_alias`, `invalid_batch`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
        (status = 409, body = Problem, description = "`uploads_unfinished`, `digest_mismatch`, `draft_changing`, `model_deleted`"),
        (status = 422, body = Problem, description = "`idempotency_key_reused`, `invalid_json`"),
        (status = 503, body = Problem, description = "`writes_refused`, `catalog_unavailable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn publish_draft(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Draft(id): Draft,
    Key(key): Key,
    Json(request): Json<PublishRequest>,
) -> Result<Response, ApiError> {
    if request.aliases.len() > MAX_ALIASES {
        return Err(ApiError::bad_request("invalid_batch", format!("`aliases` has at most {MAX_ALIASES} items")));
    }
    let alias = |wanted: WantedAlias| wanted_alias(&wanted.name, wanted.expected);
    let mut names = HashSet::new();
    if let Some(twice) = request.aliases.iter().find(|wanted| !names.insert(&wanted.name)) {
        return Err(ApiError::bad_request("invalid_batch", format!("`aliases` names `{}` twice", twice.name)));
    }
    let wish = DraftPublication {
        metadata: request.metadata.map(metadata).transpose()?,
        aliases: request.aliases.into_iter().map(alias).collect::<Result<_, _>>()?,
    };
    let (model, published) = registry.publish_client_draft(&caller, id, wish, key).await?;
    answer(&registry, &caller, &model, published).await
}
