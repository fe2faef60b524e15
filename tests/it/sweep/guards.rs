//! When the sweeper removes nothing at all, and says why.

use reqwest::Method;
use serde_json::json;

use super::scene::{LATER, NOW, Scene};

#[tokio::test]
async fn a_bucket_of_another_catalog_is_left_alone() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.rows.execute("update catalog set id = '01ARZ3NDEKTSV4RRFFQ69G5FAV'").await;
    let before = scene.listed().await;
    let why = scene.refused(&[]).await;
    assert!(why.contains("the bucket belongs to catalog"), "{why}");
    assert!(scene.refused(&["--force"]).await.contains("the bucket belongs to catalog"), "force does not help");
    assert_eq!(scene.listed().await, before);
}

#[tokio::test]
async fn a_bucket_that_nobody_has_claimed_is_left_alone() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.hide("strongroom-claim.json").await;
    assert!(scene.refused(&[]).await.contains("no claim"));
}

#[tokio::test]
async fn a_catalog_from_a_backup_that_has_given_fewer_numbers_than_the_bucket_has_manifests_removes_nothing() {
    let scene = Scene::new().await;
    for bytes in [b"one", b"two"] {
        scene.service.published("a/b", "m.bin", bytes).await;
    }
    // What a restore from before the second version leaves.
    for sql in [
        "delete from version_files where version_id = 2",
        "delete from versions where number = 2",
        "delete from objects where id = 2",
        "update models set last_number = 1",
    ] {
        scene.rows.execute(sql).await;
    }
    let before = scene.listed().await;
    let why = scene.refused(&["--force"]).await;
    assert!(why.contains("a manifest of version 2 of a/b") && why.contains("restored from a backup"), "{why}");
    assert_eq!(scene.listed().await, before);
    scene.rows.execute("update models set folded = 'lost'").await;
    assert!(scene.refused(&[]).await.contains("a manifest of version 1 of a/b"), "nor one that has lost the model");
}

#[tokio::test]
async fn a_catalog_from_a_backup_whose_journal_has_gone_on_purges_nothing() {
    let scene = Scene::with("trash_days = 0").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    assert_eq!(scene.call(Method::DELETE, "/v1/models/a/b/versions/1").await, 200);
    let catalog = scene.rows.texts("select id from catalog").await.remove(0);
    // The first entry is in the outbox still; that it has been written is nothing to wonder at.
    scene.put(&format!("journal/{catalog}/{:020}.json", 1)).await;
    scene.sweep(LATER, &["--dry-run"]).await;
    scene.put(&format!("journal/{catalog}/{:020}.json", 2)).await;
    let why = scene.refused(&[]).await;
    assert!(why.contains("which this catalog never wrote"), "{why}");
    assert_eq!(scene.rows.texts("select state from versions").await, ["trashed"]);
    assert_eq!(scene.rows.number("select max(seq) from outbox").await, 1, "asking took no number");
}

#[tokio::test]
async fn when_a_suspicious_share_of_the_bucket_would_go_nothing_goes_unless_it_is_forced() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let kept = scene.listed().await;
    futures::future::join_all((0..101).map(|n| {
        let scene = &scene;
        async move { scene.put(&format!("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/{n}")).await }
    }))
    .await;
    let why = scene.refused(&[]).await;
    assert!(why.contains("101 of 102 object versions") && why.contains("--force"), "{why}");
    assert_eq!(scene.listed().await.len(), kept.len() + 101);
    assert_eq!(scene.sweep(NOW, &["--force"]).await["removed"]["versions"], 101);
    assert_eq!(scene.listed().await, kept);
}

#[tokio::test]
async fn objects_that_rows_name_and_the_bucket_lacks_are_counted_and_their_rows_stay() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let (key, id) = scene.listed().await.remove(0);
    scene.s3.delete_object().bucket(&scene.service.bucket).key(key).version_id(id).send().await.unwrap();
    let report = scene.sweep(NOW, &[]).await;
    assert_eq!(report["missing"], json!(1), "{report:#}");
    assert_eq!(scene.service.rows("objects").await, 1);
    assert_eq!(scene.service.rows("version_files").await, 1);
}
