//! Everything goes wrong at once, by chance, while many clients publish and read.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::scene::{Outcome, Scene, fields, outcome};
use crate::support::dice::Dice;
use crate::support::fault_proxy::{Asked, Fault, Rule};

const MIB: usize = 1024 * 1024;
const CLIENTS: u64 = 6;
const ROUNDS: u64 = 12;
/// Retries of everything, one after the other, end within this time.
const LONGEST: Duration = Duration::from_secs(200);
const MODELS: [&str; 2] = ["storm/a", "storm/b"];
/// What a storm may add to the most memory that the service ever had, in KiB: buffers of requests that are sent again.
const MORE_MEMORY: u64 = 48 * 1024;

/// Of a thousand requests each of these faults strikes so many.
fn faults() -> Vec<(u64, Fault)> {
    let answer = |status, code| Fault::Answer { status, code, message: "a fault", headers: Vec::new() };
    vec![
        (40, answer(503, "SlowDown")),
        (20, answer(500, "InternalError")),
        (20, answer(409, "OperationAborted")),
        (30, Fault::HangUpBefore),
        (30, Fault::HangUpAfter),
        (20, Fault::Duplicate),
        (20, Fault::Truncate(20)),
        (10, Fault::Delay(Duration::from_millis(700))),
        (5, Fault::Delay(Duration::from_secs(8))),
        (5, Fault::BlackHole),
    ]
}

/// Requests that deal with objects: the bucket's own settings are not the subject.
fn is_of_objects(asked: &Asked) -> bool {
    asked.target.contains("/models/") || asked.target.contains("/manifests/") || asked.operation.starts_with("List")
}

async fn clients(scene: &Scene, seed: u64) -> Vec<Outcome> {
    let outcomes = join_all((0..CLIENTS).map(|number| client(scene, Dice(seed * 100 + number)))).await;
    outcomes.into_iter().flatten().collect()
}

async fn client(scene: &Scene, mut dice: Dice) -> Vec<Outcome> {
    let (api, ledger, mut outcomes) = (scene.api(), &scene.ledger, Vec::new());
    for _ in 0..ROUNDS {
        let model = dice.pick(&MODELS);
        let begun = Instant::now();
        if dice.roll(3) == 0 {
            let present = ledger.present();
            if let Some((attempt, number)) = present.get(usize::try_from(dice.roll(1 + present.len() as u64)).unwrap())
            {
                // A read may fail in a storm; what it gives is right.
                for file in &attempt.files {
                    let read = api.bytes(&attempt.model, *number, &file.path).await;
                    if let Ok((status, bytes)) = read
                        && status.is_success()
                    {
                        assert!(bytes == file.bytes(), "{} of {number} came back changed", file.path);
                    }
                }
            }
        } else {
            let small = [("config.json", 300), ("b.bin", 50_000)];
            let large = [("config.json", 300), ("a/large.bin", 8 * MIB + 1000)];
            let files = if dice.roll(4) == 0 { &large[..] } else { &small[..] };
            let attempt = ledger.attempt(model, files);
            let answer = fields(&api, &attempt).timeout(LONGEST).send().await.expect("an answer in time");
            outcomes.push(outcome(ledger, &attempt, answer).await);
        }
        assert!(begun.elapsed() < LONGEST, "it took {:?}", begun.elapsed());
    }
    outcomes
}

/// The most memory that the service ever had, in KiB.
fn peak(scene: &Scene) -> u64 {
    let pid = std::fs::read_to_string(scene.service.data_dir().join("lock")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn storm_changes_loses_and_leaves_nothing() {
    // A busy machine must not look like a storm.
    let scene = Scene::with_patience(3).await;
    let calm = clients(&scene, 1).await;
    assert!(calm.iter().all(|outcome| *outcome == Outcome::Acknowledged), "{calm:?}");
    let before = peak(&scene);
    for seed in 2..5 {
        for (place, (per_mille, fault)) in faults().into_iter().enumerate() {
            scene.proxy.inject(Rule::when(is_of_objects).chance(per_mille, seed * 100 + place as u64).does(fault));
        }
        let outcomes = clients(&scene, seed).await;
        let count = |wanted: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
        let acknowledged = count(&|outcome| *outcome == Outcome::Acknowledged);
        println!("storm {seed}: {acknowledged} of {} acknowledged, {} faults", outcomes.len(), scene.proxy.faults());
        assert!(scene.proxy.faults() > 20 && acknowledged * 2 > outcomes.len(), "{outcomes:?}");
        let strange = count(&|outcome| matches!(outcome, Outcome::Refused(status, _) if *status != 503));
        assert_eq!(strange, 0, "{outcomes:?}\n{}", scene.service.log());
        scene.proxy.heal();
    }
    let after = peak(&scene);
    println!("{before} KiB before, {after} KiB after; {:?}", scene.ledger.count());
    assert!(after < before + MORE_MEMORY, "{before} KiB before, {after} KiB after");
    // An upload that S3 began and did not tell of is swept by its age.
    scene.proven_whole_by_a_restart(true).await;
}
