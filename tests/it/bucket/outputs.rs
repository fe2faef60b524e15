//! `bucket outputs`.

use std::collections::BTreeMap;
use std::process::Command;

use super::place::Place;

#[tokio::test]
async fn outputs_say_the_same_in_every_form() {
    let place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let json = place.json(0, &["outputs", "--format", "json"]);
    let of = |name: &str| json[name].as_str().unwrap().to_owned();

    let text = place.expect(0, &["outputs"]);
    for name in ["bucket", "region", "kms_key_arn", "kms_key_alias"] {
        assert!(text.contains(&of(name)), "{name} in {text}");
    }

    let file = place.path("outputs.env");
    std::fs::write(&file, place.expect(0, &["outputs", "--format", "env"])).unwrap();
    let script = r#"set -eu; . "$0"; printf '%s\n' "$STRONGROOM_BUCKET" "$AWS_REGION" "$KMS_KEY_ARN" "$KMS_KEY_ALIAS""#;
    let sourced = Command::new("bash").args(["-c", script]).arg(&file).env_clear().output().unwrap();
    let lines: Vec<String> = String::from_utf8(sourced.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines, [of("bucket"), of("region"), of("kms_key_arn"), of("kms_key_alias")]);

    let github = place.expect(0, &["outputs", "--format", "github"]);
    let parsed: BTreeMap<&str, &str> = github.lines().map(|line| line.split_once('=').unwrap()).collect();
    for name in ["bucket", "region", "kms_key_arn", "kms_key_alias"] {
        assert_eq!(parsed[name], of(name));
    }
}

#[tokio::test]
async fn what_env_says_changes_no_plan_and_leaves_the_key_our_own() {
    let mut place = Place::embedded().await;
    place.expect(0, &["apply"]);
    let env = place.expect(0, &["outputs", "--format", "env"]);
    let variables: Vec<(&str, &str)> = env.lines().map(|line| line.split_once('=').unwrap()).collect();
    let said = place.bucket_in(&["plan"], &variables);
    assert_eq!(said.code, 0, "{said:?}");
    place.stop();
    let said = place.bucket_in(&["destroy", "--i-understand", "strongroom"], &variables);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("scheduled      KMS key"), "{}", said.out);
}
