//! The canary: proof that the good path works under the policy in force, before anybody's bytes are taken.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ulid::Ulid;

use super::multipart::{Multipart, SentPart};
use super::{Error, Store};
use crate::domain::{ObjectKey, Sha256Digest, UploadToken};

/// How long each request of the canary may take.
const REQUEST: Duration = Duration::from_secs(30);

/// Presigning does not correct itself against the server's clock, so a skew that S3 would refuse is refused here.
pub const MAX_SKEW: Duration = Duration::from_mins(5);

/// Which step of the good path did not work.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// S3 failed or refused.
    #[error("the canary could not {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: Error,
    },
    /// A presigned URL was refused.
    #[error("S3 answered a presigned URL to {step} with status {status}; {hint}")]
    Presigned {
        /// What was tried.
        step: &'static str,
        /// The status.
        status: u16,
        /// What to look at.
        hint: &'static str,
    },
    /// S3 gave other bytes than it was given.
    #[error("the canary read other bytes than it wrote")]
    Bytes,
    /// The clocks differ too much for presigned URLs.
    #[error("this machine's clock and the object store's differ by {} s: presigned URLs would be refused", .0.as_secs())]
    Clock(Duration),
}

/// What became of the canary's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// It is gone.
    Removed,
    /// It is still there: the role may not delete versions, or S3 did not answer.
    Stays,
}

impl CanaryError {
    /// Versioning was switched on only a moment ago: a later canary may pass.
    pub fn is_unversioned(&self) -> bool {
        matches!(self, Self::Step { source: Error::Unversioned, .. })
    }

    fn at(step: &'static str) -> impl FnOnce(Error) -> Self {
        move |source| Self::Step { step, source }
    }
}

impl Store {
    /// Writes an object in one presigned part, completes it, reads it by version and by presigned URL, and removes it if
    /// the role may.
    ///
    /// # Errors
    /// [`CanaryError`] names the step that did not work.
    pub async fn canary(&self) -> Result<Leftover, CanaryError> {
        let id = Ulid::generate().to_string();
        let key = ObjectKey::Probe { id: &id }.to_string();
        let bytes = format!("canary {id}").into_bytes();
        let token = UploadToken::generate();
        let multipart =
            Multipart::create(self, &key, &token).await.map_err(CanaryError::at("begin a multipart upload"))?;
        let stored = match self.canary_part(&multipart, &bytes).await {
            Ok(part) => {
                let completed = multipart.with(part).complete(self, bytes.len() as u64, true).await;
                completed.map_err(CanaryError::at("complete a multipart upload"))?
            }
            Err(error) => {
                multipart.abort(self).await;
                return Err(error);
            }
        };
        let read = self.canary_reads(&key, &stored.version_id, &bytes).await;
        let leftover = match self.remove_version(&key, &stored.version_id).await {
            Ok(()) => Leftover::Removed,
            // The serving role need not own DeleteObjectVersion.
            Err(error) if error.is_refused_deletion() => Leftover::Stays,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the canary's object stays: it could not be removed");
                Leftover::Stays
            }
        };
        read.map(|()| leftover)
    }

    async fn canary_part(&self, multipart: &Multipart, bytes: &[u8]) -> Result<SentPart, CanaryError> {
        const STEP: &str = "write a part";
        let sha256 = Sha256Digest::of(bytes);
        let request = self
            .s3()
            .upload_part()
            .bucket(self.bucket())
            .key(multipart.key())
            .upload_id(multipart.id())
            .part_number(1)
            .content_length(bytes.len() as i64)
            .checksum_sha256(sha256.to_base64())
            .presigned(signing(STEP)?)
            .await
            .map_err(Error::during("presign"))
            .map_err(CanaryError::at(STEP))?;
        let answer = self.send(STEP, request, bytes.to_vec()).await?;
        if let Some(skew) = answer.date.and_then(|date| skew(&date, SystemTime::now())).filter(|skew| *skew > MAX_SKEW)
        {
            return Err(CanaryError::Clock(skew));
        }
        if !(200..300).contains(&answer.status) {
            let hint = "the service's role needs s3:PutObject, and kms:Decrypt on the key; if it has both, S3 may judge a \
                        part by its own missing headers and not by its upload's encryption, on which public reports \
                        disagree: STRONGROOM_POLICY_PROFILE=default_ok is the form for that";
            return Err(CanaryError::Presigned { step: STEP, status: answer.status, hint });
        }
        let etag = answer.etag.ok_or(CanaryError::Bytes)?;
        Ok(SentPart::new(1, etag, sha256))
    }

    async fn canary_reads(&self, key: &str, version_id: &str, bytes: &[u8]) -> Result<(), CanaryError> {
        const STEP: &str = "read an object version";
        let opened = self.open(key, version_id, 0..bytes.len() as u64, None).await;
        let read = opened.map_err(CanaryError::at(STEP))?.collect().await;
        if read.map_err(CanaryError::at(STEP))? != bytes {
            return Err(CanaryError::Bytes);
        }
        let request = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .presigned(signing(STEP)?)
            .await
            .map_err(Error::during("presign"))
            .map_err(CanaryError::at(STEP))?;
        let answer = self.send(STEP, request, Vec::new()).await?;
        if answer.status != 200 {
            let hint = "the bucket policy's signature age may be shorter than the life of the URLs";
            return Err(CanaryError::Presigned { step: STEP, status: answer.status, hint });
        }
        if answer.body == bytes { Ok(()) } else { Err(CanaryError::Bytes) }
    }

    /// Sends a presigned request as any client would: without the SDK's signing and retries.
    async fn send(
        &self,
        step: &'static str,
        presigned: PresignedRequest,
        body: Vec<u8>,
    ) -> Result<Answer, CanaryError> {
        let unexpected = |source: aws_smithy_runtime_api::box_error::BoxError| CanaryError::Step {
            step,
            source: Error::Unexpected { operation: "send a presigned request", source },
        };
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method(presigned.method()).map_err(|error| unexpected(error.into()))?;
        request.set_uri(presigned.uri()).map_err(|error| unexpected(error.into()))?;
        for (name, value) in presigned.headers() {
            request.headers_mut().insert(name.to_owned(), value.to_owned());
        }
        let unavailable = |source: aws_smithy_runtime_api::box_error::BoxError| CanaryError::Step {
            step,
            source: Error::Unavailable { operation: "a presigned request", source },
        };
        let exchange = async {
            let response = self.inner.direct.call(request).await.map_err(|error| unavailable(error.into()))?;
            let header = |name| response.headers().get(name).map(str::to_owned);
            let (status, etag, date) = (response.status().as_u16(), header("etag"), header("date"));
            let body = ByteStream::new(response.into_body()).collect().await;
            let body = body.map_err(|error| unavailable(error.into()))?.to_vec();
            Ok(Answer { status, etag, date, body })
        };
        tokio::time::timeout(REQUEST, exchange).await.map_err(|_| unavailable("no answer in time".into()))?
    }
}

struct Answer {
    status: u16,
    etag: Option<String>,
    date: Option<String>,
    body: Vec<u8>,
}

fn signing(step: &'static str) -> Result<PresigningConfig, CanaryError> {
    PresigningConfig::expires_in(REQUEST * 2).map_err(|error| CanaryError::Step {
        step,
        source: Error::Unexpected { operation: "presign", source: error.into() },
    })
}

/// How far a `Date` header is from `now`, in either direction.
pub(super) fn skew(date: &str, now: SystemTime) -> Option<Duration> {
    let date: SystemTime = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?.into();
    Some(date.duration_since(now).unwrap_or_else(|error| error.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_compared_in_both_directions() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let skew_of = |text: &str| skew(text, at);
        assert_eq!(skew_of("Sun, 09 Sep 2001 01:46:40 GMT"), Some(Duration::ZERO));
        assert_eq!(skew_of("Sun, 09 Sep 2001 01:56:40 GMT"), Some(Duration::from_mins(10)));
        assert_eq!(skew_of("Sun, 09 Sep 2001 01:36:40 GMT"), Some(Duration::from_mins(10)));
        assert_eq!(skew_of("yesterday"), None);
    }
}
