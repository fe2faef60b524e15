//! Many `bucket apply` at once against an empty account.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::types::KeyState;
use serde_json::Value;

use super::place::{Place, said};

const MANY: usize = 10;

/// Without a server the runs take turns with the store, each with an endpoint of its own.
async fn ten_end_with_one_of_each(server: bool, mode_of: impl Fn(usize) -> &'static str) {
    let mut place = if server { Place::embedded().await } else { Place::nothing("") };
    let started: Vec<_> = (0..MANY).map(|nth| place.spawn(&["apply", "--mode", mode_of(nth)], &[])).collect();
    let mut keys = BTreeSet::new();
    for child in started {
        let said = said(child.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{said:?}");
        let key = said.out.lines().find_map(|line| line.strip_prefix("kms key ")).unwrap().trim().to_owned();
        assert!(!said.out.contains("Left alone") && !said.out.contains("do not hold"), "{}", said.out);
        keys.insert(key);
    }
    assert_eq!(keys.len(), 1, "{keys:?}");
    let winner = keys.into_iter().next().unwrap();

    if !server {
        place.start("embedded", "For example").await;
    }
    let kms = place.kms().await;
    let mut states = BTreeMap::new();
    for id in kms.list_keys().send().await.unwrap().keys() {
        let key = kms.describe_key().key_id(id.key_id().unwrap()).send().await.unwrap().key_metadata.unwrap();
        let arn = key.arn.unwrap();
        let tags = kms.list_resource_tags().key_id(&arn).send().await.unwrap().tags.unwrap_or_default();
        assert!(tags.iter().any(|tag| tag.tag_key() == "strongroom-nonce"), "{arn}: {tags:?}");
        states.insert(arn, key.key_state.unwrap());
    }
    for (arn, state) in &states {
        let expected = if *arn == winner { KeyState::Enabled } else { KeyState::PendingDeletion };
        assert_eq!(*state, expected, "{arn} of {states:?}");
    }
    assert!(states.contains_key(&winner));

    let aliases = kms.list_aliases().send().await.unwrap().aliases.unwrap();
    let ours: Vec<_> = aliases.iter().filter(|alias| alias.alias_name() == Some("alias/strongroom")).collect();
    assert_eq!(ours.len(), 1);
    assert!(winner.ends_with(ours[0].target_key_id().unwrap()));
    let buckets = place.s3().await.list_buckets().send().await.unwrap().buckets.unwrap();
    assert_eq!(buckets.len(), 1);

    place.expect(0, &["plan", "--mode", "repair"]);
    let posture: Value = place.json(0, &["check", "--format", "json"]);
    let failed = posture["claims"].as_array().unwrap().iter().filter(|claim| claim["status"] == "failed").count();
    assert_eq!(failed, 0, "{posture:#}");
}

#[tokio::test]
async fn ten_applies_end_with_one_key_one_alias_and_one_bucket() {
    ten_end_with_one_of_each(true, |_| "create").await;
}

#[tokio::test]
async fn ten_applies_in_mixed_modes_end_with_the_same() {
    ten_end_with_one_of_each(true, |nth| if nth % 2 == 0 { "create" } else { "repair" }).await;
}

#[tokio::test]
async fn ten_applies_on_an_empty_directory_without_a_server_take_turns() {
    ten_end_with_one_of_each(false, |_| "repair").await;
}
