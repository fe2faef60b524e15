//! `bucket destroy`.

use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::BoxError;
use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use strongroom::provision::destroy::DestroyError;
use strongroom::provision::{BackEnd, Clients, Patience, Wanted, destroy as destroying};

use super::place::{Place, Said};

const PROBE: &str = "probes/01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A bucket, and the ARN of its key; nothing runs.
async fn bucket() -> (Place, String) {
    let mut place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let arn = place.json(0, &["outputs", "--format", "json"])["kms_key_arn"].as_str().unwrap().to_owned();
    place.stop();
    (place, arn)
}

fn destroy(place: &Place) -> Said {
    place.bucket(&["destroy", "--i-understand", "strongroom"])
}

async fn state(place: &Place, arn: &str) -> KeyState {
    let key = place.kms().await.describe_key().key_id(arn).send().await.unwrap();
    key.key_metadata.unwrap().key_state.unwrap()
}

/// Asserts that it is refused with these words, and the key can still be used.
async fn refused(place: &mut Place, arn: &str, words: &[&str]) {
    place.stop();
    let said = destroy(place);
    assert_eq!(said.code, 1, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "{word} in {}", said.err);
    }
    place.start("embedded", "For example").await;
    assert_eq!(state(place, arn).await, KeyState::Enabled);
}

#[tokio::test]
async fn empty_bucket_gives_its_key_up_and_stays() {
    let (mut place, arn) = bucket().await;
    // A service was here: its claim is in the bucket, and what its probes left.
    place.start("serve", "Publish a first version").await;
    place.put(PROBE).await;
    let s3 = place.s3().await;
    let begun = s3.create_multipart_upload().bucket("strongroom").key("probes/01ARZ3NDEKTSV4RRFFQ69G5FAW");
    let begun = begun.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&arn);
    begun.send().await.unwrap();
    place.stop();

    let said = destroy(&place);
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        &arn,
        "alias/strongroom",
        "Not deleted",
        "delete-bucket --bucket strongroom",
        "cancel-key-deletion",
        "below audit/",
    ] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }

    let again = destroy(&place);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.starts_with("nothing was done") && again.out.contains("already scheduled"), "{}", again.out);

    place.start("embedded", "For example").await;
    let key = place.kms().await.describe_key().key_id(&arn).send().await.unwrap().key_metadata.unwrap();
    assert_eq!(key.key_state, Some(KeyState::PendingDeletion));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hours = (key.deletion_date.unwrap().secs() - i64::try_from(now).unwrap()) / 3600;
    assert!((239..=240).contains(&hours), "{hours}");
    let left = place.s3().await.list_object_versions().bucket("strongroom").send().await.unwrap();
    // Where the audit log ended stays: names need no key.
    let is_head = |key: &str| key.starts_with("audit/");
    assert!(
        !left.versions().is_empty() && left.versions().iter().all(|left| left.key().is_some_and(is_head)),
        "{left:?}"
    );
    assert!(left.delete_markers().is_empty(), "{left:?}");
}

#[tokio::test]
async fn bucket_in_use_keeps_its_key() {
    let (mut place, arn) = bucket().await;
    place.start("embedded", "For example").await;
    let version = place.put("models/a/b/c").await;
    refused(&mut place, &arn, &["1 object version(s)", "nothing was changed"]).await;

    let s3 = place.s3().await;
    s3.delete_object().bucket("strongroom").key("models/a/b/c").send().await.unwrap();
    s3.delete_object().bucket("strongroom").key("models/a/b/c").version_id(version).send().await.unwrap();
    refused(&mut place, &arn, &["0 object version(s), 1 delete marker(s)"]).await;

    let s3 = place.s3().await;
    let markers = s3.list_object_versions().bucket("strongroom").send().await.unwrap().delete_markers.unwrap();
    let marker = markers[0].version_id().unwrap();
    s3.delete_object().bucket("strongroom").key("models/a/b/c").version_id(marker).send().await.unwrap();
    let begun = s3.create_multipart_upload().bucket("strongroom").key("models/x");
    let begun = begun.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&arn);
    begun.send().await.unwrap();
    refused(&mut place, &arn, &["1 unfinished upload(s)"]).await;
}

#[tokio::test]
async fn what_others_left_below_probes_keeps_the_key() {
    let (mut place, arn) = bucket().await;
    for (key, size) in [("probes/mine.txt", 1), (PROBE, 4097)] {
        place.start("embedded", "For example").await;
        let version = place.put_bytes(key, vec![0; size]).await;
        refused(&mut place, &arn, &["1 object version(s)", "nothing was changed"]).await;
        let s3 = place.s3().await;
        s3.delete_object().bucket("strongroom").key(key).version_id(version).send().await.unwrap();
    }
    place.stop();
    assert_eq!(destroy(&place).code, 0);
}

#[tokio::test]
async fn claim_of_another_catalog_or_of_none_keeps_the_key() {
    const CLAIM: &str = "strongroom-claim.json";
    let (mut place, arn) = bucket().await;
    for (claim, words) in [
        (&b"{\"catalog_id\":\"theirs\",\"format\":1}"[..], ["catalog \"theirs\"", "there is no catalog here"]),
        (&b"{}"[..], ["something else", "delete every version"]),
        (&[b' '; 5000][..], ["longer than 4096 bytes", "Nothing was changed"]),
    ] {
        place.start("embedded", "For example").await;
        let version = place.put_bytes(CLAIM, claim.to_vec()).await;
        refused(&mut place, &arn, &words).await;
        let s3 = place.s3().await;
        let left = s3.head_object().bucket("strongroom").key(CLAIM).version_id(&version).send().await;
        assert!(left.is_ok(), "the claim is gone");
        s3.delete_object().bucket("strongroom").key(CLAIM).version_id(version).send().await.unwrap();
    }
    place.start("serve", "Publish a first version").await;
    // An older version of the claim that is another catalog's counts as well.
    let version = place.put_bytes(CLAIM, b"{\"catalog_id\":\"theirs\",\"format\":1}".to_vec()).await;
    refused(&mut place, &arn, &["catalog \"theirs\", and the one here is", "run this where that catalog is"]).await;
    let s3 = place.s3().await;
    s3.delete_object().bucket("strongroom").key(CLAIM).version_id(version).send().await.unwrap();
    place.stop();
    let said = destroy(&place);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("in other buckets too"), "{}", said.out);
}

#[tokio::test]
async fn wrong_name_and_a_running_service_are_refused() {
    let (mut place, arn) = bucket().await;
    let said = place.bucket(&["destroy", "--i-understand", "strong-room"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("is `strongroom`, not `strong-room`"), "{}", said.err);
    place.start("embedded", "For example").await;
    let said = destroy(&place);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("a service or `strongroom embedded`") && said.err.contains("stop it first"),
        "{}",
        said.err
    );
    assert_eq!(state(&place, &arn).await, KeyState::Enabled);
}

#[tokio::test]
async fn key_of_the_operator_is_never_deleted() {
    let (mut place, arn) = bucket().await;
    let said =
        place.bucket_in(&["destroy", "--i-understand", "strongroom"], &[("STRONGROOM_KMS_KEY_ARN", arn.as_str())]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("your own"), "{}", said.err);
    place.start("embedded", "For example").await;
    assert_eq!(state(&place, &arn).await, KeyState::Enabled);
}

#[tokio::test]
async fn key_with_another_name_or_of_somebody_else_is_never_deleted() {
    let (mut place, arn) = bucket().await;
    place.start("embedded", "For example").await;
    let kms = place.kms().await;
    kms.create_alias().alias_name("alias/other").target_key_id(&arn).send().await.unwrap();
    refused(&mut place, &arn, &["alias/other", "nothing was changed"]).await;

    let kms = place.kms().await;
    kms.delete_alias().alias_name("alias/other").send().await.unwrap();
    kms.untag_resource().key_id(&arn).tag_keys("managed-by").send().await.unwrap();
    refused(&mut place, &arn, &["was not made by strongroom"]).await;
}

#[tokio::test]
async fn what_object_lock_protects_keeps_the_key() {
    let mut place = Place::embedded_with("object_lock_mode = 'governance'\nobject_lock_days = 1").await;
    place.expect(0, &["apply"]);
    let arn = place.json(0, &["outputs", "--format", "json"])["kms_key_arn"].as_str().unwrap().to_owned();
    place.put(PROBE).await;
    refused(&mut place, &arn, &["removing our claim and what probes left failed", "the key was not touched"]).await;
    place.put("models/a/b/c").await;
    refused(&mut place, &arn, &["1 object version(s)", "nothing was changed"]).await;
}

#[tokio::test]
async fn key_that_is_deleted_already_is_told_with_what_would_be_lost() {
    let (mut place, arn) = bucket().await;
    place.start("embedded", "For example").await;
    place.put("models/a/b/c").await;
    place.kms().await.schedule_key_deletion().key_id(&arn).pending_window_in_days(7).send().await.unwrap();
    place.stop();
    let said = destroy(&place);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("WARNING        the bucket still holds 1 object version(s)"), "{}", said.out);
}

/// Stores an object just when the key's deletion is asked for.
#[derive(Debug)]
struct Latecomer {
    s3: aws_sdk_s3::Client,
    key: String,
}

impl Intercept for Latecomer {
    fn name(&self) -> &'static str {
        "Latecomer"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        if target.ends_with("ScheduleKeyDeletion") {
            let put = self.s3.put_object().bucket("strongroom").key("models/late").body(ByteStream::from_static(b"x"));
            let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&self.key);
            // The account is in another process: this thread may be waited for.
            let stored = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(put.send()).unwrap();
            });
            stored.join().unwrap();
        }
        Ok(())
    }
}

#[tokio::test]
async fn write_that_comes_in_between_takes_the_deletion_back() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let arn = place.json(0, &["outputs", "--format", "json"])["kms_key_arn"].as_str().unwrap().to_owned();
    let s3 = place.s3().await;
    // A client of its own: connections belong to the runtime that opened them.
    let latecomer = Latecomer { s3: place.s3().await, key: arn.clone() };
    let kms = place.kms().await.config().to_builder().interceptor(latecomer).build();
    let kms = aws_sdk_kms::Client::from_conf(kms);
    let clients = Clients { s3, kms, anonymous: None, bare: None, patience: Patience::default() };

    let wanted = Wanted::new("strongroom", "us-east-1", BackEnd::Embedded);
    let error = destroying::destroy(&clients, &wanted, None).await.unwrap_err();

    assert!(matches!(error, DestroyError::Appeared { .. }), "{error}");
    assert!(error.to_string().contains("1 object version(s)") && error.to_string().contains("cancelled"), "{error}");
    assert_eq!(state(&place, &arn).await, KeyState::Enabled);
}
