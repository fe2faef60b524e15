//! How many connections are let in.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::raw::{address, answer, is_refused, metric};
use crate::support::service::{BackEnd, Service};

/// A connection from another address of this machine.
async fn from(source: &str, service: &Service) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(address(service).parse().unwrap()).await.unwrap()
}

async fn is_served(connection: &mut TcpStream) -> bool {
    connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    answer(connection).await.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn connections_are_bounded_in_all_and_by_address_and_places_are_given_back() {
    let settings = "max_connections = 12\nmax_connections_per_address = 8\ntrusted_proxies = '127.0.0.9'";
    let service = Service::start_with(BackEnd::Embedded, settings).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(from("127.0.0.2", &service).await);
    }
    assert!(is_served(&mut held[7]).await);
    assert!(is_refused(&mut from("127.0.0.2", &service).await).await, "a ninth from one address");
    for _ in 0..4 {
        held.push(from("127.0.0.3", &service).await);
    }
    assert!(is_served(&mut held[11]).await, "another address has its own places");
    assert!(is_refused(&mut from("127.0.0.4", &service).await).await, "a thirteenth");

    held.clear();
    for _ in 0..9 {
        held.push(from("127.0.0.9", &service).await);
    }
    assert!(is_served(&mut held[8]).await, "a trusted proxy brings the clients of many addresses");
    let of = |reason: &str| format!("strongroom_connections_refused_total{{reason=\"{reason}\"}}");
    assert_eq!(metric(&service, &of("address")).await, 1);
    assert_eq!(metric(&service, &of("total")).await, 1);
    assert_eq!(metric(&service, "strongroom_connections").await, 10);
    assert!(service.log().contains("connections are refused"), "{}", service.log());
}
