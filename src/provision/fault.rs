//! Answers of S3 and KMS that are not a success, reduced to what decisions are made of.

mod lost;

use std::time::Duration;

use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::journal::Clock;

pub use self::lost::Lost;

/// Longest wait for one call, SDK retries included.
const CALL_LIMIT: Duration = Duration::from_mins(1);

/// A refused or failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", self.told())]
pub struct Fault {
    /// API name of the call.
    pub operation: &'static str,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// Error code of the answer; HEAD answers carry none.
    pub code: Option<String>,
    /// What the server, or the transport, said.
    pub message: String,
    /// Region that S3 says the bucket is in.
    pub bucket_region: Option<String>,
    /// The server's id of the request, for a support case.
    pub request_id: Option<String>,
    /// How the answer got lost, when there was none.
    pub lost: Option<Lost>,
}

/// What the failure of a *read* means for the setting that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It was never set.
    Absent,
    /// The back end does not have it.
    Unsupported,
    /// We may not, or could not, look.
    Unreadable,
}

/// What the failure of `HeadBucket` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BucketMeaning {
    Absent,
    Forbidden,
    /// It is in another region, which S3 may have named.
    Elsewhere(Option<String>),
    Unknown,
}

/// Codes by which S3 says that a setting, or the thing itself, does not exist.
const ABSENT: [&str; 10] = [
    "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
    "NoSuchBucketPolicy",
    "NoSuchLifecycleConfiguration",
    "NoSuchCORSConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchTagSet",
    "NoSuchTagSetError",
    "NotFoundException",
];

/// Codes by which a back end says that it does not know an operation.
const UNSUPPORTED: [&str; 6] = [
    "NotImplemented",
    "XNotImplemented",
    "MethodNotAllowed",
    "UnsupportedOperation",
    "UnsupportedOperationException",
    "UnknownOperationException",
];

/// Codes by which AWS says "not now", whatever the status.
const BUSY: [&str; 10] = [
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "DependencyTimeoutException",
    "KMSInternalException",
];

impl Fault {
    pub(super) fn new<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let response = error.raw_response();
        let header = |name| response.and_then(|response| response.headers().get(name)).map(str::to_owned);
        Self {
            operation,
            status: response.map(|response| response.status().as_u16()),
            bucket_region: header("x-amz-bucket-region"),
            request_id: header("x-amz-request-id").or_else(|| header("x-amzn-requestid")),
            lost: Lost::of(&error),
            code: error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned),
            message: match error.as_service_error() {
                Some(service) => service.message().unwrap_or_default().to_owned(),
                None => lost::chain(&error),
            },
        }
    }

    fn timeout(operation: &'static str) -> Self {
        Self {
            operation,
            status: None,
            code: None,
            message: format!("no answer within {} seconds", CALL_LIMIT.as_secs()),
            bucket_region: None,
            request_id: None,
            lost: Some(Lost::Silent),
        }
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the server looked at the caller and said no.
    pub(super) fn denied(&self) -> bool {
        self.status == Some(403)
            || self.code.as_deref().is_some_and(|code| matches!(code, "AccessDenied" | "AccessDeniedException"))
    }

    pub(super) fn meaning(&self) -> Meaning {
        let code = self.code.as_deref().unwrap_or_default();
        if ABSENT.contains(&code) {
            Meaning::Absent
        } else if UNSUPPORTED.contains(&code) || matches!(self.status, Some(405 | 501)) {
            Meaning::Unsupported
        } else {
            Meaning::Unreadable
        }
    }

    /// What this answer to `HeadBucket` means; such answers have no body, only a status and a region header.
    pub(super) fn bucket_meaning(&self, our_region: &str) -> BucketMeaning {
        let elsewhere = self.bucket_region.as_deref().is_some_and(|region| region != our_region);
        match self.status {
            Some(404) => BucketMeaning::Absent,
            Some(301 | 307) => BucketMeaning::Elsewhere(self.bucket_region.clone()),
            Some(400 | 403) if elsewhere => BucketMeaning::Elsewhere(self.bucket_region.clone()),
            Some(403) => BucketMeaning::Forbidden,
            _ => BucketMeaning::Unknown,
        }
    }

    /// Whether the server has too much to do, or trouble of its own.
    pub(super) fn busy(&self) -> bool {
        self.code.as_deref().is_some_and(|code| BUSY.contains(&code))
            || self.status.is_some_and(|status| status == 429 || (status >= 500 && status != 501))
    }

    /// Whether a policy names somebody whom IAM does not know, or not yet.
    pub(super) fn names_unknown_principal(&self) -> bool {
        self.code.as_deref().is_some_and(|code| matches!(code, "MalformedPolicy" | "MalformedPolicyDocumentException"))
            && self.message.to_ascii_lowercase().contains("invalid principal")
    }

    /// Whether a read that fails like this may succeed in a while.
    ///
    /// Silence is not among them: at a wrong address nobody should wait for minutes, and the SDK has tried thrice.
    pub(super) fn passes_on_read(&self) -> bool {
        self.has_code("NoSuchBucket") || self.busy() || self.lost == Some(Lost::Cut)
    }

    /// Whether the call may have had its effect although it failed.
    pub(super) fn may_have_worked(&self) -> bool {
        self.lost.is_some() || self.status.is_some_and(|status| status >= 500)
    }

    /// Whether a change to a bucket that fails like this may succeed in a while.
    ///
    /// Besides trouble on the way: another operation on the bucket is under way, or the bucket (or a principal that the
    /// policy names) is too new to be seen everywhere. The SDK itself retries neither.
    pub(super) fn passes_on_bucket(&self) -> bool {
        match self.code.as_deref() {
            Some("OperationAborted" | "ConditionalRequestConflict" | "NoSuchBucket") => true,
            _ => self.names_unknown_principal() || self.lost.is_some() || self.busy(),
        }
    }

    /// Whether a change to a key that was just made, and fails like this, may succeed in a while.
    pub(super) fn passes_on_key(&self) -> bool {
        match self.code.as_deref() {
            Some("NotFoundException") => true,
            _ => self.names_unknown_principal() || self.lost.is_some() || self.busy(),
        }
    }

    fn told(&self) -> String {
        let mut text = match (self.status, self.code.as_deref()) {
            (Some(status), Some(code)) => format!("answered {status} {code}"),
            (Some(status), None) => format!("answered {status}"),
            (None, _) => "no answer".to_owned(),
        };
        if !self.message.is_empty() {
            text.push_str(": ");
            text.push_str(&self.message);
        }
        if let Some(id) = &self.request_id {
            text.push_str(" (request ");
            text.push_str(id);
            text.push(')');
        }
        text
    }
}

/// Awaits one SDK call, for at most a minute, and enters it in the journal.
///
/// The SDK's futures are 20 KiB each; boxed here, none of them grows the futures of those who call.
pub(super) fn call<T, E>(
    operation: &'static str,
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> impl Future<Output = Result<T, Fault>>
where
    T: RequestId,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    answered(operation, Box::pin(sent), |answer| Some(answer.request_id()))
}

/// As [`call`], for the next page of a list; `None` after the last.
pub(super) fn page<T, E>(
    operation: &'static str,
    next: impl Future<Output = Option<Result<T, SdkError<E, HttpResponse>>>>,
) -> impl Future<Output = Result<Option<T>, Fault>>
where
    T: RequestId,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let next = Box::pin(async { next.await.transpose() });
    answered(operation, next, |page| page.as_ref().map(RequestId::request_id))
}

/// `request_id` gives none at all for what was no call: the page behind the last.
async fn answered<T, E>(
    operation: &'static str,
    sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    request_id: impl Fn(&T) -> Option<Option<&str>>,
) -> Result<T, Fault>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let clock = Clock::start();
    let answer = match tokio::time::timeout(CALL_LIMIT, sent).await {
        Ok(answer) => answer.map_err(|error| Fault::new(operation, error)),
        Err(_) => Err(Fault::timeout(operation)),
    };
    match &answer {
        Ok(answer) => _ = request_id(answer).map(|id| clock.answered(operation, id)),
        Err(fault) => clock.failed(fault),
    }
    answer
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::provision) fn fault(status: u16, code: &str) -> Fault {
        Fault {
            operation: "Test",
            status: (status != 0).then_some(status),
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: String::new(),
            bucket_region: None,
            request_id: None,
            lost: None,
        }
    }

    #[test]
    fn refused_look_is_not_absence() {
        for (status, code, meaning) in [
            (404, "NoSuchBucketPolicy", Meaning::Absent),
            (404, "NoSuchPublicAccessBlockConfiguration", Meaning::Absent),
            (404, "OwnershipControlsNotFoundError", Meaning::Absent),
            (404, "ServerSideEncryptionConfigurationNotFoundError", Meaning::Absent),
            (404, "NoSuchLifecycleConfiguration", Meaning::Absent),
            (404, "NoSuchTagSet", Meaning::Absent),
            (400, "NotFoundException", Meaning::Absent),
            (404, "NoSuchBucket", Meaning::Unreadable),
            (403, "AccessDenied", Meaning::Unreadable),
            (400, "AccessDeniedException", Meaning::Unreadable),
            (501, "NotImplemented", Meaning::Unsupported),
            (501, "", Meaning::Unsupported),
            (405, "MethodNotAllowed", Meaning::Unsupported),
            (400, "UnsupportedOperationException", Meaning::Unsupported),
            (503, "SlowDown", Meaning::Unreadable),
            (0, "", Meaning::Unreadable),
        ] {
            assert_eq!(fault(status, code).meaning(), meaning, "{status} {code}");
        }
    }

    #[test]
    fn head_bucket_tells_absent_forbidden_and_elsewhere_apart() {
        let in_region =
            |status, region: Option<&str>| Fault { bucket_region: region.map(str::to_owned), ..fault(status, "") };
        for (fault, meaning) in [
            (in_region(404, None), BucketMeaning::Absent),
            (in_region(403, None), BucketMeaning::Forbidden),
            (in_region(403, Some("eu-west-1")), BucketMeaning::Forbidden),
            (in_region(403, Some("us-east-1")), BucketMeaning::Elsewhere(Some("us-east-1".into()))),
            (in_region(301, Some("us-east-1")), BucketMeaning::Elsewhere(Some("us-east-1".into()))),
            (in_region(301, None), BucketMeaning::Elsewhere(None)),
            (in_region(400, Some("us-east-1")), BucketMeaning::Elsewhere(Some("us-east-1".into()))),
            (in_region(400, None), BucketMeaning::Unknown),
            (in_region(503, None), BucketMeaning::Unknown),
        ] {
            assert_eq!(fault.bucket_meaning("eu-west-1"), meaning, "{fault:?}");
        }
    }

    #[test]
    fn conflicts_and_slow_propagation_pass_refusals_do_not() {
        for (status, code, passes) in [
            (409, "OperationAborted", true),
            (404, "NoSuchBucket", true),
            (503, "SlowDown", true),
            (500, "InternalError", true),
            (501, "NotImplemented", false),
            (403, "AccessDenied", false),
            (409, "BucketAlreadyExists", false),
            (400, "MalformedXML", false),
            (400, "MalformedPolicy", false),
        ] {
            assert_eq!(fault(status, code).passes_on_bucket(), passes, "{code}");
        }
        let principal = Fault { message: "Invalid principal in policy".into(), ..fault(400, "MalformedPolicy") };
        assert!(principal.passes_on_bucket());
    }

    #[test]
    fn a_new_key_may_be_unknown_for_a_while() {
        for (status, code, passes) in [
            (400, "NotFoundException", true),
            (400, "MalformedPolicyDocumentException", false),
            (400, "AccessDeniedException", false),
            (400, "LimitExceededException", false),
            (400, "AlreadyExistsException", false),
        ] {
            assert_eq!(fault(status, code).passes_on_key(), passes, "{code}");
        }
    }

    #[test]
    fn read_is_tried_again_when_the_server_was_busy_or_broke_off_and_not_when_nobody_is_there() {
        for (status, code, passes) in [
            (503, "SlowDown", true),
            (500, "InternalError", true),
            (429, "", true),
            (400, "ThrottlingException", true),
            (404, "NoSuchBucket", true),
            (404, "NoSuchBucketPolicy", false),
            (403, "AccessDenied", false),
            (501, "NotImplemented", false),
        ] {
            assert_eq!(fault(status, code).passes_on_read(), passes, "{status} {code}");
        }
        let lost = |how| Fault { lost: Some(how), ..fault(0, "") };
        assert!(lost(Lost::Cut).passes_on_read() && lost(Lost::Cut).passes_on_bucket());
        assert!(!lost(Lost::Silent).passes_on_read() && lost(Lost::Silent).passes_on_key());
    }

    #[test]
    fn throttled_call_did_nothing_and_an_unanswered_one_may_have() {
        assert!(!fault(400, "ThrottlingException").may_have_worked());
        assert!(fault(500, "KMSInternalException").may_have_worked());
        assert!(Fault { lost: Some(Lost::Silent), ..fault(0, "") }.may_have_worked());
    }

    #[test]
    fn only_an_unknown_principal_makes_a_bad_policy_worth_another_try() {
        let told = |code, message: &str| Fault { message: message.to_owned(), ..fault(400, code) };
        for (code, message, passes) in [
            ("MalformedPolicy", "Invalid principal in policy", true),
            ("MalformedPolicy", "Missing required field Effect", false),
            (
                "MalformedPolicyDocumentException",
                "Policy contains a statement with one or more invalid principals.",
                true,
            ),
            ("MalformedPolicyDocumentException", "The new key policy will not allow you to update it.", false),
        ] {
            let fault = told(code, message);
            assert_eq!((fault.passes_on_bucket(), fault.passes_on_key()), (passes, passes), "{message}");
        }
    }

    #[test]
    fn message_names_call_status_code_and_request() {
        let fault = Fault {
            operation: "PutBucketPolicy",
            message: "no".into(),
            request_id: Some("R1".into()),
            ..fault(403, "AccessDenied")
        };
        assert_eq!(fault.to_string(), "PutBucketPolicy: answered 403 AccessDenied: no (request R1)");
    }
}
