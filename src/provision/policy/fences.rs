//! The statements on who comes from where: the perimeter and the VPC endpoint.

use super::{Effect, OneOrMany, Principal, Sid, Star, Statement, many, one, when};
use crate::provision::spec::{BackEnd, Wanted};

const PRINCIPAL: &str = "aws:PrincipalArn";

/// What reaches objects, or tells their names.
const OBJECT_ACCESS: [&str; 8] = [
    "s3:GetObject*",
    "s3:PutObject*",
    "s3:DeleteObject*",
    "s3:AbortMultipartUpload",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
];

/// What changes the bucket, or takes away from what it keeps; a deletion of tags, CORS rules, replication … is
/// authorised as the setting of them.
pub(super) const CONFIGURATION: [&str; 28] = [
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:PutEncryptionConfiguration",
    "s3:PutBucketVersioning",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketOwnershipControls",
    "s3:PutLifecycleConfiguration",
    "s3:DeleteBucket",
    "s3:PutBucketAcl",
    "s3:PutObjectAcl",
    "s3:BypassGovernanceRetention",
    "s3:PutBucketCORS",
    "s3:PutBucketTagging",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutReplicationConfiguration",
    "s3:PutBucketNotification",
    "s3:PutBucketLogging",
    "s3:PutBucketWebsite",
    "s3:DeleteBucketWebsite",
    "s3:PutBucketRequestPayment",
    "s3:PutAccelerateConfiguration",
    "s3:PutInventoryConfiguration",
    "s3:PutAnalyticsConfiguration",
    "s3:PutMetricsConfiguration",
    "s3:PutIntelligentTieringConfiguration",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:PutObjectVersionAcl",
];

/// The statements on who comes from where; each only when its option is on.
///
/// By the principal's ARN in a condition, never by `NotPrincipal` or a role in `Principal`: a role that is deleted and
/// made again would look like drift. Only AWS has services that act for themselves, and operators `…IfExists` (on
/// purpose, not plain ones: an anonymous request has none of these keys, and must be denied) are not known elsewhere.
pub(super) fn fences(wanted: &Wanted, everything: &OneOrMany) -> Vec<Statement> {
    let services = wanted.back_end != BackEnd::Compatible;
    let administrators = OneOrMany::from(wanted.administrators.clone());
    let deny = |sid, action, resource: &OneOrMany, condition| Statement {
        sid,
        effect: Effect::Deny,
        principal: Principal::Everyone(Star::Star),
        action,
        resource: resource.clone(),
        condition,
    };
    let mut statements = Vec::new();
    if wanted.options.perimeter {
        let mut inside = wanted.runtime_principals.clone();
        inside.extend(wanted.administrators.iter().filter(|arn| !wanted.runtime_principals.contains(arn)).cloned());
        let mut outside = when([("ArnNotLike", PRINCIPAL, inside.into())]);
        if services {
            outside.entry("BoolIfExists").or_default().insert("aws:PrincipalIsAWSService", one("false"));
        }
        statements.push(deny(Sid::DenyOutsidePerimeter, many(&OBJECT_ACCESS), everything, outside));
        let others = when([("ArnNotLike", PRINCIPAL, administrators.clone())]);
        statements.push(deny(Sid::DenyConfigByOthers, many(&CONFIGURATION), everything, others));
    }
    if let Some(endpoint) = &wanted.options.vpc_endpoint {
        let mut elsewhere = when([("ArnNotLike", PRINCIPAL, administrators)]);
        let differs = if services { "StringNotEqualsIfExists" } else { "StringNotEquals" };
        elsewhere.entry(differs).or_default().insert("aws:SourceVpce", one(endpoint));
        if services {
            let by_service = elsewhere.entry("BoolIfExists").or_default();
            by_service.insert("aws:PrincipalIsAWSService", one("false"));
            by_service.insert("aws:ViaAWSService", one("false"));
        }
        statements.push(deny(Sid::DenyOutsideVpce, one("s3:*"), everything, elsewhere));
    }
    statements
}
