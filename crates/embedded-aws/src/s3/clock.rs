//! Times: milliseconds in records, `Timestamp` on the wire.

use s3s::dto::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// Milliseconds since 1970; a clock before that counts as 1970.
pub(super) fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Whole seconds, in lists and headers alike, as S3 tells times.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH).into()
}

pub(super) fn millis(timestamp: &Timestamp) -> i64 {
    let nanos = OffsetDateTime::from(timestamp.clone()).unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)
}
