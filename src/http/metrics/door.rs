//! Connections and requests, in numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Metrics;

use crate::door::Counts;
use crate::http::limits::Gate;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

fn by_reason<const N: usize>(counts: [(&'static str, u64); N]) -> Family<ReasonLabels, Counter> {
    let family = Family::<ReasonLabels, Counter>::default();
    for (reason, count) in counts {
        family.get_or_create(&ReasonLabels { reason }).inc_by(count);
    }
    family
}

/// Adds them; those of the certificate where the API has one.
pub(super) fn register(metrics: &mut Metrics, counts: &Counts, gate: &Gate) {
    let open = ConstGauge::new(i64::try_from(counts.open()).unwrap_or(i64::MAX));
    metrics.register("connections", "Connections that are open", open);
    let refused = by_reason(counts.all_refused());
    metrics.register("connections_refused", "Connections that found no place", refused);
    let closed = by_reason(counts.all_closed());
    metrics.register("connections_closed", "Connections that were closed because nothing came in time", closed);
    let in_flight = ConstGauge::new(i64::try_from(gate.in_flight()).unwrap_or(i64::MAX));
    metrics.register("requests_in_flight", "Requests that are not answered to the end", in_flight);
    let refused = by_reason(gate.all_refused());
    metrics.register("requests_refused", "Requests that were refused because there were too many", refused);
    if let Some(expires) = counts.certificate_expires() {
        let help = "When the API's certificate expires, in seconds since 1970";
        metrics.register("tls_certificate_expires_seconds", help, ConstGauge::new(expires));
        let failures = ConstCounter::new(counts.certificate_failures());
        metrics.register("tls_certificate_failures", "New certificates that could not be used", failures);
    }
}
