//! Settings of the bucket and its key, changed behind the service's back.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use serde_json::{Value, json};

use super::scene::Scene;
use super::watched_on_every_back_end;
use crate::support::service::{BackEnd, Service, bytes, code};

watched_on_every_back_end!(
    versioning_suspended,
    policy_edited,
    default_encryption_changed,
    key_disabled,
    claimed_by_another,
    bucket_deleted,
);

async fn versioning_suspended(scene: Scene) {
    suspend_versioning(&scene.service).await;
    let observed = scene.is_told_that_it_failed("versioned").await;
    assert_eq!(observed, "Suspended");
    let log = scene.service.log();
    let told = "posture: versioned failed: was Enabled, is Suspended; new bytes are refused until it is repaired: \
                strongroom bucket apply";
    assert!(log.contains(told), "{log}");
    scene.refuses_uploads_naming("versioned").await;
    scene.apply().await;
    scene.recovers("versioned").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn policy_edited(scene: Scene) {
    let mut policy = policy(&scene.service).await;
    policy["Statement"].as_array_mut().unwrap().retain(|statement| statement["Sid"] != "DenyInsecureTransport");
    put_policy(&scene.service, &policy).await;
    let observed = scene.is_told_that_it_failed("tls_only").await;
    assert!(observed.contains("DenyInsecureTransport"), "{observed}");
    scene.takes_uploads().await;
    scene.apply().await;
    scene.recovers("tls_only").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn default_encryption_changed(scene: Scene) {
    encrypt_by_default_with(&scene.service, ServerSideEncryption::Aes256).await;
    scene.is_told_that_it_failed("default_encryption").await;
    scene.refuses_uploads_naming("default_encryption").await;
    scene.apply().await;
    scene.recovers("default_encryption").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn key_disabled(scene: Scene) {
    let kms = scene.service.kms().await;
    kms.disable_key().key_id(&scene.service.key_arn).send().await.unwrap();
    let observed = scene.is_told_that_it_failed("key_usable").await;
    assert!(observed.contains("Disabled"), "{observed}");
    scene.refuses_uploads_naming("key_usable").await;
    kms.enable_key().key_id(&scene.service.key_arn).send().await.unwrap();
    scene.recovers("key_usable").await;
    scene.ends_readable().await;
}

async fn claimed_by_another(scene: Scene) {
    let service = &scene.service;
    let s3 = service.s3().await;
    let put = s3
        .put_object()
        .bucket(&service.bucket)
        .key("strongroom-claim.json")
        .body(ByteStream::from_static(br#"{"catalog_id":"somebody","format":1}"#))
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&service.key_arn);
    let theirs = put.send().await.unwrap().version_id.unwrap();
    let observed = scene.is_told_that_it_failed("bucket_ours").await;
    assert!(observed.contains("belongs to catalog somebody"), "{observed}");
    scene.refuses_uploads_naming("bucket_ours").await;
    s3.delete_object().bucket(&service.bucket).key("strongroom-claim.json").version_id(theirs).send().await.unwrap();
    scene.recovers("bucket_ours").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn bucket_deleted(scene: Scene) {
    let service = &scene.service;
    let s3 = service.s3().await;
    let all = s3.list_object_versions().bucket(&service.bucket).send().await.unwrap();
    for version in all.versions() {
        let delete = s3.delete_object().bucket(&service.bucket).key(version.key().unwrap());
        delete.version_id(version.version_id().unwrap()).send().await.unwrap();
    }
    s3.delete_bucket().bucket(&service.bucket).send().await.unwrap();
    for claim in ["versioned", "bucket_ours", "objects_intact", "public_access_blocked"] {
        // Where there is no public access block, what anybody may do cannot be tried without a bucket.
        if claim != "public_access_blocked" || service.back_end == BackEnd::Embedded {
            scene.is_told_that_it_failed(claim).await;
        }
    }
    scene.refuses_uploads_naming("versioned").await;
    let before = scene.reads();
    scene.until("reads are refused", async || (scene.reads().1 > before.1 + 4).then_some(())).await;

    scene.apply().await;
    scene.recovers("versioned").await;
    scene.recovers("bucket_ours").await;
    let gone = scene.sees("objects_intact", "failed").await;
    scene
        .until("every object is missed", async || {
            scene.sees("objects_intact", "failed").await.starts_with("4 damaged: ").then_some(())
        })
        .await;
    assert!(gone.contains("gone"), "{gone}");
    scene.ends().await;
}

#[tokio::test]
async fn public_access_block_opened() {
    let scene = Scene::new(BackEnd::Embedded).await;
    let open = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(false)
        .restrict_public_buckets(false)
        .build();
    let s3 = scene.service.s3().await;
    let put = s3.put_public_access_block().bucket(&scene.service.bucket).public_access_block_configuration(open);
    put.send().await.unwrap();
    scene.is_told_that_it_failed("public_access_blocked").await;
    scene.refuses_uploads_naming("public_access_blocked").await;
    scene.apply().await;
    scene.recovers("public_access_blocked").await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

/// Where there is no public access block, the watch tries what anybody may read.
#[tokio::test]
async fn bucket_opened_to_anybody_by_policy() {
    let scene = Scene::new(BackEnd::SeaweedFs).await;
    let before = policy(&scene.service).await;
    let bucket = &scene.service.bucket;
    let mut open = before.clone();
    open["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "Oops",
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
    }));
    put_policy(&scene.service, &open).await;
    scene.is_told_that_it_failed("public_access_blocked").await;
    scene.is_told_that_it_failed("policy_grants_nothing").await;
    scene.refuses_uploads_naming("public_access_blocked").await;
    // Somebody else's statement is never removed by `bucket apply`.
    put_policy(&scene.service, &before).await;
    scene.recovers("public_access_blocked").await;
    scene.ends_readable().await;
}

#[tokio::test]
async fn upload_before_the_watch_has_noticed_fails_cleanly_when_versioning_is_suspended() {
    for back_end in [BackEnd::Embedded, BackEnd::SeaweedFs] {
        let service = Service::start_with(back_end, "watch_seconds = 86400").await;
        service.json("/v1/posture?fresh=true").await;
        suspend_versioning(&service).await;
        // One that fits a single request to S3, and one of several parts.
        for len in [1000, 9_000_000] {
            let answer = service.upload("a/b", "m.bin", &bytes(7, len)).await;
            assert_eq!(code(answer, 503).await, "versioning_pending");
        }
        service.assert_nothing_left_soon().await;
        let ready: Value =
            service.anonymous(reqwest::Method::GET, "/readyz").send().await.unwrap().json().await.unwrap();
        assert_eq!(ready["writes"], "ok", "nobody has looked yet");
    }
}

#[tokio::test]
async fn upload_that_ends_after_the_bucket_became_unsafe_is_refused_and_leaves_nothing() {
    let scene = Scene::new(BackEnd::Embedded).await;
    let before = scene.kept().await;
    let (send, rest) = tokio::sync::oneshot::channel::<()>();
    let first = futures::stream::once(async { Ok::<_, std::io::Error>(bytes(9, 5000)) });
    let last = futures::stream::once(async move {
        let _ = rest.await;
        Ok(bytes(10, 5000))
    });
    let upload = scene
        .service
        .request(reqwest::Method::POST, "/v1/models/slow/m/versions?path=m.bin")
        .body(reqwest::Body::wrap_stream(futures::StreamExt::chain(first, last)));
    let upload = tokio::spawn(upload.send());
    scene.until("the upload has begun", async || (scene.service.rows("drafts").await == 1).then_some(())).await;
    encrypt_by_default_with(&scene.service, ServerSideEncryption::Aes256).await;
    scene.is_told_that_it_failed("default_encryption").await;
    send.send(()).unwrap();
    assert_eq!(code(upload.await.unwrap().unwrap(), 503).await, "writes_refused");
    assert_eq!(scene.kept().await, before);
    scene.ends_readable().await;
}

pub(super) async fn suspend_versioning(service: &Service) {
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let s3 = service.s3().await;
    s3.put_bucket_versioning().bucket(&service.bucket).versioning_configuration(suspended).send().await.unwrap();
}

/// Names no key: what names none then falls under keys of S3 or of the account.
pub(super) async fn encrypt_by_default_with(service: &Service, algorithm: ServerSideEncryption) {
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm).build().unwrap();
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    let all = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    let s3 = service.s3().await;
    s3.put_bucket_encryption().bucket(&service.bucket).server_side_encryption_configuration(all).send().await.unwrap();
}

pub(super) async fn policy(service: &Service) -> Value {
    let found = service.s3().await.get_bucket_policy().bucket(&service.bucket).send().await.unwrap();
    serde_json::from_str(found.policy().unwrap()).unwrap()
}

pub(super) async fn put_policy(service: &Service, policy: &Value) {
    let s3 = service.s3().await;
    s3.put_bucket_policy().bucket(&service.bucket).policy(policy.to_string()).send().await.unwrap();
}
