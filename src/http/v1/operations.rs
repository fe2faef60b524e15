//! For operators, and for those who wonder who they are.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::grants::GrantedRole;
use crate::http::auth::Authenticated;
use crate::http::problem::{ApiError, Problem};
use crate::registry::Registry;

/// Where things are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutputsView {
    /// The bucket's name.
    bucket: String,
    /// Its region.
    region: String,
    /// Full ARN of the KMS key.
    kms_key_arn: String,
    /// The KMS alias of the key; null when the key is the operator's own.
    kms_key_alias: Option<String>,
}

/// Get the bucket, its region, its key and the key's alias.
#[utoipa::path(
    get,
    path = "/v1/outputs",
    tag = "operations",
    responses(
        (status = 200, body = OutputsView),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`"),
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn outputs(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
) -> Result<Json<OutputsView>, ApiError> {
    let outputs = registry.outputs(&caller).await?;
    Ok(Json(OutputsView {
        bucket: outputs.bucket.clone(),
        region: outputs.region.clone(),
        kms_key_arn: outputs.key_arn.as_str().to_owned(),
        kms_key_alias: outputs.key_alias.clone(),
    }))
}

/// Who is calling.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoamiView {
    /// Stable name, recorded with what the caller makes: `token:NAME` or `oidc:ISSUER:SUBJECT`.
    principal: String,
    /// Groups, as the identity provider states them.
    groups: Vec<String>,
    /// What was granted to the caller and to the groups; policies of the operator may allow or forbid more.
    grants: Vec<GrantedRole>,
    /// When what was presented stops being valid; null: never.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

/// Say who is calling.
#[utoipa::path(
    get,
    path = "/v1/whoami",
    tag = "access",
    responses((status = 200, body = WhoamiView), (status = 401, body = Problem)),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn whoami(Authenticated(caller): Authenticated) -> Json<WhoamiView> {
    Json(WhoamiView {
        principal: caller.principal,
        groups: caller.groups,
        grants: caller.grants.iter().map(|row| GrantedRole::of(&row.grant)).collect(),
        expires_at: caller.expires_at.map(|at| at.to_string()),
    })
}
