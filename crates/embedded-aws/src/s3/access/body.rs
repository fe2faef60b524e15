//! What a body that failed on its way in means to the client.

use std::error::Error;
use std::sync::Arc;

use axum::http::Extensions;
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::payload::{BodyFailure, BodyFault};
use crate::s3::error::custom;

/// The answer to a request whose body stream ended with an error.
pub(crate) fn body_error(extensions: &Extensions, error: &(dyn Error + Send + Sync + 'static)) -> S3Error {
    if let Some(fault) = extensions.get::<Arc<BodyFailure>>().and_then(|failure| failure.get()) {
        return fault_error(fault);
    }
    // The protocol crate's own errors are not public types; their texts are pinned with its version.
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        return custom(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided. Check your key and \
             signing method."
        );
    }
    incomplete()
}

pub(super) fn fault_error(fault: &BodyFault) -> S3Error {
    match fault {
        BodyFault::Stalled => S3Error::with_message(
            S3ErrorCode::RequestTimeout,
            "Your socket connection to the server was not read from or written to within the timeout period. Idle \
             connections will be closed.",
        ),
        BodyFault::Incomplete => incomplete(),
        BodyFault::ChunkTooLarge { .. } | BodyFault::Malformed(_) => {
            S3Error::with_message(S3ErrorCode::InvalidRequest, fault.to_string())
        }
    }
}

fn incomplete() -> S3Error {
    s3_error!(IncompleteBody, "You did not provide the number of bytes specified by the Content-Length HTTP header")
}
