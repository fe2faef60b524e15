//! Object Lock of a bucket: only on a versioned one, and never off again.

use crate::{
    meta::{
        lock::{BucketLock, DefaultRetention, Period},
        record::Versioning,
    },
    s3::{
        Store,
        lock::{parse_mode, shown_mode},
    },
};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DefaultRetention as DefaultRetentionDto, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput,
        ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
        PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
    },
    s3_error,
};

/// A hundred years.
const MAX_DAYS: i32 = 36_500;
const MAX_YEARS: i32 = 100;

impl Store {
    /// A bucket's Object Lock; `None` where it was never switched on.
    pub(in crate::s3) fn bucket_lock(&self, bucket: &str) -> S3Result<Option<BucketLock>> {
        Ok(self.configured(bucket)?.1.object_lock)
    }
}

pub(in crate::s3) async fn put_object_lock_configuration(
    store: &Store,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
    let input = request.input;
    let wanted = input.object_lock_configuration.ok_or_else(malformed)?;
    if wanted.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str) != Some(ObjectLockEnabled::ENABLED) {
        return Err(malformed());
    }
    let default = wanted.rule.map(|rule| default_retention(rule.default_retention)).transpose()?;
    store
        .configure(&input.bucket, move |bucket, settings| {
            if bucket.versioning != Versioning::Enabled {
                return Err(s3_error!(
                    InvalidBucketState,
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
                ));
            }
            settings.object_lock = Some(BucketLock { default });
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
}

pub(in crate::s3) fn get_object_lock_configuration(
    store: &Store,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
    let lock = store.bucket_lock(&request.input.bucket)?.ok_or_else(|| {
        s3_error!(ObjectLockConfigurationNotFoundError, "Object Lock configuration does not exist for this bucket")
    })?;
    let rule = lock.default.map(|default| {
        // Both were given as numbers within their bounds.
        let shown = |number| i32::try_from(number).ok();
        let (days, years) = match default.period {
            Period::Days(days) => (shown(days), None),
            Period::Years(years) => (None, shown(years)),
        };
        let mode = Some(ObjectLockRetentionMode::from(shown_mode(default.mode)));
        ObjectLockRule { default_retention: Some(DefaultRetentionDto { days, mode, years }) }
    });
    let enabled = Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED));
    Ok(S3Response::new(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(ObjectLockConfiguration { object_lock_enabled: enabled, rule }),
    }))
}

/// Reads a mode with either days or years.
fn default_retention(given: Option<DefaultRetentionDto>) -> S3Result<DefaultRetention> {
    let given = given.ok_or_else(malformed)?;
    let mode = parse_mode(given.mode.as_ref().ok_or_else(malformed)?.as_str()).map_err(|_| malformed())?;
    let positive = |number: i32, limit: i32| match u32::try_from(number) {
        Ok(number @ 1..) if i64::from(number) <= i64::from(limit) => Ok(number),
        Ok(1..) => Err(s3_error!(InvalidArgument, "Default retention period is too large")),
        _ => Err(s3_error!(InvalidArgument, "Default retention period must be a positive integer value.")),
    };
    let period = match (given.days, given.years) {
        (Some(days), None) => Period::Days(positive(days, MAX_DAYS)?),
        (None, Some(years)) => Period::Years(positive(years, MAX_YEARS)?),
        _ => return Err(malformed()),
    };
    Ok(DefaultRetention { mode, period })
}

fn malformed() -> S3Error {
    s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema")
}
