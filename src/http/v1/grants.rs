//! Grants, and explanations of decisions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{Alias, Grant, GrantOn, Grantee, ModelRef, Role};
use crate::http::auth::Authenticated;
use crate::http::extract::{Id, Json, Query};
use crate::http::page::{PageView, bounded_limit, cursor, read_cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{self, Action, GrantRow, Known, Place, Question, Registry};

/// A role on something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantedRole {
    /// `reader`, `writer`, `publisher` or `admin`; each may do what the one before it may.
    role: String,
    /// `*`, a namespace, or a model as `namespace/name`.
    #[schema(example = "vision/resnet")]
    on: String,
}

impl GrantedRole {
    pub(super) fn read(&self) -> Result<Grant, ApiError> {
        let invalid = |error| ApiError::bad_request("invalid_grant", error);
        let role: Role = self.role.parse().map_err(invalid)?;
        Ok(Grant { role, on: self.on.parse().map_err(invalid)? })
    }

    pub(super) fn of(grant: &Grant) -> Self {
        Self { role: grant.role.to_string(), on: grant.on.to_string() }
    }
}

/// A role to be given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGrant {
    /// `token:NAME`, `oidc:ISSUER:SUBJECT` or `group:ISSUER:GROUP`.
    #[schema(example = "group:corp:ml-engineers")]
    principal: String,
    /// `reader`, `writer`, `publisher` or `admin`.
    role: String,
    /// `*`, a namespace, or a model as `namespace/name`.
    on: String,
}

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantView {
    /// Its id.
    id: String,
    /// To whom.
    principal: String,
    #[serde(flatten)]
    granted: GrantedRole,
    /// Since when, RFC 3339.
    #[schema(format = "date-time")]
    created_at: String,
    /// By whom.
    created_by: String,
}

impl From<GrantRow> for GrantView {
    fn from(row: GrantRow) -> Self {
        Self {
            granted: GrantedRole::of(&row.grant),
            id: row.id,
            principal: row.principal.to_string(),
            created_at: row.created_at.to_string(),
            created_by: row.created_by,
        }
    }
}

/// Which grants, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantsQuery {
    /// Only grants to this principal or group.
    principal: Option<String>,
    /// Only grants on exactly this; needed by who is not admin of everything.
    on: Option<String>,
    /// Items of the page, 1 to 200; 50 unless asked otherwise.
    limit: Option<usize>,
    /// `next_cursor` of the page before; the first page without.
    cursor: Option<String>,
}

fn invalid(error: crate::domain::InvalidGrant) -> ApiError {
    ApiError::bad_request("invalid_grant", error)
}

/// Give a role to a principal or a group; giving it again changes nothing.
///
/// Who is admin of something may give roles on it.
#[utoipa::path(
    post,
    path = "/v1/grants",
    tag = "access",
    request_body = NewGrant,
    responses(
        (status = 201, body = GrantView),
        (status = 400, body = Problem, description = "`invalid_grant`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
        (status = 404, body = Problem, description = "`model_not_found`, `namespace_not_found`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn give_grant(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Json(NewGrant { principal, role, on }): Json<NewGrant>,
) -> Result<(StatusCode, Answer<GrantView>), ApiError> {
    let grant = GrantedRole { role, on }.read()?;
    let given = registry.give_grant(&caller, principal.parse().map_err(invalid)?, grant).await?;
    Ok((StatusCode::CREATED, Answer(given.into())))
}

/// List grants: on something for its admins, all of them for admins of everything.
#[utoipa::path(
    get,
    path = "/v1/grants",
    tag = "access",
    params(GrantsQuery),
    responses(
        (status = 200, body = PageView<GrantView>),
        (status = 400, body = Problem, description = "`invalid_grant`, `invalid_query`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
        (status = 404, body = Problem, description = "`model_not_found`, `namespace_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_grants(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Query(query): Query<GrantsQuery>,
) -> Result<Answer<PageView<GrantView>>, ApiError> {
    let to: Option<Grantee> = query.principal.as_deref().map(str::parse).transpose().map_err(invalid)?;
    let on: Option<GrantOn> = query.on.as_deref().map(str::parse).transpose().map_err(invalid)?;
    let after: Option<String> = query.cursor.as_deref().map(read_cursor).transpose()?;
    let limit = bounded_limit(query.limit)?;
    let page = registry.grants(&caller, to.as_ref(), on.as_ref(), after.as_deref(), limit).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Answer(PageView { items: page.items.into_iter().map(GrantView::from).collect(), next_cursor }))
}

/// Take a grant back, at once.
#[utoipa::path(
    delete,
    path = "/v1/grants/{id}",
    tag = "access",
    params(("id" = String, Path, description = "The grant")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`grant_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn take_grant_back(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    registry.take_grant_back(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A question about somebody's rights.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorizeRequest {
    /// `token:NAME` or `oidc:ISSUER:SUBJECT`; what was granted to it counts.
    principal: String,
    /// Groups as an identity provider would state them: `ISSUER:GROUP`.
    #[serde(default)]
    groups: Vec<String>,
    /// Claims as an identity provider would state them.
    #[serde(default)]
    claims: BTreeMap<String, String>,
    /// Where the request would come from.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// `read`, `download`, `observe`, `draft`, `publish`, `describe`, `moveAlias`, `moveProtectedAlias`, `delete`,
    /// `govern`, `grant` or `operate`.
    action: String,
    /// A namespace or a model as `namespace/name`; the service itself without.
    on: Option<String>,
    /// An alias of the model.
    alias: Option<String>,
}

/// A decision, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuthorizeView {
    /// Whether it is allowed.
    allowed: bool,
    /// The grants (`grant:ID`) and policies (`FILE:ID`) that decided; none when nothing allows it.
    because: Vec<String>,
    /// What went wrong in policies, which then count for nothing.
    errors: Vec<String>,
}

/// Explain a decision: whether somebody may do something, and which grants and policies say so.
#[utoipa::path(
    post,
    path = "/v1/authorize",
    tag = "access",
    request_body = AuthorizeRequest,
    responses(
        (status = 200, body = AuthorizeView),
        (status = 400, body = Problem, description = "`invalid_grant`, `invalid_action`, `invalid_alias`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn authorize(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Json(request): Json<AuthorizeRequest>,
) -> Result<Answer<AuthorizeView>, ApiError> {
    let principal: Grantee = request.principal.parse().map_err(invalid)?;
    let action: Action = request.action.parse().map_err(|()| {
        let words = Action::ALL.map(Action::as_str).join(", ");
        ApiError::bad_request("invalid_action", format!("an action is one of {words}"))
    })?;
    let on: GrantOn = request.on.as_deref().unwrap_or("*").parse().map_err(invalid)?;
    let alias: Option<Alias> = request
        .alias
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::bad_request("invalid_alias", error))?;
    if alias.is_none() && matches!(action, Action::MoveAlias | Action::MoveProtectedAlias) {
        let detail = "this action is about an alias: say which in `alias`, and its model in `on`";
        return Err(ApiError::bad_request("invalid_alias", detail));
    }
    let issuer = principal.as_str().strip_prefix("oidc:").and_then(|rest| Some(rest.split_once(':')?.0.to_owned()));
    let of = Known {
        principal: principal.to_string(),
        groups: request.groups,
        issuer,
        claims: request.claims,
        address: request.address,
        ..Known::default()
    };
    let on = place(on, alias)?;
    let registry::Verdict { allowed, because, errors } = registry.explain(&caller, Question { of, action, on }).await?;
    Ok(Answer(AuthorizeView { allowed, because, errors }))
}

fn place(on: GrantOn, alias: Option<Alias>) -> Result<Place, ApiError> {
    let of_model = |model: ModelRef, alias| match alias {
        Some(alias) => Place::Alias(model, alias),
        None => Place::Model(model),
    };
    match (on, alias) {
        (GrantOn::Model(model), alias) => Ok(of_model(model, alias)),
        (_, Some(_)) => {
            Err(ApiError::bad_request("invalid_alias", "an alias is one of a model: `on` is `namespace/name`"))
        }
        (GrantOn::Namespace(namespace), None) => Ok(Place::Namespace(namespace)),
        (GrantOn::Everything, None) => Ok(Place::System),
    }
}
