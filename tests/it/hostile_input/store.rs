//! Hostile keys at the embedded S3 itself: a key is a key, and never becomes the name of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, EncodingType};
use percent_encoding::percent_decode_str;

use super::aftermath::{files_below, is_blob};
use super::payloads::{encoded, forms, payloads, texts};
use super::scene::{Scene, shown};
use super::wire::Wire;

const BUCKET: &str = "odd-keys";

#[tokio::test]
async fn key_that_looks_like_a_way_out_is_a_key_of_the_store() {
    let scene = Scene::new().await;
    let s3 = scene.callers.service.s3().await;
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    let before = files_below(&scene.callers.service.data_dir());
    let mut stored = BTreeMap::new();
    for key in texts(&scene.treasures) {
        let bytes = format!("under {key}").into_bytes();
        let put = s3.put_object().bucket(BUCKET).key(&key).body(ByteStream::from(bytes.clone())).send().await;
        put.unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
        stored.insert(key, bytes);
    }
    for (number, (key, bytes)) in stored.clone().into_iter().enumerate() {
        let got = s3.get_object().bucket(BUCKET).key(&key).send().await.unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), bytes, "{key:?}");
        // Copied from there, and as the target of an upload in parts.
        if number % 4 == 0 {
            let source = String::from_utf8(encoded(key.as_bytes(), |_| true)).unwrap();
            let copy = format!("copies/{key}");
            let copied = s3.copy_object().bucket(BUCKET).key(&copy).copy_source(format!("{BUCKET}/{source}"));
            copied.send().await.unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
            stored.insert(copy, bytes.clone());
            let joined = format!("{key}/../joined");
            let upload = s3.create_multipart_upload().bucket(BUCKET).key(&joined).send().await.unwrap();
            let id = upload.upload_id.unwrap();
            let part = s3.upload_part().bucket(BUCKET).key(&joined).upload_id(&id).part_number(1);
            let part = part.body(ByteStream::from(bytes.clone())).send().await.unwrap();
            let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
            let parts = CompletedMultipartUpload::builder().parts(part).build();
            let done =
                s3.complete_multipart_upload().bucket(BUCKET).key(&joined).upload_id(&id).multipart_upload(parts);
            done.send().await.unwrap();
            stored.insert(joined, bytes);
        }
    }
    let mut listed = BTreeSet::new();
    let mut pages = s3.list_objects_v2().bucket(BUCKET).encoding_type(EncodingType::Url).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let keys = page.contents().iter().map(|object| object.key().unwrap().replace('+', " "));
        listed.extend(keys.map(|key| percent_decode_str(&key).decode_utf8().unwrap().into_owned()));
    }
    assert_eq!(listed, stored.keys().cloned().collect());
    for key in stored.keys() {
        s3.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }
    let new: Vec<PathBuf> = files_below(&scene.callers.service.data_dir())
        .difference(&before)
        .filter(|path| !is_blob(path))
        .cloned()
        .collect();
    assert!(new.is_empty(), "{new:?}");
    scene.assert_nothing_lies_elsewhere().await;
}

#[tokio::test]
async fn store_tells_strangers_nothing_whatever_they_ask_for() {
    let scene = Scene::new().await;
    let endpoint = std::fs::read(scene.callers.service.data_dir().join("endpoint.json")).unwrap();
    let endpoint: serde_json::Value = serde_json::from_slice(&endpoint).unwrap();
    let mut wire = Wire::to(endpoint["endpoint"].as_str().unwrap().split("://").nth(1).unwrap());
    let bucket = format!("/{}/", scene.callers.service.bucket);
    for place in ["/", &bucket, ""] {
        for payload in payloads(&scene.treasures) {
            for form in forms(&payload) {
                for method in ["GET", "PUT"] {
                    let target = [place.as_bytes(), &form].concat();
                    let answer = wire.ask(method, &target, &[], b"").await;
                    // No operation of S3 puts anything where no bucket is named.
                    let unknown = answer.status == 501 && method == "PUT" && answer.text().contains("NotImplemented");
                    let refused = (400..500).contains(&answer.status) || unknown;
                    assert!(refused, "{method} {}: {}", shown(&target), answer.text());
                    assert!(!answer.text().contains("treasure"), "{method} {}: {answer:?}", shown(&target));
                }
            }
        }
    }
    scene.assert_nothing_lies_elsewhere().await;
}
