//! Models: listed, read, described.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{Description, Labels, Namespace, Retention, VersionNumber};
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Model, Query};
use crate::http::page::{PageView, bounded_limit};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{ModelRow, Registry, SaidOfModel};

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// Namespace of the model.
    namespace: String,
    /// The model.
    name: String,
    /// What is said of it.
    description: String,
    /// The highest published version; null when all are in the trash.
    latest: Option<i64>,
    /// Published versions.
    version_count: u64,
    /// RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Which versions are kept; null: all.
    retention: Option<Retention>,
    /// For policies and for people.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    labels: Labels,
}

impl From<ModelRow> for ModelView {
    fn from(row: ModelRow) -> Self {
        Self {
            namespace: row.model.namespace.into(),
            name: row.model.name.into(),
            description: row.description,
            latest: row.latest.map(VersionNumber::get),
            version_count: row.version_count,
            created_at: row.created_at.to_string(),
            retention: row.retention,
            labels: row.labels,
        }
    }
}

/// Which models, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelsQuery {
    /// Only models of this namespace.
    namespace: Option<String>,
    /// Items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

/// List models by namespace and name, in any case of their letters.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "models",
    params(ModelsQuery),
    responses(
        (status = 200, body = PageView<ModelView>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_query`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_models(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ModelsQuery>,
) -> Result<Json<PageView<ModelView>>, ApiError> {
    let invalid = |error| ApiError::bad_request("invalid_name", error);
    let namespace: Option<Namespace> = query.namespace.as_deref().map(str::parse).transpose().map_err(invalid)?;
    let limit = bounded_limit(query.limit)?;
    let page = registry.models(&caller, namespace.as_ref(), query.cursor.as_deref(), limit).await?;
    Ok(Json(PageView { items: page.items.into_iter().map(ModelView::from).collect(), next_cursor: page.next }))
}

/// Get one model.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    responses(
        (status = 200, body = ModelView),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_model(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
) -> Result<Json<ModelView>, ApiError> {
    Ok(Json(ModelView::from(registry.model(&caller, &model).await?)))
}

/// What to say of a model.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, expecting = "an object with description, labels or both")]
pub(crate) struct ModelPatch {
    /// All of it, at most 16 KiB; empty takes it away.
    description: Option<String>,
    /// All of them, at most 64: names of at most 63 bytes of `A-Z a-z 0-9 . _ - /`, values of at most 255 bytes.
    labels: Option<BTreeMap<String, String>>,
}

/// Change what is said of a model.
///
/// Its description needs the role writer; its labels, by which policies may decide, the role admin.
#[utoipa::path(
    patch,
    path = "/v1/models/{ns}/{name}",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    request_body = ModelPatch,
    responses(
        (status = 200, body = ModelView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_json`, `invalid_description`, `invalid_labels`, `nothing_to_change`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn patch_model(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    extract::Json(ModelPatch { description, labels }): extract::Json<ModelPatch>,
) -> Result<Json<ModelView>, ApiError> {
    if description.is_none() && labels.is_none() {
        return Err(ApiError::bad_request("nothing_to_change", "the body says neither `description` nor `labels`"));
    }
    let description = description.map(|text| text.parse::<Description>()).transpose();
    let labels = labels.map(Labels::try_from).transpose();
    let said = SaidOfModel {
        description: description.map_err(|error| ApiError::bad_request("invalid_description", error))?,
        labels: labels.map_err(|error| ApiError::bad_request("invalid_labels", error))?,
    };
    Ok(Json(ModelView::from(registry.describe_model(&caller, &model, &said).await?)))
}
