//! Reading versions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::files::FileView;
use crate::access::Caller;
use crate::domain::Integrity;
use crate::http::auth::Authenticated;
use crate::http::extract::{Model, Query, Version};
use crate::http::page::{PageQuery, PageView, cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{Registry, VersionRow};

/// Files that a version's own answer lists.
const FIRST_FILES: usize = 100;

/// A version without its files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionSummary {
    /// Number within the model: 1, 2, 3 …, never reused.
    #[schema(minimum = 1)]
    number: i64,
    /// SHA-256 over paths, sizes and digests of all files: equal content, equal digest.
    #[schema(example = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    digest: String,
    /// `published`.
    state: &'static str,
    /// `verified` when the service computed every file's digest itself.
    integrity: Integrity,
    /// Files.
    file_count: u64,
    /// Bytes of all files.
    total_size: u64,
    /// What the publisher said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Who published it.
    created_by: String,
    /// Where loaders that speak S3 find all its files; null when the version shares files with others.
    s3_uri: Option<String>,
}

/// A version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// Namespace of the model.
    namespace: String,
    /// The model.
    name: String,
    #[serde(flatten)]
    summary: VersionSummary,
    /// The first 100 files by path; `…/files` has all.
    files: Vec<FileView>,
}

impl VersionSummary {
    fn new(registry: &Registry, version: &VersionRow) -> Self {
        Self {
            number: version.number.get(),
            digest: format!("sha256:{}", version.digest),
            state: "published",
            integrity: version.integrity,
            file_count: version.file_count,
            total_size: version.total_size,
            metadata: version.metadata.as_map().clone(),
            created_at: version.created_at.to_string(),
            created_by: version.created_by.clone(),
            s3_uri: registry.s3_uri(version),
        }
    }
}

impl VersionView {
    pub(super) async fn new(registry: &Registry, caller: &Caller, version: VersionRow) -> Result<Self, ApiError> {
        let files = registry.files(caller, &version, None, FIRST_FILES).await?;
        Ok(Self {
            summary: VersionSummary::new(registry, &version),
            namespace: version.model.namespace.into(),
            name: version.model.name.into(),
            files: files.items.into_iter().map(FileView::from).collect(),
        })
    }
}

/// List the versions of a model, newest first.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        PageQuery,
    ),
    responses(
        (status = 200, body = PageView<VersionSummary>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_versions(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageView<VersionSummary>>, ApiError> {
    let page = registry.versions(&caller, &model, page.after()?, page.limit()?).await?;
    Ok(Json(PageView {
        items: page.items.iter().map(|version| VersionSummary::new(&registry, version)).collect(),
        next_cursor: page.next.as_ref().map(cursor),
    }))
}

/// Get one version.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions/{ref}",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, `latest` or `sha256:<digest>`"),
    ),
    responses(
        (status = 200, body = VersionView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Version { model, version }: Version,
) -> Result<Json<VersionView>, ApiError> {
    let version = registry.version(&caller, &model, &version).await?;
    Ok(Json(VersionView::new(&registry, &caller, version).await?))
}
