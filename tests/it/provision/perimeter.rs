//! The perimeter on the wire: a role of the account that may do everything, and stands outside, gets nowhere.

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLoggingStatus, BucketVersioningStatus, CorsConfiguration, CorsRule,
    Destination, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, NotificationConfiguration,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention,
    ObjectLockRetentionMode, Payer, ReplicationConfiguration, ReplicationRule, ReplicationRuleStatus,
    RequestPaymentConfiguration, ServerSideEncryption, Tag, Tagging, VersioningConfiguration,
};
use serde_json::{Value, json};
use strongroom::provision::{self, BackEnd, ClaimId, Clients, Mode, ObjectLock, Options, Retention, Status, Wanted};

use super::{standing, told};
use crate::support::account::{Account, REGION};

const SECRET: &str = "a-long-secret";
const BUCKET: &str = "fenced";
const ADMINISTRATOR: &str = "arn:aws:iam::000000000000:root";

fn role(name: &str) -> String {
    format!("arn:aws:iam::000000000000:role/{name}")
}

/// An account with two roles that IAM lets do everything: one inside the perimeter, one outside.
async fn account() -> (Account, Clients, Clients) {
    let all = json!([{"actions": ["s3:*", "kms:*"], "resources": ["*"]}]);
    let identity =
        |key: &str, name| json!({"access_key": key, "secret_key": SECRET, "arn": role(name), "allow": all.clone()});
    let list = Value::Array(vec![identity("SERVE", "serve"), identity("OTHER", "other")]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identities.json");
    std::fs::write(&path, list.to_string()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let account = Account::new(Some(&path)).await;
    let (inside, outside) = (account.clients_of("SERVE", SECRET), account.clients_of("OTHER", SECRET));
    (account, inside, outside)
}

fn wanted() -> Wanted {
    let options = Options {
        perimeter: true,
        object_lock: Some(ObjectLock { mode: Retention::Governance, days: 1 }),
        ..Options::default()
    };
    Wanted {
        options,
        runtime_principals: vec![role("serve")],
        administrators: vec![ADMINISTRATOR.to_owned()],
        ..Wanted::new(BUCKET, REGION, BackEnd::Embedded)
    }
}

/// Each call by its name, and whether it was denied.
macro_rules! denied {
    ($($call:expr),+ $(,)?) => {
        vec![$((
            stringify!($call).split('(').next().unwrap_or_default(),
            $call.send().await.err().is_some_and(|error| format!("{error:?}").contains("AccessDenied")),
        )),+]
    };
}

/// What changes the bucket, or takes away from what it keeps.
async fn configuring(clients: &Clients, version: &str) -> Vec<(&'static str, bool)> {
    let s3 = &clients.s3;
    let cors = CorsRule::builder().allowed_methods("GET").allowed_origins("*").build().unwrap();
    let cors = CorsConfiguration::builder().cors_rules(cors).build().unwrap();
    let tags = Tagging::builder().tag_set(Tag::builder().key("a").value("b").build().unwrap()).build().unwrap();
    let lock = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).build();
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let rule = LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .expiration(LifecycleExpiration::builder().days(1).build());
    let rules = BucketLifecycleConfiguration::builder().rules(rule.build().unwrap()).build().unwrap();
    let away = ReplicationRule::builder()
        .status(ReplicationRuleStatus::Enabled)
        .destination(Destination::builder().bucket("arn:aws:s3:::away").build().unwrap())
        .build()
        .unwrap();
    let away = ReplicationConfiguration::builder().role(role("replicate")).rules(away).build().unwrap();
    let payer = RequestPaymentConfiguration::builder().payer(Payer::Requester).build().unwrap();
    let ended = ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .retain_until_date(DateTime::from_secs(4_000_000_000))
        .build();
    let held = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
    denied![
        s3.put_bucket_policy().bucket(BUCKET).policy("{}"),
        s3.delete_bucket_policy().bucket(BUCKET),
        s3.delete_bucket_encryption().bucket(BUCKET),
        s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended),
        s3.delete_public_access_block().bucket(BUCKET),
        s3.delete_bucket_ownership_controls().bucket(BUCKET),
        s3.put_bucket_lifecycle_configuration().bucket(BUCKET).lifecycle_configuration(rules),
        s3.delete_bucket_lifecycle().bucket(BUCKET),
        s3.delete_bucket().bucket(BUCKET),
        s3.put_bucket_cors().bucket(BUCKET).cors_configuration(cors),
        s3.delete_bucket_cors().bucket(BUCKET),
        s3.put_bucket_tagging().bucket(BUCKET).tagging(tags),
        s3.delete_bucket_tagging().bucket(BUCKET),
        s3.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(lock),
        s3.put_bucket_replication().bucket(BUCKET).replication_configuration(away),
        s3.delete_bucket_replication().bucket(BUCKET),
        s3.put_bucket_notification_configuration()
            .bucket(BUCKET)
            .notification_configuration(NotificationConfiguration::builder().build()),
        s3.put_bucket_logging().bucket(BUCKET).bucket_logging_status(BucketLoggingStatus::builder().build()),
        s3.delete_bucket_website().bucket(BUCKET),
        s3.put_bucket_request_payment().bucket(BUCKET).request_payment_configuration(payer),
        s3.put_object_retention().bucket(BUCKET).key("models/m").version_id(version).retention(ended),
        s3.put_object_legal_hold().bucket(BUCKET).key("models/m").version_id(version).legal_hold(held),
    ]
}

/// What reaches objects, or tells their names.
async fn using(clients: &Clients, key: &str, version: &str) -> Vec<(&'static str, bool)> {
    let s3 = &clients.s3;
    let encrypted = ServerSideEncryption::AwsKms;
    denied![
        s3.put_object()
            .bucket(BUCKET)
            .key("models/n")
            .body(ByteStream::from_static(b"n"))
            .server_side_encryption(encrypted.clone())
            .ssekms_key_id(key),
        s3.create_multipart_upload()
            .bucket(BUCKET)
            .key("models/u")
            .server_side_encryption(encrypted)
            .ssekms_key_id(key),
        s3.get_object().bucket(BUCKET).key("models/m"),
        s3.get_object().bucket(BUCKET).key("models/m").version_id(version),
        s3.list_objects_v2().bucket(BUCKET),
        s3.list_object_versions().bucket(BUCKET),
        s3.list_multipart_uploads().bucket(BUCKET),
        s3.delete_object().bucket(BUCKET).key("models/gone"),
    ]
}

fn names(tried: &[(&'static str, bool)], denied: bool) -> Vec<&'static str> {
    tried.iter().filter(|(_, was)| *was == denied).map(|(name, _)| *name).collect()
}

#[tokio::test]
async fn role_outside_gets_nowhere_and_the_serving_role_serves_and_configures_nothing() {
    let (account, inside, outside) = account().await;
    let made = provision::provision(&account.clients, &wanted(), Mode::Create).await.unwrap();
    assert_eq!(standing(&made.findings, Status::Failed), [].into());
    assert!(standing(&made.findings, Status::Passed).contains(&ClaimId::PerimeterClosed));
    let key = made.outputs.key_arn.as_str();
    let put = inside.s3.put_object().bucket(BUCKET).key("models/m").body(ByteStream::from_static(b"m"));
    let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key).send().await.unwrap();
    let version = put.version_id().unwrap();

    let mut tried = configuring(&outside, version).await;
    tried.extend(using(&outside, key, version).await);
    assert_eq!(names(&tried, false), Vec::<&str>::new(), "let through from outside");
    assert!(outside.s3.head_bucket().bucket(BUCKET).send().await.is_err());
    assert_eq!(names(&configuring(&inside, version).await, false), Vec::<&str>::new(), "not for the serving role");
    assert_eq!(names(&using(&inside, key, version).await, true), Vec::<&str>::new(), "the serving role works");

    let again = provision::provision(&account.clients, &wanted(), Mode::Repair).await.unwrap();
    assert_eq!((again.changes_made, again.findings), (vec![], made.findings), "nothing was changed");
    // Somebody who provisions from outside is told what he lacks.
    let refused = provision::provision(&outside, &wanted(), Mode::Repair).await.unwrap_err();
    assert!(told(&refused).contains("admin_principals"), "{}", told(&refused));
}

#[tokio::test]
async fn who_locks_himself_out_has_a_complete_bucket_and_is_told_whom_it_lets() {
    let (account, _, outside) = account().await;
    let first = provision::provision(&outside, &wanted(), Mode::Create).await.unwrap_err();
    assert!(told(&first).contains("admin_principals"), "{}", told(&first));
    let again = provision::provision(&account.clients, &wanted(), Mode::Create).await.unwrap();
    assert_eq!(again.changes_made, Vec::<String>::new(), "nothing was left half done");
    assert_eq!(standing(&again.findings, Status::Failed), [].into());
    // And without the perimeter it is everybody's again whom IAM lets.
    let open = Wanted { options: Options::default(), ..wanted() };
    provision::provision(&account.clients, &open, Mode::Repair).await.unwrap();
    let seen = provision::provision(&outside, &open, Mode::Repair).await.unwrap();
    assert_eq!(seen.changes_made, Vec::<String>::new());
}
