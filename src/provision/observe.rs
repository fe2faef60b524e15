//! What the account really holds, as values.

mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_s3::types::{
    BucketVersioningStatus, LifecycleRule, ObjectOwnership, ServerSideEncryption, TransitionDefaultMinimumObjectSize,
};
use serde::Serialize;

use super::compare::named_keys;
use super::fault::{Fault, Meaning};
use super::spec::{TAG_MANAGED_BY, TAG_MANAGED_BY_US};

pub use self::options::ObservedOptions;
pub(super) use self::options::{cors_rule, same_cors, with_event_bridge};

/// What one read told us; "we may not look" is not "it is not there".
#[derive(Debug, Clone, PartialEq)]
pub enum Observed<T> {
    /// It is set to this.
    Known(T),
    /// It was never set.
    Absent,
    /// The back end has no such setting.
    Unsupported,
    /// The read was refused or failed, with the reason as the operator should see it.
    Unreadable(String),
}

/// The settings that are read, planned and reported one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    PublicAccessBlock,
    Ownership,
    DefaultEncryption,
    Versioning,
    Policy,
    Lifecycle,
    Tags,
    Contents,
    ObjectLock,
    AccessLog,
    Notifications,
    Cors,
    KeyTags,
    KeyDescription,
    KeyPolicy,
    KeyRotation,
}

/// The bucket as it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum ObservedBucket {
    /// There is no bucket of this name.
    Absent,
    /// There is, and it answers us.
    Present(Box<BucketSettings>),
}

/// The settings of a bucket that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketSettings {
    /// Public access block.
    pub public_access: Observed<PublicAccess>,
    /// Object ownership.
    pub ownership: Observed<ObjectOwnership>,
    /// Default encryption; SSE-S3 without more is what S3 gives every bucket, and counts as absent.
    pub encryption: Observed<DefaultEncryption>,
    /// Versioning.
    pub versioning: Observed<BucketVersioningStatus>,
    /// Text of the bucket policy.
    pub policy: Observed<String>,
    /// Lifecycle configuration.
    pub lifecycle: Observed<Lifecycle>,
    /// Tags.
    pub tags: Observed<BTreeMap<String, String>>,
    /// What only some buckets have.
    pub options: ObservedOptions,
    /// Whether it holds any version of any object; only read when the tags do not say that the bucket is ours.
    pub occupied: Observed<bool>,
}

/// The four switches of a public access block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicAccess {
    /// New public ACLs are refused.
    pub block_acls: bool,
    /// Public ACLs have no effect.
    pub ignore_acls: bool,
    /// Public policies are refused.
    pub block_policy: bool,
    /// A public policy opens the bucket to its own account only.
    pub restrict_buckets: bool,
}

/// Default encryption of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultEncryption {
    /// `aws:kms`, `AES256` …
    pub algorithm: ServerSideEncryption,
    /// The key as it was set; should be a full ARN.
    pub key: Option<String>,
    /// Whether S3 keeps a bucket-level key.
    pub bucket_key: bool,
    /// Whether writes with a key from the request's headers are refused.
    pub sse_c_blocked: bool,
}

/// Lifecycle configuration of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Lifecycle {
    /// All rules, ours and others'.
    pub rules: Vec<LifecycleRule>,
    /// A bucket-wide value that every write of the rules must repeat, or S3 resets it.
    pub transition_minimum: Option<TransitionDefaultMinimumObjectSize>,
}

impl<T> Observed<T> {
    /// Whether it was seen that nobody set it.
    pub(super) fn unset(&self) -> bool {
        matches!(self, Self::Absent | Self::Unsupported)
    }

    pub(super) fn from_read(read: Result<Option<T>, Fault>) -> Self {
        match read {
            Ok(Some(value)) => Self::Known(value),
            Ok(None) => Self::Absent,
            Err(fault) => match fault.meaning() {
                Meaning::Absent => Self::Absent,
                Meaning::Unsupported => Self::Unsupported,
                Meaning::Unreadable => Self::Unreadable(fault.to_string()),
            },
        }
    }

    /// The value, when it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }
}

impl Setting {
    /// Its name beside the name of what has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublicAccessBlock => "public access block",
            Self::Ownership => "object ownership",
            Self::DefaultEncryption => "default encryption",
            Self::Versioning => "versioning",
            Self::Policy | Self::KeyPolicy => "policy",
            Self::Lifecycle => "lifecycle rules",
            Self::Tags | Self::KeyTags => "tags",
            Self::Contents => "whether the bucket is empty",
            Self::ObjectLock => "Object Lock",
            Self::AccessLog => "access logs",
            Self::Notifications => "event notifications",
            Self::Cors => "CORS rules",
            Self::KeyDescription => "description",
            Self::KeyRotation => "rotation",
        }
    }

    /// Whether it is one of the key, not of the bucket.
    pub fn is_of_key(self) -> bool {
        matches!(self, Self::KeyTags | Self::KeyDescription | Self::KeyPolicy | Self::KeyRotation)
    }

    /// The IAM action that lets a role read it.
    pub fn read_action(self) -> &'static str {
        match self {
            Self::PublicAccessBlock => "s3:GetBucketPublicAccessBlock",
            Self::Ownership => "s3:GetBucketOwnershipControls",
            Self::DefaultEncryption => "s3:GetEncryptionConfiguration",
            Self::Versioning => "s3:GetBucketVersioning",
            Self::Policy => "s3:GetBucketPolicy",
            Self::Lifecycle => "s3:GetLifecycleConfiguration",
            Self::Tags => "s3:GetBucketTagging",
            Self::Contents => "s3:ListBucketVersions",
            Self::ObjectLock => "s3:GetBucketObjectLockConfiguration",
            Self::AccessLog => "s3:GetBucketLogging",
            Self::Notifications => "s3:GetBucketNotification",
            Self::Cors => "s3:GetBucketCORS",
            Self::KeyTags => "kms:ListResourceTags",
            Self::KeyDescription => "kms:DescribeKey",
            Self::KeyPolicy => "kms:GetKeyPolicy",
            Self::KeyRotation => "kms:GetKeyRotationStatus",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy | Self::Tags => f.write_str("bucket ")?,
            _ if self.is_of_key() => f.write_str("key ")?,
            _ => {}
        }
        f.write_str(self.name())
    }
}

impl ObservedBucket {
    /// Whether it exists, and nobody has stored anything in it or set what only people and programs set.
    pub(super) fn is_new(&self) -> bool {
        let Self::Present(bucket) = self else { return false };
        bucket.policy.unset()
            && bucket.lifecycle.unset()
            && (bucket.tags.unset() || bucket.tags.known().is_some_and(BTreeMap::is_empty))
            && (bucket.occupied.unset() || bucket.occupied == Observed::Known(false))
    }
}

impl BucketSettings {
    /// A bucket of which nothing was ever set.
    pub fn unset() -> Self {
        Self {
            public_access: Observed::Absent,
            ownership: Observed::Absent,
            encryption: Observed::Absent,
            versioning: Observed::Absent,
            policy: Observed::Absent,
            lifecycle: Observed::Absent,
            tags: Observed::Absent,
            options: ObservedOptions::default(),
            occupied: Observed::Known(false),
        }
    }

    /// Whether the bucket carries our mark.
    pub fn marked_ours(&self) -> bool {
        self.tags.known().is_some_and(|tags| tags.get(TAG_MANAGED_BY).map(String::as_str) == Some(TAG_MANAGED_BY_US))
    }

    /// Whether it may be treated as ours: marked so, or on a back end without tags.
    pub fn taken_for_ours(&self) -> bool {
        self.marked_ours() || self.tags == Observed::Unsupported
    }

    /// The keys that its default encryption and our statements in its policy name.
    pub fn named_keys(&self) -> BTreeSet<String> {
        let mut keys = self.policy.known().map(|text| named_keys(text)).unwrap_or_default();
        keys.extend(self.encryption.known().and_then(|encryption| encryption.key.clone()));
        keys
    }

    /// Takes note that the back end refused to set something, so that no plan asks for it again.
    pub(super) fn mark_unsupported(&mut self, setting: Setting) {
        match setting {
            Setting::PublicAccessBlock => self.public_access = Observed::Unsupported,
            Setting::Ownership => self.ownership = Observed::Unsupported,
            Setting::DefaultEncryption => self.encryption = Observed::Unsupported,
            Setting::Versioning => self.versioning = Observed::Unsupported,
            Setting::Policy => self.policy = Observed::Unsupported,
            Setting::Lifecycle => self.lifecycle = Observed::Unsupported,
            Setting::Tags => self.tags = Observed::Unsupported,
            Setting::Contents => self.occupied = Observed::Unsupported,
            option => self.options.mark_unsupported(option),
        }
    }
}

impl PublicAccess {
    /// Everything blocked.
    pub const BLOCKED: Self = Self { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true };
}

impl fmt::Display for PublicAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::BLOCKED {
            return f.write_str("all four on");
        }
        let off: Vec<_> = [
            (self.block_acls, "BlockPublicAcls"),
            (self.ignore_acls, "IgnorePublicAcls"),
            (self.block_policy, "BlockPublicPolicy"),
            (self.restrict_buckets, "RestrictPublicBuckets"),
        ]
        .into_iter()
        .filter_map(|(on, name)| (!on).then_some(name))
        .collect();
        write!(f, "off: {}", off.join(", "))
    }
}

impl DefaultEncryption {
    /// Algorithm and key, and what else is set beside them.
    pub fn in_full(&self) -> String {
        let bucket_key = if self.bucket_key { "on" } else { "off" };
        let customer_keys = if self.sse_c_blocked { ", SSE-C refused" } else { "" };
        format!("{self}, bucket key {bucket_key}{customer_keys}")
    }
}

impl fmt::Display for DefaultEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under {}", self.algorithm, self.key.as_deref().unwrap_or("no named key"))
    }
}
