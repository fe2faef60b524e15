//! What breaks nothing today, and would later: rules that expire what is stored, and an alias that is gone or moved.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration,
};

use super::scene::Scene;
use super::watched_on_every_back_end;
use crate::support::service::BackEnd;

watched_on_every_back_end!(alias_moved_and_gone);

async fn alias_moved_and_gone(scene: Scene) {
    let service = &scene.service;
    let (kms, key) = (service.kms().await, &service.key_arn);
    // LocalStack takes the whole ARN and then finds no such key.
    let id = key.rsplit('/').next().unwrap();
    let alias = format!("alias/{}", service.bucket);
    let other = kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    kms.update_alias().alias_name(&alias).target_key_id(&other).send().await.unwrap();
    let observed = scene.is_told_that_it_failed("key_named").await;
    assert!(observed.contains(&other) && observed.contains("aws kms update-alias"), "{observed}");
    scene.takes_uploads().await;
    kms.update_alias().alias_name(&alias).target_key_id(id).send().await.unwrap();
    scene.recovers("key_named").await;

    kms.delete_alias().alias_name(&alias).send().await.unwrap();
    let observed = scene.sees("key_named", "failed").await;
    let cure = format!("aws kms create-alias --alias-name {alias} --target-key-id {key}");
    assert!(observed.contains("the next start will fail") && observed.contains(&cure), "{observed}");
    kms.create_alias().alias_name(&alias).target_key_id(id).send().await.unwrap();
    scene.sees("key_named", "passed").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

#[tokio::test]
async fn rule_of_somebody_else_that_expires_models() {
    let scene = Scene::new(BackEnd::Embedded).await;
    let service = &scene.service;
    let s3 = service.s3().await;
    let found = s3.get_bucket_lifecycle_configuration().bucket(&service.bucket).send().await.unwrap();
    let ours = found.rules.unwrap();
    let put = async |rules: Vec<LifecycleRule>| {
        let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
        let put = s3.put_bucket_lifecycle_configuration().bucket(&service.bucket).lifecycle_configuration(all);
        put.send().await.unwrap();
    };
    let cleanup = LifecycleRule::builder()
        .id("cleanup")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("models/").build())
        .expiration(LifecycleExpiration::builder().days(30).build())
        .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(1).build());
    let mut rules = ours.clone();
    rules.push(cleanup.build().unwrap());
    put(rules).await;
    let observed = scene.is_told_that_it_failed("nothing_expires").await;
    assert_eq!(observed, "rule `cleanup` expires objects; remove or narrow by hand: it is never removed for you");
    scene.takes_uploads().await;
    put(ours).await;
    scene.recovers("nothing_expires").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}
