//! What a rebuild cannot bring back is told; what somebody did behind the service's back hides nothing.

use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};

use super::{catalog, move_alias, said, text};
use crate::support::service::{BackEnd, Service};

/// The VersionIds of a key, newest first.
async fn version_ids(service: &Service, key: &str) -> Vec<String> {
    let listed = service.s3().await.list_object_versions().bucket(&service.bucket).prefix(key).send().await.unwrap();
    listed.versions().iter().map(|version| version.version_id().unwrap().to_owned()).collect()
}

async fn destroy(service: &Service, key: &str) {
    for id in version_ids(service, key).await {
        let delete = service.s3().await.delete_object().bucket(&service.bucket).key(key).version_id(id);
        delete.send().await.unwrap();
    }
}

async fn overwrite(service: &Service, key: &str, bytes: &[u8]) {
    let put = service.s3().await.put_object().bucket(&service.bucket).key(key).body(bytes.to_vec().into());
    let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(&service.key_arn);
    put.send().await.unwrap();
}

/// The key of the one file of a version.
async fn key_of(service: &Service, version: &str) -> String {
    let uri = service.json(version).await["s3_uri"].as_str().unwrap().to_owned();
    format!("{}m", uri.strip_prefix(&format!("s3://{}/", service.bucket)).unwrap())
}

#[tokio::test]
async fn overwrites_and_delete_markers_hide_nothing_from_a_rebuild() {
    let service = Service::start(BackEnd::Embedded).await;
    service.published("a/b", "m", b"1").await;
    service.published("a/b", "m", b"2").await;
    move_alias(&service, "a/b", "production", json!({"version": 1})).await;
    let before = text(&service, "/v1/models/a/b/versions").await;
    let service = service.restart().await;
    let s3 = service.s3().await;
    let journal = s3.list_objects_v2().bucket(&service.bucket).prefix("journal/").send().await.unwrap();
    let entry = journal.contents()[0].key().unwrap().to_owned();
    let key = key_of(&service, "/v1/models/a/b/versions/1").await;
    for hidden in ["manifests/a/b/1.json", &entry, &key] {
        overwrite(&service, hidden, b"not ours").await;
        s3.delete_object().bucket(&service.bucket).key(hidden).send().await.unwrap();
    }
    overwrite(&service, "manifests/a/b/2.json", b"{}").await;
    let service = service.forget_catalog();
    said(&service.command(&["rebuild"]).await, 0);
    let service = service.restart().await;
    assert_eq!(text(&service, "/v1/models/a/b/versions").await, before);
    assert_eq!(service.get("/v1/models/a/b/versions/production/files/m").await.bytes().await.unwrap(), "1");
}

#[tokio::test]
async fn what_is_lost_is_told_one_by_one_and_the_rest_comes_back() {
    let service = Service::start(BackEnd::Embedded).await;
    for n in 1..=5 {
        service.published("a/b", "m", n.to_string().as_bytes()).await;
    }
    move_alias(&service, "a/b", "production", json!({"version": 2})).await;
    let service = service.restart().await;
    let whole = text(&service, "/v1/models/a/b/versions/5").await;
    destroy(&service, "manifests/a/b/2.json").await;
    let gone = key_of(&service, "/v1/models/a/b/versions/3").await;
    destroy(&service, &gone).await;
    // The recorded version is gone; one with the same bytes is as good, one with others is not.
    let same = key_of(&service, "/v1/models/a/b/versions/4").await;
    destroy(&service, &same).await;
    overwrite(&service, &same, b"4").await;
    let other = key_of(&service, "/v1/models/a/b/versions/1").await;
    destroy(&service, &other).await;
    overwrite(&service, &other, b"X").await;
    overwrite(&service, "manifests/a/c/1.json", b"{}").await;
    let service = service.forget_catalog();

    let report = service.data_dir().join("report.json");
    let told = said(&service.command(&["rebuild", "--report", report.to_str().unwrap()]).await, 1);
    for part in [
        "moved          1 objects",
        "LOST           a/b: version 1, `m`: the recorded version is gone, and the current one has other bytes",
        "LOST           a/b: version 3, `m`: there is no such object",
        "LOST           a/b: version 2 has neither a manifest nor an entry that it was purged",
        "LOST           a/b: the alias `production` names version 2, which is not there",
        "LOST           manifests/a/c/1.json: ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let mut kinds: Vec<&str> = report["lost"].as_array().unwrap().iter().map(|l| l["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["alias", "bytes", "bytes", "manifest", "version"]);

    let pool = catalog(&service).await;
    let quarantined = "select number from versions where quarantine = 'the bytes of `m` are not in the bucket any more' \
                       and declared_files = 1 order by number";
    let quarantined: Vec<i64> = sqlx::query_scalar(quarantined).fetch_all(&pool).await.unwrap();
    assert_eq!(quarantined, [1, 3]);
    pool.close().await;
    let service = service.restart().await;
    assert_eq!(text(&service, "/v1/models/a/b/versions/5").await, whole);
    assert_eq!(service.get("/v1/models/a/b/versions/4/files/m").await.bytes().await.unwrap(), "4");
    assert_eq!(service.published("a/b", "m", b"6").await["number"], 6);
}
