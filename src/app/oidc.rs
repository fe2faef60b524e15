//! The identity providers: one client for each, that trusts what the settings say and follows no redirect.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use crate::access::oidc::{IssuerSettings, Issuers, KeyPlace, Windows};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// Why an identity provider cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// A file that cannot be read.
    #[error("oidc issuer {issuer}: {} cannot be read", path.display())]
    File {
        /// Name of the issuer.
        issuer: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not certificates.
    #[error("oidc issuer {issuer}: {} has no PEM certificates", path.display())]
    Certificates {
        /// Name of the issuer.
        issuer: String,
        /// Which file.
        path: PathBuf,
    },
    /// No client.
    #[error("oidc issuer {issuer}: no HTTPS client can be made")]
    Client {
        /// Name of the issuer.
        issuer: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

/// Those whose bearer tokens are believed. None is asked yet: one that is away does not keep the service from starting.
///
/// # Errors
/// [`OidcError`], when a file that the settings name is not there.
pub fn issuers(settings: &[IssuerSettings], windows: Windows) -> Result<Issuers, OidcError> {
    let with_client = |settings: &IssuerSettings| client(settings).map(|client| (settings.clone(), client));
    let issuers: Vec<_> = settings.iter().map(with_client).collect::<Result<_, _>>()?;
    Ok(Issuers::new(issuers, windows))
}

fn client(settings: &IssuerSettings) -> Result<Client, OidcError> {
    let issuer = || settings.name.clone();
    let builder = Client::builder().redirect(Policy::none()).referer(false).connect_timeout(CONNECT);
    let builder = match (&settings.keys, &settings.ca_file) {
        (KeyPlace::File(path), _) => {
            // Read again when it is used; that it is not there at all should be known at the start.
            std::fs::metadata(path).map_err(|source| OidcError::File {
                issuer: issuer(),
                path: path.clone(),
                source,
            })?;
            // Nobody is asked, so a machine without certificates will do.
            builder.tls_certs_only([])
        }
        (_, Some(path)) => {
            let pem = std::fs::read(path).map_err(|source| OidcError::File {
                issuer: issuer(),
                path: path.clone(),
                source,
            })?;
            let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(OidcError::Certificates { issuer: issuer(), path: path.clone() });
            }
            builder.tls_certs_only(certificates)
        }
        (_, None) => builder,
    };
    // Plain HTTP is for this machine alone: a proxy would carry it away, the token of `jwks_token_file` included.
    let builder = match &settings.keys {
        KeyPlace::Discovery(url) | KeyPlace::Url { url, .. } if !url.starts_with("https:") => builder.no_proxy(),
        _ => builder,
    };
    builder.build().map_err(|source| OidcError::Client { issuer: issuer(), source })
}
