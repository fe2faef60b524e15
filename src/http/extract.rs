//! Extractors that refuse in our words: axum's own answer `text/plain`.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::ApiError;
use super::request_body::BodyRefused;
use crate::domain::{Alias, DraftId, FilePath, ModelRef, Namespace, UploadId, VersionNumber, VersionRef, check_json};
use crate::registry::{self, IdempotencyKey, Seat};

/// `{ns}` and `{name}` of a path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ModelPath {
    /// Namespace: 1 to 96 bytes of `A-Z a-z 0-9 . _ -`.
    ns: String,
    /// Model name: 1 to 96 bytes of `A-Z a-z 0-9 . _ -`.
    name: String,
}

/// `{ns}`, `{name}` and `{ref}` of a path.
#[derive(Debug, Deserialize)]
struct VersionPath {
    ns: String,
    name: String,
    r#ref: String,
}

/// `{ns}`, `{name}` and `{alias}` of a path.
#[derive(Debug, Deserialize)]
struct AliasPath {
    ns: String,
    name: String,
    alias: String,
}

/// `{ns}`, `{name}`, `{ref}` and the rest of a path.
#[derive(Debug, Deserialize)]
struct FileUrlPath {
    ns: String,
    name: String,
    r#ref: String,
    path: String,
}

/// `{id}` of a path.
#[derive(Debug, Deserialize)]
struct DraftPath {
    id: String,
}

/// `{id}` and the rest of a path.
#[derive(Debug, Deserialize)]
struct DraftFilePath {
    id: String,
    path: String,
}

/// `{id}` and `{upload_id}` of a path.
#[derive(Debug, Deserialize)]
struct UploadPath {
    id: String,
    upload_id: String,
}

/// A draft that a path names.
#[derive(Debug)]
pub(super) struct Draft(pub(super) DraftId);

/// A file of a draft that a path names.
#[derive(Debug)]
pub(super) struct DraftFile {
    pub(super) draft: DraftId,
    pub(super) path: FilePath,
}

/// An upload into a draft that a path names.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) draft: DraftId,
    pub(super) upload: UploadId,
}

/// `{id}` of a path, of something that the catalog looks up.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let DraftPath { id } = path(parts, state).await?;
        Ok(Self(id))
    }
}

/// `{ns}` of a path that names nothing more.
#[derive(Debug, Deserialize)]
struct NsPath {
    ns: String,
}

/// A namespace that a path names.
#[derive(Debug)]
pub(super) struct Ns(pub(super) Namespace);

impl<S: Send + Sync> FromRequestParts<S> for Ns {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: NsPath = path(parts, state).await?;
        Ok(Self(found.ns.parse().map_err(|error| ApiError::bad_request("invalid_name", error))?))
    }
}

/// A model that a path names.
#[derive(Debug)]
pub(super) struct Model(pub(super) ModelRef);

/// A version that a path names.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) model: ModelRef,
    pub(super) version: VersionRef,
}

/// An alias that a path names.
#[derive(Debug)]
pub(super) struct NamedAlias {
    pub(super) model: ModelRef,
    pub(super) alias: Alias,
}

/// A version that a path names by its number: what is changed is named by nothing else.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) model: ModelRef,
    pub(super) number: VersionNumber,
}

/// A file that a path names.
#[derive(Debug)]
pub(super) struct File {
    pub(super) model: ModelRef,
    pub(super) version: VersionRef,
    pub(super) path: FilePath,
}

fn model(ns: &str, name: &str) -> Result<ModelRef, ApiError> {
    let invalid = |error| ApiError::bad_request("invalid_name", error);
    Ok(ModelRef { namespace: ns.parse().map_err(invalid)?, name: name.parse().map_err(invalid)? })
}

fn version(text: &str) -> Result<VersionRef, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request("invalid_ref", error))
}

async fn path<T: DeserializeOwned + Send, S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<T, ApiError> {
    let axum::extract::Path(path) = axum::extract::Path::<T>::from_request_parts(parts, state)
        .await
        .map_err(|rejection: PathRejection| ApiError::bad_request("invalid_path", rejection.body_text()))?;
    Ok(path)
}

impl<S: Send + Sync> FromRequestParts<S> for Model {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: ModelPath = path(parts, state).await?;
        Ok(Self(model(&found.ns, &found.name)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: VersionPath = path(parts, state).await?;
        Ok(Self { model: model(&found.ns, &found.name)?, version: version(&found.r#ref)? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamedAlias {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: AliasPath = path(parts, state).await?;
        let alias = found.alias.parse().map_err(|error| ApiError::bad_request("invalid_alias", error))?;
        Ok(Self { model: model(&found.ns, &found.name)?, alias })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Numbered {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Version { model, version } = Version::from_request_parts(parts, state).await?;
        match version {
            VersionRef::Number(number) => Ok(Self { model, number }),
            _ => Err(ApiError::bad_request(
                "number_required",
                "what is changed is named by its number: another name may mean another version by the time it arrives",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for File {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: FileUrlPath = path(parts, state).await?;
        let path = found.path.parse().map_err(|error| ApiError::bad_request("invalid_file_path", error))?;
        Ok(Self { model: model(&found.ns, &found.name)?, version: version(&found.r#ref)?, path })
    }
}

/// What is not an id names no draft.
fn draft(id: &str) -> Result<DraftId, ApiError> {
    id.parse().map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "draft_not_found", "there is no such draft"))
}

impl<S: Send + Sync> FromRequestParts<S> for Draft {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: DraftPath = path(parts, state).await?;
        draft(&found.id).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DraftFile {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: DraftFilePath = path(parts, state).await?;
        let path = found.path.parse().map_err(|error| ApiError::bad_request("invalid_file_path", error))?;
        Ok(Self { draft: draft(&found.id)?, path })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Upload {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found: UploadPath = path(parts, state).await?;
        let upload = found
            .upload_id
            .parse()
            .map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "upload_not_found", "the draft has no such upload"))?;
        Ok(Self { draft: draft(&found.id)?, upload })
    }
}

/// The query; an unknown parameter is refused where the type denies unknown fields.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // The decoder would put a replacement character in the place of what is not UTF-8.
        if percent_decode_str(parts.uri.query().unwrap_or_default()).decode_utf8().is_err() {
            return Err(ApiError::bad_request("invalid_query", "the query is not UTF-8"));
        }
        let axum::extract::Query(query) = axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection: QueryRejection| ApiError::bad_request("invalid_query", rejection.body_text()))?;
        Ok(Self(query))
    }
}

/// `application/json`, or a type that ends in `+json`; other parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A JSON body of at most 2 MiB, in which no object says a name twice; an empty one is the default.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        use axum::body::HttpBody as _;
        if request.body().size_hint().exact() == Some(0) {
            return Ok(Self(T::default()));
        }
        if !is_json(request.headers()) {
            let detail = "send the body as JSON: `Content-Type: application/json`";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            if let Some(refused) = BodyRefused::among(&rejection) {
                return ApiError::from(registry::Error::from(refused));
            }
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
                _ => "malformed_body",
            };
            ApiError::new(rejection.status(), code, rejection.body_text())
        })?;
        check_json(&bytes).map_err(|error| ApiError::bad_request("invalid_json", error))?;
        let axum::Json(value) = axum::Json::<T>::from_bytes(&bytes).map_err(|rejection: JsonRejection| {
            ApiError::new(rejection.status(), "invalid_json", rejection.body_text())
        })?;
        Ok(Self(value))
    }
}

/// `Idempotency-Key`: what a client sends with a creating call that it may have to send again.
#[derive(Debug)]
pub(super) struct Key(pub(super) Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let wrong = || {
            let detail = "Idempotency-Key is 1 to 255 visible ASCII characters, once: choose a new one for each call";
            ApiError::bad_request("invalid_idempotency_key", detail)
        };
        let Some(value) = values.next() else { return Ok(Self(None)) };
        let text = value.to_str().map_err(|_| wrong())?;
        let visible = text.bytes().all(|b| b.is_ascii_graphic());
        if values.next().is_some() || text.is_empty() || text.len() > 255 || !visible {
            return Err(wrong());
        }
        Ok(Self(Some(IdempotencyKey(text.to_owned()))))
    }
}

/// Where the client sits; behind a proxy nobody is on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientSeat(pub(super) Seat);

impl<S: Send + Sync> FromRequestParts<S> for ClientSeat {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let forwarded = ["forwarded", "x-forwarded-for", "via"].iter().any(|name| parts.headers.contains_key(*name));
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(parts.uri.host());
        let seat = match (peer, host) {
            (Some(peer), Some(host)) if peer.is_loopback() && !forwarded => match host_name(host) {
                "localhost" => Seat::LoopbackByName,
                "127.0.0.1" | "[::1]" => Seat::LoopbackByAddress,
                // A name that only a proxy or a tunnel on this machine can have brought.
                _ => Seat::Remote,
            },
            _ => Seat::Remote,
        };
        Ok(Self(seat))
    }
}

fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}
