//! Into the trash and out of it: versions by their number, and whole models.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::models::ModelView;
use super::versions::{Tagged, tagged};
use crate::domain::VersionState;
use crate::http::auth::Authenticated;
use crate::http::extract::{Model, Numbered};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{Deletion, Registry};

/// That something is in the trash.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletionView {
    /// Since when, RFC 3339, UTC.
    #[schema(format = "date-time")]
    deleted_at: String,
    /// Who deleted it.
    deleted_by: String,
    /// Until when it can be restored; then its bytes go.
    #[schema(format = "date-time")]
    purge_at: String,
}

impl From<&Deletion> for DeletionView {
    fn from(deletion: &Deletion) -> Self {
        Self {
            deleted_at: deletion.at.to_string(),
            deleted_by: deletion.by.clone(),
            purge_at: deletion.purge_at.to_string(),
        }
    }
}

/// A version that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedVersionView {
    /// Its number, which no other version ever gets.
    #[schema(minimum = 1)]
    number: i64,
    /// `trashed`, or `purging` when it cannot be restored any more.
    state: VersionState,
    #[serde(flatten)]
    deletion: DeletionView,
}

/// A model that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedModelView {
    /// Namespace of the model.
    namespace: String,
    /// The model.
    name: String,
    #[serde(flatten)]
    deletion: DeletionView,
}

/// Delete a version: it goes to the trash, and can be restored until its time there is over.
///
/// Repeating it changes nothing.
#[utoipa::path(
    delete,
    path = "/v1/models/{ns}/{name}/versions/{ref}",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, and nothing else"),
    ),
    responses(
        (status = 200, body = DeletedVersionView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `number_required`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`version_aliased`, `version_held`, `model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn delete_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Numbered { model, number }: Numbered,
) -> Result<Json<DeletedVersionView>, ApiError> {
    let (deletion, state) = registry.delete_version(&caller, &model, number).await?;
    Ok(Json(DeletedVersionView { number: number.get(), state, deletion: DeletionView::from(&deletion) }))
}

/// Take a version out of the trash.
///
/// Repeating it changes nothing.
#[utoipa::path(
    post,
    path = "/v1/models/{ns}/{name}/versions/{ref}/restore",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, and nothing else"),
    ),
    responses(
        (status = 200, body = super::versions::VersionView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `number_required`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`: restore that first"),
        (status = 410, body = Problem, description = "`version_deleted`: its purge has begun"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn restore_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Numbered { model, number }: Numbered,
) -> Result<Tagged, ApiError> {
    let version = registry.restore_version(&caller, &model, number).await?;
    tagged(&registry, &caller, version).await
}

/// Delete a model with all its versions: it goes to the trash, and can be restored until its time there is over.
///
/// Repeating it changes nothing. A new version of a purged model goes on after its last number.
#[utoipa::path(
    delete,
    path = "/v1/models/{ns}/{name}",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    responses(
        (status = 200, body = DeletedModelView),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 409, body = Problem, description = "`version_aliased`, `version_held`, `model_busy`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn delete_model(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
) -> Result<Json<DeletedModelView>, ApiError> {
    let deletion = registry.delete_model(&caller, &model).await?;
    let deletion = DeletionView::from(&deletion);
    Ok(Json(DeletedModelView { namespace: model.namespace.into(), name: model.name.into(), deletion }))
}

/// Take a model out of the trash, with the versions that were not deleted by themselves.
///
/// Repeating it changes nothing.
#[utoipa::path(
    post,
    path = "/v1/models/{ns}/{name}/restore",
    tag = "models",
    params(("ns" = String, Path, description = "Namespace"), ("name" = String, Path, description = "Model name")),
    responses(
        (status = 200, body = ModelView),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`: its time in the trash is over"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn restore_model(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
) -> Result<Json<ModelView>, ApiError> {
    registry.restore_model(&caller, &model).await?;
    Ok(Json(ModelView::from(registry.model(&caller, &model).await?)))
}
