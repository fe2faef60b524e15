//! URLs that let a client read one object version, or send one part of an upload, straight to and from S3.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, ProvideCredentials as _};
use aws_sdk_s3::presigning::PresigningConfig;
use secrecy::SecretString;

use super::multipart::wire;
use super::{Error, PartToSign, Store};
use crate::domain::{LARGEST_PART_BYTES, MAX_PARTS, Timestamp};

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

/// URLs for some parts of an upload, all of which stop working at the same time.
#[derive(Debug)]
pub struct PresignedParts {
    /// When they stop working.
    pub expires_at: Timestamp,
    /// In the order in which they were asked for.
    pub parts: Vec<PresignedPart>,
}

/// A URL that takes exactly the bytes of one part, and is as good as a password for that.
#[derive(Debug)]
pub struct PresignedPart {
    /// The part.
    pub number: u32,
    /// The URL; never logged.
    pub url: SecretString,
    /// Names and values of the headers that the client must send: they are signed.
    pub headers: Vec<(String, String)>,
}

/// URLs stop working this long before the credentials end: whoever uses one at the last moment has that much time.
const MARGIN: Duration = Duration::from_mins(1);

/// Nobody can use a URL whose credentials leave it less than this.
const USEFUL: Duration = Duration::from_secs(30);

/// One look at the credentials: what it saw signs, and bounds the life of what is signed.
#[derive(Debug)]
struct Signing {
    credentials: Credentials,
    start: SystemTime,
    life: Duration,
    expires_at: Timestamp,
}

impl Signing {
    fn new(credentials: Credentials, life: Duration, now: SystemTime) -> Result<Self, Error> {
        // A signature's time has whole seconds, and its life counts from there.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let start = UNIX_EPOCH + Duration::from_secs(now);
        let left = credentials.expiry().map(|end| end.duration_since(start).unwrap_or_default().saturating_sub(MARGIN));
        let life = match left {
            Some(left) if left < life && left < USEFUL => {
                let source = format!("the credentials that sign end in {} s", (left + MARGIN).as_secs()).into();
                return Err(Error::Unavailable { operation: "presign", source });
            }
            Some(left) => life.min(left),
            None => life,
        };
        let life = Duration::from_secs(life.as_secs());
        let millis = i64::try_from(now).unwrap_or(i64::MAX).saturating_mul(1000);
        Ok(Self { credentials, start, life, expires_at: Timestamp::from_millis(millis).plus(life) })
    }

    /// The credentials of this look, whatever the client would find by now.
    fn signer(&self) -> Builder {
        aws_sdk_s3::Config::builder().credentials_provider(self.credentials.clone())
    }

    fn config(&self) -> Result<PresigningConfig, Error> {
        let config = PresigningConfig::builder().start_time(self.start).expires_in(self.life).build();
        config.map_err(|error| Error::Unexpected { operation: "presign", source: error.into() })
    }
}

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

    async fn look(&self, life: Duration) -> Result<Signing, Error> {
        let credentials = self.inner.credentials.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                Error::Unexpected { operation: "presign", source: error.into() }
            }
            error => Error::Unavailable { operation: "presign", source: error.into() },
        })?;
        Signing::new(credentials, life, SystemTime::now())
    }

    /// A URL to read one object version, or none when the client cannot reach the endpoint.
    ///
    /// `life` is shortened to that of the signing credentials, a minute before their end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the credentials end in a moment, [`Error::Unexpected`] when there are none.
    pub async fn presign_get(
        &self,
        seat: Seat,
        key: &str,
        version_id: &str,
        disposition: &str,
        life: Duration,
    ) -> Result<Option<Presigned>, Error> {
        let Some(client) = self.signer(seat) else { return Ok(None) };
        let signing = self.look(life).await?;
        let request = client
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            // What is stored never runs in a browser, also not when it comes straight from S3.
            .response_content_disposition(disposition)
            .response_content_type("application/octet-stream")
            .customize()
            .config_override(signing.signer())
            .presigned(signing.config()?)
            .await
            .map_err(Error::during("presign"))?;
        Ok(Some(Presigned { url: request.uri().to_owned().into(), expires_at: signing.expires_at }))
    }

    /// URLs to send these parts of an upload, or none when the client cannot reach the endpoint.
    ///
    /// Each binds the length and the SHA-256 of its part: S3 takes no other bytes. All are signed after one look at the
    /// credentials, which shortens `life` as in [`Self::presign_get`]. The upload's completion or end makes them void.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a part that S3 would not take; else as [`Self::presign_get`].
    pub async fn presign_parts(
        &self,
        seat: Seat,
        key: &str,
        upload_id: &str,
        parts: &[PartToSign],
        life: Duration,
    ) -> Result<Option<PresignedParts>, Error> {
        let Some(client) = self.signer(seat) else { return Ok(None) };
        let possible =
            |part: &PartToSign| (1..=MAX_PARTS).contains(&u64::from(part.number)) && part.size <= LARGEST_PART_BYTES;
        if !parts.iter().all(possible) {
            return Err(Error::TooLarge);
        }
        let signing = self.look(life).await?;
        let mut presigned = Vec::with_capacity(parts.len());
        for part in parts {
            let request = client
                .upload_part()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload_id)
                .part_number(wire(part.number))
                .content_length(part.size as i64)
                .checksum_sha256(part.sha256.to_base64())
                .customize()
                .config_override(signing.signer())
                .presigned(signing.config()?)
                .await
                .map_err(Error::during("presign"))?;
            let headers = request.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            presigned.push(PresignedPart { number: part.number, url: request.uri().to_owned().into(), headers });
        }
        Ok(Some(PresignedParts { expires_at: signing.expires_at, parts: presigned }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn signed(asked: u64, credentials_left: Option<u64>) -> Option<i64> {
        let end = credentials_left.map(|left| UNIX_EPOCH + Duration::from_secs(NOW + left));
        let credentials = Credentials::new("key", "secret", None, end, "test");
        let now = UNIX_EPOCH + Duration::from_millis(NOW * 1000 + 700);
        let signing = Signing::new(credentials, Duration::from_secs(asked), now).ok()?;
        Some(signing.expires_at.millis() - i64::try_from(NOW).unwrap() * 1000)
    }

    #[test]
    fn url_ends_when_asked_or_a_minute_before_its_credentials() {
        assert_eq!(signed(900, None), Some(900_000));
        assert_eq!(signed(900, Some(7200)), Some(900_000));
        assert_eq!(signed(900, Some(960)), Some(900_000));
        assert_eq!(signed(900, Some(300)), Some(240_000));
        assert_eq!(signed(900, Some(90)), Some(30_000));
        assert_eq!(signed(5, Some(66)), Some(5_000));
    }

    #[test]
    fn url_that_nobody_could_use_is_not_signed() {
        assert_eq!(signed(900, Some(89)), None);
        assert_eq!(signed(5, Some(64)), None);
        assert_eq!(signed(900, Some(0)), None);
    }

    #[test]
    fn url_is_not_in_a_debug_print() {
        let url = "https://s3.example/secret-signature".to_owned();
        let part = PresignedPart { number: 1, url: url.into(), headers: Vec::new() };
        let all = PresignedParts { expires_at: Timestamp::from_millis(0), parts: vec![part] };
        assert!(!format!("{all:?}").contains("secret-signature"));
    }
}
