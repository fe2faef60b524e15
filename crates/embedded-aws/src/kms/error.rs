//! What KMS answers instead of a result, in AWS's words.

use std::error::Error;

/// An error with the code that AWS has for it.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0} is disabled.")]
    Disabled(String),
    #[error("{0}")]
    InvalidState(String),
    /// The blob is not ours, was changed, or belongs to another encryption context. AWS says no more either.
    #[error("the ciphertext or its encryption context is not valid")]
    InvalidCiphertext,
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    #[error("{0}")]
    AlreadyExists(String),
    #[error("{0}")]
    InvalidAliasName(String),
    #[error("{0}")]
    InvalidArn(String),
    #[error("the marker is not one that a truncated list gave out")]
    InvalidMarker,
    #[error("{0}")]
    MalformedPolicy(String),
    #[error("{0}")]
    Tag(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    Serialization(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("grants are not supported, so there is no valid grant token")]
    InvalidGrantToken,
    #[error("{0}")]
    AccessDenied(String),
    #[error("alias names that begin with alias/aws/ are reserved")]
    NotAuthorized,
    #[error("{0} is not an operation of this service")]
    UnknownOperation(String),
    #[error("the operation failed inside the service")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl KmsError {
    /// The `__type` of the answer, `DisabledException`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFoundException",
            Self::Disabled(_) => "DisabledException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::InvalidAliasName(_) => "InvalidAliasNameException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::MalformedPolicy(_) => "MalformedPolicyDocumentException",
            Self::Tag(_) => "TagException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::Validation(_) => "ValidationException",
            Self::Serialization(_) => "SerializationException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::NotAuthorized => "NotAuthorizedException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::Internal(_) => "KMSInternalException",
        }
    }

    /// Whether the service is to blame: status 500 instead of 400.
    pub(crate) fn is_internal(&self) -> bool {
        matches!(self, Self::Internal(_))
    }

    pub(super) fn internal(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }
}
