//! What changes after a version was published, as the bucket's journal keeps it.

use serde::{Deserialize, Serialize};

use super::{
    Alias, AliasPattern, Integrity, Labels, Metadata, ModelRef, Namespace, Retention, Sha256Digest, Timestamp,
    VersionNumber,
};

/// One change that no manifest tells of; with the manifests, enough to rebuild the catalog.
///
/// Entries of one catalog are applied in the order of their numbers. A reader that meets an unknown type stops: it is
/// older than the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An alias was set, moved or removed.
    AliasMoved {
        /// Whose.
        model: ModelRef,
        /// Which.
        alias: Alias,
        /// Where it was; none when it was new.
        from: Option<VersionNumber>,
        /// Where it is; none when it was removed.
        to: Option<VersionNumber>,
        /// Why, as the caller said.
        reason: String,
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
    },
    /// What is said of a version was changed.
    VersionDescribed {
        /// Whose.
        model: ModelRef,
        /// Which.
        number: VersionNumber,
        /// All of it, after the change.
        metadata: Metadata,
        /// After the change.
        description: String,
        /// Counts the changes.
        revision: i64,
    },
    /// A version was put into the trash.
    VersionTrashed {
        /// Whose.
        model: ModelRef,
        /// Which.
        number: VersionNumber,
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// From when on it may be purged.
        purge_at: Timestamp,
    },
    /// A version was taken out of the trash.
    VersionRestored {
        /// Whose.
        model: ModelRef,
        /// Which.
        number: VersionNumber,
    },
    /// A version's bytes and manifest are about to go for good; its number stays taken.
    VersionPurged {
        /// Whose.
        model: ModelRef,
        /// Which.
        number: VersionNumber,
    },
    /// A version was put on legal hold, or taken off it.
    HoldSet {
        /// Whose.
        model: ModelRef,
        /// Which.
        number: VersionNumber,
        /// Why it is held; none when it is not any more.
        hold: Option<String>,
    },
    /// The stored bytes of a file were read and compared with its digest.
    ObjectChecked {
        /// S3 key.
        key: String,
        /// S3 VersionId; that of the original bucket in a copy of it.
        version_id: String,
        /// The digest in question: with the key it finds the object in a copy of the bucket.
        sha256: Sha256Digest,
        /// What came of it.
        integrity: Integrity,
        /// When.
        at: Timestamp,
    },
    /// What is said of a model was changed.
    ModelDescribed {
        /// Which.
        model: ModelRef,
        /// After the change.
        description: String,
    },
    /// The labels of a model were changed.
    ModelLabelled {
        /// Which.
        model: ModelRef,
        /// All of them, after the change.
        labels: Labels,
    },
    /// A model was put into the trash with all its versions.
    ModelTrashed {
        /// Which.
        model: ModelRef,
        /// When.
        at: Timestamp,
        /// By whom.
        by: String,
        /// From when on it may be purged.
        purge_at: Timestamp,
    },
    /// A model was taken out of the trash.
    ModelRestored {
        /// Which.
        model: ModelRef,
    },
    /// Nothing is left of a model but the last number that it gave.
    ModelPurged {
        /// Which.
        model: ModelRef,
        /// The next version has the number after it.
        last_number: i64,
        /// When.
        at: Timestamp,
    },
    /// The retention rules of a model were set or, when none, removed.
    RetentionSet {
        /// Whose.
        model: ModelRef,
        /// The rules.
        rules: Option<Retention>,
    },
    /// Whether a namespace demands verification before publishing.
    VerificationDemanded {
        /// Which.
        namespace: Namespace,
        /// Whether it does.
        demanded: bool,
    },
    /// Which aliases a namespace protects was changed.
    AliasesProtected {
        /// Which.
        namespace: Namespace,
        /// All of them, after the change.
        patterns: Vec<AliasPattern>,
    },
}

/// An [`Event`] and its place in the journal: what an object of the journal holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Of this document; 1.
    pub schema: u32,
    /// Its number; numbers grow, and one may be missing.
    pub seq: i64,
    /// What happened.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_and_an_unknown_one_is_refused() {
        let entry = JournalEntry {
            schema: 1,
            seq: 7,
            event: Event::AliasMoved {
                model: ModelRef { namespace: "a".parse().unwrap(), name: "b".parse().unwrap() },
                alias: "production".parse().unwrap(),
                from: None,
                to: VersionNumber::new(3),
                reason: "canary passed".into(),
                at: Timestamp::from_millis(1),
                by: "token:ci".into(),
            },
        };
        let json = serde_json::to_string(&entry).unwrap();
        assert!(json.contains(r#""type":"alias_moved""#), "{json}");
        assert_eq!(serde_json::from_str::<JournalEntry>(&json).unwrap(), entry);
        let unknown = json.replace("alias_moved", "alias_painted");
        assert!(serde_json::from_str::<JournalEntry>(&unknown).is_err());
    }
}
