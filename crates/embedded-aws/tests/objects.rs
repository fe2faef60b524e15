//! Objects and buckets through the SDK: writing, reading, versions, conditions, checksums, encryption.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_s3::{
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, DateTime},
    types::{
        BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, Delete, MetadataDirective, ObjectAttributes,
        ObjectCannedAcl, ObjectIdentifier, ServerSideEncryption, ServerSideEncryptionByDefault,
        ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, TaggingDirective,
    },
};
use std::time::Duration;
use support::{Endpoint, bytes, code, status};

async fn read(got: GetObjectOutput) -> Vec<u8> {
    got.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn an_object_comes_back_with_everything_that_was_said_of_it() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let body = bytes(300_000, 1);
    let put = endpoint
        .s3
        .put_object()
        .bucket("models")
        .key("a/ü +&=#%'.bin")
        .body(ByteStream::from(body.clone()))
        .content_type("application/x-model")
        .content_encoding("gzip")
        .content_disposition("attachment")
        .content_language("de")
        .cache_control("no-store")
        .expires(DateTime::from_secs(2_000_000_000))
        .metadata("team", "vision")
        .tagging("stage=prod&x=%20y")
        .send()
        .await
        .unwrap();
    assert_eq!(put.version_id(), None);
    assert_eq!(put.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    let got = endpoint.s3.get_object().bucket("models").key("a/ü +&=#%'.bin").send().await.unwrap();
    assert_eq!(got.e_tag(), put.e_tag());
    assert_eq!(got.content_length(), Some(300_000));
    assert_eq!(got.content_type(), Some("application/x-model"));
    assert_eq!(got.content_encoding(), Some("gzip"));
    assert_eq!(got.content_disposition(), Some("attachment"));
    assert_eq!(got.content_language(), Some("de"));
    assert_eq!(got.cache_control(), Some("no-store"));
    assert_eq!(got.expires_string(), Some("Wed, 18 May 2033 03:33:20 GMT"));
    assert_eq!(got.metadata().unwrap()["team"], "vision");
    assert_eq!(got.tag_count(), Some(2));
    assert_eq!(got.accept_ranges(), Some("bytes"));
    assert!(got.checksum_crc32().is_some());
    assert_eq!(read(got).await, body);
    let overridden = endpoint
        .s3
        .get_object()
        .bucket("models")
        .key("a/ü +&=#%'.bin")
        .response_content_type("text/plain")
        .response_content_disposition("inline")
        .send()
        .await
        .unwrap();
    assert_eq!(overridden.content_type(), Some("text/plain"));
    assert_eq!(overridden.content_disposition(), Some("inline"));
}

#[tokio::test]
async fn ranges_cut_across_frames_and_refuse_what_is_not_there() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let body = bytes(200_000, 2);
    endpoint.put("models", "k", body.clone()).await;
    endpoint.put("models", "empty", "").await;
    for (header, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=65530-65545", 65_530..65_546),
        ("bytes=131072-", 131_072..200_000),
        ("bytes=-7", 199_993..200_000),
        ("bytes=199999-999999", 199_999..200_000),
        ("bytes=-999999", 0..200_000),
    ] {
        let got = endpoint.s3.get_object().bucket("models").key("k").range(header).send().await.unwrap();
        let shown = format!("bytes {}-{}/200000", expected.start, expected.end - 1);
        assert_eq!(got.content_range(), Some(shown.as_str()));
        assert_eq!(got.content_length(), Some(expected.len() as i64));
        assert_eq!(got.checksum_crc32(), None, "a checksum of the whole does not fit a range");
        assert!(read(got).await == body[expected], "{header}");
    }
    for (key, header) in [("k", "bytes=200000-"), ("empty", "bytes=0-"), ("k", "bytes=-0")] {
        let refused = endpoint.s3.get_object().bucket("models").key(key).range(header).send().await;
        assert_eq!(status(refused), 416, "{key} {header}");
    }
    assert_eq!(endpoint.get("models", "empty").await, b"");
    let part = endpoint.s3.get_object().bucket("models").key("k").part_number(1).send().await.unwrap();
    assert!(read(part).await == body);
    let absent = endpoint.s3.get_object().bucket("models").key("k").part_number(2).send().await;
    assert_eq!(status(absent), 416);
}

#[tokio::test]
async fn conditions_on_reads_give_304_and_412() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    endpoint.put("models", "k", "x").await;
    let head = endpoint.s3.head_object().bucket("models").key("k").send().await.unwrap();
    let (etag, time) = (head.e_tag().unwrap(), *head.last_modified().unwrap());
    let past = DateTime::from_secs(time.secs() - 10);
    let get = || endpoint.s3.get_object().bucket("models").key("k");
    assert!(get().if_match(etag).if_modified_since(past).send().await.is_ok());
    assert_eq!(status(get().if_none_match(etag).send().await), 304);
    assert_eq!(status(get().if_modified_since(time).send().await), 304);
    assert_eq!(status(get().if_match("\"other\"").send().await), 412);
    assert_eq!(status(get().if_unmodified_since(past).send().await), 412);
    let not_modified = get().if_none_match(etag).send().await.unwrap_err();
    assert_eq!(not_modified.raw_response().unwrap().headers().get("etag"), Some(etag));
}

#[tokio::test]
async fn versions_stack_up_and_markers_hide_them() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let first = endpoint.put("models", "k", "one").await.unwrap();
    let second = endpoint.put("models", "k", "two").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(endpoint.get("models", "k").await, b"two");
    let old = endpoint.s3.get_object().bucket("models").key("k").version_id(&first).send().await.unwrap();
    assert_eq!(old.version_id(), Some(first.as_str()));
    assert_eq!(read(old).await, b"one");

    let deleted = endpoint.s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!(deleted.delete_marker(), Some(true));
    let marker = deleted.version_id().unwrap();
    let hidden = endpoint.s3.get_object().bucket("models").key("k").send().await.unwrap_err();
    assert_eq!(hidden.raw_response().unwrap().headers().get("x-amz-delete-marker"), Some("true"));
    assert_eq!(hidden.raw_response().unwrap().headers().get("x-amz-version-id"), Some(marker));
    assert_eq!(code::<(), _, _>(Err(hidden)), "NoSuchKey");
    assert_eq!(status(endpoint.s3.get_object().bucket("models").key("k").version_id(marker).send().await), 405);

    let undone = endpoint.s3.delete_object().bucket("models").key("k").version_id(marker).send().await.unwrap();
    assert_eq!(undone.delete_marker(), Some(true));
    assert_eq!(endpoint.get("models", "k").await, b"two");
    endpoint.s3.delete_object().bucket("models").key("k").version_id(&second).send().await.unwrap();
    assert_eq!(endpoint.get("models", "k").await, b"one");
    assert_eq!(endpoint.blob_files().len(), 1, "the bytes of a removed version are gone");
    let gone = endpoint.s3.get_object().bucket("models").key("k").version_id(&second).send().await;
    assert_eq!(code(gone), "NoSuchVersion");
    let foreign = endpoint.s3.get_object().bucket("models").key("k").version_id("made-up").send().await;
    assert_eq!(code(foreign), "InvalidArgument");
    // Somebody else's version id names nothing under this key.
    let elsewhere = endpoint.put("models", "other", "x").await.unwrap();
    let wrong_key = endpoint.s3.get_object().bucket("models").key("k").version_id(elsewhere).send().await;
    assert_eq!(code(wrong_key), "NoSuchVersion");
}

#[tokio::test]
async fn suspended_versioning_writes_over_the_null_version_only() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    assert_eq!(endpoint.put("models", "k", "before").await, None);
    endpoint.versioning("models", BucketVersioningStatus::Enabled).await;
    let kept = endpoint.put("models", "k", "kept").await.unwrap();
    endpoint.versioning("models", BucketVersioningStatus::Suspended).await;
    assert_eq!(endpoint.put("models", "k", "after").await.as_deref(), Some("null"));
    let listed = endpoint.s3.list_object_versions().bucket("models").send().await.unwrap();
    let ids: Vec<_> = listed.versions().iter().map(|version| version.version_id().unwrap()).collect();
    assert_eq!(ids, ["null", kept.as_str()]);
    let null = endpoint.s3.get_object().bucket("models").key("k").version_id("null").send().await.unwrap();
    assert_eq!(read(null).await, b"after");
    let marker = endpoint.s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!((marker.version_id(), marker.delete_marker()), (Some("null"), Some(true)));
    let kept = endpoint.s3.get_object().bucket("models").key("k").version_id(kept).send().await.unwrap();
    assert_eq!(read(kept).await, b"kept");
    assert_eq!(endpoint.blob_files().len(), 1);
    let off = aws_sdk_s3::types::VersioningConfiguration::builder().build();
    let refused = endpoint.s3.put_bucket_versioning().bucket("models").versioning_configuration(off).send().await;
    assert_eq!(code(refused), "IllegalVersioningConfigurationException");
}

#[tokio::test]
async fn without_versioning_the_newest_write_is_the_only_one() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    endpoint.put("models", "k", "one").await;
    endpoint.put("models", "k", "two").await;
    assert_eq!(endpoint.get("models", "k").await, b"two");
    assert_eq!(endpoint.blob_files().len(), 1);
    let deleted = endpoint.s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!((deleted.delete_marker(), deleted.version_id()), (None, None));
    assert!(endpoint.blob_files().is_empty());
    endpoint.s3.delete_object().bucket("models").key("never there").send().await.unwrap();
    assert_eq!(code(endpoint.s3.get_object().bucket("models").key("k").send().await), "NoSuchKey");
}

#[tokio::test]
async fn conditional_writes_have_one_winner() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let writes = (0..12).map(|n| {
        let body = ByteStream::from(vec![n; 70_000]);
        endpoint.s3.put_object().bucket("models").key("k").if_none_match("*").body(body).send()
    });
    let outcomes = futures::future::join_all(writes).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for lost in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(status(lost), 412);
    }
    assert_eq!(endpoint.blob_files().len(), 1, "losers leave no bytes");

    let put = |condition: &str| endpoint.s3.put_object().bucket("models").key("k").if_match(condition);
    let head = endpoint.s3.head_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!(status(put("\"other\"").send().await), 412);
    put(head.e_tag().unwrap()).body(ByteStream::from_static(b"new")).send().await.unwrap();
    endpoint.s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!(code(put("\"other\"").send().await), "NoSuchKey");
    let over_marker = endpoint.s3.put_object().bucket("models").key("k").if_none_match("*").send().await;
    assert!(over_marker.is_ok(), "a delete marker counts as absent");
    let etag = endpoint.s3.put_object().bucket("models").key("k").if_none_match("\"e\"").send().await;
    assert_eq!(status(etag), 501);
}

#[tokio::test]
async fn wrong_checksums_leave_no_object() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let put = || endpoint.s3.put_object().bucket("models").key("k").body(ByteStream::from_static(b"abc"));
    let of_abc = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    let of_empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(code(put().checksum_sha256(of_empty).send().await), "BadDigest");
    assert_eq!(code(put().checksum_sha256("AAAA").send().await), "InvalidRequest");
    assert_eq!(code(put().content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send().await), "BadDigest");
    assert_eq!(code(put().content_md5("short").send().await), "InvalidDigest");
    assert!(endpoint.blob_files().is_empty());
    assert_eq!(code(endpoint.s3.get_object().bucket("models").key("k").send().await), "NoSuchKey");
    let stored = put().checksum_sha256(of_abc).content_md5("kAFQmDzST7DWlj99KOF/cg==").send().await.unwrap();
    assert_eq!(stored.checksum_sha256(), Some(of_abc));
    assert_eq!(stored.e_tag(), Some("\"900150983cd24fb0d6963f7d28e17f72\""), "MD5 with SSE-S3");
    let head = endpoint.s3.head_object().bucket("models").key("k");
    let shown = head.clone().checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(shown.checksum_sha256(), Some(of_abc));
    assert_eq!(shown.checksum_type().unwrap().as_str(), "FULL_OBJECT");
    assert_eq!(head.send().await.unwrap().checksum_sha256(), None);
}

#[tokio::test]
async fn every_algorithm_is_taken_and_crc64nvme_is_the_default() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = endpoint.s3.put_object().bucket("models").key(algorithm.as_str());
        put.checksum_algorithm(algorithm.clone()).body(ByteStream::from(bytes(100_000, 3))).send().await.unwrap();
        let list = endpoint.s3.list_objects_v2().bucket("models").prefix(algorithm.as_str()).send().await.unwrap();
        assert!(list.contents().iter().any(|object| object.checksum_algorithm() == [algorithm.clone()]));
        // The SDK compares what it reads with the checksum that comes along.
        assert_eq!(endpoint.get("models", algorithm.as_str()).await, bytes(100_000, 3));
    }
    let config = endpoint
        .s3
        .config()
        .to_builder()
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .build();
    let plain = aws_sdk_s3::Client::from_conf(config);
    plain.put_object().bucket("models").key("plain").body(ByteStream::from_static(b"x")).send().await.unwrap();
    let head = plain.head_object().bucket("models").key("plain").checksum_mode(ChecksumMode::Enabled);
    assert!(head.send().await.unwrap().checksum_crc64_nvme().is_some());
}

#[tokio::test]
async fn encryption_is_what_headers_and_the_bucket_say() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let (key, other) = (endpoint.key().await, endpoint.key().await);
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(&key)
        .build()
        .unwrap();
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    endpoint
        .s3
        .put_bucket_encryption()
        .bucket("models")
        .server_side_encryption_configuration(configuration)
        .send()
        .await
        .unwrap();
    let put = || endpoint.s3.put_object().bucket("models").key("k").body(ByteStream::from_static(b"abc"));
    let by_default = put().send().await.unwrap();
    assert_eq!(by_default.ssekms_key_id(), Some(key.as_str()));
    assert_eq!(by_default.bucket_key_enabled(), Some(true));
    assert_ne!(by_default.e_tag(), Some("\"900150983cd24fb0d6963f7d28e17f72\""), "no MD5 with SSE-KMS");
    let head = endpoint.s3.head_object().bucket("models").key("k").send().await.unwrap();
    assert_eq!(head.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert_eq!(head.ssekms_key_id(), Some(key.as_str()));

    let kms = || put().server_side_encryption(ServerSideEncryption::AwsKms);
    assert_eq!(kms().ssekms_key_id(&other).send().await.unwrap().ssekms_key_id(), Some(other.as_str()));
    // A bare key id is answered with the ARN.
    let id = other.rsplit('/').next().unwrap();
    assert_eq!(kms().ssekms_key_id(id).send().await.unwrap().ssekms_key_id(), Some(other.as_str()));
    let managed = kms().send().await.unwrap();
    let managed = managed.ssekms_key_id().unwrap();
    assert!(managed != key && managed != other, "aws:kms without a key is the AWS-managed one");
    let plain = put().server_side_encryption(ServerSideEncryption::Aes256).send().await.unwrap();
    assert_eq!((plain.ssekms_key_id(), plain.bucket_key_enabled()), (None, None));

    let unknown = "00000000-0000-0000-0000-000000000000";
    assert_eq!(code(kms().ssekms_key_id(unknown).send().await), "KMS.NotFoundException");
    assert_eq!(code(put().ssekms_key_id(&key).send().await), "InvalidArgument");
    assert_eq!(status(put().server_side_encryption(ServerSideEncryption::AwsKmsDsse).send().await), 501);
    let customer =
        put().sse_customer_algorithm("AES256").sse_customer_key("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    assert_eq!(status(customer.sse_customer_key_md5("hRasmdxgYDKV3nvbahU1MA==").send().await), 501);

    endpoint.kms.disable_key().key_id(&other).send().await.unwrap();
    assert_eq!(code(kms().ssekms_key_id(&other).send().await), "KMS.DisabledException");
}

#[tokio::test]
async fn a_disabled_key_locks_what_it_encrypts() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let key = endpoint.key().await;
    endpoint.put_kms("models", "k", "secret weights", &key).await;
    endpoint.kms.disable_key().key_id(&key).send().await.unwrap();
    assert_eq!(code(endpoint.s3.get_object().bucket("models").key("k").send().await), "KMS.DisabledException");
    assert!(endpoint.s3.head_object().bucket("models").key("k").send().await.is_ok());
    endpoint.kms.enable_key().key_id(&key).send().await.unwrap();
    assert_eq!(endpoint.get("models", "k").await, b"secret weights");
}

#[tokio::test]
async fn no_plaintext_is_on_disk_and_damage_is_never_given_out() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let body = b"very secret weights ".repeat(20_000);
    endpoint.put("models", "k", body.clone()).await;
    let [file] = endpoint.blob_files().try_into().unwrap();
    let mut stored = std::fs::read(&file).unwrap();
    assert!(!stored.windows(6).any(|window| window == b"secret"));
    let last = stored.len() - 1;
    stored[last] ^= 1;
    std::fs::write(&file, &stored).unwrap();
    // The headers went out before the last frame was opened, so the body ends early.
    let got = endpoint.s3.get_object().bucket("models").key("k").send().await;
    if let Ok(got) = got {
        assert!(got.body.collect().await.is_err());
    }
    stored.truncate(last);
    std::fs::write(&file, &stored).unwrap();
    assert_eq!(status(endpoint.s3.get_object().bucket("models").key("k").range("bytes=0-9").send().await), 500);
}

#[tokio::test]
async fn copies_are_new_objects_under_the_destinations_key() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("source").await;
    endpoint.bucket("target").await;
    let key = endpoint.key().await;
    let body = bytes(700_000, 4);
    let put = endpoint.s3.put_object().bucket("source").key("a b/ü").body(ByteStream::from(body.clone()));
    let first = put.metadata("m", "1").content_type("x/y").tagging("t=1").send().await.unwrap();
    endpoint.put("source", "a b/ü", "newer").await;
    let source = format!("source/a%20b/%C3%BC?versionId={}", first.version_id().unwrap());
    let copy = || endpoint.s3.copy_object().bucket("target").copy_source(&source);
    let copied = copy()
        .key("copy")
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&key)
        .send()
        .await
        .unwrap();
    assert_eq!(copied.copy_source_version_id(), first.version_id());
    assert_eq!(copied.ssekms_key_id(), Some(key.as_str()));
    let got = endpoint.s3.get_object().bucket("target").key("copy").send().await.unwrap();
    assert_eq!((got.content_type(), got.tag_count()), (Some("x/y"), Some(1)));
    assert_eq!(got.metadata().unwrap()["m"], "1");
    assert!(read(got).await == body);

    let replaced = copy().key("replaced").metadata_directive(MetadataDirective::Replace).metadata("m", "2");
    replaced.tagging_directive(TaggingDirective::Replace).tagging("t=2&u=3").send().await.unwrap();
    let got = endpoint.s3.get_object().bucket("target").key("replaced").send().await.unwrap();
    assert_eq!((got.metadata().unwrap()["m"].as_str(), got.tag_count()), ("2", Some(2)));

    assert_eq!(status(copy().key("x").copy_source_if_match("\"other\"").send().await), 412);
    assert_eq!(status(copy().key("x").copy_source_if_none_match(first.e_tag().unwrap()).send().await), 412);
    let onto_itself = endpoint.s3.copy_object().bucket("target").key("copy").copy_source("target/copy");
    assert_eq!(code(onto_itself.send().await), "InvalidRequest");
    let absent = endpoint.s3.copy_object().bucket("target").key("x").copy_source("target/absent").send().await;
    assert_eq!(code(absent), "NoSuchKey");
}

#[tokio::test]
async fn many_deletions_in_one_request_answer_one_by_one() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let version = endpoint.put("models", "a", "x").await.unwrap();
    endpoint.put("models", "b", "x").await;
    let object = |key: &str| ObjectIdentifier::builder().key(key);
    let delete = |quiet: bool| {
        Delete::builder()
            .objects(object("a").version_id(&version).build().unwrap())
            .objects(object("b").build().unwrap())
            .objects(object("c").version_id("made-up").build().unwrap())
            .quiet(quiet)
            .build()
            .unwrap()
    };
    let answer = endpoint.s3.delete_objects().bucket("models").delete(delete(false)).send().await.unwrap();
    let deleted = answer.deleted();
    assert_eq!((deleted[0].key(), deleted[0].version_id()), (Some("a"), Some(version.as_str())));
    assert_eq!((deleted[1].key(), deleted[1].delete_marker()), (Some("b"), Some(true)));
    assert!(deleted[1].delete_marker_version_id().is_some());
    assert_eq!((answer.errors()[0].key(), answer.errors()[0].code()), (Some("c"), Some("InvalidArgument")));
    let quiet = endpoint.s3.delete_objects().bucket("models").delete(delete(true)).send().await.unwrap();
    assert!(quiet.deleted().is_empty());
    assert_eq!(quiet.errors().len(), 1);
}

#[tokio::test]
async fn tags_and_attributes_follow_the_version() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let version = endpoint.put("models", "k", "x").await.unwrap();
    endpoint.put("models", "k", "yy").await;
    let tagging = Tagging::builder().tag_set(Tag::builder().key("a").value("1").build().unwrap()).build().unwrap();
    let put = endpoint.s3.put_object_tagging().bucket("models").key("k").version_id(&version).tagging(tagging);
    assert_eq!(put.send().await.unwrap().version_id(), Some(version.as_str()));
    let get = || endpoint.s3.get_object_tagging().bucket("models").key("k");
    assert_eq!(get().version_id(&version).send().await.unwrap().tag_set().len(), 1);
    assert!(get().send().await.unwrap().tag_set().is_empty());
    endpoint.s3.delete_object_tagging().bucket("models").key("k").version_id(&version).send().await.unwrap();
    assert!(get().version_id(&version).send().await.unwrap().tag_set().is_empty());
    let attributes = endpoint
        .s3
        .get_object_attributes()
        .bucket("models")
        .key("k")
        .object_attributes(ObjectAttributes::ObjectSize)
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::Checksum)
        .send()
        .await
        .unwrap();
    assert_eq!(attributes.object_size(), Some(2));
    assert!(attributes.e_tag().is_some() && attributes.checksum().unwrap().checksum_crc32().is_some());
    assert!(attributes.storage_class().is_none());
}

#[tokio::test]
async fn acls_are_disabled() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let put = |acl| endpoint.s3.put_object().bucket("models").key("k").acl(acl).send();
    assert!(put(ObjectCannedAcl::BucketOwnerFullControl).await.is_ok());
    assert_eq!(code(put(ObjectCannedAcl::PublicRead).await), "AccessControlListNotSupported");
    let grant = endpoint.s3.put_object().bucket("models").key("k").grant_read("id=\"1\"").send().await;
    assert_eq!(code(grant), "AccessControlListNotSupported");
    let acl = endpoint.s3.get_object_acl().bucket("models").key("k").send().await.unwrap();
    assert_eq!(acl.grants().len(), 1);
}

#[tokio::test]
async fn limits_are_those_of_s3() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let key = "k".repeat(1024);
    endpoint.put("models", &key, "x").await;
    assert_eq!(endpoint.get("models", &key).await, b"x");
    let long = endpoint.s3.put_object().bucket("models").key("k".repeat(1025)).send().await;
    assert_eq!(code(long), "KeyTooLongError");
    let metadata = endpoint.s3.put_object().bucket("models").key("k").metadata("m", "x".repeat(2048)).send().await;
    assert_eq!(code(metadata), "MetadataTooLarge");
    let tagging = (0..11).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
    let tags = endpoint.s3.put_object().bucket("models").key("k").tagging(tagging).send().await;
    assert_eq!(code(tags), "InvalidTag");
    assert_eq!(code(endpoint.s3.put_object().bucket("absent").key("k").send().await), "NoSuchBucket");
}

#[tokio::test]
async fn a_read_outlives_the_deletion_of_what_it_reads() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket("models").await;
    let body = bytes(24 << 20, 5);
    endpoint.put("models", "k", body.clone()).await;
    let got = endpoint.s3.get_object().bucket("models").key("k").send().await.unwrap();
    endpoint.s3.delete_object().bucket("models").key("k").send().await.unwrap();
    assert!(read(got).await == body);
    for _ in 0..100 {
        if endpoint.blob_files().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the file goes with its last reader");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let key = endpoint.key().await;
    endpoint.put_kms("models", "k", bytes(100_000, 6), &key).await;
    let version = endpoint.put("models", "k", "newer").await.unwrap();
    let endpoint = endpoint.restart().await;
    assert_eq!(endpoint.get("models", "k").await, b"newer");
    endpoint.s3.delete_object().bucket("models").key("k").version_id(version).send().await.unwrap();
    assert_eq!(endpoint.get("models", "k").await, bytes(100_000, 6));
}
