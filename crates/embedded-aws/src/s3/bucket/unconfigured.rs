//! What clients ask of every bucket, about features that this store does not have: "not configured", as on AWS.
//!
//! Access logs and notifications (EventBridge among them) are never delivered, so switching them on is
//! `NotImplemented`: accepted, the setting would be a promise that nobody keeps. Switching them off changes nothing
//! and is accepted.

use crate::s3::{Store, bucket_of, error};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput, GetBucketLoggingInput,
        GetBucketLoggingOutput, GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput,
        GetBucketReplicationInput, GetBucketReplicationOutput, GetBucketRequestPaymentInput,
        GetBucketRequestPaymentOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, NotificationConfiguration, Payer,
        PutBucketLoggingInput, PutBucketLoggingOutput, PutBucketNotificationConfigurationInput,
        PutBucketNotificationConfigurationOutput,
    },
    s3_error,
};

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

pub(in crate::s3) fn put_bucket_logging(
    store: &Store,
    request: S3Request<PutBucketLoggingInput>,
) -> S3Result<S3Response<PutBucketLoggingOutput>> {
    let input = request.input;
    bucket_of(&store.snapshot()?, &input.bucket)?;
    if input.bucket_logging_status.logging_enabled.is_some() {
        return Err(s3_error!(NotImplemented, "Access logs are not supported: this store delivers none"));
    }
    Ok(S3Response::new(PutBucketLoggingOutput::default()))
}

pub(in crate::s3) fn put_bucket_notification_configuration(
    store: &Store,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    let input = request.input;
    bucket_of(&store.snapshot()?, &input.bucket)?;
    if input.notification_configuration != NotificationConfiguration::default() {
        return Err(s3_error!(NotImplemented, "Notifications are not supported: this store sends none"));
    }
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
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
