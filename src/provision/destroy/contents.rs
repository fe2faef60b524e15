//! What a bucket holds, counted: ours, and what keeps the key.

use std::fmt;

use super::claimed::Listed;
use crate::domain::AuditHead;
use crate::provision::check::PROBE_PREFIX;
use crate::provision::claim::CLAIM_KEY;

/// Below which the service says where its audit logs end.
const AUDIT_PREFIX: &str = "audit/";

/// Versions, markers and uploads of others that are counted before "at least" is said.
const COUNTED: usize = 10_000;

/// Largest object that a probe, the canary or the audit log writes, in bytes; theirs are far smaller.
const MAX_PROBE_BYTES: u64 = 4096;

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Object versions that are not ours to remove.
    pub versions: usize,
    /// Delete markers that are not ours to remove.
    pub markers: usize,
    /// Unfinished uploads that are not ours to end.
    pub uploads: usize,
    /// Whether counting ended early.
    pub more: bool,
    /// The claim, and what probes left.
    pub ours: usize,
    /// Heads of audit logs, which stay: their names say everything, and no key is needed to read a name.
    pub audit_heads: usize,
}

/// Something in the bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// VersionId, or the id of an upload.
    pub(super) id: &'a str,
    pub(super) kind: Kind,
}

/// What was found under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object version of this many bytes.
    Version(u64),
    Marker,
    Upload,
}

impl Entry<'_> {
    /// The claim, as far as its name says.
    pub(super) fn claim(&self) -> Option<Listed> {
        match self.kind {
            Kind::Version(size) if self.key == CLAIM_KEY => Some(Listed { version_id: self.id.to_owned(), size }),
            _ => None,
        }
    }

    /// Whether a probe or the canary left it.
    pub(super) fn is_probe(&self) -> bool {
        let named = self.key.strip_prefix(PROBE_PREFIX).is_some_and(is_ulid);
        named && !matches!(self.kind, Kind::Version(size) if size > MAX_PROBE_BYTES)
    }

    /// Whether it says where an audit log ended.
    fn is_audit_head(&self) -> bool {
        let catalog = self.key.strip_prefix(AUDIT_PREFIX).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let is_named_so = AuditHead::of_key(self.key, &format!("{AUDIT_PREFIX}{catalog}/")).is_some();
        is_named_so && matches!(self.kind, Kind::Version(0..=MAX_PROBE_BYTES) | Kind::Marker)
    }

    /// Whether it is ours to remove; whose claim it is, its bytes say.
    fn is_ours(&self) -> bool {
        self.is_probe() || self.claim().is_some() || self.is_claims_marker()
    }

    /// Somebody deleted the claim without naming its version.
    pub(super) fn is_claims_marker(&self) -> bool {
        self.kind == Kind::Marker && self.key == CLAIM_KEY
    }
}

impl Contents {
    /// Takes one more into account.
    pub(super) fn count(&mut self, entry: &Entry<'_>) {
        if entry.is_ours() {
            self.ours += 1;
            return;
        }
        if entry.is_audit_head() {
            self.audit_heads += 1;
            return;
        }
        match entry.kind {
            Kind::Version(_) => self.versions += 1,
            Kind::Marker => self.markers += 1,
            Kind::Upload => self.uploads += 1,
        }
        self.more = self.foreign() >= COUNTED;
    }

    /// Whether nothing is in it but heads of audit logs.
    pub fn is_empty(&self) -> bool {
        self.foreign() == 0 && self.ours == 0
    }

    /// Everything that is not ours to remove; a list too long to read counts as well.
    pub fn foreign(&self) -> usize {
        self.versions + self.markers + self.uploads + usize::from(self.more)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { "at least " } else { "" };
        let Self { versions, markers, uploads, .. } = self;
        let ours = if self.foreign() == 0 && self.ours > 0 {
            format!(", {} of the service's own (claim, probes)", self.ours)
        } else {
            String::new()
        };
        write!(
            f,
            "{more}{versions} object version(s), {markers} delete marker(s), {uploads} unfinished upload(s){ours}"
        )
    }
}

/// 26 characters, as probes and the canary name their objects.
fn is_ulid(name: &str) -> bool {
    name.len() == ulid::ULID_LEN && ulid::Ulid::from_string(name).is_ok_and(|id| id.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: &str = "probes/01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn entry(key: &str, kind: Kind) -> Entry<'_> {
        Entry { key, id: "1", kind }
    }

    #[test]
    fn only_the_claim_and_small_probes_are_ours_to_remove() {
        for (key, kind, ours) in [
            (CLAIM_KEY, Kind::Version(50), true),
            (CLAIM_KEY, Kind::Marker, true),
            (CLAIM_KEY, Kind::Upload, false),
            (PROBE, Kind::Version(33), true),
            (PROBE, Kind::Version(4096), true),
            (PROBE, Kind::Version(4097), false),
            (PROBE, Kind::Marker, true),
            (PROBE, Kind::Upload, true),
            ("probes/mine.txt", Kind::Version(1), false),
            ("probes/", Kind::Version(0), false),
            ("probes/01ARZ3NDEKTSV4RRFFQ69G5FAV/x", Kind::Version(1), false),
            ("probes/01ARZ3NDEKTSV4RRFFQ69G5FA", Kind::Version(1), false),
            ("probes/01arz3ndektsv4rrffq69g5fav", Kind::Version(1), false),
            ("models/a/b/c", Kind::Version(1), false),
            ("x/strongroom-claim.json", Kind::Version(1), false),
            ("", Kind::Version(1), false),
        ] {
            assert_eq!(entry(key, kind).is_ours(), ours, "{key} {kind:?}");
        }
    }

    #[test]
    fn counting_ends_early_and_says_so() {
        let mut contents = Contents::default();
        while !contents.more {
            contents.count(&entry("models/x", Kind::Version(1)));
        }
        assert_eq!(contents.versions, COUNTED);
        assert!(contents.to_string().starts_with("at least 10000 object version(s)"), "{contents}");
        let mut markers = Contents::default();
        markers.count(&entry("a", Kind::Marker));
        markers.count(&entry(CLAIM_KEY, Kind::Version(50)));
        assert_eq!((markers.foreign(), markers.ours), (1, 1));
        assert_eq!(markers.to_string(), "0 object version(s), 1 delete marker(s), 0 unfinished upload(s)");
    }
}
