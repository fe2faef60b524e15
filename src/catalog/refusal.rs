//! What the rows do not allow, in the words of who asked.

use crate::domain::{Alias, DraftId, FilePath, ModelRef, PathConflict, UploadId, VersionNumber};

/// Why a change was not made; nothing was changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such draft, or it is none any more.
    #[error("there is no draft `{0}`: it was published, discarded, or it expired")]
    DraftNotFound(DraftId),
    /// The draft is a version now.
    #[error("the draft is version {number} of `{model}`: delete that version instead")]
    DraftPublished {
        /// The model.
        model: ModelRef,
        /// The version.
        number: VersionNumber,
    },
    /// The draft has no such upload, or it is none any more.
    #[error("the draft has no upload `{0}`: it was completed, aborted, or it expired")]
    UploadNotFound(UploadId),
    /// The draft has no such file.
    #[error("the draft has no file `{0}`")]
    FileNotFound(FilePath),
    /// The base of a draft is not there.
    #[error("the model `{model}` has no version {base} to begin from")]
    BaseNotFound {
        /// The model.
        model: ModelRef,
        /// What was asked for.
        base: VersionNumber,
    },
    /// The caller has too many drafts.
    #[error("you have {max} drafts already: publish or discard some of them")]
    TooManyDrafts {
        /// The limit.
        max: u64,
    },
    /// A draft would have too many files.
    #[error("a version has at most {max} files")]
    TooManyFiles {
        /// The limit.
        max: usize,
    },
    /// The namespace would have too many bytes.
    #[error("the namespace may have {max} bytes: delete versions, or ask the operator for more")]
    NamespaceFull {
        /// The limit.
        max: u64,
    },
    /// A file's path cannot stand beside the others.
    #[error(transparent)]
    PathConflict(PathConflict),
    /// A draft without files.
    #[error("the draft has no file: a version has at least one")]
    NoFiles,
    /// Uploads into the draft are under way.
    #[error("{count} file(s) of the draft are not complete, such as `{path}`: complete or abort their uploads first")]
    UploadsUnfinished {
        /// How many.
        count: u64,
        /// One of them.
        path: FilePath,
    },
    /// The namespace demands verification.
    #[error("{count} file(s) of the draft are not verified yet: the service reads them now, publish again in a moment")]
    Unverified {
        /// How many.
        count: u64,
    },
    /// The bytes of a file are not what the client said.
    #[error("the bytes of `{0}` do not have the SHA-256 that was stated: upload the file again")]
    WrongFile(FilePath),
    /// Somebody changed the draft in the same moment.
    #[error("the draft is being changed: publish it when its files are there")]
    DraftChanging,
    /// An alias is not where the caller believed it to be.
    #[error("the alias `{alias}` is not where it was expected to be")]
    AliasChanged {
        /// The alias.
        alias: Alias,
        /// Where it is now.
        now: Option<VersionNumber>,
    },
    /// The key was used for something else.
    #[error("this Idempotency-Key was used for another request: choose a new one")]
    KeyReused,
    /// The first request with the key has not ended.
    #[error("a request with this Idempotency-Key is under way: wait, then send it again")]
    KeyInUse,
}
