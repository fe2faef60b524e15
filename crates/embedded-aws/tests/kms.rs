//! KMS over the wire, with the SDK that the service uses, and the endpoint's own life.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_kms::operation::list_keys::ListKeysOutput;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyState, Tag};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use embedded_aws::{Config, EmbeddedAws, KmsOpenError, StartError};
use support::raw::{Raw, Signer};
use support::{Endpoint, code, kms_client};
use tempfile::TempDir;
use time::Duration;

#[tokio::test]
async fn key_lives_its_life_through_the_sdk() {
    let endpoint = Endpoint::start().await;
    let kms = &endpoint.kms;
    let tag = Tag::builder().tag_key("deletion-window-days").tag_value("10").build().unwrap();
    let created = kms.create_key().description("KMS key for S3 machine learning artifacts").tags(tag).send().await;
    let metadata = created.unwrap().key_metadata.unwrap();
    let id = metadata.key_id();
    assert_eq!(metadata.arn(), Some(format!("arn:aws:kms:us-east-1:000000000000:key/{id}").as_str()));
    assert!(metadata.creation_date().unwrap().secs() > 1_700_000_000);

    kms.enable_key_rotation().key_id(id).rotation_period_in_days(365).send().await.unwrap();
    let rotation = kms.get_key_rotation_status().key_id(id).send().await.unwrap();
    assert_eq!((rotation.key_rotation_enabled(), rotation.rotation_period_in_days()), (true, Some(365)));
    assert!(rotation.next_rotation_date().is_some());

    let policy = kms.get_key_policy().key_id(id).send().await.unwrap().policy.unwrap();
    kms.put_key_policy().key_id(id).policy(&policy).send().await.unwrap();
    assert_eq!(code(kms.put_key_policy().key_id(id).policy("{").send().await), "MalformedPolicyDocumentException");
    let tags = kms.list_resource_tags().key_id(id).send().await.unwrap();
    assert_eq!(tags.tags()[0].tag_value(), "10");

    kms.disable_key().key_id(id).send().await.unwrap();
    let refused = kms.generate_data_key().key_id(id).key_spec(DataKeySpec::Aes256).send().await;
    assert!(refused.unwrap_err().into_service_error().is_disabled_exception());
    kms.enable_key().key_id(id).send().await.unwrap();

    let scheduled = kms.schedule_key_deletion().key_id(id).pending_window_in_days(10).send().await.unwrap();
    assert_eq!(scheduled.key_state(), Some(&KeyState::PendingDeletion));
    let refused = kms.generate_data_key().key_id(id).key_spec(DataKeySpec::Aes256).send().await;
    assert!(refused.unwrap_err().into_service_error().is_kms_invalid_state_exception());
    kms.cancel_key_deletion().key_id(id).send().await.unwrap();
    let state = kms.describe_key().key_id(id).send().await.unwrap().key_metadata.unwrap();
    assert_eq!(state.key_state(), Some(&KeyState::Disabled));
    let unknown = kms.describe_key().key_id("00000000-0000-4000-8000-000000000000").send().await;
    assert!(unknown.unwrap_err().into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn aliases_and_lists_work_through_the_sdk() {
    let endpoint = Endpoint::start().await;
    let kms = &endpoint.kms;
    let mut keys = Vec::new();
    for number in 0..5 {
        let key = endpoint.key().await;
        kms.create_alias().alias_name(format!("alias/models-{number}")).target_key_id(&key).send().await.unwrap();
        keys.push(key);
    }
    let taken = kms.create_alias().alias_name("alias/models-0").target_key_id(&keys[1]).send().await;
    assert!(taken.unwrap_err().into_service_error().is_already_exists_exception());
    kms.update_alias().alias_name("alias/models-0").target_key_id(&keys[1]).send().await.unwrap();
    let moved = kms.describe_key().key_id("alias/models-0").send().await.unwrap().key_metadata.unwrap();
    assert_eq!(moved.arn(), Some(keys[1].as_str()));
    let of_key = kms.list_aliases().key_id(&keys[1]).send().await.unwrap();
    assert_eq!(of_key.aliases().len(), 2);

    let pages: Vec<_> = kms.list_keys().limit(2).into_paginator().send().collect::<Result<_, _>>().await.unwrap();
    assert_eq!(pages.len(), 3);
    let mut listed: Vec<_> = pages.iter().flat_map(ListKeysOutput::keys).filter_map(|key| key.key_arn()).collect();
    listed.sort_unstable();
    keys.sort();
    assert_eq!(listed, keys);
    kms.delete_alias().alias_name("alias/models-0").send().await.unwrap();
    let gone = kms.describe_key().key_id("alias/models-0").send().await;
    assert!(gone.unwrap_err().into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn data_keys_come_back_in_their_context_only() {
    let endpoint = Endpoint::start().await;
    let (kms, key) = (&endpoint.kms, endpoint.key().await);
    let made = kms.generate_data_key().key_id(&key).key_spec(DataKeySpec::Aes256).encryption_context("a", "b");
    let made = made.send().await.unwrap();
    let blob = made.ciphertext_blob.unwrap();
    let back = kms.decrypt().ciphertext_blob(blob.clone()).encryption_context("a", "b").send().await.unwrap();
    assert_eq!(back.plaintext, made.plaintext);
    let wrong = kms.decrypt().ciphertext_blob(blob).encryption_context("a", "c").send().await;
    assert!(wrong.unwrap_err().into_service_error().is_invalid_ciphertext_exception());
    let encrypted = kms.encrypt().key_id(&key).plaintext(Blob::new("secret")).send().await.unwrap();
    let other = endpoint.key().await;
    let wrong = kms.decrypt().ciphertext_blob(encrypted.ciphertext_blob.unwrap()).key_id(other).send().await;
    assert!(wrong.unwrap_err().into_service_error().is_incorrect_key_exception());
}

#[tokio::test]
async fn s3_refuses_a_key_that_cannot_be_used() {
    let endpoint = Endpoint::start().await;
    let key = endpoint.key().await;
    endpoint.versioned_bucket("models").await;
    endpoint.put_kms("models", "before", "bytes", &key).await;
    let put = || {
        let put = endpoint.s3.put_object().bucket("models").key("after").body(ByteStream::from_static(b"bytes"));
        put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key).send()
    };
    let get = || endpoint.s3.get_object().bucket("models").key("before").send();

    endpoint.kms.disable_key().key_id(&key).send().await.unwrap();
    assert_eq!(code(put().await), "KMS.DisabledException");
    assert_eq!(code(get().await), "KMS.DisabledException");
    endpoint.kms.enable_key().key_id(&key).send().await.unwrap();
    put().await.unwrap();
    assert_eq!(endpoint.get("models", "before").await, b"bytes");

    endpoint.kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await.unwrap();
    assert_eq!(code(put().await), "KMS.KMSInvalidStateException");
    assert_eq!(code(get().await), "KMS.KMSInvalidStateException");
    let unknown = endpoint.s3.put_object().bucket("models").key("k").body(ByteStream::from_static(b"x"));
    let unknown = unknown.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id("alias/none").send();
    assert_eq!(code(unknown.await), "KMS.NotFoundException");
}

#[tokio::test]
async fn keys_survive_a_restart_with_what_they_encrypted() {
    let endpoint = Endpoint::start().await;
    let key = endpoint.key().await;
    endpoint.kms.create_alias().alias_name("alias/models").target_key_id(&key).send().await.unwrap();
    endpoint.versioned_bucket("models").await;
    endpoint.put_kms("models", "kms", "under the key", &key).await;
    endpoint.put("models", "plain", "under the store's own").await;
    let pair = endpoint.server.credentials().access_key().to_owned();
    let endpoint = endpoint.restart().await;
    assert_eq!(endpoint.server.credentials().access_key(), pair);
    let found = endpoint.kms.describe_key().key_id("alias/models").send().await.unwrap().key_metadata.unwrap();
    assert_eq!(found.arn(), Some(key.as_str()));
    assert_eq!(endpoint.get("models", "kms").await, b"under the key");
    assert_eq!(endpoint.get("models", "plain").await, b"under the store's own");
}

#[tokio::test]
async fn directory_starts_only_with_its_own_root_key() {
    let dir = TempDir::new().unwrap();
    let outside = dir.path().join("outside-key");
    let config = Config { root_key_file: Some(outside.clone()), ..Config::new(dir.path().join("store")) };
    let missing = EmbeddedAws::start(config.clone()).await;
    assert!(matches!(missing, Err(StartError::RootKey(_))), "an outside key is never made");
    assert!(!outside.exists());

    write_key(&outside, &"11".repeat(32));
    EmbeddedAws::start(config.clone()).await.unwrap().stop().await;
    assert!(!config.dir.join("root-key").exists());
    std::fs::remove_file(&outside).unwrap();
    write_key(&outside, &"22".repeat(32));
    let wrong = EmbeddedAws::start(config.clone()).await;
    assert!(matches!(wrong, Err(StartError::Kms(KmsOpenError::WrongRootKey))));
    let inside = Config { root_key_file: None, ..config.clone() };
    assert!(matches!(EmbeddedAws::start(inside).await, Err(StartError::RootKeyLost { .. })));
    assert!(!config.dir.join("root-key").exists(), "no new key next to old material");

    std::fs::remove_file(&outside).unwrap();
    write_key(&outside, &"11".repeat(32));
    EmbeddedAws::start(config).await.unwrap().stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_that_others_may_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    EmbeddedAws::start(Config::new(dir.path())).await.unwrap().stop().await;
    for name in ["root-key", "credentials.json"] {
        let path = dir.path().join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = EmbeddedAws::start(Config::new(dir.path())).await.unwrap_err();
        assert!(matches!(refused, StartError::RootKey(_) | StartError::Identity(_)), "{name}: {refused:?}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    EmbeddedAws::start(Config::new(dir.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn directory_is_used_by_one_endpoint_at_a_time() {
    let dir = TempDir::new().unwrap();
    let first = EmbeddedAws::start(Config::new(dir.path())).await.unwrap();
    let second = EmbeddedAws::start(Config::new(dir.path())).await;
    assert!(matches!(second, Err(StartError::Locked { .. })));
    first.stop().await;
    EmbeddedAws::start(Config::new(dir.path())).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_waits_for_requests_but_not_for_ever() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let endpoint = Endpoint::start().await;
    let (address, signer) = (endpoint.server.addr(), endpoint.signer("s3"));
    let _idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let signed = Raw::new("PUT", "/new-bucket").sign(address, &signer);
    let mut head = format!("PUT /new-bucket HTTP/1.1\r\nhost: {address}\r\ncontent-length: 10\r\n");
    for (name, value) in &signed.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let mut hanging = tokio::net::TcpStream::connect(address).await.unwrap();
    hanging.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let started = std::time::Instant::now();
    let Endpoint { server, dir, .. } = endpoint;
    server.stop().await;
    let took = started.elapsed().as_secs_f32();
    assert!((4.5..6.5).contains(&took), "took {took} s");
    assert_eq!(hanging.read(&mut [0; 16]).await.unwrap_or(0), 0, "cut off");
    EmbeddedAws::start(Config::new(dir.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let dir = TempDir::new().unwrap();
    let config = Config { listen: "0.0.0.0:0".parse().unwrap(), ..Config::new(dir.path()) };
    assert!(matches!(EmbeddedAws::start(config).await, Err(StartError::Config(_))));
}

#[tokio::test]
async fn requests_that_are_not_authentic_get_the_errors_of_aws() {
    let endpoint = Endpoint::start().await;
    let address = endpoint.server.addr();
    let list = || {
        Raw::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "TrentService.ListKeys")
            .body(b"{}")
    };
    let signer = endpoint.signer("kms");
    assert_eq!(list().sign(address, &signer).send(address).await.status, 200);

    let with = |change: fn(&mut Signer)| {
        let mut changed = signer.clone();
        change(&mut changed);
        list().sign(address, &changed)
    };
    let skewed = with(|signer| signer.time += Duration::minutes(16)).send(address).await;
    assert!(skewed.is(400, "InvalidSignatureException") && skewed.text.contains("not yet current"), "{skewed:?}");
    let stale = with(|signer| signer.time -= Duration::minutes(16)).send(address).await;
    assert!(stale.is(400, "InvalidSignatureException") && stale.text.contains("expired"), "{stale:?}");
    let west = with(|signer| signer.region = "us-west-2".into()).send(address).await;
    assert!(west.is(400, "InvalidSignatureException") && west.text.contains("us-west-2"), "{west:?}");
    let s3 = with(|signer| signer.service = "s3".into()).send(address).await;
    assert!(s3.is(400, "InvalidSignatureException"), "{s3:?}");
    let secret = with(|signer| signer.secret_key.push('x')).send(address).await;
    assert!(secret.is(400, "InvalidSignatureException"), "{secret:?}");
    let unknown = with(|signer| signer.access_key = "NOBODY".into()).send(address).await;
    assert!(unknown.is(400, "UnrecognizedClientException"), "{unknown:?}");
    assert!(list().send(address).await.is(400, "MissingAuthenticationTokenException"));

    let mut other_body = list().sign(address, &signer);
    other_body.body = b"{\"Limit\":1}".to_vec();
    assert!(other_body.send(address).await.is(400, "InvalidSignatureException"));
    let late_target = Raw::new("POST", "/").body(b"{}").sign(address, &signer);
    let late_target = late_target.header("x-amz-target", "TrentService.ListKeys").send(address).await;
    assert!(late_target.is(400, "InvalidSignatureException"), "{late_target:?}");
    let unknown = Raw::new("POST", "/").header("x-amz-target", "TrentService.Sign").body(b"{}");
    assert!(unknown.sign(address, &signer).send(address).await.is(400, "UnknownOperationException"));
    let large = list().body(&vec![b' '; 1024 * 1024 + 1]).sign(address, &signer).send(address).await;
    assert_eq!(large.status, 413);

    let wrong = kms_client(&endpoint.url(), endpoint.server.credentials().access_key(), "another secret");
    assert_eq!(code(wrong.list_keys().send().await), "InvalidSignatureException");
}

#[tokio::test]
async fn identity_needs_the_kms_actions_that_its_s3_requests_use() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("identities.json");
    let identity = |name: &str, actions: &str| {
        format!(
            r#"{{"access_key":"{name}","secret_key":"a-long-secret","arn":"arn:aws:iam::000000000000:role/{name}","actions":[{actions}]}}"#
        )
    };
    let list = [
        identity("NOKMS", r#""s3:*""#),
        identity("WRITER", r#""s3:*","kms:GenerateDataKey","kms:Decrypt""#),
        identity("GENERATE", r#""s3:*","kms:GenerateDataKey""#),
        identity("READER", r#""s3:GetObject*","kms:Decrypt""#),
    ];
    write_key(&file, &format!("[{}]", list.join(",")));
    let config = Config { identities_file: Some(file), ..Config::new(dir.path().join("store")) };
    let endpoint = Endpoint::with(dir, config).await;
    let key = endpoint.key().await;
    endpoint.versioned_bucket("models").await;
    endpoint.put_kms("models", "a", "bytes", &key).await;
    let client = |name: &str| support::s3_client(&endpoint.url(), name, "a-long-secret");
    let put = |name: &str| {
        let put = client(name).put_object().bucket("models").key(name).body(ByteStream::from_static(b"x"));
        put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key).send()
    };
    let get = |name: &str| client(name).get_object().bucket("models").key("a").send();

    assert_eq!(code(put("NOKMS").await), "AccessDenied");
    assert_eq!(code(get("NOKMS").await), "AccessDenied");
    client("NOKMS")
        .put_object()
        .bucket("models")
        .key("sse-s3")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    put("WRITER").await.unwrap();
    get("WRITER").await.unwrap();
    get("READER").await.unwrap();
    assert_eq!(code(put("READER").await), "AccessDenied");
    assert_eq!(code(client("READER").list_objects_v2().bucket("models").send().await), "AccessDenied");
    assert_eq!(code(client("READER").get_object().bucket("models").key("none").send().await), "AccessDenied");
    assert_eq!(code(client("READER").create_bucket().bucket("mine").send().await), "AccessDenied");
    assert_eq!(code(client("READER").list_buckets().send().await), "AccessDenied");

    let limited = client("GENERATE");
    let upload = limited.create_multipart_upload().bucket("models").key("m");
    let upload = upload.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key).send().await.unwrap();
    let part = limited.upload_part().bucket("models").key("m").upload_id(upload.upload_id().unwrap()).part_number(1);
    assert_eq!(code(part.body(ByteStream::from_static(b"x")).send().await), "AccessDenied");

    let kms = kms_client(&endpoint.url(), "READER", "a-long-secret");
    assert_eq!(code(kms.create_key().send().await), "AccessDeniedException");
    let full = client("WRITER");
    let upload = full.create_multipart_upload().bucket("models").key("m");
    let upload = upload.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key).send().await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = full.upload_part().bucket("models").key("m").upload_id(id).part_number(1);
    let part = part.body(ByteStream::from_static(b"x")).send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    full.complete_multipart_upload()
        .bucket("models")
        .key("m")
        .upload_id(id)
        .multipart_upload(parts)
        .send()
        .await
        .unwrap();
}

fn write_key(path: &std::path::Path, content: &str) {
    use std::io::Write as _;
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).unwrap().write_all(content.as_bytes()).unwrap();
}
