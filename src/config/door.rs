//! How connections and requests are let in, and how many.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::MIB;
use super::reader::Reader;
use crate::domain::Network;

/// What the front door is told. Bounds of a setting are those of the reader below and of docs/OPERATIONS.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// `behind_tls_proxy`, default false: a proxy ends TLS in front of the API.
    pub behind_tls_proxy: bool,
    /// `tls_cert_file` and `tls_key_file`: the API speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// `trusted_proxies`: whose word about the client's address is believed.
    pub trusted_proxies: Vec<Network>,
    /// `forwarded_header`, `x-forwarded-for` (default) or `forwarded`: where these proxies write it.
    pub forwarded_header: ForwardedHeader,
    /// Bounds of a connection.
    pub connections: Connections,
    /// Bounds of requests.
    pub requests: Requests,
}

/// PEM files of the API's own TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to a root, in this order.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// The one header in which the trusted proxies write whom they forward for; the other one is the client's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy`.
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// Bounds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// `max_connections`.
    pub total: usize,
    /// `max_connections_per_address`; the trusted proxies are exempt.
    pub per_address: usize,
    /// `header_timeout_seconds`: for the TLS handshake, and for the head of a request.
    pub header_timeout: Duration,
    /// `idle_timeout_seconds`: between two requests.
    pub idle_timeout: Duration,
    /// `answer_idle_seconds`: how long a client may take nothing of an answer.
    pub answer_idle: Duration,
    /// `grace_seconds`: how long requests may go on after the service was told to end.
    pub grace: Duration,
}

/// Bounds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// `max_requests`: in flight at the same time.
    pub in_flight: usize,
    /// `requests_per_second` of one principal; none: no bound.
    pub per_second: Option<u32>,
    /// `request_burst`: what a principal may send at once after a pause.
    pub burst: u32,
    /// `upload_mib_per_day` of one principal, through the service; none: no bound.
    pub upload_bytes_per_day: Option<u64>,
    /// `auth_failures_per_minute` of one address; none: no bound.
    pub auth_failures_per_minute: Option<u32>,
}

impl Reader {
    /// Reads all of [`Door`]; an address that would send tokens in the clear is a problem.
    pub(super) fn door(&mut self, listen: SocketAddr) -> Door {
        let behind_tls_proxy = self.flag("behind_tls_proxy");
        let tls = self.tls_files();
        if tls.is_some() && behind_tls_proxy {
            self.problem(
                "tls_cert_file makes the API speak TLS itself, and behind_tls_proxy says that a proxy ends it: leave one \
                 away; a proxy that speaks TLS to the API needs trusted_proxies only"
                    .to_owned(),
            );
        }
        if !listen.ip().is_loopback() && !behind_tls_proxy && tls.is_none() {
            self.problem(format!(
                "listening on {listen} would send tokens over the network in the clear: listen on 127.0.0.1, set \
                 tls_cert_file and tls_key_file, or say --behind-tls-proxy when a proxy ends TLS in front"
            ));
        }
        let trusted_proxies = self.networks("trusted_proxies");
        let header = self.parsed("forwarded_header", "x-forwarded-for or forwarded", |text| match text {
            "x-forwarded-for" => Some(ForwardedHeader::XForwardedFor),
            "forwarded" => Some(ForwardedHeader::Forwarded),
            _ => None,
        });
        if header.is_some() && trusted_proxies.is_empty() {
            self.problem("forwarded_header is what trusted_proxies write, and there are none".to_owned());
        }
        Door {
            behind_tls_proxy,
            tls,
            trusted_proxies,
            forwarded_header: header.unwrap_or(ForwardedHeader::XForwardedFor),
            connections: self.connections(),
            requests: self.requests(),
        }
    }

    fn tls_files(&mut self) -> Option<TlsFiles> {
        let certificate = self.text("tls_cert_file").map(PathBuf::from);
        let key = self.text("tls_key_file").map(PathBuf::from);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => {
                self.problem("tls_cert_file and tls_key_file belong together".to_owned());
                None
            }
        }
    }

    fn networks(&mut self, key: &str) -> Vec<Network> {
        let what = "addresses or networks (10.0.0.7, 10.0.0.0/8), separated by commas";
        self.parsed(key, what, |text| text.split(',').map(|network| network.trim().parse().ok()).collect())
            .unwrap_or_default()
    }

    fn connections(&mut self) -> Connections {
        let seconds = Duration::from_secs;
        Connections {
            total: self.count("max_connections", 1, 800),
            per_address: self.count("max_connections_per_address", 1, 200),
            header_timeout: seconds(self.number("header_timeout_seconds", 1..=300, 10)),
            idle_timeout: seconds(self.number("idle_timeout_seconds", 1..=3_600, 75)),
            answer_idle: seconds(self.number("answer_idle_seconds", 1..=3_600, 60)),
            grace: seconds(self.number("grace_seconds", 0..=3_600, 30)),
        }
    }

    fn requests(&mut self) -> Requests {
        let bounded = |value: u64| u32::try_from(value).ok().filter(|value| *value > 0);
        let per_day = self.number("upload_mib_per_day", 0..=1_000_000_000_000, 0);
        Requests {
            in_flight: self.count("max_requests", 1, 500),
            per_second: bounded(self.number("requests_per_second", 0..=1_000_000, 200)),
            burst: bounded(self.number("request_burst", 1..=1_000_000, 1_000)).unwrap_or(1),
            upload_bytes_per_day: (per_day > 0).then_some(per_day * MIB),
            auth_failures_per_minute: bounded(self.number("auth_failures_per_minute", 0..=1_000_000, 60)),
        }
    }

    /// A number of things that are held at the same time.
    fn count(&mut self, key: &str, least: u64, default: u64) -> usize {
        usize::try_from(self.number(key, least..=1_000_000, default)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, InvalidConfig, from_sources};

    fn read(file: &str) -> Result<Config, InvalidConfig> {
        from_sources(Some(file), std::iter::empty(), &[])
    }

    #[test]
    fn nothing_said_means_plain_http_on_loopback_with_every_bound_but_the_quota() {
        let door = read("").unwrap().door;
        assert!(door.tls.is_none() && !door.behind_tls_proxy && door.trusted_proxies.is_empty());
        assert_eq!(door.connections.header_timeout, Duration::from_secs(10));
        assert_eq!(door.requests.per_second, Some(200));
        assert_eq!(door.requests.upload_bytes_per_day, None);
    }

    #[test]
    fn other_addresses_than_loopback_need_tls_or_the_word_that_a_proxy_has_it() {
        for more in ["behind_tls_proxy = true", "tls_cert_file = 'c'\ntls_key_file = 'k'"] {
            read(&format!("listen = '0.0.0.0:443'\n{more}")).unwrap();
        }
        for listen in ["0.0.0.0:443", "[::]:443", "10.0.0.1:80"] {
            let text = read(&format!("listen = '{listen}'")).unwrap_err().to_string();
            assert!(text.contains("in the clear") && text.contains("tls_cert_file"), "{text}");
        }
        read("listen = '[::1]:443'").unwrap();
    }

    #[test]
    fn half_or_contradicting_settings_are_problems() {
        for (file, part) in [
            ("tls_cert_file = 'c'", "belong together"),
            ("tls_cert_file = 'c'\ntls_key_file = 'k'\nbehind_tls_proxy = true", "leave one away"),
            ("trusted_proxies = '10.0.0.0/33'", "separated by commas"),
            ("trusted_proxies = 'proxy.example'", "separated by commas"),
            ("forwarded_header = 'forwarded'", "there are none"),
            ("forwarded_header = 'via'\ntrusted_proxies = '10.0.0.1'", "x-forwarded-for or forwarded"),
            ("max_connections = 0", "from 1 to 1000000"),
            ("header_timeout_seconds = 0", "from 1 to 300"),
            ("request_burst = 0", "from 1 to"),
        ] {
            let text = read(file).unwrap_err().to_string();
            assert!(text.contains(part), "{file}: {text}");
        }
    }

    #[test]
    fn zero_takes_a_bound_of_requests_away() {
        let file = "requests_per_second = 0\nauth_failures_per_minute = 0\nupload_mib_per_day = 3";
        let requests = read(file).unwrap().door.requests;
        assert_eq!((requests.per_second, requests.auth_failures_per_minute), (None, None));
        assert_eq!(requests.upload_bytes_per_day, Some(3 * MIB));
        let door = read("trusted_proxies = ['10.0.0.1', 'fd00::/8']\nforwarded_header = 'forwarded'").unwrap().door;
        assert_eq!(door.trusted_proxies.len(), 2);
        assert_eq!(door.forwarded_header, ForwardedHeader::Forwarded);
    }
}
