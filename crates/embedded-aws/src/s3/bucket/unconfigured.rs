//! What clients ask of every bucket, about features that this store does not have: "not configured", as on AWS.

use crate::s3::{Store, bucket_of, error};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput, GetBucketCorsInput,
        GetBucketCorsOutput, GetBucketLoggingInput, GetBucketLoggingOutput, GetBucketNotificationConfigurationInput,
        GetBucketNotificationConfigurationOutput, GetBucketReplicationInput, GetBucketReplicationOutput,
        GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput,
        GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, Payer,
    },
    s3_error,
};

pub(in crate::s3) fn get_bucket_cors(
    store: &Store,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"))
}

pub(in crate::s3) fn get_bucket_website(
    store: &Store,
    request: S3Request<GetBucketWebsiteInput>,
) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Err(s3_error!(NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration"))
}

pub(in crate::s3) fn get_bucket_replication(
    store: &Store,
    request: S3Request<GetBucketReplicationInput>,
) -> S3Result<S3Response<GetBucketReplicationOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Err(error::custom("ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"))
}

pub(in crate::s3) fn get_object_lock_configuration(
    store: &Store,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Err(s3_error!(ObjectLockConfigurationNotFoundError, "Object Lock configuration does not exist for this bucket"))
}

pub(in crate::s3) fn get_bucket_logging(
    store: &Store,
    request: S3Request<GetBucketLoggingInput>,
) -> S3Result<S3Response<GetBucketLoggingOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Ok(S3Response::new(GetBucketLoggingOutput::default()))
}

pub(in crate::s3) fn get_bucket_notification_configuration(
    store: &Store,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput::default()))
}

pub(in crate::s3) fn get_bucket_accelerate_configuration(
    store: &Store,
    request: S3Request<GetBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<GetBucketAccelerateConfigurationOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    Ok(S3Response::new(GetBucketAccelerateConfigurationOutput::default()))
}

pub(in crate::s3) fn get_bucket_request_payment(
    store: &Store,
    request: S3Request<GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    let payer = Some(Payer::from_static(Payer::BUCKET_OWNER));
    Ok(S3Response::new(GetBucketRequestPaymentOutput { payer }))
}
