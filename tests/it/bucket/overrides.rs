//! `bucket override`.

use std::time::{Duration, Instant};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use reqwest::StatusCode;

use super::place::Place;

const SERVING: &str = "Publish a first version";

#[tokio::test]
async fn override_is_recorded_listed_seen_by_check_and_ended() {
    let mut place = Place::embedded().await;
    let refused = place.bucket(&["override", "--list"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("no catalog"), "{}", refused.err);
    place.start("serve", SERVING).await;
    assert_eq!(place.expect(0, &["override", "--list"]), "no claim is overridden\n");

    let made = place.expect(
        0,
        &[
            "override",
            "--claim",
            "canary",
            "--claim",
            "versioned",
            "--until",
            "2h",
            "--reason",
            "a drill",
            "--by",
            "me",
        ],
    );
    assert!(made.contains("next look") && made.contains("canary is overridden until"), "{made}");
    let listed = place.expect(0, &["override", "--list"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("by me") && listed.contains("a drill"), "{listed}");
    let posture = place.json(0, &["check", "--format", "json"]);
    let overridden: Vec<_> = posture["overrides"].as_array().unwrap().iter().map(|made| &made["claim"]).collect();
    assert_eq!(overridden, ["canary", "versioned"]);

    place.expect(0, &["override", "--end", "--claim", "canary"]);
    place.expect(1, &["override", "--end", "--claim", "canary"]);
    assert_eq!(place.expect(0, &["override", "--list"]).lines().count(), 1);
}

#[tokio::test]
async fn override_that_may_not_be_changes_nothing() {
    let mut place = Place::embedded().await;
    place.start("serve", SERVING).await;
    for (arguments, word) in [
        (&["--claim", "tagged", "--until", "2h", "--reason", "x"][..], "degrading"),
        (&["--claim", "nothing", "--until", "2h", "--reason", "x"], "names no claim"),
        (&["--claim", "canary", "--until", "8d", "--reason", "x"], "at most 7 days"),
        (&["--claim", "canary", "--until", "2020-01-01T00:00:00Z", "--reason", "x"], "past"),
        (&["--claim", "canary", "--until", "soon", "--reason", "x"], "neither a time"),
        (&["--claim", "canary", "--until", "2h", "--reason", " "], "needs a `reason`"),
        (&["--claim", "canary", "--claim", "tagged", "--until", "2h", "--reason", "x"], "degrading"),
        (&["--claim", "canary", "--until", "2h"], "--reason"),
    ] {
        let said = place.bucket(&[&["override"], arguments].concat());
        assert_eq!(said.code, 1, "{arguments:?}: {said:?}");
        assert!(said.err.contains(word), "{word} in {}", said.err);
    }
    assert_eq!(place.expect(0, &["override", "--list"]), "no claim is overridden\n");
}

#[tokio::test]
async fn running_service_takes_an_override_in_at_its_next_look() {
    let mut place = Place::embedded_with("watch_seconds = 1\nprovision = 'create'").await;
    place.start("serve", SERVING).await;
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let s3 = place.s3().await;
    s3.put_bucket_versioning().bucket("strongroom").versioning_configuration(suspended).send().await.unwrap();
    upload_until(&place, StatusCode::SERVICE_UNAVAILABLE).await;
    let wish = ["override", "--claim", "versioned", "--until", "5m", "--reason", "a drill"];
    place.expect(0, &wish);
    let log = wait(|| place.log(), |log| log.contains("override in force")).await;
    assert!(log.contains("a drill"), "{log}");
}

/// Uploads until it is answered so.
async fn upload_until(place: &Place, expected: StatusCode) {
    let log = place.log();
    let api = log.lines().find_map(|line| line.strip_prefix("api ")).unwrap().split("/v1").next().unwrap().trim();
    let token = std::fs::read_to_string(place.data_dir().join("admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let request = client.post(format!("{api}/v1/models/a/b/versions?path=x")).bearer_auth(token.trim());
        let status = request.body("x").send().await.unwrap().status();
        if status == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait(look: impl Fn() -> String, found: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = look();
        if found(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
