//! Memory is bounded at every object size.

use futures::StreamExt as _;
use reqwest::multipart::Part;
use reqwest::{Body, Method, StatusCode};

use crate::support::service::{BackEnd, Service, bytes, code, form};

const MIB: usize = 1024 * 1024;
const FILE_MIB: u64 = 2048;
/// Besides the pages of the binary's own file, of which an optimised build touches about 26 MiB: 100 MiB in all.
const BOUND_MIB: u64 = 74;

/// Chunk `n` of the file: all different, and cheap to make.
fn chunk(base: &[u8], n: u64) -> Vec<u8> {
    let mut chunk = base.to_vec();
    chunk[..8].copy_from_slice(&n.to_le_bytes());
    chunk
}

/// The most memory that the process ever had besides the pages of its file, in MiB.
fn peak(service: &Service) -> u64 {
    let pid = std::fs::read_to_string(service.data_dir().join("lock")).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() / 1024
    };
    mib("VmHWM:") - mib("RssFile:")
}

#[tokio::test]
async fn two_gib_in_and_out_stay_below_100_mib_for_service_s3_and_kms_together() {
    let service = Service::start(BackEnd::Embedded).await;
    let base = bytes(11, MIB);
    let to_send = base.clone();
    let chunks = futures::stream::iter((0..FILE_MIB).map(move |n| Ok::<_, std::io::Error>(chunk(&to_send, n))));
    let answer = service
        .request(Method::POST, "/v1/models/big/m/versions?path=m.bin")
        .header("Content-Length", FILE_MIB * MIB as u64)
        .timeout(std::time::Duration::from_mins(10))
        .body(Body::wrap_stream(chunks))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let after_upload = peak(&service);

    // Through the service and back, so that both halves of the process carry every byte.
    let answer = service
        .request(Method::GET, "/v1/models/big/m/versions/1/files/m.bin?via=proxy")
        .timeout(std::time::Duration::from_mins(10))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut received = answer.bytes_stream();
    let (mut rest, mut n) = (Vec::new(), 0);
    while let Some(piece) = received.next().await {
        rest.extend_from_slice(&piece.unwrap());
        while rest.len() >= MIB {
            assert!(rest[..MIB] == chunk(&base, n)[..], "MiB {n} came back changed");
            rest.drain(..MIB);
            n += 1;
        }
    }
    assert_eq!((n, rest.len()), (FILE_MIB, 0));
    let after_download = peak(&service);
    assert!(after_download < BOUND_MIB, "{after_upload} MiB after the upload, {after_download} MiB after the download");
}

#[tokio::test]
async fn hundred_forms_at_once_hold_a_fraction_of_their_bytes() {
    let service = Service::start(BackEnd::Embedded).await;
    let file = bytes(12, 3 * MIB);
    let uploads = (0..100).map(|n| {
        let (service, file) = (&service, file.clone());
        async move {
            let body = (0..3).fold(form(), |form, m| form.part(format!("f{m}"), Part::bytes(file.clone())));
            let path = format!("/v1/models/many/m{n}/versions");
            service.request(Method::POST, &path).multipart(body).send().await.unwrap().status()
        }
    });
    let statuses = futures::future::join_all(uploads).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::CREATED), "{statuses:?}");
    // 900 MiB came; the budget of 64 MiB, buffers of 64 uploads and what the allocator keeps are what is held.
    let peak = peak(&service);
    assert!(peak < 400, "{peak} MiB");
}

#[tokio::test]
async fn deep_paths_take_no_more_memory_than_they_are_long() {
    let service = Service::start(BackEnd::Embedded).await;
    let draft: serde_json::Value = {
        let request = service.request(Method::POST, "/v1/models/deep/m/drafts").json(&serde_json::json!({}));
        request.send().await.unwrap().json().await.unwrap()
    };
    let before = peak(&service);
    // Each lies in 348 folders, 120 KB of names. The last is there already, so that nothing is begun at S3.
    let path = |number: usize| format!("{number:03}{}", "/a".repeat(348));
    let files: Vec<_> = (0..999).chain([0]).map(|n| serde_json::json!({"path": path(n), "size": 1})).collect();
    let uploads = format!("/v1/drafts/{}/uploads", draft["id"].as_str().unwrap());
    let request = service.request(Method::POST, &uploads).json(&serde_json::json!({ "files": files }));
    assert_eq!(code(request.send().await.unwrap(), 400).await, "path_conflict");
    let grown = peak(&service) - before;
    assert!(grown < 50, "{grown} MiB more for 700 KB of paths");
}
