//! The posture of the bucket, and overrides of its claims.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::Timestamp;
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Query};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{ClaimId, Override, Registry, Report};

/// How to answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostureQuery {
    /// Look at the bucket now, instead of telling what was seen last: at most one look every 5 seconds, for all who ask.
    #[serde(default)]
    #[param(default = false, required = false)]
    fresh: bool,
}

/// An override to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with claim, until and reason")]
pub(crate) struct OverrideRequest {
    /// A blocking claim.
    #[schema(value_type = ClaimId)]
    claim: String,
    /// When it ends by itself, at most 7 days ahead.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// Why, for the audit: 1 to 500 characters.
    reason: String,
}

/// Get every security claim about the bucket and its key: how it stands, what should be and what was seen.
#[utoipa::path(
    get,
    path = "/v1/posture",
    tag = "operations",
    params(PostureQuery),
    responses(
        (status = 200, body = Report),
        (status = 400, body = Problem, description = "`invalid_query`"),
        (status = 401, body = Problem),
        (status = 503, body = Problem),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn posture(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Query(PostureQuery { fresh }): Query<PostureQuery>,
) -> Result<Json<Report>, ApiError> {
    Ok(Json(registry.posture(&caller, fresh).await?))
}

/// Let writes pass in spite of a claim that does not hold, until a stated time.
///
/// An override of the same claim that is in force is replaced. It is written into the log.
#[utoipa::path(
    post,
    path = "/v1/posture/overrides",
    tag = "operations",
    request_body = OverrideRequest,
    responses(
        (status = 201, body = Override),
        (status = 400, body = Problem, description = "`invalid_json`, `unknown_claim`, `invalid_override`"),
        (status = 401, body = Problem),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn set_override(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    extract::Json(wish): extract::Json<Option<OverrideRequest>>,
) -> Result<(StatusCode, Json<Override>), ApiError> {
    let missing = || ApiError::bad_request("invalid_json", "the body is `{\"claim\", \"until\", \"reason\"}`");
    let OverrideRequest { claim, until, reason } = wish.ok_or_else(missing)?;
    let made = registry.set_override(&caller, claim_of(&claim)?, until, &reason).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// End the override of a claim before its time.
#[utoipa::path(
    delete,
    path = "/v1/posture/overrides/{claim}",
    tag = "operations",
    params(("claim" = ClaimId, Path, description = "The claim that counts again")),
    responses(
        (status = 204),
        (status = 400, body = Problem, description = "`unknown_claim`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`override_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn end_override(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    axum::extract::Path(claim): axum::extract::Path<String>,
) -> Result<StatusCode, ApiError> {
    registry.end_override(&caller, claim_of(&claim)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn claim_of(name: &str) -> Result<ClaimId, ApiError> {
    name.parse().map_err(|error| ApiError::bad_request("unknown_claim", format!("{error}; GET /v1/posture lists them")))
}
