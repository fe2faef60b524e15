//! URLs that let a client read one object version straight from S3.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::ProvideCredentials as _;
use aws_sdk_s3::presigning::PresigningConfig;
use secrecy::SecretString;

use super::{Error, Store};
use crate::domain::Timestamp;

/// Who can reach the bucket's endpoint, and under which name. The host is signed, so each name has its own client.
#[derive(Debug)]
pub enum Reach {
    /// Everybody, under the name that this client has.
    Everyone(Client),
    /// Only this machine: the endpoint is on loopback, under an address and under a name.
    Loopback {
        /// For `127.0.0.1`.
        by_address: Client,
        /// For `localhost`.
        by_name: Client,
    },
    /// Nobody but this service.
    Nobody,
}

/// Where a client sits, as far as the choice of a URL depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Another machine, or one that we know nothing of.
    Remote,
    /// This machine; it called us by address.
    LoopbackByAddress,
    /// This machine; it called us by name.
    LoopbackByName,
}

/// A URL that is as good as a password for what it opens.
#[derive(Debug)]
pub struct Presigned {
    /// The URL; never logged.
    pub url: SecretString,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// Signing stops this long before the credentials end: a URL must outlive the round trip of its first use.
const MARGIN: Duration = Duration::from_mins(1);

impl Store {
    /// Whether a client in this seat can reach the bucket's endpoint by itself.
    pub fn is_reachable_from(&self, seat: Seat) -> bool {
        self.signer(seat).is_some()
    }

    /// On loopback, the name of this machine that the client did not call us by: clients drop their token when a
    /// redirect leads to another host.
    fn signer(&self, seat: Seat) -> Option<&Client> {
        match (&self.inner.reach, seat) {
            (Reach::Everyone(client), _) => Some(client),
            (Reach::Loopback { by_address, .. }, Seat::LoopbackByName) => Some(by_address),
            (Reach::Loopback { by_name, .. }, Seat::LoopbackByAddress) => Some(by_name),
            (Reach::Loopback { .. }, Seat::Remote) | (Reach::Nobody, _) => None,
        }
    }

    /// A URL to read one object version, or none when the client cannot reach the endpoint.
    ///
    /// `life` is shortened to that of the signing credentials.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when there are no credentials.
    pub async fn presign_get(
        &self,
        seat: Seat,
        key: &str,
        version_id: &str,
        disposition: &str,
        life: Duration,
    ) -> Result<Option<Presigned>, Error> {
        let Some(client) = self.signer(seat) else { return Ok(None) };
        let fail = |source| Error::Unexpected { operation: "presign", source };
        let credentials = self.inner.credentials.provide_credentials().await.map_err(|error| fail(error.into()))?;
        let now = SystemTime::now();
        let left = credentials.expiry().map(|end| end.duration_since(now).unwrap_or_default().saturating_sub(MARGIN));
        let life = left.map_or(life, |left| life.min(left));
        let config = PresigningConfig::builder()
            .start_time(now)
            .expires_in(Duration::from_secs(life.as_secs()))
            .build()
            .map_err(|error| fail(error.into()))?;
        let request = client
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            // What is stored never runs in a browser, also not when it comes straight from S3.
            .response_content_disposition(disposition)
            .response_content_type("application/octet-stream")
            .presigned(config)
            .await
            .map_err(|error| fail(error.into()))?;
        let expires_at = Timestamp::now().plus(Duration::from_secs(life.as_secs()));
        Ok(Some(Presigned { url: request.uri().to_owned().into(), expires_at }))
    }
}
