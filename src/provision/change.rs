//! One step from the account as it is to the account as it should be; one call each, told to the operator in a line.

use std::collections::BTreeMap;
use std::fmt;

use super::observe::{Lifecycle, Setting};
use super::spec::{ABORT_UPLOADS_AFTER_DAYS, KEY_DESCRIPTION, KeyArn, ROTATION_PERIOD_DAYS};

/// A change to the key or the bucket; each is one idempotent call (but `CreateKey`, which nothing can make so).
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Make the key.
    CreateKey,
    /// Give the key its alias; `None`: the key that this run has just made.
    CreateAlias {
        /// `alias/…`
        alias: String,
        /// A key that an earlier run left without it.
        key: Option<KeyArn>,
    },
    /// Set tags on the key.
    TagKey(BTreeMap<String, String>),
    /// Set the key's description.
    DescribeKey {
        /// What it says now.
        was: String,
    },
    /// Set the key's policy.
    PutKeyPolicy,
    /// Rotate the key's material.
    EnableKeyRotation {
        /// What is set now, if anything.
        was: Option<String>,
    },
    /// Make the bucket, owned by its account alone.
    CreateBucket {
        /// Its name.
        bucket: String,
        /// Where.
        region: String,
    },
    /// Turn on all four public access blocks.
    BlockPublicAccess {
        /// What is set now, if anything.
        was: Option<String>,
    },
    /// Make the bucket's owner the owner of every object, which turns ACLs off.
    EnforceOwnership {
        /// What is set now, if anything.
        was: Option<String>,
    },
    /// Encrypt under our key by default.
    EncryptByDefault {
        /// What is set now, if anything.
        was: Option<String>,
    },
    /// Keep every version.
    EnableVersioning {
        /// What is set now, if anything.
        was: Option<String>,
    },
    /// Put our statements in force, keeping the denials of others.
    PutBucketPolicy {
        /// The whole text.
        text: String,
        /// What is wrong with the one in force, if there is one.
        was: Option<String>,
    },
    /// Set the lifecycle rules.
    PutLifecycle {
        /// All of them.
        lifecycle: Lifecycle,
        /// What our rule says now, if it exists.
        was: Option<String>,
    },
    /// Set the bucket's tags.
    TagBucket {
        /// All of them, others' included.
        tags: BTreeMap<String, String>,
    },
}

impl Change {
    /// The setting that it changes; none for what makes the key or the bucket itself.
    pub fn setting(&self) -> Option<Setting> {
        match self {
            Self::CreateKey | Self::CreateAlias { .. } | Self::DescribeKey { .. } | Self::CreateBucket { .. } => None,
            Self::TagKey(_) => Some(Setting::KeyTags),
            Self::PutKeyPolicy => Some(Setting::KeyPolicy),
            Self::EnableKeyRotation { .. } => Some(Setting::KeyRotation),
            Self::BlockPublicAccess { .. } => Some(Setting::PublicAccessBlock),
            Self::EnforceOwnership { .. } => Some(Setting::Ownership),
            Self::EncryptByDefault { .. } => Some(Setting::DefaultEncryption),
            Self::EnableVersioning { .. } => Some(Setting::Versioning),
            Self::PutBucketPolicy { .. } => Some(Setting::Policy),
            Self::PutLifecycle { .. } => Some(Setting::Lifecycle),
            Self::TagBucket { .. } => Some(Setting::Tags),
        }
    }

    /// The IAM actions that it needs.
    pub fn actions(&self) -> &'static str {
        match self {
            Self::CreateKey => "kms:CreateKey, kms:TagResource",
            Self::CreateAlias { .. } => "kms:CreateAlias (on the alias and on the key)",
            Self::TagKey(_) => "kms:TagResource",
            Self::DescribeKey { .. } => "kms:UpdateKeyDescription",
            Self::PutKeyPolicy => "kms:PutKeyPolicy",
            Self::EnableKeyRotation { .. } => "kms:EnableKeyRotation",
            Self::CreateBucket { .. } => "s3:CreateBucket, s3:PutBucketOwnershipControls",
            Self::BlockPublicAccess { .. } => "s3:PutBucketPublicAccessBlock",
            Self::EnforceOwnership { .. } => "s3:PutBucketOwnershipControls",
            Self::EncryptByDefault { .. } => "s3:PutEncryptionConfiguration",
            Self::EnableVersioning { .. } => "s3:PutBucketVersioning",
            Self::PutBucketPolicy { .. } => "s3:PutBucketPolicy",
            Self::PutLifecycle { .. } => "s3:PutLifecycleConfiguration",
            Self::TagBucket { .. } => "s3:PutBucketTagging",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was = match self {
            Self::CreateKey => {
                write!(f, "create a KMS key, \"{KEY_DESCRIPTION}\"")?;
                &None
            }
            Self::CreateAlias { alias, key: None } => {
                write!(f, "name the new key {alias}")?;
                &None
            }
            Self::CreateAlias { alias, key: Some(key) } => {
                write!(f, "name {key}, left over from an interrupted run, {alias}")?;
                &None
            }
            Self::TagKey(tags) => {
                write!(f, "tag the key {}", listed(tags))?;
                &None
            }
            Self::DescribeKey { was } => {
                return write!(f, "describe the key as \"{KEY_DESCRIPTION}\" (now: \"{was}\")");
            }
            Self::PutKeyPolicy => {
                f.write_str("let only the runtime principals use the key, and only through S3")?;
                &None
            }
            Self::EnableKeyRotation { was } => {
                write!(f, "rotate the key every {ROTATION_PERIOD_DAYS} days")?;
                was
            }
            Self::CreateBucket { bucket, region } => {
                write!(f, "create bucket {bucket} in {region}")?;
                &None
            }
            Self::BlockPublicAccess { was } => {
                f.write_str("block public access, all four ways")?;
                was
            }
            Self::EnforceOwnership { was } => {
                f.write_str("make the bucket owner own every object (ACLs off)")?;
                was
            }
            Self::EncryptByDefault { was } => {
                f.write_str("encrypt by default with SSE-KMS under our key, bucket key on")?;
                was
            }
            Self::EnableVersioning { was } => {
                f.write_str("enable versioning")?;
                was
            }
            Self::PutBucketPolicy { was, .. } => {
                f.write_str("put our denials into the bucket policy")?;
                was
            }
            Self::PutLifecycle { was, .. } => {
                write!(f, "abort unfinished multipart uploads after {ABORT_UPLOADS_AFTER_DAYS} days")?;
                was
            }
            Self::TagBucket { tags } => {
                write!(f, "tag the bucket {}", listed(tags))?;
                &None
            }
        };
        was.as_ref().map_or(Ok(()), |was| write!(f, " (now: {was})"))
    }
}

fn listed(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}
