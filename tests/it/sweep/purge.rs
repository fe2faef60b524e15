//! The end of the trash: journal, bytes, manifest, and then only the number is left; and what the rules put there.

use reqwest::Method;
use serde_json::{Value, json};

use super::scene::{LATER, Scene};
use crate::support::service::code;

const ONE: &str = "/v1/models/a/b/versions/1";

async fn manifests(scene: &Scene) -> Vec<String> {
    let bucket = scene.service.in_bucket().await;
    bucket.versions.into_iter().filter(|key| key.starts_with("manifests/")).collect()
}

async fn states(scene: &Scene) -> Vec<String> {
    scene.rows.texts("select state from versions order by number").await
}

#[tokio::test]
async fn a_version_is_purged_after_the_journal_says_so_and_only_its_number_is_left() {
    let scene = Scene::with("trash_days = 0").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let first = scene.listed().await;
    scene.service.published("a/b", "m.bin", b"two").await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    scene.rows.execute("update versions set metadata = '{\"who\":\"me\"}' where number = 1").await;

    let waits = scene.sweep(LATER, &[]).await;
    assert_eq!((&waits["purges_waiting"], &waits["versions_purged"]), (&json!(1), &json!(0)), "{waits:#}");
    assert_eq!(states(&scene).await, ["purging", "published"]);
    assert_eq!(scene.rows.events().await, ["version_trashed", "version_purged"]);
    let left = scene.listed().await;
    assert!(first.iter().all(|first| left.contains(first)), "bytes wait");
    assert_eq!(scene.call(Method::POST, &format!("{ONE}/restore")).await, 410, "too late");
    assert_eq!(scene.call(Method::PUT, &format!("{ONE}/hold")).await, 400);
    scene.sweep(LATER, &[]).await;
    assert_eq!(scene.rows.events().await, ["version_trashed", "version_purged"], "said once");

    scene.rows.flush().await;
    let purged = scene.sweep(LATER, &[]).await;
    assert_eq!((&purged["versions_purged"], &purged["removed"]["objects"]), (&json!(1), &json!(1)), "{purged:#}");
    assert_eq!(purged["removed"]["manifests"], 1);
    assert_eq!(states(&scene).await, ["purged", "published"]);
    assert_eq!(manifests(&scene).await, ["manifests/a/b/2.json"]);
    assert_eq!(scene.listed().await, scene.named().await);
    assert_eq!(scene.service.rows("version_files").await, 1);
    assert_eq!(scene.rows.texts("select metadata from versions where number = 1").await, ["{}"]);
    assert_eq!(code(scene.service.get(ONE).await, 404).await, "version_not_found");
    assert_eq!(scene.call(Method::DELETE, ONE).await, 404);
    assert_eq!(scene.service.json("/v1/models/a/b/versions?state=trashed").await["items"], json!([]));
    assert_eq!(scene.service.published("a/b", "m.bin", b"three").await["number"], 3);
}

#[tokio::test]
async fn a_sweep_writes_the_journal_itself_and_purges_at_once() {
    let scene = Scene::with("trash_days = 0").await;
    scene.rows.release_journal().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    let purged = scene.sweep(LATER, &[]).await;
    assert_eq!((&purged["versions_purged"], &purged["purges_waiting"]), (&json!(1), &json!(0)), "{purged:#}");
    assert_eq!(scene.service.journalled("version_purged").await, 1);
    assert_eq!(manifests(&scene).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_highest_number_is_not_given_again_when_its_version_is_purged() {
    let scene = Scene::with("trash_days = 0").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    scene.sweep(LATER, &[]).await;
    scene.rows.flush().await;
    scene.sweep(LATER, &[]).await;
    assert_eq!(states(&scene).await, ["purged"]);
    assert_eq!(scene.service.json("/v1/models/a/b").await["latest"], Value::Null);
    assert_eq!(scene.service.published("a/b", "m.bin", b"two").await["number"], 2);
}

#[tokio::test]
async fn an_object_that_another_version_or_a_draft_shares_stays_when_one_is_purged() {
    let scene = Scene::with("trash_days = 0").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.service.published("a/b", "n.bin", b"two").await;
    scene.rows.execute("insert into version_files values (2, 'shared.bin', 1)").await;
    let kept = scene.listed().await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    scene.sweep(LATER, &[]).await;
    scene.rows.flush().await;
    let purged = scene.sweep(LATER, &[]).await;
    assert_eq!((&purged["versions_purged"], &purged["removed"]["objects"]), (&json!(1), &json!(0)), "{purged:#}");
    assert_eq!(scene.listed().await, kept);
    let read = scene.service.get("/v1/models/a/b/versions/2/files/shared.bin").await;
    assert_eq!(read.bytes().await.unwrap(), b"one"[..]);
}

#[tokio::test]
async fn a_window_that_is_open_a_hold_and_an_alias_each_keep_what_is_in_the_trash() {
    let scene = Scene::with("trash_days = 1").await;
    for n in 0..4 {
        scene.service.published("a/b", "m.bin", &[n]).await;
    }
    for number in [1, 2, 3] {
        assert_eq!(scene.call(Method::DELETE, &format!("/v1/models/a/b/versions/{number}")).await, 200);
    }
    let hold = scene.service.request(Method::PUT, "/v1/models/a/b/versions/2/hold").json(&json!({"reason": "case"}));
    assert_eq!(hold.send().await.unwrap().status(), 204);
    scene.rows.execute("insert into aliases select id, 'odd', 3, 0, 'test' from models").await;
    scene.rows.execute("update versions set purge_at = 1 where number in (2, 3)").await;
    scene.sweep(LATER, &[]).await;
    assert_eq!(states(&scene).await, ["trashed", "trashed", "trashed", "published"]);
    scene.rows.execute("delete from aliases").await;
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b/versions/2/hold").await, 204);
    scene.sweep(LATER, &[]).await;
    assert_eq!(states(&scene).await, ["trashed", "purging", "purging", "published"]);
}

#[tokio::test]
async fn a_purged_model_is_gone_and_numbering_goes_on_after_its_last_version() {
    let scene = Scene::with("trash_days = 0").await;
    for bytes in [b"one", b"two"] {
        scene.service.published("a/b", "m.bin", bytes).await;
    }
    scene.service.published("a/other", "m.bin", b"other").await;
    let about = scene.service.request(Method::PATCH, "/v1/models/a/b").json(&json!({"description": "cats"}));
    assert_eq!(about.send().await.unwrap().status(), 200);
    scene
        .rows
        .execute("insert into alias_history (model_id, name, moved_at, moved_by) values (1, 'x', 0, 'test')")
        .await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b").await, 200);
    let waits = scene.sweep(LATER, &[]).await;
    assert_eq!((&waits["purges_waiting"], &waits["models_purged"]), (&json!(2), &json!(0)), "{waits:#}");
    scene.rows.flush().await;
    let purged = scene.sweep(LATER, &[]).await;
    assert_eq!((&purged["versions_purged"], &purged["models_purged"]), (&json!(2), &json!(1)), "{purged:#}");
    assert_eq!(scene.rows.events().await, ["model_purged"]);
    assert_eq!(code(scene.service.get("/v1/models/a/b").await, 404).await, "model_not_found");
    assert_eq!(code(scene.service.get(ONE).await, 404).await, "model_not_found");
    assert_eq!(scene.call(Method::POST, "/v1/models/a/b/restore").await, 404);
    assert_eq!(scene.listed().await, scene.named().await);
    assert_eq!(manifests(&scene).await, ["manifests/a/other/1.json"]);
    assert_eq!(scene.service.rows("alias_history").await, 0);
    assert_eq!(scene.service.published("a/b", "m.bin", b"anew").await["number"], 3);
    let anew = scene.service.json("/v1/models/a/b").await;
    assert_eq!((&anew["description"], &anew["version_count"]), (&json!(""), &json!(1)));
    assert_eq!(scene.sweep(LATER, &[]).await["models_purged"], 0);
}

#[tokio::test]
async fn a_model_that_was_restored_in_time_keeps_everything() {
    let scene = Scene::with("trash_days = 1").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b").await, 200);
    scene.sweep(LATER, &[]).await;
    assert_eq!(scene.call(Method::POST, "/v1/models/a/b/restore").await, 200);
    scene.sweep(LATER, &[]).await;
    assert_eq!(scene.service.get(&format!("{ONE}/files/m.bin")).await.bytes().await.unwrap(), b"one"[..]);
}

#[tokio::test]
async fn bytes_that_are_gone_already_do_not_keep_a_purge_from_ending() {
    let scene = Scene::with("trash_days = 0").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    assert_eq!(scene.call(Method::DELETE, ONE).await, 200);
    let (key, id) = scene.listed().await.remove(0);
    scene.s3.delete_object().bucket(&scene.service.bucket).key(key).version_id(id).send().await.unwrap();
    scene.sweep(LATER, &[]).await;
    scene.rows.flush().await;
    assert_eq!(scene.sweep(LATER, &[]).await["versions_purged"], 1);
    assert_eq!(scene.service.rows("objects").await, 0);
}

#[tokio::test]
async fn rules_put_into_the_trash_what_they_do_not_keep_and_nothing_else() {
    let scene = Scene::new().await;
    for n in 0..6 {
        scene.service.published("a/b", "m.bin", &[n]).await;
    }
    scene.service.published("a/without-rules", "m.bin", b"x").await;
    scene.rows.execute("insert into aliases select id, 'old', 1, 0, 'test' from models where name = 'b'").await;
    scene.rows.execute("update versions set hold = 'case' where model_id = 1 and number = 2").await;
    let rules = scene.service.request(Method::PUT, "/v1/models/a/b/retention").json(&json!({"keep_last": 2}));
    assert_eq!(rules.send().await.unwrap().status(), 200);
    let tried = scene.sweep(LATER, &["--dry-run"]).await;
    assert_eq!(tried["versions_trashed"], 2);
    let report = scene.sweep(LATER, &[]).await;
    assert_eq!(report["versions_trashed"], 2, "{report:#}");
    let left = scene
        .rows
        .texts("select cast(number as text) from versions where model_id = 1 and state = 'published' order by number");
    assert_eq!(left.await, ["1", "2", "5", "6"]);
    let trash = scene.service.json("/v1/models/a/b/versions?state=trashed").await;
    assert_eq!(trash["items"][0]["deleted_by"], "retention");
    assert_eq!(scene.rows.events().await, ["retention_set", "version_trashed", "version_trashed"]);
    assert_eq!(scene.sweep(LATER, &[]).await["versions_trashed"], 0);
    assert_eq!(scene.call(Method::POST, "/v1/models/a/b/versions/3/restore").await, 200);
}
