//! Whom proxies forward for: a line with the peer's address, then headers.

use std::net::IpAddr;

use strongroom::config::ForwardedHeader;
use strongroom::domain::Network;
use strongroom::http::client_address::Proxies;

use crate::input;

pub(crate) fn check(bytes: &[u8]) {
    let (peer, rest) = input::first_line(bytes);
    let peer = std::str::from_utf8(peer).ok().and_then(|text| text.trim().parse().ok());
    let peer: IpAddr = peer.unwrap_or(IpAddr::from([10, 0, 0, 1]));
    let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let headers = input::headers(rest);
    for (header, name) in
        [(ForwardedHeader::XForwardedFor, "x-forwarded-for"), (ForwardedHeader::Forwarded, "forwarded")]
    {
        let proxies = Proxies { trusted: trusted.clone(), header };
        let client = proxies.resolve(peer, &headers);
        assert_eq!(client, client.to_canonical(), "one client has two addresses");
        if !is_trusted(peer) || !headers.contains_key(name) {
            assert_eq!(client, peer.to_canonical(), "a stranger's word is believed");
        }
        // A client writes what it likes in front of what the proxies wrote, and is still who it is.
        if !is_trusted(client) {
            let mut forged = axum::http::HeaderMap::new();
            forged.append(name, "198.51.100.66".parse().unwrap());
            forged.append(name, "for=198.51.100.66".parse().unwrap());
            for value in headers.get_all(name) {
                forged.append(name, value.clone());
            }
            assert_eq!(proxies.resolve(peer, &forged), client, "what the client wrote is believed");
        }
        // Nobody is believed: the peer it is.
        let nobody = Proxies { trusted: Vec::new(), header };
        assert_eq!(nobody.resolve(peer, &headers), peer.to_canonical());
    }
}
