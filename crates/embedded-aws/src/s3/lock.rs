//! Object Lock on the wire: what a write asks for, what it must bring along, and what a reader is shown.

use super::{Store, access::Caller, clock};
use crate::meta::{
    lock::{BucketLock, Lock, LockMode, Retention},
    record::Content,
};
use axum::http::Extensions;
use s3s::{
    S3Error, S3Result,
    dto::{ObjectLockLegalHoldStatus, ObjectLockMode, Timestamp},
    s3_error,
};
use std::sync::Arc;

/// The lock that the headers of a write ask for.
macro_rules! requested_lock {
    ($input:expr) => {
        $crate::s3::lock::requested(
            $input.object_lock_mode.as_ref().map(|mode| mode.as_str()),
            $input.object_lock_retain_until_date.as_ref(),
            $input.object_lock_legal_hold_status.as_ref().map(|status| status.as_str()),
        )
    };
}

/// Sets the lock's fields of an output that answers a read.
macro_rules! show_lock {
    ($output:expr, $lock:expr) => {
        if let Some(retention) = $lock.retention {
            $output.object_lock_mode = Some($crate::s3::lock::shown_mode(retention.mode).into());
            $output.object_lock_retain_until_date = Some($crate::s3::clock::timestamp(retention.until_ms));
        }
        $output.object_lock_legal_hold_status =
            $lock.legal_hold.map(|on| $crate::s3::lock::shown_hold(on).to_owned().into());
    };
}

pub(super) use {requested_lock, show_lock};

/// Reads the three headers; mode and date come together.
pub(super) fn requested(mode: Option<&str>, until: Option<&Timestamp>, hold: Option<&str>) -> S3Result<Lock> {
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => Some(retention(mode, until)?),
        _ => {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
            ));
        }
    };
    Ok(Lock { retention, legal_hold: hold.map(parse_hold).transpose()? })
}

/// Reads a retention, which ends in the future.
pub(super) fn retention(mode: &str, until: &Timestamp) -> S3Result<Retention> {
    let until_ms = clock::millis(until);
    if until_ms <= clock::now_ms() {
        return Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"));
    }
    Ok(Retention { mode: parse_mode(mode)?, until_ms })
}

pub(super) fn parse_mode(mode: &str) -> S3Result<LockMode> {
    match mode {
        ObjectLockMode::GOVERNANCE => Ok(LockMode::Governance),
        ObjectLockMode::COMPLIANCE => Ok(LockMode::Compliance),
        _ => Err(s3_error!(InvalidArgument, "Unknown wormMode directive.")),
    }
}

pub(super) fn parse_hold(status: &str) -> S3Result<bool> {
    match status {
        ObjectLockLegalHoldStatus::ON => Ok(true),
        ObjectLockLegalHoldStatus::OFF => Ok(false),
        _ => Err(s3_error!(InvalidArgument, "Legal Hold must be either of 'ON' or 'OFF'")),
    }
}

pub(super) fn shown_mode(mode: LockMode) -> String {
    match mode {
        LockMode::Governance => ObjectLockMode::GOVERNANCE,
        LockMode::Compliance => ObjectLockMode::COMPLIANCE,
    }
    .to_owned()
}

pub(super) fn shown_hold(on: bool) -> &'static str {
    if on { ObjectLockLegalHoldStatus::ON } else { ObjectLockLegalHoldStatus::OFF }
}

/// Refuses a lock where the bucket has none.
pub(super) fn check_bucket(asked: &Lock, bucket: Option<&BucketLock>) -> S3Result<()> {
    if *asked != Lock::default() && bucket.is_none() {
        return Err(no_bucket_lock());
    }
    Ok(())
}

/// Bytes that will be retained must come with a digest; `what` is said in the refusal.
pub(super) fn demand_digest(asked: &Lock, bucket: Option<&BucketLock>, has_digest: bool, what: &str) -> S3Result<()> {
    let locks = *asked != Lock::default() || bucket.is_some_and(|lock| lock.default.is_some());
    if locks && !has_digest {
        return Err(s3_error!(
            InvalidRequest,
            "Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters"
        ));
    }
    Ok(())
}

/// What a reader may know of a version's lock: each half takes a right of its own.
pub(super) fn visible(
    store: &Store,
    content: &Content,
    (bucket, key, version_id): (&str, &str, Option<&str>),
    extensions: &Extensions,
) -> Lock {
    let may = |action| {
        let caller = extensions.get::<Arc<Caller>>();
        caller.is_some_and(|caller| caller.verdict_for(store, action, bucket, Some(key), version_id).is_ok())
    };
    Lock {
        retention: content.lock.retention.filter(|_| may("s3:GetObjectRetention")),
        legal_hold: content.lock.legal_hold.filter(|_| may("s3:GetObjectLegalHold")),
    }
}

pub(super) fn no_bucket_lock() -> S3Error {
    s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration")
}
