//! What is configured, for what operators write down and grant by hand: nobody is asked, but for the ARN of the key.

use super::aws;
use super::back_end::{self, BackEndError};
use super::bucket::{self, BucketError};
use crate::config::{Config, Storage};
use crate::provision::{BackEnd, KeyArn, Wanted};

/// The bucket and the key as configured; no call is made.
///
/// # Errors
/// [`BackEndError::Region`], when neither the environment nor the profile says the region.
pub async fn wanted(config: &Config) -> Result<Wanted, BackEndError> {
    let (kind, region, endpoint) = match &config.storage {
        Storage::Embedded { .. } => (BackEnd::Embedded, back_end::EMBEDDED_REGION.to_owned(), None),
        Storage::S3 { endpoint, kms_endpoint, .. } => {
            let region = aws::configured_region().await.ok_or(BackEndError::Region)?;
            (back_end::kind_of(endpoint.as_deref(), kms_endpoint.as_deref()), region, endpoint.as_deref())
        }
    };
    Ok(back_end::wanted(config, kind, region, endpoint))
}

/// The ARN of the key: as configured, or else asked of KMS.
///
/// # Errors
/// [`BucketError`], also when there is no key yet.
pub async fn key(config: &Config) -> Result<Option<KeyArn>, BucketError> {
    match &config.kms_key_arn {
        Some(arn) => Ok(Some(arn.clone())),
        None => Ok(bucket::outputs(config).await?.key_arn.parse().ok()),
    }
}

/// The role that is assumed for provisioning, if any.
pub fn provision_role(config: &Config) -> Option<&str> {
    match &config.storage {
        Storage::S3 { provision_role_arn, .. } => provision_role_arn.as_deref(),
        Storage::Embedded { .. } => None,
    }
}
