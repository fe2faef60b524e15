//! What can go wrong, in the words of who asked.

use std::time::Duration;

use crate::access::Action;
use crate::catalog::{LostAlias, Objection, Refusal};
use crate::domain::{
    Alias, FilePath, InvalidGrant, InvalidMetadata, InvalidPartSize, InvalidReason, InvalidRetention, ModelRef,
    Namespace, PathConflict, Sha256Digest, Timestamp, VersionNumber, VersionRef,
};
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
    /// The model is in the trash.
    #[error("the model `{model}` is deleted: it can be restored{}", until_text(.until.as_ref()))]
    ModelDeleted {
        /// The model.
        model: ModelRef,
        /// Until then at least.
        until: Option<Timestamp>,
    },
    /// The version is in the trash, or on its way out of it.
    #[error("version {version} of `{model}` is deleted{}", restore_text(.until.as_ref()))]
    VersionDeleted {
        /// The model.
        model: ModelRef,
        /// What was asked for.
        version: VersionRef,
        /// Until when it can be restored; none when it cannot any more.
        until: Option<Timestamp>,
    },
    /// The bytes of the version are not given out.
    #[error(
        "version {version} of `{model}` is quarantined: {reason}. Its bytes are not given out; read another version, or \
         publish the right file again"
    )]
    VersionQuarantined {
        /// The model.
        model: ModelRef,
        /// What was asked for.
        version: VersionRef,
        /// Why.
        reason: String,
    },
    /// The model has no such alias.
    #[error("the model `{model}` has no alias `{alias}`")]
    AliasNotFound {
        /// The model.
        model: ModelRef,
        /// What was asked for.
        alias: Alias,
    },
    /// The alias is not where the caller believed it to be.
    #[error("the alias `{alias}` {}, which is not what was expected: look, and decide anew", now_text(*.now))]
    AliasChanged {
        /// The alias.
        alias: Alias,
        /// Where it is now.
        now: Option<VersionNumber>,
    },
    /// The version is published, and an alias that it was to have moved meanwhile.
    #[error(
        "version {number} is published, but the alias `{}` {}: somebody moved it meanwhile; move it again if it is to \
         name this version",
        lost.alias, now_text(lost.now)
    )]
    AliasConflict {
        /// The version.
        number: VersionNumber,
        /// The alias.
        lost: LostAlias,
    },
    /// The model has as many aliases as it may have.
    #[error("a model has at most {max} aliases: remove one first")]
    TooManyAliases {
        /// The limit.
        max: i64,
    },
    /// A reason that is none.
    #[error(transparent)]
    Reason(InvalidReason),
    /// The model is in the trash, and was to be changed.
    #[error("the model `{model}` is deleted and takes no change: {}", restorable(Some(.until), "its `/restore`"))]
    ModelTrashed {
        /// The model.
        model: ModelRef,
        /// Until when it can be restored.
        until: Timestamp,
    },
    /// Aliases name what was to be deleted.
    #[error("`{model}` is named by aliases ({}): move or remove them first", alias_list(.aliases))]
    VersionAliased {
        /// The model.
        model: ModelRef,
        /// The first ten.
        aliases: Vec<(Alias, VersionNumber)>,
    },
    /// What was to be deleted is on legal hold.
    #[error("`{model}` has versions on legal hold ({}): take the hold off first, if you may", listed(.numbers))]
    VersionHeld {
        /// The model.
        model: ModelRef,
        /// The first ten.
        numbers: Vec<VersionNumber>,
    },
    /// A version of the model is being published.
    #[error("a version of `{0}` is being published at this moment: try again")]
    ModelBusy(ModelRef),
    /// The version was changed meanwhile.
    #[error(
        "the version has changed, it is at revision {0} now: read it again, and send the ETag that comes with it in \
         `If-Match`"
    )]
    OtherRevision(i64),
    /// The rules are none.
    #[error(transparent)]
    Retention(InvalidRetention),
    /// The model has no rules.
    #[error("the model `{0}` has no retention rules: every version is kept")]
    NoRetention(ModelRef),
    /// Nobody can say now whether the caller's token is right.
    #[error("the identity provider of this token cannot be asked now: try again")]
    IssuerAway,
    /// The caller may see it, and not do this.
    #[error("you may not {action} on {on}: it takes the role {} there, or a policy; ask its admin", .action.role())]
    Forbidden {
        /// What was asked for.
        action: Action,
        /// On what.
        on: String,
    },
    /// A grant that is none.
    #[error(transparent)]
    Grant(#[from] InvalidGrant),
    /// There is no such grant, or the caller may not see it.
    #[error("there is no grant `{0}`")]
    GrantNotFound(String),
    /// There is no such token, or the caller may not see it.
    #[error("there is no token `{0}` that is valid")]
    TokenNotFound(String),
    /// A name that is none.
    #[error("the name of a token is 1 to 96 bytes of `A-Z a-z 0-9 . _ -`, not {0:?}")]
    TokenName(String),
    /// A name that is not for the caller to give.
    #[error("tokens that are not made by an admin of everything are named after their namespace, such as `{0}.ci`")]
    TokenOfNamespace(String),
    /// A life that is none.
    #[error("a token lives from 1 minute to 10 years, or for ever when nothing is said")]
    TokenLife,
    /// Not from the page before, or somebody else's.
    #[error("`cursor` is not the `next_cursor` of this list")]
    Cursor,
    /// Longer than the token that it takes the place of.
    #[error("who only presents a token gets none that outlives it: it ends at {0}; ask who made it for another")]
    TokenOutlives(Timestamp),
    /// Rotated again and again.
    #[error("the name `{0}` has 20 valid tokens: revoke old ones first")]
    TooManyTokens(String),
    /// The name has a valid token.
    #[error("there is a valid token of the name `{0}`: rotate it, or revoke it first")]
    TokenExists(String),
    /// Nothing was ever stored in the namespace.
    #[error("there is no namespace `{0}`")]
    NamespaceNotFound(Namespace),
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
    /// The caller has sent what it may send for now.
    #[error("the bytes that this caller may send in a day are used up")]
    Quota(Duration),
    /// A file's path breaks a rule.
    #[error("{0}")]
    Path(String),
    /// The body does not have the form that it should have.
    #[error("{0}")]
    Malformed(String),
}

fn until_text(until: Option<&Timestamp>) -> String {
    until.map(|until| format!(" until {until}")).unwrap_or_default()
}

fn restore_text(until: Option<&Timestamp>) -> String {
    match until {
        Some(until) => format!(": it can be restored until {until}"),
        None => " and is being removed for good".to_owned(),
    }
}

fn now_text(now: Option<VersionNumber>) -> String {
    now.map_or_else(|| "does not exist".to_owned(), |now| format!("is at version {now}"))
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
            catalog::Error::Refused(Refusal::AliasChanged { alias, now }) => Self::AliasChanged { alias, now },
            catalog::Error::Refused(refusal) => Self::Refused(refusal),
            catalog::Error::ModelTrashed { model, until } => Self::ModelTrashed { model, until },
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

impl Error {
    /// A change that the catalog refused; `version` is the one that it was about, if any.
    pub(super) fn refused(refusal: Objection, model: &ModelRef, version: Option<VersionNumber>) -> Self {
        let model = model.clone();
        match (refusal, version) {
            (Objection::NoVersion, Some(number)) => {
                Self::VersionNotFound { model, version: VersionRef::Number(number) }
            }
            (Objection::VersionTrashed { until }, Some(number)) => {
                Self::VersionDeleted { model, version: VersionRef::Number(number), until }
            }
            (Objection::NoModel | Objection::NoVersion | Objection::VersionTrashed { .. }, _) => {
                Self::ModelNotFound(model)
            }
            (Objection::ModelTrashed { until }, _) => Self::ModelTrashed { model, until },
            (Objection::Aliased(aliases), _) => Self::VersionAliased { model, aliases },
            (Objection::Held(numbers), _) => Self::VersionHeld { model, numbers },
            (Objection::Busy, _) => Self::ModelBusy(model),
            (Objection::OtherRevision(revision), _) => Self::OtherRevision(revision),
        }
    }
}

/// Whether there is a way back.
fn restorable(until: Option<&Timestamp>, how: &str) -> String {
    match until {
        Some(until) if *until > Timestamp::now() => format!("POST {how} brings it back until {until}"),
        _ => "its time in the trash is over, and its bytes are going".to_owned(),
    }
}

fn alias_list(aliases: &[(Alias, VersionNumber)]) -> String {
    aliases.iter().map(|(alias, number)| format!("{alias} -> {number}")).collect::<Vec<_>>().join(", ")
}

fn listed(numbers: &[VersionNumber]) -> String {
    numbers.iter().map(VersionNumber::to_string).collect::<Vec<_>>().join(", ")
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}
