//! Changes to the bucket, done: one idempotent call per change, no decisions.

use aws_sdk_s3::operation::create_bucket::builders::CreateBucketFluentBuilder;
use aws_sdk_s3::types::{
    BlockedEncryptionTypes, BucketLifecycleConfiguration, BucketLocationConstraint, BucketLoggingStatus,
    BucketVersioningStatus, CorsConfiguration, CreateBucketConfiguration, DefaultRetention, EncryptionType,
    LoggingEnabled, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    ObjectOwnership, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};

use super::Clients;
use super::change::{Change, Step};
use super::fault::{Fault, Meaning, call};
use super::observe::DefaultEncryption;
use super::spec::{BackEnd, BucketSpec, ObjectLock, Retention};

/// The region whose name must not be sent: it is what a missing location means.
const REGION_WITHOUT_NAME: &str = "us-east-1";

/// What the bucket policy asks for beside permissions, with the perimeter or the VPC endpoint on.
const ADMINISTRATORS_ONLY: &str =
    " (and with the perimeter or the VPC endpoint on, the bucket policy lets only admin_principals: be one of them)";

/// How a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is in force, or will be once the back end has caught up.
    Done,
    /// The back end has no such setting.
    Unsupported,
    /// Another replica was faster; what follows must be planned anew.
    Superseded,
}

/// Why a change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The bucket's name belongs to somebody else, anywhere in the world.
    #[error("the bucket name `{bucket}` is taken by another account; choose another one")]
    NameTaken {
        /// The name.
        bucket: String,
    },
    /// The role may not.
    #[error("not allowed to {change}; grant the role {actions}{fence}, or set STRONGROOM_PROVISION=verify")]
    Denied {
        /// What was tried.
        change: String,
        /// The IAM actions it takes.
        actions: &'static str,
        /// What else it takes where the bucket policy keeps others out.
        fence: &'static str,
        /// What the server said.
        source: Box<Fault>,
    },
    /// The endpoint serves another region.
    #[error("cannot {change}: the endpoint is not one of region {region}; set the region to the endpoint's")]
    WrongLocation {
        /// What was tried.
        change: String,
        /// The configured region.
        region: String,
        /// What the server said.
        source: Box<Fault>,
    },
    /// A policy names nobody, and still did when all patience was over.
    #[error(
        "could not {change}: AWS does not know a principal that the policy names; check that the roles in \
         STRONGROOM_RUNTIME_PRINCIPALS and STRONGROOM_ADMIN_PRINCIPALS exist, and remove statements of others that name \
         a deleted role (AROA…)"
    )]
    UnknownPrincipal {
        /// What was tried.
        change: String,
        /// What the server said.
        source: Box<Fault>,
    },
    /// Anything else.
    #[error("could not {change}")]
    Failed {
        /// What was tried.
        change: String,
        /// What the server said.
        source: Box<Fault>,
    },
}

impl ApplyError {
    pub(super) fn new(change: &Change, source: Fault) -> Self {
        let (told, actions) = (change.to_string(), change.actions());
        let source = Box::new(source);
        if source.denied() {
            Self::Denied { change: told, actions, fence: "", source }
        } else if source.names_unknown_principal() {
            Self::UnknownPrincipal { change: told, source }
        } else {
            Self::Failed { change: told, source }
        }
    }
}

/// Makes one change to the bucket; a change to the key is left alone.
///
/// Conflicts, throttling, lost answers and slow propagation are waited out, for as long as the clients' patience.
///
/// # Errors
/// Whatever the back end finally says, but for settings it does not know.
pub async fn apply_bucket(clients: &Clients, spec: &BucketSpec, change: &Change) -> Result<Applied, ApplyError> {
    match clients.patience.outwait(|| put(&clients.s3, spec, change), Fault::passes_on_bucket).await {
        Ok(()) => Ok(Applied::Done),
        Err(fault) => judge(spec, change, fault),
    }
}

/// What the failure of a change means.
fn judge(spec: &BucketSpec, change: &Change, fault: Fault) -> Result<Applied, ApplyError> {
    let creates = matches!(change.step(), Step::CreateBucket { .. });
    match fault.code.as_deref() {
        Some("BucketAlreadyOwnedByYou") if creates => return Ok(Applied::Done),
        Some("BucketAlreadyExists") if creates => {
            return Err(ApplyError::NameTaken { bucket: spec.bucket.clone() });
        }
        Some("InvalidLocationConstraint" | "IllegalLocationConstraintException") if creates => {
            let (change, region) = (change.to_string(), spec.region.clone());
            return Err(ApplyError::WrongLocation { change, region, source: Box::new(fault) });
        }
        _ => {}
    }
    // Only foreign back ends call a setting they do not know a malformed one; elsewhere that would be our mistake.
    let foreign = spec.back_end == BackEnd::Compatible && fault.has_code("MalformedXML");
    if change.setting().is_some() && (fault.meaning() == Meaning::Unsupported || foreign) {
        return Ok(Applied::Unsupported);
    }
    let fenced = spec.options.perimeter || spec.options.vpc_endpoint.is_some();
    Err(match ApplyError::new(change, fault) {
        ApplyError::Denied { change, actions, source, .. } if fenced => {
            ApplyError::Denied { change, actions, fence: ADMINISTRATORS_ONLY, source }
        }
        other => other,
    })
}

async fn put(s3: &aws_sdk_s3::Client, spec: &BucketSpec, change: &Change) -> Result<(), Fault> {
    let (bucket, owner) = (spec.bucket.as_str(), spec.owner.clone());
    match change.step() {
        Step::CreateBucket { object_lock, .. } => {
            let request = located(s3.create_bucket().bucket(bucket), &spec.region);
            let request = request
                .object_ownership(ObjectOwnership::BucketOwnerEnforced)
                .set_object_lock_enabled_for_bucket(object_lock.then_some(true));
            call("CreateBucket", request.send()).await.map(drop)
        }
        Step::BlockPublicAccess => {
            let blocks = PublicAccessBlockConfiguration::builder()
                .block_public_acls(true)
                .ignore_public_acls(true)
                .block_public_policy(true)
                .restrict_public_buckets(true)
                .build();
            let request = s3.put_public_access_block().bucket(bucket).public_access_block_configuration(blocks);
            call("PutPublicAccessBlock", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::EnforceOwnership => {
            let rule = OwnershipControlsRule::builder()
                .object_ownership(ObjectOwnership::BucketOwnerEnforced)
                .build()
                .expect("the one field is set");
            let controls = OwnershipControls::builder().rules(rule).build().expect("there is a rule");
            let request = s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls);
            call("PutBucketOwnershipControls", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::EncryptByDefault { to, .. } => {
            let request = s3.put_bucket_encryption().bucket(bucket);
            let request = request.server_side_encryption_configuration(default_encryption(to));
            call("PutBucketEncryption", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::EnableVersioning => {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let request = s3.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled);
            call("PutBucketVersioning", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::PutBucketPolicy { text, .. } => {
            let request = s3.put_bucket_policy().bucket(bucket).policy(text);
            call("PutBucketPolicy", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::PutLifecycle(lifecycle) => {
            let rules = BucketLifecycleConfiguration::builder().set_rules(Some(lifecycle.rules.clone()));
            let request = s3
                .put_bucket_lifecycle_configuration()
                .bucket(bucket)
                .lifecycle_configuration(rules.build().expect("there are rules"))
                .set_transition_default_minimum_object_size(lifecycle.transition_minimum.clone());
            call("PutBucketLifecycleConfiguration", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::LockObjects(lock) => {
            let request = s3.put_object_lock_configuration().bucket(bucket);
            let request = request.object_lock_configuration(default_retention(*lock));
            call("PutObjectLockConfiguration", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::LogAccess(log) => {
            let target = LoggingEnabled::builder().target_bucket(&log.bucket).target_prefix(&log.prefix).build();
            let status = BucketLoggingStatus::builder().logging_enabled(target.expect("bucket and prefix are set"));
            let request = s3.put_bucket_logging().bucket(bucket).bucket_logging_status(status.build());
            call("PutBucketLogging", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::SendEvents(all) => {
            let request = s3
                .put_bucket_notification_configuration()
                .bucket(bucket)
                .notification_configuration(all.clone())
                // The destinations of others are written back as they are, and get no test messages.
                .skip_destination_validation(true);
            call("PutBucketNotificationConfiguration", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::AllowOrigins(rules) => {
            let rules = CorsConfiguration::builder().set_cors_rules(Some(rules.clone())).build();
            let request = s3.put_bucket_cors().bucket(bucket).cors_configuration(rules.expect("there are rules"));
            call("PutBucketCors", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::TagBucket { all, .. } => {
            let tags = all
                .iter()
                .map(|(name, value)| Tag::builder().key(name).value(value).build().expect("key and value are set"));
            let tagging = Tagging::builder().set_tag_set(Some(tags.collect())).build().expect("there are tags");
            let request = s3.put_bucket_tagging().bucket(bucket).tagging(tagging);
            call("PutBucketTagging", request.set_expected_bucket_owner(owner).send()).await.map(drop)
        }
        Step::CreateKey
        | Step::CreateAlias { .. }
        | Step::TagKey(_)
        | Step::DescribeKey
        | Step::PutKeyPolicy { .. }
        | Step::EnableKeyRotation { .. } => Ok(()),
    }
}

fn located(request: CreateBucketFluentBuilder, region: &str) -> CreateBucketFluentBuilder {
    if region == REGION_WITHOUT_NAME {
        return request;
    }
    let location = BucketLocationConstraint::from(region);
    request.create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(location).build())
}

fn default_retention(lock: ObjectLock) -> ObjectLockConfiguration {
    let mode = match lock.mode {
        Retention::Governance => ObjectLockRetentionMode::Governance,
        Retention::Compliance => ObjectLockRetentionMode::Compliance,
    };
    let retention = DefaultRetention::builder().mode(mode).days(lock.days).build();
    ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(retention).build())
        .build()
}

fn default_encryption(wanted: &DefaultEncryption) -> ServerSideEncryptionConfiguration {
    let ours = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(wanted.algorithm.clone())
        .set_kms_master_key_id(wanted.key.clone())
        .build()
        .expect("the algorithm is set");
    // Always sent where it is known: a later write without it would take the block away.
    let blocked =
        wanted.sse_c_blocked.then(|| BlockedEncryptionTypes::builder().encryption_type(EncryptionType::SseC).build());
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(ours)
        .bucket_key_enabled(wanted.bucket_key)
        .set_blocked_encryption_types(blocked)
        .build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().expect("there is a rule")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::fault::tests::fault;
    use crate::provision::plan::wanted_encryption;
    use crate::provision::spec::Wanted;

    fn spec(back_end: BackEnd) -> BucketSpec {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap();
        BucketSpec::new(&Wanted::new("ml", "eu-west-1", back_end), key)
    }

    fn create() -> Change {
        Change::new("ml", Step::CreateBucket { region: "eu-west-1".into(), object_lock: false }, None)
    }

    #[test]
    fn bucket_we_own_already_is_no_error_and_a_taken_name_is() {
        let aws = spec(BackEnd::Aws);
        assert_eq!(judge(&aws, &create(), fault(409, "BucketAlreadyOwnedByYou")).unwrap(), Applied::Done);
        let taken = judge(&aws, &create(), fault(409, "BucketAlreadyExists")).unwrap_err();
        assert!(matches!(taken, ApplyError::NameTaken { .. }));
        let location = judge(&aws, &create(), fault(400, "IllegalLocationConstraintException")).unwrap_err();
        assert!(location.to_string().contains("eu-west-1"), "{location}");
    }

    #[test]
    fn refusal_names_the_missing_permission() {
        let change = Change::new("ml", Step::EnableVersioning, None);
        let error = judge(&spec(BackEnd::Aws), &change, fault(403, "AccessDenied")).unwrap_err();
        assert!(error.to_string().contains("s3:PutBucketVersioning"), "{error}");
        assert!(!error.to_string().contains("admin_principals"), "{error}");
        let mut fenced = spec(BackEnd::Aws);
        fenced.options.perimeter = true;
        let error = judge(&fenced, &change, fault(403, "AccessDenied")).unwrap_err();
        assert!(error.to_string().contains("be one of them"), "{error}");
    }

    #[test]
    fn setting_that_a_back_end_does_not_know_is_unsupported() {
        let change = Change::new("ml", Step::BlockPublicAccess, None);
        let judged = |back_end, status, code| judge(&spec(back_end), &change, fault(status, code));
        assert_eq!(judged(BackEnd::Compatible, 501, "NotImplemented").unwrap(), Applied::Unsupported);
        assert_eq!(judged(BackEnd::Compatible, 400, "MalformedXML").unwrap(), Applied::Unsupported);
        assert!(judged(BackEnd::Aws, 400, "MalformedXML").is_err());
        assert!(judge(&spec(BackEnd::Compatible), &create(), fault(501, "NotImplemented")).is_err());
    }

    #[test]
    fn default_encryption_names_the_full_arn_and_blocks_customer_keys_where_known() {
        let rule = |back_end| default_encryption(&wanted_encryption(&spec(back_end))).rules()[0].clone();
        let aws = rule(BackEnd::Aws);
        let default = aws.apply_server_side_encryption_by_default().unwrap();
        assert_eq!(default.kms_master_key_id(), Some("arn:aws:kms:eu-west-1:123456789012:key/1"));
        assert_eq!(aws.bucket_key_enabled(), Some(true));
        assert_eq!(aws.blocked_encryption_types().unwrap().encryption_type(), [EncryptionType::SseC]);
        assert!(rule(BackEnd::Compatible).blocked_encryption_types().is_none());
    }
}
