//! Numbers for Prometheus, made from the posture and the catalog at each scrape: they cannot differ from them.

mod door;
mod sweep;
mod verification;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry as Metrics;

use super::auth::Authenticated;
use super::limits::Gate;
use super::problem::{ApiError, Problem};
use crate::door::Counts;
use crate::registry::{AuditGauges, Effect, Gauges, JournalLag, Registry, Status, SweepGauges, VerificationGauges};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClaimLabels {
    claim: &'static str,
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DriftLabels {
    claim: &'static str,
}

/// Get the service's metrics in the text form of OpenMetrics.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = 401, body = Problem),
        (status = 403, body = Problem, description = "`forbidden`")
    ),
    security(("bearer" = []), ("basic" = []))
)]
pub(super) async fn metrics(
    State(registry): State<Registry>,
    Authenticated(caller): Authenticated,
    Extension(gate): Extension<Arc<Gate>>,
    Extension(connections): Extension<Arc<Counts>>,
) -> Result<impl IntoResponse, ApiError> {
    let gauges = registry.gauges(&caller)?;
    // What the catalog does not tell is left out: nothing would look like none.
    let lag = registry.journal_lag(&caller).await.ok();
    let audit = registry.audit_gauges(&caller).await.ok();
    let verification = registry.verification_gauges(&caller).await.ok();
    let sweeps = registry.sweep_gauges(&caller)?;
    let text = exposition(&gauges, lag, audit, &sweeps, verification.as_ref(), (&connections, &gate));
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}

fn exposition(
    gauges: &Gauges,
    journal: Option<JournalLag>,
    audit: Option<AuditGauges>,
    sweeps: &SweepGauges,
    verified: Option<&VerificationGauges>,
    (connections, gate): (&Counts, &Gate),
) -> String {
    let (held, unverified) = (Family::<ClaimLabels, Gauge>::default(), Family::<ClaimLabels, Gauge>::default());
    for (claim, status) in &gauges.claims {
        let effect = match claim.effect() {
            Effect::Blocking => "blocking",
            Effect::Degrading => "degrading",
        };
        let labels = ClaimLabels { claim: claim.as_str(), effect };
        // A claim that cannot be verified neither holds nor fails.
        if *status != Status::NotVerifiable {
            held.get_or_create(&labels).set(i64::from(*status == Status::Passed));
        }
        unverified.get_or_create(&labels).set(i64::from(*status == Status::NotVerifiable));
    }
    let drifts = Family::<DriftLabels, Counter>::default();
    for (claim, count) in &gauges.drifts {
        drifts.get_or_create(&DriftLabels { claim: claim.as_str() }).inc_by(*count);
    }
    let since_1970 = Duration::from_millis(u64::try_from(gauges.last_look.millis()).unwrap_or_default());
    let seconds = ConstGauge::new(since_1970.as_secs_f64());
    let mut metrics = Metrics::with_prefix("strongroom");
    metrics.register("posture_claim", "Whether a claim about the bucket holds: 1 passed, 0 failed", held);
    metrics.register("posture_claim_unverified", "Whether a claim cannot be verified", unverified);
    metrics.register("posture_last_look_seconds", "When the last complete look ended, in seconds since 1970", seconds);
    let took = ConstGauge::new(gauges.look_took.as_secs_f64());
    metrics.register("posture_look_duration_seconds", "How long the last complete look took", took);
    metrics.register("posture_drift", "How often a claim was seen to fail after it had not", drifts);
    let overrides = ConstGauge::new(gauges.overrides as i64);
    metrics.register("posture_overrides", "Overrides of claims in force", overrides);
    let refused = ConstGauge::new(i64::from(gauges.writes_refused));
    metrics.register("writes_refused", "Whether new bytes are refused because the bucket is not proven safe", refused);
    if let Some(JournalLag { entries, age }) = journal {
        let help = "Changes that the journal in the bucket does not have yet";
        metrics.register("journal_lag_entries", help, ConstGauge::new(entries));
        let help = "How long the oldest change has waited for the journal: what a rebuild would lose";
        metrics.register("journal_lag_seconds", help, ConstGauge::new(age.as_secs_f64()));
    }
    if let Some(AuditGauges { entries, unvouched }) = audit {
        metrics.register("audit_entries", "Entries of the audit log", ConstGauge::new(entries));
        let help = "Entries of the audit log after the last head that this process wrote into the bucket";
        metrics.register("audit_unvouched_entries", help, ConstGauge::new(unvouched));
    }
    metrics.register("build", "The running release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    sweep::register(&mut metrics, sweeps);
    door::register(&mut metrics, connections, gate);
    if let Some(verified) = verified {
        verification::register(&mut metrics, verified);
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    _ = text::encode(&mut text, &metrics);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::registry::ClaimId;

    #[test]
    fn exposition_has_the_names_that_the_documentation_lists() {
        let gauges = Gauges {
            claims: vec![
                (ClaimId::Versioned, Status::Failed),
                (ClaimId::Tagged, Status::Passed),
                (ClaimId::KeyPolicyLimits, Status::NotVerifiable),
            ],
            drifts: vec![(ClaimId::Versioned, 2)],
            last_look: Timestamp::from_millis(1_500),
            look_took: Duration::from_millis(250),
            writes_refused: true,
            overrides: 1,
        };
        let lag = JournalLag { entries: 3, age: Duration::from_millis(1_500) };
        let audit = AuditGauges { entries: 12, unvouched: 2 };
        let verified = VerificationGauges { waiting: 7, verified: 9, ..VerificationGauges::default() };
        let door = crate::config::from_sources(None, std::iter::empty(), &[]).unwrap().door;
        let pace = crate::http::request_body::Pace { idle: Duration::from_secs(1), min_rate: 0 };
        let gate = Gate::new(&door.requests, pace, tokio_util::sync::CancellationToken::new());
        let counts = Counts::default();
        let text =
            exposition(&gauges, Some(lag), Some(audit), &SweepGauges::default(), Some(&verified), (&counts, &gate));
        for line in [
            r#"strongroom_posture_claim{claim="versioned",effect="blocking"} 0"#,
            r#"strongroom_posture_claim{claim="tagged",effect="degrading"} 1"#,
            r#"strongroom_posture_claim_unverified{claim="key_policy_limits",effect="degrading"} 1"#,
            r#"strongroom_posture_claim_unverified{claim="versioned",effect="blocking"} 0"#,
            r#"strongroom_posture_drift_total{claim="versioned"} 2"#,
            "strongroom_posture_last_look_seconds 1.5",
            "strongroom_posture_look_duration_seconds 0.25",
            "strongroom_posture_overrides 1",
            "strongroom_writes_refused 1",
            "strongroom_journal_lag_entries 3",
            "strongroom_journal_lag_seconds 1.5",
            "strongroom_audit_entries 12",
            "strongroom_audit_unvouched_entries 2",
            "strongroom_verification_waiting 7",
            "strongroom_verification_missing 0",
            "strongroom_verification_verified_total 9",
            "strongroom_connections 0",
            r#"strongroom_connections_refused_total{reason="address"} 0"#,
            r#"strongroom_connections_closed_total{reason="head"} 0"#,
            "strongroom_requests_in_flight 0",
            r#"strongroom_requests_refused_total{reason="overload"} 0"#,
            concat!(r#"strongroom_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains(r#"posture_claim{claim="key_policy_limits""#), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
