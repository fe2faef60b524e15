//! Namespaces.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::AliasPattern;
use crate::http::auth::Authenticated;
use crate::http::extract::{Json, Ns};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{self, NamespaceRow, Registry};

/// A namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceView {
    /// As it was first spelled.
    name: String,
    /// Bytes of all its objects, those of drafts and of the trash included.
    bytes: u64,
    /// Whether every file must be verified before it is published.
    require_verified: bool,
    /// Aliases that only admins may move, and whom a policy allows it.
    protected_aliases: Vec<String>,
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
    /// Aliases that only admins may move, and whom a policy allows it: at most 100 patterns, in which `*` stands for any
    /// characters.
    #[schema(value_type = Option<Vec<String>>)]
    protected_aliases: Option<Vec<String>>,
}

impl From<NamespaceRow> for NamespaceView {
    fn from(namespace: NamespaceRow) -> Self {
        Self {
            name: namespace.name.into(),
            bytes: namespace.bytes,
            require_verified: namespace.require_verified,
            protected_aliases: namespace.protected_aliases.into_iter().map(String::from).collect(),
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

/// Change what a namespace demands and protects.
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
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_json`, `invalid_alias`"),
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
    let patterns = |all: Vec<String>| {
        if all.len() > AliasPattern::MOST {
            let detail = format!("a namespace protects aliases by at most {} patterns", AliasPattern::MOST);
            return Err(ApiError::bad_request("invalid_alias", detail));
        }
        let parsed: Result<Vec<AliasPattern>, _> = all.iter().map(|text| text.parse()).collect();
        parsed.map_err(|error| ApiError::bad_request("invalid_alias", error))
    };
    let change = registry::NamespaceChange {
        require_verified: change.require_verified,
        protected_aliases: change.protected_aliases.map(patterns).transpose()?,
    };
    Ok(Answer(registry.change_namespace(&caller, &name, &change).await?.into()))
}
