//! The steps that a plan is made of.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{CorsRule, NotificationConfiguration};

use crate::provision::compare::Clash;
use crate::provision::observe::{DefaultEncryption, Lifecycle, Setting};
use crate::provision::policy::Sid;
use crate::provision::spec::{AccessLog, KeyArn, ObjectLock};

/// One call, with all that it sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Make the key.
    CreateKey,
    /// Give the key its alias; `None`: the key that this run has just made.
    CreateAlias {
        /// `alias/…`
        alias: String,
        /// A key that an earlier run left without it.
        key: Option<KeyArn>,
    },
    /// Set these tags on the key, keeping its others.
    TagKey(BTreeMap<String, String>),
    /// Set the key's description.
    DescribeKey,
    /// Set the key's policy.
    PutKeyPolicy {
        /// Whether it limits the use of the key, rather than leaving it to IAM.
        limits: bool,
    },
    /// Rotate the key's material.
    EnableKeyRotation {
        /// Days between two rotations.
        days: i32,
    },
    /// Make the bucket, owned by its account alone.
    CreateBucket {
        /// Where.
        region: String,
        /// Whether with Object Lock.
        object_lock: bool,
    },
    /// Turn on all four public access blocks.
    BlockPublicAccess,
    /// Make the bucket's owner the owner of every object, which turns ACLs off.
    EnforceOwnership,
    /// Encrypt under our key by default.
    EncryptByDefault {
        /// What is set.
        to: DefaultEncryption,
        /// What was wrong.
        amiss: Amiss,
    },
    /// Keep every version.
    EnableVersioning,
    /// Keep every new version for a time; can never be undone.
    LockObjects(ObjectLock),
    /// Put our statements in force, keeping those of others.
    PutBucketPolicy {
        /// The whole text.
        text: String,
        /// Our statements.
        ours: Vec<Sid>,
        /// How many statements of others it keeps.
        kept: usize,
        /// Statements under our names that it replaces, in a bucket of ours.
        replaced: Vec<Clash>,
    },
    /// Set the lifecycle rules.
    PutLifecycle(Lifecycle),
    /// Deliver access logs; the policy of the bucket that they go to is its owner's.
    LogAccess(AccessLog),
    /// Send events to EventBridge, keeping the notifications of others.
    SendEvents(NotificationConfiguration),
    /// Set the CORS rules, ours and others'.
    AllowOrigins(Vec<CorsRule>),
    /// Set the bucket's tags.
    TagBucket {
        /// All of them, others' included: S3 knows only all tags at once.
        all: BTreeMap<String, String>,
        /// Those that change.
        set: BTreeMap<String, String>,
        /// Whether the bucket was not ours until now, and holds objects.
        takes_over: bool,
    },
}

/// What is wrong with default encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amiss {
    /// It encrypts under another key, or none.
    Key,
    /// It names a key by something else than its full ARN.
    KeyName,
    /// Every object asks KMS for a key of its own.
    NoBucketKey,
    /// Keys that customers bring are not refused.
    CustomerKeys,
}

impl Step {
    pub(super) fn setting(&self) -> Option<Setting> {
        match self {
            Self::CreateKey | Self::CreateAlias { .. } | Self::CreateBucket { .. } => None,
            Self::TagKey(_) => Some(Setting::KeyTags),
            Self::DescribeKey => Some(Setting::KeyDescription),
            Self::PutKeyPolicy { .. } => Some(Setting::KeyPolicy),
            Self::EnableKeyRotation { .. } => Some(Setting::KeyRotation),
            Self::BlockPublicAccess => Some(Setting::PublicAccessBlock),
            Self::EnforceOwnership => Some(Setting::Ownership),
            Self::EncryptByDefault { .. } => Some(Setting::DefaultEncryption),
            Self::EnableVersioning => Some(Setting::Versioning),
            Self::PutBucketPolicy { .. } => Some(Setting::Policy),
            Self::PutLifecycle(_) => Some(Setting::Lifecycle),
            Self::LockObjects(_) => Some(Setting::ObjectLock),
            Self::LogAccess(_) => Some(Setting::AccessLog),
            Self::SendEvents(_) => Some(Setting::Notifications),
            Self::AllowOrigins(_) => Some(Setting::Cors),
            Self::TagBucket { .. } => Some(Setting::Tags),
        }
    }

    /// What it overwrites of statements under our names.
    pub(super) fn replaced(&self) -> &[Clash] {
        match self {
            Self::PutBucketPolicy { replaced, .. } => replaced,
            _ => &[],
        }
    }

    pub(super) fn actions(&self) -> &'static str {
        match self {
            Self::CreateKey => "kms:CreateKey, kms:TagResource",
            Self::CreateAlias { .. } => "kms:CreateAlias (on the alias and on the key)",
            Self::TagKey(_) => "kms:TagResource",
            Self::DescribeKey => "kms:UpdateKeyDescription",
            Self::PutKeyPolicy { .. } => "kms:PutKeyPolicy",
            Self::EnableKeyRotation { .. } => "kms:EnableKeyRotation",
            Self::CreateBucket { object_lock: false, .. } => "s3:CreateBucket, s3:PutBucketOwnershipControls",
            Self::CreateBucket { object_lock: true, .. } => {
                "s3:CreateBucket, s3:PutBucketOwnershipControls, s3:PutBucketObjectLockConfiguration, \
                 s3:PutBucketVersioning"
            }
            Self::BlockPublicAccess => "s3:PutBucketPublicAccessBlock",
            Self::EnforceOwnership => "s3:PutBucketOwnershipControls",
            Self::EncryptByDefault { .. } => "s3:PutEncryptionConfiguration",
            Self::EnableVersioning => "s3:PutBucketVersioning",
            Self::PutBucketPolicy { .. } => "s3:PutBucketPolicy",
            Self::PutLifecycle(_) => "s3:PutLifecycleConfiguration",
            Self::LockObjects(_) => "s3:PutBucketObjectLockConfiguration",
            Self::LogAccess(_) => "s3:PutBucketLogging",
            Self::SendEvents(_) => "s3:PutBucketNotification",
            Self::AllowOrigins(_) => "s3:PutBucketCORS",
            Self::TagBucket { .. } => "s3:PutBucketTagging",
        }
    }
}
