//! The disaster drill: only a copy of the bucket is left, under another name and another key.

use std::collections::BTreeMap;

use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::{Value, json};

use super::{answers, history, move_alias, said};
use crate::support::account::administrator;
use crate::support::service::{BackEnd, Service, command_in, spawn_command, write_config};

/// What differs in a copy by its nature is left out.
fn comparable(answers: BTreeMap<String, String>) -> BTreeMap<String, Value> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("s3_version_id");
                map.remove("s3_uri");
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let compared = |(path, answer): (String, String)| {
        let mut value: Value = serde_json::from_str(&answer).unwrap();
        strip(&mut value);
        (path, value)
    };
    answers.into_iter().map(compared).collect()
}

#[tokio::test]
async fn copy_of_the_bucket_under_another_name_and_key_serves_the_same() {
    let service = Service::start(BackEnd::Embedded).await;
    let models = history(&service, 3, 6).await;
    let before = comparable(answers(&service, &models).await);
    let key = service.key_arn.clone();
    // The journal is written behind the answers.
    let service = service.restart().await;

    // The place of the copy: an account of its own with a bucket that nobody has claimed.
    let data = tempfile::tempdir().unwrap();
    let config = write_config(BackEnd::Embedded, "bucket = 'copied'", data.path()).await;
    said(&command_in(BackEnd::Embedded, &config, &Vec::new(), &["bucket", "apply"]).await, 0);
    let told = said(&command_in(BackEnd::Embedded, &config, &Vec::new(), &["rebuild"]).await, 1);
    assert!(told.contains("has no claim"), "{told}");
    let mut alone = spawn_command("embedded", BackEnd::Embedded, &config, &Vec::new()).await;
    while !alone.log_tail().contains("For example") {
        assert!(alone.ended().is_none(), "{}", alone.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (from, there) = (service.s3().await, administrator(&data.path().join("data")));
    let aliases = there.kms.list_aliases().send().await.unwrap();
    let alias = aliases.aliases().iter().find(|alias| alias.alias_name() == Some("alias/copied")).unwrap();
    let key_id = alias.target_key_id().unwrap();
    let described = there.kms.describe_key().key_id(key_id).send().await.unwrap();
    let new_key = described.key_metadata.unwrap().arn.unwrap();
    assert_ne!(new_key, key);
    let listed = from.list_objects_v2().bucket(&service.bucket).send().await.unwrap();
    assert_ne!(listed.is_truncated(), Some(true));
    for object in listed.contents().iter().filter_map(|object| object.key()) {
        let read = from.get_object().bucket(&service.bucket).key(object).send().await.unwrap();
        there
            .s3
            .put_object()
            .bucket("copied")
            .key(object)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&new_key)
            .body(read.body.collect().await.unwrap().into_bytes().into())
            .send()
            .await
            .unwrap();
    }
    drop(alone);

    let told = said(&command_in(BackEnd::Embedded, &config, &Vec::new(), &["rebuild"]).await, 0);
    for line in ["versions       18\n", "moved          36 objects", "Nothing was lost"] {
        assert!(told.contains(line), "{line} in {told}");
    }
    drop(service);
    let copy = Service::in_dir(BackEnd::Embedded, "bucket = 'copied'", Vec::new(), data).await;
    assert_eq!(copy.key_arn, new_key);
    assert_eq!(comparable(answers(&copy, &models).await), before);
    let file = format!("/v1/models/{}/versions/production/files/weights/%C3%A9%20%231.bin", models[1]);
    let read = copy.get(&file).await.bytes().await.unwrap();
    assert_eq!(read, crate::support::service::bytes(4 + 1000, 104));
    assert_eq!(copy.json("/v1/posture?fresh=true").await["status"], json!("passed"));
    assert_eq!(copy.published(&models[0], "m", b"new").await["number"], 7);
    move_alias(&copy, &models[0], "production", json!({"version": 7, "expected": 5})).await;
}
