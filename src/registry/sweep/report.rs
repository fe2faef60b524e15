//! What a sweep saw and did.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::domain::Timestamp;

/// What was removed from the bucket, by what it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Object versions that no row named.
    pub versions: u64,
    /// Delete markers over files of versions, or over nothing.
    pub markers: u64,
    /// Unfinished multipart uploads.
    pub uploads: u64,
    /// What probes left.
    pub probes: u64,
    /// Objects whose last file went: of purged versions and ended drafts.
    pub objects: u64,
    /// Manifests of purged versions.
    pub manifests: u64,
    /// Bytes of all of these, so far as S3 and the rows tell.
    pub bytes: u64,
}

/// What was seen in the bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Object versions and delete markers below `models/`.
    pub versions: u64,
    /// Of these, those that nothing refers to and nobody is writing.
    pub unreferenced: u64,
    /// Unfinished multipart uploads below `models/` and `probes/`.
    pub uploads: u64,
    /// Of these, those that nobody will finish.
    pub dangling: u64,
    /// Manifests.
    pub manifests: u64,
    /// What probes left.
    pub probes: u64,
}

/// What one sweep saw and did; with `dry_run`, what it would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Of this document; 1.
    pub format: u32,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Why nothing was removed.
    pub refused: Option<String>,
    /// Why it ended early.
    pub failed: Option<String>,
    /// What was seen.
    pub seen: Seen,
    /// What was removed.
    pub removed: Removed,
    /// What nothing refers to and was seen too short a time ago.
    pub waiting: u64,
    /// What S3 did not let this role remove: it stays for a role with `s3:DeleteObjectVersion`, or until its lock ends.
    pub denied: u64,
    /// There is more to remove than one run may.
    pub capped: bool,
    /// Objects that rows name and the bucket does not have.
    pub missing: u64,
    /// Drafts that nobody filled in time.
    pub drafts_ended: u64,
    /// Uploads that nobody ended in time.
    pub uploads_ended: u64,
    /// Objects that nothing refers to any more.
    pub objects_condemned: u64,
    /// Versions that the rules of their models put into the trash.
    pub versions_trashed: u64,
    /// Versions of which only the number is left now.
    pub versions_purged: u64,
    /// Models of which only the last number is left now.
    pub models_purged: u64,
    /// Versions to be purged that wait until the bucket's journal says so.
    pub purges_waiting: u64,
    /// Remembered answers that were forgotten.
    pub answers_forgotten: u64,
}

impl Removed {
    pub(super) fn add(&mut self, other: &Self) {
        self.versions += other.versions;
        self.markers += other.markers;
        self.uploads += other.uploads;
        self.probes += other.probes;
        self.objects += other.objects;
        self.manifests += other.manifests;
        self.bytes += other.bytes;
    }
}

impl SweepReport {
    pub(super) fn new(began_at: Timestamp, dry_run: bool) -> Self {
        Self {
            format: 1,
            began_at,
            ended_at: began_at,
            dry_run,
            refused: None,
            failed: None,
            seen: Seen::default(),
            removed: Removed::default(),
            waiting: 0,
            denied: 0,
            capped: false,
            missing: 0,
            drafts_ended: 0,
            uploads_ended: 0,
            objects_condemned: 0,
            versions_trashed: 0,
            versions_purged: 0,
            models_purged: 0,
            purges_waiting: 0,
            answers_forgotten: 0,
        }
    }

    /// Whether it went through: neither refused nor ended early.
    pub fn is_clean(&self) -> bool {
        self.refused.is_none() && self.failed.is_none()
    }
}

impl fmt::Display for SweepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seen, removed, .. } = self;
        let mut text = String::new();
        let mut line = |number: u64, what: &str| {
            if number > 0 {
                let _infallible = writeln!(text, "{number:>10}  {what}");
            }
        };
        line(removed.versions, "object versions that nothing referred to, removed");
        line(removed.markers, "delete markers, removed");
        line(removed.uploads, "unfinished uploads, ended");
        line(removed.probes, "leftovers of probes, removed");
        line(removed.objects, "objects of purged versions and ended drafts, removed");
        line(removed.manifests, "manifests of purged versions, removed");
        line(removed.bytes, "bytes in all of these");
        line(self.drafts_ended, "drafts that expired, ended");
        line(self.uploads_ended, "uploads that expired, ended");
        line(self.objects_condemned, "objects that lost their last file");
        line(self.versions_trashed, "versions put into the trash by retention rules");
        line(self.versions_purged, "versions purged");
        line(self.models_purged, "models purged");
        line(self.answers_forgotten, "remembered answers forgotten");
        line(self.purges_waiting, "versions wait to be purged until the bucket's journal says so");
        line(self.waiting, "things that nothing refers to wait until they were seen long enough");
        line(self.denied, "things stay: this role may not remove them (s3:DeleteObjectVersion), or they are locked");
        line(self.missing, "objects are named by rows and not in the bucket: `strongroom verify` tells which");
        let head = match (self.dry_run, text.is_empty()) {
            (_, true) => "Nothing to do.\n",
            (true, false) => "Nothing was changed; a sweep would do this:\n",
            (false, false) => "",
        };
        f.write_str(head)?;
        f.write_str(&text)?;
        writeln!(
            f,
            "Seen: {} versions below models/ ({} that nothing refers to), {} manifests, {} unfinished uploads.",
            seen.versions, seen.unreferenced, seen.manifests, seen.uploads
        )?;
        if self.capped {
            writeln!(f, "There is more: one run removes at most `sweep_max_deletions`; sweep again.")?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "REFUSED: {refused}")?;
        }
        if let Some(failed) = &self.failed {
            writeln!(f, "ENDED EARLY: {failed}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_says_what_was_done_and_nothing_that_was_not() {
        let mut report = SweepReport::new(Timestamp::from_millis(0), false);
        assert!(report.to_string().starts_with("Nothing to do.\n"), "{report}");
        report.removed.versions = 3;
        report.capped = true;
        let text = report.to_string();
        assert!(
            text.contains("3  object versions") && text.contains("sweep again") && !text.contains("probes,"),
            "{text}"
        );
        report.dry_run = true;
        assert!(report.to_string().starts_with("Nothing was changed"), "{report}");
        report.refused = Some("because".into());
        assert!(report.to_string().contains("REFUSED: because") && !report.is_clean());
    }
}
