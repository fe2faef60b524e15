//! Buckets and their configuration through the SDK.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketCannedAcl, BucketLifecycleConfiguration, BucketLocationConstraint,
    BucketLoggingStatus, CorsConfiguration, CorsRule, CreateBucketConfiguration, EventBridgeConfiguration,
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, LoggingEnabled,
    NotificationConfiguration, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, StorageClass, Tag, Tagging, Transition,
    TransitionStorageClass,
};
use support::raw::Raw;
use support::{Endpoint, code, status};

#[tokio::test]
async fn a_new_bucket_is_private_and_encrypted() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let s3 = &endpoint.s3;
    assert_eq!(s3.head_bucket().bucket("models").send().await.unwrap().bucket_region(), Some("us-east-1"));
    let location = s3.get_bucket_location().bucket("models").send().await.unwrap();
    assert_eq!(location.location_constraint().map_or("", |constraint| constraint.as_str()), "");
    assert_eq!(s3.get_bucket_versioning().bucket("models").send().await.unwrap().status(), None);
    let block = s3.get_public_access_block().bucket("models").send().await.unwrap();
    let block = block.public_access_block_configuration().unwrap();
    let all = [
        block.block_public_acls(),
        block.ignore_public_acls(),
        block.block_public_policy(),
        block.restrict_public_buckets(),
    ];
    assert_eq!(all, [Some(true); 4]);
    let controls = s3.get_bucket_ownership_controls().bucket("models").send().await.unwrap();
    let rule = &controls.ownership_controls().unwrap().rules()[0];
    assert_eq!(rule.object_ownership(), &ObjectOwnership::BucketOwnerEnforced);
    let encryption = s3.get_bucket_encryption().bucket("models").send().await.unwrap();
    let rule = &encryption.server_side_encryption_configuration().unwrap().rules()[0];
    let default = rule.apply_server_side_encryption_by_default().unwrap();
    assert_eq!(default.sse_algorithm(), &ServerSideEncryption::Aes256);
    assert_eq!(code(s3.get_bucket_policy().bucket("models").send().await), "NoSuchBucketPolicy");
    assert_eq!(code(s3.get_bucket_tagging().bucket("models").send().await), "NoSuchTagSet");
    let lifecycle = s3.get_bucket_lifecycle_configuration().bucket("models").send().await;
    assert_eq!(code(lifecycle), "NoSuchLifecycleConfiguration");
    assert_eq!(code(s3.get_bucket_cors().bucket("models").send().await), "NoSuchCORSConfiguration");
    assert_eq!(s3.get_bucket_acl().bucket("models").send().await.unwrap().grants().len(), 1);
    assert!(s3.get_bucket_logging().bucket("models").send().await.unwrap().logging_enabled().is_none());
}

#[tokio::test]
async fn creation_has_aws_rules() {
    let endpoint = Endpoint::start().await;
    let s3 = &endpoint.s3;
    endpoint.bucket("models").await;
    // As on AWS in us-east-1, and only there.
    endpoint.bucket("models").await;
    assert_eq!(code(s3.create_bucket().bucket("Bad_Name").send().await), "InvalidBucketName");
    let elsewhere = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuCentral1);
    let elsewhere = s3.create_bucket().bucket("other").create_bucket_configuration(elsewhere.build()).send().await;
    assert_eq!(code(elsewhere), "IllegalLocationConstraintException");
    let public = s3.create_bucket().bucket("other").acl(BucketCannedAcl::PublicRead).send().await;
    assert_eq!(code(public), "AccessControlListNotSupported");
    let writer = s3.create_bucket().bucket("other").object_ownership(ObjectOwnership::ObjectWriter).send().await;
    assert_eq!(status(writer), 501);
    assert_eq!(status(s3.head_bucket().bucket("other").send().await), 404);
    let enforced = s3.create_bucket().bucket("other").object_ownership(ObjectOwnership::BucketOwnerEnforced);
    enforced.acl(BucketCannedAcl::Private).send().await.unwrap();
}

#[tokio::test]
async fn only_an_empty_bucket_can_be_deleted() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let s3 = &endpoint.s3;
    let version = endpoint.put("models", "k", "x").await.unwrap();
    let marker = s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!(code(s3.delete_bucket().bucket("models").send().await), "BucketNotEmpty");
    for id in [&version, marker.version_id().unwrap()] {
        s3.delete_object().bucket("models").key("k").version_id(id).send().await.unwrap();
    }
    s3.delete_bucket().bucket("models").send().await.unwrap();
    assert_eq!(status(s3.head_bucket().bucket("models").send().await), 404);
    assert_eq!(code(s3.delete_bucket().bucket("models").send().await), "NoSuchBucket");
    endpoint.bucket("models").await;
    let fresh = s3.get_bucket_versioning().bucket("models").send().await.unwrap();
    assert_eq!(fresh.status(), None, "nothing of the old bucket comes back");
}

#[tokio::test]
async fn policies_are_checked_when_they_are_put() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let s3 = &endpoint.s3;
    let statement = |effect: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*"}}]}}"#
        )
    };
    let put = |policy: String| s3.put_bucket_policy().bucket("models").policy(policy).send();
    assert_eq!(code(put("{}".to_owned()).await), "MalformedPolicy");
    assert_eq!(code(put(statement("Allow")).await), "AccessDenied", "public policies are blocked");
    let deny = statement("Deny");
    put(deny.clone()).await.unwrap();
    assert_eq!(s3.get_bucket_policy().bucket("models").send().await.unwrap().policy(), Some(deny.as_str()));
    let public = s3.get_bucket_policy_status().bucket("models").send().await.unwrap();
    assert_eq!(public.policy_status().unwrap().is_public(), Some(false));
    s3.delete_bucket_policy().bucket("models").send().await.unwrap();
    let open = PublicAccessBlockConfiguration::builder().block_public_acls(true).build();
    s3.put_public_access_block().bucket("models").public_access_block_configuration(open).send().await.unwrap();
    put(statement("Allow")).await.unwrap();
    let public = s3.get_bucket_policy_status().bucket("models").send().await.unwrap();
    assert_eq!(public.policy_status().unwrap().is_public(), Some(true));
    s3.delete_public_access_block().bucket("models").send().await.unwrap();
    let absent = s3.get_public_access_block().bucket("models").send().await;
    assert_eq!(code(absent), "NoSuchPublicAccessBlockConfiguration");
}

#[tokio::test]
async fn configuration_reads_back_after_a_restart() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let rule = LifecycleRule::builder()
        .id("uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build())
        .expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
        .build()
        .unwrap();
    let lifecycle = BucketLifecycleConfiguration::builder().rules(rule.clone()).build().unwrap();
    let put = endpoint.s3.put_bucket_lifecycle_configuration().bucket("models");
    put.lifecycle_configuration(lifecycle).send().await.unwrap();
    let tagging = Tagging::builder().tag_set(Tag::builder().key("spec").value("3").build().unwrap()).build().unwrap();
    endpoint.s3.put_bucket_tagging().bucket("models").tagging(tagging).send().await.unwrap();
    let controls = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::BucketOwnerEnforced);
    let controls = OwnershipControls::builder().rules(controls.build().unwrap()).build().unwrap();
    let put = endpoint.s3.put_bucket_ownership_controls().bucket("models").ownership_controls(controls);
    put.send().await.unwrap();

    let endpoint = endpoint.restart().await;
    let lifecycle = endpoint.s3.get_bucket_lifecycle_configuration().bucket("models").send().await.unwrap();
    assert_eq!(lifecycle.rules(), [rule]);
    let tags = endpoint.s3.get_bucket_tagging().bucket("models").send().await.unwrap();
    assert_eq!(tags.tag_set()[0].value(), "3");
    endpoint.s3.delete_bucket_lifecycle().bucket("models").send().await.unwrap();
    let absent = endpoint.s3.get_bucket_lifecycle_configuration().bucket("models").send().await;
    assert_eq!(code(absent), "NoSuchLifecycleConfiguration");
}

#[tokio::test]
async fn lifecycle_rules_that_cannot_be_carried_out_are_refused() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let put = async |rule: LifecycleRule| {
        let lifecycle = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
        let put = endpoint.s3.put_bucket_lifecycle_configuration().bucket("models");
        put.lifecycle_configuration(lifecycle).send().await
    };
    let rule =
        || LifecycleRule::builder().status(ExpirationStatus::Enabled).filter(LifecycleRuleFilter::builder().build());
    assert_eq!(code(put(rule().build().unwrap()).await), "InvalidRequest");
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(0).build();
    assert_eq!(code(put(rule().abort_incomplete_multipart_upload(abort).build().unwrap()).await), "InvalidArgument");
    let transition = Transition::builder().days(30).storage_class(TransitionStorageClass::Glacier).build();
    assert_eq!(status(put(rule().transitions(transition).build().unwrap()).await), 501);
    let tiering =
        |days: i32| Transition::builder().days(days).storage_class(TransitionStorageClass::IntelligentTiering).build();
    assert_eq!(code(put(rule().transitions(tiering(-1)).build().unwrap()).await), "InvalidArgument");
    let expired = rule().expiration(LifecycleExpiration::builder().days(1).build());
    assert_eq!(code(put(expired.transitions(tiering(1)).build().unwrap()).await), "InvalidArgument");
    put(rule().transitions(tiering(0)).build().unwrap()).await.unwrap();
}

fn cors(rules: Vec<CorsRule>) -> CorsConfiguration {
    CorsConfiguration::builder().set_cors_rules(Some(rules)).build().unwrap()
}

fn page_of(origin: &str) -> CorsRule {
    CorsRule::builder()
        .id("pages")
        .allowed_origins(origin)
        .allowed_methods("GET")
        .allowed_methods("HEAD")
        .allowed_headers("range")
        .expose_headers("ETag")
        .max_age_seconds(600)
        .build()
        .unwrap()
}

#[tokio::test]
async fn cors_rules_read_back_after_a_restart_and_can_be_deleted() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let put = |rules| endpoint.s3.put_bucket_cors().bucket("models").cors_configuration(cors(rules)).send();
    let odd = CorsRule::builder().allowed_origins("*").allowed_methods("PATCH").build().unwrap();
    assert_eq!(code(put(vec![odd]).await), "InvalidRequest");
    assert_eq!(code(put(vec![page_of("*"); 101]).await), "MalformedXML");
    put(vec![page_of("https://models.example")]).await.unwrap();

    let endpoint = endpoint.restart().await;
    let got = endpoint.s3.get_bucket_cors().bucket("models").send().await.unwrap();
    assert_eq!(got.cors_rules(), [page_of("https://models.example")]);
    for _ in 0..2 {
        endpoint.s3.delete_bucket_cors().bucket("models").send().await.unwrap();
    }
    let absent = endpoint.s3.get_bucket_cors().bucket("models").send().await;
    assert_eq!(code(absent), "NoSuchCORSConfiguration");
}

#[tokio::test]
async fn browsers_are_told_which_pages_may_read() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    endpoint.put("models", "k", "bytes").await;
    let address = endpoint.server.addr();
    let preflight = async |origin: &str, method: &str, headers: &str| {
        let request = Raw::new("OPTIONS", "/models/k").header("origin", origin);
        let request = request.header("access-control-request-method", method);
        request.header("access-control-request-headers", headers).send(address).await
    };
    let page = "https://models.example";
    assert!(preflight(page, "GET", "range").await.is(403, "AccessForbidden"), "no rules yet");
    let rules = cors(vec![page_of(page)]);
    endpoint.s3.put_bucket_cors().bucket("models").cors_configuration(rules).send().await.unwrap();
    let allowed = preflight(page, "GET", "Range").await;
    assert_eq!(allowed.status, 200);
    for line in [
        "access-control-allow-origin: https://models.example\r\n",
        "access-control-allow-methods: GET, HEAD\r\n",
        "access-control-allow-headers: Range\r\n",
        "access-control-expose-headers: ETag\r\n",
        "access-control-max-age: 600\r\n",
        "access-control-allow-credentials: true\r\n",
        "vary: Origin, Access-Control-Request-Headers, Access-Control-Request-Method\r\n",
    ] {
        assert!(allowed.text.contains(line), "{line} in {}", allowed.text);
    }
    assert!(preflight(page, "PUT", "").await.is(403, "AccessForbidden"));
    assert!(preflight(page, "GET", "x-amz-date").await.is(403, "AccessForbidden"));
    assert!(preflight("https://elsewhere.example", "GET", "").await.is(403, "AccessForbidden"));
    assert!(Raw::new("OPTIONS", "/models/k").send(address).await.is(400, "BadRequest"));

    let get = async |origin: &str| {
        let request = Raw::new("GET", "/models/k").header("origin", origin);
        request.sign(address, &endpoint.signer("s3")).send(address).await
    };
    let told = get(page).await;
    assert_eq!(told.status, 200);
    assert!(told.text.contains("access-control-allow-origin: https://models.example\r\n"), "{}", told.text);
    let untold = get("https://elsewhere.example").await;
    assert!(untold.status == 200 && !untold.text.contains("access-control-"), "{}", untold.text);
    let refused = Raw::new("GET", "/models/k").header("origin", page).send(address).await;
    assert!(refused.is(403, "AccessDenied"), "the rules grant nothing");
    assert!(refused.text.contains("access-control-allow-origin"), "a page may read why: {}", refused.text);
}

#[tokio::test]
async fn what_is_never_delivered_cannot_be_switched_on() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let s3 = &endpoint.s3;
    let to = LoggingEnabled::builder().target_bucket("models").target_prefix("logs/").build().unwrap();
    for (enabled, refused) in [(Some(to), true), (None, false)] {
        let status = BucketLoggingStatus::builder().set_logging_enabled(enabled).build();
        let put = s3.put_bucket_logging().bucket("models").bucket_logging_status(status).send().await;
        assert_eq!(put.is_err(), refused);
        if refused {
            assert_eq!(code(put), "NotImplemented");
        }
    }
    for (events, refused) in [(Some(EventBridgeConfiguration::builder().build()), true), (None, false)] {
        let wanted = NotificationConfiguration::builder().set_event_bridge_configuration(events).build();
        let put = s3.put_bucket_notification_configuration().bucket("models").notification_configuration(wanted);
        let put = put.send().await;
        assert_eq!(put.is_err(), refused);
        if refused {
            assert_eq!(code(put), "NotImplemented");
        }
    }
    assert!(s3.get_bucket_logging().bucket("models").send().await.unwrap().logging_enabled().is_none());
    let events = s3.get_bucket_notification_configuration().bucket("models").send().await.unwrap();
    assert!(events.event_bridge_configuration().is_none());
}

/// Tiers everything whose midnight has passed.
fn tiering(date: DateTime) -> BucketLifecycleConfiguration {
    let class = TransitionStorageClass::IntelligentTiering;
    let transition = Transition::builder().date(date).storage_class(class).build();
    let rule = LifecycleRule::builder()
        .id("tiering")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("models/").build())
        .transitions(transition)
        .build()
        .unwrap();
    BucketLifecycleConfiguration::builder().rules(rule).build().unwrap()
}

#[tokio::test]
async fn tiered_objects_say_so_and_read_as_before() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let body = support::bytes(128 * 1024, 7);
    endpoint.put("models", "models/large", body.clone()).await;
    endpoint.put("models", "models/small", "x").await;
    endpoint.put("models", "other/large", body.clone()).await;
    let wanted = tiering(DateTime::from_secs(0));
    let put = endpoint.s3.put_bucket_lifecycle_configuration().bucket("models");
    put.lifecycle_configuration(wanted.clone()).send().await.unwrap();

    // Lifecycle rules are carried out at start and every hour.
    let endpoint = endpoint.restart().await;
    let s3 = &endpoint.s3;
    let got = s3.get_bucket_lifecycle_configuration().bucket("models").send().await.unwrap();
    assert_eq!(got.rules(), wanted.rules());
    let head = async |key: &str| {
        let head = s3.head_object().bucket("models").key(key).send().await.unwrap();
        head.storage_class().cloned()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while head("models/large").await != Some(StorageClass::IntelligentTiering) {
        assert!(std::time::Instant::now() < deadline, "no round of housekeeping");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(head("models/small").await, None, "too small to be worth it");
    assert_eq!(head("other/large").await, None, "outside of the prefix");
    let listed = s3.list_objects_v2().bucket("models").send().await.unwrap();
    let classes: Vec<_> = listed.contents().iter().map(|object| object.storage_class().unwrap().as_str()).collect();
    assert_eq!(classes, ["INTELLIGENT_TIERING", "STANDARD", "STANDARD"]);
    let listed = s3.list_object_versions().bucket("models").prefix("models/large").send().await.unwrap();
    assert_eq!(listed.versions()[0].storage_class().unwrap().as_str(), "INTELLIGENT_TIERING");
    assert_eq!(endpoint.get("models", "models/large").await, body);
}
