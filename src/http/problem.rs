//! Every error as a problem document (RFC 9457).

use std::any::Any;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::RETRY_AFTER;
use crate::registry::{CatalogError, Error, InputError, Refusal, StoreError};

/// How long a client waits while the bucket is not safe: somebody has to repair it, and a look has to see that.
const UNSAFE_RETRY_AFTER: Duration = Duration::from_secs(30);

/// An error, as a client sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// `about:blank`: the code says which problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable name of the problem, for programs.
    #[schema(example = "digest_mismatch")]
    code: &'static str,
    /// What is wrong and what to do, for people.
    detail: String,
    /// Names the request in the service's log.
    request_id: String,
}

/// An error on its way out; [`super::request_log`] turns it into a [`Problem`] and logs its cause once.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new(), cause: None }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail.to_string())
    }

    pub(super) fn route_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found", "there is no such route; /docs lists them")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the route exists, the method does not")
    }

    /// For an answer of a library that has a status and no problem.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "route_not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
            status if status.is_server_error() => "internal",
            _ => "invalid_request",
        };
        Self::new(status, code, status.canonical_reason().unwrap_or("the request could not be answered"))
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The caller has sent what it may send in a day.
    pub(super) fn quota_exceeded(wait: Duration) -> Self {
        let detail = InputError::Quota(wait).to_string();
        Self::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", detail).retry_after(wait)
    }

    /// With the wait in whole seconds: at least one, and never too few.
    pub(super) fn retry_after(self, after: Duration) -> Self {
        let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(whole.max(1)))
    }

    fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// The document, for the request with this id.
    pub(super) fn render(&self, request_id: &str) -> Response {
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            request_id: request_id.to_owned(),
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().extend(self.headers.clone());
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// What a panic inside a handler becomes.
pub(super) fn from_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without a text"), "a handler panicked");
    internal().into_response()
}

fn internal() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the service could not complete the request; its log has the reason under this request id",
    )
}

fn unavailable(code: &'static str, detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER)
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        // No `_` arm: a new error does not compile before somebody chose its status.
        match error {
            Error::ModelNotFound(_) => Self::new(StatusCode::NOT_FOUND, "model_not_found", detail),
            Error::VersionNotFound { .. } => Self::new(StatusCode::NOT_FOUND, "version_not_found", detail),
            Error::ModelDeleted { .. } => Self::new(StatusCode::GONE, "model_deleted", detail),
            Error::VersionDeleted { .. } => Self::new(StatusCode::GONE, "version_deleted", detail),
            Error::VersionQuarantined { .. } => Self::new(StatusCode::CONFLICT, "version_quarantined", detail),
            Error::AliasNotFound { .. } => Self::new(StatusCode::NOT_FOUND, "alias_not_found", detail),
            Error::AliasChanged { .. } => Self::new(StatusCode::PRECONDITION_FAILED, "alias_changed", detail),
            Error::AliasConflict { .. } => Self::new(StatusCode::CONFLICT, "alias_conflict", detail),
            Error::TooManyAliases { .. } => Self::new(StatusCode::CONFLICT, "too_many_aliases", detail),
            Error::Reason(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_reason", detail),
            Error::ModelTrashed { .. } => Self::new(StatusCode::CONFLICT, "model_deleted", detail),
            Error::VersionAliased { .. } => Self::new(StatusCode::CONFLICT, "version_aliased", detail),
            Error::VersionHeld { .. } => Self::new(StatusCode::CONFLICT, "version_held", detail),
            Error::ModelBusy(_) => Self::new(StatusCode::CONFLICT, "model_busy", detail).retry_after(RETRY_AFTER),
            Error::OtherRevision(_) => Self::new(StatusCode::PRECONDITION_FAILED, "revision_mismatch", detail),
            Error::Retention(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_retention", detail),
            Error::NoRetention(_) => Self::new(StatusCode::NOT_FOUND, "retention_not_found", detail),
            Error::IssuerAway => unavailable("identity_unavailable", detail),
            Error::Forbidden { .. } => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            Error::Grant(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_grant", detail),
            Error::GrantNotFound(_) => Self::new(StatusCode::NOT_FOUND, "grant_not_found", detail),
            Error::TokenNotFound(_) => Self::new(StatusCode::NOT_FOUND, "token_not_found", detail),
            Error::TokenOfNamespace(_) | Error::TokenName(_) => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_name", detail)
            }
            Error::Cursor => Self::new(StatusCode::BAD_REQUEST, "invalid_cursor", detail),
            Error::TokenLife | Error::TokenOutlives(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_expiry", detail),
            Error::TooManyTokens(_) => Self::new(StatusCode::CONFLICT, "too_many_tokens", detail),
            Error::TokenExists(_) => Self::new(StatusCode::CONFLICT, "token_exists", detail),
            Error::NamespaceNotFound(_) => Self::new(StatusCode::NOT_FOUND, "namespace_not_found", detail),
            Error::FileNotFound(_) => Self::new(StatusCode::NOT_FOUND, "file_not_found", detail),
            Error::Refused(refusal) => from_refusal(&refusal, detail),
            Error::PartSize { .. } => Self::new(StatusCode::BAD_REQUEST, "invalid_part_size", detail),
            Error::Part { .. } => Self::new(StatusCode::BAD_REQUEST, "invalid_part", detail),
            Error::DigestRequired(_) => Self::new(StatusCode::BAD_REQUEST, "digest_required", detail),
            Error::UploadNotBegun(_) => Self::new(StatusCode::CONFLICT, "upload_not_begun", detail),
            Error::DigestMismatch { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch", detail),
            Error::PathConflict(_) => Self::new(StatusCode::BAD_REQUEST, "path_conflict", detail),
            Error::Metadata(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_metadata", detail),
            Error::NoFiles => Self::new(StatusCode::BAD_REQUEST, "no_files", detail),
            Error::TooManyFiles { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", detail),
            Error::FileTooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", detail),
            Error::Input(InputError::Incomplete) => Self::new(StatusCode::BAD_REQUEST, "body_incomplete", detail),
            Error::Input(InputError::Idle(_) | InputError::Slow(_)) => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
            }
            Error::Input(InputError::Quota(wait)) => Self::quota_exceeded(wait),
            Error::Input(InputError::Path(_)) => Self::new(StatusCode::BAD_REQUEST, "invalid_file_path", detail),
            Error::Input(InputError::Malformed(_)) => Self::new(StatusCode::BAD_REQUEST, "malformed_body", detail),
            Error::WritesRefused(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "writes_refused", detail).retry_after(UNSAFE_RETRY_AFTER)
            }
            Error::Override(_) => Self::new(StatusCode::BAD_REQUEST, "invalid_override", detail),
            Error::OverrideNotFound(_) => Self::new(StatusCode::NOT_FOUND, "override_not_found", detail),
            Error::LookPending => unavailable("look_pending", detail),
            Error::UrlsUnreachable => Self::new(StatusCode::CONFLICT, "urls_unreachable", detail),
            Error::Store(error) => from_store(error),
            Error::Catalog(error) => from_catalog(error),
            Error::Interrupted => internal().caused_by(error),
        }
    }
}

fn from_refusal(refusal: &Refusal, detail: String) -> ApiError {
    let (status, code) = match refusal {
        Refusal::DraftNotFound(_) => (StatusCode::NOT_FOUND, "draft_not_found"),
        Refusal::DraftPublished { .. } => (StatusCode::CONFLICT, "draft_published"),
        Refusal::UploadNotFound(_) => (StatusCode::NOT_FOUND, "upload_not_found"),
        Refusal::FileNotFound(_) => (StatusCode::NOT_FOUND, "file_not_found"),
        Refusal::BaseNotFound { .. } => (StatusCode::NOT_FOUND, "version_not_found"),
        Refusal::TooManyDrafts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_drafts"),
        Refusal::TooManyFiles { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_files"),
        Refusal::NamespaceFull { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "namespace_full"),
        Refusal::PathConflict(_) => (StatusCode::BAD_REQUEST, "path_conflict"),
        Refusal::NoFiles => (StatusCode::BAD_REQUEST, "no_files"),
        Refusal::UploadsUnfinished { .. } => (StatusCode::CONFLICT, "uploads_unfinished"),
        Refusal::Unverified { .. } => (StatusCode::CONFLICT, "verification_pending"),
        Refusal::WrongFile(_) => (StatusCode::CONFLICT, "digest_mismatch"),
        Refusal::DraftChanging => (StatusCode::CONFLICT, "draft_changing"),
        Refusal::AliasChanged { .. } => (StatusCode::PRECONDITION_FAILED, "alias_changed"),
        Refusal::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
        Refusal::KeyInUse => (StatusCode::CONFLICT, "idempotency_key_in_use"),
    };
    let error = ApiError::new(status, code, detail);
    match refusal {
        Refusal::TooManyDrafts { .. } | Refusal::Unverified { .. } | Refusal::DraftChanging | Refusal::KeyInUse => {
            error.retry_after(RETRY_AFTER)
        }
        _ => error,
    }
}

fn from_store(error: StoreError) -> ApiError {
    match &error {
        StoreError::Busy(_) => {
            unavailable("upload_memory_busy", "too many uploads at once: nothing was kept, try again a little later")
        }
        StoreError::TooLarge => ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", error.to_string()),
        StoreError::Unavailable { .. } => {
            unavailable("storage_unavailable", "the object store did not answer in time: nothing was kept, try again")
                .caused_by(error)
        }
        StoreError::Unversioned => unavailable(
            "versioning_pending",
            "the bucket's versioning is not in force: AWS needs up to 15 minutes after it was first enabled, else somebody \
             has suspended it; nothing was kept, try again later",
        ),
        StoreError::Key { .. } => unavailable(
            "encryption_key_unusable",
            "the encryption key cannot be used at the moment; the operator finds the reason in the log",
        )
        .caused_by(error),
        // No Retry-After: it helps only when somebody has changed a permission.
        StoreError::Denied { .. } => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "storage_denied",
            "the object store denied it to the service: the operator finds the reason in the log (a permission that is \
             missing, or a policy statement of somebody else that denies it)",
        )
        .caused_by(error),
        StoreError::PartsMissing { .. } => ApiError::new(StatusCode::CONFLICT, "parts_missing", error.to_string()),
        StoreError::PartMismatch { .. } => ApiError::new(StatusCode::CONFLICT, "part_mismatch", error.to_string()),
        StoreError::NotFound { .. }
        | StoreError::Exists { .. }
        | StoreError::Unfaithful(_)
        | StoreError::Unexpected { .. } => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "storage_failed",
            "the object store did not do what it should; the operator finds the reason in the log",
        )
        .caused_by(error),
    }
}

fn from_catalog(error: CatalogError) -> ApiError {
    if error.is_retryable() {
        unavailable("catalog_unavailable", "the catalog did not answer in time: try again").caused_by(error)
    } else {
        internal().caused_by(error)
    }
}
