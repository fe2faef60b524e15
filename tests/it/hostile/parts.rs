//! The way of a client's own bytes to S3, by presigned URLs: what is cut, lost or spoiled there is sent again.

use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::faults::{Strike, answer, at_once, refused};
use super::scene::Scene;
use crate::support::fault_proxy::Fault;

const MIB: usize = 1024 * 1024;
const PART: usize = 5 * MIB;

/// How a client sees its part go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    NoAnswer,
    Status(u16),
}

/// Ranges of the parts that the service says S3 has.
async fn there(client: &Client<'_>) -> Value {
    client.draft.look().await["files"][0]["parts"]["ranges"].clone()
}

// Large parts are much to do for the store, which runs here: it should not keep its answers waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_that_goes_wrong_on_its_way_leaves_an_upload_that_is_gone_on_with() {
    use Sees::{NoAnswer, Status};
    let scene = Scene::new().await;
    let all = [
        (Fault::HangUpBefore, NoAnswer, false),
        (Fault::CutSent(0), NoAnswer, false),
        (Fault::CutSent(PART - 1), NoAnswer, false),
        (Fault::BlackHole, NoAnswer, false),
        (answer(503, "SlowDown"), Status(503), false),
        (answer(500, "InternalError"), Status(500), false),
        // The URL binds the digest: S3 refuses other bytes by itself.
        (Fault::SpoilSent(0), Status(400), false),
        (Fault::SpoilSent(PART - 1), Status(400), false),
        (Fault::HangUpAfter, NoAnswer, true),
        (Fault::Duplicate, Status(200), true),
    ];
    at_once(all, async |number, (fault, sees, arrives)| {
        let (model, case) = (format!("hostile/parts-{number}"), format!("{fault:?}"));
        println!("{model}: {case}");
        let attempt = scene.ledger.withheld(&model, &[("model.bin", PART + 1000)], &[]);
        let bytes = attempt.files[0].bytes();
        let mut client = Client::new(&scene, &model).await;
        let upload = client.declares(&attempt.files).await.unwrap().remove(0);
        client.draft.send_parts(&upload, &bytes, 2..=2).await;
        let url = client.draft.part_url(upload["upload_id"].as_str().unwrap(), 1, &bytes[..PART]).await;

        let strike = Strike::once(&scene.proxy, "UploadPart", &model, fault);
        let sent = tokio::time::timeout(Duration::from_secs(5), url.try_put(&bytes[..PART], &[])).await;
        let seen = match &sent {
            Ok(Ok(answer)) => Status(answer.status().as_u16()),
            Ok(Err(_)) | Err(_) => NoAnswer,
        };
        assert_eq!((seen, strike.count()), (sees, 1), "{case}");
        let expected = if arrives { "[[1,2]]" } else { "[[2,2]]" };
        assert_eq!(there(&client).await.to_string(), expected, "{case}");
        if !arrives {
            assert_eq!(client.completes(&upload).await, Err(refused(409, "parts_missing")), "{case}");
        }
        // The same URL takes the part again, whether S3 has it or not.
        assert_eq!(url.put(&bytes[..PART]).await.status(), 200, "{case}");
        let file = client.completes(&upload).await.unwrap();
        assert_eq!(file["sha256"], attempt.files[0].sha256(), "{case}");
        client.publishes(&attempt).await;
    })
    .await;
    scene.proven_whole_by_two_sweeps().await;
}

#[tokio::test]
async fn part_that_is_cut_again_and_again_leaves_nothing_once_its_draft_is_discarded() {
    let scene = Scene::new().await;
    let model = "hostile/parts";
    let _strike = Strike::always(&scene.proxy, "UploadPart", model, Fault::CutSent(PART / 2));
    let attempt = scene.ledger.withheld(model, &[("model.bin", PART)], &[]);
    scene.ledger.refused(&attempt);
    let mut client = Client::new(&scene, model).await;
    let upload = client.declares(&attempt.files).await.unwrap().remove(0);
    let bytes = attempt.files[0].bytes();
    let url = client.draft.part_url(upload["upload_id"].as_str().unwrap(), 1, &bytes).await;
    for _ in 0..3 {
        assert!(url.try_put(&bytes, &[]).await.is_err());
    }
    assert_eq!(there(&client).await.to_string(), "[]");
    assert_eq!(client.removes("").await, Ok(()));
    assert_eq!(scene.stored(model).await, (Vec::new(), Vec::new()));
    scene.proven_whole_by_two_sweeps().await;
}
