//! One fault at a time at each request of an upload.

use std::time::Duration;

use super::faults::{answer, on_objects, passing};
use super::scene::{Outcome, Scene};
use crate::support::fault_proxy::{Fault, Rule};

const MIB: usize = 1024 * 1024;
/// One part, several parts, and both in a form.
const SMALL: &[(&str, usize)] = &[("model.bin", 5000)];
const LARGE: &[(&str, usize)] = &[("model.bin", 9 * MIB)];
const FORM: &[(&str, usize)] = &[("config.json", 500), ("a/large.bin", 9 * MIB), ("b.bin", 40_000)];
const MODEL: &str = "hostile/model";

/// No request is longer under way than this, with the time limits of these tests.
const SOON: Duration = Duration::from_mins(1);
/// Joining parts may take 20 times as long as a small request, and is tried until twice that is over.
const LONG: Duration = Duration::from_secs(100);

fn unavailable() -> Outcome {
    Outcome::Refused(503, "storage_unavailable".to_owned())
}

/// Each passing fault once, at an operation of this upload; the client does not notice.
async fn passes(operation: &'static str, files: &[(&str, usize)], strays: bool, more: &[Fault]) {
    let scene = Scene::new().await;
    for fault in passing().into_iter().chain(more.iter().cloned()) {
        println!("{operation} {fault:?}");
        scene.proxy.inject(on_objects(operation).first(1).does(fault.clone()));
        let attempt = scene.ledger.attempt(MODEL, files);
        assert_eq!(scene.publish(&attempt, LONG).await, Outcome::Acknowledged, "{operation} {fault:?}");
        assert_eq!(scene.proxy.faults(), 1, "{operation} {fault:?} did not happen");
        scene.proxy.heal();
    }
    scene.proven_whole_by_a_restart(strays).await;
}

/// A fault that stays, and what the client is told of it.
async fn refuses(operation: &'static str, files: &[(&str, usize)], faults: &[(Fault, Outcome, Duration)]) {
    let scene = Scene::new().await;
    for (fault, expected, within) in faults {
        println!("{operation} always {fault:?}");
        scene.proxy.inject(on_objects(operation).does(fault.clone()));
        let attempt = scene.ledger.attempt(MODEL, files);
        assert_eq!(scene.publish(&attempt, *within).await, *expected, "{operation} {fault:?}");
        assert!(scene.proxy.faults() > 0, "{operation} {fault:?} did not happen");
        scene.publish_undisturbed(MODEL).await;
    }
    scene.proven_whole_by_a_restart(operation == "CreateMultipartUpload").await;
}

fn staying(when_after: Outcome, within: Duration) -> Vec<(Fault, Outcome, Duration)> {
    let refused = |status, code: &str| Outcome::Refused(status, code.to_owned());
    vec![
        (answer(500, "InternalError"), unavailable(), SOON),
        (answer(503, "SlowDown"), unavailable(), SOON),
        (answer(409, "ConditionalRequestConflict"), unavailable(), SOON),
        (answer(504, ""), unavailable(), SOON),
        (answer(403, "AccessDenied"), refused(502, "storage_denied"), SOON),
        (answer(400, "KMS.DisabledException"), refused(503, "encryption_key_unusable"), SOON),
        (Fault::HangUpBefore, unavailable(), SOON),
        (Fault::BlackHole, unavailable(), within),
        (Fault::HangUpAfter, when_after, SOON),
    ]
}

#[tokio::test]
async fn fault_at_putting_a_small_file_is_not_noticed() {
    passes("PutObject", SMALL, false, &[answer(409, "ConditionalRequestConflict")]).await;
}

#[tokio::test]
async fn fault_at_beginning_an_upload_is_not_noticed() {
    passes("CreateMultipartUpload", LARGE, true, &[]).await;
}

#[tokio::test]
async fn fault_at_sending_a_part_is_not_noticed() {
    passes("UploadPart", FORM, false, &[]).await;
}

#[tokio::test]
async fn fault_at_joining_parts_is_not_noticed() {
    // S3 says 200 before it knows how it ends.
    let more = [answer(200, "InternalError"), answer(409, "ConditionalRequestConflict")];
    passes("CompleteMultipartUpload", FORM, false, &more).await;
}

#[tokio::test]
async fn fault_that_stays_at_putting_a_small_file_refuses_it() {
    refuses("PutObject", FORM, &staying(Outcome::Acknowledged, SOON)).await;
}

#[tokio::test]
async fn fault_that_stays_at_beginning_an_upload_refuses_it() {
    refuses("CreateMultipartUpload", FORM, &staying(unavailable(), SOON)).await;
}

#[tokio::test]
async fn fault_that_stays_at_sending_a_part_refuses_it() {
    refuses("UploadPart", LARGE, &staying(unavailable(), SOON)).await;
}

#[tokio::test]
async fn fault_that_stays_at_joining_parts_refuses_it() {
    refuses("CompleteMultipartUpload", FORM, &staying(Outcome::Acknowledged, LONG)).await;
}

#[tokio::test]
async fn fault_at_a_manifest_delays_a_version_and_loses_none() {
    let scene = Scene::new().await;
    for fault in [answer(503, "SlowDown"), Fault::HangUpBefore, Fault::BlackHole, answer(403, "AccessDenied")] {
        println!("manifest always {fault:?}");
        scene.proxy.inject(
            Rule::when(|asked| asked.operation == "PutObject" && asked.target.contains("/manifests/")).does(fault),
        );
        let attempt = scene.ledger.attempt(MODEL, SMALL);
        assert_eq!(scene.publish(&attempt, Duration::from_secs(20)).await, Outcome::Underway);
        // Whoever comes after it shows it, too.
        let known = scene.ledger.present();
        assert_eq!(scene.api().versions(MODEL).await.unwrap().len(), known.len());
        scene.publish_undisturbed(MODEL).await;
        assert_eq!(scene.api().versions(MODEL).await.unwrap().len(), known.len() + 2);
        scene.ledger.settle(&scene.api()).await;
    }
    // Its effect is there, and is recognised.
    scene.proxy.inject(Rule::on("PutObject").does(Fault::HangUpAfter));
    let attempt = scene.ledger.attempt(MODEL, SMALL);
    assert_eq!(scene.publish(&attempt, SOON).await, Outcome::Acknowledged);
    scene.proven_whole_by_a_restart(false).await;
}
