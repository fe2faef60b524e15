//! Aliases of a model's versions: move, remove, list, and where each has been.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{AliasChange, Expected, VersionNumber};
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Model, NamedAlias, Query};
use crate::http::page::{PageQuery, PageView, cursor};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{AliasMove, AliasRow, Error, Registry};

/// Where an alias is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with version, expected and reason")]
pub(crate) struct AliasRequest {
    /// A published version.
    #[schema(value_type = i64, minimum = 1)]
    version: VersionNumber,
    /// The version that the alias must name before: left out, it may name any or be new; null, it must be new.
    #[serde(default, deserialize_with = "stated")]
    #[schema(value_type = Option<i64>, minimum = 1)]
    expected: Expected,
    /// Why, for the history: at most 500 characters.
    #[serde(default)]
    reason: String,
}

/// A field that was stated, be it null; one that is left out is the default.
pub(super) fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Expected, D::Error> {
    let number: Option<VersionNumber> = Option::deserialize(deserializer)?;
    Ok(number.map_or(Expected::Absent, Expected::Version))
}

/// What must hold for an alias to be removed, and why it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemoveQuery {
    /// The version that the alias must name; whichever unless stated.
    #[param(value_type = Option<i64>, minimum = 1)]
    expected: Option<VersionNumber>,
    /// Why, for the history: at most 500 characters.
    #[serde(default)]
    #[param(required = false)]
    reason: String,
}

/// An alias.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AliasView {
    /// Its name; in a URL, `%2F` stands for each `/`.
    #[schema(example = "production")]
    name: String,
    /// The version that it names.
    #[schema(minimum = 1)]
    version: i64,
    /// When it was moved there, RFC 3339.
    #[schema(format = "date-time")]
    updated_at: String,
    /// Who moved it.
    updated_by: String,
}

/// One move of an alias.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AliasMoveView {
    /// The version that it named; null when it was new.
    from: Option<i64>,
    /// The version that it named then; null when it was removed.
    to: Option<i64>,
    /// When, RFC 3339.
    #[schema(format = "date-time")]
    at: String,
    /// By whom.
    by: String,
    /// Why, as was said.
    reason: String,
}

impl From<AliasRow> for AliasView {
    fn from(row: AliasRow) -> Self {
        Self {
            name: row.name.into(),
            version: row.number.get(),
            updated_at: row.updated_at.to_string(),
            updated_by: row.updated_by,
        }
    }
}

impl From<AliasMove> for AliasMoveView {
    fn from(made: AliasMove) -> Self {
        Self {
            from: made.from.map(VersionNumber::get),
            to: made.to.map(VersionNumber::get),
            at: made.at.to_string(),
            by: made.by,
            reason: made.reason,
        }
    }
}

fn reason(text: &str) -> Result<String, ApiError> {
    AliasChange::checked_reason(text).map_err(|invalid| Error::Reason(invalid).into())
}

/// Set an alias, or move it from the version that it is expected to name.
///
/// Repeating it when the alias is there already succeeds and writes nothing.
#[utoipa::path(
    put,
    path = "/v1/models/{ns}/{name}/aliases/{alias}",
    tag = "aliases",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("alias" = String, Path, description = "Alias; `%2F` stands for `/`"),
    ),
    request_body = AliasRequest,
    responses(
        (status = 200, body = AliasView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_alias`, `invalid_json`, `invalid_reason`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`version_quarantined`, `too_many_aliases`"),
        (status = 410, body = Problem, description = "`model_deleted`, `version_deleted`"),
        (status = 412, body = Problem, description = "`alias_changed`: it is not where it was expected to be"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn set_alias(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    NamedAlias { model, alias }: NamedAlias,
    extract::Json(wish): extract::Json<Option<AliasRequest>>,
) -> Result<Json<AliasView>, ApiError> {
    let missing = || ApiError::bad_request("invalid_json", "the body is `{\"version\", \"expected\", \"reason\"}`");
    let AliasRequest { version, expected, reason: why } = wish.ok_or_else(missing)?;
    let change = AliasChange { alias: alias.clone(), to: Some(version), expected, reason: reason(&why)? };
    let moved = registry.change_alias(&caller, &model, &change).await?;
    let moved = moved.ok_or(Error::AliasNotFound { model, alias })?;
    Ok(Json(moved.into()))
}

/// Remove an alias; its history stays.
#[utoipa::path(
    delete,
    path = "/v1/models/{ns}/{name}/aliases/{alias}",
    tag = "aliases",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("alias" = String, Path, description = "Alias; `%2F` stands for `/`"),
        RemoveQuery,
    ),
    responses(
        (status = 204),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_alias`, `invalid_query`, `invalid_reason`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `alias_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
        (status = 412, body = Problem, description = "`alias_changed`: it is not where it was expected to be"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn remove_alias(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    NamedAlias { model, alias }: NamedAlias,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, ApiError> {
    let expected = query.expected.map_or(Expected::Any, Expected::Version);
    let change = AliasChange { alias, to: None, expected, reason: reason(&query.reason)? };
    registry.change_alias(&caller, &model, &change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get one alias.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/aliases/{alias}",
    tag = "aliases",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("alias" = String, Path, description = "Alias; `%2F` stands for `/`"),
    ),
    responses(
        (status = 200, body = AliasView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_alias`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `alias_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn get_alias(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    NamedAlias { model, alias }: NamedAlias,
) -> Result<Json<AliasView>, ApiError> {
    Ok(Json(registry.alias(&caller, &model, &alias).await?.into()))
}

/// List the aliases of a model, by name.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/aliases",
    tag = "aliases",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        PageQuery,
    ),
    responses(
        (status = 200, body = PageView<AliasView>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn list_aliases(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Model(model): Model,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageView<AliasView>>, ApiError> {
    let after = page.after()?;
    let page = registry.aliases(&caller, &model, after.as_ref(), page.limit()?).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Json(PageView { items: page.items.into_iter().map(AliasView::from).collect(), next_cursor }))
}

/// List where an alias has been, newest first; also after it was removed.
#[utoipa::path(
    get,
    path = "/v1/models/{ns}/{name}/aliases/{alias}/history",
    tag = "aliases",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("alias" = String, Path, description = "Alias; `%2F` stands for `/`"),
        PageQuery,
    ),
    responses(
        (status = 200, body = PageView<AliasMoveView>),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_alias`, `invalid_limit`, `invalid_cursor`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `alias_not_found`"),
        (status = 410, body = Problem, description = "`model_deleted`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn alias_history(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    NamedAlias { model, alias }: NamedAlias,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageView<AliasMoveView>>, ApiError> {
    let page = registry.alias_history(&caller, &model, &alias, page.after()?, page.limit()?).await?;
    let next_cursor = page.next.as_ref().map(cursor);
    Ok(Json(PageView { items: page.items.into_iter().map(AliasMoveView::from).collect(), next_cursor }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_from_null() {
        let of = |json: &str| serde_json::from_str::<AliasRequest>(json).map(|wish| wish.expected);
        assert_eq!(of(r#"{"version":7}"#).unwrap(), Expected::Any);
        assert_eq!(of(r#"{"version":7,"expected":null}"#).unwrap(), Expected::Absent);
        assert_eq!(of(r#"{"version":7,"expected":6}"#).unwrap(), Expected::Version(VersionNumber::new(6).unwrap()));
        for bad in [r#"{"version":0}"#, r#"{"version":7,"expected":0}"#, r#"{"version":7,"expect":6}"#, "{}"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
