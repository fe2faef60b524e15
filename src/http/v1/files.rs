//! Files of a version, and their bytes.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::Integrity;
use crate::http::auth::Authenticated;
use crate::http::browser::OF_FILES;
use crate::http::digest::{REPR_DIGEST, repr_digest};
use crate::http::extract::{ClientSeat, File, Query, Version};
use crate::http::page::{PageQuery, PageView, cursor};
use crate::http::problem::{ApiError, Problem};
use crate::http::range::{Condition, Selection, condition, depends_on_etag, selection};
use crate::registry::{Download, FileRow, Registry, VersionRow, Wanted, content_disposition};

const STRONGROOM_VERSION: HeaderName = HeaderName::from_static("strongroom-version");
const STRONGROOM_DIGEST: HeaderName = HeaderName::from_static("strongroom-version-digest");

/// A file of a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileView {
    /// Where it lies in the version.
    pub(super) path: String,
    /// Bytes.
    pub(super) size: u64,
    /// 64 hex digits.
    pub(super) sha256: String,
    /// Whether the service computed the digest itself.
    integrity: Integrity,
    /// The S3 VersionId that every read names.
    s3_version_id: String,
}

impl From<FileRow> for FileView {
    fn from(file: FileRow) -> Self {
        Self {
            path: file.path.into(),
            size: file.size,
            sha256: file.sha256.to_string(),
            integrity: file.integrity,
            s3_version_id: file.s3_version_id,
        }
    }
}

/// List the files of a version, by path.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions/{ref}/files",
    tag = "files",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, alias, `latest` or `sha256:<digest>`"),
        PageQuery,
    ),
    responses(
        (status = 200, body = PageView<FileView>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`, `version_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_files(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Version { model, version }: Version,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageView<FileView>>, ApiError> {
    let version = registry.version(&caller, &model, &version).await?;
    let after = page.after()?;
    let page = registry.files(&caller, &version, after.as_ref(), page.limit()?).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Json(PageView { items: page.items.into_iter().map(FileView::from).collect(), next_cursor }))
}

/// Which way the bytes are to take.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownloadQuery {
    /// `proxy`: through the service. `redirect`: from S3, when the client can reach it. Unless asked: from S3 from
    /// 8 MiB up.
    via: Option<Via>,
}

/// Which way the bytes are to take.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// Through the service.
    Proxy,
    /// From S3.
    Redirect,
}

/// Download a file.
///
/// The bytes, or a redirect to a presigned URL that expires after some minutes.
/// Clients that send `Authorization` again to another host (wget, Python's urllib) ask for `?via=proxy`.
/// `Range`, `If-Range`, `If-Match` and `If-None-Match` are honoured; a request with `If-Range` or `If-Match` is never
/// redirected.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/versions/{ref}/files/{path}",
    tag = "files",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, alias, `latest` or `sha256:<digest>`"),
        ("path" = String, Path, description = "Path of the file; its slashes stand as they are"),
        DownloadQuery,
    ),
    responses(
        (status = 200, content_type = "application/octet-stream", body = String),
        (status = 206, content_type = "application/octet-stream", body = String),
        (status = 304, description = "The client has these bytes"),
        (status = 307, description = "`Location` is a presigned URL", headers(("Location" = String))),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `invalid_file_path`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`, `file_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`, `version_deleted`"),
        (status = 409, body = Problem, description = "`version_quarantined`"),
        (status = 412, body = Problem, description = "`precondition_failed`"),
        (status = 416, body = Problem, description = "`range_not_satisfiable`"),
        (status = 502, body = Problem, description = "`storage_failed`, `storage_denied`"),
        (status = 503, body = Problem, description = "`storage_unavailable`, `encryption_key_unusable`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn download(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    ClientSeat(seat): ClientSeat,
    File { model, version, path }: File,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = registry.version(&caller, &model, &version).await?;
    let file = registry.file(&caller, &version, &path).await?;
    let mut answer = file_headers(&version, &file)?;
    let etag = etag(&file);
    if let Some(early) = refused_or_not_modified(&headers, etag.as_deref(), &answer)? {
        return Ok(early);
    }
    let range = match selection(&headers, etag.as_deref(), file.size) {
        Selection::Whole => None,
        Selection::Part(range) => Some(range),
        Selection::NotSatisfiable => return Err(not_satisfiable(&file)),
    };
    let wanted = match query.via {
        _ if depends_on_etag(&headers) => Wanted::Proxy,
        None => Wanted::Whichever,
        Some(Via::Proxy) => Wanted::Proxy,
        Some(Via::Redirect) => Wanted::Redirect,
    };
    match registry.download(&caller, &version, &file, range.clone(), wanted, seat).await? {
        Download::Elsewhere(presigned) => {
            // The ETag of the answer would be taken for that of the redirect.
            answer.remove(header::CONTENT_LENGTH);
            answer.insert(header::LOCATION, header_value(presigned.url.expose_secret())?);
            answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok((StatusCode::TEMPORARY_REDIRECT, answer).into_response())
        }
        Download::Here(bytes) => {
            let status = match &range {
                None => StatusCode::OK,
                Some(range) => {
                    let text = format!("bytes {}-{}/{}", range.start, range.end - 1, file.size);
                    answer.insert(header::CONTENT_RANGE, header_value(&text)?);
                    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
                    StatusCode::PARTIAL_CONTENT
                }
            };
            Ok((status, answer, Body::from_stream(bytes.into_stream())).into_response())
        }
    }
}

/// Look at a file without its bytes.
///
/// Never a redirect.
#[utoipa::path(
    head,
    path = "/v1/models/{ns}/{name}/versions/{ref}/files/{path}",
    tag = "files",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, alias, `latest` or `sha256:<digest>`"),
        ("path" = String, Path, description = "Path of the file; its slashes stand as they are"),
        DownloadQuery,
    ),
    responses(
        (status = 200, description = "Size, ETag, `Repr-Digest`, the resolved version"),
        (status = 304, description = "The client has these bytes"),
        (status = 404, description = "`model_not_found`, `version_not_found`, `file_not_found`"),
        (status = 409, description = "`version_quarantined`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn head(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    File { model, version, path }: File,
    _query: Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let version = registry.version(&caller, &model, &version).await?;
    let file = registry.file(&caller, &version, &path).await?;
    let answer = file_headers(&version, &file)?;
    if let Some(early) = refused_or_not_modified(&headers, etag(&file).as_deref(), &answer)? {
        return Ok(early);
    }
    Ok((StatusCode::OK, answer).into_response())
}

fn refused_or_not_modified(
    request: &HeaderMap,
    etag: Option<&str>,
    answer: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    match condition(request, etag) {
        Condition::Holds => Ok(None),
        Condition::NotModified => {
            let mut answer = answer.clone();
            answer.remove(header::CONTENT_LENGTH);
            answer.remove(header::CONTENT_TYPE);
            Ok(Some((StatusCode::NOT_MODIFIED, answer).into_response()))
        }
        Condition::Failed => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "the file does not have the ETag that If-Match names",
        )),
    }
}

fn not_satisfiable(file: &FileRow) -> ApiError {
    let detail = format!("the file has {} bytes, none of those that Range names", file.size);
    let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail);
    match HeaderValue::from_str(&format!("bytes */{}", file.size)) {
        Ok(value) => error.with_header(header::CONTENT_RANGE, value),
        Err(_) => error,
    }
}

/// Strong: the bytes of a file never change, and two files with the same bytes may share it.
///
/// None while the digest is only the client's word: a cache that trusted it would keep wrong bytes under a right name.
fn etag(file: &FileRow) -> Option<String> {
    (file.integrity == Integrity::Verified).then(|| format!("\"sha256:{}\"", file.sha256))
}

/// What is said of a file whichever way its bytes take.
fn file_headers(version: &VersionRow, file: &FileRow) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    if let Some(etag) = etag(file) {
        headers.insert(header::ETAG, header_value(&etag)?);
        headers.insert(REPR_DIGEST, repr_digest(file.sha256));
    }
    headers.insert(STRONGROOM_VERSION, HeaderValue::from(version.number.get()));
    headers.insert(STRONGROOM_DIGEST, header_value(&format!("sha256:{}", version.digest))?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.size));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // What is stored never runs in a browser.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, header_value(&content_disposition(&file.path))?);
    headers.insert(header::CONTENT_SECURITY_POLICY, OF_FILES);
    Ok(headers)
}

fn header_value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))
}
