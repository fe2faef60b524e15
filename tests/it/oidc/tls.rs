//! Whom an issuer's TLS is believed.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use strongroom::access::oidc::{IssuerSettings, Refused};
use strongroom::app::{self, OidcError};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::provider::{Fault, Provider, accepted, calm, refused};
use super::signer::Key;

struct OverTls {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for OverTls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.tcp.accept().await.unwrap();
            // A client that does not trust the certificate ends here.
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A provider at `https://localhost:PORT` whose certificate is of a CA that is written to a file.
async fn provider(key: &Key, ca_file: &Path) -> Provider {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    std::fs::write(ca_file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = server.signed_by(&pair, &Issuer::new(authority, authority_key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let config = config.with_no_client_auth().with_single_cert(chain, private).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
    Provider::serve(OverTls { tcp, tls: TlsAcceptor::from(Arc::new(config)) }, url, &[key])
}

#[tokio::test]
async fn private_ca_is_trusted_for_the_issuer_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other_ca) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    let key = Key::p256("k");
    let (mine, _other) = (provider(&key, &ca).await, provider(&key, &other_ca).await);
    let token = key.token(&mine.claims());
    let with = |ca_file| IssuerSettings { ca_file, ..mine.settings("ci") };
    accepted(&app::issuers(&[with(Some(ca))], calm()).unwrap(), &token).await;
    for ca_file in [None, Some(other_ca)] {
        let issuers = app::issuers(&[with(ca_file)], calm()).unwrap();
        assert_eq!(refused(&issuers, &token).await, Refused::Unavailable);
    }
    let (empty, missing) = (dir.path().join("empty"), dir.path().join("missing"));
    std::fs::write(&empty, "no certificate").unwrap();
    assert!(matches!(app::issuers(&[with(Some(empty))], calm()), Err(OidcError::Certificates { .. })));
    assert!(matches!(app::issuers(&[with(Some(missing))], calm()), Err(OidcError::File { .. })));
}

#[tokio::test]
async fn document_over_tls_does_not_lead_to_keys_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let key = Key::p256("k");
    let (mine, plain) = (provider(&key, &ca).await, Provider::start(&[&key]).await);
    let settings = IssuerSettings { ca_file: Some(ca), ..mine.settings("ci") };
    let token = key.token(&mine.claims());
    // On loopback, where plain HTTP would do if the settings said so.
    mine.lead_to(plain.keys_url());
    mine.fail(Fault::KeysElsewhere);
    assert_eq!(
        refused(&app::issuers(std::slice::from_ref(&settings), calm()).unwrap(), &token).await,
        Refused::Unavailable
    );
    assert_eq!(plain.asked(), 0);
    mine.lead_to(mine.keys_url());
    accepted(&app::issuers(&[settings], calm()).unwrap(), &token).await;
}
