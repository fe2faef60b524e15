//! Drafts: begin, look, keep, discard.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::files::FileView;
use super::uploads::PartsThere;
use crate::domain::{DraftId, FilePath, Metadata, VersionNumber};
use crate::http::auth::Authenticated;
use crate::http::extract::{Draft, Json, Key, Model, Query};
use crate::http::page::{PageQuery, PageView, cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{DraftFile, DraftRow, DraftState, DraftWish, Registry};

/// How a draft begins.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDraft {
    /// A version whose files the draft has from the start: a number, `latest`, an alias or `sha256:<digest>`.
    /// A quarantined one will do: the files that are wrong are there to be replaced.
    #[schema(value_type = Option<String>, example = "latest")]
    base: Option<Value>,
    /// What is said of the version to be.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Whether the draft stays until it is discarded; else it expires `draft_days` after its last change.
    #[serde(default)]
    keep: bool,
}

/// What of a draft is to change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftChange {
    /// All of the metadata, after the change.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Whether the draft stays until it is discarded.
    keep: Option<bool>,
}

/// A draft.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DraftSummary {
    /// Its id.
    id: String,
    /// Namespace of the model.
    namespace: String,
    /// The model.
    name: String,
    /// `open`: it can be filled.
    state: &'static str,
    /// The version that it began from.
    base: Option<i64>,
    /// What is said of the version to be.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Whether it stays until it is discarded.
    keep: bool,
    /// When it expires; null when it is kept.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
    /// Who began it.
    created_by: String,
}

/// A draft and one page of its files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DraftView {
    #[serde(flatten)]
    draft: DraftSummary,
    /// Files by path, complete ones and those on their way.
    files: Vec<DraftFileView>,
    /// Where the next page of files begins; null on the last one.
    next_cursor: Option<String>,
}

/// A draft that became a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublishedDraft {
    /// The draft's id.
    id: String,
    /// Namespace of the model.
    namespace: String,
    /// The model.
    name: String,
    /// `published`.
    state: &'static str,
    /// The version's number.
    number: i64,
}

/// A file of a draft.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum DraftFileView {
    /// All its bytes are there.
    Complete(FileView),
    /// It is on its way.
    Arriving {
        /// Where it will lie.
        path: String,
        /// Bytes, where they are known.
        size: Option<u64>,
        /// 64 hex digits, where the client said them.
        sha256: Option<String>,
        /// The upload.
        upload_id: String,
        /// Bytes of each part but the last; null when it goes through the service.
        part_size: Option<u64>,
        /// How many parts there are to be.
        part_count: Option<u32>,
        /// The parts that S3 has; null when S3 has no such upload.
        parts: Option<PartsThere>,
        /// When the upload is aborted by itself.
        #[schema(format = "date-time")]
        expires_at: String,
    },
}

impl From<DraftRow> for DraftSummary {
    fn from(draft: DraftRow) -> Self {
        Self {
            id: draft.id.to_string(),
            namespace: draft.model.namespace.into(),
            name: draft.model.name.into(),
            state: "open",
            base: draft.base.map(VersionNumber::get),
            metadata: draft.metadata.as_map().clone(),
            keep: draft.keep,
            expires_at: draft.expires_at.map(|at| at.to_string()),
            created_at: draft.created_at.to_string(),
            created_by: draft.created_by,
        }
    }
}

impl From<DraftFile> for DraftFileView {
    fn from(file: DraftFile) -> Self {
        match file {
            DraftFile::Complete(file) => Self::Complete(file.into()),
            DraftFile::Arriving { upload, parts } => Self::Arriving {
                path: upload.path.into(),
                size: upload.size,
                sha256: upload.sha256.map(|sha256| sha256.to_string()),
                upload_id: upload.id.to_string(),
                part_size: upload.part_size,
                part_count: upload.part_count,
                parts: parts.map(PartsThere::from),
                expires_at: upload.expires_at.to_string(),
            },
        }
    }
}

/// Begin a draft.
///
/// A set of files that can be filled by many writers over days, and becomes a version when it is published.
#[utoipa::path(
    post,
    path = "/v1/models/{ns}/{name}/drafts",
    tag = "drafts",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sending the same request again with the same key answers with the same draft"),
    ),
    request_body = NewDraft,
    responses(
        (status = 201, body = DraftSummary, headers(("Location" = String, description = "The draft"))),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `invalid_json`, `invalid_metadata`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`: of the base"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 422, body = Problem, description = "`invalid_json`, `idempotency_key_reused`"),
        (status = 429, body = Problem, description = "`too_many_drafts`"),
        (status = 503, body = Problem, description = "`writes_refused`, `catalog_unavailable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn begin_draft(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Key(key): Key,
    Json(new): Json<NewDraft>,
) -> Result<Response, ApiError> {
    let base = match new.base {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => {
            return Err(ApiError::bad_request("invalid_ref", "`base` is a number or a text that names a version"));
        }
    };
    let base = base.map(|text| text.parse()).transpose();
    let wish = DraftWish {
        base: base.map_err(|error: crate::domain::InvalidRef| ApiError::bad_request("invalid_ref", error))?,
        metadata: new.metadata.map(metadata).transpose()?.unwrap_or_default(),
        keep: new.keep,
        key,
    };
    let draft = registry.begin_draft(&caller, model, wish).await?;
    let location = HeaderValue::from_str(&format!("/v1/drafts/{}", draft.id))
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Answer(DraftSummary::from(draft))).into_response())
}

/// Metadata that came as a member of a JSON body.
pub(super) fn metadata(value: Value) -> Result<Metadata, ApiError> {
    Metadata::from_json(value.to_string().as_bytes()).map_err(|error| ApiError::bad_request("invalid_metadata", error))
}

/// List the drafts of a model, oldest first.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/drafts",
    tag = "drafts",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        PageQuery,
    ),
    responses(
        (status = 200, body = PageView<DraftSummary>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_drafts(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(page): Query<PageQuery>,
) -> Result<Answer<PageView<DraftSummary>>, ApiError> {
    let after: Option<DraftId> = page.after()?;
    let page = registry.drafts(&caller, &model, after, page.limit()?).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Answer(PageView { items: page.items.into_iter().map(DraftSummary::from).collect(), next_cursor }))
}

/// Look at a draft: what has arrived, and which parts S3 has of the rest.
///
/// A draft that was published answers with its version, and `state` is `published`.
#[utoipa::path(
    get,
    path = "/v1/drafts/{id}",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft"), PageQuery),
    responses(
        (status = 200, body = DraftView),
        (status = 400, body = Problem, description = "`invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
        (status = 503, body = Problem, description = "`storage_unavailable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_draft(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Draft(id): Draft,
    Query(page): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let state = registry.draft(&caller, id).await?;
    let after: Option<FilePath> = page.after()?;
    answer(&registry, &caller, id, state, after, page.limit()?).await
}

/// Change what is said of a draft, or whether it is kept.
#[utoipa::path(
    patch,
    path = "/v1/drafts/{id}",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft")),
    request_body = DraftChange,
    responses(
        (status = 200, body = DraftView),
        (status = 400, body = Problem, description = "`invalid_json`, `invalid_metadata`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn change_draft(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Draft(id): Draft,
    Json(change): Json<DraftChange>,
) -> Result<Response, ApiError> {
    let metadata = change.metadata.map(metadata).transpose()?;
    let state = registry.change_draft(&caller, id, metadata.as_ref(), change.keep).await?;
    answer(&registry, &caller, id, state, None, 50).await
}

async fn answer(
    registry: &Registry,
    caller: &crate::access::Caller,
    id: DraftId,
    state: DraftState,
    after: Option<FilePath>,
    limit: usize,
) -> Result<Response, ApiError> {
    let draft = match state {
        DraftState::Open(draft) => draft,
        DraftState::Published { model, number } => {
            let view = PublishedDraft {
                id: id.to_string(),
                namespace: model.namespace.into(),
                name: model.name.into(),
                state: "published",
                number: number.get(),
            };
            return Ok(Answer(view).into_response());
        }
    };
    let files = registry.draft_files(caller, &draft, after.as_ref(), limit).await?;
    let view = DraftView {
        draft: (*draft).into(),
        next_cursor: files.next.as_ref().map(cursor),
        files: files.items.into_iter().map(DraftFileView::from).collect(),
    };
    Ok(Answer(view).into_response())
}

/// Discard a draft and what only it needs.
#[utoipa::path(
    delete,
    path = "/v1/drafts/{id}",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
        (status = 409, body = Problem, description = "`draft_published`: it is a version"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn discard_draft(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Draft(id): Draft,
) -> Result<StatusCode, ApiError> {
    registry.discard_draft(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
