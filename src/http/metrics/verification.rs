//! What is verified, and what is not, in numbers.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry as Metrics;

use crate::registry::VerificationGauges;

pub(super) fn register(metrics: &mut Metrics, verification: &VerificationGauges) {
    let mut gauge = |name: &str, help: &str, value: u64| {
        metrics.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    gauge("verification_waiting", "Objects whose digest is only the client's word yet", verification.waiting);
    gauge("verification_wrong", "Objects whose bytes are not what was stated: not given out", verification.wrong);
    gauge(
        "verification_missing",
        "Declared objects that this process did not find in the bucket",
        verification.missing,
    );
    let mut counter = |name: &str, help: &str, value: u64| metrics.register(name, help, ConstCounter::new(value));
    counter("verification_verified", "Objects that this process has verified", verification.verified);
    counter("verification_found_wrong", "Objects that this process has found wrong", verification.found_wrong);
    counter("verification_failures", "Reads of this process that did not complete", verification.failures);
    counter("verification_read_bytes", "Bytes that this process has read to verify them", verification.bytes);
}
