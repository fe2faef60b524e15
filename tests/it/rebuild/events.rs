//! Every kind of journal entry, applied.

use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};
use sqlx::Row as _;
use strongroom::domain::{
    Event, Integrity, JournalEntry, Labels, Metadata, ModelRef, Retention, Timestamp, VersionNumber,
};

use super::{catalog, move_alias, said};
use crate::support::service::{BackEnd, Service};

/// Writes bytes where the journal has the entry with this number.
async fn put(service: &Service, seq: i64, bytes: Vec<u8>) {
    let s3 = service.s3().await;
    let claim = s3.get_object().bucket(&service.bucket).key("strongroom-claim.json").send().await.unwrap();
    let claim: Value = serde_json::from_slice(&claim.body.collect().await.unwrap().to_vec()).unwrap();
    let key = format!("journal/{}/{seq:020}.json", claim["catalog_id"].as_str().unwrap());
    let put = s3.put_object().bucket(&service.bucket).key(key).body(bytes.into());
    put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&service.key_arn).send().await.unwrap();
}

fn model(text: &str) -> ModelRef {
    let (namespace, name) = text.split_once('/').unwrap();
    ModelRef { namespace: namespace.parse().unwrap(), name: name.parse().unwrap() }
}

#[tokio::test]
async fn each_kind_of_event_is_applied_in_the_order_of_the_numbers() {
    let service = Service::start(BackEnd::Embedded).await;
    for name in ["a/b", "a/gone", "a/trash"] {
        for n in 1..=6 {
            service.published(name, "m", format!("{name} {n}").as_bytes()).await;
        }
    }
    move_alias(&service, "a/gone", "production", json!({"version": 1})).await;
    let service = service.restart().await;
    let (at, later) = (Timestamp::from_millis(1_700_000_000_000), Timestamp::from_millis(1_700_000_100_000));
    let number = |n| VersionNumber::new(n).unwrap();
    let by = || "token:ci".to_owned();
    let file = |n: i64| {
        let service = &service;
        async move {
            let version = service.json(&format!("/v1/models/a/b/versions/{n}")).await;
            let prefix = version["s3_uri"].as_str().unwrap().split_once("models/").unwrap().1.to_owned();
            let file = &version["files"][0];
            let text = |name: &str| file[name].as_str().unwrap().to_owned();
            (format!("models/{prefix}m"), text("s3_version_id"), text("sha256").parse().unwrap())
        }
    };
    let ((key, version_id, sha256), (other_key, _, other_sha256)) = (file(5).await, file(6).await);
    let trashed =
        |name: &str, n| Event::VersionTrashed { model: model(name), number: number(n), at, by: by(), purge_at: later };
    let purged = |name: &str, n| Event::VersionPurged { model: model(name), number: number(n) };
    let labels: Labels = serde_json::from_value(json!({ "team": "vision" })).unwrap();
    let metadata = Metadata::from_json(br#"{"x":1.0}"#).unwrap();
    let events = vec![
        Event::VersionDescribed {
            model: model("A/B"),
            number: number(1),
            metadata,
            description: "first".into(),
            revision: 3,
        },
        trashed("a/b", 2),
        trashed("a/b", 3),
        Event::VersionRestored { model: model("a/b"), number: number(3) },
        trashed("a/b", 4),
        purged("a/b", 4),
        // Nothing is left of these two but their numbers.
        trashed("a/b", 8),
        purged("a/b", 8),
        purged("a/b", 7),
        Event::HoldSet { model: model("a/b"), number: number(1), hold: Some("case 7".into()) },
        Event::HoldSet { model: model("a/b"), number: number(5), hold: Some("case 8".into()) },
        Event::HoldSet { model: model("a/b"), number: number(5), hold: None },
        Event::ObjectChecked { key, version_id, sha256, integrity: Integrity::Verified, at: later },
        // As in a copy of the bucket, where the VersionId is another one.
        Event::ObjectChecked {
            key: other_key,
            version_id: "another".into(),
            sha256: other_sha256,
            integrity: Integrity::Wrong,
            at: later,
        },
        Event::ModelDescribed { model: model("a/b"), description: "what it is".into() },
        Event::ModelLabelled { model: model("a/b"), labels },
        Event::RetentionSet { model: model("a/b"), rules: Some(Retention { keep_last: Some(3), keep_days: None }) },
        Event::ModelTrashed { model: model("a/trash"), at, by: by(), purge_at: later },
        Event::ModelRestored { model: model("a/trash") },
        Event::ModelTrashed { model: model("a/trash"), at, by: by(), purge_at: later },
        Event::ModelTrashed { model: model("a/gone"), at, by: by(), purge_at: later },
        Event::ModelPurged { model: model("a/gone"), last_number: 6, at: later },
        Event::ModelPurged { model: model("b/long-gone"), last_number: 3, at: later },
        Event::VerificationDemanded { namespace: "a".parse().unwrap(), demanded: true },
        Event::AliasesProtected { namespace: "a".parse().unwrap(), patterns: vec!["release/*".parse().unwrap()] },
    ];
    let last = 10 + events.len() as i64 - 1;
    for (seq, event) in (10..).zip(events) {
        put(&service, seq, serde_json::to_vec(&JournalEntry { schema: 1, seq, event }).unwrap()).await;
    }
    let service = service.forget_catalog();
    let told = said(&service.command(&["rebuild"]).await, 0);
    assert!(told.contains(&format!("journal        26 entries, the last is {last}\n")), "{told}");

    let pool = catalog(&service).await;
    let rows = |sql: &'static str| {
        let pool = pool.clone();
        async move {
            let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
            rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>()
        }
    };
    let versions = rows(
        "select v.number || ' ' || v.state || ' ' || coalesce(v.deleted_by, '-') || ' ' || coalesce(v.purge_at, '-') \
         || ' ' || coalesce(v.hold, '-') || ' ' || v.revision || ' ' || v.description || ' ' || v.metadata \
         || ' ' || v.declared_files || ' ' || coalesce(v.quarantine, '-') \
         from versions v join models m on m.id = v.model_id where m.name = 'b' order by v.number",
    );
    assert_eq!(
        versions.await,
        [
            r#"1 published - - case 7 3 first {"x":1.0} 0 -"#,
            "2 trashed token:ci 1700000100000 - 0  {} 0 -",
            "3 published - - - 0  {} 0 -",
            "4 purging token:ci 1700000100000 - 0  {} 0 -",
            "5 published - - - 0  {} 0 -",
            "6 published - - - 0  {} 1 the bytes of `m` do not have the SHA-256 that was stated",
            "7 purged - - - 0  {} 0 -",
            "8 purged - - - 0  {} 0 -",
        ]
    );
    let models = rows(
        "select m.name || ' ' || m.last_number || ' ' || m.description || ' ' || coalesce(m.deleted_at, '-') || ' ' || \
         coalesce(m.deleted_by, '-') || ' ' || coalesce(m.purge_at, '-') || ' ' || coalesce(m.purged_at, '-') || ' ' || \
         coalesce(m.retention, '-') || m.labels from models m order by m.name",
    );
    assert_eq!(
        models.await,
        [
            r#"b 8 what it is - - - - {"keep_last":3}{"team":"vision"}"#,
            "gone 6  - - - 1700000100000 -{}",
            "long-gone 3  - - - 1700000100000 -{}",
            "trash 6  1700000000000 token:ci 1700000100000 - -{}",
        ]
    );
    let states = "select state || ' ' || count(*) from versions v join models m on m.id = v.model_id \
                  where m.name like '%gone' group by m.name, state order by m.name";
    assert_eq!(rows(states).await, ["purging 6", "purged 3"]);
    assert_eq!(
        rows("select name || require_verified || protected_aliases from namespaces order by name").await,
        [r#"a1["release/*"]"#, "b0[]"]
    );
    assert_eq!(rows("select name from aliases").await, Vec::<String>::new());
    let checked = "select integrity || ' ' || checked_at from objects where checked_at is not null order by integrity";
    assert_eq!(rows(checked).await, ["verified 1700000100000", "wrong 1700000100000"]);
    pool.close().await;
}

#[tokio::test]
async fn entry_of_a_later_release_stops_the_rebuild_and_one_that_does_not_follow_is_told() {
    let service = Service::start(BackEnd::Embedded).await;
    for n in 1..=3 {
        service.published("a/b", "m", n.to_string().as_bytes()).await;
    }
    let moved = |seq, from: Value, to: i64| {
        let event = json!({
            "type": "alias_moved", "model": {"namespace": "a", "name": "b"}, "alias": "production", "from": from,
            "to": to, "reason": "", "at": "2026-01-01T00:00:00Z", "by": "x",
        });
        json!({"schema": 1, "seq": seq, "event": event}).to_string().into_bytes()
    };
    put(&service, 1, moved(1, Value::Null, 1)).await;
    // The entry that moved it from 1 to 2 is missing.
    put(&service, 3, moved(3, json!(2), 3)).await;
    put(&service, 4, b"torn".to_vec()).await;
    let service = service.forget_catalog();
    let told = said(&service.command(&["rebuild"]).await, 1);
    assert!(told.contains("was at version 2 before this entry, but at version 1 after those before it"), "{told}");
    assert!(told.contains("00000000000000000004.json: "), "{told}");
    let service = service.restart().await;
    assert_eq!(service.json("/v1/models/a/b/aliases/production").await["version"], 3);

    let future = json!({"schema": 1, "seq": 5, "event": {"type": "alias_painted"}});
    put(&service, 5, future.to_string().into_bytes()).await;
    let service = service.forget_catalog();
    let told = said(&service.command(&["rebuild"]).await, 1);
    assert!(told.contains("later release") && told.contains("alias_painted"), "{told}");
    let refusal = service.refused_start().await;
    assert!(refusal.contains("half rebuilt"), "{refusal}");
}
