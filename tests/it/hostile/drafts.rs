//! One fault at a time at each request that the service makes for a draft whose files go straight to S3.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::{Body, Method};
use serde_json::json;

use super::client::Client;
use super::faults::{
    Refused, Strike, answer, at_once, passing, passing_at_head, passing_where_s3_works_long, refused, told, unavailable,
};
use super::scene::Scene;
use crate::support::fault_proxy::Fault;
use crate::support::service::bytes;

const MIB: usize = 1024 * 1024;
const SMALL: &[(&str, usize)] = &[("model.bin", 5000)];
/// Two parts, and one.
const BOTH: &[(&str, usize)] = &[("a/large.bin", 5 * MIB + 1000), ("small.bin", 3000)];

/// Each of these faults once: nobody notices, or the client is told to ask again, and does so once.
async fn passes(operation: &'static str, files: &[(&str, usize)], unnoticed: Vec<Fault>, noticed: Vec<Fault>) {
    let scene = Scene::new().await;
    let unnoticed = unnoticed.into_iter().map(|fault| (fault, 0));
    at_once(unnoticed.chain(noticed.into_iter().map(|fault| (fault, 1))), async |number, (fault, repeats)| {
        let (model, case) = (format!("hostile/draft-{number}"), format!("{operation} {fault:?}"));
        println!("{model}: {case}");
        let attempt = scene.ledger.withheld(&model, files, &[]);
        let mut client = Client::new(&scene, &model).await;
        let strike = Strike::once(&scene.proxy, operation, &model, fault);
        assert_eq!(client.fills(&attempt).await, Ok(()), "{case}");
        client.publishes(&attempt).await;
        assert_eq!((strike.count(), client.repeats), (1, repeats), "{case}");
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

/// A fault that stays: what the client is told of it, and that the same calls go through when it has gone.
async fn refuses(operation: &'static str, files: &[(&str, usize)], faults: Vec<(Fault, Result<(), Refused>)>) {
    let scene = Scene::new().await;
    at_once(faults, async |number, (fault, expected)| {
        let (model, case) = (format!("hostile/draft-{number}"), format!("{operation} always {fault:?}"));
        println!("{model}: {case}");
        let attempt = scene.ledger.withheld(&model, files, &[]);
        let mut client = Client::new(&scene, &model).await.impatient();
        let strike = Strike::always(&scene.proxy, operation, &model, fault);
        assert_eq!(client.fills(&attempt).await, expected, "{case}");
        assert!(strike.count() > 0, "{case} did not happen");
        strike.lift();
        assert_eq!(client.fills(&attempt).await, Ok(()), "after {case}");
        client.publishes(&attempt).await;
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

/// What stays at a request, and what is said of it.
fn staying() -> Vec<(Fault, Result<(), Refused>)> {
    vec![
        (answer(500, "InternalError"), Err(unavailable())),
        (answer(503, "SlowDown"), Err(unavailable())),
        (answer(409, "OperationAborted"), Err(unavailable())),
        (answer(504, ""), Err(unavailable())),
        (answer(403, "AccessDenied"), Err(refused(502, "storage_denied"))),
        (Fault::HangUpBefore, Err(unavailable())),
    ]
}

fn key_disabled() -> Fault {
    answer(400, "KMS.DisabledException")
}

#[tokio::test]
async fn fault_at_beginning_an_upload_of_a_draft_is_not_noticed_and_a_conflict_is_told() {
    passes("CreateMultipartUpload", SMALL, passing(), vec![answer(409, "OperationAborted")]).await;
}

#[tokio::test]
async fn fault_at_listing_the_parts_of_a_draft_is_not_noticed() {
    passes("ListParts", SMALL, passing(), Vec::new()).await;
}

// Large files are much to do for the store, which runs here: it should not keep its answers waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_at_joining_the_parts_of_a_draft_is_not_noticed() {
    passes("CompleteMultipartUpload", BOTH, passing_where_s3_works_long(), Vec::new()).await;
}

#[tokio::test]
async fn fault_at_looking_at_what_was_joined_is_not_noticed_and_a_conflict_is_told() {
    passes("HeadObject", SMALL, passing_at_head(), vec![answer(409, "")]).await;
}

#[tokio::test]
async fn fault_that_stays_at_beginning_an_upload_of_a_draft_is_told_and_the_draft_goes_on() {
    let more = [
        (key_disabled(), Err(refused(503, "encryption_key_unusable"))),
        (Fault::BlackHole, Err(unavailable())),
        (Fault::HangUpAfter, Err(unavailable())),
    ];
    refuses("CreateMultipartUpload", SMALL, staying().into_iter().chain(more).collect()).await;
}

#[tokio::test]
async fn fault_that_stays_at_listing_the_parts_of_a_draft_is_told_and_the_draft_goes_on() {
    let more = [
        // As if S3 had nothing of it: what was sent is not given up.
        (answer(404, "NoSuchUpload"), Err(refused(409, "parts_missing"))),
        (Fault::BlackHole, Err(unavailable())),
        (Fault::HangUpAfter, Err(unavailable())),
        (Fault::Truncate(40), Err(unavailable())),
    ];
    refuses("ListParts", SMALL, staying().into_iter().chain(more).collect()).await;
}

#[tokio::test]
async fn fault_that_stays_at_joining_the_parts_of_a_draft_is_told_and_the_draft_goes_on() {
    let more = [
        (key_disabled(), Err(refused(503, "encryption_key_unusable"))),
        (answer(200, "InternalError"), Err(unavailable())),
        (answer(404, "NoSuchUpload"), Err(refused(502, "storage_failed"))),
        // Its effect is there, and is recognised.
        (Fault::HangUpAfter, Ok(())),
    ];
    refuses("CompleteMultipartUpload", SMALL, staying().into_iter().chain(more).collect()).await;
}

#[tokio::test]
async fn fault_that_stays_at_looking_at_what_was_joined_is_told_and_the_draft_goes_on() {
    let more = [
        (answer(404, "NoSuchKey"), Err(refused(502, "storage_failed"))),
        (Fault::BlackHole, Err(unavailable())),
        (Fault::HangUpAfter, Err(unavailable())),
    ];
    refuses("HeadObject", SMALL, staying().into_iter().chain(more).collect()).await;
}

#[tokio::test]
async fn fault_at_the_manifest_of_a_draft_delays_its_version_and_publishing_again_shows_it() {
    let scene = Scene::new().await;
    let once = [answer(500, "InternalError"), Fault::HangUpBefore, Fault::HangUpAfter, Fault::BlackHole];
    let always = [answer(503, "SlowDown"), Fault::BlackHole, answer(403, "AccessDenied")];
    let all = once.into_iter().map(|fault| (fault, true)).chain(always.into_iter().map(|fault| (fault, false)));
    at_once(all, async |number, (fault, passes)| {
        let (model, case) = (format!("hostile/draft-{number}"), format!("manifest {fault:?}, passing: {passes}"));
        println!("{model}: {case}");
        let attempt = scene.ledger.withheld(&model, SMALL, &[]);
        let mut client = Client::new(&scene, &model).await.impatient();
        assert_eq!(client.fills(&attempt).await, Ok(()));
        // All its files went straight to S3.
        if passes {
            let strike = Strike::once(&scene.proxy, "PutObject", &model, fault);
            client.publishes(&attempt).await;
            assert_eq!(strike.count(), 1, "{case}");
            return;
        }
        let strike = Strike::always(&scene.proxy, "PutObject", &model, fault);
        scene.ledger.asked(&attempt);
        let underway = client.asks("/publish", json!({})).await.unwrap();
        assert_eq!(underway["state"], "publishing", "{case}: {underway}");
        strike.lift();
        client.publishes(&attempt).await;
        assert_eq!(scene.ledger.number(&attempt), underway["number"].as_i64(), "{case}");
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

/// A draft with a complete file of each kind, and one that is on its way.
async fn half_filled<'a>(scene: &'a Scene, model: &str) -> Client<'a> {
    let attempt = scene.ledger.withheld(model, &[("kept.bin", 2000), ("arriving.bin", 2000)], &[]);
    scene.ledger.refused(&attempt);
    let mut client = Client::new(scene, model).await;
    assert_eq!(client.draft.put("small.bin", &bytes(9, 1000)).await.status(), 200);
    let there = client.declares(&attempt.files).await.unwrap();
    let (arriving, kept) = (&attempt.files[0], &attempt.files[1]);
    client.draft.send_parts(&there[0], &arriving.bytes(), 1..=1).await;
    client.brings(std::slice::from_ref(kept), &there[1..]).await.unwrap();
    client
}

#[tokio::test]
async fn passing_fault_at_taking_away_what_a_draft_has_leaves_nothing_even_before_a_sweep() {
    let scene = Scene::new().await;
    let faults = [answer(503, "SlowDown"), Fault::HangUpBefore, Fault::HangUpAfter, Fault::BlackHole, Fault::Duplicate];
    let at = |operation: &'static str| faults.iter().cloned().map(move |fault| (operation, fault));
    let lists = ["ListMultipartUploads", "ListObjectVersions"];
    let all = lists.into_iter().chain(["DeleteObject", "AbortMultipartUpload"]).flat_map(at);
    at_once(all.chain(lists.map(|list| (list, Fault::Truncate(40)))), async |number, (operation, fault)| {
        let (model, case) = (format!("hostile/draft-{number}"), format!("{operation} {fault:?}"));
        let client = half_filled(&scene, &model).await;
        let strike = Strike::once(&scene.proxy, operation, &model, fault);
        assert_eq!(client.removes("small.bin").await, Ok(()), "{case}");
        assert_eq!(client.removes("").await, Ok(()), "{case}");
        assert_eq!(strike.count(), 1, "{case}");
        assert_eq!(scene.stored(&model).await, (Vec::new(), Vec::new()), "{case}");
        assert_eq!(client.removes("").await, Err(refused(404, "draft_not_found")), "{case}");
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn fault_that_stays_at_taking_away_what_a_draft_has_is_not_told_and_the_sweeper_removes_it() {
    let scene = Scene::new().await;
    let all = [
        ("ListMultipartUploads", answer(500, "InternalError")),
        ("ListMultipartUploads", Fault::BlackHole),
        ("AbortMultipartUpload", Fault::HangUpBefore),
        ("AbortMultipartUpload", answer(403, "AccessDenied")),
        ("ListObjectVersions", answer(403, "AccessDenied")),
        ("DeleteObject", answer(503, "SlowDown")),
        ("DeleteObject", answer(403, "AccessDenied")),
    ];
    at_once(all, async |number, (operation, fault)| {
        let (model, case) = (format!("hostile/draft-{number}"), format!("{operation} always {fault:?}"));
        let client = half_filled(&scene, &model).await;
        let strike = Strike::always(&scene.proxy, operation, &model, fault);
        assert_eq!(client.removes("small.bin").await, Ok(()), "{case}");
        assert_eq!(client.removes("").await, Ok(()), "{case}");
        assert!(strike.count() > 0, "{case} did not happen");
        assert_ne!(scene.stored(&model).await, (Vec::new(), Vec::new()), "{case}");
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn discarding_many_files_does_not_wait_for_each_while_the_store_hangs() {
    let scene = Scene::new().await;
    let model = "hostile/many";
    let client = Client::new(&scene, model).await;
    for number in 0..12 {
        assert_eq!(client.draft.put(&format!("{number}.bin"), &bytes(number, 500)).await.status(), 200);
    }
    let _strike = Strike::always(&scene.proxy, "DeleteObject", model, Fault::BlackHole);
    let begun = Instant::now();
    assert_eq!(client.removes("").await, Ok(()));
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn file_that_cannot_be_stored_takes_along_no_other_that_is_on_its_way_to_the_same_place() {
    let scene = Scene::new().await;
    let model = "hostile/same";
    let attempt = scene.ledger.withheld(model, &[("m.bin", 18 * MIB)], &[]);
    let mut client = Client::new(&scene, model).await;
    let strike = Strike::always(&scene.proxy, "PutObject", model, answer(500, "InternalError"));

    let (go_on, waiting) = tokio::sync::oneshot::channel();
    let bytes = attempt.files[0].bytes();
    let (first, second) = (bytes[..9 * MIB].to_vec(), bytes[9 * MIB..].to_vec());
    let first = futures::stream::once(async { Ok(first) });
    let halves = first.chain(futures::stream::once(async { waiting.await.map(|()| second) }));
    let at = client.draft.at("/files/m.bin");
    let slow = scene.service.request(Method::PUT, &at).body(Body::wrap_stream(halves)).send();
    let other = async {
        while scene.stored(model).await.1.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(told(client.draft.put("m.bin", b"other").await).await, unavailable());
        go_on.send(()).unwrap();
    };
    let (slow, ()) = futures::future::join(slow, other).await;
    let slow = slow.unwrap();
    assert_eq!(slow.status(), 200, "{}", slow.text().await.unwrap());
    strike.lift();
    client.publishes(&attempt).await;
    scene.proven_whole_by_two_sweeps().await;
}
