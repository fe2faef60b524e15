//! Fetching an issuer's keys: bounded in size and time, over TLS, and from where the settings say.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::key::KeySet;
use super::{IssuerSettings, KeyPlace};

/// Largest discovery document in bytes; usual are 1 to 5 KiB.
const LARGEST_DOCUMENT: usize = 64 * 1024;
/// Largest key set in bytes; usual are 1 to 20 KiB.
const LARGEST_SET: usize = 512 * 1024;
/// Largest file with a token in bytes.
const LARGEST_TOKEN: usize = 16 * 1024;

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No answer.
    #[error("it does not answer")]
    Request(#[source] reqwest::Error),
    /// Too late.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
    /// Another status than 200; redirects are not followed.
    #[error("it answered with {0}")]
    Status(StatusCode),
    /// The client followed a redirect all the same.
    #[error("the answer came from somewhere else")]
    Redirected,
    /// More than any key set needs.
    #[error("its answer has more than {0} bytes")]
    TooLarge(usize),
    /// Not what was asked for.
    #[error("its answer is not the JSON that was expected")]
    Malformed(#[source] serde_json::Error),
    /// The discovery document is another issuer's.
    #[error("its discovery document names another issuer")]
    OtherIssuer,
    /// A URL that is not asked.
    #[error("the URL of its keys is neither https nor on loopback")]
    Url,
    /// A file that cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has no token.
    #[error("{} has no token", .0.display())]
    NoToken(PathBuf),
}

/// The members of OpenID Connect Discovery 1.0 §3 that matter here.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The URL, if a key may be fetched there: `https`, or `http` to this machine; nothing secret in it.
pub fn may_be_asked(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let on_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && on_loopback);
    (is_safe && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()).then_some(url)
}

/// Fetches the keys of an issuer.
pub(super) async fn fetch(settings: &IssuerSettings, client: &Client, within: Duration) -> Result<KeySet, KeysError> {
    let all = async {
        match &settings.keys {
            KeyPlace::File(path) => file(path, LARGEST_SET).await,
            KeyPlace::Url { url, token_file } => {
                let url = may_be_asked(url).ok_or(KeysError::Url)?;
                let token = match token_file {
                    Some(path) => Some(token(path).await?),
                    None => None,
                };
                get(client, url, token.as_deref(), LARGEST_SET).await
            }
            KeyPlace::Discovery(url) => discover(&settings.issuer, client, url).await,
        }
    };
    let json = tokio::time::timeout(within, all).await.map_err(|_| KeysError::Late(within))??;
    let (keys, unusable) = KeySet::read(&json).map_err(KeysError::Malformed)?;
    for why in unusable {
        tracing::info!(issuer = settings.name, %why, "a key of the issuer is not used");
    }
    Ok(keys)
}

async fn discover(issuer: &str, client: &Client, url: &str) -> Result<Vec<u8>, KeysError> {
    let url = may_be_asked(url).ok_or(KeysError::Url)?;
    let over_tls = url.scheme() == "https";
    let json = get(client, url, None, LARGEST_DOCUMENT).await?;
    let document: Discovery = serde_json::from_slice(&json).map_err(KeysError::Malformed)?;
    // OpenID Connect Discovery 1.0 §4.3: identical, so that no issuer speaks for another one.
    if document.issuer != issuer {
        return Err(KeysError::OtherIssuer);
    }
    // A document that came over TLS must not lead to one that does not.
    let keys = may_be_asked(&document.jwks_uri).filter(|keys| !over_tls || keys.scheme() == "https");
    get(client, keys.ok_or(KeysError::Url)?, None, LARGEST_SET).await
}

async fn get(client: &Client, url: Url, token: Option<&str>, largest: usize) -> Result<Vec<u8>, KeysError> {
    let mut request = client.get(url.clone()).header("accept", "application/json");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    // Without its URL, so that the log does not repeat what a document may have put there.
    let mut answer = request.send().await.map_err(|error| KeysError::Request(error.without_url()))?;
    if *answer.url() != url {
        return Err(KeysError::Redirected);
    }
    if answer.status() != StatusCode::OK {
        return Err(KeysError::Status(answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| KeysError::Request(error.without_url()))? {
        if body.len() + chunk.len() > largest {
            return Err(KeysError::TooLarge(largest));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A mounted token is replaced from time to time, so it is read for each fetch.
async fn token(path: &Path) -> Result<String, KeysError> {
    let bytes = file(path, LARGEST_TOKEN).await?;
    let text = String::from_utf8(bytes).map_err(|_| KeysError::NoToken(path.to_owned()))?;
    let token = text.trim();
    let printable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    printable.then(|| token.to_owned()).ok_or_else(|| KeysError::NoToken(path.to_owned()))
}

async fn file(path: &Path, largest: usize) -> Result<Vec<u8>, KeysError> {
    let failed = |source| KeysError::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).await.map_err(failed)?;
    (bytes.len() <= largest).then_some(bytes).ok_or(KeysError::TooLarge(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_machine_is_asked() {
        for url in ["https://issuer.example/a?b=c", "http://127.0.0.1:8/k", "http://[::1]/k", "http://localhost/k"] {
            assert!(may_be_asked(url).is_some(), "{url}");
        }
        for url in [
            "http://issuer.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "https://user@issuer.example",
            "https://user:password@issuer.example",
            "https://issuer.example/#x",
            "issuer.example",
            "",
        ] {
            assert!(may_be_asked(url).is_none(), "{url}");
        }
    }
}
