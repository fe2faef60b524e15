//! Values and rules, without I/O: names, paths, digests, refs, manifests, object keys.
//!
//! Every value that came from outside is parsed once, here, into a type that states its rule; nothing below this
//! module checks a name again. The catalog's rows and the bucket's manifests go through the same doors.

mod actor;
mod alias_change;
mod alias_pattern;
mod audit;
mod digest;
mod event;
mod grant;
mod key;
mod labels;
mod ledger;
mod manifest;
mod metadata;
mod name;
mod network;
mod parts;
mod path;
mod reference;
mod retention;
mod state;
mod strict_json;
mod time;
mod token;
mod words;

pub use actor::{Actor, Origin};
pub use alias_change::{AliasChange, Expected, InvalidReason};
pub use alias_pattern::{AliasPattern, InvalidAliasPattern};
pub use audit::{
    AuditAction, AuditEntry, AuditHead, AuditResult, Deed, FIRST_AUDIT_HASH, InvalidSubject, Subject, UnknownWord,
};
pub use digest::{InvalidDigest, Sha256Digest, Sha256Hasher};
pub use event::{Event, JournalEntry};
pub use grant::{Grant, GrantOn, Grantee, InvalidGrant, Role};
pub use key::ObjectKey;
pub use labels::{InvalidLabels, Labels};
pub use ledger::PartLedger;
pub use manifest::{FileEntry, Manifest, ManifestObject, version_digest};
pub use metadata::{InvalidMetadata, Metadata};
pub use name::{InvalidName, ModelName, ModelRef, Namespace};
pub use network::{InvalidNetwork, Network, counted_as};
pub use parts::{
    InvalidPartSize, LARGEST_PART_BYTES, MAX_OBJECT_BYTES, MAX_PARTS, MIN_PART_BYTES, OBJECT_TOO_LARGE, PartPlan,
    SMALLEST_PART_BYTES, growing_part_bytes, max_streamed_bytes, part_bytes_for,
};
pub use path::{FilePath, InvalidPath, PathConflict, PathSet};
pub use reference::{Alias, InvalidRef, VersionNumber, VersionRef};
pub use retention::{InvalidRetention, KeptBecause, Retention, Standing};
pub use state::VersionState;
pub use strict_json::check_json;
pub use time::{InvalidTimestamp, Timestamp};
pub use token::{DraftId, UploadId, UploadToken};
pub use words::{Description, InvalidWords, Reason};

/// How far the SHA-256 of a file is known to be that of the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// The service computed it over the bytes.
    Verified,
    /// Each part was proven against a digest; the digest of the whole is the client's word.
    Declared,
    /// The bytes were read and do not have the digest that the client stated: they are not given out.
    Wrong,
}

impl Integrity {
    /// The form that is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Declared => "declared",
            Self::Wrong => "wrong",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "verified" => Some(Self::Verified),
            "declared" => Some(Self::Declared),
            "wrong" => Some(Self::Wrong),
            _ => None,
        }
    }
}
