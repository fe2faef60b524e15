//! For operators, and for those who wonder who they are.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Role;
use crate::http::auth::Authenticated;
use crate::http::problem::Problem;
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
    responses((status = 200, body = OutputsView), (status = 401, body = Problem)),
    security(("bearer" = []), ("basic" = []))
)]
pub(crate) async fn outputs(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
) -> Json<OutputsView> {
    let outputs = registry.outputs(&caller);
    Json(OutputsView {
        bucket: outputs.bucket.clone(),
        region: outputs.region.clone(),
        kms_key_arn: outputs.key_arn.as_str().to_owned(),
        kms_key_alias: outputs.key_alias.clone(),
    })
}

/// Who is calling.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhoamiView {
    /// Stable name, recorded with what the caller makes.
    principal: String,
    /// What the caller may do.
    role: Role,
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
    Json(WhoamiView { principal: caller.principal, role: caller.role })
}
