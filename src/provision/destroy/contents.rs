//! What a bucket holds, counted: ours, and what keeps the key.

use std::fmt;

use crate::provision::check::PROBE_PREFIX;
use crate::provision::claim::CLAIM_KEY;

/// Versions, markers and uploads of others that are counted before "at least" is said.
const COUNTED: usize = 10_000;

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
}

/// What was found under a key.
pub(super) enum Kind {
    Version,
    Marker,
    Upload,
}

impl Contents {
    /// Takes one more into account.
    pub(super) fn count(&mut self, key: &str, kind: Kind) {
        if is_ours(key) {
            self.ours += 1;
            return;
        }
        match kind {
            Kind::Version => self.versions += 1,
            Kind::Marker => self.markers += 1,
            Kind::Upload => self.uploads += 1,
        }
        self.more = self.foreign() >= COUNTED;
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
        let ours =
            if self.foreign() == 0 && self.ours > 0 { format!(", {} under probes/", self.ours) } else { String::new() };
        write!(
            f,
            "{more}{versions} object version(s), {markers} delete marker(s), {uploads} unfinished upload(s){ours}"
        )
    }
}

/// Whether it is the claim, or left by a probe: ours to remove.
pub(super) fn is_ours(key: &str) -> bool {
    key == CLAIM_KEY || key.starts_with(PROBE_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_claim_and_probes_are_ours_to_remove() {
        for (key, ours) in [
            ("strongroom-claim.json", true),
            ("probes/01J", true),
            ("probes", false),
            ("models/a/b/c", false),
            ("x/strongroom-claim.json", false),
            ("", false),
        ] {
            assert_eq!(is_ours(key), ours, "{key}");
        }
    }

    #[test]
    fn counting_ends_early_and_says_so() {
        let mut contents = Contents::default();
        while !contents.more {
            contents.count("models/x", Kind::Version);
        }
        assert_eq!(contents.versions, COUNTED);
        assert!(contents.to_string().starts_with("at least 10000 object version(s)"), "{contents}");
        let mut markers = Contents::default();
        markers.count("a", Kind::Marker);
        markers.count(CLAIM_KEY, Kind::Version);
        assert_eq!((markers.foreign(), markers.ours), (1, 1));
        assert_eq!(markers.to_string(), "0 object version(s), 1 delete marker(s), 0 unfinished upload(s)");
    }
}
