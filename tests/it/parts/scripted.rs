//! What no real S3 does on demand: limits, lists that repeat themselves, and answers that are lost.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use secrecy::ExposeSecret as _;
use strongroom::domain::{LARGEST_PART_BYTES, MAX_OBJECT_BYTES, Sha256Digest, Timestamp, UploadToken};
use strongroom::store::{Copied, CopySource, Error, ListedPart, PartToSign, Seat, Store, Stored, UploadToComplete};

use super::place;
use crate::support::scripted_s3::{Reply, ScriptedS3};

const KEY: &str = "models/a/b/m";
const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/ours";
const OTHER_ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/another";
const COMPLETE: &str = "CompleteMultipartUpload";

/// A scripted server and the store on it.
struct Stage {
    s3: ScriptedS3,
    store: Store,
    token: UploadToken,
}

fn direct() -> SharedHttpConnector {
    SharedHttpConnector::new(Connector::builder().build_http())
}

fn client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

impl Stage {
    async fn new() -> Self {
        let s3 = ScriptedS3::start().await;
        let store = place::store(&client(&s3.endpoint), direct(), "bucket", ARN);
        Self { s3, store, token: UploadToken::generate() }
    }

    async fn complete(&self, parts: &[PartToSign], create_only: bool) -> Result<Stored, Error> {
        let listed: Vec<ListedPart> = parts.iter().map(listed).collect();
        let size = parts.iter().map(|part| part.size).sum();
        let (token, listed) = (&self.token, listed.as_slice());
        let upload = UploadToComplete { key: KEY, upload_id: "u", token, size, parts, listed, create_only };
        self.store.complete_upload(&upload).await
    }

    async fn copy(&self, size: u64) -> Result<Copied, Error> {
        let (store, token) = (self.store.clone(), self.token.clone());
        // In a task of its own, as the service does it.
        let task = tokio::spawn(async move {
            let source = CopySource { key: "from", version_id: "s1", size, sha256: Sha256Digest::of(b"whole") };
            store.copy(source, KEY, &token).await
        });
        task.await.unwrap()
    }

    fn head(&self, size: u64) -> Reply {
        head(size, self.token.as_str(), ARN)
    }
}

fn head(size: u64, token: &str, arn: &str) -> Reply {
    Reply::empty(200)
        .header("content-length", size)
        .header("x-amz-server-side-encryption", "aws:kms")
        .header("x-amz-server-side-encryption-aws-kms-key-id", arn)
        .header("x-amz-meta-strongroom-token", token)
}

fn part(number: u32, size: u64) -> PartToSign {
    PartToSign { number, size, sha256: Sha256Digest::of(&number.to_le_bytes()) }
}

fn listed(part: &PartToSign) -> ListedPart {
    ListedPart { number: part.number, size: part.size, etag: format!("\"e{}\"", part.number), sha256: None }
}

fn done() -> Reply {
    Reply::xml("<CompleteMultipartUploadResult><Key>models/a/b/m</Key></CompleteMultipartUploadResult>")
        .header("x-amz-version-id", "v1")
}

fn error_in_200() -> Reply {
    Reply::xml("<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>")
}

/// Versions of the key, as ListObjectVersions shows them.
fn versions(ids: &[&str]) -> Reply {
    let version = |id: &&str| format!("<Version><Key>{KEY}</Key><VersionId>{id}</VersionId></Version>");
    let other = "<Version><Key>models/a/b/mm</Key><VersionId>other</VersionId></Version>";
    let marker = format!("<DeleteMarker><Key>{KEY}</Key><VersionId>marker</VersionId></DeleteMarker>");
    let all: String = ids.iter().map(version).collect();
    Reply::xml(format!("<ListVersionsResult>{all}{other}{marker}<IsTruncated>false</IsTruncated></ListVersionsResult>"))
}

fn entry(number: u32, etag: &str, size: u64, more: &str) -> String {
    format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size>{more}</Part>")
}

fn page(entries: &str, next: Option<&str>) -> Reply {
    let more = next.map_or(String::new(), |next| {
        let marker = if next.is_empty() {
            String::new()
        } else {
            format!("<NextPartNumberMarker>{next}</NextPartNumberMarker>")
        };
        format!("{marker}<IsTruncated>true</IsTruncated>")
    });
    Reply::xml(format!("<ListPartsResult>{entries}{more}</ListPartsResult>"))
}

#[tokio::test]
async fn ten_thousand_parts_are_listed_in_pages() {
    let stage = Stage::new().await;
    for first in (1..=10_000).step_by(1000) {
        let sha256 = |number: u32| Sha256Digest::of(&number.to_le_bytes()).to_base64();
        let entries: String = (first..first + 1000)
            .map(|n| entry(n, &format!("e{n}"), 5, &format!("<ChecksumSHA256>{}</ChecksumSHA256>", sha256(n))))
            .collect();
        let last = (first + 999).to_string();
        stage.s3.reply("ListParts", [page(&entries, (first < 9001).then_some(last.as_str()))]);
    }
    let parts = stage.store.list_parts(KEY, "u").await.unwrap();
    assert_eq!(parts.len(), 10_000);
    for (seen, number) in parts.iter().zip(1..) {
        let expected = part(number, 5);
        assert_eq!(*seen, ListedPart { sha256: Some(expected.sha256), ..listed(&expected) });
    }
    let asked = stage.s3.received("ListParts");
    assert_eq!(asked.len(), 10);
    assert!(asked[9].asked.target.contains("part-number-marker=9000"), "{}", asked[9].asked.target);
}

#[tokio::test]
async fn repeated_entries_and_omitted_fields_do_not_confuse_the_list() {
    let stage = Stage::new().await;
    let at = |second: u32| format!("<LastModified>2026-01-01T00:00:{second:02}.000Z</LastModified>");
    let first = [
        entry(1, "new", 7, &at(9)),
        entry(1, "old", 6, &at(3)),
        "<Part><PartNumber>2</PartNumber><ETag>empty</ETag></Part>".to_owned(),
        "<Part><PartNumber>3</PartNumber><Size>4</Size></Part>".to_owned(),
        "<Part><ETag>nameless</ETag></Part>".to_owned(),
        entry(4, "first half", 4, &at(5)),
    ];
    // The marker is left out, and part 4 goes on behind the page.
    stage.s3.reply("ListParts", [page(&first.concat(), Some("")), page(&entry(4, "second half", 5, &at(5)), None)]);
    let parts = stage.store.list_parts(KEY, "u").await.unwrap();
    let seen: Vec<_> = parts.iter().map(|part| (part.number, part.etag.as_str(), part.size)).collect();
    assert_eq!(seen, [(1, "\"new\"", 7), (2, "empty", 0), (4, "\"second half\"", 5)]);
    assert!(stage.s3.received("ListParts")[1].asked.target.contains("part-number-marker=4"));
}

#[tokio::test]
async fn list_of_parts_that_does_not_advance_is_given_up() {
    let stage = Stage::new().await;
    let again = || page(&entry(1, "e", 1, ""), Some("1"));
    stage.s3.reply("ListParts", (0..10).map(|_| again()));
    assert!(matches!(stage.store.list_parts(KEY, "u").await, Err(Error::Unfaithful(_))));
    assert_eq!(stage.s3.received("ListParts").len(), 2);
}

#[tokio::test]
async fn largest_object_is_completed_with_ten_thousand_parts_and_its_size() {
    let stage = Stage::new().await;
    let parts: Vec<_> = (1..=10_000).map(|number| part(number, LARGEST_PART_BYTES)).collect();
    stage.s3.reply(COMPLETE, [done()]);
    stage.s3.reply("HeadObject", [stage.head(MAX_OBJECT_BYTES)]);
    let stored = stage.complete(&parts, true).await.unwrap();
    assert!(stored.checksum.ends_with("-10000"), "{}", stored.checksum);
    let sent = &stage.s3.received(COMPLETE)[0];
    assert_eq!(sent.headers["x-amz-mp-object-size"], MAX_OBJECT_BYTES.to_string().as_str());
    assert_eq!(sent.headers["x-amz-checksum-type"], "COMPOSITE");
    assert_eq!(sent.headers["if-none-match"], "*");
    assert_eq!(sent.body.matches("<Part>").count(), 10_000);
    assert_eq!(sent.body.matches("<ChecksumSHA256>").count(), 10_000);
    assert!(sent.body.contains("<PartNumber>10000</PartNumber>"));
}

#[tokio::test]
async fn nothing_beyond_the_limits_of_s3_reaches_it() {
    let stage = Stage::new().await;
    let parts: Vec<_> = (1..=10_001).map(|number| part(number, 1)).collect();
    assert!(matches!(stage.complete(&parts, true).await, Err(Error::TooLarge)));
    assert_eq!(stage.s3.operations(), Vec::<String>::new());
}

#[tokio::test]
async fn size_that_s3_sees_otherwise_is_a_fault_and_the_object_goes() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [done()]);
    stage.s3.reply("HeadObject", [stage.head(8)]);
    stage.s3.reply("DeleteObject", [Reply::empty(204)]);
    assert!(matches!(stage.complete(&[part(1, 7)], true).await, Err(Error::Unfaithful(_))));
    assert!(stage.s3.received("DeleteObject")[0].asked.target.contains("versionId=v1"));
}

#[tokio::test]
async fn object_under_another_key_is_a_fault_and_goes() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [done()]);
    stage.s3.reply("HeadObject", [head(7, stage.token.as_str(), OTHER_ARN)]);
    stage.s3.reply("DeleteObject", [Reply::empty(204)]);
    assert!(matches!(stage.complete(&[part(1, 7)], true).await, Err(Error::Unfaithful(_))));
    assert_eq!(stage.s3.received("DeleteObject").len(), 1);
}

#[tokio::test]
async fn object_that_cannot_be_looked_at_stays_and_is_found_later() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [done()]);
    stage.s3.reply("HeadObject", (0..3).map(|_| Reply::empty(503)));
    let outcome = stage.complete(&[part(1, 7)], true).await;
    assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
    assert_eq!(stage.s3.received("DeleteObject").len(), 0);

    stage.s3.reply(COMPLETE, [Reply::error(404, "NoSuchUpload")]);
    stage.s3.reply("ListObjectVersions", [versions(&["v1"])]);
    stage.s3.reply("HeadObject", [stage.head(7), stage.head(7)]);
    assert_eq!(stage.complete(&[part(1, 7)], true).await.unwrap().version_id, "v1");
}

#[tokio::test]
async fn error_inside_a_200_and_a_conflict_are_tried_again() {
    let stage = Stage::new().await;
    let conflict = Reply::error(409, "ConditionalRequestConflict");
    stage.s3.reply(COMPLETE, [error_in_200(), conflict, Reply::error(503, "SlowDown"), done()]);
    stage.s3.reply("HeadObject", [stage.head(7)]);
    assert_eq!(stage.complete(&[part(1, 7)], true).await.unwrap().version_id, "v1");
    assert_eq!(stage.s3.received(COMPLETE).len(), 4);
}

#[tokio::test]
async fn lost_answer_is_recovered_by_the_token_and_by_nothing_else() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [Reply::HangUp, Reply::error(404, "NoSuchUpload")]);
    stage.s3.reply("ListObjectVersions", [versions(&["theirs", "ours", "gone"])]);
    stage.s3.reply("HeadObject", [head(7, "another token", ARN), stage.head(7), Reply::empty(404), stage.head(7)]);
    let stored = stage.complete(&[part(1, 7)], false).await.unwrap();
    assert_eq!(stored.version_id, "ours");
    assert_eq!(stage.s3.received("DeleteObject").len(), 0);
    assert!(!stage.s3.received(COMPLETE)[0].headers.contains_key("if-none-match"));
}

#[tokio::test]
async fn precondition_that_our_own_object_broke_is_success_and_of_another_one_is_not() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [Reply::error(412, "PreconditionFailed"), Reply::error(412, "PreconditionFailed")]);
    stage.s3.reply("ListObjectVersions", [versions(&["v1"]), versions(&["v1"])]);
    stage.s3.reply("HeadObject", [stage.head(7), stage.head(7), head(7, "another token", ARN)]);
    assert_eq!(stage.complete(&[part(1, 7)], true).await.unwrap().version_id, "v1");
    assert!(matches!(stage.complete(&[part(1, 7)], true).await, Err(Error::Exists { .. })));
}

#[tokio::test]
async fn upload_that_left_nothing_is_not_found() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [Reply::error(404, "NoSuchUpload")]);
    stage.s3.reply("ListObjectVersions", [versions(&[])]);
    assert!(matches!(stage.complete(&[part(1, 7)], true).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn attempts_to_complete_are_bounded() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, (0..50).map(|_| Reply::error(500, "InternalError")));
    stage.s3.reply("ListObjectVersions", [versions(&[])]);
    let outcome = tokio::time::timeout(Duration::from_secs(30), stage.complete(&[part(1, 7)], true)).await.unwrap();
    assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
    assert_eq!(stage.s3.received(COMPLETE).len(), 5);
}

#[tokio::test]
async fn part_that_was_sent_again_meanwhile_is_listed_once_more() {
    let stage = Stage::new().await;
    stage.s3.reply(COMPLETE, [Reply::error(400, "InvalidPart"), done()]);
    stage.s3.reply("ListObjectVersions", [versions(&[])]);
    stage.s3.reply("ListParts", [page(&entry(1, "newer", 7, ""), None)]);
    stage.s3.reply("HeadObject", [stage.head(7)]);
    stage.complete(&[part(1, 7)], true).await.unwrap();
    assert!(stage.s3.received(COMPLETE)[1].body.contains("newer"));
}

fn copied(checksum: Sha256Digest) -> Reply {
    Reply::xml(format!(
        "<CopyObjectResult><ETag>\"e\"</ETag><ChecksumSHA256>{}</ChecksumSHA256></CopyObjectResult>",
        checksum.to_base64()
    ))
    .header("x-amz-version-id", "v1")
}

#[tokio::test]
async fn copy_says_everything_anew_and_is_verified_by_its_checksum() {
    let stage = Stage::new().await;
    stage.s3.reply("CopyObject", [error_in_200(), copied(Sha256Digest::of(b"whole"))]);
    stage.s3.reply("ListObjectVersions", [versions(&[])]);
    stage.s3.reply("HeadObject", [stage.head(LARGEST_PART_BYTES)]);
    assert!(stage.copy(LARGEST_PART_BYTES).await.unwrap().verified);
    let sent = &stage.s3.received("CopyObject")[0].headers;
    assert_eq!(sent["x-amz-copy-source"], "bucket/from?versionId=s1");
    assert_eq!(sent["x-amz-metadata-directive"], "REPLACE");
    assert_eq!(sent["x-amz-tagging-directive"], "REPLACE");
    assert_eq!(sent["x-amz-meta-strongroom-token"], stage.token.as_str());
    assert_eq!(sent["x-amz-checksum-algorithm"], "SHA256");
    assert_eq!(sent["x-amz-server-side-encryption"], "aws:kms");
    assert_eq!(sent["x-amz-server-side-encryption-aws-kms-key-id"], ARN);
}

#[tokio::test]
async fn copy_whose_answer_was_lost_is_not_made_twice() {
    let stage = Stage::new().await;
    stage.s3.reply("CopyObject", [Reply::HangUp]);
    stage.s3.reply("ListObjectVersions", [versions(&["v2", "v1"])]);
    // A checksum in it may be the source's, carried over.
    let head = || stage.head(7).header("x-amz-checksum-sha256", Sha256Digest::of(b"whole").to_base64());
    stage.s3.reply("HeadObject", [head(), head(), head()]);
    stage.s3.reply("DeleteObject", [Reply::empty(204)]);
    let copied = stage.copy(7).await.unwrap();
    assert_eq!((copied.stored.version_id.as_str(), copied.verified), ("v2", false));
    assert_eq!(stage.s3.received("CopyObject").len(), 1);
    assert!(stage.s3.received("DeleteObject")[0].asked.target.contains("versionId=v1"));
}

#[tokio::test]
async fn copy_with_other_bytes_is_a_fault_and_goes() {
    let stage = Stage::new().await;
    stage.s3.reply("CopyObject", [copied(Sha256Digest::of(b"other"))]);
    stage.s3.reply("HeadObject", [stage.head(7)]);
    stage.s3.reply("DeleteObject", [Reply::empty(204)]);
    assert!(matches!(stage.copy(7).await, Err(Error::Unfaithful(_))));
    assert_eq!(stage.s3.received("DeleteObject").len(), 1);
}

fn begun() -> Reply {
    Reply::xml("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
}

fn copied_part(number: u32) -> Reply {
    let sha256 = Sha256Digest::of(&number.to_le_bytes()).to_base64();
    Reply::xml(format!("<CopyPartResult><ETag>\"e\"</ETag><ChecksumSHA256>{sha256}</ChecksumSHA256></CopyPartResult>"))
}

#[tokio::test]
async fn copy_above_five_gib_goes_in_ranges_and_is_only_declared() {
    let stage = Stage::new().await;
    let size = LARGEST_PART_BYTES + 1;
    stage.s3.reply("CreateMultipartUpload", [begun()]);
    stage.s3.reply("UploadPartCopy", (1..=6).map(copied_part));
    stage.s3.reply(COMPLETE, [done()]);
    stage.s3.reply("HeadObject", [stage.head(size)]);
    let copied = stage.copy(size).await.unwrap();
    assert!(!copied.verified && copied.stored.checksum.ends_with("-6"), "{copied:?}");
    let ranges = stage.s3.received("UploadPartCopy");
    let mut ranges: Vec<_> =
        ranges.iter().map(|sent| sent.headers["x-amz-copy-source-range"].to_str().unwrap().to_owned()).collect();
    ranges.sort();
    assert_eq!(ranges.len(), 6);
    assert!(ranges.contains(&"bytes=0-1073741823".to_owned()), "{ranges:?}");
    assert!(ranges.contains(&"bytes=5368709120-5368709120".to_owned()), "{ranges:?}");
}

#[tokio::test]
async fn copy_in_ranges_that_fails_leaves_no_upload() {
    let stage = Stage::new().await;
    stage.s3.reply("CreateMultipartUpload", [begun()]);
    stage.s3.reply("UploadPartCopy", [copied_part(1), Reply::error(403, "AccessDenied")]);
    stage.s3.reply("AbortMultipartUpload", [Reply::empty(204)]);
    assert!(stage.copy(LARGEST_PART_BYTES + 1).await.is_err());
    assert_eq!(stage.s3.received("AbortMultipartUpload").len(), 1);
    assert_eq!(stage.s3.operations().last().unwrap(), "AbortMultipartUpload");
}

#[tokio::test]
async fn urls_are_signed_with_the_credentials_that_bound_their_life() {
    let client = client("http://s3.example:9000");
    let end = SystemTime::now() + Duration::from_mins(5);
    let credentials = Credentials::new("LOOKED-AT", "secret", Some("session".into()), Some(end), "test");
    let store = place::store_with(&client, direct(), "bucket", ARN, credentials);
    let parts = [part(1, 7), part(2, 0)];
    let signed = store.presign_parts(Seat::Remote, KEY, "u", &parts, Duration::from_mins(15)).await.unwrap().unwrap();
    let left = signed.expires_at.millis() - Timestamp::now().millis();
    assert!((237_000..=240_000).contains(&left), "{left}");
    let got = store.presign_get(Seat::Remote, KEY, "v1", "attachment", Duration::from_mins(15)).await.unwrap().unwrap();
    for url in signed.parts.iter().map(place::exposed).chain([got.url.expose_secret()]) {
        assert!(url.starts_with("http://s3.example:9000/bucket/models/a/b/m?"), "{url}");
        assert!(url.contains("X-Amz-Credential=LOOKED-AT"), "{url}");
        assert!(url.contains("X-Amz-Expires=239") || url.contains("X-Amz-Expires=240"), "{url}");
    }
    let too_many = store.presign_parts(Seat::Remote, KEY, "u", &[part(10_001, 1)], Duration::from_mins(15)).await;
    assert!(matches!(too_many, Err(Error::TooLarge)));
    let too_large = part(1, LARGEST_PART_BYTES + 1);
    let too_large = store.presign_parts(Seat::Remote, KEY, "u", &[too_large], Duration::from_mins(15)).await;
    assert!(matches!(too_large, Err(Error::TooLarge)));
}

#[tokio::test]
async fn credentials_that_end_in_a_moment_sign_nothing() {
    let end = SystemTime::now() + Duration::from_secs(80);
    let credentials = Credentials::new("key", "secret", None, Some(end), "test");
    let store = place::store_with(&client("http://s3.example:9000"), direct(), "bucket", ARN, credentials);
    let signed = store.presign_parts(Seat::Remote, KEY, "u", &[part(1, 7)], Duration::from_mins(15)).await;
    assert!(matches!(signed, Err(Error::Unavailable { .. })));
}
