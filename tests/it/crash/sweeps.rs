//! A sweep that is killed at any place has taken nothing that is needed, and the next ones end what it began.

use std::process::Stdio;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::audit::audit;
use crate::support::drafts::Draft;
use crate::support::service::{bytes, code};
use crate::sweep::scene::{NOW, Scene, sweep_of};

/// Where the sweep is killed.
pub(super) const POINTS: &[&str] = &[
    "sweep:after_upload",
    "sweep:after_draft",
    "sweep:after_purge_begun",
    "sweep:after_unlink",
    "sweep:after_object",
    "sweep:after_manifest",
    "sweep:after_version",
];

/// Something of everything that a sweep removes; gives a draft that cannot be published before the sweep.
async fn leave_something_to_sweep(scene: &Scene, round: usize) -> Draft<'_> {
    let service = &scene.service;
    scene.put(&format!("models/crash/sweep/01ARZ3NDEKTSV4RRFFQ69G5FAV/{round}")).await;
    let expired = service.draft("crash/sweep", json!({})).await;
    assert_eq!(expired.put("small.bin", &bytes(round as u64, 3000)).await.status(), StatusCode::OK);
    scene.rows.execute(format!("update drafts set expires_at = 1 where id = '{}'", expired.id)).await;
    let open = service.draft("crash/sweep", json!({})).await;
    open.declare(json!({ "path": "never.bin", "size": 9 << 20 })).await;
    scene.rows.execute(format!("update uploads set expires_at = 1 where draft_id = '{}'", open.id)).await;
    let deleted = service.published("crash/sweep", "m.bin", &bytes(1000 + round as u64, 5000)).await;
    let number = &deleted["number"];
    let gone = service.request(Method::DELETE, &format!("/v1/models/crash/sweep/versions/{number}")).send().await;
    assert_eq!(gone.unwrap().status(), StatusCode::OK);
    assert_eq!(open.put("kept.bin", &bytes(7, 70_000)).await.status(), StatusCode::OK);
    assert_eq!(code(open.publish(json!({})).await, 409).await, "uploads_unfinished");
    open
}

/// Starts a sweep that stops at this place, and kills it there.
async fn killed_at(scene: &Scene, point: &str) {
    let mut sweep = sweep_of(&scene.service.data_dir(), &["--force"])
        .envs(NOW.iter().copied())
        .env("STRONGROOM_FAILPOINT", point)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(sweep.stderr.take().unwrap()).lines();
    loop {
        let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{point} was not reached"));
        if line.contains(&format!("failpoint reached: {point}")) {
            break;
        }
    }
    sweep.kill().await.unwrap();
    // Nobody sweeps for two minutes after one that was killed.
    assert_eq!(scene.rows.execute("delete from leases where name = 'sweep'").await, 1, "{point}");
}

#[tokio::test]
async fn sweep_that_is_killed_at_each_place_takes_nothing_that_is_needed_and_the_next_ones_end_it() {
    let scene = Scene::with("trash_days = 0").await;
    scene.rows.release_journal().await;
    let kept = bytes(7, 70_000);
    scene.service.published("crash/sweep", "kept.bin", &kept).await;
    for (round, point) in POINTS.iter().enumerate() {
        let draft = leave_something_to_sweep(&scene, round).await;
        killed_at(&scene, point).await;
        let listed = scene.listed().await;
        let needed = "select s3_key || char(10) || s3_version_id from objects where state = 'live'";
        for named in scene.rows.texts(needed).await {
            let (key, id) = named.split_once('\n').unwrap();
            assert!(listed.contains(&(key.to_owned(), id.to_owned())), "{point}: {key} is gone");
        }
        for _ in 0..3 {
            scene.sweep(NOW, &["--force"]).await;
        }
        assert_eq!(draft.published().await["file_count"], 1, "{point}: the upload is ended, the draft is not");
        let at = "/v1/models/crash/sweep/versions/1/files/kept.bin?via=proxy";
        assert_eq!(scene.service.get(at).await.bytes().await.unwrap(), kept, "{point}");
        assert_eq!(scene.listed().await, scene.named().await, "{point}: nothing is left that no row names");
        audit(&scene.s3, &scene.service.bucket, &scene.service.data_dir(), None).await;
    }
}
