//! Memory does not grow with the size of what passes through.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use std::path::Path;
use support::process::Process;

const MIB: usize = 1024 * 1024;
const SIZE: usize = 320 * MIB;
/// How much more memory the endpoint may hold at once than it holds idle, in KiB.
const EXTRA: u64 = 40 * 1024;

/// What [`Process`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_process() {
    support::process::serve_if_child().await;
}

/// Resident memory in KiB, now (`VmRSS`) or at most so far (`VmHWM`).
fn memory(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_pass_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let client = process.client(dir.path());
    client.create_bucket().bucket("models").send().await.unwrap();
    client.put_object().bucket("models").key("warm").body(ByteStream::from_static(b"x")).send().await.unwrap();
    let idle = memory(process.id(), "VmRSS");

    let body = Bytes::from(support::bytes(SIZE, 1));
    let put = client.put_object().bucket("models").key("one").body(ByteStream::from(body.clone()));
    put.send().await.unwrap();
    let created = client.create_multipart_upload().bucket("models").key("two").send().await.unwrap();
    let upload = created.upload_id().unwrap();
    let parts = futures::future::join_all((0..4).map(async |n: usize| {
        let slice = body.slice(n * SIZE / 4..(n + 1) * SIZE / 4);
        let number = i32::try_from(n + 1).unwrap();
        let part = client.upload_part().bucket("models").key("two").upload_id(upload).part_number(number);
        let part = part.body(ByteStream::from(slice)).send().await.unwrap();
        CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build()
    }));
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.await)).build();
    let complete = client.complete_multipart_upload().bucket("models").key("two").upload_id(upload);
    complete.multipart_upload(parts).send().await.unwrap();
    client.copy_object().bucket("models").key("three").copy_source("models/two").send().await.unwrap();
    for key in ["one", "two", "three"] {
        let mut got = client.get_object().bucket("models").key(key).send().await.unwrap().body;
        let mut at = 0;
        while let Some(chunk) = got.try_next().await.unwrap() {
            assert!(body[at..at + chunk.len()] == chunk, "{key} differs near byte {at}");
            at += chunk.len();
        }
        assert_eq!(at, SIZE, "{key} is cut");
    }
    let most = memory(process.id(), "VmHWM");
    assert!(most < idle + EXTRA, "{most} KiB at most, {idle} KiB idle");
}
