//! Clients that say nothing, too little, or take nothing: each is gone within its bound, and others are served meanwhile.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::AsyncWriteExt as _;

use super::raw::{PATIENCE, answer, connect, drip, head, metric, until_closed};
use crate::support::service::{BackEnd, Service, bytes};

const SETTINGS: &str = "header_timeout_seconds = 2\nidle_timeout_seconds = 4\nanswer_idle_seconds = 2\n\
                        body_idle_seconds = 2";

/// Besides what a bound says: the interval at which connections are looked at, and a busy machine.
const SLACK: Duration = Duration::from_millis(1_900);

const STEP: Duration = Duration::from_millis(200);

fn assert_took(what: &str, took: Duration, bound: u64) {
    let bound = Duration::from_secs(bound);
    assert!(took + Duration::from_millis(50) >= bound, "{what}: closed after {took:?}, before its bound");
    assert!(took <= bound + SLACK, "{what}: closed only after {took:?}");
}

/// Closed without an answer, that long after `said`.
async fn silent_after(service: &Service, what: &str, said: &str, bound: u64) {
    let mut connection = connect(service).await;
    connection.write_all(said.as_bytes()).await.unwrap();
    let (heard, took) = until_closed(&mut connection).await;
    assert!(heard.is_empty(), "{what}: {heard}");
    assert_took(what, took, bound);
}

async fn dripped_head(service: &Service) {
    let connection = connect(service).await;
    let (mut reading, writing) = connection.into_split();
    let dripping = tokio::spawn(async move { drip(writing, b"GET / HTTP/1.1\r\nX-A: ", STEP).await });
    let began = Instant::now();
    let mut heard = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut heard);
    let _ended = tokio::time::timeout(PATIENCE, end).await.expect("still open");
    assert_took("dripped head", began.elapsed(), 2);
    dripping.abort();
}

async fn pause_after_an_answer(service: &Service) {
    let mut connection = connect(service).await;
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut connection).await.starts_with("HTTP/1.1 200"));
    let (heard, took) = until_closed(&mut connection).await;
    assert!(heard.is_empty(), "{heard}");
    assert_took("idle keep-alive", took, 4);
}

async fn second_head_that_stays_incomplete(service: &Service) {
    let mut connection = connect(service).await;
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(answer(&mut connection).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    connection.write_all(b"GET /hea").await.unwrap();
    let (_, took) = until_closed(&mut connection).await;
    assert_took("second head", took, 2);
}

async fn http2_that_says_its_preface_only(service: &Service) {
    let mut connection = connect(service).await;
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (_, took) = until_closed(&mut connection).await;
    assert_took("HTTP/2 preface", took, 2);
}

/// A body of a byte now and then is refused with a reason, whoever reads it.
async fn dripped_body(service: &Service, line: &str, content_type: &str) {
    let mut connection = connect(service).await;
    let head = format!("{}Content-Type: {content_type}\r\nContent-Length: 100000\r\n\r\n", head(service, line));
    connection.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, writing) = connection.into_split();
    let dripping = tokio::spawn(async move { drip(writing, b"{", STEP).await });
    let began = Instant::now();
    let mut heard = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, tokio::io::AsyncReadExt::read(&mut reading, &mut heard)).await;
    let heard = String::from_utf8_lossy(&heard[..read.unwrap().unwrap()]).into_owned();
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("body_timeout"), "{line}: {heard}");
    assert_took(line, began.elapsed(), 2);
    dripping.abort();
}

/// A body that never comes at all.
async fn body_that_never_comes(service: &Service) {
    let mut connection = connect(service).await;
    let head =
        head(service, "POST /v1/models/a/b/drafts") + "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let heard = answer(&mut connection).await;
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("body_timeout"), "{heard}");
    assert_took("body that never comes", began.elapsed(), 2);
}

/// Asks for a file and takes nothing of it.
async fn reader_that_never_reads(service: &Service) {
    let mut connection = connect(service).await;
    let request = head(service, "GET /v1/models/big/m/versions/1/files/m.bin?via=proxy") + "\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    closed_unread(service, "reading").await;
    // Not only is the service done with it: the system offers the rest no longer.
    let mut rest = Vec::new();
    let unread = tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut rest);
    assert!(tokio::time::timeout(PATIENCE, unread).await.unwrap().is_err(), "the answer was sent to its end");
}

/// Asks again and again, and takes no answer.
async fn asker_that_never_reads(service: &Service) {
    let connection = connect(service).await;
    let request = head(service, "GET /openapi.json") + "\r\n";
    let (reading, mut writing) = connection.into_split();
    let asking = tokio::spawn(async move { while writing.write_all(request.as_bytes()).await.is_ok() {} });
    tokio::time::timeout(PATIENCE, asking).await.expect("the service leaves the connection open").unwrap();
    drop(reading);
}

async fn closed_unread(service: &Service, reason: &str) {
    let (name, began) = (format!("strongroom_connections_closed_total{{reason=\"{reason}\"}}"), Instant::now());
    while metric(service, &name).await == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing was closed for {reason}");
        tokio::time::sleep(STEP).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "closed too early");
}

/// One that behaves, all the while.
async fn served_meanwhile(service: &Service) -> u32 {
    let mut served = 0;
    loop {
        let answer = service.get("/v1/whoami").await;
        assert_eq!(answer.status(), StatusCode::OK);
        served += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if metric(service, "strongroom_connections").await <= 2 && served > 20 {
            return served;
        }
    }
}

#[tokio::test]
async fn whoever_holds_a_connection_without_using_it_is_closed_within_its_bound() {
    let service = Service::start_with(BackEnd::Embedded, SETTINGS).await;
    let service = &service;
    service.published("big/m", "m.bin", &bytes(1, 48 << 20)).await;
    let upload = "POST /v1/models/a/b/versions?path=m";
    let slow = async {
        tokio::join!(
            silent_after(service, "no bytes", "", 2),
            silent_after(service, "partial head", "GET /healthz HTTP/1.1\r\nHost: a\r\n", 2),
            silent_after(service, "first bytes of both protocols", "PRI * HT", 2),
            dripped_head(service),
            pause_after_an_answer(service),
            second_head_that_stays_incomplete(service),
            http2_that_says_its_preface_only(service),
            dripped_body(service, upload, "application/octet-stream"),
            dripped_body(service, "POST /v1/models/a/b/drafts", "application/json"),
            body_that_never_comes(service),
            reader_that_never_reads(service),
            asker_that_never_reads(service),
        )
    };
    let meanwhile = async {
        tokio::time::sleep(STEP).await;
        tokio::time::timeout(PATIENCE * 2, served_meanwhile(service)).await
    };
    let (_, served) = tokio::join!(slow, meanwhile);
    assert!(served.expect("connections stay open") > 20);
    let of = |reason: &str| format!("strongroom_connections_closed_total{{reason=\"{reason}\"}}");
    assert!(metric(service, &of("opening")).await >= 2, "no bytes, and a preface that is cut off");
    assert!(metric(service, &of("head")).await >= 4);
    assert!(metric(service, &of("request")).await >= 1);
}

#[tokio::test]
async fn slow_and_steady_reader_gets_every_byte() {
    let service = Service::start_with(BackEnd::Embedded, SETTINGS).await;
    let whole = bytes(2, 9 << 20);
    service.published("big/m", "m.bin", &whole).await;
    let mut answer = service.get("/v1/models/big/m/versions/1/files/m.bin?via=proxy").await;
    let mut read = Vec::new();
    let began = Instant::now();
    // Some 1.5 MiB a second, and pauses that are shorter than the bound.
    while let Some(piece) = answer.chunk().await.unwrap() {
        read.extend_from_slice(&piece);
        let due = Duration::from_micros(read.len() as u64 * 2 / 3);
        tokio::time::sleep(due.saturating_sub(began.elapsed()).min(Duration::from_millis(1_500))).await;
    }
    assert!(read == whole);
    assert!(began.elapsed() > Duration::from_secs(4));
}
