//! What can go wrong, in the words of who asked.

use std::time::Duration;

use crate::catalog::Refusal;
use crate::domain::{FilePath, InvalidMetadata, InvalidPartSize, ModelRef, PathConflict, Sha256Digest, VersionRef};
use crate::provision::{ClaimId, GateClosed, InvalidOverride};
use crate::{catalog, store};

/// Why a verb did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model has no published version, or never had one.
    #[error("there is no model `{0}`")]
    ModelNotFound(ModelRef),
    /// The model has no such published version.
    #[error("the model `{model}` has no version `{version}`")]
    VersionNotFound {
        /// The model.
        model: ModelRef,
        /// What was asked for.
        version: VersionRef,
    },
    /// The version has no such file.
    #[error("the version has no file `{0}`")]
    FileNotFound(FilePath),
    /// The bytes are not what the client said they would be.
    #[error("the bytes of `{path}` have the SHA-256 {actual}, the request said {declared}: send the file again")]
    DigestMismatch {
        /// The file.
        path: FilePath,
        /// What the client said.
        declared: Sha256Digest,
        /// What arrived.
        actual: Sha256Digest,
    },
    /// A file's path cannot stand beside the others.
    #[error(transparent)]
    PathConflict(PathConflict),
    /// The rows do not allow it.
    #[error(transparent)]
    Refused(Refusal),
    /// A file cannot be cut into such parts.
    #[error("`{path}`: {problem}")]
    PartSize {
        /// The file.
        path: FilePath,
        /// What is wrong.
        problem: InvalidPartSize,
    },
    /// A part that the upload does not have, or with another size.
    #[error("{}", part_problem(*.number, *.size, *.expected))]
    Part {
        /// Its number.
        number: u32,
        /// The size that the client said.
        size: u64,
        /// The size that it has; none when there is no such part.
        expected: Option<u64>,
    },
    /// Nobody said what the digest of a file is.
    #[error("say the SHA-256 of `{0}` when you complete its upload: none was declared")]
    DigestRequired(FilePath),
    /// S3 does not know of the upload.
    #[error("the upload of `{0}` was interrupted before it began: declare the file again")]
    UploadNotBegun(FilePath),
    /// The metadata is not metadata.
    #[error(transparent)]
    Metadata(InvalidMetadata),
    /// A version without files.
    #[error("the request has no file: a version has at least one")]
    NoFiles,
    /// Too many files.
    #[error("a version has at most {max} files")]
    TooManyFiles {
        /// The limit.
        max: usize,
    },
    /// A file is too large.
    #[error("`{path}` is larger than {max} bytes, the most that this service takes for a file")]
    FileTooLarge {
        /// The file.
        path: FilePath,
        /// The limit in bytes.
        max: u64,
    },
    /// The request body ended early, fell silent or is malformed.
    #[error(transparent)]
    Input(InputError),
    /// The bucket is not known to be secured.
    #[error("new bytes are not taken at the moment: {0}")]
    WritesRefused(GateClosed),
    /// An override may not be made as it is.
    #[error(transparent)]
    Override(InvalidOverride),
    /// There is nothing to end.
    #[error("no override of `{0}` is in force")]
    OverrideNotFound(ClaimId),
    /// The bucket was not looked at in time.
    #[error("a new look at the bucket has not ended yet: ask again, or without `fresh` for what was seen last")]
    LookPending,
    /// The client cannot reach the object store by itself.
    #[error(
        "presigned URLs are of no use to this client: it cannot reach the object store. Download through the service \
         (`via=proxy`), or let the operator configure a public S3 endpoint"
    )]
    UrlsUnreachable,
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[source] store::Error),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[source] catalog::Error),
    /// A task of the service ended before its time.
    #[error("the upload was interrupted inside the service")]
    Interrupted,
}

/// What is wrong with the bytes of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The client went away, or sent less than it announced.
    #[error("the request ended before its body was complete")]
    Incomplete,
    /// Nothing came for too long.
    #[error("no bytes came for {} s", .0.as_secs())]
    Idle(Duration),
    /// The bytes came too slowly.
    #[error("the body came at less than {0} bytes a second")]
    Slow(u64),
    /// A file's path breaks a rule.
    #[error("{0}")]
    Path(String),
    /// The body does not have the form that it should have.
    #[error("{0}")]
    Malformed(String),
}

impl Error {
    /// Whether the object store did not answer: what is asked of it next will most likely fail as well.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Store(store::Error::Unavailable { .. }))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::Refused(refusal) => Self::Refused(refusal),
            error => Self::Catalog(error),
        }
    }
}

fn part_problem(number: u32, size: u64, expected: Option<u64>) -> String {
    match expected {
        Some(expected) => format!("part {number} has {expected} bytes, not {size}"),
        None => format!("the upload has no part {number}: parts are numbered from 1"),
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}
