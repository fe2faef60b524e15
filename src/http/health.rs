//! For load balancers: status words only.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::registry::{Registry, Status};

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// `ok` or `failing`.
    status: &'static str,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadinessView {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Reading: `ok` or `failing`.
    catalog: &'static str,
    /// Taking new bytes: `ok` or `refused`. Refused writes leave the service ready: it still gives bytes out.
    writes: &'static str,
    /// All claims about the bucket together: `passed`, `failed` or `not_verifiable`.
    posture: Status,
    /// The bucket was not looked at for longer than it should be.
    stale: bool,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = StatusView)))]
pub(super) async fn healthz() -> Json<StatusView> {
    Json(StatusView { status: "ok" })
}

/// Whether requests should be sent here.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = ReadinessView), (status = 503, body = ReadinessView)))]
pub(super) async fn readyz(State(registry): State<Registry>) -> (StatusCode, Json<ReadinessView>) {
    let readiness = registry.readiness().await;
    let (code, status) =
        if readiness.catalog { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    let catalog = if readiness.catalog { "ok" } else { "failing" };
    let writes = if readiness.writes { "ok" } else { "refused" };
    let (posture, stale) = (readiness.posture, readiness.stale);
    (code, Json(ReadinessView { status, catalog, writes, posture, stale }))
}
