//! What the service does not take is refused before the body is read.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::service::{BackEnd, Service, bytes, code};

/// The first answer to the head of a request whose body is not sent.
async fn answer_to_head(service: &Service, method: &str, path: &str, length: u64) -> String {
    let address = service.api.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\
         Expect: 100-continue\r\n\r\n",
        service.token
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(20), connection.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn client_that_waits_for_a_go_ahead_gets_it_or_the_refusal_before_it_sends_a_byte() {
    let service = Service::start_with(BackEnd::Embedded, "max_file_mib = 9\nmax_namespace_gib = 1").await;
    let draft = service.draft("a/b", json!({})).await;
    let (publish, put) = ("/v1/models/a/b/versions?path=m.bin", draft.at("/files/m.bin"));
    for (method, path) in [("POST", publish), ("PUT", put.as_str())] {
        let go_ahead = answer_to_head(&service, method, path, 5).await;
        assert!(go_ahead.starts_with("HTTP/1.1 100 "), "{go_ahead}");
        let refused = answer_to_head(&service, method, path, (9 << 20) + 1).await;
        assert!(refused.starts_with("HTTP/1.1 413 ") && refused.contains("file_too_large"), "{refused}");
    }
    let refused = answer_to_head(&service, "POST", "/v1/models/a/b/versions?path=..", 5).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    let refused = answer_to_head(&service, "PUT", "/v1/drafts/01M84MKB68N0KDABWK59D4RX4A/files/m", 5).await;
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
    // Those that went away after the go-ahead left nothing.
    draft.discard().await;
    service.assert_nothing_left_but_a_model().await;
}

#[tokio::test]
async fn full_namespace_refuses_bytes_whichever_way_they_come_and_takes_them_again_when_there_is_room() {
    let service = Service::start_with(BackEnd::Embedded, "max_namespace_gib = 1").await;
    service.published("full/m", "m.bin", b"some").await;
    service.fill_namespace("full", (1 << 30) - 10).await;
    let draft = service.draft("full/n", json!({})).await;
    assert_eq!(code(service.upload("full/m", "m.bin", &bytes(1, 11)).await, 413).await, "namespace_full");
    assert_eq!(code(draft.put("m.bin", &bytes(1, 11)).await, 413).await, "namespace_full");
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(bytes(1, 11))]);
    let unannounced = service.request(Method::PUT, &draft.at("/files/m.bin")).body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(code(unannounced.send().await.unwrap(), 413).await, "namespace_full");
    let declared = draft.post("/uploads", json!({ "files": [{ "path": "m.bin", "size": 11 }] })).await;
    assert_eq!(code(declared, 413).await, "namespace_full");
    assert_eq!(service.in_bucket().await.versions.len(), 2, "the first file and its manifest");
    assert_eq!(draft.put("m.bin", &bytes(1, 10)).await.status(), StatusCode::OK);
    let removed = service.request(Method::DELETE, &draft.at("/files/m.bin")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(draft.put("m.bin", &bytes(2, 10)).await.status(), StatusCode::OK);
}
