//! `PATCH …/versions/{number}`: what is said of a version; its files never change.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::versions::{Tagged, revision_tag, tagged};
use crate::domain::{Description, Metadata};
use crate::http::auth::Authenticated;
use crate::http::extract::{self, Numbered};
use crate::http::problem::{ApiError, Problem};
use crate::registry::{Registry, Said};

/// What to say of a version; what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields, expecting = "an object with metadata, description or both")]
pub(crate) struct VersionPatch {
    /// All of it, at most 64 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// All of it, at most 16 KiB; empty takes it away.
    description: Option<String>,
}

/// Change metadata and description of a version.
///
/// `If-Match` has the `ETag` that came with the version, so that nobody overwrites what he has not seen; `*` overwrites
/// whatever is there.
#[utoipa::path(
    patch,
    path = "/v1/models/{ns}/{name}/versions/{ref}",
    tag = "versions",
    params(
        ("ns" = String, Path, description = "Namespace"),
        ("name" = String, Path, description = "Model name"),
        ("ref" = String, Path, description = "Number, and nothing else"),
        ("If-Match" = String, Header, description = "The `ETag` that came with the version"),
    ),
    request_body = VersionPatch,
    responses(
        (status = 200, body = super::versions::VersionView),
        (status = 400, body = Problem, description = "`invalid_name`, `invalid_ref`, `number_required`, `invalid_json`, `invalid_metadata`, `invalid_description`, `nothing_to_change`, `invalid_if_match`"),
        (status = 401, body = Problem),
        (status = 404, body = Problem, description = "`model_not_found`, `version_not_found`"),
        (status = 409, body = Problem, description = "`model_deleted`"),
        (status = 410, body = Problem, description = "`version_deleted`"),
        (status = 412, body = Problem, description = "`revision_mismatch`"),
        (status = 413, body = Problem, description = "`body_too_large`"),
        (status = 415, body = Problem, description = "`unsupported_media_type`"),
        (status = 422, body = Problem, description = "`invalid_json`"),
        (status = 428, body = Problem, description = "`if_match_required`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn patch_version(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Numbered { model, number }: Numbered,
    headers: HeaderMap,
    extract::Json(VersionPatch { metadata, description }): extract::Json<VersionPatch>,
) -> Result<Tagged, ApiError> {
    let revision = revision(&headers)?;
    if metadata.is_none() && description.is_none() {
        return Err(ApiError::bad_request("nothing_to_change", "the body says neither `metadata` nor `description`"));
    }
    let metadata = metadata.map(|map| Metadata::from_json(Value::Object(map).to_string().as_bytes()));
    let metadata = metadata.transpose().map_err(|error| ApiError::bad_request("invalid_metadata", error))?;
    let description: Option<Result<Description, _>> = description.as_deref().map(str::parse);
    let description = description.transpose().map_err(|error| ApiError::bad_request("invalid_description", error))?;
    let version = registry.describe_version(&caller, &model, number, revision, &Said { metadata, description }).await?;
    tagged(&registry, &caller, version).await
}

/// The revision that the caller has seen; none: whichever it is.
fn revision(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let required = || {
        ApiError::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if_match_required",
            "send the ETag that came with the version in `If-Match`, or `If-Match: *` to overwrite whatever is there",
        )
    };
    let text = headers.get(header::IF_MATCH).ok_or_else(required)?.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let inner = text.strip_prefix("\"revision-").and_then(|rest| rest.strip_suffix('"'));
    let revision = inner.and_then(|number| number.parse().ok()).filter(|number| revision_tag(*number) == text);
    let invalid =
        || ApiError::bad_request("invalid_if_match", "`If-Match` is one ETag that came with a version, or `*`");
    revision.map(Some).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tag_of_a_revision_or_a_star_matches() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, text.parse().unwrap());
            revision(&headers).ok()
        };
        assert_eq!(of("*"), Some(None));
        assert_eq!(of(&revision_tag(7)), Some(Some(7)));
        for text in ["", "7", "\"7\"", "W/\"revision-7\"", "\"revision-07\"", "\"revision-1\", \"revision-2\""] {
            assert_eq!(of(text), None, "{text}");
        }
        assert!(revision(&HeaderMap::new()).is_err());
    }
}
