//! The API's own TLS: certificates are exchanged while it runs.
//!
//! The files are read every few seconds. New ones that belong together are used from the next handshake on; broken ones
//! change nothing, and the log says so once. Connections that are open keep what they began with.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::OverTcp;
use super::certificate;
use super::connections::Counts;
use crate::config::TlsFiles;

/// What a client that speaks HTTP/2 offers.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// When a certificate expires so soon, the log says so once a day.
const SOON: Duration = Duration::from_hours(14 * 24);
const DAY: Duration = Duration::from_hours(24);

/// Why the certificate cannot be used; no message shows what is in a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {setting} {}", .path.display())]
    Read {
        /// Which.
        setting: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no certificate.
    #[error("tls_cert_file {} has no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key.
    #[error("tls_key_file {} has no private key in PEM form", .0.display())]
    NoKey(PathBuf),
    /// They cannot be used together.
    #[error("the certificate and the key of tls_cert_file and tls_key_file cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// What the two files had.
#[derive(Clone, PartialEq, Eq)]
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Nothing of a key is shown.
impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

/// The certificate of the API, and where new ones come from.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    config: Arc<rustls::ServerConfig>,
    current: watch::Sender<Arc<CertifiedKey>>,
    used: Read,
}

/// Gives each handshake the certificate of the moment.
#[derive(Debug)]
struct Current(watch::Receiver<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] when there is nothing to begin with.
    pub async fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let used = read(&files).await?;
        let key = certified(&files, &used, &provider)?;
        let (current, seen) = watch::channel(Arc::new(key));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Current(seen)));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self { files, provider, config: Arc::new(config), current, used })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Exchanges the certificate whenever the files have a new one, for ever.
    pub(super) async fn keep_fresh(mut self, counts: Arc<Counts>) {
        // What was broken, how, and whether the log has it. A pair that is exchanged file by file is broken for a moment.
        let mut broken: Option<(Option<Read>, bool)> = None;
        let mut warned = None::<tokio::time::Instant>;
        loop {
            let expires = self.expires();
            counts.certificate(expires.map(OffsetDateTime::unix_timestamp));
            if warned.is_none_or(|warned| warned.elapsed() >= DAY)
                && let Some(expires) = expires.filter(|expires| *expires - OffsetDateTime::now_utc() < SOON)
            {
                warned = Some(tokio::time::Instant::now());
                tracing::warn!(%expires, "the certificate of tls_cert_file expires soon, or has expired: renew it");
            }
            tokio::time::sleep(LOOK).await;
            let found = read(&self.files).await;
            let content = found.as_ref().ok().cloned();
            if content.as_ref() == Some(&self.used) {
                broken = None;
                continue;
            }
            let again = broken.as_ref().is_some_and(|(before, _)| *before == content);
            if again && broken.as_ref().is_some_and(|(_, told)| *told) {
                continue;
            }
            let key = found.and_then(|found| Ok((certified(&self.files, &found, &self.provider)?, found)));
            match key {
                Ok((key, found)) => {
                    self.current.send_replace(Arc::new(key));
                    self.used = found;
                    (broken, warned) = (None, None);
                    tracing::info!(
                        "the certificate was exchanged: new connections get the one that is in the files now"
                    );
                }
                Err(error) => {
                    if again {
                        counts.certificate_failed();
                        let cause = error.source().map(ToString::to_string).unwrap_or_default();
                        tracing::error!(%error, cause, "the new certificate cannot be used: the old one stays in use");
                    }
                    broken = Some((content, again));
                }
            }
        }
    }

    fn expires(&self) -> Option<OffsetDateTime> {
        self.current.borrow().cert.first().and_then(|certificate| certificate::expiry(certificate))
    }
}

impl OverTcp for Box<TlsStream<TcpStream>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn read(files: &TlsFiles) -> Result<Read, TlsError> {
    let of = async |setting: &'static str, path: &PathBuf| {
        let failed = |source| TlsError::Read { setting, path: path.clone(), source };
        tokio::fs::read(path).await.map_err(failed)
    };
    let certificate = of("tls_cert_file", &files.certificate).await?;
    let key = of("tls_key_file", &files.key).await?;
    Ok(Read { certificate, key })
}

fn certified(files: &TlsFiles, read: &Read, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let no_certificate = || TlsError::NoCertificate(files.certificate.clone());
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&read.certificate).collect::<Result<_, _>>().map_err(|_| no_certificate())?;
    if chain.is_empty() {
        return Err(no_certificate());
    }
    let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Unusable)
}
