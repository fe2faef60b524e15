//! Legal hold: a version that nobody and no rule deletes.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::Reason;
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Numbered};
use crate::http::problem::{ApiError, Problem};
use crate::registry::Registry;

/// Why a version is held.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with reason")]
pub(crate) struct HoldRequest {
    /// 1 to 500 characters; shown with the version.
    reason: String,
}

/// Put a version on legal hold, also one in the trash: it is neither deleted nor purged.
///
/// A hold that is there gets the new reason.
#[utoipa::path(
    put,
    path = "/v1/models/{ns}/{name}/versions/{ref}/hold",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, and nothing else"),
    ),
    request_body = HoldRequest,
    responses(
        (status = 204),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `number_required`, `invalid_json`, `invalid_reason`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 410, body = Problem, description = "`version_deleted`: its purge has begun"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn hold_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Numbered { model, number }: Numbered,
    extract::Json(request): extract::Json<Option<HoldRequest>>,
) -> Result<StatusCode, ApiError> {
    let request = request.ok_or_else(|| ApiError::bad_request("invalid_json", "the body is `{\"reason\"}`"))?;
    let reason: Reason = request.reason.parse().map_err(|error| ApiError::bad_request("invalid_reason", error))?;
    registry.hold(&caller, &model, number, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a version off legal hold.
///
/// Repeating it changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/models/{ns}/{name}/versions/{ref}/hold",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, and nothing else"),
    ),
    responses(
        (status = 204),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `number_required`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 410, body = Problem, description = "`version_deleted`: its purge has begun"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn release_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Numbered { model, number }: Numbered,
) -> Result<StatusCode, ApiError> {
    registry.release(&caller, &model, number).await?;
    Ok(StatusCode::NO_CONTENT)
}
