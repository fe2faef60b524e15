//! Reading a bucket, setting by setting, without judging it.

use std::collections::BTreeMap;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CorsRule, EncryptionType, NotificationConfiguration, ObjectLockRetentionMode,
    ObjectOwnership, ServerSideEncryption,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::Clients;
use super::fault::{BucketMeaning, Fault, call};
use super::observe::{
    BucketSettings, DefaultEncryption, Lifecycle, Observed, ObservedBucket, ObservedOptions, PublicAccess,
};
use super::spec::{AccessLog, ObjectLock, Options, Retention};

/// Why the bucket cannot be worked with at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketRefused {
    /// It belongs to somebody else, or our role may not list it.
    #[error(
        "bucket `{bucket}` exists but refuses us: it belongs to another account (choose another name), the role lacks \
         s3:ListBucket on it, or its policy (perimeter, VPC endpoint) keeps out whoever is not one of admin_principals"
    )]
    Forbidden {
        /// Its name.
        bucket: String,
    },
    /// It is in another region.
    #[error(
        "bucket `{bucket}` is in region {}, not in {expected}: set the region of the configuration to the bucket's, \
         or choose another name",
        actual.as_deref().unwrap_or("another one")
    )]
    WrongRegion {
        /// Its name.
        bucket: String,
        /// The configured region.
        expected: String,
        /// Where S3 says it is.
        actual: Option<String>,
    },
    /// S3 did not say.
    #[error("cannot learn whether bucket `{bucket}` exists; check the S3 endpoint, the network and the credentials")]
    Unknown {
        /// Its name.
        bucket: String,
        /// What it answered.
        source: Box<Fault>,
    },
}

/// Reads everything about a bucket, `owner` being the account that must own it; of the options only those that are on.
///
/// # Errors
/// Only when the bucket itself cannot be worked with; a setting that cannot be read is an observation.
pub async fn observe_bucket(
    clients: &Clients,
    bucket: &str,
    region: &str,
    owner: Option<&str>,
    options: &Options,
) -> Result<ObservedBucket, BucketRefused> {
    let owner = owner.map(str::to_owned);
    let Clients { s3, patience, .. } = clients;
    let head = s3.head_bucket().bucket(bucket).set_expected_bucket_owner(owner.clone());
    match patience.outwait(|| call("HeadBucket", head.clone().send()), Fault::passes_on_read).await {
        Ok(found) => match found.bucket_region() {
            Some(actual) if actual != region => {
                return Err(BucketRefused::WrongRegion {
                    bucket: bucket.to_owned(),
                    expected: region.to_owned(),
                    actual: Some(actual.to_owned()),
                });
            }
            _ => {}
        },
        Err(fault) => {
            let bucket = bucket.to_owned();
            return match fault.bucket_meaning(region) {
                BucketMeaning::Absent => Ok(ObservedBucket::Absent),
                BucketMeaning::Forbidden => Err(BucketRefused::Forbidden { bucket }),
                BucketMeaning::Elsewhere(actual) => {
                    Err(BucketRefused::WrongRegion { bucket, expected: region.to_owned(), actual })
                }
                BucketMeaning::Unknown => Err(BucketRefused::Unknown { bucket, source: Box::new(fault) }),
            };
        }
    }
    let read = Read { clients, bucket, owner };
    let (public_access, ownership, encryption, versioning, policy, lifecycle, tags, options) = tokio::join!(
        read.public_access(),
        read.ownership(),
        read.encryption(),
        read.versioning(),
        read.policy(),
        read.lifecycle(),
        read.tags(),
        read.options(options),
    );
    let mut settings = BucketSettings {
        public_access,
        ownership,
        encryption,
        versioning,
        policy,
        lifecycle,
        tags,
        options,
        occupied: Observed::Known(true),
    };
    if !settings.marked_ours() {
        settings.occupied = read.occupied().await;
    }
    Ok(ObservedBucket::Present(Box::new(settings)))
}

/// As S3 counts the years of a retention.
const DAYS_OF_A_YEAR: i32 = 365;

/// One bucket being read.
struct Read<'a> {
    clients: &'a Clients,
    bucket: &'a str,
    owner: Option<String>,
}

impl Read<'_> {
    /// Asks once, and again while the answer is "not now".
    async fn ask<T, E, F>(&self, operation: &'static str, send: impl Fn() -> F) -> Result<T, Fault>
    where
        T: RequestId,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        self.clients.patience.outwait(|| call(operation, send()), Fault::passes_on_read).await
    }

    async fn public_access(&self) -> Observed<PublicAccess> {
        let request =
            self.clients.s3.get_public_access_block().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetPublicAccessBlock", || request.clone().send()).await.map(|found| {
            found.public_access_block_configuration().map(|block| PublicAccess {
                block_acls: block.block_public_acls().unwrap_or_default(),
                ignore_acls: block.ignore_public_acls().unwrap_or_default(),
                block_policy: block.block_public_policy().unwrap_or_default(),
                restrict_buckets: block.restrict_public_buckets().unwrap_or_default(),
            })
        }))
    }

    async fn ownership(&self) -> Observed<ObjectOwnership> {
        let request = self
            .clients
            .s3
            .get_bucket_ownership_controls()
            .bucket(self.bucket)
            .set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketOwnershipControls", || request.clone().send()).await.map(|found| {
            let rule = found.ownership_controls().and_then(|controls| controls.rules().first());
            rule.map(|rule| rule.object_ownership().clone())
        }))
    }

    async fn encryption(&self) -> Observed<DefaultEncryption> {
        let request =
            self.clients.s3.get_bucket_encryption().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketEncryption", || request.clone().send()).await.map(|found| {
            let rule = found.server_side_encryption_configuration()?.rules().first()?;
            let default = rule.apply_server_side_encryption_by_default()?;
            let never_set =
                *default.sse_algorithm() == ServerSideEncryption::Aes256 && default.kms_master_key_id().is_none();
            (!never_set).then(|| DefaultEncryption {
                algorithm: default.sse_algorithm().clone(),
                key: default.kms_master_key_id().map(str::to_owned),
                bucket_key: rule.bucket_key_enabled().unwrap_or_default(),
                sse_c_blocked: rule
                    .blocked_encryption_types()
                    .is_some_and(|blocked| blocked.encryption_type().contains(&EncryptionType::SseC)),
            })
        }))
    }

    async fn versioning(&self) -> Observed<BucketVersioningStatus> {
        let request =
            self.clients.s3.get_bucket_versioning().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(
            self.ask("GetBucketVersioning", || request.clone().send()).await.map(|found| found.status().cloned()),
        )
    }

    async fn policy(&self) -> Observed<String> {
        let request =
            self.clients.s3.get_bucket_policy().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(
            self.ask("GetBucketPolicy", || request.clone().send())
                .await
                .map(|found| found.policy().filter(|text| !text.is_empty()).map(str::to_owned)),
        )
    }

    async fn lifecycle(&self) -> Observed<Lifecycle> {
        let request = self
            .clients
            .s3
            .get_bucket_lifecycle_configuration()
            .bucket(self.bucket)
            .set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketLifecycleConfiguration", || request.clone().send()).await.map(|found| {
            Some(Lifecycle {
                rules: found.rules().to_vec(),
                transition_minimum: found.transition_default_minimum_object_size().cloned(),
            })
        }))
    }

    async fn tags(&self) -> Observed<BTreeMap<String, String>> {
        let request =
            self.clients.s3.get_bucket_tagging().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketTagging", || request.clone().send()).await.map(|found| {
            let tags = found.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
            Some(tags.collect())
        }))
    }

    async fn options(&self, wanted: &Options) -> ObservedOptions {
        let mut seen = ObservedOptions::default();
        if wanted.object_lock.is_some() {
            seen.object_lock = self.object_lock().await;
        }
        if wanted.access_log.is_some() {
            seen.access_log = self.access_log().await;
        }
        if wanted.event_bridge {
            seen.notifications = self.notifications().await;
        }
        if !wanted.cors_origins.is_empty() {
            seen.cors = self.cors().await;
        }
        seen
    }

    async fn object_lock(&self) -> Observed<Option<ObjectLock>> {
        let request = self
            .clients
            .s3
            .get_object_lock_configuration()
            .bucket(self.bucket)
            .set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetObjectLockConfiguration", || request.clone().send()).await.map(|found| {
            let lock = found.object_lock_configuration()?;
            lock.object_lock_enabled()?;
            Some(lock.rule().and_then(|rule| rule.default_retention()).and_then(|retention| {
                let days = retention.days().or_else(|| Some(retention.years()?.saturating_mul(DAYS_OF_A_YEAR)))?;
                let mode = match retention.mode()? {
                    ObjectLockRetentionMode::Compliance => Retention::Compliance,
                    _ => Retention::Governance,
                };
                Some(ObjectLock { mode, days })
            }))
        }))
    }

    async fn access_log(&self) -> Observed<AccessLog> {
        let request =
            self.clients.s3.get_bucket_logging().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketLogging", || request.clone().send()).await.map(|found| {
            found.logging_enabled().map(|logging| AccessLog {
                bucket: logging.target_bucket().to_owned(),
                prefix: logging.target_prefix().to_owned(),
            })
        }))
    }

    async fn notifications(&self) -> Observed<NotificationConfiguration> {
        let request = self
            .clients
            .s3
            .get_bucket_notification_configuration()
            .bucket(self.bucket)
            .set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketNotificationConfiguration", || request.clone().send()).await.map(
            |found| {
                let all = NotificationConfiguration::builder()
                    .set_topic_configurations(found.topic_configurations)
                    .set_queue_configurations(found.queue_configurations)
                    .set_lambda_function_configurations(found.lambda_function_configurations)
                    .set_event_bridge_configuration(found.event_bridge_configuration);
                Some(all.build())
            },
        ))
    }

    async fn cors(&self) -> Observed<Vec<CorsRule>> {
        let request =
            self.clients.s3.get_bucket_cors().bucket(self.bucket).set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(self.ask("GetBucketCors", || request.clone().send()).await.map(|found| found.cors_rules))
    }

    async fn occupied(&self) -> Observed<bool> {
        let request = self
            .clients
            .s3
            .list_object_versions()
            .bucket(self.bucket)
            .max_keys(1)
            .set_expected_bucket_owner(self.owner.clone());
        Observed::from_read(
            self.ask("ListObjectVersions", || request.clone().send())
                .await
                .map(|found| Some(!found.versions().is_empty() || !found.delete_markers().is_empty())),
        )
    }
}
