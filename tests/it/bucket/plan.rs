//! `bucket plan` and `bucket apply`.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use super::place::Place;

#[tokio::test]
async fn plan_apply_plan_of_an_empty_account() {
    let place = Place::embedded().await;
    let plan = place.expect(2, &["plan"]);
    for part in ["+ kms key", "+ bucket strongroom", "-> in us-east-1", "Without a key", "to create, 0 to change"] {
        assert!(plan.contains(part), "{part} in {plan}");
    }
    let json = place.json(2, &["plan", "--format", "json"]);
    assert_eq!((json["format"].as_u64(), json["mode"].as_str()), (Some(1), Some("repair")));
    assert_eq!((json["bucket"].as_str(), json["in_sync"].as_bool()), (Some("strongroom"), Some(false)));
    let changes = json["changes"].as_array().unwrap();
    for change in changes {
        assert_eq!((change["kind"].as_str(), change["from"].is_null()), (Some("create"), true), "{change}");
        for field in ["what", "to", "why", "actions"] {
            assert!(change[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {change}");
        }
    }

    let applied = place.expect(0, &["apply"]);
    assert_eq!(applied.lines().filter(|line| line.starts_with("+ ")).count(), changes.len(), "{applied}");
    assert!(applied.contains(&format!("{} changes were made", changes.len())), "{applied}");
    assert!(applied.contains("alias/strongroom"), "{applied}");

    assert!(place.expect(0, &["plan"]).contains("In sync"));
    assert_eq!(place.json(0, &["plan", "--format", "json"])["in_sync"], true);
    assert!(place.expect(0, &["apply"]).contains("nothing was changed"));
}

#[tokio::test]
async fn drift_is_planned_left_alone_by_create_and_brought_back_by_repair() {
    let place = Place::embedded_with("provision = 'create'").await;
    place.expect(0, &["apply"]);
    let s3 = place.s3().await;
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    s3.put_bucket_versioning().bucket("strongroom").versioning_configuration(suspended).send().await.unwrap();

    let repair = place.expect(2, &["plan", "--mode", "repair"]);
    assert!(repair.contains("~ bucket strongroom: versioning\n      Suspended -> Enabled\n"), "{repair}");
    assert!(repair.contains("0 to create, 1 to change, 0 left alone"), "{repair}");
    let json = place.json(2, &["plan", "--mode", "repair", "--format", "json"]);
    assert_eq!(json["changes"][0]["kind"], "update");
    assert_eq!((&json["changes"][0]["from"], &json["changes"][0]["to"]), (&"Suspended".into(), &"Enabled".into()));

    let (plan, apply) = (place.expect(0, &["plan"]), place.expect(0, &["apply"]));
    assert!(!plan.contains("In sync") && !apply.contains("In sync"), "{plan}{apply}");
    for create in [plan, apply] {
        for part in ["Left alone", "--mode repair", "Suspended, should be Enabled"] {
            assert!(create.contains(part), "{part} in {create}");
        }
    }
    assert_eq!(place.json(0, &["plan", "--format", "json"])["left_alone"][0]["was"], "Suspended");

    let applied = place.expect(0, &["apply", "--mode", "repair"]);
    assert!(applied.starts_with("~ enable versioning"), "{applied}");
    assert!(place.expect(0, &["plan", "--mode", "repair"]).contains("In sync"));
}

#[tokio::test]
async fn apply_needs_a_mode_where_the_configuration_changes_nothing() {
    let place = Place::embedded_with("provision = 'verify'").await;
    let refused = place.bucket(&["apply"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--mode create"), "{}", refused.err);
    assert!(place.expect(2, &["plan"]).contains("mode create"));
    place.expect(0, &["apply", "--mode", "create"]);
    place.expect(0, &["plan"]);
}

#[tokio::test]
async fn perimeter_of_others_lets_the_administrator_of_the_embedded_store_finish() {
    let place = Place::embedded_with(
        "perimeter = true\nruntime_principals = 'arn:aws:iam::000000000000:role/run'\n\
         admin_principals = 'arn:aws:iam::000000000000:role/admin'",
    )
    .await;
    let applied = place.expect(0, &["apply"]);
    let denials = applied.find("put our denials").unwrap();
    assert!(applied.find("tag the bucket").is_some_and(|tags| tags < denials), "the policy comes last: {applied}");
    assert!(place.expect(0, &["plan"]).contains("In sync"));
    assert!(place.expect(0, &["apply"]).contains("nothing was changed"));
    place.expect(0, &["check"]);
}

#[tokio::test]
async fn disabled_key_ends_plan_and_apply_with_the_way_out() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    place.kms().await.disable_key().key_id(key_of(&place)).send().await.unwrap();
    for command in ["plan", "apply"] {
        let said = place.bucket(&[command]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("is disabled") && said.err.contains("kms:EnableKey"), "{said:?}");
    }
}

#[tokio::test]
async fn colour_is_for_terminals_and_never_with_no_color() {
    let place = Place::embedded().await;
    assert!(!place.bucket(&["plan"]).out.contains('\u{1b}'));
    assert!(place.bucket_in(&["plan"], &[("CLICOLOR_FORCE", "1")]).out.contains("\u{1b}[32m+"));
    assert!(!place.bucket_in(&["plan"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).out.contains('\u{1b}'));
    let json = place.bucket_in(&["plan", "--format", "json"], &[("CLICOLOR_FORCE", "1")]);
    assert!(!json.out.contains('\u{1b}'));
}

#[tokio::test]
async fn check_before_the_first_apply_says_what_to_do() {
    let place = Place::embedded().await;
    for command in ["check", "outputs"] {
        let said = place.bucket(&[command]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("there is no KMS key named alias/strongroom"), "{}", said.err);
    }
}

#[test]
fn wrong_flag_is_an_error_and_no_plan_with_changes() {
    let place = Place::nothing("");
    assert_eq!(place.bucket(&["plan", "--bogus"]).code, 1);
    assert_eq!(place.bucket(&["plan", "--help"]).code, 0);
}

#[test]
fn looking_makes_no_store() {
    let place = Place::nothing("");
    let foreseen = place.bucket(&["plan"]);
    assert_eq!(foreseen.code, 2, "{foreseen:?}");
    for command in [&["outputs"][..], &["check"], &["destroy", "--i-understand", "strongroom"]] {
        let said = place.bucket(command);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("there is no embedded store"), "{said:?}");
    }
    assert!(!place.data_dir().exists());
    // Without a server, apply makes the store by itself, and does what the plan said.
    let applied = place.expect(0, &["apply"]);
    let created = |text: &str| text.lines().filter(|line| line.trim_start().starts_with("+ ")).count();
    assert_eq!(created(&applied), created(&foreseen.out), "{applied}\n{}", foreseen.out);
    place.expect(0, &["plan"]);
}

#[tokio::test]
async fn plan_and_apply_work_on_servers_that_others_wrote() {
    let place = Place::outside().await;
    place.expect(2, &["plan"]);
    let applied = place.expect(0, &["apply"]);
    assert!(applied.contains("create bucket"), "{applied}");
    assert!(place.expect(0, &["apply"]).contains("nothing was changed"));
    place.expect(0, &["plan"]);
}

fn key_of(place: &Place) -> String {
    place.json(0, &["outputs", "--format", "json"])["kms_key_arn"].as_str().unwrap().to_owned()
}
