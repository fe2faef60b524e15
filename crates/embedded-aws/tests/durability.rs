//! What was acknowledged survives `kill -9`, at any moment; what was not leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, VersioningConfiguration},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{blob_files, bytes, process::Process};

const BUCKET: &str = "models";
const ROUNDS: u64 = 6;

/// What [`Process`] runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_process() {
    support::process::serve_if_child().await;
}

/// Keys that were acknowledged, with the seed and size of their bytes.
type Acknowledged = Arc<Mutex<BTreeMap<String, (u64, usize)>>>;

/// Writes objects until the endpoint dies; sizes go from nothing to several frames and runs.
async fn write(client: aws_sdk_s3::Client, round: u64, writer: u64, acknowledged: Acknowledged) {
    for n in 0.. {
        let seed = round * 1_000_000 + writer * 1_000 + n;
        let size = [0, 10, 65_536, 300_000, 3_000_000][(n % 5) as usize];
        let key = format!("{round}/{writer}/{n}");
        let written = if n % 7 == 6 {
            multipart(&client, &key, seed, size).await
        } else {
            let body = ByteStream::from(bytes(size, seed));
            client.put_object().bucket(BUCKET).key(&key).body(body).send().await.ok().map(|_| ())
        };
        if written.is_none() {
            return;
        }
        acknowledged.lock().unwrap().insert(key, (seed, size));
    }
}

async fn multipart(client: &aws_sdk_s3::Client, key: &str, seed: u64, size: usize) -> Option<()> {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.ok()?;
    let upload = created.upload_id()?;
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(1);
    let part = part.body(ByteStream::from(bytes(size, seed))).send().await.ok()?;
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag().map(str::to_owned)).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(upload);
    complete.multipart_upload(parts).send().await.ok().map(|_| ())
}

/// Reads every listed object and compares it; returns how many files their bytes take.
async fn check(client: &aws_sdk_s3::Client, acknowledged: &Acknowledged) -> usize {
    let expected = acknowledged.lock().unwrap().clone();
    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let page = client.list_objects_v2().bucket(BUCKET).set_continuation_token(token).send().await.unwrap();
        listed.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    for key in expected.keys() {
        assert!(listed.contains(key), "{key} was acknowledged and is gone");
    }
    for key in &listed {
        let got = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        let got = got.body.collect().await.unwrap().to_vec();
        // An answer that got lost may belong to a whole object; never to half of one.
        let mut digits = key.split('/').map(|text| text.parse::<u64>().unwrap());
        let (round, writer, n) = (digits.next().unwrap(), digits.next().unwrap(), digits.next().unwrap());
        let seed = round * 1_000_000 + writer * 1_000 + n;
        assert!(got == bytes(got.len(), seed), "{key} has other bytes");
        let size = [0, 10, 65_536, 300_000, 3_000_000][(n % 5) as usize];
        assert_eq!(got.len(), size, "{key} is cut");
    }
    let uploads = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    let mut files = listed.len();
    for upload in uploads.uploads() {
        let parts =
            client.list_parts().bucket(BUCKET).key(upload.key().unwrap()).upload_id(upload.upload_id().unwrap());
        files += parts.send().await.unwrap().parts().len();
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_nothing_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    let mut process = Process::start(dir.path());
    let client = process.client(dir.path());
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket(BUCKET).versioning_configuration(versioning).send().await.unwrap();
    for round in 0..ROUNDS {
        let client = process.client(dir.path());
        let writers: Vec<_> = (0..4)
            .map(|writer| tokio::spawn(write(client.clone(), round, writer, Arc::clone(&acknowledged))))
            .collect();
        // A different moment in each round; the writers are busy all the time.
        tokio::time::sleep(Duration::from_millis(350 + round * 137)).await;
        drop(process);
        for writer in writers {
            writer.abort();
            let _ = writer.await;
        }
        process = Process::start(dir.path());
        let files = check(&process.client(dir.path()), &acknowledged).await;
        assert_eq!(blob_files(dir.path()).len(), files, "every file belongs to an object or a part");
    }
    assert!(acknowledged.lock().unwrap().len() > 20, "the writers did not get far enough to prove anything");
    drop(process);
}

// The socket blocks its thread; the endpoint needs another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_leaves_no_file() {
    use std::io::Write;
    let endpoint = support::Endpoint::start().await;
    endpoint.bucket(BUCKET).await;
    let presigned = endpoint
        .s3
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .content_length(50_000_000)
        .presigned(aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_mins(1)).unwrap())
        .await
        .unwrap();
    let path = presigned.uri().strip_prefix(&endpoint.url()).unwrap().to_owned();
    let address = endpoint.server.addr();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    write!(socket, "PUT {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 50000000\r\n\r\n").unwrap();
    socket.write_all(&bytes(5_000_000, 1)).unwrap();
    let mut begun = false;
    for _ in 0..200 {
        begun = begun || !endpoint.blob_files().is_empty();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if begun {
            break;
        }
    }
    assert!(begun, "the body is being written");
    drop(socket);
    for _ in 0..500 {
        if endpoint.blob_files().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the unfinished file stays");
}
