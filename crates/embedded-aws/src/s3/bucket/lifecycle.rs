//! Lifecycle configuration: checked and stored here, carried out by the [housekeeping](crate::s3::housekeeping).

use crate::{meta::MetaError, s3::Store};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, ExpirationStatus,
        GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput, LifecycleRule,
        PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput, TransitionStorageClass,
    },
    s3_error,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const MAX_RULES: usize = 1000;

/// What is stored, as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::s3) struct Lifecycle {
    pub(in crate::s3) rules: Vec<LifecycleRule>,
    /// Given back as it was sent; it would matter to classes that are not supported.
    minimum_size: Option<String>,
}

pub(in crate::s3) async fn put_bucket_lifecycle_configuration(
    store: &Store,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
    let input = request.input;
    let rules = input.lifecycle_configuration.map(|configuration| configuration.rules).unwrap_or_default();
    check(&rules)?;
    let minimum = input.transition_default_minimum_object_size;
    let lifecycle = Lifecycle { rules, minimum_size: minimum.as_ref().map(|size| size.as_str().to_owned()) };
    let json = serde_json::to_string(&lifecycle).map_err(MetaError::from)?;
    store.set(&input.bucket, |settings| settings.lifecycle = Some(json)).await?;
    Ok(S3Response::new(PutBucketLifecycleConfigurationOutput { transition_default_minimum_object_size: minimum }))
}

pub(in crate::s3) fn get_bucket_lifecycle_configuration(
    store: &Store,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let json = settings
        .lifecycle
        .ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist"))?;
    let lifecycle: Lifecycle = serde_json::from_str(&json).map_err(MetaError::from)?;
    Ok(S3Response::new(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.rules),
        transition_default_minimum_object_size: lifecycle.minimum_size.map(Into::into),
    }))
}

pub(in crate::s3) async fn delete_bucket_lifecycle(
    store: &Store,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
    store.set(&request.input.bucket, |settings| settings.lifecycle = None).await?;
    Ok(S3Response::new(DeleteBucketLifecycleOutput::default()))
}

fn check(rules: &[LifecycleRule]) -> S3Result<()> {
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(malformed());
    }
    let mut ids = BTreeSet::new();
    for rule in rules {
        if let Some(id) = &rule.id
            && (id.len() > 255 || !ids.insert(id))
        {
            return Err(s3_error!(InvalidArgument, "Rule ID must be unique and at most 255 characters long"));
        }
        check_rule(rule)?;
    }
    Ok(())
}

fn check_rule(rule: &LifecycleRule) -> S3Result<()> {
    if !matches!(rule.status.as_str(), ExpirationStatus::ENABLED | ExpirationStatus::DISABLED) {
        return Err(malformed());
    }
    if rule.filter.is_some() && rule.prefix.is_some() {
        return Err(malformed());
    }
    check_transitions(rule)?;
    let positive = |days: Option<i32>| days.is_none_or(|days| days > 0);
    let (abort, expiration, noncurrent) =
        (&rule.abort_incomplete_multipart_upload, &rule.expiration, &rule.noncurrent_version_expiration);
    let tiers = rule.transitions.is_some() || rule.noncurrent_version_transitions.is_some();
    if abort.is_none() && expiration.is_none() && noncurrent.is_none() && !tiers {
        return Err(s3_error!(InvalidRequest, "At least one action needs to be specified in a rule"));
    }
    if let Some(abort) = abort {
        let by_more_than_prefix = rule.filter.as_ref().is_some_and(|filter| {
            filter.tag.is_some()
                || filter.object_size_greater_than.is_some()
                || filter.object_size_less_than.is_some()
                || filter.and.is_some()
        });
        if by_more_than_prefix {
            return Err(s3_error!(
                InvalidRequest,
                "AbortIncompleteMultipartUpload cannot be specified with tags or object sizes"
            ));
        }
        if abort.days_after_initiation.is_none_or(|days| days <= 0) {
            return Err(s3_error!(
                InvalidArgument,
                "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"
            ));
        }
    }
    if let Some(expiration) = expiration {
        let given =
            [expiration.days.is_some(), expiration.date.is_some(), expiration.expired_object_delete_marker.is_some()];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(malformed());
        }
        if !positive(expiration.days) {
            return Err(s3_error!(InvalidArgument, "'Days' for Expiration action must be a positive integer"));
        }
    }
    if let Some(noncurrent) = noncurrent
        && (noncurrent.noncurrent_days.is_none_or(|days| days <= 0)
            || noncurrent.newer_noncurrent_versions.is_some_and(|count| !(1..=100).contains(&count)))
    {
        return Err(s3_error!(
            InvalidArgument,
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer"
        ));
    }
    Ok(())
}

/// A rule may move objects to Intelligent-Tiering, once, and before it lets them expire.
fn check_transitions(rule: &LifecycleRule) -> S3Result<()> {
    let current = rule.transitions.iter().flatten().map(|transition| {
        let one_time = transition.days.is_some() != transition.date.is_some();
        (one_time, transition.days, transition.storage_class.as_ref())
    });
    let noncurrent = rule.noncurrent_version_transitions.iter().flatten().map(|transition| {
        let days = transition.noncurrent_days;
        (days.is_some(), days, transition.storage_class.as_ref())
    });
    for (one_time, days, class) in current.chain(noncurrent) {
        if !one_time {
            return Err(malformed());
        }
        if days.is_some_and(|days| days < 0) {
            return Err(s3_error!(InvalidArgument, "'Days' for Transition action must be nonnegative"));
        }
        match class.map(TransitionStorageClass::as_str) {
            Some(TransitionStorageClass::INTELLIGENT_TIERING) => {}
            Some(_) => {
                return Err(s3_error!(NotImplemented, "Transitions to INTELLIGENT_TIERING only are supported"));
            }
            None => return Err(malformed()),
        }
    }
    let counts = [
        rule.transitions.as_ref().map_or(0, Vec::len),
        rule.noncurrent_version_transitions.as_ref().map_or(0, Vec::len),
    ];
    if counts.iter().any(|count| *count > 1) {
        return Err(s3_error!(InvalidRequest, "Found two transitions to the same StorageClass in one rule"));
    }
    let tiered = rule.transitions.iter().flatten().filter_map(|transition| transition.days).max();
    let expired = rule.expiration.as_ref().and_then(|expiration| expiration.days);
    if let (Some(tiered), Some(expired)) = (tiered, expired)
        && expired <= tiered
    {
        return Err(s3_error!(
            InvalidArgument,
            "'Days' in the Expiration action must be greater than 'Days' in the Transition action"
        ));
    }
    Ok(())
}

fn malformed() -> S3Error {
    s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate against our published schema")
}
