//! Applies a parsed export to an account, call by call, as Terraform and Pulumi do.

use aws_sdk_kms::types::Tag as KeyTag;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, CorsConfiguration, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetentionMode, ObjectLockRule, OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use strongroom::provision::key::KeyFacts;
use strongroom::provision::observe::{BucketSettings, Observed};
use strongroom::provision::{Clients, KeyArn, KeyWish, Retention, Wanted};

use super::parsed::Exported;

/// A key as somebody would bring it.
pub(super) async fn brought_key(clients: &Clients) -> KeyArn {
    let made = clients.kms.create_key().send().await.unwrap();
    let arn: KeyArn = made.key_metadata().unwrap().arn().unwrap().parse().unwrap();
    clients.kms.enable_key_rotation().key_id(arn.as_str()).send().await.unwrap();
    arn
}

/// Makes what the export says, and gives the ARN of its key.
pub(super) async fn apply(clients: &Clients, exported: &Exported, wanted: &Wanted) -> KeyArn {
    let arn = match &wanted.key {
        KeyWish::Brought(arn) => arn.clone(),
        KeyWish::Alias(alias) => {
            // Its own ARN is known once it is made; what the export says of it does not need it.
            let made = clients.kms.create_key().send().await.unwrap();
            let arn: KeyArn = made.key_metadata().unwrap().arn().unwrap().parse().unwrap();
            let key = exported.resolved(&arn, &wanted.bucket).key(&arn).expect("it says the key");
            apply_key(clients, &key, alias).await;
            arn
        }
    };
    let settings = exported.resolved(&arn, &wanted.bucket).bucket(&wanted.bucket);
    apply_bucket(clients, &wanted.bucket, settings).await;
    arn
}

async fn apply_key(clients: &Clients, key: &KeyFacts, alias: &str) {
    let (kms, arn) = (&clients.kms, key.arn.as_str());
    let known = |text: &Observed<String>| text.known().unwrap().clone();
    let tags = key.tags.known().unwrap().iter();
    let tags = tags.map(|(name, value)| KeyTag::builder().tag_key(name).tag_value(value).build().unwrap());
    kms.tag_resource().key_id(arn).set_tags(Some(tags.collect())).send().await.unwrap();
    kms.update_key_description().key_id(arn).description(known(&key.description)).send().await.unwrap();
    kms.put_key_policy().key_id(arn).policy(known(&key.policy)).send().await.unwrap();
    let days = key.rotation.known().unwrap().period_days.unwrap();
    kms.enable_key_rotation().key_id(arn).rotation_period_in_days(days).send().await.unwrap();
    kms.create_alias().alias_name(alias).target_key_id(arn).send().await.unwrap();
}

async fn apply_bucket(clients: &Clients, bucket: &str, settings: BucketSettings) {
    let s3 = &clients.s3;
    let lock = settings.options.object_lock.known().copied().flatten();
    s3.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(lock.is_some()).send().await.unwrap();
    let tags = settings.tags.known().unwrap().iter();
    let tags = tags.map(|(name, value)| Tag::builder().key(name).value(value).build().unwrap()).collect();
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
    s3.put_bucket_tagging().bucket(bucket).tagging(tagging).send().await.unwrap();
    if let Observed::Known(access) = settings.public_access {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(access.block_acls)
            .ignore_public_acls(access.ignore_acls)
            .block_public_policy(access.block_policy)
            .restrict_public_buckets(access.restrict_buckets)
            .build();
        s3.put_public_access_block().bucket(bucket).public_access_block_configuration(block).send().await.unwrap();
    }
    if let Observed::Known(ownership) = settings.ownership {
        let rule = OwnershipControlsRule::builder().object_ownership(ownership).build().unwrap();
        let controls = OwnershipControls::builder().rules(rule).build().unwrap();
        s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls).send().await.unwrap();
    }
    if let Observed::Known(encryption) = settings.encryption {
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(encryption.algorithm)
            .set_kms_master_key_id(encryption.key)
            .build()
            .unwrap();
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .bucket_key_enabled(encryption.bucket_key)
            .build();
        let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
        s3.put_bucket_encryption().bucket(bucket).server_side_encryption_configuration(all).send().await.unwrap();
    }
    if let Observed::Known(status) = settings.versioning {
        let versioning = VersioningConfiguration::builder().status(status).build();
        s3.put_bucket_versioning().bucket(bucket).versioning_configuration(versioning).send().await.unwrap();
    }
    if let Some(lock) = lock {
        let mode = match lock.mode {
            Retention::Governance => ObjectLockRetentionMode::Governance,
            Retention::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = DefaultRetention::builder().mode(mode).days(lock.days).build();
        let configuration = ObjectLockConfiguration::builder()
            .object_lock_enabled(ObjectLockEnabled::Enabled)
            .rule(ObjectLockRule::builder().default_retention(retention).build())
            .build();
        let request = s3.put_object_lock_configuration().bucket(bucket);
        request.object_lock_configuration(configuration).send().await.unwrap();
    }
    if let Observed::Known(cors) = settings.options.cors {
        let cors = CorsConfiguration::builder().set_cors_rules(Some(cors)).build().unwrap();
        s3.put_bucket_cors().bucket(bucket).cors_configuration(cors).send().await.unwrap();
    }
    if let Observed::Known(lifecycle) = settings.lifecycle {
        let rules = BucketLifecycleConfiguration::builder().set_rules(Some(lifecycle.rules)).build().unwrap();
        let request = s3.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rules);
        request.send().await.unwrap();
    }
    if let Observed::Known(policy) = settings.policy {
        s3.put_bucket_policy().bucket(bucket).policy(policy).send().await.unwrap();
    }
}
