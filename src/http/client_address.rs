//! Where a client is: the peer of the connection, or whom a trusted proxy forwards for.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;

use crate::config::ForwardedHeader;
use crate::domain::Network;

/// The address of the client, as far as it is known; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Whose word is believed, and in which header.
#[derive(Debug, Clone)]
pub struct Proxies {
    /// Whose word.
    pub trusted: Vec<Network>,
    /// The other header is the client's own word.
    pub header: ForwardedHeader,
}

impl Proxies {
    /// The client's address; none where there is no peer.
    pub(super) fn client(&self, request: &Request) -> Option<ClientAddress> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip();
        Some(ClientAddress(self.resolve(peer, request.headers())))
    }

    /// Whether the request comes straight from a trusted proxy.
    pub(super) fn trusts_peer_of(&self, request: &Request) -> bool {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        peer.is_some_and(|peer| self.trusted.iter().any(|proxy| proxy.contains(peer)))
    }

    /// The nearest address that is not a trusted proxy's.
    ///
    /// Each proxy writes down at the end of the list who came to it. So the list is read from its end, and only for as
    /// long as a trusted proxy wrote: what stands before that was sent by the client, who can write what he likes.
    pub fn resolve(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        let stated = match self.header {
            ForwardedHeader::XForwardedFor => stated(headers, "x-forwarded-for", address),
            ForwardedHeader::Forwarded => stated(headers, "forwarded", forwarded_for),
        };
        for address in stated.into_iter().rev() {
            if !self.trusted.iter().any(|proxy| proxy.contains(nearest)) {
                break;
            }
            // What is no address hides the client; the proxy that wrote it is the nearest that is known.
            let Some(address) = address else { break };
            nearest = address.to_canonical();
        }
        nearest
    }
}

/// The elements of all fields of this name, in their order.
fn stated(headers: &HeaderMap, name: &str, parse: impl Fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let fields = headers.get_all(name).iter();
    // A field that is no text is one element that says nothing.
    fields.flat_map(|field| field.to_str().unwrap_or("?").split(',')).map(|element| parse(element.trim())).collect()
}

/// `for=` of one element of `Forwarded`: `for=192.0.2.1`, `For="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pair = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pair.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(header: ForwardedHeader, peer: &str, fields: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Proxies { trusted, header }.resolve(peer.parse().unwrap(), &headers).to_string()
    }

    fn by_x(peer: &str, value: &str) -> String {
        resolved(ForwardedHeader::XForwardedFor, peer, &[("x-forwarded-for", value)])
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        for (peer, value, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("fd00::1", "::ffff:198.51.100.1", "198.51.100.1"),
            ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            assert_eq!(by_x(peer, value), expected, "{peer} {value}");
        }
    }

    #[test]
    fn fields_of_one_name_are_one_list_and_the_other_header_says_nothing() {
        let both = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(resolved(ForwardedHeader::XForwardedFor, "10.0.0.1", &both), "198.51.100.1");
        assert_eq!(resolved(ForwardedHeader::Forwarded, "10.0.0.1", &both), "10.0.0.1");
        for (value, expected) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("for=1.1.1.1, For=\"[2001:db8::1]:47\";proto=https;by=10.0.0.1", "2001:db8::1"),
            ("by=198.51.100.1", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
        ] {
            assert_eq!(resolved(ForwardedHeader::Forwarded, "10.0.0.1", &[("forwarded", value)]), expected, "{value}");
        }
    }
}
