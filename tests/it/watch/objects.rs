//! Objects of published versions, overwritten and deleted behind the service's back.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use reqwest::Method;
use reqwest::multipart::Part;

use super::scene::Scene;
use super::watched_on_every_back_end;
use crate::support::service::{BackEnd, Service, code, form};

watched_on_every_back_end!(object_overwritten, object_deleted, object_version_destroyed);

const CLAIM: &str = "objects_intact";

async fn object_overwritten(scene: Scene) {
    let (key, _) = scene.key_of("vision/resnet", 1, "weights/model.bin").await;
    let service = &scene.service;
    let s3 = service.s3().await;
    let put = s3
        .put_object()
        .bucket(&service.bucket)
        .key(&key)
        .body(ByteStream::from_static(b"evil"))
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&service.key_arn);
    let over = put.send().await.unwrap().version_id.unwrap();
    let observed = scene.is_told_that_it_failed(CLAIM).await;
    assert_eq!(observed, format!("1 damaged: {key} was overwritten: delete version {over} of it"));
    scene.takes_uploads().await;
    s3.delete_object().bucket(&service.bucket).key(&key).version_id(over).send().await.unwrap();
    scene.recovers(CLAIM).await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn object_deleted(scene: Scene) {
    let (key, _) = scene.key_of("text/tiny", 2, "large.bin").await;
    let service = &scene.service;
    let s3 = service.s3().await;
    let marker = s3.delete_object().bucket(&service.bucket).key(&key).send().await.unwrap().version_id.unwrap();
    let observed = scene.is_told_that_it_failed(CLAIM).await;
    assert_eq!(observed, format!("1 damaged: {key} was deleted: remove delete marker {marker} of it"));
    scene.takes_uploads().await;
    s3.delete_object().bucket(&service.bucket).key(&key).version_id(marker).send().await.unwrap();
    scene.recovers(CLAIM).await;
    assert_eq!(scene.reads().1, 0, "reads go on");
    scene.ends_readable().await;
}

async fn object_version_destroyed(scene: Scene) {
    let (key, version_id) = scene.key_of("text/tiny", 1, "config.json").await;
    let service = &scene.service;
    let s3 = service.s3().await;
    s3.delete_object().bucket(&service.bucket).key(&key).version_id(&version_id).send().await.unwrap();
    let observed = scene.is_told_that_it_failed(CLAIM).await;
    assert!(observed.contains(&key) && observed.contains("its bytes are gone"), "{observed}");
    scene.takes_uploads().await;
    let gone = service.get("/v1/models/text/tiny/versions/1/files/config.json").await;
    assert_eq!(code(gone, 502).await, "storage_failed");
    // Other bytes under the same key do not make up for it.
    let put = s3
        .put_object()
        .bucket(&service.bucket)
        .key(&key)
        .body(ByteStream::from_static(b"evil"))
        .server_side_encryption(ServerSideEncryption::AwsKms)
        .ssekms_key_id(&service.key_arn);
    put.send().await.unwrap();
    let looked = service.json("/v1/posture?fresh=true").await;
    assert_eq!(looked["status"], "failed");
    let gone = service.get("/v1/models/text/tiny/versions/1/files/config.json").await;
    assert_eq!(code(gone, 502).await, "storage_failed");
    scene.ends().await;
}

#[tokio::test]
async fn damage_is_found_beyond_the_first_page_of_the_list_and_named_in_part() {
    let service = Service::start_with(BackEnd::Embedded, "watch_seconds = 86400").await;
    let mut files = form();
    for n in 0..1100 {
        files = files.part(format!("part/{n:04}"), Part::bytes(n.to_string().into_bytes()));
    }
    let answer = service.request(Method::POST, "/v1/models/a/b/versions").multipart(files).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let intact = async || {
        let posture = service.json("/v1/posture?fresh=true").await;
        let claims = posture["claims"].as_array().unwrap().clone();
        let found = claims.into_iter().find(|found| found["id"] == CLAIM).unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["observed"].as_str().unwrap().to_owned())
    };
    let (status, observed) = intact().await;
    assert!(status == "passed" && observed.starts_with("all 1100 objects"), "{status}: {observed}");
    let s3 = service.s3().await;
    let keys: Vec<String> =
        service.in_bucket().await.versions.into_iter().filter(|key| key.contains("part/109")).collect();
    assert_eq!(keys.len(), 10);
    for key in &keys {
        s3.delete_object().bucket(&service.bucket).key(key).send().await.unwrap();
    }
    let (status, observed) = intact().await;
    assert_eq!(status, "failed");
    assert!(observed.starts_with("10 damaged: ") && observed.ends_with("; and 5 more"), "{observed}");
}
