//! What the sweeper of this process did, in numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Metrics;

use crate::registry::SweepGauges;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// Adds them; those of the last sweep once there was one.
pub(super) fn register(metrics: &mut Metrics, gauges: &SweepGauges) {
    let removed = Family::<KindLabels, Counter>::default();
    let kinds = [
        ("version", gauges.removed.versions),
        ("marker", gauges.removed.markers),
        ("upload", gauges.removed.uploads),
        ("probe", gauges.removed.probes),
        ("object", gauges.removed.objects),
        ("manifest", gauges.removed.manifests),
    ];
    for (kind, count) in kinds {
        removed.get_or_create(&KindLabels { kind }).inc_by(count);
    }
    metrics.register("sweep_removed", "What sweeps of this process removed from the bucket", removed);
    let bytes = ConstCounter::new(gauges.removed.bytes);
    metrics.register("sweep_removed_bytes", "Bytes that sweeps of this process removed", bytes);
    let failures = ConstCounter::new(gauges.failures);
    metrics.register("sweep_failures", "Sweeps of this process that were refused or did not go through", failures);
    if let Some(ended) = gauges.last_success {
        let seconds = ConstGauge::new(std::time::Duration::from_millis(ended.millis().unsigned_abs()).as_secs_f64());
        metrics.register(
            "sweep_last_success_seconds",
            "When a sweep went through last, in seconds since 1970",
            seconds,
        );
    }
    let Some(last) = &gauges.last else { return };
    let mut gauge = |name: &str, help: &str, value: u64| {
        metrics.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    gauge("sweep_refused", "Whether the last sweep refused to remove anything", u64::from(last.refused.is_some()));
    gauge("sweep_seen", "Object versions that the last sweep saw", last.seen.versions);
    gauge("sweep_unreferenced", "Those of them that nothing refers to", last.seen.unreferenced);
    gauge("sweep_waiting", "What the last sweep saw for too short a time to remove it", last.waiting);
    gauge("sweep_denied", "What the role of the last sweep could not remove", last.denied);
    gauge("sweep_missing", "Objects that rows name and the last sweep did not see", last.missing);
    gauge("sweep_purges_waiting", "Versions to be purged that wait for the journal", last.purges_waiting);
}
