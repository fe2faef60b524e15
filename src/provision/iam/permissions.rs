//! What each role needs, as data: the printed policies, docs/SECURITY.md and the tests all read these lists.

use super::Scope;
use crate::provision::spec::KeyWish;

/// One action, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// As IAM names it, `s3:PutObject`.
    pub action: &'static str,
    /// On what.
    pub on: Target,
    /// For which configurations.
    pub when: When,
    /// What does not work without it.
    pub why: &'static str,
}

/// What an action is allowed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The bucket.
    Bucket,
    /// The objects below the prefixes in use.
    Objects,
    /// The object that says whose the bucket is.
    Claim,
    /// The key, and only on behalf of S3 for this bucket.
    KeyThroughS3,
    /// The key.
    Key,
}

/// Which configurations need an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// All.
    Always,
    /// Those that find the key by its alias, and not by an ARN that the operator gave.
    KeyOfOurs,
    /// Those with Object Lock.
    ObjectLock,
    /// Those with access logs.
    AccessLog,
    /// Those with EventBridge.
    EventBridge,
    /// Those with CORS origins.
    Cors,
}

impl When {
    pub(super) fn holds(self, scope: &Scope<'_>) -> bool {
        let options = &scope.wanted.options;
        match self {
            Self::Always => true,
            Self::KeyOfOurs => matches!(scope.wanted.key, KeyWish::Alias(_)),
            Self::ObjectLock => options.object_lock.is_some(),
            Self::AccessLog => options.access_log.is_some(),
            Self::EventBridge => options.event_bridge,
            Self::Cors => !options.cors_origins.is_empty(),
        }
    }

    /// As docs/SECURITY.md says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::KeyOfOurs => "without `kms_key_arn`",
            Self::ObjectLock => "with `object_lock_mode`",
            Self::AccessLog => "with `access_log_bucket`",
            Self::EventBridge => "with `event_bridge`",
            Self::Cors => "with `cors_origins`",
        }
    }
}

const fn always(action: &'static str, on: Target, why: &'static str) -> Permission {
    Permission { action, on, when: When::Always, why }
}

const fn when(when: When, action: &'static str, on: Target, why: &'static str) -> Permission {
    Permission { action, on, when, why }
}

/// The serving role: requests, recovery, the canary, the probes and the watch.
///
/// No `s3:DeleteObjectVersion`: a role that takes uploads from the network must not be able to destroy what is
/// published. What only a deletion can mend is left to the sweeper's role.
pub const RUNTIME: [Permission; 25] = [
    always("s3:ListBucket", Target::Bucket, "tell a missing bucket or object from a forbidden one"),
    always(
        "s3:ListBucketVersions",
        Target::Bucket,
        "find what a write left when its answer was lost; watch: published files are as they were",
    ),
    always("s3:ListBucketMultipartUploads", Target::Bucket, "find the uploads that a crash left"),
    always("s3:GetBucketVersioning", Target::Bucket, "watch: every version is kept"),
    always("s3:GetBucketPublicAccessBlock", Target::Bucket, "watch: nobody without credentials gets in"),
    always("s3:GetEncryptionConfiguration", Target::Bucket, "watch: the default key is ours"),
    always("s3:GetBucketPolicy", Target::Bucket, "watch: the denials are in force"),
    always("s3:GetBucketOwnershipControls", Target::Bucket, "watch: ACLs have no effect"),
    always("s3:GetLifecycleConfiguration", Target::Bucket, "watch: unfinished uploads end"),
    always("s3:GetBucketTagging", Target::Bucket, "watch: the bucket says whose it is"),
    when(When::ObjectLock, "s3:GetBucketObjectLockConfiguration", Target::Bucket, "watch: new versions are kept"),
    when(When::AccessLog, "s3:GetBucketLogging", Target::Bucket, "watch: access is logged"),
    when(When::EventBridge, "s3:GetBucketNotification", Target::Bucket, "watch: events are sent"),
    when(When::Cors, "s3:GetBucketCORS", Target::Bucket, "watch: only the named origins"),
    always("s3:GetObject", Target::Objects, "read the claim, also in the watch, and a manifest that is there already"),
    always("s3:GetObjectVersion", Target::Objects, "give files out, through the service and by presigned URL"),
    always("s3:PutObject", Target::Objects, "take files in; write manifests, the claim, and where the audit log ends"),
    always("s3:ListMultipartUploadParts", Target::Objects, "complete an upload whose parts went straight to S3"),
    always("s3:AbortMultipartUpload", Target::Objects, "leave nothing of an upload that failed"),
    always("kms:GenerateDataKey", Target::KeyThroughS3, "encrypt"),
    always("kms:Decrypt", Target::KeyThroughS3, "decrypt; also to write the parts of a multipart upload"),
    always("kms:DescribeKey", Target::Key, "watch: the key is usable"),
    always("kms:GetKeyRotationStatus", Target::Key, "watch: the key is rotated"),
    always("kms:GetKeyPolicy", Target::Key, "watch: nobody from outside uses the key"),
    when(When::KeyOfOurs, "kms:ListResourceTags", Target::Key, "watch: the key says whose it is"),
];

/// The sweeper: removes what nobody refers to; it writes nothing, and reads nothing but whose the bucket is.
pub const SWEEPER: [Permission; 6] = [
    always("s3:ListBucketVersions", Target::Bucket, "find versions that nobody refers to"),
    always("s3:ListBucketMultipartUploads", Target::Bucket, "find uploads that nobody will finish"),
    always("s3:AbortMultipartUpload", Target::Objects, "end them"),
    always("s3:DeleteObjectVersion", Target::Objects, "remove versions, each by its id"),
    always("s3:GetObject", Target::Claim, "read whose the bucket is, before anything is removed"),
    always("kms:Decrypt", Target::KeyThroughS3, "decrypt that, and nothing else that it could read"),
];

/// What the provisioner does to the bucket.
pub const PROVISIONER_BUCKET: [Permission; 25] = [
    always("s3:CreateBucket", Target::Bucket, "make it"),
    always("s3:ListBucket", Target::Bucket, "learn whether it exists"),
    always("s3:ListBucketVersions", Target::Bucket, "learn whether a bucket that is not marked as ours is empty"),
    always("s3:GetBucketPublicAccessBlock", Target::Bucket, "look"),
    always("s3:PutBucketPublicAccessBlock", Target::Bucket, "close it"),
    always("s3:GetBucketOwnershipControls", Target::Bucket, "look"),
    always("s3:PutBucketOwnershipControls", Target::Bucket, "turn ACLs off, also while it is made"),
    always("s3:GetEncryptionConfiguration", Target::Bucket, "look"),
    always("s3:PutEncryptionConfiguration", Target::Bucket, "encrypt by default"),
    always("s3:GetBucketVersioning", Target::Bucket, "look"),
    always("s3:PutBucketVersioning", Target::Bucket, "keep every version"),
    always("s3:GetBucketPolicy", Target::Bucket, "look"),
    always("s3:PutBucketPolicy", Target::Bucket, "put the denials in force"),
    always("s3:GetLifecycleConfiguration", Target::Bucket, "look"),
    always("s3:PutLifecycleConfiguration", Target::Bucket, "end unfinished uploads"),
    always("s3:GetBucketTagging", Target::Bucket, "look"),
    always("s3:PutBucketTagging", Target::Bucket, "say whose it is"),
    when(When::ObjectLock, "s3:GetBucketObjectLockConfiguration", Target::Bucket, "look"),
    when(When::ObjectLock, "s3:PutBucketObjectLockConfiguration", Target::Bucket, "keep new versions"),
    when(When::AccessLog, "s3:GetBucketLogging", Target::Bucket, "look"),
    when(When::AccessLog, "s3:PutBucketLogging", Target::Bucket, "log access"),
    when(When::EventBridge, "s3:GetBucketNotification", Target::Bucket, "look"),
    when(When::EventBridge, "s3:PutBucketNotification", Target::Bucket, "send events"),
    when(When::Cors, "s3:GetBucketCORS", Target::Bucket, "look"),
    when(When::Cors, "s3:PutBucketCORS", Target::Bucket, "let pages of the named origins in"),
];

/// The actions of the serving role for one configuration.
pub fn runtime(scope: &Scope<'_>) -> Vec<Permission> {
    needed(scope, &RUNTIME)
}

pub(super) fn needed(scope: &Scope<'_>, permissions: &[Permission]) -> Vec<Permission> {
    permissions.iter().filter(|permission| permission.when.holds(scope)).copied().collect()
}
