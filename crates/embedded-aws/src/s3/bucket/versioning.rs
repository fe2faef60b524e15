//! Bucket versioning: once enabled it can be suspended, never switched off.

use crate::{
    meta::{MetaError, lookup, objects::Refused, record::Versioning},
    s3::{Store, bucket_of},
};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput, PutBucketVersioningInput,
        PutBucketVersioningOutput,
    },
    s3_error,
};

pub(in crate::s3) async fn put_bucket_versioning(
    store: &Store,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let input = request.input;
    let wanted = &input.versioning_configuration;
    if wanted.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() == "Enabled") {
        return Err(s3_error!(NotImplemented, "MFA delete is not supported"));
    }
    let versioning = match wanted.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => {
            return Err(s3_error!(IllegalVersioningConfigurationException, "The Versioning element must be specified"));
        }
    };
    let name = input.bucket;
    store
        .change(move |tables| {
            let Some(mut bucket) = lookup::bucket(&tables.buckets, &name)? else {
                return Ok(Err(S3Error::from(Refused::NoSuchBucket)));
            };
            let locked = lookup::settings(&tables.settings, bucket.id)?.object_lock.is_some();
            if locked && versioning != Versioning::Enabled {
                return Ok(Err(s3_error!(
                    InvalidBucketState,
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                )));
            }
            bucket.versioning = versioning;
            let record = serde_json::to_vec(&bucket).map_err(MetaError::from)?;
            tables.buckets.insert(name.as_str(), record.as_slice())?;
            Ok(Ok(()))
        })
        .await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

pub(in crate::s3) fn get_bucket_versioning(
    store: &Store,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = bucket_of(&store.snapshot()?, &request.input.bucket)?;
    let status = match bucket.versioning {
        Versioning::Unversioned => None,
        Versioning::Enabled => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
        Versioning::Suspended => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::SUSPENDED)),
    };
    Ok(S3Response::new(GetBucketVersioningOutput { status, mfa_delete: None }))
}
