//! What was left behind while the object store was away, and what recovery must leave alone.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use reqwest::{Body, Method};

use super::faults::answer;
use super::scene::{Outcome, Scene, outcome};
use crate::support::fault_proxy::{Fault, Rule};

const MIB: usize = 1024 * 1024;
const MODEL: &str = "hostile/model";
const FORM: &[(&str, usize)] = &[("config.json", 500), ("a/large.bin", 9 * MIB), ("b.bin", 40_000)];
const REMOVING: [&str; 4] = ["AbortMultipartUpload", "DeleteObject", "ListMultipartUploads", "ListObjectVersions"];
/// Recovery runs every minute, and what it removes here takes seconds.
const NEXT_ROUND: Duration = Duration::from_secs(100);

/// An upload that is refused when some of its files are objects, while nothing can be removed.
async fn leave_something(scene: &Scene, fault: Fault) {
    scene.proxy.inject(Rule::on("CompleteMultipartUpload").answers(403, "AccessDenied", "a fault"));
    scene.proxy.inject(Rule::when(|asked| REMOVING.contains(&asked.operation.as_str())).does(fault));
    let attempt = scene.ledger.attempt(MODEL, FORM);
    let denied = Outcome::Refused(502, "storage_denied".to_owned());
    assert_eq!(scene.publish(&attempt, Duration::from_secs(30)).await, denied);
    assert_eq!(scene.service.rows("drafts").await, 1);
}

#[tokio::test]
async fn what_a_refused_upload_left_while_the_store_was_away_is_removed_when_it_is_back() {
    let mut scene = Scene::new().await;
    for fault in [Fault::BlackHole, answer(500, "InternalError")] {
        leave_something(&scene, fault).await;
        scene = scene.proven_whole_by_a_restart(false).await;
    }
}

/// Publishes files that arrive slowly, one after the other, until something has happened.
async fn publish_slowly(scene: &Scene, ended: &tokio::sync::watch::Receiver<bool>) {
    while !*ended.borrow() {
        let attempt = scene.ledger.attempt(MODEL, &[("slow.bin", 2000)]);
        let bytes = attempt.files[0].bytes();
        let halves = [bytes[..1000].to_vec(), bytes[1000..].to_vec()];
        let body = futures::stream::unfold(0, move |sent| {
            let half = halves.get(sent).cloned();
            async move {
                tokio::time::sleep(Duration::from_millis(700) * u32::from(sent == 1)).await;
                Some((Ok::<_, std::io::Error>(half?), sent + 1))
            }
        });
        let request = scene.api().request(Method::POST, &format!("/v1/models/{MODEL}/versions?path=slow.bin"));
        let answer = request.body(Body::wrap_stream(body)).send().await.unwrap();
        assert_eq!(outcome(&scene.ledger, &attempt, answer).await, Outcome::Acknowledged);
    }
}

#[tokio::test]
async fn version_that_is_published_while_recovery_removes_something_else_keeps_its_bytes() {
    let scene = Scene::new().await;
    leave_something(&scene, answer(500, "InternalError")).await;
    // It can be removed, but that takes its time: meanwhile other uploads, of which recovery knows, become versions.
    scene.proxy.heal();
    scene.proxy.inject(
        Rule::when(|asked| REMOVING.contains(&asked.operation.as_str())).does(Fault::Delay(Duration::from_millis(800))),
    );
    let left = scene.proxy.count("DeleteObject");
    let (tell, told) = tokio::sync::watch::channel(false);
    let publishers = join_all((0..6).map(|_| publish_slowly(&scene, &told)));
    let watching = async {
        let begun = Instant::now();
        while scene.proxy.count("DeleteObject") < left + 2 {
            assert!(begun.elapsed() < NEXT_ROUND, "recovery has removed nothing");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Whatever else it may remove comes next.
        tokio::time::sleep(Duration::from_secs(5)).await;
        tell.send_replace(true);
    };
    join(publishers, watching).await;
    scene.proven_whole_by_a_restart(false).await;
}
