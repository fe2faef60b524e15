//! Namespaces.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::auth::Authenticated;
use crate::http::extract::{Json, Ns};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{NamespaceRow, Registry};

/// A namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceView {
    /// As it was first spelled.
    name: String,
    /// Bytes of all its objects, those of drafts and of the trash included.
    bytes: u64,
    /// Whether every file must be verified before it is published.
    require_verified: bool,
    /// RFC 3339, UTC.
    #[schema(format = "date-time")]
    created_at: String,
}

/// What of a namespace is to change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceChange {
    /// Whether every file must be verified before it is published.
    require_verified: Option<bool>,
}

impl From<NamespaceRow> for NamespaceView {
    fn from(namespace: NamespaceRow) -> Self {
        Self {
            name: namespace.name.into(),
            bytes: namespace.bytes,
            require_verified: namespace.require_verified,
            created_at: namespace.created_at.to_string(),
        }
    }
}

/// Get a namespace: how many bytes it holds, and what it demands.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{ns}",
    tag = "namespaces",
    params(("ns" = String, Path, description = "Namespace")),
    responses(
        (status = 200, body = NamespaceView),
        (status = 400, body = Problem, description = "`invalid_name`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`namespace_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_namespace(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Ns(name): Ns,
) -> Result<Answer<NamespaceView>, ApiError> {
    Ok(Answer(registry.namespace(&caller, &name).await?.into()))
}

/// Change what a namespace demands.
///
/// With `require_verified`, a draft is published only when the service has computed the SHA-256 of every file itself.
/// A namespace that nothing was stored in is made; versions that are published stay as they are.
#[utoipa::path(
    patch,
    path = "/v1/namespaces/{ns}",
    tag = "namespaces",
    params(("ns" = String, Path, description = "Namespace")),
    request_body = NamespaceChange,
    responses(
        (status = 200, body = NamespaceView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`namespace_not_found`: nothing was to be changed"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn change_namespace(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Ns(name): Ns,
    Json(change): Json<NamespaceChange>,
) -> Result<Answer<NamespaceView>, ApiError> {
    Ok(Answer(registry.change_namespace(&caller, &name, change.require_verified).await?.into()))
}
