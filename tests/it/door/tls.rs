//! The API's own TLS: both protocols, certificates that are exchanged while it runs, and clients that shake no hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw::{PATIENCE, address, connect, until_closed};
use crate::support::service::{BackEnd, Environment, Service};

/// Signs certificates of one service.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let made = Self { dir: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), certificate };
        made.exchange(2040);
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a new certificate and its key in the place of the old ones, one after the other; gives the certificate.
    fn exchange(&self, year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(String::from)).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        replace(&self.file("cert.pem"), &certificate.pem());
        replace(&self.file("key.pem"), &key.serialize_pem());
        certificate.der().clone()
    }

    fn settings(&self) -> String {
        let (certificate, key) = (self.file("cert.pem"), self.file("key.pem"));
        format!("tls_cert_file = '{}'\ntls_key_file = '{}'\n", certificate.display(), key.display())
    }

    fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_der(&self.certificate).unwrap();
        let client = reqwest::Client::builder().add_root_certificate(authority).no_proxy().pool_max_idle_per_host(0);
        client.timeout(PATIENCE).build().unwrap()
    }

    /// A connection with TLS that offers these protocols.
    async fn connect(&self, service: &Service, protocols: &[&[u8]]) -> TlsStream<tokio::net::TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect("localhost".try_into().unwrap(), connect(service).await).await.unwrap()
    }

    /// The certificate that a new connection gets.
    async fn served(&self, service: &Service) -> CertificateDer<'static> {
        let connection = self.connect(service, &[]).await;
        connection.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    async fn serves_soon(&self, service: &Service, wanted: &CertificateDer<'static>) {
        let began = Instant::now();
        while self.served(service).await != *wanted {
            assert!(began.elapsed() < PATIENCE, "the certificate is not exchanged: {}", service.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// As those who renew certificates do it: never half a file.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

async fn start(authority: &Authority, more: &str) -> Service {
    // TLS of its own is all that another address than loopback needs.
    let everywhere: Environment = vec![("STRONGROOM_LISTEN", "0.0.0.0:0".to_owned())];
    Service::start_in(BackEnd::Embedded, &(authority.settings() + more), everywhere).await
}

#[tokio::test]
async fn certificate_is_exchanged_without_a_restart_and_without_a_failed_request() {
    let authority = Authority::new();
    let service = start(&authority, "").await;
    assert!(service.api.starts_with("https://"), "{}", service.api);
    let (client, url) = (authority.client(), format!("{}/v1/whoami", service.api));
    let (ends, served) = (AtomicBool::new(false), AtomicU32::new(0));
    let asking = async {
        while !ends.load(Ordering::Relaxed) {
            let answer = client.get(&url).bearer_auth(&service.token).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            served.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let exchanging = async {
        let second = authority.exchange(2041);
        authority.serves_soon(&service, &second).await;
        // What cannot be used changes nothing, and is said once.
        replace(&authority.file("cert.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let began = Instant::now();
        while !service.log().contains("the old one stays in use") {
            assert!(began.elapsed() < PATIENCE, "{}", service.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(authority.served(&service).await, second);
        ends.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        // One that has expired is used, because the operator said so, and warned of; clients refuse it.
        authority.exchange(time::OffsetDateTime::now_utc().year());
        let began = Instant::now();
        while !service.log().contains("expires soon, or has expired") {
            assert!(began.elapsed() < PATIENCE, "{}", service.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(service.log().matches("the old one stays in use").count(), 1);
    };
    tokio::join!(asking, exchanging);
    assert!(served.load(Ordering::Relaxed) > 20);
    let log = service.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test]
async fn http2_is_spoken_with_bounds_and_an_idle_connection_is_told_goodbye() {
    let authority = Authority::new();
    let service = start(&authority, "idle_timeout_seconds = 1").await;
    let connection = authority.connect(&service, &[b"h2", b"http/1.1"]).await;
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(connection);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let ended = tokio::spawn(connection);
    let request = axum::http::Request::get(format!("https://{}/healthz", address(&service)));
    let answer = client.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), axum::http::Version::HTTP_2);
    drop(answer);
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, ended).await.expect("still open").unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900), "closed too early");

    // The same in the clear, to read what is announced.
    let plain = Service::start(BackEnd::Embedded).await;
    let mut connection = connect(&plain).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    tokio::io::AsyncWriteExt::write_all(&mut connection, preface).await.unwrap();
    let mut head = [0; 9];
    connection.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame has the settings");
    let mut settings = vec![0; usize::from(head[2])];
    connection.read_exact(&mut settings).await.unwrap();
    let of = |id: u8| {
        let found = settings.chunks(6).find(|setting| setting[..2] == [0, id])?;
        Some(u32::from_be_bytes(found[2..].try_into().unwrap()))
    };
    assert_eq!(of(3), Some(100), "streams at the same time");
    assert_eq!(of(6), Some(32 * 1024), "bytes of a head");
}

#[tokio::test]
async fn handshake_that_never_comes_is_closed_and_one_that_drips_too() {
    let authority = Authority::new();
    let service = start(&authority, "header_timeout_seconds = 1").await;
    for said in [&b""[..], b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut connection = connect(&service).await;
        tokio::io::AsyncWriteExt::write_all(&mut connection, said).await.unwrap();
        let (_, took) = until_closed(&mut connection).await;
        assert!(took < Duration::from_millis(2_500), "{said:?}: {took:?}");
    }
    // A handshake and then nothing.
    let mut connection = authority.connect(&service, &[b"http/1.1"]).await;
    let began = Instant::now();
    let _ended = tokio::time::timeout(PATIENCE, connection.read(&mut [0; 16])).await.expect("still open");
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn start_without_a_usable_certificate_says_which_file_is_wrong() {
    let authority = Authority::new();
    let (certificate, key) = (authority.file("cert.pem"), authority.file("key.pem"));
    let settings = authority.settings();
    std::fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let refusal = Service::refused_first_start(BackEnd::Embedded, &settings, Vec::new()).await;
    assert!(refusal.contains("cannot be used"), "{refusal}");
    std::fs::write(&certificate, "nothing").unwrap();
    let refusal = Service::refused_first_start(BackEnd::Embedded, &settings, Vec::new()).await;
    assert!(refusal.contains("cert.pem has no certificate"), "{refusal}");
    std::fs::remove_file(&certificate).unwrap();
    let refusal = Service::refused_first_start(BackEnd::Embedded, &settings, Vec::new()).await;
    assert!(refusal.contains("cannot read tls_cert_file"), "{refusal}");
}
