//! Starting on a bucket of ours that is not safe, and looking when asked to.

use std::time::{Duration, Instant};

use super::scene::Scene;
use super::settings::suspend_versioning;
use super::watched_on_every_back_end;
use crate::support::service::{BackEnd, Service, code, problem};

watched_on_every_back_end!(posture_has_its_form_and_fails_only_where_the_back_end_cannot);

async fn posture_has_its_form_and_fails_only_where_the_back_end_cannot(scene: Scene) {
    let posture = scene.service.json("/v1/posture?fresh=true").await;
    // SeaweedFS does not judge requests by the age or the kind of their signature.
    let not_on_seaweedfs = ["stale_presigned_refused", "presigned_post_refused"];
    for claim in posture["claims"].as_array().unwrap() {
        let may_fail =
            scene.service.back_end == BackEnd::SeaweedFs && not_on_seaweedfs.contains(&claim["id"].as_str().unwrap());
        assert!(may_fail || claim["status"] != "failed", "{claim}");
        for field in ["id", "effect", "expected", "observed", "checked_at"] {
            assert!(claim[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {claim}");
        }
        assert!(claim["controls"].is_array());
    }
    assert!(!posture["apart"].as_array().unwrap().is_empty());
    assert_eq!(posture["overrides"], serde_json::json!([]));
    let metrics = scene.metrics().await;
    assert!(metrics.contains("strongroom_writes_refused 0") && metrics.ends_with("# EOF\n"), "{metrics}");
    let nobody = scene.service.anonymous(reqwest::Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(code(nobody, 401).await, "unauthorized");
    scene.ends_readable().await;
}

#[tokio::test]
async fn unsafe_bucket_of_ours_serves_reads_and_takes_bytes_once_it_is_repaired() {
    let service = Service::start_with(BackEnd::Embedded, "provision = 'create'\nwatch_seconds = 1").await;
    service.published("a/b", "m", b"bytes").await;
    suspend_versioning(&service).await;
    let service = service.restart().await;
    for told in ["note: the bucket is not safe", "note: versioned failed"] {
        assert!(service.greeting.contains(told), "{}", service.greeting);
    }
    let read = service.get("/v1/models/a/b/versions/1/files/m").await;
    assert_eq!(read.bytes().await.unwrap(), "bytes");
    let (status, body) = problem(service.upload("a/b", "m", b"more").await).await;
    assert_eq!(status, 503);
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("versioned") && detail.contains("canary"), "{detail}");

    let applied = super::scene::strongroom(&service, &["bucket", "apply", "--mode", "repair"]).await;
    assert!(applied.status.success(), "{applied:?}");
    // The looks see it, and the proof that the start could not give is given now.
    let posture = service.json("/v1/posture?fresh=true").await;
    assert_eq!(posture["status"], "passed", "{posture:#}");
    service.published("a/b", "m", b"more").await;
    assert!(service.log().contains("posture: new bytes are taken"), "{}", service.log());
}

#[tokio::test]
async fn fresh_look_sees_at_once_what_the_watch_would_see_much_later() {
    let service = Service::start_with(BackEnd::Embedded, "watch_seconds = 86400").await;
    assert_eq!(service.json("/v1/posture?fresh=true").await["status"], "passed");
    suspend_versioning(&service).await;
    assert_eq!(service.json("/v1/posture").await["status"], "passed");
    let began = Instant::now();
    let asked = futures::future::join_all((0..5).map(|_| service.json("/v1/posture?fresh=true"))).await;
    assert!(asked.iter().all(|posture| posture["status"] == "failed"), "{asked:?}");
    // One look for all who asked, or two: not five, five seconds apart.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(code(service.upload("a/b", "m", b"bytes").await, 503).await, "writes_refused");
}
