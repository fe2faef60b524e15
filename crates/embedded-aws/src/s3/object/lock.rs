//! Retention and legal hold of one version.

use super::{find, version_ref};
use crate::{
    meta::{
        objects::{self, Refused},
        record::Content,
    },
    s3::{
        Store, clock,
        lock::{no_bucket_lock, parse_hold, retention, shown_hold, shown_mode},
        place_of,
    },
};
use axum::http::Extensions;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
        ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode,
        PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectRetentionInput, PutObjectRetentionOutput,
    },
    s3_error,
};

/// Bucket, key and version id of a request.
type Target<'r> = (&'r str, &'r str, Option<&'r str>);

pub(in crate::s3) fn get_object_retention(
    store: &Store,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<S3Response<GetObjectRetentionOutput>> {
    let S3Request { input, extensions, .. } = request;
    let content = lockable(store, (&input.bucket, &input.key, input.version_id.as_deref()), &extensions)?;
    let retention = content.lock.retention.ok_or_else(unlocked)?;
    let retention = ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from(shown_mode(retention.mode))),
        retain_until_date: Some(clock::timestamp(retention.until_ms)),
    };
    Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
}

/// The access check has asked for the right to bypass when the request says that it wants to.
pub(in crate::s3) async fn put_object_retention(
    store: &Store,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<S3Response<PutObjectRetentionOutput>> {
    let S3Request { input, extensions, .. } = request;
    let wanted = input.retention.ok_or_else(malformed)?;
    let next = match (&wanted.mode, &wanted.retain_until_date) {
        (Some(mode), Some(until)) => Some(retention(mode.as_str(), until)?),
        (None, None) => None,
        _ => return Err(malformed()),
    };
    let (now_ms, bypass) = (clock::now_ms(), input.bypass_governance_retention == Some(true));
    let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
    edit(store, target, &extensions, move |content| {
        if content.lock.retention.is_some_and(|current| !current.may_become(next, now_ms, bypass)) {
            return Err(Refused::Locked);
        }
        content.lock.retention = next;
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutObjectRetentionOutput::default()))
}

pub(in crate::s3) fn get_object_legal_hold(
    store: &Store,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
    let S3Request { input, extensions, .. } = request;
    let content = lockable(store, (&input.bucket, &input.key, input.version_id.as_deref()), &extensions)?;
    let on = content.lock.legal_hold.ok_or_else(unlocked)?;
    let status = Some(ObjectLockLegalHoldStatus::from_static(shown_hold(on)));
    Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status }) }))
}

pub(in crate::s3) async fn put_object_legal_hold(
    store: &Store,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
    let S3Request { input, extensions, .. } = request;
    let status = input.legal_hold.and_then(|hold| hold.status).ok_or_else(malformed)?;
    let on = parse_hold(status.as_str()).map_err(|_| malformed())?;
    let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
    edit(store, target, &extensions, move |content| {
        content.lock.legal_hold = Some(on);
        Ok(())
    })
    .await?;
    Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
}

/// A version in a bucket with Object Lock.
fn lockable(store: &Store, target: Target<'_>, extensions: &Extensions) -> S3Result<Content> {
    let (bucket, key, version_id) = target;
    if store.bucket_lock(bucket)?.is_none() {
        return Err(no_bucket_lock());
    }
    Ok(find(store, bucket, key, version_id, extensions)?.content)
}

async fn edit(
    store: &Store,
    target: Target<'_>,
    extensions: &Extensions,
    change: impl FnOnce(&mut Content) -> Result<(), Refused> + Send + 'static,
) -> S3Result<()> {
    lockable(store, target, extensions)?;
    let (bucket, key, version_id) = target;
    let wanted = version_ref(version_id)?;
    let place = place_of(&store.snapshot()?, bucket, key)?.0;
    store.change::<_, Refused>(move |tables| objects::edit(tables, &place, wanted, change)).await?;
    Ok(())
}

fn unlocked() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}

fn malformed() -> S3Error {
    s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema")
}
