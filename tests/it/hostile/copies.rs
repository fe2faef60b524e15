//! One fault at a time at a copy that S3 makes by itself, of bytes that another model has.

use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::faults::{Strike, answer, at_once, passing_at_head, passing_where_s3_works_long};
use super::scene::{Outcome, Scene};
use crate::support::fault_proxy::Fault;
use crate::support::ledger::{Attempt, File};

/// Files that are published, whose bytes other models of the namespace need not send.
async fn sources(scene: &Scene, files: &[(&str, usize)]) -> Vec<File> {
    let attempt = scene.ledger.attempt("hostile/source", files);
    assert_eq!(scene.publish(&attempt, Duration::from_mins(1)).await, Outcome::Acknowledged);
    attempt.files
}

/// The draft of a model that has nothing yet, with a file of its own and these in other places.
async fn draft<'a>(scene: &'a Scene, model: &str, sources: &[File]) -> (Client<'a>, Attempt) {
    let shared: Vec<File> = sources.iter().map(|file| file.clone().at(&format!("copy/of/{}", file.path))).collect();
    let attempt = scene.ledger.withheld(model, &[("a.json", 300)], &shared);
    (Client::new(scene, model).await.impatient(), attempt)
}

/// How many files need not be sent.
fn present(declared: &[Value]) -> usize {
    declared.iter().filter(|file| file["state"] == "present").count()
}

#[tokio::test]
async fn fault_at_a_copy_is_not_noticed() {
    let scene = Scene::new().await;
    let source = sources(&scene, &[("weights.bin", 70_000)]).await;
    let at_copy = passing_where_s3_works_long().into_iter().chain([Fault::BlackHole]);
    let at_copy = at_copy.map(|fault| ("CopyObject", fault));
    let at_head = passing_at_head().into_iter().map(|fault| ("HeadObject", fault));
    at_once(at_copy.chain(at_head), async |number, (operation, fault)| {
        let (model, case) = (format!("hostile/copy-{number}"), format!("{operation} {fault:?}"));
        println!("{model}: {case}");
        let (mut client, attempt) = draft(&scene, &model, &source).await;
        let strike = Strike::once(&scene.proxy, operation, &model, fault);
        let declared = client.declares(&attempt.files).await.unwrap();
        assert_eq!((present(&declared), strike.count()), (1, 1), "{case}: {declared:?}");
        client.brings(&attempt.files, &declared).await.unwrap();
        client.publishes(&attempt).await;
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn copy_that_fails_again_and_again_is_given_up_and_the_client_sends_the_bytes() {
    let scene = Scene::new().await;
    let source = sources(&scene, &[("weights.bin", 70_000)]).await;
    let given_up = [
        answer(500, "InternalError"),
        answer(503, "SlowDown"),
        answer(200, "InternalError"),
        answer(403, "AccessDenied"),
        answer(404, "NoSuchKey"),
        answer(400, "KMS.DisabledException"),
        Fault::HangUpBefore,
    ];
    // The answer is lost each time, and the first effect is found.
    let found = [Fault::HangUpAfter, Fault::Truncate(40)];
    let all = given_up.into_iter().map(|fault| (fault, 0)).chain(found.into_iter().map(|fault| (fault, 1)));
    at_once(all, async |number, (fault, copies)| {
        let (model, case) = (format!("hostile/copy-{number}"), format!("CopyObject always {fault:?}"));
        println!("{model}: {case}");
        let (mut client, attempt) = draft(&scene, &model, &source).await;
        let strike = Strike::always(&scene.proxy, "CopyObject", &model, fault);
        let declared = client.declares(&attempt.files).await.unwrap();
        assert_eq!(present(&declared), copies, "{case}: {declared:?}");
        assert!(strike.count() > 0, "{case} did not happen");
        client.brings(&attempt.files, &declared).await.unwrap();
        client.publishes(&attempt).await;
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn store_that_does_not_copy_is_asked_for_one_file_and_not_for_all() {
    let scene = Scene::new().await;
    let source = sources(&scene, &[("a.bin", 70_000), ("b.bin", 70_001), ("c.bin", 70_002)]).await;
    let model = "hostile/copies";
    let (mut client, attempt) = draft(&scene, model, &source).await;
    let strike = Strike::always(&scene.proxy, "CopyObject", model, answer(503, "SlowDown"));
    let declared = client.declares(&attempt.files).await.unwrap();
    assert_eq!(present(&declared), 0, "{declared:?}");
    assert!((1..=5).contains(&strike.count()), "{} copies were asked for", strike.count());
    client.brings(&attempt.files, &declared).await.unwrap();
    client.publishes(&attempt).await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn copy_of_which_nothing_is_known_holds_nobody_up_and_leaves_nothing() {
    let scene = Scene::new().await;
    let source = sources(&scene, &[("weights.bin", 70_000)]).await;
    at_once([answer(500, "InternalError"), Fault::HangUpBefore], async |number, fault| {
        let model = format!("hostile/copy-{number}");
        let (mut client, attempt) = draft(&scene, &model, &source).await;
        let lost = Strike::always(&scene.proxy, "CopyObject", &model, Fault::HangUpAfter);
        let looks = ["HeadObject", "ListObjectVersions", "ListMultipartUploads"];
        let blind = looks.map(|look| Strike::always(&scene.proxy, look, &model, fault.clone()));
        let declared = client.declares(&attempt.files).await.unwrap();
        assert_eq!((present(&declared), lost.count()), (0, 1), "{declared:?}");
        blind.iter().for_each(Strike::lift);
        client.brings(&attempt.files, &declared).await.unwrap();
        client.publishes(&attempt).await;
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn copy_that_the_role_may_not_remove_holds_nobody_up_and_is_swept() {
    let scene = Scene::new().await;
    let source = sources(&scene, &[("weights.bin", 70_000)]).await;
    let model = "hostile/copy";
    let (mut client, attempt) = draft(&scene, model, &source).await;
    // It cannot be looked at as often as the SDK tries, and is found when it is to be removed.
    let _unseen = Strike::first(&scene.proxy, "HeadObject", model, answer(500, "InternalError"), 3);
    let denied = Strike::always(&scene.proxy, "DeleteObject", model, answer(403, "AccessDenied"));
    let declared = client.declares(&attempt.files).await.unwrap();
    assert_eq!((present(&declared), denied.count()), (0, 1), "{declared:?}");
    client.brings(&attempt.files, &declared).await.unwrap();
    client.publishes(&attempt).await;
    scene.proven_whole_by_two_sweeps().await;
}
