//! Settings changed behind the service's back.

use std::collections::BTreeSet;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use strongroom::provision::{self, ClaimId, Clients, Mode, Provisioned, Status};

use super::account::Account;
use super::{changes_due, standing, wanted};

/// What is done to a bucket behind our back.
#[derive(Debug, Clone, Copy)]
enum Harm {
    OpenPublicAccess,
    OtherKey,
    SuspendVersioning,
    WeakenPolicy,
    GrantByPolicy,
    StretchLifecycle,
    DropTags,
    SlowRotation,
}

impl Harm {
    const ALL: [Self; 8] = [
        Self::OpenPublicAccess,
        Self::OtherKey,
        Self::SuspendVersioning,
        Self::WeakenPolicy,
        Self::GrantByPolicy,
        Self::StretchLifecycle,
        Self::DropTags,
        Self::SlowRotation,
    ];

    /// The claims of probes that the policy itself shows to fail.
    fn got_through(self) -> BTreeSet<ClaimId> {
        match self {
            Self::WeakenPolicy => BTreeSet::from([ClaimId::NamelessKeyRefused, ClaimId::ForeignKeyRefused]),
            _ => BTreeSet::new(),
        }
    }

    /// The claim that fails, and which mode mends it.
    fn consequence(self) -> (ClaimId, Option<Mode>) {
        match self {
            Self::OpenPublicAccess => (ClaimId::PublicAccessBlocked, Some(Mode::Repair)),
            Self::OtherKey => (ClaimId::DefaultEncryption, Some(Mode::Repair)),
            Self::SuspendVersioning => (ClaimId::Versioned, Some(Mode::Repair)),
            Self::WeakenPolicy => (ClaimId::EncryptionEnforced, Some(Mode::Repair)),
            // Somebody else's statement is never removed.
            Self::GrantByPolicy => (ClaimId::PolicyGrantsNothing, None),
            Self::StretchLifecycle => (ClaimId::MultipartExpires, Some(Mode::Repair)),
            // It looks as if never set; an empty bucket is taken for ours when nobody else has marked it.
            Self::DropTags => (ClaimId::Tagged, Some(Mode::Create)),
            Self::SlowRotation => (ClaimId::KeyRotates, Some(Mode::Repair)),
        }
    }

    async fn inflict(self, clients: &Clients, made: &Provisioned) {
        let bucket = made.outputs.bucket.as_str();
        let s3 = &clients.s3;
        match self {
            Self::OpenPublicAccess => {
                let open = aws_sdk_s3::types::PublicAccessBlockConfiguration::builder()
                    .block_public_acls(true)
                    .ignore_public_acls(true)
                    .block_public_policy(false)
                    .restrict_public_buckets(false)
                    .build();
                s3.put_public_access_block()
                    .bucket(bucket)
                    .public_access_block_configuration(open)
                    .send()
                    .await
                    .unwrap();
            }
            Self::OtherKey => {
                let other = clients.kms.create_key().description("other").send().await.unwrap();
                let default = aws_sdk_s3::types::ServerSideEncryptionByDefault::builder()
                    .sse_algorithm(aws_sdk_s3::types::ServerSideEncryption::AwsKms)
                    .kms_master_key_id(other.key_metadata().unwrap().arn().unwrap())
                    .build()
                    .unwrap();
                let rule = aws_sdk_s3::types::ServerSideEncryptionRule::builder()
                    .apply_server_side_encryption_by_default(default)
                    .bucket_key_enabled(true)
                    .build();
                let all = aws_sdk_s3::types::ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
                s3.put_bucket_encryption()
                    .bucket(bucket)
                    .server_side_encryption_configuration(all)
                    .send()
                    .await
                    .unwrap();
            }
            Self::SuspendVersioning => {
                let off = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
                s3.put_bucket_versioning().bucket(bucket).versioning_configuration(off).send().await.unwrap();
            }
            Self::WeakenPolicy => {
                let weak = made
                    .spec
                    .policy
                    .render()
                    .replace(made.spec.key.as_str(), "arn:aws:kms:us-east-1:000000000000:key/other");
                s3.put_bucket_policy().bucket(bucket).policy(weak).send().await.unwrap();
            }
            Self::GrantByPolicy => {
                // To one account, so that it is no public policy, which the public access block would refuse.
                let account = made.spec.key.account();
                let grant = format!(
                    r#""Statement":[{{"Sid":"Open","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}},"#
                );
                let open = made.spec.policy.render().replace(r#""Statement":["#, &grant);
                s3.put_bucket_policy().bucket(bucket).policy(open).send().await.unwrap();
            }
            Self::StretchLifecycle => {
                let mut rules =
                    s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap().rules.unwrap();
                rules[0].abort_incomplete_multipart_upload = Some(
                    aws_sdk_s3::types::AbortIncompleteMultipartUpload::builder().days_after_initiation(70).build(),
                );
                let rules =
                    aws_sdk_s3::types::BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
                s3.put_bucket_lifecycle_configuration()
                    .bucket(bucket)
                    .lifecycle_configuration(rules)
                    .send()
                    .await
                    .unwrap();
            }
            Self::DropTags => {
                s3.delete_bucket_tagging().bucket(bucket).send().await.unwrap();
            }
            Self::SlowRotation => {
                let key = made.outputs.key_arn.as_str();
                clients.kms.enable_key_rotation().key_id(key).rotation_period_in_days(2000).send().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn drift_is_reported_in_create_and_mended_in_repair() {
    let account = Account::new().await;
    let clients = account.clients();
    let wanted = wanted("drift");
    let made = account.provision(&wanted, Mode::Create).await.unwrap();
    for harm in Harm::ALL {
        harm.inflict(&clients, &made).await;
        let (claim, mended_in) = harm.consequence();
        let failed = &harm.got_through() | &BTreeSet::from([claim]);

        let seen = provision::posture(&clients, &wanted, &made.spec).await;
        assert_eq!(standing(&seen, Status::Failed), failed, "{harm:?}");

        let looked = account.provision(&wanted, Mode::Verify).await.unwrap();
        assert_eq!(standing(&looked.findings, Status::Failed), failed, "{harm:?}");
        let created = account.provision(&wanted, Mode::Create).await.unwrap();
        assert_eq!(created.changes_made.len(), usize::from(mended_in == Some(Mode::Create)), "{harm:?}");

        let repaired = account.provision(&wanted, Mode::Repair).await.unwrap();
        let due = usize::from(mended_in == Some(Mode::Repair));
        assert_eq!(repaired.changes_made.len(), due, "{harm:?}: {:?}", repaired.changes_made);
        if mended_in.is_none() {
            assert_eq!(standing(&repaired.findings, Status::Failed), failed, "{harm:?}");
            // What the operator is told to do by hand.
            clients.s3.put_bucket_policy().bucket("drift").policy(made.spec.policy.render()).send().await.unwrap();
            continue;
        }
        assert_eq!(standing(&repaired.findings, Status::Failed), BTreeSet::new(), "{harm:?}");
        assert_eq!(changes_due(&account, &wanted).await, []);
        assert_eq!(repaired.outputs, made.outputs);
    }
}
