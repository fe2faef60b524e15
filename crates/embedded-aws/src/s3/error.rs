//! How failures look to S3 clients.

use crate::{
    blob::BlobError,
    kms::KmsError,
    meta::{MetaError, objects::Refused},
};
use s3s::{S3Error, S3ErrorCode, s3_error};
use std::error::Error;

/// An error whose code s3s has no name for.
pub(super) fn custom(code: &'static str, status: u16, message: impl Into<String>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message.into());
    if let Ok(status) = axum::http::StatusCode::from_u16(status) {
        error.set_status_code(status);
    }
    error
}

/// What the client cannot help: logged here, once, and answered without details.
pub(super) fn internal(error: &(dyn Error + 'static)) -> S3Error {
    tracing::error!(error, "request failed");
    s3_error!(InternalError, "We encountered an internal error. Please try again.")
}

pub(super) fn kms(error: &KmsError) -> S3Error {
    let code = S3ErrorCode::Custom(format!("KMS.{}", error.code()).into());
    let mut answer = S3Error::with_message(code, error.to_string());
    answer.set_status_code(axum::http::StatusCode::BAD_REQUEST);
    answer
}

impl From<MetaError> for S3Error {
    fn from(error: MetaError) -> Self {
        internal(&error)
    }
}

impl From<BlobError> for S3Error {
    fn from(error: BlobError) -> Self {
        internal(&error)
    }
}

impl From<Refused> for S3Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchBucket => s3_error!(NoSuchBucket, "The specified bucket does not exist"),
            Refused::NoSuchKey => s3_error!(NoSuchKey, "The specified key does not exist."),
            Refused::NoSuchVersion => s3_error!(NoSuchVersion, "The specified version does not exist."),
            Refused::NoSuchUpload => s3_error!(
                NoSuchUpload,
                "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
            ),
            Refused::Locked => s3_error!(AccessDenied, "Access Denied because object protected by object lock."),
            Refused::PreconditionFailed => {
                s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
            }
        }
    }
}
