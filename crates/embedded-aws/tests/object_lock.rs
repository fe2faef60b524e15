//! Object Lock through the SDK: what is locked stays, for everyone it should, across a restart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, DefaultRetention,
    Delete, ObjectIdentifier, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, ObjectLockRule,
    ServerSideEncryption, VersioningConfiguration,
};
use embedded_aws::Config;
use support::raw::Raw;
use support::{Endpoint, code, s3_client};
use tempfile::TempDir;

const BUCKET: &str = "models";
const DAY: i64 = 24 * 60 * 60;

async fn locked_bucket(endpoint: &Endpoint) {
    endpoint.s3.create_bucket().bucket(BUCKET).object_lock_enabled_for_bucket(true).send().await.unwrap();
}

fn configuration(mode: ObjectLockRetentionMode, days: i32) -> ObjectLockConfiguration {
    let default = DefaultRetention::builder().mode(mode).days(days).build();
    let rule = ObjectLockRule::builder().default_retention(default).build();
    ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build()
}

async fn retain_new_versions(endpoint: &Endpoint, mode: ObjectLockRetentionMode) {
    let put = endpoint.s3.put_object_lock_configuration().bucket(BUCKET);
    put.object_lock_configuration(configuration(mode, 2)).send().await.unwrap();
}

fn in_seconds(seconds: i64) -> DateTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    DateTime::from_secs(i64::try_from(now.as_secs()).unwrap() + seconds)
}

fn retention(mode: ObjectLockRetentionMode, seconds: i64) -> ObjectLockRetention {
    ObjectLockRetention::builder().mode(mode).retain_until_date(in_seconds(seconds)).build()
}

async fn deleted(s3: &aws_sdk_s3::Client, key: &str, version: &str, bypass: bool) -> Result<(), String> {
    let delete = s3.delete_object().bucket(BUCKET).key(key).version_id(version);
    let delete = if bypass { delete.bypass_governance_retention(true) } else { delete };
    let done = delete.send().await;
    if done.is_ok() { Ok(()) } else { Err(code(done)) }
}

#[tokio::test]
async fn a_lock_comes_with_versioning_and_neither_can_be_switched_off() {
    let endpoint = Endpoint::start().await;
    let s3 = &endpoint.s3;
    endpoint.bucket(BUCKET).await;
    let put = |configuration| {
        s3.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(configuration).send()
    };
    let get = || s3.get_object_lock_configuration().bucket(BUCKET).send();
    assert_eq!(code(get().await), "ObjectLockConfigurationNotFoundError");
    let wanted = configuration(ObjectLockRetentionMode::Governance, 30);
    assert_eq!(code(put(wanted.clone()).await), "InvalidBucketState");
    endpoint.versioning(BUCKET, BucketVersioningStatus::Enabled).await;
    assert_eq!(code(put(ObjectLockConfiguration::builder().build()).await), "MalformedXML", "it cannot be disabled");
    assert_eq!(code(put(configuration(ObjectLockRetentionMode::Governance, 0)).await), "InvalidArgument");
    assert_eq!(code(put(configuration(ObjectLockRetentionMode::Governance, 36_501)).await), "InvalidArgument");
    put(wanted.clone()).await.unwrap();

    let endpoint = endpoint.restart().await;
    let s3 = &endpoint.s3;
    let got = s3.get_object_lock_configuration().bucket(BUCKET).send().await.unwrap();
    assert_eq!(got.object_lock_configuration(), Some(&wanted));
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let suspended = s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended).send().await;
    assert_eq!(code(suspended), "InvalidBucketState");
    // Without a rule new versions are free again; the lock stays.
    let bare = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).build();
    let put = s3.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(bare.clone());
    put.send().await.unwrap();
    let got = s3.get_object_lock_configuration().bucket(BUCKET).send().await.unwrap();
    assert_eq!(got.object_lock_configuration(), Some(&bare));
    let version = endpoint.put(BUCKET, "free", "x").await.unwrap();
    assert_eq!(deleted(s3, "free", &version, false).await, Ok(()));
}

#[tokio::test]
async fn a_bucket_can_be_born_locked() {
    let endpoint = Endpoint::start().await;
    locked_bucket(&endpoint).await;
    let versioning = endpoint.s3.get_bucket_versioning().bucket(BUCKET).send().await.unwrap();
    assert_eq!(versioning.status(), Some(&BucketVersioningStatus::Enabled));
    let got = endpoint.s3.get_object_lock_configuration().bucket(BUCKET).send().await.unwrap();
    let got = got.object_lock_configuration().unwrap();
    assert_eq!(got.object_lock_enabled(), Some(&ObjectLockEnabled::Enabled));
    assert!(got.rule().is_none());
    endpoint.s3.delete_bucket().bucket(BUCKET).send().await.unwrap();
}

#[tokio::test]
async fn every_way_to_make_a_version_gets_the_default_retention() {
    let endpoint = Endpoint::start().await;
    locked_bucket(&endpoint).await;
    retain_new_versions(&endpoint, ObjectLockRetentionMode::Compliance).await;
    let s3 = &endpoint.s3;
    endpoint.put(BUCKET, "put", "bytes").await;
    s3.copy_object().bucket(BUCKET).key("copy").copy_source("models/put").send().await.unwrap();
    let upload = s3.create_multipart_upload().bucket(BUCKET).key("parts");
    let upload = upload.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = s3.upload_part().bucket(BUCKET).key("parts").upload_id(id).part_number(1);
    let part = part.checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from_static(b"bytes"));
    let part = part.send().await.unwrap();
    let listed =
        CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).set_checksum_sha256(part.checksum_sha256);
    let listed = CompletedMultipartUpload::builder().parts(listed.build()).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("parts").upload_id(id).multipart_upload(listed);
    complete.send().await.unwrap();

    let endpoint = endpoint.restart().await;
    let s3 = &endpoint.s3;
    for key in ["put", "copy", "parts"] {
        let head = s3.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance), "{key}");
        let until = head.object_lock_retain_until_date().unwrap().secs();
        assert!((in_seconds(2 * DAY).secs() - until).abs() < 60, "{key}");
        assert_eq!(head.object_lock_legal_hold_status(), None);
        let get = s3.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(get.object_lock_mode(), Some(&ObjectLockMode::Compliance), "{key}");
        let got = s3.get_object_retention().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(got.retention().unwrap().mode(), Some(&ObjectLockRetentionMode::Compliance));
        let version = head.version_id().unwrap();
        for bypass in [false, true] {
            assert_eq!(deleted(s3, key, version, bypass).await, Err("AccessDenied".to_owned()), "{key}, {bypass}");
        }
        // A marker hides the version and removes nothing.
        let marker = s3.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(marker.delete_marker(), Some(true));
        s3.get_object().bucket(BUCKET).key(key).version_id(version).send().await.unwrap();
        assert_eq!(deleted(s3, key, marker.version_id().unwrap(), false).await, Ok(()), "markers are never locked");
    }
    assert_eq!(code(s3.delete_bucket().bucket(BUCKET).send().await), "BucketNotEmpty");
}

#[tokio::test]
async fn governance_yields_to_a_bypass_and_to_nothing_else() {
    let endpoint = Endpoint::start().await;
    locked_bucket(&endpoint).await;
    retain_new_versions(&endpoint, ObjectLockRetentionMode::Governance).await;
    let s3 = &endpoint.s3;
    let version = endpoint.put(BUCKET, "k", "bytes").await.unwrap();
    let put = |retention, bypass: bool| {
        let put = s3.put_object_retention().bucket(BUCKET).key("k").version_id(&version).retention(retention);
        if bypass { put.bypass_governance_retention(true).send() } else { put.send() }
    };
    let mode = ObjectLockRetentionMode::Governance;
    put(retention(mode.clone(), 5 * DAY), false).await.unwrap();
    assert_eq!(code(put(retention(mode.clone(), DAY), false).await), "AccessDenied");
    put(retention(mode, DAY), true).await.unwrap();
    assert_eq!(code(put(ObjectLockRetention::builder().build(), false).await), "AccessDenied");
    assert_eq!(code(put(retention(ObjectLockRetentionMode::Governance, -1), true).await), "InvalidArgument");
    assert_eq!(deleted(s3, "k", &version, false).await, Err("AccessDenied".to_owned()));

    let object = || ObjectIdentifier::builder().key("k").version_id(&version).build().unwrap();
    let many = || Delete::builder().objects(object()).build().unwrap();
    let refused = s3.delete_objects().bucket(BUCKET).delete(many()).send().await.unwrap();
    assert_eq!(refused.errors()[0].code(), Some("AccessDenied"));
    let done = s3.delete_objects().bucket(BUCKET).delete(many()).bypass_governance_retention(true);
    let done = done.send().await.unwrap();
    assert!(done.errors().is_empty() && done.deleted().len() == 1);
}

#[tokio::test]
async fn a_bypass_takes_a_right_of_its_own() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("identities.json");
    let identity = |key: &str, more: &str| {
        format!(
            r#"{{"access_key":"{key}","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/{key}",
                "actions":["s3:DeleteObject*","s3:PutObject"{more}]}}"#
        )
    };
    let entries =
        format!("[{},{}]", identity("SWEEPER", ""), identity("OFFICER", r#","s3:BypassGovernanceRetention""#));
    std::fs::write(&file, entries).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut config = Config::new(dir.path());
    config.identities_file = Some(file);
    let endpoint = Endpoint::with(dir, config).await;
    locked_bucket(&endpoint).await;
    retain_new_versions(&endpoint, ObjectLockRetentionMode::Governance).await;
    let (one, two) = (endpoint.put(BUCKET, "k", "1").await.unwrap(), endpoint.put(BUCKET, "k", "2").await.unwrap());
    let as_role = |key: &str| s3_client(&endpoint.url(), key, "a-long-secret");
    assert_eq!(deleted(&as_role("SWEEPER"), "k", &one, true).await, Err("AccessDenied".to_owned()));
    let object = ObjectIdentifier::builder().key("k").version_id(&one).build().unwrap();
    let many = Delete::builder().objects(object).build().unwrap();
    let refused = as_role("SWEEPER").delete_objects().bucket(BUCKET).delete(many).bypass_governance_retention(true);
    assert_eq!(refused.send().await.unwrap().errors()[0].code(), Some("AccessDenied"));
    assert_eq!(deleted(&as_role("OFFICER"), "k", &one, false).await, Err("AccessDenied".to_owned()));
    assert_eq!(deleted(&as_role("OFFICER"), "k", &one, true).await, Ok(()));

    // Neither may set a lock, and a reader without the right to see one is told nothing of it.
    let locked = as_role("OFFICER").put_object().bucket(BUCKET).key("n").body(ByteStream::from_static(b"x"));
    let locked = locked.object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On).send().await;
    assert_eq!(code(locked), "AccessDenied");
    // A bucket policy takes the right away from the root too.
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"NoBypass","Effect":"Deny","Principal":"*",
        "Action":"s3:BypassGovernanceRetention","Resource":"arn:aws:s3:::models/*"}]}"#;
    endpoint.s3.put_bucket_policy().bucket(BUCKET).policy(policy).send().await.unwrap();
    assert_eq!(deleted(&endpoint.s3, "k", &two, true).await, Err("AccessDenied".to_owned()));
}

#[tokio::test]
async fn a_legal_hold_keeps_a_version_from_everyone_until_it_is_taken_off() {
    let endpoint = Endpoint::start().await;
    locked_bucket(&endpoint).await;
    let version = endpoint.put(BUCKET, "k", "bytes").await.unwrap();
    let get = async |endpoint: &Endpoint| endpoint.s3.get_object_legal_hold().bucket(BUCKET).key("k").send().await;
    let put = async |endpoint: &Endpoint, status| {
        let hold = ObjectLockLegalHold::builder().status(status).build();
        endpoint.s3.put_object_legal_hold().bucket(BUCKET).key("k").legal_hold(hold).send().await.unwrap();
    };
    assert_eq!(code(get(&endpoint).await), "NoSuchObjectLockConfiguration");
    put(&endpoint, ObjectLockLegalHoldStatus::On).await;
    let endpoint = endpoint.restart().await;
    let held = get(&endpoint).await.unwrap();
    assert_eq!(held.legal_hold().unwrap().status(), Some(&ObjectLockLegalHoldStatus::On));
    let head = endpoint.s3.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.object_lock_legal_hold_status(), Some(&ObjectLockLegalHoldStatus::On));
    assert_eq!(deleted(&endpoint.s3, "k", &version, true).await, Err("AccessDenied".to_owned()));
    put(&endpoint, ObjectLockLegalHoldStatus::Off).await;
    assert_eq!(deleted(&endpoint.s3, "k", &version, false).await, Ok(()));
}

#[tokio::test]
async fn a_write_may_bring_its_own_lock_and_a_digest_with_it() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("plain").await;
    locked_bucket(&endpoint).await;
    let s3 = &endpoint.s3;
    let put = |bucket: &str| {
        let put = s3.put_object().bucket(bucket).key("k").body(ByteStream::from_static(b"bytes"));
        put.object_lock_mode(ObjectLockMode::Compliance)
    };
    let no_lock = put("plain").object_lock_retain_until_date(in_seconds(DAY)).send().await;
    assert_eq!(code(no_lock), "InvalidRequest");
    assert_eq!(code(put(BUCKET).send().await), "InvalidArgument", "a mode needs a date");
    assert_eq!(code(put(BUCKET).object_lock_retain_until_date(in_seconds(-1)).send().await), "InvalidArgument");
    // Short, so that the end of it can be seen.
    let written = put(BUCKET).object_lock_retain_until_date(in_seconds(3)).send().await.unwrap();
    let version = written.version_id().unwrap();
    assert_eq!(deleted(s3, "k", version, true).await, Err("AccessDenied".to_owned()));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(deleted(s3, "k", version, false).await, Ok(()));

    let upload =
        s3.create_multipart_upload().bucket(BUCKET).key("parts").server_side_encryption(ServerSideEncryption::Aes256);
    let upload = upload.object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = s3.upload_part().bucket(BUCKET).key("parts").upload_id(id).part_number(1);
    let part = part.body(ByteStream::from_static(b"bytes")).send().await.unwrap();
    let listed = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let listed = CompletedMultipartUpload::builder().parts(listed).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("parts").upload_id(id).multipart_upload(listed);
    complete.send().await.unwrap();
    let head = s3.head_object().bucket(BUCKET).key("parts").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.object_lock_legal_hold_status(), Some(&ObjectLockLegalHoldStatus::On));
}

#[tokio::test]
async fn bytes_that_will_be_retained_come_with_a_digest() {
    let endpoint = Endpoint::start().await;
    locked_bucket(&endpoint).await;
    retain_new_versions(&endpoint, ObjectLockRetentionMode::Governance).await;
    let (address, signer) = (endpoint.server.addr(), endpoint.signer("s3"));
    let bare = |target: &str| Raw::new("PUT", target).body(b"bytes");
    assert!(bare("/models/k").sign(address, &signer).send(address).await.is(400, "InvalidRequest"));
    // MD5 of "bytes".
    let with_md5 = bare("/models/k").header("content-md5", "SzpiGLs+OnMD6KFxpg/Pkg==");
    let with_md5 = with_md5.sign(address, &signer).send(address).await;
    assert_eq!(with_md5.status, 200, "{}", with_md5.text);
    let upload = endpoint.s3.create_multipart_upload().bucket(BUCKET).key("parts").send().await.unwrap();
    let target = format!("/models/parts?partNumber=1&uploadId={}", upload.upload_id().unwrap());
    assert!(bare(&target).sign(address, &signer).send(address).await.is(400, "InvalidRequest"));
}
