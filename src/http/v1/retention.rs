//! Rules about which versions of a model are kept, and what they would do.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{KeptBecause, Retention};
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Model, Query};
use crate::http::page::{PageView, bounded_limit, cursor, read_cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{Foreseen, Registry};

/// Say which versions of a model are kept; the sweeper puts the others into the trash.
///
/// A version is kept when one of the rules keeps it. The highest one, those that an alias names and those on legal hold
/// are kept whatever the rules say.
#[utoipa::path(
    put,
    path = "/v1/models/{ns}/{name}/retention",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    request_body = Retention,
    responses(
        (status = 200, body = Retention),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_json`, `invalid_retention`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn put_retention(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    extract::Json(rules): extract::Json<Retention>,
) -> Result<Json<Retention>, ApiError> {
    Ok(Json(registry.set_retention(&caller, &model, rules).await?))
}

/// Get the retention rules of a model.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/retention",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    responses(
        (status = 200, body = Retention),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `retention_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_retention(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
) -> Result<Json<Retention>, ApiError> {
    Ok(Json(registry.retention(&caller, &model).await?))
}

/// Keep every version of a model again; what is in the trash stays there.
#[utoipa::path(
    delete,
    path = "/v1/models/{ns}/{name}/retention",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    responses(
        (status = 204),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn delete_retention(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
) -> Result<StatusCode, ApiError> {
    registry.remove_retention(&caller, &model).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which rules to try, and which page of what they would do.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewQuery {
    /// Try this instead of the model's own rules, alone or with `keep_days`.
    keep_last: Option<u32>,
    /// Try this instead of the model's own rules, alone or with `keep_last`.
    keep_days: Option<u32>,
    /// Items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

/// What the rules would do with a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForeseenView {
    /// Its number.
    #[schema(minimum = 1)]
    number: i64,
    /// When it was published, RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Whether it would go to the trash.
    goes: bool,
    /// Why it would stay: every reason.
    kept_because: Vec<KeptBecause>,
}

impl From<Foreseen> for ForeseenView {
    fn from(foreseen: Foreseen) -> Self {
        Self {
            number: foreseen.number.get(),
            created_at: foreseen.published_at.to_string(),
            goes: foreseen.kept_because.is_empty(),
            kept_because: foreseen.kept_because,
        }
    }
}

/// Say what retention rules would do now, and why what stays would stay; nothing is changed.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/retention/preview",
    tag = "models",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        PreviewQuery,
    ),
    responses(
        (status = 200, body = PageView<ForeseenView>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_query`, `invalid_retention`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `retention_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn preview_retention(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(query): Query<PreviewQuery>,
) -> Result<Json<PageView<ForeseenView>>, ApiError> {
    let PreviewQuery { keep_last, keep_days, limit, cursor: after } = query;
    let tried = (keep_last.is_some() || keep_days.is_some()).then_some(Retention { keep_last, keep_days });
    let (before, limit) = (after.as_deref().map(read_cursor).transpose()?, bounded_limit(limit)?);
    let page = registry.foresee_retention(&caller, &model, tried, before, limit).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Json(PageView { items: page.items.into_iter().map(ForeseenView::from).collect(), next_cursor }))
}
