//! Uploads whose parts go straight to S3, and copies: what S3 itself refuses, and what is found again.

mod place;
mod scripted;

use reqwest::StatusCode;
use strongroom::domain::{Manifest, PartPlan, SMALLEST_PART_BYTES, Sha256Digest, UploadToken};
use strongroom::store::{CopySource, Error, PartToSign};

use self::place::Place;
use crate::support::outside::cannot;
use crate::support::service::bytes;

/// Writes each test once for every back end.
macro_rules! on_every_s3 {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Place::embedded().await).await;
            })+
        }
        mod seaweedfs {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Place::seaweedfs().await).await;
            })+
        }
    };
}

on_every_s3!(
    file_in_three_parts_is_joined_from_the_record_and_reads_back,
    file_of_no_bytes_is_one_part_of_no_bytes,
    part_with_another_byte_is_refused_by_s3,
    part_of_another_length_is_refused_by_s3,
    url_of_one_part_does_not_take_another,
    url_is_dead_once_its_upload_is_complete,
    header_that_was_not_signed_is_refused_by_s3,
    missing_part_is_named_and_can_still_be_sent,
    part_that_was_declared_anew_is_the_one_that_counts,
    completion_that_is_repeated_finds_the_same_version,
    upload_that_was_aborted_is_gone,
    file_is_replaced_only_where_that_is_meant,
    copy_is_another_object_with_our_key_and_its_own_token,
    manifest_that_two_write_at_once_stays_though_one_knows_more_of_its_bytes,
);

/// Five MiB, five MiB and three bytes.
fn three_parts() -> (Vec<u8>, Vec<PartToSign>) {
    let part = SMALLEST_PART_BYTES;
    let content = bytes(7, usize::try_from(2 * part + 3).unwrap());
    let plan = PartPlan::for_size(content.len() as u64, Some(part)).unwrap();
    assert_eq!(plan.part_count, 3);
    let parts = content.chunks(usize::try_from(part).unwrap()).zip(1..).map(|(chunk, number)| {
        assert_eq!(plan.size_of(number), Some(chunk.len() as u64));
        place::part(number, chunk)
    });
    let parts = parts.collect();
    (content, parts)
}

/// Whoever publishes the next version writes the manifest of one that is not visible yet, too; the verifier may have
/// looked at its files in between.
async fn manifest_that_two_write_at_once_stays_though_one_knows_more_of_its_bytes(place: Place) {
    let with = |integrity: &str, draft: &str| -> Manifest {
        let sha256 = Sha256Digest::of(b"1").to_string();
        serde_json::from_value(serde_json::json!({
            "schema": 1, "draft": draft, "namespace": "a", "model": "b", "number": 1, "digest": sha256,
            "created_at": "2026-01-01T00:00:00.000Z", "created_by": "token:ci", "metadata": {},
            "files": [{
                "path": "m", "size": 1, "sha256": sha256, "key": "models/a/b/d/m", "version_id": "v",
                "kms_key_arn": place.key_arn, "integrity": integrity,
            }],
        }))
        .unwrap()
    };
    let first = with("declared", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    place.store.put_manifest(&first).await.unwrap();
    place.store.put_manifest(&with("verified", &first.draft)).await.unwrap();
    let other = place.store.put_manifest(&with("declared", "01ARZ3NDEKTSV4RRFFQ69G5FAW")).await;
    assert!(matches!(other, Err(Error::Unfaithful(_))), "{other:?}");
    let versions = place.versions("manifests/a/b/1.json").await;
    assert_eq!(versions.len(), 1, "{versions:?}");
    let json = serde_json::to_vec(&first).unwrap();
    assert_eq!(place.read("manifests/a/b/1.json", &versions[0], json.len()).await, json);
}

async fn file_in_three_parts_is_joined_from_the_record_and_reads_back(place: Place) {
    let (content, parts) = three_parts();
    let upload = place.begin("models/a/b/three parts+é.bin").await;
    let urls = place.urls(&upload, &parts).await;
    // In any order.
    for (url, chunk) in urls.iter().zip(content.chunks(usize::try_from(SMALLEST_PART_BYTES).unwrap())).rev() {
        let names: Vec<&str> = url.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"content-length") && names.contains(&"x-amz-checksum-sha256"), "{names:?}");
        assert_eq!(place.send(url, chunk).await.0, StatusCode::OK);
    }
    let listed = place.list(&upload).await;
    assert_eq!(listed.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);

    let stored = place.complete(&upload, &parts, &listed, true).await.unwrap();
    assert_eq!((stored.key.as_str(), stored.kms_key_arn.as_str()), (upload.key.as_str(), place.key_arn.as_str()));
    assert!(stored.checksum.ends_with("-3"), "{}", stored.checksum);
    assert_eq!(place.read(&upload.key, &stored.version_id, content.len()).await, content);
    let head = place.store.head_version(&upload.key, &stored.version_id).await.unwrap();
    assert_eq!((head.size, head.token.as_ref()), (content.len() as u64, Some(&upload.token)));
    assert!(head.is_encrypted_as_stated);
    assert_eq!(head.kms_key_arn.as_deref(), Some(place.key_arn.as_str()));
}

async fn file_of_no_bytes_is_one_part_of_no_bytes(place: Place) {
    let plan = PartPlan::for_size(0, None).unwrap();
    assert_eq!((plan.part_count, plan.size_of(1)), (1, Some(0)));
    let upload = place.begin("models/a/b/empty").await;
    let parts = [place::part(1, b"")];
    assert_eq!(place.send(&place.urls(&upload, &parts).await[0], b"").await.0, StatusCode::OK);
    let stored = place.complete(&upload, &parts, &place.list(&upload).await, true).await.unwrap();
    assert_eq!(place.store.head_version(&upload.key, &stored.version_id).await.unwrap().size, 0);
}

async fn part_with_another_byte_is_refused_by_s3(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let parts = [place::part(1, b"weights")];
    let urls = place.urls(&upload, &parts).await;
    let (status, text) = place.send(&urls[0], b"weighty").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert_eq!(place.list(&upload).await, []);
    // With another checksum in its header, it is no longer what was signed.
    let (status, text) = place.send_with(&urls[0], b"weighty", &place::part(1, b"weighty"), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert_eq!(place.list(&upload).await, []);
    // The refusals spoil nothing.
    assert_eq!(place.send(&urls[0], b"weights").await.0, StatusCode::OK);
}

async fn part_of_another_length_is_refused_by_s3(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let urls = place.urls(&upload, &[place::part(1, b"weights")]).await;
    for other in [&b"weight"[..], b"weights and more", b""] {
        let (status, text) = place.send(&urls[0], other).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    }
    assert_eq!(place.list(&upload).await, []);
}

async fn url_of_one_part_does_not_take_another(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let urls = place.urls(&upload, &[place::part(1, b"weights")]).await;
    let url = place::exposed(&urls[0]).replace("partNumber=1", "partNumber=2");
    assert_ne!(url, place::exposed(&urls[0]));
    let (status, text) = place.put(&url, &urls[0].headers, b"weights").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    assert_eq!(place.list(&upload).await, []);
}

async fn url_is_dead_once_its_upload_is_complete(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let parts = [place::part(1, b"weights")];
    let urls = place.urls(&upload, &parts).await;
    assert_eq!(place.send(&urls[0], b"weights").await.0, StatusCode::OK);
    let stored = place.complete(&upload, &parts, &place.list(&upload).await, true).await.unwrap();
    let (status, text) = place.send(&urls[0], b"weights").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{text}");
    assert!(text.contains("NoSuchUpload"), "{text}");
    assert_eq!(place.versions(&upload.key).await, [stored.version_id]);
}

async fn header_that_was_not_signed_is_refused_by_s3(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let part = place::part(1, b"weights");
    let urls = place.urls(&upload, &[part]).await;
    let source = format!("{}/models/a/b/another", place.bucket);
    let extras =
        [("x-amz-meta-creator", "nobody"), ("x-amz-acl", "public-read"), ("x-amz-copy-source", source.as_str())];
    for extra in extras {
        let (status, text) = place.send_with(&urls[0], b"weights", &part, Some(extra)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{extra:?} {text}");
    }
    // What was refused spoils nothing.
    assert_eq!(place.send(&urls[0], b"weights").await.0, StatusCode::OK);
    let stored = place.complete(&upload, &[part], &place.list(&upload).await, true).await.unwrap();
    let head = place.s3.head_object().bucket(&place.bucket).key(&upload.key).version_id(stored.version_id);
    let metadata = head.send().await.unwrap().metadata.unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["strongroom-token"]);
}

async fn missing_part_is_named_and_can_still_be_sent(place: Place) {
    let (content, parts) = three_parts();
    let chunks: Vec<&[u8]> = content.chunks(usize::try_from(SMALLEST_PART_BYTES).unwrap()).collect();
    let upload = place.begin("models/a/b/m").await;
    let refused = place.complete(&upload, &parts, &place.list(&upload).await, true).await;
    assert!(matches!(refused, Err(Error::PartsMissing { numbers }) if numbers == [1, 2, 3]));
    let urls = place.urls(&upload, &parts).await;
    for at in [0, 2] {
        assert_eq!(place.send(&urls[at], chunks[at]).await.0, StatusCode::OK);
    }
    let refused = place.complete(&upload, &parts, &place.list(&upload).await, true).await;
    assert!(matches!(refused, Err(Error::PartsMissing { numbers }) if numbers == [2]));
    assert_eq!(place.send(&urls[1], chunks[1]).await.0, StatusCode::OK);
    let stored = place.complete(&upload, &parts, &place.list(&upload).await, true).await.unwrap();
    assert_eq!(place.read(&upload.key, &stored.version_id, content.len()).await, content);
}

async fn part_that_was_declared_anew_is_the_one_that_counts(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let (first, second) = (place::part(1, b"first"), place::part(1, b"second"));
    assert_eq!(place.send(&place.urls(&upload, &[first]).await[0], b"first").await.0, StatusCode::OK);
    // SeaweedFS tells the two apart by a time in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let listed_before = place.list(&upload).await;
    assert_eq!(place.send(&place.urls(&upload, &[second]).await[0], b"second").await.0, StatusCode::OK);
    let listed = place.list(&upload).await;
    assert_eq!((listed.len(), listed[0].size), (1, 6));
    let refused = place.complete(&upload, &[first], &listed, true).await;
    assert!(matches!(refused, Err(Error::PartMismatch { number: 1 })));
    let refused = place.complete(&upload, &[second], &listed_before, true).await;
    assert!(matches!(refused, Err(Error::PartMismatch { number: 1 })));
    let stored = place.complete(&upload, &[second], &listed, true).await.unwrap();
    assert_eq!(place.read(&upload.key, &stored.version_id, 6).await, b"second");
}

async fn completion_that_is_repeated_finds_the_same_version(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let parts = [place::part(1, b"weights")];
    assert_eq!(place.send(&place.urls(&upload, &parts).await[0], b"weights").await.0, StatusCode::OK);
    let listed = place.list(&upload).await;
    let stored = place.complete(&upload, &parts, &listed, true).await.unwrap();
    assert_eq!(place.complete(&upload, &parts, &listed, true).await.unwrap(), stored);
    // After a restart nothing is known but the record.
    let gone = place.store.list_parts(&upload.key, &upload.id).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
    assert_eq!(place.complete(&upload, &parts, &[], false).await.unwrap(), stored);
    assert_eq!(place.versions(&upload.key).await, [stored.version_id]);
}

async fn upload_that_was_aborted_is_gone(place: Place) {
    let upload = place.begin("models/a/b/m").await;
    let parts = [place::part(1, b"weights")];
    let urls = place.urls(&upload, &parts).await;
    assert_eq!(place.send(&urls[0], b"weights").await.0, StatusCode::OK);
    let listed = place.list(&upload).await;
    for _ in 0..2 {
        place.store.abort_upload(&upload.key, &upload.id).await.unwrap();
    }
    assert_eq!(place.send(&urls[0], b"weights").await.0, StatusCode::NOT_FOUND);
    assert!(matches!(place.store.list_parts(&upload.key, &upload.id).await, Err(Error::NotFound { .. })));
    assert!(matches!(place.complete(&upload, &parts, &listed, true).await, Err(Error::NotFound { .. })));
    assert_eq!(place.versions(&upload.key).await, Vec::<String>::new());
}

async fn file_is_replaced_only_where_that_is_meant(place: Place) {
    let mut stored = Vec::new();
    let mut last = None;
    for (content, create_only) in [(&b"old"[..], true), (b"newer", false), (b"newest", true)] {
        let upload = place.begin("models/a/b/m").await;
        let parts = [place::part(1, content)];
        assert_eq!(place.send(&place.urls(&upload, &parts).await[0], content).await.0, StatusCode::OK);
        match place.complete(&upload, &parts, &place.list(&upload).await, create_only).await {
            Ok(object) => stored.push(object.version_id),
            Err(error) => last = Some((upload, error)),
        }
    }
    let (upload, refused) = last.unwrap();
    assert!(matches!(refused, Error::Exists { .. }), "{refused:?}");
    stored.reverse();
    assert_eq!(place.versions(&upload.key).await, stored);
    // What was refused can still be completed otherwise.
    assert_eq!(place.list(&upload).await.len(), 1);
}

async fn copy_is_another_object_with_our_key_and_its_own_token(place: Place) {
    let (content, parts) = three_parts();
    let upload = place.begin("models/a/b/source +é%.bin").await;
    let urls = place.urls(&upload, &parts).await;
    for (url, chunk) in urls.iter().zip(content.chunks(usize::try_from(SMALLEST_PART_BYTES).unwrap())) {
        assert_eq!(place.send(url, chunk).await.0, StatusCode::OK);
    }
    let stored = place.complete(&upload, &parts, &place.list(&upload).await, true).await.unwrap();

    let sha256 = Sha256Digest::of(&content);
    let (size, version_id) = (content.len() as u64, stored.version_id.as_str());
    let source = CopySource { key: &upload.key, version_id, size, sha256 };
    let token = UploadToken::generate();
    let copied = place.store.copy(source, "models/c/d/copy", &token).await.unwrap();
    if place.is_seaweedfs {
        assert!(!copied.verified, "{}", cannot("checksum of a copy"));
    } else {
        assert!(copied.verified);
        assert_eq!(copied.stored.checksum, sha256.to_base64());
    }
    assert_eq!(place.read("models/c/d/copy", &copied.stored.version_id, content.len()).await, content);
    let head = place.store.head_version("models/c/d/copy", &copied.stored.version_id).await.unwrap();
    assert_eq!(head.token, Some(token.clone()));
    assert!(head.is_encrypted_as_stated);

    let absent = CopySource { key: "models/a/b/absent", ..source };
    assert!(matches!(place.store.copy(absent, "models/c/d/none", &token).await, Err(Error::NotFound { .. })));
    if copied.verified {
        let other = CopySource { sha256: Sha256Digest::of(b"other"), ..source };
        let refused = place.store.copy(other, "models/c/d/other", &UploadToken::generate()).await;
        assert!(matches!(refused, Err(Error::Unfaithful(_))));
        assert_eq!(place.versions("models/c/d/other").await, Vec::<String>::new());
    }
}
