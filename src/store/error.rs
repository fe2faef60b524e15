//! What can go wrong with S3, in the words of the caller.

use std::error::Error as StdError;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

type BoxError = Box<dyn StdError + Send + Sync>;

/// A failure of the object store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No memory for another part came free in time.
    #[error("no upload memory came free within {} s", .0.as_secs())]
    Busy(Duration),
    /// The file is larger than the parts of one upload can hold.
    #[error("{}", crate::domain::OBJECT_TOO_LARGE)]
    TooLarge,
    /// S3 did not answer, was overloaded or failed: a retry may help.
    #[error("the object store did not complete {operation}")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The KMS key cannot be used.
    #[error("the encryption key could not be used for {operation}")]
    Key {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// S3 refused.
    #[error(
        "the object store refused {operation}: the service's role needs {}; if it has that, a statement of somebody else \
         denies it (bucket policy, IAM, VPC endpoint, organisation)",
        demands(operation)
    )]
    Denied {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is no such object, version or upload.
    #[error("the object store does not have what {operation} names")]
    NotFound {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// There is something already: a create-only write, or a conflicting one.
    #[error("there is an object already where {operation} would write")]
    Exists {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The object got no version: versioning was switched on a moment ago (AWS needs up to 15 minutes), or is off.
    #[error("the object store wrote without a version: versioning is not in force (yet)")]
    Unversioned,
    /// S3 says that it stored something else than it was given, or in another way.
    #[error("the object store did not store what it was given: {0}")]
    Unfaithful(&'static str),
    /// Parts of an upload were not received, or no URL was asked for them.
    #[error("{} of the upload were not received: send them, then complete it again", named(numbers))]
    PartsMissing {
        /// Their numbers, ascending.
        numbers: Vec<u32>,
    },
    /// A part of an upload is not the one that its URL was signed for.
    #[error("part {number} of the upload is not what was declared: ask for its URL again, and send it again")]
    PartMismatch {
        /// Its number.
        number: u32,
    },
    /// Neither of these.
    #[error("the object store answered {operation} in an unexpected way")]
    Unexpected {
        /// The operation.
        operation: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Unavailable { .. } | Self::Key { .. } | Self::Unversioned => true,
            Self::TooLarge
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::Unfaithful(_)
            | Self::PartsMissing { .. }
            | Self::PartMismatch { .. }
            | Self::Unexpected { .. } => false,
        }
    }

    /// Whether only a permission to delete is missing, which the serving role need not have.
    pub fn is_refused_deletion(&self) -> bool {
        matches!(self, Self::Denied { operation: "DeleteObject", .. })
    }

    /// Whether S3 did not find a part as it was named.
    pub(super) fn is_invalid_part(&self) -> bool {
        let Self::Unexpected { source, .. } = self else { return false };
        source.downcast_ref::<Cause>().is_some_and(|cause| cause.code == "InvalidPart")
    }

    /// Whether S3 refused, for want of a permission or because a retention is in force.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// For `map_err`: sorts a failure of the SDK by its kind first and its code second.
    pub(super) fn during<E>(operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        move |error| {
            let no_answer = match &error {
                SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
                // A dispatch failure is also how the SDK reports our own mistakes, such as a missing region.
                SdkError::DispatchFailure(failure) => {
                    // Of the other kind is a connection that ended in the middle of an answer's head.
                    failure.is_io() || failure.is_timeout() || failure.as_other().is_some()
                }
                _ => false,
            };
            // Answers to HEAD have no body that could say more than their status, and what stands before S3 has codes of
            // its own or none.
            let status = error.raw_response().map(|answer| answer.status().as_u16());
            let is_overloaded = matches!(status, Some(429 | 500 | 502..600));
            let code = error.code().unwrap_or(match status {
                Some(403) => "Forbidden",
                Some(409) => "OperationAborted",
                _ => "",
            });
            let code = code.to_owned();
            let message = error.message().map(|message| format!(": {message}")).unwrap_or_default();
            let source: BoxError = Box::new(Cause { code: code.clone(), message, source: Box::new(error) });
            if no_answer {
                return Self::Unavailable { operation, source };
            }
            match code.as_str() {
                "SlowDown"
                | "InternalError"
                | "ServiceUnavailable"
                | "RequestTimeout"
                | "ThrottlingException"
                | "OperationAborted"
                | "ConditionalRequestConflict"
                | "503 Service Unavailable" => Self::Unavailable { operation, source },
                "AccessDenied" | "Forbidden" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" => {
                    Self::Denied { operation, source }
                }
                "NoSuchKey" | "NoSuchVersion" | "NotFound" | "NoSuchUpload" | "NoSuchBucket" => {
                    Self::NotFound { operation, source }
                }
                "PreconditionFailed" => Self::Exists { operation, source },
                "BadDigest" | "XAmzContentSHA256Mismatch" => Self::Unfaithful("it received other bytes than were sent"),
                code if code.starts_with("KMS.") => Self::Key { operation, source },
                _ if is_overloaded => Self::Unavailable { operation, source },
                _ => Self::Unexpected { operation, source },
            }
        }
    }
}

/// The permissions that an operation takes; `strongroom bucket iam` prints all of them.
fn demands(operation: &str) -> &'static str {
    match operation {
        "PutObject" | "CreateMultipartUpload" => "s3:PutObject, and kms:GenerateDataKey on the key",
        "UploadPart" | "CompleteMultipartUpload" => "s3:PutObject, and kms:Decrypt on the key",
        "ListParts" => "s3:ListMultipartUploadParts",
        "CopyObject" | "UploadPartCopy" => {
            "s3:PutObject, s3:GetObject and s3:GetObjectVersion, and kms:GenerateDataKey and kms:Decrypt on the key"
        }
        "GetObject" => {
            "s3:GetObject and s3:GetObjectVersion, kms:Decrypt on the key, and s3:ListBucket where there is no such object"
        }
        "HeadObject" => "s3:GetObjectVersion, and kms:Decrypt on the key",
        "AbortMultipartUpload" => "s3:AbortMultipartUpload",
        "ListObjectVersions" => "s3:ListBucketVersions",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
        "DeleteObject" => "s3:DeleteObjectVersion",
        _ => "more than it has",
    }
}

/// The first of these part numbers in words, and how many more there are.
fn named(numbers: &[u32]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(u32::to_string).collect();
    let noun = if numbers.len() == 1 { "part" } else { "parts" };
    match numbers.len().saturating_sub(SHOWN) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}

/// The SDK's error says "service error"; code and message are what a reader of the log needs.
#[derive(Debug, thiserror::Error)]
#[error("S3 error code {code:?}{message}")]
struct Cause {
    code: String,
    /// Empty, or with what stands before it: answers to HEAD have none.
    message: String,
    source: BoxError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_are_named_and_a_long_list_is_cut() {
        let missing = |numbers: Vec<u32>| Error::PartsMissing { numbers }.to_string();
        assert!(missing(vec![7]).starts_with("part 7 of the upload"));
        assert!(missing(vec![7, 9]).starts_with("parts 7, 9 of the upload"));
        let long = missing((1..=10_000).collect());
        assert!(long.contains("20 and 9980 more") && long.len() < 200, "{long}");
    }
}
