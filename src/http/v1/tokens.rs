//! API tokens.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::grants::GrantedRole;
use crate::domain::Timestamp;
use crate::http::auth::Authenticated;
use crate::http::extract::{Id, Json, Query};
use crate::http::page::{PageQuery, PageView, cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{NewToken, Registry, TokenRow, TokenWish};

/// Most grants of one request.
const MAX_GRANTS: usize = 100;

/// A token to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenRequest {
    /// 1 to 96 bytes of `A-Z a-z 0-9 . _ -`; the principal is `token:` and this.
    name: String,
    /// What it may do from the start, at most 100 grants.
    #[serde(default)]
    grants: Vec<GrantedRole>,
    /// Seconds until it expires, from 60; never unless it is said.
    expires_in: Option<u64>,
}

/// How a token is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// Seconds until the new token expires, from 60; as long as the old one lived unless it is said. Who only presents the old
    /// one gets none that outlives it.
    expires_in: Option<u64>,
    /// Seconds that the old token goes on, 0 to revoke it at once; a day unless it is said.
    overlap: Option<u64>,
}

/// Which tokens are revoked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RevokeQuery {
    /// `true`: all tokens of its name.
    all: bool,
}

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// Its id.
    id: String,
    /// Its name: tokens of one name are one principal, `token:` and the name.
    name: String,
    /// When it was made, RFC 3339.
    #[schema(format = "date-time")]
    created_at: String,
    /// By whom.
    created_by: String,
    /// When it stops being valid; null: never.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
    /// When it was presented last, to a minute; null: never.
    #[schema(format = "date-time")]
    last_used_at: Option<String>,
    /// When it was revoked; null: it was not.
    #[schema(format = "date-time")]
    revoked_at: Option<String>,
    /// By whom.
    revoked_by: Option<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NewTokenView {
    /// The text, shown this once.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let (revoked_at, revoked_by) = row.revoked.map(|(at, by)| (at.to_string(), by)).unzip();
        Self {
            id: row.id,
            name: row.name,
            created_at: row.created_at.to_string(),
            created_by: row.created_by,
            expires_at: row.expires_at.as_ref().map(Timestamp::to_string),
            last_used_at: row.last_used_at.as_ref().map(Timestamp::to_string),
            revoked_at,
            revoked_by,
        }
    }
}

type Made = (StatusCode, [(HeaderName, HeaderValue); 1], Answer<NewTokenView>);

fn made(NewToken { row, token }: NewToken) -> Made {
    let view = NewTokenView { token: token.expose().to_owned(), view: row.into() };
    (StatusCode::CREATED, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Answer(view))
}

/// Make a token.
///
/// Its text is in this answer and nowhere else: keep it where secrets are kept. Who may give grants on something may
/// make tokens for it.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "access",
    request_body = NewTokenRequest,
    responses(
        (status = 201, body = NewTokenView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_grant`, `invalid_expiry`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
        (status = 404, body = Problem, description = "`model_not_found`, `namespace_not_found`: of a grant"),
        (status = 409, body = Problem, description = "`token_exists`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn make_token(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Json(request): Json<NewTokenRequest>,
) -> Result<Made, ApiError> {
    if request.grants.len() > MAX_GRANTS {
        return Err(ApiError::bad_request("invalid_grant", format!("`grants` has at most {MAX_GRANTS} items")));
    }
    let wish = TokenWish {
        name: request.name,
        grants: request.grants.iter().map(GrantedRole::read).collect::<Result<_, _>>()?,
        life: request.expires_in.map(Duration::from_secs),
    };
    Ok(made(registry.make_token(&caller, wish).await?))
}

/// List tokens: all of them for admins of everything, else those that the caller made.
#[utoipa::path(
    get,
    path = "/v1/tokens",
    tag = "access",
    params(PageQuery),
    responses(
        (status = 200, body = PageView<TokenView>),
        (status = 400, body = Problem, description = "`invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_tokens(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Query(page): Query<PageQuery>,
) -> Result<Answer<PageView<TokenView>>, ApiError> {
    let after: Option<String> = page.after()?;
    let page = registry.tokens(&caller, after.as_deref(), page.limit()?).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Answer(PageView { items: page.items.into_iter().map(TokenView::from).collect(), next_cursor }))
}

/// Revoke a token, at once; revoking it again changes nothing.
///
/// With the last valid token of a name go the grants to the name. `all` revokes every token of its name: for one that was
/// stolen, and may have been rotated.
#[utoipa::path(
    delete,
    path = "/v1/tokens/{id}",
    tag = "access",
    params(("id" = String, Path, description = "The token"), RevokeQuery),
    responses(
        (status = 204, description = "It is revoked"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`token_not_found`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn revoke_token(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    Query(query): Query<RevokeQuery>,
) -> Result<StatusCode, ApiError> {
    registry.revoke_token(&caller, &id, query.all).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate a token: a new one of the same name, while the old one goes on for a while.
#[utoipa::path(
    post,
    path = "/v1/tokens/{id}/rotate",
    tag = "access",
    params(("id" = String, Path, description = "The token")),
    request_body = RotateRequest,
    responses(
        (status = 201, body = NewTokenView),
        (status = 400, body = Problem, description = "`invalid_expiry`, `invalid_json`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`token_not_found`"),
        (status = 409, body = Problem, description = "`too_many_tokens`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn rotate_token(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    Json(request): Json<RotateRequest>,
) -> Result<Made, ApiError> {
    let (life, overlap) = (request.expires_in.map(Duration::from_secs), request.overlap.map(Duration::from_secs));
    Ok(made(registry.rotate_token(&caller, &id, life, overlap).await?))
}
