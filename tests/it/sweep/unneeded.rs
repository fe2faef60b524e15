//! What no row needs: it goes, after its time; what a row needs, or may be going to, stays.

use serde_json::{Value, json};

use super::scene::{LATER, NEVER, NOW, Scene, command};
use crate::support::service::{BackEnd, Bucket, Service, on_every_back_end};

on_every_back_end!(everything_that_no_row_needs_goes_and_everything_else_stays);

async fn everything_that_no_row_needs_goes_and_everything_else_stays(service: Service) {
    let scene = Scene::of(service).await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.service.published("a/b", "n.bin", b"two").await;
    let kept = scene.listed().await;
    assert_eq!(kept, scene.named().await);
    let key = scene.key_of(1).await;
    scene.put(&key).await;
    scene.hide(&key).await;
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/left.bin").await;
    scene.put("models/not-even-a-key-of-ours").await;
    scene.put("probes/01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    scene.put("probes/mine.txt").await;
    scene.begin_upload("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/half.bin").await;
    let report = scene.sweep(NOW, &[]).await;
    let removed = &report["removed"];
    assert_eq!(removed["versions"], 3, "{report:#}");
    assert_eq!((&removed["markers"], &removed["uploads"]), (&json!(1), &json!(1)), "{report:#}");
    assert!(removed["probes"].as_u64() >= Some(1), "{report:#}");
    assert_eq!(report["missing"], 0);
    assert_eq!(scene.listed().await, kept);
    let bucket = scene.service.in_bucket().await;
    assert_eq!(bucket.uploads, Vec::<String>::new());
    assert!(bucket.versions.contains(&"probes/mine.txt".to_owned()), "somebody's, and not ours");
    assert!(!bucket.versions.contains(&"probes/01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()));
    let read = scene.service.get("/v1/models/a/b/versions/1/files/m.bin?via=proxy").await;
    assert_eq!(read.bytes().await.unwrap(), b"one"[..]);
    assert_eq!(scene.service.rows("sightings").await, removed_count(removed), "remembered until the next run");
    scene.sweep(NOW, &[]).await;
    assert_eq!(scene.service.rows("sightings").await, 0);
}

fn removed_count(removed: &Value) -> i64 {
    ["versions", "markers", "uploads", "probes"].iter().map(|kind| removed[kind].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn what_nothing_refers_to_goes_only_when_it_was_seen_long_ago_by_this_clock() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let kept = scene.listed().await;
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/old.bin").await;
    scene.begin_upload("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/old.bin").await;
    let report = scene.sweep(LATER, &[]).await;
    assert_eq!((&report["waiting"], &report["removed"]["versions"]), (&json!(2), &json!(0)));
    scene.rows.execute("update sightings set first_seen = first_seen - 49 * 3600000").await;
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/new.bin").await;
    let report = scene.sweep(LATER, &[]).await;
    assert_eq!(report["removed"]["versions"], 1, "{report:#}");
    assert_eq!((&report["removed"]["uploads"], &report["waiting"]), (&json!(1), &json!(1)));
    assert_eq!(scene.listed().await.len(), kept.len() + 1);
}

#[tokio::test]
async fn what_is_referred_to_again_is_not_remembered() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let prefix = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FAV", NEVER, 0).await;
    scene.put(&format!("{prefix}x")).await;
    assert_eq!(scene.sweep(LATER, &[]).await["waiting"], 1);
    scene.upload_row("01ARZ3NDEKTSV4RRFFQ69G5FAV", &format!("{prefix}x"), None, NEVER).await;
    assert_eq!(scene.sweep(LATER, &[]).await["waiting"], 0);
    assert_eq!(scene.service.rows("sightings").await, 0);
}

#[tokio::test]
async fn what_a_draft_may_be_going_to_need_stays_as_long_as_the_draft() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let request = scene.draft("01ARZ3NDEKTSV4RRFFQ69G5FA0", "request", NEVER, 0).await;
    let filling = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FA1", NEVER, 0).await;
    let resting = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FA2", NEVER, 1).await;
    let known = scene.begin_upload(&format!("{filling}known")).await;
    scene.upload_row("01ARZ3NDEKTSV4RRFFQ69G5FA1", &format!("{filling}known"), Some(&known), NEVER).await;
    scene.upload_row("01ARZ3NDEKTSV4RRFFQ69G5FA1", &format!("{filling}unrecorded"), None, NEVER).await;
    scene.begin_upload(&format!("{filling}unrecorded")).await;
    for prefix in [&request, &filling] {
        scene.put(&format!("{prefix}whole")).await;
    }
    scene.begin_upload(&format!("{request}half")).await;
    // Nobody is on the way into this one.
    scene.put(&format!("{resting}left")).await;
    scene.begin_upload(&format!("{resting}half")).await;
    scene.begin_upload(&format!("{filling}stranger")).await;
    let report = scene.sweep(NOW, &[]).await;
    assert_eq!(report["removed"]["versions"], 1, "{report:#}");
    assert_eq!(report["removed"]["uploads"], 2, "{report:#}");
    let Bucket { versions, mut uploads } = scene.service.in_bucket().await;
    assert!(versions.contains(&format!("{request}whole")) && versions.contains(&format!("{filling}whole")));
    uploads.sort();
    assert_eq!(uploads, [format!("{request}half"), format!("{filling}known"), format!("{filling}unrecorded")]);
}

#[tokio::test]
async fn a_draft_past_its_time_goes_with_all_that_only_it_had_and_a_kept_one_stays() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let expired = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FA0", 1, 0).await;
    let kept = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FA1", 1, 1).await;
    for (draft, prefix) in [("01ARZ3NDEKTSV4RRFFQ69G5FA0", &expired), ("01ARZ3NDEKTSV4RRFFQ69G5FA1", &kept)] {
        let key = format!("{prefix}own");
        let id = scene.put(&key).await;
        scene
            .rows
            .execute(format!(
                "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, size, sha256, integrity, \
                 created_at) values (1, 1, '{key}', '{id}', 'k', 15, 'd', 'declared', 0)"
            ))
            .await;
        scene
            .rows
            .execute(format!(
                "insert into draft_files (draft_id, path, object_id, created_at) select '{draft}', 'own', id, 0 from objects where s3_key = '{key}'"
            ))
            .await;
        // Copied on write from the version: shared, and so kept.
        scene
            .rows
            .execute(format!(
                "insert into draft_files (draft_id, path, object_id, created_at) values ('{draft}', 'shared', 1, 0)"
            ))
            .await;
        scene.upload_row(draft, &format!("{prefix}half"), None, NEVER).await;
        scene.begin_upload(&format!("{prefix}half")).await;
    }
    scene.rows.execute("update namespaces set bytes = 33").await;
    let report = scene.sweep(NOW, &[]).await;
    assert_eq!(report["drafts_ended"], 1, "{report:#}");
    assert_eq!((&report["removed"]["objects"], &report["removed"]["uploads"]), (&json!(1), &json!(1)), "{report:#}");
    assert_eq!(scene.rows.texts("select id from drafts").await, ["01ARZ3NDEKTSV4RRFFQ69G5FA1"]);
    assert_eq!(scene.service.rows("draft_files").await, 2);
    assert_eq!(scene.service.rows("uploads").await, 1);
    assert_eq!(scene.listed().await, scene.named().await);
    assert_eq!(scene.rows.number("select bytes from namespaces").await, 18);
    assert_eq!(scene.service.in_bucket().await.uploads, [format!("{kept}half")]);
}

#[tokio::test]
async fn an_upload_past_its_time_is_ended_at_s3_and_in_the_catalog() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let prefix = scene.client_draft("01ARZ3NDEKTSV4RRFFQ69G5FA0", NEVER, 0).await;
    for (name, expires_at) in [("late", 1), ("gone", 1), ("timely", NEVER)] {
        let key = format!("{prefix}{name}");
        let id = scene.begin_upload(&key).await;
        scene.upload_row("01ARZ3NDEKTSV4RRFFQ69G5FA0", &key, Some(&id), expires_at).await;
        if name == "gone" {
            let gone = scene.s3.abort_multipart_upload().bucket(&scene.service.bucket).key(&key).upload_id(&id);
            gone.send().await.unwrap();
        }
    }
    let report = scene.sweep(LATER, &[]).await;
    assert_eq!(report["uploads_ended"], 2, "{report:#}");
    assert_eq!(scene.rows.texts("select s3_key from uploads").await, [format!("{prefix}timely")]);
    assert_eq!(scene.service.in_bucket().await.uploads, [format!("{prefix}timely")]);
}

#[tokio::test]
async fn an_object_row_that_no_file_refers_to_goes_after_its_time_and_then_its_bytes() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let key = "models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/removed-from-a-draft";
    let id = scene.put(key).await;
    scene
        .rows
        .execute(format!(
            "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, size, sha256, integrity, \
             created_at) values (1, 1, '{key}', '{id}', 'k', 15, 'd', 'verified', 0)"
        ))
        .await;
    let report = scene.sweep(LATER, &[]).await;
    assert_eq!((&report["waiting"], &report["objects_condemned"]), (&json!(1), &json!(0)), "{report:#}");
    let report = scene.sweep(NOW, &[]).await;
    assert_eq!((&report["objects_condemned"], &report["removed"]["objects"]), (&json!(1), &json!(1)), "{report:#}");
    assert_eq!(scene.listed().await, scene.named().await);
    assert_eq!(scene.service.rows("objects").await, 1);
}

#[tokio::test]
async fn remembered_answers_are_forgotten_after_two_days() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let now = scene.rows.number("select created_at from versions").await;
    for (key, at) in [("old", now - 49 * 3_600_000), ("young", now)] {
        scene
            .rows
            .execute(format!(
                "insert into idempotency (principal, route, key, created_at) values ('p', 'r', '{key}', {at})"
            ))
            .await;
    }
    assert_eq!(scene.sweep(LATER, &[]).await["answers_forgotten"], 1);
    assert_eq!(scene.rows.texts("select key from idempotency").await, ["young"]);
}

#[tokio::test]
async fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let scene = Scene::with("trash_days = 0").await;
    for bytes in [b"one", b"two"] {
        scene.service.published("a/b", "m.bin", bytes).await;
    }
    assert_eq!(scene.call(reqwest::Method::DELETE, "/v1/models/a/b/versions/1").await, 200);
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/x").await;
    let before = (scene.service.in_bucket().await, scene.rows.texts("select state from versions").await);
    let report = scene.sweep(NOW, &["--dry-run"]).await;
    assert_eq!((&report["dry_run"], &report["removed"]["versions"]), (&json!(true), &json!(1)), "{report:#}");
    assert_eq!(report["versions_purged"], 1);
    assert_eq!((scene.service.in_bucket().await, scene.rows.texts("select state from versions").await), before);
    for table in ["sightings", "leases where name = 'sweep'"] {
        assert_eq!(scene.service.rows(table).await, 0, "{table}");
    }
    assert_eq!(scene.rows.events().await, ["version_trashed"]);
}

#[tokio::test]
async fn one_run_removes_so_much_at_most_and_the_next_ones_the_rest() {
    let scene = Scene::with("sweep_max_deletions = 2").await;
    scene.service.published("a/b", "m.bin", b"one").await;
    let kept = scene.listed().await;
    for n in 0..5 {
        scene.put(&format!("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/{n}")).await;
    }
    for (left, capped) in [(3, true), (1, true), (0, false)] {
        let report = scene.sweep(NOW, &[]).await;
        assert_eq!(report["capped"], capped, "{report:#}");
        assert_eq!(scene.listed().await.len(), kept.len() + left);
    }
    assert_eq!(scene.listed().await, kept);
}

#[tokio::test]
async fn the_command_works_without_a_server_writes_its_report_and_speaks_to_people() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/x").await;
    let (data, dir) = scene.service.stop();
    let report = data.path().join("report.json");
    let run = |arguments: Vec<String>| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args(arguments)
            .arg("--config")
            .arg(dir.with_file_name("strongroom.toml"))
            .env_clear()
            .env("STRONGROOM_SWEEP_AGE_HOURS", "0")
            .output()
    };
    let output = run(vec!["sweep".into(), "--report".into(), report.display().to_string()]).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1  object versions that nothing referred to, removed"), "{text}");
    let written: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!((&written["format"], &written["removed"]["versions"]), (&json!(1), &json!(1)));
    let output = run(vec!["sweep".into()]).await.unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("Nothing to do."));
}

#[tokio::test]
async fn where_no_service_ran_there_is_nothing_to_sweep_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(["sweep", "--data-dir", dir.path().join("none").to_str().unwrap()])
        .env_clear()
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no catalog"));
    assert!(!dir.path().join("none").exists());
}

#[tokio::test]
async fn two_sweeps_at_once_are_one() {
    let scene = Scene::new().await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.rows.execute(format!("insert into leases values ('sweep', 'somebody', {NEVER})")).await;
    let output = command(&scene.service, NOW, &[]).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another sweep is under way"));
    assert_eq!(scene.sweep(NOW, &["--dry-run"]).await["dry_run"], true, "who changes nothing waits for nobody");
}

#[tokio::test]
async fn a_running_service_sweeps_by_itself_and_counts_what_it_did() {
    let service = Service::start_with(BackEnd::Embedded, "sweep_age_hours = 0").await;
    let scene = Scene::of(service).await;
    scene.service.published("a/b", "m.bin", b"one").await;
    scene.put("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FA0/x").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(3);
    let metrics = loop {
        let metrics = scene.service.get("/metrics").await.text().await.unwrap();
        if metrics.contains("strongroom_sweep_last_success_seconds") {
            break metrics;
        }
        assert!(std::time::Instant::now() < deadline, "{}", scene.service.log());
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    };
    for line in [
        r#"strongroom_sweep_removed_total{kind="version"} 1"#,
        r#"strongroom_sweep_removed_total{kind="upload"} 0"#,
        "strongroom_sweep_removed_bytes_total 15",
        "strongroom_sweep_failures_total 0",
        "strongroom_sweep_refused 0",
        "strongroom_sweep_unreferenced 1",
        "strongroom_sweep_denied 0",
        "strongroom_sweep_missing 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    assert_eq!(scene.listed().await, scene.named().await);
}
