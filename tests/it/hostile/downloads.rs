//! One fault at a time at each download through the service: the right bytes come, or an error.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use super::faults::answer;
use super::scene::Scene;
use crate::support::fault_proxy::{Fault, Rule};
use crate::support::ledger::Attempt;
use crate::support::service::problem;

const MIB: usize = 1024 * 1024;
const MODEL: &str = "hostile/model";
const FILES: &[(&str, usize)] = &[("large.bin", 9 * MIB), ("small.bin", 70_000)];

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Right,
    /// The answer began well and broke off.
    Broken,
    Refused(u16, String),
}

/// Downloads a file, or a range of it.
async fn download(scene: &Scene, attempt: &Attempt, path: &str, range: Option<(usize, usize)>) -> Got {
    let file = attempt.files.iter().find(|file| file.path == path).unwrap();
    let request = scene.api().request(Method::GET, &format!("/v1/models/{MODEL}/versions/1/files/{path}?via=proxy"));
    let bytes = file.bytes();
    let (request, expected) = match range {
        None => (request, &bytes[..]),
        Some((from, to)) => (request.header("Range", format!("bytes={from}-{}", to - 1)), &bytes[from..to]),
    };
    let begun = Instant::now();
    // On a busy machine the connection ends before its first bytes are sent.
    let Ok(answer) = request.send().await else { return Got::Broken };
    let got = if answer.status().is_success() {
        match answer.bytes().await {
            Ok(bytes) => {
                assert!(bytes == expected, "{path} {range:?}: wrong bytes came as if they were right");
                Got::Right
            }
            Err(_) => Got::Broken,
        }
    } else {
        let retry_after = answer.headers().contains_key("retry-after");
        let (status, body) = problem(answer).await;
        assert_eq!(retry_after, status == StatusCode::SERVICE_UNAVAILABLE, "{body}");
        Got::Refused(status.as_u16(), body["code"].as_str().unwrap().to_owned())
    };
    println!("  {path} {range:?} {got:?} after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(25), "it took {:?}", begun.elapsed());
    got
}

async fn published() -> (Scene, Attempt) {
    let scene = Scene::new().await;
    let attempt = scene.ledger.attempt(MODEL, FILES);
    scene.publish(&attempt, Duration::from_secs(30)).await;
    (scene, attempt)
}

#[tokio::test]
async fn fault_before_the_first_byte_is_not_noticed_when_it_passes_and_told_when_it_stays() {
    let (scene, attempt) = published().await;
    let unavailable = || Got::Refused(503, "storage_unavailable".to_owned());
    for (fault, when_it_stays) in [
        (answer(500, "InternalError"), unavailable()),
        (answer(503, "SlowDown"), unavailable()),
        (answer(502, ""), unavailable()),
        (Fault::HangUpBefore, unavailable()),
        (Fault::HangUpAfter, unavailable()),
        (Fault::BlackHole, unavailable()),
        (Fault::Delay(Duration::from_secs(3)), unavailable()),
    ] {
        println!("{fault:?}");
        for (path, range) in [("small.bin", None), ("large.bin", Some((MIB, 2 * MIB)))] {
            scene.proxy.inject(Rule::on("GetObject").first(1).does(fault.clone()));
            assert_eq!(download(&scene, &attempt, path, range).await, Got::Right, "{fault:?}");
            assert_eq!(scene.proxy.faults(), 1);
            scene.proxy.heal();
        }
        scene.proxy.inject(Rule::on("GetObject").does(fault.clone()));
        assert_eq!(download(&scene, &attempt, "large.bin", None).await, when_it_stays, "{fault:?}");
        scene.proxy.heal();
    }
    for (fault, told) in [
        (answer(403, "AccessDenied"), (502, "storage_denied")),
        (answer(404, "NoSuchVersion"), (502, "storage_failed")),
        (answer(400, "KMS.DisabledException"), (503, "encryption_key_unusable")),
    ] {
        scene.proxy.inject(Rule::on("GetObject").does(fault));
        let told = Got::Refused(told.0, told.1.to_owned());
        assert_eq!(download(&scene, &attempt, "small.bin", None).await, told);
        scene.proxy.heal();
    }
    assert_eq!(download(&scene, &attempt, "large.bin", None).await, Got::Right);
}

#[tokio::test]
async fn fault_in_the_middle_of_the_bytes_breaks_the_answer_off() {
    let (scene, attempt) = published().await;
    for (fault, path, range) in [
        (Fault::Truncate(0), "small.bin", None),
        (Fault::Truncate(69_999), "small.bin", None),
        (Fault::Truncate(5 * MIB), "large.bin", None),
        (Fault::Truncate(1000), "large.bin", Some((MIB, 2 * MIB))),
        (Fault::Corrupt(0), "small.bin", None),
        (Fault::Corrupt(69_999), "small.bin", None),
        (Fault::Corrupt(8 * MIB), "large.bin", None),
        (Fault::Drip(10, Duration::from_millis(100)), "small.bin", None),
        (Fault::Drip(10, Duration::from_secs(5)), "large.bin", Some((0, 50_000))),
    ] {
        println!("{fault:?}");
        scene.proxy.inject(Rule::on("GetObject").does(fault.clone()));
        let got = download(&scene, &attempt, path, range).await;
        // Without any byte the answer need not have begun.
        let early = fault == Fault::Truncate(0) && got == Got::Refused(503, "storage_unavailable".to_owned());
        assert!(got == Got::Broken || early, "{fault:?}: {got:?}");
        scene.proxy.heal();
    }
    for path in ["small.bin", "large.bin"] {
        assert_eq!(download(&scene, &attempt, path, None).await, Got::Right);
    }
}
