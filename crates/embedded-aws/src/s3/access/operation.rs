//! Which IAM action each S3 operation needs: one table, and what is not in it is refused.
//!
//! API names and action names differ (`PutBucketEncryption` needs `s3:PutEncryptionConfiguration`).
//! Source: the service authorization reference of Amazon S3.

/// What an operation acts on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Target {
    /// The account: no bucket policy applies.
    Account,
    Bucket,
    /// A bucket that is to be made.
    NewBucket,
    Object,
    /// Objects that the body names, each judged for itself by the operation.
    ObjectsInBody,
}

/// What else decides over an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Write {
    /// Not a write of object bytes.
    No,
    /// Encrypted as its own headers say; `creates` an object, or begins an upload.
    ByHeaders { creates: bool },
    /// Encrypted as the multipart upload that it belongs to; `creates` the object, or a part.
    ByUpload { creates: bool },
}

/// The demands of one operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) target: Target,
    /// Actions without a version, all of them needed.
    pub(super) actions: &'static [&'static str],
    /// Actions when the request names a version; empty when that makes no difference.
    pub(super) version_actions: &'static [&'static str],
    pub(super) write: Write,
    /// Whether it reads the object that `x-amz-copy-source` names.
    pub(super) copies: bool,
}

const fn on(target: Target, actions: &'static [&'static str]) -> Operation {
    Operation { target, actions, version_actions: &[], write: Write::No, copies: false }
}

const fn bucket(actions: &'static [&'static str]) -> Operation {
    on(Target::Bucket, actions)
}

const fn object(actions: &'static [&'static str], version_actions: &'static [&'static str]) -> Operation {
    Operation { target: Target::Object, actions, version_actions, write: Write::No, copies: false }
}

const fn put(write: Write, copies: bool) -> Operation {
    Operation { target: Target::Object, actions: &["s3:PutObject"], version_actions: &[], write, copies }
}

/// The demands of the operation that the protocol calls `name`; `None` when it is not offered.
pub(super) fn find(name: &str) -> Option<Operation> {
    Some(match name {
        "ListBuckets" => on(Target::Account, &["s3:ListAllMyBuckets"]),
        "CreateBucket" => on(Target::NewBucket, &["s3:CreateBucket"]),
        "DeleteBucket" => bucket(&["s3:DeleteBucket"]),
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => bucket(&["s3:ListBucket"]),
        "ListObjectVersions" => bucket(&["s3:ListBucketVersions"]),
        "ListMultipartUploads" => bucket(&["s3:ListBucketMultipartUploads"]),
        "GetBucketLocation" => bucket(&["s3:GetBucketLocation"]),

        "GetBucketAccelerateConfiguration" => bucket(&["s3:GetAccelerateConfiguration"]),
        "GetBucketAcl" => bucket(&["s3:GetBucketAcl"]),
        "PutBucketAcl" => bucket(&["s3:PutBucketAcl"]),
        "GetBucketCors" => bucket(&["s3:GetBucketCORS"]),
        "PutBucketCors" | "DeleteBucketCors" => bucket(&["s3:PutBucketCORS"]),
        "GetBucketEncryption" => bucket(&["s3:GetEncryptionConfiguration"]),
        "PutBucketEncryption" | "DeleteBucketEncryption" => bucket(&["s3:PutEncryptionConfiguration"]),
        "GetBucketLifecycleConfiguration" => bucket(&["s3:GetLifecycleConfiguration"]),
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => bucket(&["s3:PutLifecycleConfiguration"]),
        "GetBucketLogging" => bucket(&["s3:GetBucketLogging"]),
        "PutBucketLogging" => bucket(&["s3:PutBucketLogging"]),
        "GetBucketNotificationConfiguration" => bucket(&["s3:GetBucketNotification"]),
        "PutBucketNotificationConfiguration" => bucket(&["s3:PutBucketNotification"]),
        "GetBucketOwnershipControls" => bucket(&["s3:GetBucketOwnershipControls"]),
        "PutBucketOwnershipControls" | "DeleteBucketOwnershipControls" => bucket(&["s3:PutBucketOwnershipControls"]),
        "GetBucketPolicy" => bucket(&["s3:GetBucketPolicy"]),
        "GetBucketPolicyStatus" => bucket(&["s3:GetBucketPolicyStatus"]),
        "PutBucketPolicy" => bucket(&["s3:PutBucketPolicy"]),
        "DeleteBucketPolicy" => bucket(&["s3:DeleteBucketPolicy"]),
        "GetBucketReplication" => bucket(&["s3:GetReplicationConfiguration"]),
        "PutBucketReplication" | "DeleteBucketReplication" => bucket(&["s3:PutReplicationConfiguration"]),
        "GetBucketRequestPayment" => bucket(&["s3:GetBucketRequestPayment"]),
        "PutBucketRequestPayment" => bucket(&["s3:PutBucketRequestPayment"]),
        "GetBucketTagging" => bucket(&["s3:GetBucketTagging"]),
        "PutBucketTagging" | "DeleteBucketTagging" => bucket(&["s3:PutBucketTagging"]),
        "GetBucketVersioning" => bucket(&["s3:GetBucketVersioning"]),
        "PutBucketVersioning" => bucket(&["s3:PutBucketVersioning"]),
        "GetBucketWebsite" => bucket(&["s3:GetBucketWebsite"]),
        "PutBucketWebsite" => bucket(&["s3:PutBucketWebsite"]),
        "DeleteBucketWebsite" => bucket(&["s3:DeleteBucketWebsite"]),
        "GetObjectLockConfiguration" => bucket(&["s3:GetBucketObjectLockConfiguration"]),
        "PutObjectLockConfiguration" => bucket(&["s3:PutBucketObjectLockConfiguration"]),
        "GetPublicAccessBlock" => bucket(&["s3:GetBucketPublicAccessBlock"]),
        "PutPublicAccessBlock" | "DeletePublicAccessBlock" => bucket(&["s3:PutBucketPublicAccessBlock"]),

        "PutObject" | "CopyObject" => put(Write::ByHeaders { creates: true }, name == "CopyObject"),
        "CreateMultipartUpload" => put(Write::ByHeaders { creates: false }, false),
        "UploadPart" | "UploadPartCopy" => put(Write::ByUpload { creates: false }, name == "UploadPartCopy"),
        "CompleteMultipartUpload" => put(Write::ByUpload { creates: true }, false),
        "AbortMultipartUpload" => object(&["s3:AbortMultipartUpload"], &[]),
        "ListParts" => object(&["s3:ListMultipartUploadParts"], &[]),
        "GetObject" | "HeadObject" => object(&["s3:GetObject"], &["s3:GetObjectVersion"]),
        "GetObjectAttributes" => object(
            &["s3:GetObject", "s3:GetObjectAttributes"],
            &["s3:GetObjectVersion", "s3:GetObjectVersionAttributes"],
        ),
        "DeleteObject" => object(&["s3:DeleteObject"], &["s3:DeleteObjectVersion"]),
        "DeleteObjects" => on(Target::ObjectsInBody, &[]),
        "GetObjectAcl" => object(&["s3:GetObjectAcl"], &["s3:GetObjectVersionAcl"]),
        "PutObjectAcl" => object(&["s3:PutObjectAcl"], &["s3:PutObjectVersionAcl"]),
        "GetObjectTagging" => object(&["s3:GetObjectTagging"], &["s3:GetObjectVersionTagging"]),
        "PutObjectTagging" => object(&["s3:PutObjectTagging"], &["s3:PutObjectVersionTagging"]),
        "DeleteObjectTagging" => object(&["s3:DeleteObjectTagging"], &["s3:DeleteObjectVersionTagging"]),
        "GetObjectLegalHold" => object(&["s3:GetObjectLegalHold"], &[]),
        "PutObjectLegalHold" => object(&["s3:PutObjectLegalHold"], &[]),
        "GetObjectRetention" => object(&["s3:GetObjectRetention"], &[]),
        "PutObjectRetention" => object(&["s3:PutObjectRetention"], &[]),
        _ => return None,
    })
}

/// What `CreateBucket` needs besides when it switches Object Lock on.
pub(super) const LOCKED_BUCKET_ACTIONS: [&str; 2] = ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"];

/// Headers of a write or deletion that need an action of their own.
pub(super) const HEADER_ACTIONS: [(&str, &str); 6] = [
    ("x-amz-tagging", "s3:PutObjectTagging"),
    ("x-amz-acl", "s3:PutObjectAcl"),
    ("x-amz-object-lock-mode", "s3:PutObjectRetention"),
    ("x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"),
    ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
    ("x-amz-bypass-governance-retention", "s3:BypassGovernanceRetention"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::BucketPolicy;

    #[test]
    fn every_action_of_a_bucket_is_one_that_policies_know() {
        let names = include_str!("operation.rs").split('"').filter(|text| {
            text.strip_prefix("s3:").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
        });
        for action in names.filter(|name| !matches!(*name, "s3:ListAllMyBuckets" | "s3:")) {
            let policy = format!(
                r#"{{"Statement":{{"Effect":"Deny","Principal":"*","Action":"{action}",
                    "Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}}}}"#
            );
            BucketPolicy::parse(&policy, "bucket").unwrap_or_else(|error| panic!("{action}: {error}"));
        }
    }

    #[test]
    fn unknown_operations_are_not_found() {
        assert!(find("SelectObjectContent").is_none());
        assert!(find("PostObject").is_none());
        assert!(find("GetObject").is_some());
    }
}
