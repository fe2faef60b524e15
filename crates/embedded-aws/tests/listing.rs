//! Lists of objects, versions and buckets through the SDK, page by page.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_s3::types::EncodingType;
use support::{Endpoint, code};

const KEYS: [&str; 9] = ["a", "a/1", "a/2/x", "a/2/y", "b c+d", "c/1", "z", "ä/1", "\u{1F600}"];

async fn filled() -> Endpoint {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    for key in KEYS {
        endpoint.put("models", key, key).await;
    }
    endpoint
}

#[tokio::test]
async fn pages_of_any_size_give_every_key_once_in_byte_order() {
    let endpoint = filled().await;
    for size in 1..11 {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let page = endpoint.s3.list_objects_v2().bucket("models").max_keys(size).set_continuation_token(token);
            let page = page.send().await.unwrap();
            assert_eq!(page.key_count(), i32::try_from(page.contents().len()).ok());
            keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
            token = page.next_continuation_token().map(str::to_owned);
            assert_eq!(page.is_truncated(), Some(token.is_some()));
            if token.is_none() {
                break;
            }
        }
        assert_eq!(keys, KEYS, "pages of {size}");
    }
}

#[tokio::test]
async fn delimiters_roll_up_on_every_page_size() {
    let endpoint = filled().await;
    for size in 1..8 {
        let (mut keys, mut prefixes, mut marker) = (Vec::new(), Vec::new(), None);
        loop {
            let page = endpoint.s3.list_objects().bucket("models").delimiter("/").max_keys(size).set_marker(marker);
            let page = page.send().await.unwrap();
            keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
            prefixes.extend(page.common_prefixes().iter().map(|prefix| prefix.prefix().unwrap().to_owned()));
            marker = page.next_marker().map(str::to_owned);
            assert_eq!(page.is_truncated(), Some(marker.is_some()));
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(keys, ["a", "b c+d", "z", "\u{1F600}"], "pages of {size}");
        assert_eq!(prefixes, ["a/", "c/", "ä/"], "pages of {size}");
    }
}

#[tokio::test]
async fn lists_can_be_narrowed_encoded_and_empty() {
    let endpoint = filled().await;
    let list = || endpoint.s3.list_objects_v2().bucket("models");
    let page = list().prefix("a/").delimiter("/").fetch_owner(true).send().await.unwrap();
    assert_eq!(page.contents().len(), 1);
    assert!(page.contents()[0].owner().is_some());
    assert_eq!(page.contents()[0].size(), Some(3));
    assert_eq!(page.common_prefixes()[0].prefix(), Some("a/2/"));
    assert_eq!(page.key_count(), Some(2));
    let after = list().start_after("c/1").send().await.unwrap();
    assert_eq!(after.contents()[0].key(), Some("z"));
    let none = list().max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let encoded = list().prefix("b ").encoding_type(EncodingType::Url).send().await.unwrap();
    assert_eq!(encoded.contents()[0].key(), Some("b%20c%2Bd"));
    assert_eq!(encoded.prefix(), Some("b%20"));
    assert_eq!(code(list().max_keys(-1).send().await), "InvalidArgument");
    assert_eq!(code(list().continuation_token("made-up").send().await), "InvalidArgument");
    assert_eq!(code(endpoint.s3.list_objects_v2().bucket("absent").send().await), "NoSuchBucket");
    assert!(list().prefix("nothing").send().await.unwrap().contents().is_empty());
}

#[tokio::test]
async fn hidden_keys_are_not_listed() {
    let endpoint = filled().await;
    for key in &KEYS[..8] {
        endpoint.s3.delete_object().bucket("models").key(*key).send().await.unwrap();
    }
    let page = endpoint.s3.list_objects_v2().bucket("models").max_keys(1).send().await.unwrap();
    assert_eq!(page.contents()[0].key(), Some(KEYS[8]));
    assert_eq!(page.is_truncated(), Some(false));
    endpoint.put("models", "z", "again").await;
    let page = endpoint.s3.list_objects_v2().bucket("models").send().await.unwrap();
    assert_eq!(page.contents()[0].key(), Some("z"));
}

#[tokio::test]
async fn versions_are_listed_newest_first_with_markers_on_every_page_size() {
    let endpoint = Endpoint::start().await;
    endpoint.versioned_bucket("models").await;
    let mut expected = Vec::new();
    for key in ["a", "b/1", "c"] {
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push((key.to_owned(), endpoint.put("models", key, vec![n; 3]).await.unwrap()));
        }
        let marker = endpoint.s3.delete_object().bucket("models").key(key).send().await.unwrap();
        ids.push((key.to_owned(), marker.version_id().unwrap().to_owned()));
        ids.reverse();
        expected.extend(ids);
    }
    for size in [1, 2, 3, 5, 7, 12, 50] {
        let (mut seen, mut newest) = (Vec::new(), Vec::new());
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let page = endpoint.s3.list_object_versions().bucket("models").max_keys(size);
            let page = page.set_key_marker(key_marker).set_version_id_marker(id_marker).send().await.unwrap();
            // The answer has versions and markers apart: put them back in order.
            let mut rows = Vec::new();
            for version in page.versions() {
                rows.push((version.key(), version.version_id(), version.is_latest()));
            }
            for marker in page.delete_markers() {
                rows.push((marker.key(), marker.version_id(), marker.is_latest()));
            }
            assert!(rows.len() <= size as usize);
            for (key, id, latest) in &rows {
                let row = (key.unwrap().to_owned(), id.unwrap().to_owned());
                if *latest == Some(true) {
                    newest.push(row.clone());
                }
                seen.push(row);
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            id_marker = page.next_version_id_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) {
                break;
            }
        }
        let place = |row: &(String, String)| expected.iter().position(|wanted| wanted == row);
        seen.sort_by_key(place);
        assert_eq!(seen, expected, "pages of {size}");
        assert_eq!(newest, [&expected[0], &expected[4], &expected[8]].map(Clone::clone), "pages of {size}");
    }
    let rolled = endpoint.s3.list_object_versions().bucket("models").delimiter("/").send().await.unwrap();
    assert_eq!(rolled.versions().len(), 6);
    assert_eq!(rolled.common_prefixes()[0].prefix(), Some("b/"));
    let lonely = endpoint.s3.list_object_versions().bucket("models").version_id_marker("null").send().await;
    assert_eq!(code(lonely), "InvalidArgument");
}

#[tokio::test]
async fn buckets_are_listed_by_name() {
    let endpoint = Endpoint::start().await;
    for name in ["ccc", "aaa", "aab"] {
        endpoint.bucket(name).await;
    }
    let all = endpoint.s3.list_buckets().send().await.unwrap();
    let names: Vec<_> = all.buckets().iter().map(|bucket| bucket.name().unwrap()).collect();
    assert_eq!(names, ["aaa", "aab", "ccc"]);
    let first = endpoint.s3.list_buckets().prefix("aa").max_buckets(1).send().await.unwrap();
    assert_eq!(first.buckets()[0].name(), Some("aaa"));
    let rest =
        endpoint.s3.list_buckets().prefix("aa").set_continuation_token(first.continuation_token().map(str::to_owned));
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.buckets()[0].name(), Some("aab"));
    assert!(rest.continuation_token().is_none());
}
