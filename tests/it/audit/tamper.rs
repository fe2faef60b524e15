//! What somebody does to the log behind the service's back, and that `audit verify` finds it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{done, exported, findings, service, verified, vouched_to_the_end};
use crate::support::rows::Rows;
use crate::support::service::{BackEnd, Service, on_every_back_end};

/// A service with a log of some entries, and its catalog without what keeps honest people from changing it.
async fn with_log() -> (Service, Rows) {
    fill(service().await).await
}

async fn fill(service: Service) -> (Service, Rows) {
    service.published("a/b", "m.bin", b"one").await;
    for number in 0..6 {
        let path = format!("/v1/models/a/b/aliases/a{number}");
        done(&service, Method::PUT, &path, json!({ "version": 1 })).await;
    }
    let rows = Rows::of(&service).await;
    for trigger in ["audit_is_not_changed", "audit_is_not_deleted"] {
        rows.execute(format!("drop trigger {trigger}")).await;
    }
    (service, rows)
}

#[tokio::test]
async fn entries_that_the_service_did_not_write_are_found() {
    let (service, rows) = with_log().await;
    let copy = |seq: &str| {
        format!(
            "insert into audit select {seq}, at, 'token:evil', address, request_id, action, subject, folded, namespace, \
             result, details, prev, hash from audit where seq = 5"
        )
    };
    for seq in ["-1", "0"] {
        rows.execute(copy(seq)).await;
        let (is_clean, report) = verified(&service).await;
        assert!(!is_clean && found(&report, seq.parse().unwrap(), "added"), "{seq}: {report}");
        assert!(!json!(exported(&service, "").await).to_string().contains("token:evil"));
        rows.execute(format!("delete from audit where seq = {seq}")).await;
    }
    // Behind the end, without a word to the record of it.
    let last = rows.number("select max(seq) from audit").await;
    rows.execute(copy(&(last + 1).to_string())).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, last + 1, "altered") && found(&report, last + 1, "broken"), "{report}");
}

#[tokio::test]
async fn a_record_of_the_end_that_was_changed_is_found() {
    let (service, rows) = with_log().await;
    let last = rows.number("select max(seq) from audit").await;
    rows.execute("create table was as select * from audit_chain").await;
    for change in ["seq = -1", "seq = 5", "seq = 5, hash = (select hash from audit where seq = 5)", "hash = prev"] {
        let prev = "(select prev from audit where seq = 5)";
        rows.execute(format!("update audit_chain set {}", change.replace("prev", prev))).await;
        let (is_clean, report) = verified(&service).await;
        assert!(!is_clean && found(&report, last, "broken"), "{change}: {report}");
        rows.execute("delete from audit_chain").await;
        rows.execute("insert into audit_chain select * from was").await;
    }
    rows.execute("delete from audit_chain").await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, last, "removed") && found(&report, 1, "altered"), "{report}");
}

#[tokio::test]
async fn a_catalog_that_calls_itself_another_is_compared_with_the_heads_of_the_buckets_own() {
    let (service, rows) = with_log().await;
    let last = vouched_to_the_end(&service).await;
    rows.execute("update catalog set id = '01M8KQW9JGQGQ4EDX3Z54QC4ND'").await;
    rows.execute("delete from audit where seq > 3").await;
    rows.execute("update audit_chain set seq = 3, hash = (select hash from audit where seq = 3)").await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 0, "unknown") && found(&report, 4, "removed"), "{last}: {report}");
}

#[tokio::test]
async fn a_rebuild_that_only_the_log_tells_of_is_none() {
    let (service, rows) = with_log().await;
    let last = vouched_to_the_end(&service).await;
    let chain = rows.texts("select id from audit_chain").await.remove(0);
    rows.execute("delete from audit").await;
    rows.execute("update audit_chain set id = '01M8KQW9JGQGQ4EDX3Z54QC4ND', seq = 0, at = 0, hash = ''").await;
    rows.execute(format!("update audit_chain set hash = '{}'", "0".repeat(64))).await;
    done(&service, Method::PUT, "/v1/models/a/b/aliases/new", json!({ "version": 1 })).await;
    let details = json!({ "earlier_logs": [{ "chain": chain, "seq": last }] });
    let mut entry = exported(&service, "").await.remove(0);
    entry["action"] = json!("catalog.rebuild");
    entry["details"] = details.clone();
    entry.as_object_mut().unwrap().remove("hash");
    entry.sort_all_objects();
    let hash = crate::support::service::hex_sha256(entry.to_string().as_bytes());
    let sql = format!("update audit set action = 'catalog.rebuild', details = '{details}', hash = '{hash}'");
    rows.execute(sql).await;
    rows.execute(format!("update audit_chain set hash = '{hash}'")).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 0, "unknown"), "{report}");
    let kinds: Vec<String> = findings(&report).into_iter().map(|(_, kind)| kind).collect();
    assert!(!kinds.contains(&"altered".to_owned()), "the forgery itself is well made: {report}");
}

#[tokio::test]
async fn what_keeps_the_log_from_being_changed_is_missed_and_a_view_is_no_log() {
    let (service, rows) = with_log().await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && findings(&report).iter().all(|(_, kind)| kind == "unguarded"), "{report}");
    assert_eq!(findings(&report).len(), 2, "{report}");
    rows.execute("alter table audit rename to real_audit").await;
    rows.execute(
        "create view audit as with recursive n(x) as (select 1 union all select x + 1 from n) \
         select x as seq, a.at, a.principal, a.address, a.request_id, a.action, a.subject, a.folded, a.namespace, \
         a.result, a.details, a.prev, a.hash from n join real_audit a on a.seq = 1",
    )
    .await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && report["findings"][0]["what"].as_str().unwrap().contains("table audit"), "{report}");
}

fn found(report: &Value, seq: i64, kind: &str) -> bool {
    findings(report).contains(&(seq, kind.to_owned()))
}

#[tokio::test]
async fn the_log_is_append_only_for_whoever_does_not_take_the_lock_off() {
    let service = service().await;
    let catalog = service.data_dir().join("catalog.sqlite");
    for statement in ["update audit set principal = 'x'", "delete from audit"] {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", catalog.display())).await.unwrap();
        let refused = sqlx::query(statement).execute(&pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
        pool.close().await;
    }
}

#[tokio::test]
async fn an_altered_entry_is_found_whatever_was_altered() {
    let (service, rows) = with_log().await;
    let columns = [
        ("principal", "'token:somebody'"),
        ("at", "at + 1"),
        ("address", "'10.0.0.1'"),
        ("request_id", "'x'"),
        ("action", "'alias.paint'"),
        ("action", "'model.trash'"),
        ("subject", "'models/a/c'"),
        ("folded", "'models/a/c'"),
        ("namespace", "'c'"),
        ("result", "'refused'"),
        ("details", "'{}'"),
        ("details", "'{'"),
        ("details", "details || ' '"),
        ("details", "'{\"digest\":\"evil\",' || substr(details, 2)"),
        ("at", "9223372036854775807"),
        ("prev", "hash"),
        ("hash", "prev"),
    ];
    for (column, value) in columns {
        rows.execute("create temporary table was as select * from audit where seq = 5").await;
        rows.execute(format!("update audit set {column} = {value} where seq = 5")).await;
        let (is_clean, report) = verified(&service).await;
        assert!(!is_clean && found(&report, 5, "altered"), "{column} = {value}: {report}");
        rows.execute("delete from audit where seq = 5").await;
        rows.execute("insert into audit select * from was").await;
        rows.execute("drop table was").await;
        let (_, report) = verified(&service).await;
        assert!(findings(&report).iter().all(|(_, kind)| kind == "unguarded"), "{column} is as it was: {report}");
    }
}

#[tokio::test]
async fn removed_entries_are_found_at_the_beginning_in_the_middle_and_at_the_end() {
    let (service, rows) = with_log().await;
    let last = vouched_to_the_end(&service).await;
    rows.execute("create table was as select * from audit").await;
    let all = [("seq = 1", 1), ("seq in (4, 5)", 4), ("seq > 6", 7), ("seq > 0", 1)];
    for (which, first) in all {
        rows.execute(format!("delete from audit where {which}")).await;
        let (is_clean, report) = verified(&service).await;
        assert!(!is_clean && found(&report, first, "removed"), "{which}: {report}");
        rows.execute("delete from audit").await;
        rows.execute("insert into audit select * from was").await;
    }
    // Who takes entries from the end and says that it ends there is told by the bucket.
    rows.execute("delete from audit where seq > 6").await;
    let ends = "update audit_chain set seq = 6, hash = (select hash from audit where seq = 6)";
    rows.execute(ends).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 7, "removed"), "{report}");
    let told = service.command(&["audit", "verify"]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let expected = format!("entries 7 to {last} were removed from the end: the bucket has a head at {last}");
    assert!(told.contains(&expected), "{told}");
}

#[tokio::test]
async fn reordered_entries_are_found_with_the_places_that_they_were_written_to() {
    let (service, rows) = with_log().await;
    for statement in [
        "update audit set seq = -4 where seq = 4",
        "update audit set seq = 4 where seq = 6",
        "update audit set seq = 6 where seq = -4",
    ] {
        rows.execute(statement).await;
    }
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 4, "reordered") && found(&report, 6, "reordered"), "{report}");
    let told = service.command(&["audit", "verify"]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("entry 4 stands in the wrong place: it was written as entry 6"), "{told}");
    assert!(!told.contains("every entry is as it was written"), "{told}");
}

/// Writes an entry anew as somebody who knows the formula would, and every entry after it with `all`.
async fn forge(service: &Service, rows: &Rows, from: i64, all: bool) {
    let mut entries = exported(service, "").await;
    let mut prev = entries[usize::try_from(from).unwrap() - 2]["hash"].clone();
    for entry in entries.iter_mut().filter(|entry| entry["seq"].as_i64().unwrap() >= from) {
        let seq = entry["seq"].as_i64().unwrap();
        if seq == from {
            entry["principal"] = json!("token:somebody");
        } else if !all {
            return;
        }
        entry["prev"] = prev;
        let object = entry.as_object_mut().unwrap();
        object.remove("hash");
        entry.sort_all_objects();
        let hash = crate::support::service::hex_sha256(entry.to_string().as_bytes());
        let (principal, before) = (entry["principal"].as_str().unwrap(), entry["prev"].as_str().unwrap());
        let sql =
            format!("update audit set principal = '{principal}', prev = '{before}', hash = '{hash}' where seq = {seq}");
        assert_eq!(rows.execute(sql).await, 1);
        prev = json!(hash);
    }
    rows.execute("update audit_chain set hash = (select hash from audit order by seq desc limit 1)").await;
}

#[tokio::test]
async fn an_entry_that_was_forged_with_its_hash_does_not_fit_the_next_one() {
    let (service, rows) = with_log().await;
    forge(&service, &rows, 5, false).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 6, "broken"), "{report}");
}

#[tokio::test]
async fn a_log_that_was_forged_to_its_end_is_found_by_the_heads_in_the_bucket() {
    let (service, rows) = with_log().await;
    let last = vouched_to_the_end(&service).await;
    forge(&service, &rows, 5, true).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, last, "rewritten"), "{report}");
}

async fn heads_in_the_bucket_cannot_be_hidden(service: Service) {
    let (service, rows) = fill(service).await;
    // A service that ends tells the bucket first.
    let service = service.restart().await;
    let last = vouched_to_the_end(&service).await;
    let s3 = service.s3().await;
    let bucket = service.bucket.clone();
    let listed = s3.list_objects_v2().bucket(&bucket).prefix("audit/").send().await.unwrap();
    let keys: Vec<String> = listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect();
    assert!(!keys.is_empty());
    let newest = keys.last().unwrap();
    let body = s3.get_object().bucket(&bucket).key(newest).send().await.unwrap().body.collect().await.unwrap();
    let head: Value = serde_json::from_slice(&body.into_bytes()).unwrap();
    let hash = rows.texts(format!("select hash from audit where seq = {last}")).await.remove(0);
    assert_eq!((&head["seq"], &head["hash"]), (&json!(last), &json!(hash)));
    assert!(newest.ends_with(&format!("{last:020}-{hash}.json")), "{newest}");
    for key in &keys {
        s3.delete_object().bucket(&bucket).key(key).send().await.unwrap();
    }
    forge(&service, &rows, 5, true).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, last, "rewritten"), "{report}");
}

on_every_back_end!(heads_in_the_bucket_cannot_be_hidden);

#[tokio::test]
async fn a_log_that_was_begun_anew_is_told_by_the_heads_of_the_old_one() {
    let (service, rows) = with_log().await;
    vouched_to_the_end(&service).await;
    rows.execute("delete from audit").await;
    rows.execute("delete from audit_chain").await;
    done(&service, Method::PUT, "/v1/models/a/b/aliases/new", json!({ "version": 1 })).await;
    let (is_clean, report) = verified(&service).await;
    assert!(!is_clean && found(&report, 0, "unknown"), "{report}");
}

#[tokio::test]
async fn a_rebuilt_catalog_begins_a_log_that_tells_where_the_old_one_ended() {
    let (service, _) = with_log().await;
    let last = vouched_to_the_end(&service).await;
    let service = service.stopped().forget_catalog();
    let rebuilt = service.command(&["rebuild"]).await;
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let (is_clean, report) = verified(&service).await;
    assert!(is_clean, "{report}");
    let earlier = report["earlier_logs"].as_array().unwrap();
    assert_eq!(earlier.len(), 1, "{report}");
    assert!(earlier[0].as_str().unwrap().contains(&format!("with {last} entries")), "{report}");
    assert_eq!(report["entries"], 1, "the rebuild itself");
}

#[tokio::test]
async fn heads_cannot_be_deleted_where_the_bucket_locks_objects() {
    let settings = "audit_head_seconds = 1\nobject_lock_mode = 'governance'\nobject_lock_days = 1";
    let service = Service::start_with(BackEnd::Embedded, settings).await;
    service.published("a/b", "m.bin", b"one").await;
    vouched_to_the_end(&service).await;
    let s3 = service.s3().await;
    let listed = s3.list_object_versions().bucket(&service.bucket).prefix("audit/").send().await.unwrap();
    assert!(!listed.versions().is_empty());
    for head in listed.versions() {
        let (key, id) = (head.key().unwrap(), head.version_id().unwrap());
        let seen = s3.head_object().bucket(&service.bucket).key(key).version_id(id).send().await.unwrap();
        assert!(seen.object_lock_retain_until_date().is_some(), "{key}");
        let refused = s3.delete_object().bucket(&service.bucket).key(key).version_id(id).send().await.unwrap_err();
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403, "{key}");
    }
}
