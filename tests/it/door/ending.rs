//! The end of the service: what has begun is finished, nothing new begins, and after a while the rest is cut.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use reqwest::{Body, Method, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::raw::{PATIENCE, address, answer, connect, until_closed};
use crate::support::service::{BackEnd, Service, bytes, hex_sha256};

fn pid(service: &Service) -> String {
    std::fs::read_to_string(service.data_dir().join("lock")).unwrap().trim().to_owned()
}

/// Asks the service to end, and waits until it listens no more.
async fn told_to_end(service: &Service) -> Instant {
    assert!(Command::new("kill").args(["-TERM", &pid(service)]).status().unwrap().success());
    let told = Instant::now();
    while TcpStream::connect(address(service)).await.is_ok() {
        assert!(told.elapsed() < PATIENCE, "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    told
}

async fn gone(pid: &str) {
    let began = Instant::now();
    let there = || {
        // A zombie that its guard has not waited for yet is gone, too.
        std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).is_ok_and(|stat| !stat.contains(") Z"))
    };
    while there() {
        assert!(began.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An upload whose bytes come when the test sends them.
fn upload(service: &Service) -> (mpsc::UnboundedSender<Result<Vec<u8>, std::io::Error>>, reqwest::RequestBuilder) {
    let (pieces, body) = mpsc::unbounded();
    (pieces, service.request(Method::POST, "/v1/models/a/b/versions?path=m").body(Body::wrap_stream(body)))
}

async fn begun(service: &Service) {
    let began = Instant::now();
    while service.rows("drafts").await == 0 {
        assert!(began.elapsed() < PATIENCE, "the upload does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn upload_that_has_begun_is_finished_and_published_and_no_new_request_is_taken() {
    let service = Service::start_with(BackEnd::Embedded, "grace_seconds = 20").await;
    let whole = bytes(1, 9 << 20);
    let (pieces, request) = upload(&service);
    pieces.unbounded_send(Ok(whole[..1_000_000].to_vec())).unwrap();
    let sending = tokio::spawn(request.send());
    begun(&service).await;
    // One connection between two requests, one that has not asked for anything yet.
    let mut idle = connect(&service).await;
    idle.write_all(b"GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 401"));
    let mut fresh = connect(&service).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pid = pid(&service);

    let told = told_to_end(&service).await;
    let _closed = fresh.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (heard, _) = until_closed(&mut fresh).await;
    let refused = heard.contains("shutting_down") && heard.to_ascii_lowercase().contains("retry-after: 5");
    assert!(heard.is_empty() || refused, "{heard}");
    let (heard, _) = until_closed(&mut idle).await;
    assert!(heard.is_empty(), "{heard}");
    assert!(told.elapsed() < Duration::from_secs(5));

    tokio::time::sleep(Duration::from_secs(2)).await;
    pieces.unbounded_send(Ok(whole[1_000_000..].to_vec())).unwrap();
    drop(pieces);
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let version: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(version["files"][0]["sha256"], hex_sha256(&whole));
    gone(&pid).await;
    let service = service.restart().await;
    let read = service.get("/v1/models/a/b/versions/1/files/m?via=proxy").await.bytes().await.unwrap();
    assert!(read == whole);
}

#[tokio::test]
async fn what_is_not_done_within_the_grace_period_is_cut_and_leaves_nothing() {
    let service = Service::start_with(BackEnd::Embedded, "grace_seconds = 1").await;
    let (pieces, request) = upload(&service);
    pieces.unbounded_send(Ok(bytes(1, 9 << 20))).unwrap();
    let sending = tokio::spawn(request.send());
    begun(&service).await;
    let pid = pid(&service);
    let told = told_to_end(&service).await;
    assert!(sending.await.unwrap().is_err(), "an upload that never ends was answered");
    let took = told.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(6)).contains(&took), "{took:?}");
    gone(&pid).await;
    drop(pieces);
    let service = service.restart().await;
    service.assert_nothing_left().await;
}
