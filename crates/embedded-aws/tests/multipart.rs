//! Multipart uploads through the SDK.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_s3::{
    operation::{
        complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
        create_multipart_upload::CreateMultipartUploadOutput, upload_part::UploadPartOutput,
    },
    primitives::ByteStream,
    types::{
        BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
        ObjectAttributes, ServerSideEncryption,
    },
};
use support::{Endpoint, bytes, code, status};

const MIB: usize = 1024 * 1024;
const BUCKET: &str = "models";
const KEY: &str = "big/model.bin";

/// An endpoint with a bucket, and one upload in it.
struct Fixture {
    endpoint: Endpoint,
    upload: String,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(None).await
    }

    async fn with(algorithm: Option<ChecksumAlgorithm>) -> Self {
        let endpoint = Endpoint::start().await;
        endpoint.versioned_bucket(BUCKET).await;
        let create = endpoint.s3.create_multipart_upload().bucket(BUCKET).key(KEY);
        let created = create.set_checksum_algorithm(algorithm).send().await.unwrap();
        let upload = created.upload_id().unwrap().to_owned();
        Self { endpoint, upload }
    }

    async fn part(&self, number: i32, body: Vec<u8>) -> CompletedPart {
        self.part_with(number, body, None).await
    }

    async fn part_with(&self, number: i32, body: Vec<u8>, algorithm: Option<ChecksumAlgorithm>) -> CompletedPart {
        let upload = self.endpoint.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&self.upload);
        let part = upload.part_number(number).body(ByteStream::from(body)).set_checksum_algorithm(algorithm);
        completed(number, &part.send().await.unwrap())
    }

    fn complete(&self, parts: Vec<CompletedPart>) -> CompleteMultipartUploadFluentBuilder {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.endpoint.s3.complete_multipart_upload().bucket(BUCKET).key(KEY);
        complete.upload_id(&self.upload).multipart_upload(parts)
    }
}

fn completed(number: i32, part: &UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(part.e_tag().map(str::to_owned))
        .set_checksum_sha256(part.checksum_sha256().map(str::to_owned))
        .build()
}

#[tokio::test]
async fn parts_become_one_object_that_reads_across_them() {
    let fixture = Fixture::new().await;
    let whole = bytes(11 * MIB + 17, 1);
    let second = fixture.part(7, whole[5 * MIB..=10 * MIB].to_vec()).await;
    let first = fixture.part(2, whole[..5 * MIB].to_vec()).await;
    let third = fixture.part(9999, whole[10 * MIB + 1..].to_vec()).await;
    let s3 = &fixture.endpoint.s3;
    assert_eq!(code(s3.get_object().bucket(BUCKET).key(KEY).send().await), "NoSuchKey");
    let done = fixture.complete(vec![first, second, third]).mpu_object_size(whole.len() as i64).send().await.unwrap();
    assert!(done.version_id().is_some());
    assert!(done.e_tag().unwrap().ends_with("-3\""));
    assert!(done.checksum_crc64_nvme().is_some());
    assert_eq!(done.checksum_type(), Some(&ChecksumType::FullObject));
    assert!(fixture.endpoint.get(BUCKET, KEY).await == whole);
    for (from, to) in [(0, 9), (5 * MIB - 3, 5 * MIB + 3), (10 * MIB - 70_000, 11 * MIB), (11 * MIB, 11 * MIB + 16)] {
        let got = s3.get_object().bucket(BUCKET).key(KEY).range(format!("bytes={from}-{to}")).send().await.unwrap();
        assert!(got.body.collect().await.unwrap().to_vec() == whole[from..=to], "{from}-{to}");
    }
    let part = s3.get_object().bucket(BUCKET).key(KEY).part_number(2).send().await.unwrap();
    assert_eq!(part.parts_count(), Some(3));
    assert!(part.body.collect().await.unwrap().to_vec() == whole[5 * MIB..=10 * MIB]);
    let listed = s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert!(listed.uploads().is_empty());
}

#[tokio::test]
async fn the_crc_of_the_whole_is_joined_from_the_parts() {
    let fixture = Fixture::new().await;
    let whole = bytes(6 * MIB, 2);
    let parts =
        vec![fixture.part(1, whole[..5 * MIB].to_vec()).await, fixture.part(2, whole[5 * MIB..].to_vec()).await];
    let done = fixture.complete(parts).send().await.unwrap();
    let single = fixture.endpoint.s3.put_object().bucket(BUCKET).key("single");
    let single = single.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).body(ByteStream::from(whole));
    assert_eq!(done.checksum_crc64_nvme(), single.send().await.unwrap().checksum_crc64_nvme());
}

#[tokio::test]
async fn completions_that_do_not_add_up_are_refused() {
    let fixture = Fixture::new().await;
    let big = fixture.part(1, bytes(5 * MIB, 1)).await;
    let small = fixture.part(2, bytes(10, 2)).await;
    let last = fixture.part(3, bytes(10, 3)).await;
    let wrong = CompletedPart::builder().part_number(1).e_tag("\"00\"").build();
    let absent = CompletedPart::builder().part_number(4).e_tag(big.e_tag().unwrap()).build();
    let complete = |parts: &[&CompletedPart]| fixture.complete(parts.iter().map(|part| (*part).clone()).collect());
    assert_eq!(code(complete(&[&small, &big]).send().await), "InvalidPartOrder");
    assert_eq!(code(complete(&[&big, &big]).send().await), "InvalidPartOrder");
    assert_eq!(code(complete(&[&wrong]).send().await), "InvalidPart");
    assert_eq!(code(complete(&[&big, &absent]).send().await), "InvalidPart");
    assert_eq!(code(complete(&[&big, &small, &last]).send().await), "EntityTooSmall");
    assert_eq!(status(complete(&[&big, &small]).mpu_object_size(1).send().await), 400);
    assert_eq!(status(complete(&[]).send().await), 400);
    let wrong_sum = complete(&[&big, &small]).checksum_crc64_nvme("AAAAAAAAAAA=").send().await;
    assert_eq!(code(wrong_sum), "BadDigest");
    // Nothing of that has harmed the upload.
    complete(&[&big, &small]).send().await.unwrap();
    assert_eq!(fixture.endpoint.blob_files().len(), 2, "the part that was not asked for is gone");
}

#[tokio::test]
async fn a_part_sent_again_replaces_the_first() {
    let fixture = Fixture::new().await;
    let old = fixture.part(1, bytes(100, 1)).await;
    let new = fixture.part(1, bytes(100, 2)).await;
    assert_eq!(fixture.endpoint.blob_files().len(), 1);
    assert_eq!(code(fixture.complete(vec![old]).send().await), "InvalidPart");
    fixture.complete(vec![new]).send().await.unwrap();
    assert_eq!(fixture.endpoint.get(BUCKET, KEY).await, bytes(100, 2));
}

#[tokio::test]
async fn a_repeated_completion_answers_the_same() {
    let fixture = Fixture::new().await;
    let part = fixture.part(1, bytes(100, 1)).await;
    let first = fixture.complete(vec![part.clone()]).send().await.unwrap();
    let again = fixture.complete(vec![part.clone()]).send().await.unwrap();
    assert_eq!((first.version_id(), first.e_tag()), (again.version_id(), again.e_tag()));
    let other = CompletedPart::builder().part_number(1).e_tag("\"00\"").build();
    assert_eq!(code(fixture.complete(vec![other]).send().await), "NoSuchUpload");
    let late = fixture.endpoint.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&fixture.upload).part_number(1);
    assert_eq!(code(late.body(ByteStream::from_static(b"x")).send().await), "NoSuchUpload");
    let versions = fixture.endpoint.s3.list_object_versions().bucket(BUCKET).send().await.unwrap();
    assert_eq!(versions.versions().len(), 1);
}

#[tokio::test]
async fn create_only_completions_have_one_winner() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket(BUCKET).await;
    let mut fixtures = Vec::new();
    for n in 0..4 {
        let create = endpoint.s3.create_multipart_upload().bucket(BUCKET).key(KEY).send().await.unwrap();
        let upload = create.upload_id().unwrap().to_owned();
        let part = endpoint.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&upload).part_number(1);
        let part = part.body(ByteStream::from(bytes(100, n))).send().await.unwrap();
        fixtures.push((upload, completed(1, &part)));
    }
    let completions = fixtures.into_iter().map(|(upload, part)| {
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = endpoint.s3.complete_multipart_upload().bucket(BUCKET).key(KEY).upload_id(upload);
        complete.multipart_upload(parts).if_none_match("*").send()
    });
    let outcomes = futures::future::join_all(completions).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for lost in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(status(lost), 412);
    }
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let fixture = Fixture::new().await;
    fixture.part(1, bytes(5 * MIB, 1)).await;
    fixture.part(2, bytes(5 * MIB, 2)).await;
    let s3 = &fixture.endpoint.s3;
    let abort = || s3.abort_multipart_upload().bucket(BUCKET).key(KEY).upload_id(&fixture.upload).send();
    assert_eq!(code(s3.delete_bucket().bucket(BUCKET).send().await), "BucketNotEmpty");
    abort().await.unwrap();
    assert!(fixture.endpoint.blob_files().is_empty());
    assert_eq!(code(abort().await), "NoSuchUpload");
    let foreign = s3.abort_multipart_upload().bucket(BUCKET).key("other").upload_id(&fixture.upload).send().await;
    assert_eq!(code(foreign), "NoSuchUpload");
    s3.delete_bucket().bucket(BUCKET).send().await.unwrap();
}

#[tokio::test]
async fn sha256_uploads_are_composite_and_complete_with_every_digest() {
    let fixture = Fixture::with(Some(ChecksumAlgorithm::Sha256)).await;
    let upload = || fixture.endpoint.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&fixture.upload);
    let crc = upload().part_number(1).body(ByteStream::from_static(b"x"));
    assert_eq!(code(crc.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await), "InvalidRequest");
    let sha = Some(ChecksumAlgorithm::Sha256);
    let first = fixture.part_with(1, bytes(5 * MIB, 1), sha.clone()).await;
    let second = fixture.part_with(2, bytes(100, 2), sha).await;
    assert!(first.checksum_sha256().is_some());
    let parts = fixture.endpoint.s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&fixture.upload);
    let parts = parts.send().await.unwrap();
    assert_eq!(parts.checksum_type(), Some(&ChecksumType::Composite));
    assert_eq!(parts.parts()[1].checksum_sha256(), second.checksum_sha256());

    let bare = |part: &CompletedPart| CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    assert_eq!(code(fixture.complete(vec![bare(&first)]).send().await), "InvalidRequest");
    let swapped = CompletedPart::builder()
        .part_number(1)
        .e_tag(first.e_tag().unwrap())
        .checksum_sha256(second.checksum_sha256().unwrap())
        .build();
    assert_eq!(code(fixture.complete(vec![swapped]).send().await), "InvalidPart");
    let gap = fixture.complete(vec![second.clone()]).send().await;
    assert_eq!(code(gap), "InvalidPart");
    let done = fixture.complete(vec![first, second]).send().await.unwrap();
    assert!(done.checksum_sha256().unwrap().ends_with("-2"));
    let s3 = &fixture.endpoint.s3;
    let head = s3.head_object().bucket(BUCKET).key(KEY).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_sha256(), done.checksum_sha256());
    let attributes = s3.get_object_attributes().bucket(BUCKET).key(KEY);
    let attributes = attributes.object_attributes(ObjectAttributes::ObjectParts).max_parts(1).send().await.unwrap();
    let parts = attributes.object_parts().unwrap();
    assert_eq!((parts.total_parts_count(), parts.parts().len(), parts.is_truncated()), (Some(2), 1, Some(true)));
    assert_eq!(parts.parts()[0].size(), Some(5 * MIB as i64));
}

#[tokio::test]
async fn parts_are_encrypted_as_the_upload_was_begun() {
    let endpoint = Endpoint::start().await;
    endpoint.bucket(BUCKET).await;
    let key = endpoint.key().await;
    let create = endpoint.s3.create_multipart_upload().bucket(BUCKET).key(KEY);
    let created: CreateMultipartUploadOutput = create
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&key)
        .bucket_key_enabled(true)
        .send()
        .await
        .unwrap();
    assert_eq!(created.ssekms_key_id(), Some(key.as_str()));
    let fixture = Fixture { upload: created.upload_id().unwrap().to_owned(), endpoint };
    let s3 = &fixture.endpoint.s3;
    let part = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&fixture.upload).part_number(1);
    let part = part.body(ByteStream::from_static(b"weights")).send().await.unwrap();
    assert_eq!(part.ssekms_key_id(), Some(key.as_str()));
    let done = fixture.complete(vec![completed(1, &part)]).send().await.unwrap();
    assert_eq!(done.ssekms_key_id(), Some(key.as_str()));
    assert_eq!(done.bucket_key_enabled(), Some(true));
    assert_eq!(done.version_id(), None);
    assert_eq!(fixture.endpoint.get(BUCKET, KEY).await, b"weights");
    let unknown = s3.create_multipart_upload().bucket(BUCKET).key(KEY);
    let unknown = unknown.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id("no-such-key");
    assert_eq!(code(unknown.send().await), "KMS.NotFoundException");
    fixture.endpoint.kms.disable_key().key_id(&key).send().await.unwrap();
    let disabled = s3.create_multipart_upload().bucket(BUCKET).key(KEY);
    let disabled = disabled.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&key);
    assert_eq!(code(disabled.send().await), "KMS.DisabledException");
}

#[tokio::test]
async fn parts_can_be_copied_from_ranges_of_objects() {
    let fixture = Fixture::new().await;
    let whole = bytes(6 * MIB, 9);
    fixture.endpoint.put(BUCKET, "source", whole.clone()).await;
    let copy = |number: i32, range: String| {
        let copy = fixture.endpoint.s3.upload_part_copy().bucket(BUCKET).key(KEY).upload_id(&fixture.upload);
        copy.part_number(number).copy_source(format!("{BUCKET}/source")).copy_source_range(range).send()
    };
    let mut parts = Vec::new();
    for (number, range) in [(1, format!("bytes=100-{}", 5 * MIB + 99)), (2, "bytes=0-99".to_owned())] {
        let copied = copy(number, range).await.unwrap();
        let etag = copied.copy_part_result().unwrap().e_tag().unwrap();
        assert!(copied.copy_source_version_id().is_some());
        parts.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
    }
    assert_eq!(code(copy(3, format!("bytes=0-{}", 6 * MIB)).await), "InvalidArgument");
    fixture.complete(parts).send().await.unwrap();
    let expected = [&whole[100..5 * MIB + 100], &whole[..100]].concat();
    assert!(fixture.endpoint.get(BUCKET, KEY).await == expected);
}

#[tokio::test]
async fn wrong_parts_are_refused() {
    let fixture = Fixture::new().await;
    let s3 = &fixture.endpoint.s3;
    let part = |number: i32| {
        let part = s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&fixture.upload).part_number(number);
        part.body(ByteStream::from_static(b"abc"))
    };
    for number in [0, 10_001, -1] {
        assert_eq!(code(part(number).send().await), "InvalidArgument");
    }
    let of_empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(code(part(1).checksum_sha256(of_empty).send().await), "BadDigest");
    assert_eq!(code(part(1).upload_id("made-up").send().await), "NoSuchUpload");
    assert!(fixture.endpoint.blob_files().is_empty());
}

#[tokio::test]
async fn lists_of_parts_and_uploads_come_in_pages() {
    let fixture = Fixture::new().await;
    for number in [3, 1, 2, 10] {
        fixture.part(number, bytes(number as usize, 1)).await;
    }
    let s3 = &fixture.endpoint.s3;
    let mut seen = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let page = s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&fixture.upload).max_parts(3);
        let page = page.set_part_number_marker(marker).send().await.unwrap();
        seen.extend(page.parts().iter().map(|part| (part.part_number().unwrap(), part.size().unwrap())));
        marker = page.next_part_number_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3), (10, 10)]);

    for key in ["a", "a", "b/1", "b/2", "c"] {
        s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    }
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = s3.list_multipart_uploads().bucket(BUCKET).max_uploads(1).delimiter("/");
        let page = page.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await.unwrap();
        keys.extend(page.uploads().iter().map(|upload| upload.key().unwrap().to_owned()));
        prefixes.extend(page.common_prefixes().iter().map(|prefix| prefix.prefix().unwrap().to_owned()));
        key_marker = page.next_key_marker().map(str::to_owned);
        id_marker = page.next_upload_id_marker().map(str::to_owned);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(keys, ["a", "a", "c"]);
    assert_eq!(prefixes, ["b/", "big/"]);
}

#[tokio::test]
async fn an_upload_survives_a_restart() {
    let Fixture { endpoint, upload } = Fixture::new().await;
    let fixture = Fixture { endpoint, upload };
    let first = fixture.part(1, bytes(5 * MIB, 1)).await;
    let fixture = Fixture { endpoint: fixture.endpoint.restart().await, upload: fixture.upload };
    let second = fixture.part(2, bytes(5, 2)).await;
    fixture.endpoint.versioning(BUCKET, BucketVersioningStatus::Suspended).await;
    let done = fixture.complete(vec![first, second]).send().await.unwrap();
    assert_eq!(done.version_id(), Some("null"));
    assert!(fixture.endpoint.get(BUCKET, KEY).await == [bytes(5 * MIB, 1), bytes(5, 2)].concat());
}
