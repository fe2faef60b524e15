//! Which controls of the catalogues that scanners use each claim satisfies, and which none can.
//!
//! Sources: the lists of FSBP, CIS AWS Foundations Benchmark 5.0, Prowler, cdk-nag (AwsSolutions) and AWS Config rules.

use serde::Serialize;

use super::ClaimId;
use crate::provision::spec::Options;

/// A control that no claim satisfies, and why; it does not fail the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Apart {
    /// Its ids in the catalogues.
    #[schema(value_type = Vec<String>)]
    pub controls: &'static [&'static str],
    /// What it asks for.
    pub asks: &'static str,
    /// Why it is not met here.
    pub reason: &'static str,
}

/// The controls that a claim satisfies when it passes.
pub(super) fn of(claim: ClaimId) -> &'static [&'static str] {
    match claim {
        ClaimId::Versioned => {
            &["FSBP S3.14", "Prowler s3_bucket_object_versioning", "Config s3-bucket-versioning-enabled"]
        }
        ClaimId::PublicAccessBlocked => &[
            "FSBP S3.8",
            "CIS 2.1.4",
            "Prowler s3_bucket_level_public_access_block",
            "Prowler s3_bucket_public_access",
            "cdk-nag AwsSolutions-S2",
            "Config s3-bucket-level-public-access-prohibited",
        ],
        ClaimId::AnonymousWriteRefused => &["FSBP S3.3", "Prowler s3_bucket_policy_public_write_access"],
        ClaimId::DefaultEncryption => {
            &["FSBP S3.17", "Prowler s3_bucket_kms_encryption", "Config s3-default-encryption-kms"]
        }
        ClaimId::KeyUsable => &[
            "FSBP KMS.3",
            "Prowler kms_cmk_are_used",
            "Prowler kms_cmk_not_deleted_unintentionally",
            "Prowler kms_cmk_not_multi_region",
            "Config cmk-not-scheduled-for-deletion",
        ],
        ClaimId::TlsOnly => &[
            "FSBP S3.5",
            "CIS 2.1.1",
            "Prowler s3_bucket_secure_transport_policy",
            "cdk-nag AwsSolutions-S10",
            "Config s3-bucket-ssl-requests-only",
        ],
        ClaimId::PolicyGrantsNothing => &["FSBP S3.2", "FSBP S3.6", "Prowler s3_bucket_cross_account_access"],
        ClaimId::AclsDisabled => &["FSBP S3.12", "Prowler s3_bucket_acl_prohibited"],
        ClaimId::MultipartExpires => &["FSBP S3.10", "FSBP S3.13", "Prowler s3_bucket_lifecycle_enabled"],
        ClaimId::KeyRotates => &[
            "FSBP KMS.4",
            "CIS 3.6",
            "Prowler kms_cmk_rotation_enabled",
            "cdk-nag AwsSolutions-KMS5",
            "Config cmk-backing-key-rotation-enabled",
        ],
        ClaimId::KeyPolicyLimits => &["FSBP KMS.5", "Prowler kms_key_not_publicly_accessible"],
        ClaimId::BucketOurs => &["Prowler s3_bucket_shadow_resource_vulnerability"],
        ClaimId::ObjectsLocked => &["FSBP S3.15", "Prowler s3_bucket_object_lock"],
        ClaimId::AccessLogged => {
            &["FSBP S3.9", "Prowler s3_bucket_server_access_logging_enabled", "cdk-nag AwsSolutions-S1"]
        }
        ClaimId::EventsSent => &["FSBP S3.11", "Prowler s3_bucket_event_notifications_enabled"],
        ClaimId::Canary
        | ClaimId::HeaderlessWriteRefused
        | ClaimId::WrongAlgorithmRefused
        | ClaimId::NamelessKeyRefused
        | ClaimId::ForeignKeyRefused
        | ClaimId::DualLayerRefused
        | ClaimId::CustomerKeyWriteRefused
        | ClaimId::StalePresignedRefused
        | ClaimId::PresignedPostRefused
        | ClaimId::EncryptionEnforced
        | ClaimId::PresignedBounded
        | ClaimId::CustomerKeysRefused
        | ClaimId::NothingExpires
        | ClaimId::KeyNamed
        | ClaimId::Tagged
        | ClaimId::ObjectsIntact
        | ClaimId::ClockInStep
        | ClaimId::PerimeterClosed
        | ClaimId::VpcEndpointOnly
        | ClaimId::CorsExact
        | ClaimId::ObjectsTiered => &[],
    }
}

/// The controls that scanners ask for and no claim of this bucket satisfies.
pub fn apart(options: &Options) -> Vec<Apart> {
    let mut list = vec![
        Apart {
            controls: &["FSBP S3.20", "CIS 2.1.2", "Prowler s3_bucket_no_mfa_delete"],
            asks: "MFA delete",
            reason: "only the account's root user can turn it on, with an MFA device, and it excludes lifecycle rules",
        },
        Apart {
            controls: &["FSBP S3.1", "Prowler s3_account_level_public_access_blocks"],
            asks: "public access block of the whole account",
            reason: "the account's owner decides it; the bucket's own block is on",
        },
        Apart {
            controls: &["FSBP S3.7", "Prowler s3_bucket_cross_region_replication"],
            asks: "replication to another region",
            reason: "a second bucket and its key are not provisioned here",
        },
        Apart {
            controls: &["FSBP S3.22", "FSBP S3.23", "CIS 3.8", "CIS 3.9"],
            asks: "CloudTrail data events of objects",
            reason: "a trail belongs to the account, not to the bucket",
        },
        Apart {
            controls: &["CIS 2.1.3"],
            asks: "Macie or another classification of contents",
            reason: "a service of the account; model files are not documents",
        },
        Apart {
            controls: &["CIS 4.8"],
            asks: "an alarm on changes to bucket policies",
            reason: "an alarm belongs to the account; the service's own watch reports such a change",
        },
        Apart {
            controls: &["FSBP KMS.1", "FSBP KMS.2"],
            asks: "no IAM policy that allows decryption under every key",
            reason: "IAM policies are the account's; those that `strongroom bucket iam` prints name this key only",
        },
    ];
    if options.object_lock.is_none() {
        list.push(Apart {
            controls: of(ClaimId::ObjectsLocked),
            asks: "Object Lock",
            reason: "off by choice: object_lock_mode is not set",
        });
    }
    if options.access_log.is_none() {
        list.push(Apart {
            controls: of(ClaimId::AccessLogged),
            asks: "server access logs",
            reason: "off by choice: access_log_bucket is not set",
        });
    }
    if !options.event_bridge {
        list.push(Apart {
            controls: of(ClaimId::EventsSent),
            asks: "event notifications",
            reason: "off by choice: event_bridge is not set",
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::provision::spec::AccessLog;

    #[test]
    fn no_control_is_both_satisfied_and_set_apart() {
        let all = Options {
            object_lock: Some(crate::provision::spec::ObjectLock {
                mode: crate::provision::spec::Retention::Governance,
                days: 1,
            }),
            access_log: Some(AccessLog { bucket: "logs".into(), prefix: "s3/".into() }),
            event_bridge: true,
            ..Options::default()
        };
        let satisfied: BTreeSet<_> = ClaimId::ALL.into_iter().flat_map(of).collect();
        let apart: BTreeSet<_> = apart(&all).into_iter().flat_map(|apart| apart.controls).collect();
        assert!(satisfied.is_disjoint(&apart), "{:?}", satisfied.intersection(&apart));
    }

    #[test]
    fn option_that_is_off_sets_its_controls_apart() {
        let apart: Vec<_> = apart(&Options::default()).into_iter().flat_map(|apart| apart.controls).collect();
        for control in ["FSBP S3.9", "FSBP S3.11", "FSBP S3.15", "FSBP S3.20"] {
            assert!(apart.contains(&&control), "{control}");
        }
    }
}
