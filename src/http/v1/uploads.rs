//! Presigned uploads into a draft.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::files::FileView;
use super::urls::life;
use crate::domain::Sha256Digest;
use crate::http::auth::Authenticated;
use crate::http::extract::{ClientSeat, Draft, Json, Key, Upload};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{Declaration, Declared, ListedPart, PartWish, Registry};

/// Files of one declaration, and parts of one batch of URLs.
const MAX_BATCH: usize = 1_000;

/// Files that a client is about to send.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclareRequest {
    /// 1 to 1,000 files.
    files: Vec<DeclaredFile>,
}

/// A file that a client is about to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclaredFile {
    /// Where it will lie in the version.
    path: String,
    /// Bytes.
    size: u64,
    /// 64 hex digits; may be said when the upload is completed instead. With it, bytes that are there need not be sent.
    sha256: Option<String>,
    /// Bytes of each part but the last, 5 MiB to 5 GiB, at most 10,000 parts;
    /// max(8 MiB, size / 10,000 rounded up to a MiB) unless asked otherwise.
    part_size: Option<u64>,
}

/// What is to be done for the declared files, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeclareView {
    files: Vec<DeclaredView>,
}

/// What is to be done for a declared file.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum DeclaredView {
    /// Nothing: the draft has it.
    Present(FileView),
    /// Its parts are to be sent.
    Upload {
        /// Where it will lie.
        path: String,
        /// The upload.
        upload_id: String,
        /// Bytes of each part but the last.
        part_size: u64,
        /// How many parts; an empty file is one part of no bytes.
        part_count: u32,
        /// When the upload is aborted by itself.
        #[schema(format = "date-time")]
        expires_at: String,
    },
}

/// The parts that S3 has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartsThere {
    /// How many.
    count: usize,
    /// Bytes of them.
    bytes: u64,
    /// Ranges of their numbers, first and last.
    ranges: Vec<[u32; 2]>,
}

impl From<Vec<ListedPart>> for PartsThere {
    fn from(parts: Vec<ListedPart>) -> Self {
        let mut ranges: Vec<[u32; 2]> = Vec::new();
        for part in &parts {
            match ranges.last_mut() {
                Some(last) if last[1] + 1 == part.number => last[1] = part.number,
                _ => ranges.push([part.number, part.number]),
            }
        }
        Self { count: parts.len(), bytes: parts.iter().map(|part| part.size).sum(), ranges }
    }
}

/// An upload that has not been completed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadView {
    /// The upload.
    upload_id: String,
    /// Where the file will lie.
    path: String,
    /// Bytes.
    size: Option<u64>,
    /// Bytes of each part but the last.
    part_size: Option<u64>,
    /// How many parts.
    part_count: Option<u32>,
    /// The parts that S3 has; null when S3 has no such upload.
    parts: Option<PartsThere>,
    /// When the upload is aborted by itself.
    #[schema(format = "date-time")]
    expires_at: String,
}

/// Parts that a client is about to send.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartUrlsRequest {
    /// 1 to 1,000 parts.
    parts: Vec<WantedPart>,
    /// How long the URLs are to live, 1 to 43,200 seconds; 900 unless configured otherwise.
    #[schema(minimum = 1, maximum = 43200)]
    expires_in: Option<u64>,
}

/// A part that a client is about to send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedPart {
    /// Its number, from 1.
    part: u32,
    /// Its bytes: `part_size`, or what is left for the last.
    size: u64,
    /// SHA-256 of the part: 64 hex digits.
    sha256: String,
}

/// Presigned URLs of parts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartUrlsView {
    /// When they stop working: as asked, but never after the credentials that signed them.
    #[schema(format = "date-time")]
    expires_at: String,
    parts: Vec<PartUrlView>,
}

/// Where one part is to be sent, and how.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartUrlView {
    /// Its number.
    part: u32,
    /// `PUT`.
    method: &'static str,
    /// The URL; whoever has it can send this part and nothing else.
    url: String,
    /// Headers that must be sent, exactly so.
    headers: BTreeMap<String, String>,
}

/// How an upload is completed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompleteRequest {
    /// SHA-256 of the whole file, when it was not declared: 64 hex digits.
    sha256: Option<String>,
}

fn sha256(text: &str) -> Result<Sha256Digest, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("invalid_digest", error))
}

fn batch<T>(items: &[T], what: &str) -> Result<(), ApiError> {
    if (1..=MAX_BATCH).contains(&items.len()) {
        return Ok(());
    }
    Err(ApiError::bad_request("invalid_batch", format!("`{what}` has 1 to {MAX_BATCH} items")))
}

/// Declare files that are about to be sent.
///
/// A file that the draft, the model or another model that you may read has already (by size and verified SHA-256) is
/// `present` and need not be sent. Declaring a file again goes on with its upload.
#[utoipa::path(
    post,
    path = "/v1/drafts/{id}/uploads",
    tag = "drafts",
    params(
        ("id" = String, Path, description = "The draft"),
        ("Idempotency-Key" = Option<String>, Header, description = "Another request with the same key is refused"),
    ),
    request_body = DeclareRequest,
    responses(
        (status = 200, body = DeclareView),
        (status = 400, body = Problem, description = "`invalid_file_path`, `path_conflict`, `invalid_digest`, `invalid_part_size`, `invalid_batch`, `invalid_json`, `invalid_idempotency_key`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`draft_not_found`"),
        (status = 409, body = Problem, description = "`urls_unreachable`, `draft_changing`, `model_deleted`"),
        (status = 413, body = Problem, description = "`too_many_files`, `namespace_full`, `file_too_large`, `body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`, `idempotency_key_reused`"),
        (status = 502, body = Problem, description = "`storage_failed`, `storage_denied`"),
        (status = 503, body = Problem, description = "`writes_refused`, `storage_unavailable`, `encryption_key_unusable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn declare_uploads(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    ClientSeat(seat): ClientSeat,
    Draft(id): Draft,
    Key(key): Key,
    Json(request): Json<DeclareRequest>,
) -> Result<Answer<DeclareView>, ApiError> {
    batch(&request.files, "files")?;
    let declaration = |file: DeclaredFile| {
        Ok(Declaration {
            path: file.path.parse().map_err(|error| ApiError::bad_request("invalid_file_path", error))?,
            size: file.size,
            sha256: file.sha256.as_deref().map(sha256).transpose()?,
            part_size: file.part_size,
        })
    };
    let files = request.files.into_iter().map(declaration).collect::<Result<Vec<_>, ApiError>>()?;
    let declared = registry.declare(&caller, id, files, key, seat).await?;
    let view = |declared| match declared {
        Declared::Present(file) => DeclaredView::Present(file.into()),
        Declared::Upload { upload, plan } => DeclaredView::Upload {
            path: upload.path.into(),
            upload_id: upload.id.to_string(),
            part_size: plan.part_size,
            part_count: plan.part_count,
            expires_at: upload.expires_at.to_string(),
        },
    };
    Ok(Answer(DeclareView { files: declared.into_iter().map(view).collect() }))
}

/// Look at an upload: which parts S3 has.
#[utoipa::path(
    get,
    path = "/v1/drafts/{id}/uploads/{upload_id}",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft"), ("upload_id" = String, Path, description = "The upload")),
    responses(
        (status = 200, body = UploadView),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`upload_not_found`"),
        (status = 503, body = Problem, description = "`storage_unavailable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_upload(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Upload { draft, upload }: Upload,
) -> Result<Answer<UploadView>, ApiError> {
    let (upload, parts) = registry.upload(&caller, draft, upload).await?;
    Ok(Answer(UploadView {
        upload_id: upload.id.to_string(),
        path: upload.path.into(),
        size: upload.size,
        part_size: upload.part_size,
        part_count: upload.part_count,
        parts: parts.map(PartsThere::from),
        expires_at: upload.expires_at.to_string(),
    }))
}

/// Get presigned URLs for parts.
///
/// They are signed now, and each binds the length and the SHA-256 of its part: S3 itself refuses other bytes.
/// Ask for some parts, send them, and ask for the next ones; a URL may be asked for again at any time.
#[utoipa::path(
    post,
    path = "/v1/drafts/{id}/uploads/{upload_id}/part-urls",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft"), ("upload_id" = String, Path, description = "The upload")),
    request_body = PartUrlsRequest,
    responses(
        (status = 200, body = PartUrlsView),
        (status = 400, body = Problem, description = "`invalid_part`, `invalid_digest`, `invalid_batch`, `invalid_expiry`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`upload_not_found`"),
        (status = 409, body = Problem, description = "`urls_unreachable`, `upload_not_begun`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
        (status = 503, body = Problem, description = "`writes_refused`, `storage_unavailable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn part_urls(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    ClientSeat(seat): ClientSeat,
    Upload { draft, upload }: Upload,
    Json(request): Json<PartUrlsRequest>,
) -> Result<([(HeaderName, HeaderValue); 1], Answer<PartUrlsView>), ApiError> {
    batch(&request.parts, "parts")?;
    let mut numbers = HashSet::new();
    if let Some(twice) = request.parts.iter().find(|part| !numbers.insert(part.part)) {
        return Err(ApiError::bad_request("invalid_batch", format!("`parts` names part {} twice", twice.part)));
    }
    let life: Option<Duration> = life(request.expires_in)?;
    let wish = |part: WantedPart| Ok(PartWish { number: part.part, size: part.size, sha256: sha256(&part.sha256)? });
    let parts = request.parts.into_iter().map(wish).collect::<Result<Vec<_>, ApiError>>()?;
    let signed = registry.part_urls(&caller, draft, upload, &parts, life, seat).await?;
    let view = PartUrlsView {
        expires_at: signed.expires_at.to_string(),
        parts: signed
            .parts
            .into_iter()
            .map(|part| PartUrlView {
                part: part.number,
                method: "PUT",
                url: part.url.expose_secret().to_owned(),
                headers: part.headers.into_iter().collect(),
            })
            .collect(),
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(view)))
}

/// Complete an upload.
///
/// The service completes it from its own record of the digests; from then on its URLs are dead.
/// Repeating it is harmless while the file is in the draft.
#[utoipa::path(
    post,
    path = "/v1/drafts/{id}/uploads/{upload_id}/complete",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft"), ("upload_id" = String, Path, description = "The upload")),
    request_body = CompleteRequest,
    responses(
        (status = 200, body = FileView),
        (status = 400, body = Problem, description = "`digest_required`, `invalid_digest`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`upload_not_found`"),
        (status = 409, body = Problem, description = "`parts_missing`, `part_mismatch`, `upload_not_begun`"),
        (status = 413, body = Problem, description = "`namespace_full`"),
        (status = 422, body = Problem, description = "`digest_mismatch`, `invalid_json`"),
        (status = 502, body = Problem, description = "`storage_failed`, `storage_denied`"),
        (status = 503, body = Problem, description = "`writes_refused`, `storage_unavailable`, `encryption_key_unusable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn complete_upload(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Upload { draft, upload }: Upload,
    Json(request): Json<CompleteRequest>,
) -> Result<Answer<FileView>, ApiError> {
    let digest = request.sha256.as_deref().map(sha256).transpose()?;
    let file = registry.complete_upload(&caller, draft, upload, digest).await?;
    Ok(Answer(file.into()))
}

/// Abort an upload.
#[utoipa::path(
    delete,
    path = "/v1/drafts/{id}/uploads/{upload_id}",
    tag = "drafts",
    params(("id" = String, Path, description = "The draft"), ("upload_id" = String, Path, description = "The upload")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`upload_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn abort_upload(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Upload { draft, upload }: Upload,
) -> Result<StatusCode, ApiError> {
    registry.abort_upload(&caller, draft, upload).await?;
    Ok(StatusCode::NO_CONTENT)
}
