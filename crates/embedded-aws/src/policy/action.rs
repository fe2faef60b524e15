//! The S3 actions that exist, and whether each acts on buckets or on objects.
//!
//! A statement on an action that does not exist would silently do nothing, so it is refused, as S3 refuses it.
//! Source: the service authorization reference of Amazon S3.

use super::pattern;

/// What the resource of an action is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    Bucket,
    Object,
}

const BUCKET_ACTIONS: &[&str] = &[
    "CreateBucket",
    "DeleteBucket",
    "DeleteBucketPolicy",
    "DeleteBucketWebsite",
    "GetAccelerateConfiguration",
    "GetAnalyticsConfiguration",
    "GetBucketAcl",
    "GetBucketCORS",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketNotification",
    "GetBucketObjectLockConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketPublicAccessBlock",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetEncryptionConfiguration",
    "GetIntelligentTieringConfiguration",
    "GetInventoryConfiguration",
    "GetLifecycleConfiguration",
    "GetMetricsConfiguration",
    "GetReplicationConfiguration",
    "ListBucket",
    "ListBucketMultipartUploads",
    "ListBucketVersions",
    "PutAccelerateConfiguration",
    "PutAnalyticsConfiguration",
    "PutBucketAcl",
    "PutBucketCORS",
    "PutBucketLogging",
    "PutBucketNotification",
    "PutBucketObjectLockConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketPublicAccessBlock",
    "PutBucketRequestPayment",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutBucketWebsite",
    "PutEncryptionConfiguration",
    "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration",
    "PutLifecycleConfiguration",
    "PutMetricsConfiguration",
    "PutReplicationConfiguration",
];

const OBJECT_ACTIONS: &[&str] = &[
    "AbortMultipartUpload",
    "BypassGovernanceRetention",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjectVersion",
    "DeleteObjectVersionTagging",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetObjectTorrent",
    "GetObjectVersion",
    "GetObjectVersionAcl",
    "GetObjectVersionAttributes",
    "GetObjectVersionForReplication",
    "GetObjectVersionTagging",
    "GetObjectVersionTorrent",
    "InitiateReplication",
    "ListMultipartUploadParts",
    "ObjectOwnerOverrideToBucketOwner",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "PutObjectVersionAcl",
    "PutObjectVersionTagging",
    "ReplicateDelete",
    "ReplicateObject",
    "ReplicateTags",
    "RestoreObject",
    "UpdateObjectEncryption",
];

/// The levels of the actions that a pattern (`s3:Get*`, `*`) names; empty when it names none that exist.
pub(crate) fn levels(action_pattern: &str) -> Vec<Level> {
    let names_one =
        |actions: &[&str]| actions.iter().any(|action| pattern::matches(action_pattern, &format!("s3:{action}"), true));
    let mut levels = Vec::new();
    if names_one(BUCKET_ACTIONS) {
        levels.push(Level::Bucket);
    }
    if names_one(OBJECT_ACTIONS) {
        levels.push(Level::Object);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_the_levels_they_reach() {
        assert_eq!(levels("s3:PutObject"), [Level::Object]);
        assert_eq!(levels("S3:putbucketpolicy"), [Level::Bucket]);
        assert_eq!(levels("s3:*"), [Level::Bucket, Level::Object]);
        assert_eq!(levels("*"), [Level::Bucket, Level::Object]);
        assert_eq!(levels("s3:PutObjekt"), []);
        assert_eq!(levels("kms:Decrypt"), []);
    }
}
