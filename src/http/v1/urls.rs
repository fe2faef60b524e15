//! `POST …/download-urls`: presigned URLs for many files at once.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::FilePath;
use crate::http::auth::Authenticated;
use crate::http::extract::{ClientSeat, Json, Version};
use crate::http::page::{bounded_limit, cursor, read_cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{FileUrl, Registry};

/// Most files that one request may name.
const MAX_PATHS: usize = 200;

/// Which files, and for how long.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with paths, expires_in, limit and cursor")]
pub(crate) struct UrlsRequest {
    /// At most 200 paths; all files of the version without, a page at a time.
    paths: Option<Vec<String>>,
    /// Seconds, from 1; 900 unless asked otherwise, at most 43,200.
    #[schema(minimum = 1, maximum = 43200)]
    expires_in: Option<u64>,
    /// Files of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// URLs for the files of a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UrlsView {
    /// The version that the ref meant when the URLs were signed.
    #[schema(minimum = 1)]
    number: i64,
    /// Its digest.
    digest: String,
    /// A URL a file.
    items: Vec<UrlView>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

/// A file and where to read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UrlView {
    /// Where it lies in the version.
    path: String,
    /// As good as a password for this file until it expires.
    url: String,
    /// Headers to send with it: none.
    headers: BTreeMap<String, String>,
    /// Bytes.
    size: u64,
    /// 64 hex digits.
    sha256: String,
    /// When it really stops working, RFC 3339: never later than the credentials that signed it.
    #[schema(format = "date-time")]
    expires_at: String,
}

impl From<FileUrl> for UrlView {
    fn from(url: FileUrl) -> Self {
        Self {
            path: url.file.path.into(),
            url: url.presigned.url.expose_secret().to_owned(),
            headers: BTreeMap::new(),
            size: url.file.size,
            sha256: url.file.sha256.to_string(),
            expires_at: url.presigned.expires_at.to_string(),
        }
    }
}

/// Get presigned URLs for all or some files of a version.
#[utoipa::path(
    post,
    path = "/v1/models/{ns}/{name}/versions/{ref}/download-urls",
    tag = "files",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, `latest` or `sha256:<digest>`"),
    ),
    request_body = UrlsRequest,
    responses(
        (status = 200, body = UrlsView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `invalid_file_path`, `invalid_json`, `invalid_expiry`, `too_many_paths`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`, `file_not_found`"),
        (status = 409, body = Problem, description = "`urls_unreachable`"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn download_urls(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    ClientSeat(seat): ClientSeat,
    Version { model, version }: Version,
    Json(request): Json<UrlsRequest>,
) -> Result<([(HeaderName, HeaderValue); 1], Answer<UrlsView>), ApiError> {
    let life = life(request.expires_in)?;
    let version = registry.version(&caller, &model, &version).await?;
    let (files, next) = match request.paths {
        Some(paths) if paths.len() > MAX_PATHS => {
            let detail = format!("at most {MAX_PATHS} paths at once; leave `paths` out to page through all files");
            return Err(ApiError::bad_request("too_many_paths", detail));
        }
        Some(paths) => {
            let mut files = Vec::with_capacity(paths.len());
            for path in paths {
                let path = path.parse().map_err(|error| ApiError::bad_request("invalid_file_path", error))?;
                files.push(registry.file(&caller, &version, &path).await?);
            }
            (files, None)
        }
        None => {
            let after: Option<FilePath> = request.cursor.as_deref().map(read_cursor).transpose()?;
            let limit = bounded_limit(request.limit)?;
            let page = registry.files(&caller, &version, after.as_ref(), limit).await?;
            (page.items, page.next)
        }
    };
    let urls = registry.download_urls(&caller, &version, files, life, seat).await?;
    let view = UrlsView {
        number: version.number.get(),
        digest: format!("sha256:{}", version.digest),
        items: urls.into_iter().map(UrlView::from).collect(),
        next_cursor: next.as_ref().map(cursor),
    };
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(view)))
}

pub(super) fn life(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    match seconds {
        None => Ok(None),
        Some(seconds @ 1..=43_200) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(ApiError::bad_request("invalid_expiry", "`expires_in` is a number of seconds from 1 to 43200")),
    }
}
