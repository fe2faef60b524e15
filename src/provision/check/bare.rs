//! The probes that speak HTTP themselves, because they are what somebody with a leaked URL or form would send.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use time::OffsetDateTime;

use super::form::Form;
use super::{BODY, not_obeyed, probe_key, remove};
use crate::provision::fault::{Fault, Lost};
use crate::provision::finding::{ClaimId, Finding};
use crate::provision::journal::Clock;
use crate::provision::policy::Sid;
use crate::provision::spec::BucketSpec;

/// What it takes to send a request without the SDK.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Connections that trust what the S3 client trusts.
    pub connector: SharedHttpConnector,
    /// The credentials that the S3 client signs with.
    pub credentials: SharedCredentialsProvider,
}

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest error document that is read, in bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;
/// SigV4's own limit of a presigned URL's life; above it S3 refuses by itself, and our statement proves nothing.
const LONGEST_LIFE: Duration = Duration::from_hours(7 * 24);
/// How much older than allowed the URL is, and how much longer than that it would live.
const OLDER: Duration = Duration::from_mins(5);

impl Bare {
    /// A presigned URL that is too old for the policy, and has not expired.
    ///
    /// The same URL signed now must work, or a refusal of the old one says nothing.
    pub(super) async fn stale_url(&self, s3: &aws_sdk_s3::Client, spec: &BucketSpec) -> Finding {
        let claim = ClaimId::StalePresignedRefused;
        let expected = refused_when_stale(spec);
        let cannot = |reason: String| Finding::not_verifiable(claim, expected.as_str(), reason);
        let age = spec.max_signature_age + OLDER;
        let life = age + OLDER;
        if life > LONGEST_LIFE {
            return cannot("S3 lets no URL live longer than seven days, which the policy allows".to_owned());
        }
        let key = probe_key();
        for (age, fresh) in [(Duration::ZERO, true), (age, false)] {
            let request = match presigned_get(s3, spec, &key, age, life).await {
                Ok(request) => request,
                Err(error) => return cannot(format!("cannot sign a URL: {error}")),
            };
            let answer = self.send("GetObject (presigned)", request_of(&request)).await;
            match (answer, fresh) {
                // There is no such object: whoever learns that got past the policy.
                (Err(fault), true) if fault.status == Some(404) => {}
                (Ok(_), true) => {}
                (Err(fault), true) => return cannot(format!("a fresh URL does not work either: {fault}")),
                (Err(fault), false) if fault.has_code("AccessDenied") && !fault.message.contains("expired") => {
                    return Finding::passed(claim, expected, "refused (AccessDenied)");
                }
                (Err(fault), false) if fault.status != Some(404) => return cannot(fault.to_string()),
                (_, false) => {
                    let told = not_obeyed(Sid::DenyStalePresigned);
                    return Finding::failed(claim, expected, told);
                }
            }
        }
        cannot("not tried".to_owned())
    }

    /// A form that anybody could send who got hold of it.
    pub(super) async fn presigned_post(&self, s3: &aws_sdk_s3::Client, spec: &BucketSpec) -> Finding {
        let claim = ClaimId::PresignedPostRefused;
        let cannot = |reason: String| Finding::not_verifiable(claim, "refused", reason);
        let key = probe_key();
        let credentials = match self.credentials.provide_credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return cannot(format!("no credentials: {error}")),
        };
        // The SDK knows where the bucket is: its URL without key and signature takes forms.
        let url = match presigned_get(s3, spec, &key, Duration::ZERO, OLDER).await {
            Ok(request) => request.uri().split('?').next().and_then(|url| url.strip_suffix(&key)).map(str::to_owned),
            Err(error) => return cannot(format!("cannot learn the bucket's URL: {error}")),
        };
        let Some(url) = url else { return cannot("cannot learn the bucket's URL".to_owned()) };
        let form = Form::new(spec, &key, BODY, &credentials, OffsetDateTime::now_utc());
        match self.send("PostObject", post(&url, form)).await {
            Ok(written) => {
                let version = written.headers().get("x-amz-version-id").map(str::to_owned);
                let removed = remove(s3, spec, &key, version.as_deref()).await;
                let told = format!("{}; {removed}", not_obeyed(Sid::DenyPresignedPost));
                Finding::failed(claim, "refused", told)
            }
            // That refusal is of the form itself, not of forms.
            Err(fault) if fault.message.to_ascii_lowercase().contains("according to policy") => {
                cannot(fault.to_string())
            }
            Err(fault) if fault.has_code("AccessDenied") => Finding::passed(claim, "refused", "refused (AccessDenied)"),
            Err(fault) if matches!(fault.status, Some(405 | 501)) => {
                Finding::passed(claim, "refused", format!("refused: there are no forms here ({fault})"))
            }
            Err(fault) => cannot(fault.to_string()),
        }
    }

    /// Sends a request once, as it is; anything but a success is a fault.
    async fn send(
        &self,
        operation: &'static str,
        request: Result<HttpRequest, BoxError>,
    ) -> Result<HttpResponse, Fault> {
        let clock = Clock::start();
        let exchange = async {
            let mut response = self.connector.call(request?).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(Ok(response));
            }
            let header = |name| response.headers().get(name).map(str::to_owned);
            let (request_id, bucket_region) = (header("x-amz-request-id"), header("x-amz-bucket-region"));
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let body = if length <= LONGEST_ANSWER { response.take_body() } else { SdkBody::empty() };
            let body = ByteStream::new(body).collect().await?.to_vec();
            let text = String::from_utf8_lossy(&body);
            Ok::<_, BoxError>(Err(Fault {
                operation,
                status: Some(status.as_u16()),
                code: element(&text, "Code"),
                message: element(&text, "Message").unwrap_or_default(),
                bucket_region,
                request_id,
                lost: None,
            }))
        };
        let unanswered = |lost, message: String| Fault {
            operation,
            status: None,
            code: None,
            message,
            bucket_region: None,
            request_id: None,
            lost: Some(lost),
        };
        let answer = match tokio::time::timeout(ANSWER, exchange).await {
            Ok(Ok(answer)) => answer,
            // The text of a transport error may hold the URL, which is as good as a password.
            Ok(Err(_)) => Err(unanswered(Lost::Cut, "the connection failed".to_owned())),
            Err(_) => Err(unanswered(Lost::Silent, format!("no answer within {} seconds", ANSWER.as_secs()))),
        };
        match &answer {
            Ok(response) => clock.answered(operation, response.headers().get("x-amz-request-id")),
            Err(fault) => clock.failed(fault),
        }
        answer
    }
}

/// What is expected of a presigned URL.
pub(super) fn refused_when_stale(spec: &BucketSpec) -> String {
    format!("refused when older than {} s", spec.max_signature_age.as_secs())
}

async fn presigned_get(
    s3: &aws_sdk_s3::Client,
    spec: &BucketSpec,
    key: &str,
    age: Duration,
    life: Duration,
) -> Result<PresignedRequest, BoxError> {
    let config = PresigningConfig::builder().start_time(SystemTime::now() - age).expires_in(life).build()?;
    Ok(s3.get_object().bucket(&spec.bucket).key(key).presigned(config).await?)
}

fn request_of(presigned: &PresignedRequest) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::empty());
    request.set_method(presigned.method())?;
    request.set_uri(presigned.uri())?;
    for (name, value) in presigned.headers() {
        request.headers_mut().insert(name.to_owned(), value.to_owned());
    }
    Ok(request)
}

fn post(url: &str, form: Form) -> Result<HttpRequest, BoxError> {
    let length = form.body.len();
    let mut request = HttpRequest::new(SdkBody::from(form.body));
    request.set_method("POST")?;
    request.set_uri(url)?;
    request.headers_mut().insert("content-type", form.content_type);
    request.headers_mut().insert("content-length", length.to_string());
    Ok(request)
}

/// The text of an element of S3's error document, which is flat and has no attributes.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_read_from_an_error_document() {
        let text = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        assert_eq!(element(text, "Code").as_deref(), Some("AccessDenied"));
        assert_eq!(element(text, "Message").as_deref(), Some("Access Denied"));
        assert_eq!(element(text, "HostId"), None);
        assert_eq!(element("<Code>half", "Code"), None);
    }
}
