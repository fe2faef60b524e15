//! Connections without a client's manners.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::service::Service;

/// Longest that a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the service listens.
pub(super) fn address(service: &Service) -> String {
    service.api.split("://").nth(1).unwrap().to_owned()
}

pub(super) async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(address(service)).await.unwrap()
}

/// The head of a request with the administrator's token, without its end.
pub(super) fn head(service: &Service, line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n", address(service), service.token)
}

/// What comes until the service closes the connection, and how long that took.
pub(super) async fn until_closed(connection: &mut TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut all)).await;
    // A reset is an end, too.
    let _ended = read.expect("the service leaves the connection open");
    (String::from_utf8_lossy(&all).into_owned(), began.elapsed())
}

/// The first answer, as far as it has come.
pub(super) async fn answer(connection: &mut TcpStream) -> String {
    let mut buffer = vec![0; 16 * 1024];
    let read = tokio::time::timeout(PATIENCE, connection.read(&mut buffer)).await.unwrap().unwrap_or_default();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Whether the service is done with the connection now: closed, without a word.
pub(super) async fn is_refused(connection: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(tokio::time::timeout(Duration::from_millis(500), connection.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
}

/// Sends a byte every now and then, for as long as somebody takes them.
pub(super) async fn drip(mut to: impl tokio::io::AsyncWrite + Unpin, bytes: &[u8], every: Duration) {
    for byte in bytes.iter().cycle() {
        if to.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

/// The value of a line of `/metrics`.
pub(super) async fn metric(service: &Service, name: &str) -> u64 {
    let text = service.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}
