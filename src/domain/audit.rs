//! Entries of the audit log, chained by their hashes.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{
    Actor, Alias, DraftId, Event, FilePath, GrantOn, Integrity, ModelRef, Namespace, Sha256Digest, Timestamp,
    VersionNumber,
};

/// The longest name of what an entry is about: two names, an alias, and the words between them.
const MAX_SUBJECT: usize = 400;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that is stored and sent.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let found = Self::ALL.iter().find(|word| word.as_str() == text);
                found.copied().ok_or_else(|| UnknownWord(Self::ALL.iter().map(|word| word.as_str()).collect()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A word that is none of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is one of {}", .0.join(", "))]
pub struct UnknownWord(Vec<&'static str>);

words! {
    /// What was done, or tried.
    AuditAction {
        /// A version became visible.
        VersionPublish = "version.publish",
        /// What is said of a version was changed.
        VersionDescribe = "version.describe",
        /// A version was put on legal hold, or taken off it.
        VersionHold = "version.hold",
        /// A version was put into the trash.
        VersionTrash = "version.trash",
        /// A version was taken out of the trash.
        VersionRestore = "version.restore",
        /// A version's bytes and manifest go for good.
        VersionPurge = "version.purge",
        /// The stored bytes of a file are not what they should be: the versions that use it give it out no more.
        VersionQuarantine = "version.quarantine",
        /// An alias was set, moved or removed.
        AliasMove = "alias.move",
        /// What is said of a model was changed.
        ModelDescribe = "model.describe",
        /// The labels of a model were changed.
        ModelLabel = "model.label",
        /// The retention rules of a model were changed.
        ModelRetention = "model.retention",
        /// A model was put into the trash.
        ModelTrash = "model.trash",
        /// A model was taken out of the trash.
        ModelRestore = "model.restore",
        /// Nothing is left of a model but its last number.
        ModelPurge = "model.purge",
        /// What a namespace demands or protects was changed.
        NamespaceChange = "namespace.change",
        /// A draft was begun.
        DraftBegin = "draft.begin",
        /// What is said of a draft, or whether it is kept, was changed.
        DraftChange = "draft.change",
        /// A draft was discarded.
        DraftDiscard = "draft.discard",
        /// Nobody filled a draft in time.
        DraftExpire = "draft.expire",
        /// A draft got a file.
        FileAdd = "file.add",
        /// A file was taken out of a draft.
        FileRemove = "file.remove",
        /// An upload into a draft was aborted.
        UploadAbort = "upload.abort",
        /// The service gave the bytes of a file out itself, or began to.
        FileRead = "file.read",
        /// URLs to read files with were handed out; whether they were used, S3's own logs tell.
        DownloadUrlMint = "download_url.mint",
        /// URLs to send parts of a file with were handed out.
        UploadUrlMint = "upload_url.mint",
        /// A token was made.
        TokenMake = "token.make",
        /// Another token of the same name was made.
        TokenRotate = "token.rotate",
        /// A token was revoked.
        TokenRevoke = "token.revoke",
        /// A role was given to somebody.
        GrantGive = "grant.give",
        /// A role was taken back.
        GrantTakeBack = "grant.take_back",
        /// Writes pass in spite of a security claim.
        OverrideSet = "override.set",
        /// The claim counts again.
        OverrideEnd = "override.end",
        /// The catalog was made anew from the bucket: what the log said before is in the bucket's heads only.
        CatalogRebuild = "catalog.rebuild",
        /// A change was asked for by somebody who may not make it.
        AccessRefuse = "access.refuse",
    }
}

words! {
    /// What came of it.
    AuditResult {
        /// It happened, in the transaction of this entry.
        Done = "done",
        /// It did not.
        Refused = "refused",
    }
}

/// What an entry is about, written like the end of its address: `models/{ns}/{name}/versions/{n}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

impl Subject {
    /// The service itself.
    pub fn service() -> Self {
        Self("service".to_owned())
    }

    /// A namespace.
    pub fn namespace(namespace: &Namespace) -> Self {
        Self(format!("namespaces/{namespace}"))
    }

    /// A model.
    pub fn model(model: &ModelRef) -> Self {
        Self(format!("models/{model}"))
    }

    /// A version of a model.
    pub fn version(model: &ModelRef, number: VersionNumber) -> Self {
        Self(format!("models/{model}/versions/{number}"))
    }

    /// An alias of a model.
    pub fn alias(model: &ModelRef, alias: &Alias) -> Self {
        Self(format!("models/{model}/aliases/{alias}"))
    }

    /// A draft of a model.
    pub fn draft(model: &ModelRef, draft: DraftId) -> Self {
        Self(format!("models/{model}/drafts/{draft}"))
    }

    /// A token, by its id.
    pub fn token(id: &str) -> Self {
        Self(format!("tokens/{id}"))
    }

    /// A grant, by its id, in what it is on.
    pub fn grant(on: &GrantOn, id: &str) -> Self {
        match on {
            GrantOn::Everything => Self(format!("grants/{id}")),
            GrantOn::Namespace(namespace) => Self(format!("namespaces/{namespace}/grants/{id}")),
            GrantOn::Model(model) => Self(format!("models/{model}/grants/{id}")),
        }
    }

    /// A security claim.
    pub fn claim(claim: &str) -> Self {
        Self(format!("claims/{claim}"))
    }

    /// The catalog.
    pub fn catalog() -> Self {
        Self("catalog".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In lower case: what differs only in case is found together.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The namespace in which it lies, in lower case; empty when it lies in none.
    pub fn in_namespace(&self) -> String {
        let mut segments = self.0.split('/');
        match segments.next() {
            Some("models" | "namespaces") => segments.next().unwrap_or_default().to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// From the catalog.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let first = text.split('/').next().unwrap_or_default();
        let known = ["models", "namespaces", "tokens", "grants", "claims", "service", "catalog"].contains(&first);
        if known && text.len() <= MAX_SUBJECT { Ok(Self(text.to_owned())) } else { Err(InvalidSubject) }
    }
}

/// What no entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it begins with `models/`, `namespaces/`, `tokens/`, `grants/` or `claims/`, as in `models/vision/resnet50`, or is \
     `service` or `catalog`"
)]
pub struct InvalidSubject;

/// Something that was done, or was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// What.
    pub action: AuditAction,
    /// On what.
    pub on: Subject,
    /// What came of it.
    pub result: AuditResult,
    /// More, as an object; never a secret.
    pub details: Value,
}

impl Deed {
    /// Something that happened.
    pub fn done(action: AuditAction, on: Subject, details: Value) -> Self {
        Self { action, on, result: AuditResult::Done, details }
    }

    /// Something that somebody may not do; `right` is the action that policies speak of.
    pub fn refused(right: &str, on: Subject) -> Self {
        let details = json!({ "right": right });
        Self { action: AuditAction::AccessRefuse, on, result: AuditResult::Refused, details }
    }

    /// A file that a draft has now.
    pub fn file_added(model: &ModelRef, draft: DraftId, path: &FilePath, size: u64, sha256: Sha256Digest) -> Self {
        let details = json!({ "path": path.as_str(), "size": size, "sha256": sha256.to_string() });
        Self::done(AuditAction::FileAdd, Subject::draft(model, draft), details)
    }
}

impl Event {
    /// The change as the audit log tells it; none for what nobody decided.
    pub fn deed(&self) -> Option<Deed> {
        use AuditAction as A;
        let text = |digest_of: &str| Sha256Digest::of(digest_of.as_bytes()).to_string();
        let (action, on, details) = match self {
            Self::AliasMoved { model, alias, from, to, reason, .. } => {
                let number = |version: &Option<VersionNumber>| version.map(VersionNumber::get);
                let details = json!({ "from": number(from), "to": number(to), "reason": reason });
                (A::AliasMove, Subject::alias(model, alias), details)
            }
            Self::VersionDescribed { model, number, metadata, description, revision } => {
                let details = json!({
                    "revision": revision,
                    "metadata_sha256": text(&metadata.to_json()),
                    "description_sha256": text(description),
                });
                (A::VersionDescribe, Subject::version(model, *number), details)
            }
            Self::VersionTrashed { model, number, purge_at, .. } => {
                (A::VersionTrash, Subject::version(model, *number), json!({ "purge_at": purge_at }))
            }
            Self::VersionRestored { model, number } => (A::VersionRestore, Subject::version(model, *number), json!({})),
            Self::VersionPurged { model, number } => (A::VersionPurge, Subject::version(model, *number), json!({})),
            Self::HoldSet { model, number, hold } => {
                (A::VersionHold, Subject::version(model, *number), json!({ "hold": hold }))
            }
            // Told with the versions that it hits, by who records it; that bytes are right is no deed.
            Self::ObjectChecked { integrity: Integrity::Verified | Integrity::Declared | Integrity::Wrong, .. } => {
                return None;
            }
            Self::ModelDescribed { model, description } => {
                (A::ModelDescribe, Subject::model(model), json!({ "description_sha256": text(description) }))
            }
            Self::ModelLabelled { model, labels } => {
                (A::ModelLabel, Subject::model(model), json!({ "labels": labels }))
            }
            Self::ModelTrashed { model, purge_at, .. } => {
                (A::ModelTrash, Subject::model(model), json!({ "purge_at": purge_at }))
            }
            Self::ModelRestored { model } => (A::ModelRestore, Subject::model(model), json!({})),
            Self::ModelPurged { model, last_number, .. } => {
                (A::ModelPurge, Subject::model(model), json!({ "last_number": last_number }))
            }
            Self::RetentionSet { model, rules } => {
                (A::ModelRetention, Subject::model(model), json!({ "rules": rules }))
            }
            Self::VerificationDemanded { namespace, demanded } => {
                (A::NamespaceChange, Subject::namespace(namespace), json!({ "require_verified": demanded }))
            }
            Self::AliasesProtected { namespace, patterns } => {
                (A::NamespaceChange, Subject::namespace(namespace), json!({ "protected_aliases": patterns }))
            }
        };
        Some(Deed::done(action, on, details))
    }
}

/// An entry of the audit log: a deed, who did it, and its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The chain that it belongs to.
    pub chain: String,
    /// 1, 2, 3 …, without gaps.
    pub seq: i64,
    /// When; never before the entry before it.
    pub at: Timestamp,
    /// Who, and from where.
    pub by: Actor,
    /// What.
    pub deed: Deed,
    /// The hash of the entry before it; [`FIRST_AUDIT_HASH`] for the first.
    pub prev: Sha256Digest,
}

/// What stands for the hash of the entry before the first.
pub const FIRST_AUDIT_HASH: Sha256Digest = Sha256Digest::from_bytes([0; 32]);

impl AuditEntry {
    /// The entry as it is given out, without its hash.
    pub fn to_json(&self) -> Value {
        let Self { chain, seq, at, by, deed, prev } = self;
        json!({
            "chain": chain,
            "seq": seq,
            "at": at,
            "principal": by.principal,
            "address": by.origin.address,
            "request_id": by.origin.request_id,
            "action": deed.action.as_str(),
            "on": deed.on.as_str(),
            "result": deed.result.as_str(),
            "details": deed.details,
            "prev": prev.to_string(),
        })
    }

    /// SHA-256 over the RFC 8785 form of the entry, the hash of the one before it included.
    pub fn hash(&self) -> Sha256Digest {
        // A value of JSON always has a canonical form; an empty one would never be equal to a stored hash.
        let canonical = serde_json_canonicalizer::to_vec(&self.to_json()).unwrap_or_default();
        Sha256Digest::of(&canonical)
    }
}

/// How far a chain goes, and the hash of its last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The chain's id.
    pub chain: String,
    /// The number of its last entry; 0 when it has none.
    pub seq: i64,
    /// That entry's hash.
    pub hash: Sha256Digest,
}

impl AuditHead {
    /// Reads what a key of the bucket says that begins with `prefix`, `audit/{catalog}/`: `{chain}/{seq}-{hash}.json`.
    pub fn of_key(key: &str, prefix: &str) -> Option<Self> {
        let (chain, rest) = key.strip_prefix(prefix)?.split_once('/')?;
        let (seq, hash) = rest.strip_suffix(".json")?.split_once('-')?;
        Some(Self { chain: chain.to_owned(), seq: seq.parse().ok()?, hash: hash.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_object_says_where_the_log_ends() {
        let head = AuditHead { chain: "01M8".to_owned(), seq: 12, hash: Sha256Digest::of(b"12") };
        let key = crate::domain::ObjectKey::AuditHead { catalog: "01M7", head: &head }.to_string();
        assert_eq!(AuditHead::of_key(&key, "audit/01M7/"), Some(head));
        for name in ["", "01M8", "01M8/x-y.json", "01M8/12.json", "01M8/12-00.txt", "01M8/12-00.json"] {
            assert_eq!(AuditHead::of_key(&format!("audit/01M7/{name}"), "audit/01M7/"), None, "{name}");
        }
        assert_eq!(AuditHead::of_key(&key, "audit/01M6/"), None);
    }

    fn entry() -> AuditEntry {
        let model = ModelRef { namespace: "Vision".parse().unwrap(), name: "resnet50".parse().unwrap() };
        let event = Event::ModelRestored { model };
        AuditEntry {
            chain: "01M84MKB68N0KDABWK59D4RX4A".to_owned(),
            seq: 1,
            at: Timestamp::from_millis(1_700_000_000_000),
            by: Actor::operator(),
            deed: event.deed().unwrap(),
            prev: FIRST_AUDIT_HASH,
        }
    }

    #[test]
    fn a_hash_covers_every_member_of_an_entry() {
        let hash = entry().hash();
        // Computed once with Python's hashlib over the canonical text: the formula that the documentation gives.
        let canonical = r#"{"action":"model.restore","address":null,"at":"2023-11-14T22:13:20Z","chain":"01M84MKB68N0KDABWK59D4RX4A","details":{},"on":"models/Vision/resnet50","prev":"0000000000000000000000000000000000000000000000000000000000000000","principal":"operator","request_id":"","result":"done","seq":1}"#;
        assert_eq!(hash, Sha256Digest::of(canonical.as_bytes()));
        let changes: [fn(&mut AuditEntry); 9] = [
            |entry| entry.chain.push('x'),
            |entry| entry.seq = 2,
            |entry| entry.at = Timestamp::from_millis(1),
            |entry| entry.by.principal.push('x'),
            |entry| entry.by.origin.address = Some([127, 0, 0, 1].into()),
            |entry| entry.by.origin.request_id.push('x'),
            |entry| entry.deed.on = Subject::service(),
            |entry| entry.deed.result = AuditResult::Refused,
            |entry| entry.prev = Sha256Digest::of(b""),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut other = entry();
            change(&mut other);
            assert_ne!(other.hash(), hash, "change {at}");
        }
    }

    #[test]
    fn what_lies_in_a_namespace_is_known_by_its_address() {
        assert_eq!(entry().deed.on.in_namespace(), "vision");
        assert_eq!(Subject::namespace(&"Vision".parse().unwrap()).in_namespace(), "vision");
        assert_eq!(Subject::token("01").in_namespace(), "");
        assert!("models/vision".parse::<Subject>().is_ok());
        assert!("elsewhere/vision".parse::<Subject>().is_err());
    }

    #[test]
    fn words_are_read_back() {
        for action in AuditAction::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert!("version.paint".parse::<AuditAction>().unwrap_err().to_string().contains("version.publish"));
    }
}
