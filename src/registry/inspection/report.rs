//! What an inspection of the bucket has found, for people and for programs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::InspectionProgress;
use crate::domain::Timestamp;
use crate::store::Fault;

/// Findings that are kept; more are counted.
const KEPT: usize = 10_000;
/// Findings that the text has; the JSON has all that are kept.
const SHOWN: usize = 100;

/// What is wrong with something that should be in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The object version that a row names is not there.
    Missing,
    /// A newer version lies over it.
    Overwritten,
    /// A delete marker lies over it.
    Deleted,
    /// It has another size.
    WrongSize,
    /// It is not under SSE-KMS.
    WrongAlgorithm,
    /// It is under another KMS key.
    WrongKey,
    /// S3 says another checksum than when it was written.
    WrongChecksum,
    /// Its bytes do not have the SHA-256 that they should have.
    WrongBytes,
    /// S3 does not give its bytes out, or not twice the same.
    Unreadable,
    /// The manifest of a version is not there.
    ManifestMissing,
    /// The manifest of a version tells of another one.
    ManifestDiffers,
    /// S3 did not say how it is.
    NotExamined,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BucketFinding {
    /// What.
    pub kind: FindingKind,
    /// S3 key.
    pub key: String,
    /// S3 VersionId; empty for a manifest.
    pub version_id: String,
    /// What was found, and what to do.
    pub detail: String,
    /// Files that use it, the first few.
    pub used_by: Vec<String>,
}

/// What an inspection did and found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct InspectionReport {
    /// Of this document; 1.
    pub format: u32,
    /// When it began.
    pub began_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The bucket.
    pub bucket: String,
    /// The one that was looked at; all without.
    pub namespace: Option<String>,
    /// The part of the objects whose bytes were to be read, 0 to 1.
    pub sample: f64,
    /// Whether drafts and manifests were looked at too.
    pub full: bool,
    /// Objects that S3 was asked about.
    pub objects: u64,
    /// Of these, objects whose bytes were read and hashed.
    pub hashed: u64,
    /// Bytes of these.
    pub hashed_bytes: u64,
    /// Manifests that were read.
    pub manifests: u64,
    /// Objects that were known to be wrong before, and not looked at again.
    pub known_wrong: u64,
    /// What is wrong; at most 10,000 of them.
    pub findings: Vec<BucketFinding>,
    /// How many there are.
    pub finding_count: u64,
    /// Versions that were quarantined because of them, the first few of each.
    pub quarantined: Vec<String>,
    /// Why it ended before it was through.
    pub ended_early: Option<String>,
}

impl InspectionReport {
    /// Whether everything that was looked at is as it should be.
    pub fn is_clean(&self) -> bool {
        self.finding_count == 0 && self.ended_early.is_none()
    }

    pub(super) fn add(&mut self, finding: BucketFinding) {
        self.finding_count += 1;
        if self.findings.len() < KEPT {
            self.findings.push(finding);
        }
    }
}

impl FindingKind {
    /// What S3 says of an object is not what its row says.
    pub(super) fn of(fault: &Fault, size: u64) -> (Self, String) {
        match fault {
            Fault::Missing => (
                Self::Missing,
                "the version is not in the bucket: restore its bytes from a copy, or delete what uses it".to_owned(),
            ),
            Fault::Covered { by, is_marker: true } => {
                (Self::Deleted, format!("a delete marker lies over it, reads get it still: remove delete marker {by}"))
            }
            Fault::Covered { by, is_marker: false } => {
                (Self::Overwritten, format!("a newer version lies over it, reads get it still: delete version {by}"))
            }
            Fault::Size { found } => (Self::WrongSize, format!("it has {found} bytes, and should have {size}")),
            Fault::Algorithm { found } if found.is_empty() => {
                (Self::WrongAlgorithm, "S3 says of no encryption with a KMS key".to_owned())
            }
            Fault::Algorithm { found } => (Self::WrongAlgorithm, format!("it is encrypted with {found}, not aws:kms")),
            Fault::Key => (Self::WrongKey, "it is encrypted under another KMS key than it was written with".to_owned()),
            Fault::Checksum { found } => {
                (Self::WrongChecksum, format!("S3 says the checksum {found}, and said another one when it was written"))
            }
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Overwritten => "overwritten",
            Self::Deleted => "deleted",
            Self::WrongSize => "wrong size",
            Self::WrongAlgorithm => "wrong encryption",
            Self::WrongKey => "wrong key",
            Self::WrongChecksum => "wrong checksum",
            Self::WrongBytes => "wrong bytes",
            Self::Unreadable => "unreadable",
            Self::ManifestMissing => "manifest missing",
            Self::ManifestDiffers => "manifest differs",
            Self::NotExamined => "not examined",
        }
    }
}

impl fmt::Display for InspectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().take(SHOWN) {
            let BucketFinding { kind, key, version_id, detail, used_by } = finding;
            writeln!(f, "{}: {key}", kind.in_words())?;
            if !version_id.is_empty() {
                writeln!(f, "  version  {version_id}")?;
            }
            writeln!(f, "  found    {detail}")?;
            for user in used_by {
                writeln!(f, "  used by  {user}")?;
            }
        }
        let shown = self.findings.len().min(SHOWN) as u64;
        if self.finding_count > shown {
            writeln!(f, "and {} more", self.finding_count - shown)?;
        }
        for version in &self.quarantined {
            writeln!(f, "quarantined: {version}")?;
        }
        if self.known_wrong > 0 {
            writeln!(f, "{} objects were known to be wrong before, and not looked at again", self.known_wrong)?;
        }
        if let Some(why) = &self.ended_early {
            writeln!(f, "ended early: {why}")?;
        }
        let (objects, hashed, bytes) = (self.objects, self.hashed, self.hashed_bytes);
        write!(f, "{objects} objects looked at, {hashed} of them read ({bytes} bytes)")?;
        if self.full {
            write!(f, ", {} manifests", self.manifests)?;
        }
        match self.finding_count {
            0 => writeln!(f, ": nothing wrong"),
            count => writeln!(f, ": {count} wrong"),
        }
    }
}

impl fmt::Display for InspectionProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (done, total, mib) = (load(&self.done), load(&self.total), load(&self.bytes) >> 20);
        write!(f, "{done} of {total} objects looked at, {mib} MiB read, {} wrong", load(&self.findings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_bounded_and_counts_what_it_leaves_out() {
        let mut report = InspectionReport::default();
        assert!(report.is_clean() && report.to_string().ends_with(": nothing wrong\n"));
        for n in 0..KEPT + 5 {
            let (kind, detail) = FindingKind::of(&Fault::Missing, 1);
            report.add(BucketFinding {
                kind,
                key: n.to_string(),
                version_id: "v".into(),
                detail,
                used_by: vec!["a/b version 1: m".into()],
            });
        }
        assert!(!report.is_clean());
        assert_eq!((report.findings.len(), report.finding_count), (KEPT, KEPT as u64 + 5));
        let text = report.to_string();
        assert!(text.contains("used by  a/b version 1: m") && text.contains("and 9905 more"), "{}", text.len());
        assert!(text.ends_with(": 10005 wrong\n"));
    }
}
