//! Where things lie in the bucket.

use std::fmt;

use super::{AuditHead, DraftId, FilePath, ModelRef, VersionNumber};

/// Where an object lies in the bucket: the only place that knows the layout.
///
/// Built from parsed values only, so it holds no `..`, no `//` and no control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectKey<'a> {
    /// `models/{namespace}/{name}/{draft}/{path}`: the bytes of a file.
    File {
        /// Whose.
        model: &'a ModelRef,
        /// The draft that brought it.
        draft: &'a DraftId,
        /// Its path there.
        path: &'a FilePath,
    },
    /// `models/{namespace}/{name}/{draft}/`: everything that one draft brought.
    DraftPrefix {
        /// Whose.
        model: &'a ModelRef,
        /// Which.
        draft: &'a DraftId,
    },
    /// `manifests/{namespace}/{name}/{number}.json`.
    Manifest {
        /// Whose.
        model: &'a ModelRef,
        /// Which version.
        number: VersionNumber,
    },
    /// `journal/{catalog}/{seq}.json`, with the number in 20 digits, so that keys sort as numbers do.
    Journal {
        /// Id of the catalog whose changes it tells.
        catalog: &'a str,
        /// Number of the entry.
        seq: i64,
    },
    /// `audit/{catalog}/{chain}/{seq}-{hash}.json`: an end of the audit log, all of it in the name.
    AuditHead {
        /// Id of the catalog.
        catalog: &'a str,
        /// Where the log ended.
        head: &'a AuditHead,
    },
    /// `strongroom-claim.json`: which catalog the bucket belongs to.
    Claim,
    /// `probes/{id}`: what the check at start writes and removes.
    Probe {
        /// Makes it unique.
        id: &'a str,
    },
}

impl fmt::Display for ObjectKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { model, draft, path } => write!(f, "models/{model}/{draft}/{path}"),
            Self::DraftPrefix { model, draft } => write!(f, "models/{model}/{draft}/"),
            Self::Manifest { model, number } => write!(f, "manifests/{model}/{number}.json"),
            Self::Journal { catalog, seq } => write!(f, "journal/{catalog}/{seq:020}.json"),
            Self::AuditHead { catalog, head: AuditHead { chain, seq, hash } } => {
                write!(f, "audit/{catalog}/{chain}/{seq:020}-{hash}.json")
            }
            Self::Claim => f.write_str("strongroom-claim.json"),
            Self::Probe { id } => write!(f, "probes/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_and_stay_below_the_limit_of_s3() {
        let model = ModelRef { namespace: "v".repeat(96).parse().unwrap(), name: "m".repeat(96).parse().unwrap() };
        let draft = DraftId::generate();
        let path = "x".repeat(700).parse().unwrap();
        let key = ObjectKey::File { model: &model, draft: &draft, path: &path }.to_string();
        assert!(key.len() <= 1024, "{}", key.len());
        let prefix = ObjectKey::DraftPrefix { model: &model, draft: &draft }.to_string();
        assert!(key.starts_with(&prefix));
    }
}
