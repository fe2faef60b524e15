//! Reading versions.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::files::FileView;
use super::trash::DeletionView;
use crate::access::Caller;
use crate::domain::{Alias, Integrity, VersionState};
use crate::http::auth::Authenticated;
use crate::http::extract::{Model, Query, Version};
use crate::http::page::{PageView, bounded_limit, cursor, read_cursor};
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
    /// `published`; in a list of the trash `trashed`, or `purging` when it cannot be restored any more.
    state: VersionState,
    /// `verified` when the service computed every file's digest itself; `declared` while the digest of a file is only
    /// its client's word; `wrong` when the version is quarantined.
    integrity: Integrity,
    /// Why its bytes are not given out; null when they are.
    quarantine: Option<String>,
    /// Files.
    file_count: u64,
    /// Bytes of all files.
    total_size: u64,
    /// What the publisher said of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Names of the aliases that name it, sorted.
    aliases: Vec<String>,
    /// What is said of it, beside the metadata.
    description: String,
    /// Counts the changes of metadata and description; the `ETag` of the version holds it.
    revision: i64,
    /// Why it is on legal hold: it is not deleted then. Null when it is not.
    hold: Option<String>,
    /// RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Who published it.
    created_by: String,
    /// When it went to the trash; only there.
    #[serde(flatten)]
    deletion: Option<DeletionView>,
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
    fn new(registry: &Registry, version: &VersionRow, aliases: Vec<Alias>) -> Self {
        Self {
            number: version.number.get(),
            digest: format!("sha256:{}", version.digest),
            state: version.state,
            integrity: version.integrity,
            quarantine: version.quarantine.clone(),
            file_count: version.file_count,
            total_size: version.total_size,
            metadata: version.metadata.as_map().clone(),
            aliases: aliases.into_iter().map(String::from).collect(),
            description: version.description.clone(),
            revision: version.revision,
            hold: version.hold.clone(),
            created_at: version.created_at.to_string(),
            created_by: version.created_by.clone(),
            deletion: version.deletion.as_ref().map(DeletionView::from),
            s3_uri: registry.s3_uri(version),
        }
    }
}

impl VersionView {
    pub(super) async fn new(registry: &Registry, caller: &Caller, version: VersionRow) -> Result<Self, ApiError> {
        let files = registry.files(caller, &version, None, FIRST_FILES).await?;
        let mut aliases = registry.aliases_of(caller, std::slice::from_ref(&version)).await?;
        let aliases = aliases.remove(&version.id).unwrap_or_default();
        Ok(Self {
            summary: VersionSummary::new(registry, &version, aliases),
            namespace: version.model.namespace.into(),
            name: version.model.name.into(),
            files: files.items.into_iter().map(FileView::from).collect(),
        })
    }
}

/// Which versions, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionsQuery {
    /// `published`, which is meant unless asked otherwise, or `trashed`: who deleted it, when, and until when it can be
    /// restored.
    state: Option<Listed>,
    /// Items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

/// Which versions are listed.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listed {
    /// Those that can be read.
    Published,
    /// Those in the trash.
    Trashed,
}

/// List the versions of a model, newest first.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        VersionsQuery,
    ),
    responses(
        (status = 200, body = PageView<VersionSummary>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_query`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_versions(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(VersionsQuery { state, limit, cursor: after }): Query<VersionsQuery>,
) -> Result<Json<PageView<VersionSummary>>, ApiError> {
    let (before, limit) = (after.as_deref().map(read_cursor).transpose()?, bounded_limit(limit)?);
    let page = match state {
        None | Some(Listed::Published) => registry.versions(&caller, &model, before, limit).await?,
        Some(Listed::Trashed) => registry.trash(&caller, &model, before, limit).await?,
    };
    let mut aliases = registry.aliases_of(&caller, &page.items).await?;
    let summary =
        |version: &VersionRow| VersionSummary::new(&registry, version, aliases.remove(&version.id).unwrap_or_default());
    Ok(Json(PageView { items: page.items.iter().map(summary).collect(), next_cursor: page.next.as_ref().map(cursor) }))
}

/// Get one version.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions/{ref}",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, alias, `latest` or `sha256:<digest>`"),
    ),
    responses(
        (status = 200, body = VersionView, headers(("ETag" = String, description = "For `If-Match` of a change"))),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`, `version_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Version { model, version }: Version,
) -> Result<Tagged, ApiError> {
    let version = registry.version(&caller, &model, &version).await?;
    tagged(&registry, &caller, version).await
}

/// A version with the ETag of its revision.
pub(super) type Tagged = ([(HeaderName, HeaderValue); 1], Json<VersionView>);

pub(super) async fn tagged(registry: &Registry, caller: &Caller, version: VersionRow) -> Result<Tagged, ApiError> {
    let tag = HeaderValue::from_str(&revision_tag(version.revision))
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(([(header::ETAG, tag)], Json(VersionView::new(registry, caller, version).await?)))
}

/// The ETag of what is said of a version; its files never change.
pub(super) fn revision_tag(revision: i64) -> String {
    format!("\"revision-{revision}\"")
}
