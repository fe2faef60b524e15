//! `strongroom bucket check`.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Ended, Format, told};
use crate::app;
use crate::cli::{Settings, print, runtime};
use crate::provision::evidence::Files;
use crate::provision::{Effect, Finding, Report, Status, remedy};

/// Prove the bucket: every claim looked at, every good and bad path tried; exit 1 when a claim fails.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    settings: Settings,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Also write what was called and answered, for an auditor: FILE as JSON, and beside it the same ending in .md.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Who vouches for the evidence; without it there are lines to sign.
    #[arg(long, value_name = "NAME", requires = "evidence")]
    signed_by: Option<String>,
}

/// Why the evidence was not written.
#[derive(Debug, thiserror::Error)]
enum EvidenceError {
    #[error("{} exists: evidence is never overwritten, name another file", .0.display())]
    Exists(PathBuf),
    #[error("cannot write the evidence to {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Check {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let paths = self.evidence.as_deref().map(paths);
        // Before the work: it should not be done in vain.
        for path in paths.iter().flatten() {
            refuse_existing(path)?;
        }
        let mut evidence = runtime()?.block_on(app::bucket::check(&config))?;
        if let Some([json, markdown]) = &paths {
            evidence.signed_by = self.signed_by;
            let files: Files = evidence.files()?;
            write(json, &files.json)?;
            write(markdown, &files.markdown)?;
        }
        match self.format {
            Format::Text => told::print(&text(&evidence.posture, paths.as_ref()))?,
            Format::Json => print(&(serde_json::to_string_pretty(&evidence.posture)? + "\n"))?,
        }
        let failed = evidence.posture.claims.iter().any(|judged| judged.finding.status == Status::Failed);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn text(report: &Report, evidence: Option<&[PathBuf; 2]>) -> String {
    let mut text = "Set apart (no claim satisfies them; they do not fail the check):\n".to_owned();
    for apart in &report.apart {
        let line = format!("{}: {}", apart.asks, apart.reason);
        let _infallible = writeln!(text, "  {line} {}", told::styled(told::FAINT, apart.controls.join(", ")));
    }
    // What needs somebody's care comes last: there the reader is.
    for status in [Status::Passed, Status::NotVerifiable, Status::Failed] {
        text.push('\n');
        let findings = report.claims.iter().map(|judged| &judged.finding);
        text.extend(findings.filter(|finding| finding.status == status).map(claim));
    }
    for made in &report.overrides {
        let line = format!("overridden until {}: {} ({})", made.until, made.claim, told::clean(&made.reason));
        let _infallible = writeln!(text, "\n{}", told::styled(told::CARE, line));
    }
    let count = |status| report.claims.iter().filter(|judged| judged.finding.status == status).count();
    let (passed, failed, unknown) = (count(Status::Passed), count(Status::Failed), count(Status::NotVerifiable));
    let summary = format!("{passed} passed, {failed} failed, {unknown} not verifiable");
    let style = if failed > 0 { told::BAD } else { told::HEAD };
    let _infallible = writeln!(text, "\n{}", told::styled(style, summary));
    for path in evidence.into_iter().flatten() {
        let _infallible = writeln!(text, "evidence       {}", path.display());
    }
    text
}

/// One claim: how it stands, what should be and what was seen, and what to do when it fails.
fn claim(finding: &Finding) -> String {
    let Finding { claim, status, effect, expected, observed, controls } = finding;
    let (style, word) = match status {
        Status::Passed => (told::GOOD, "passed"),
        Status::Failed => (told::BAD, "FAILED"),
        Status::NotVerifiable => (told::CARE, "not verifiable"),
    };
    let effect = match effect {
        Effect::Blocking => "blocking",
        Effect::Degrading => "degrading",
    };
    let (expected, observed) = (told::clean(expected), told::clean(observed));
    let mut text = format!("{} {effect:<10} {claim}\n", told::styled(style, format!("{word:<14}")));
    let _infallible = writeln!(text, "                 {}", claim.says());
    if *status != Status::Passed {
        let _infallible = writeln!(text, "                 expected {expected}");
    }
    let _infallible = writeln!(text, "                 found    {observed}");
    if *status == Status::Failed {
        let _infallible = writeln!(text, "                 to do    {}", remedy(*claim));
    }
    if !controls.is_empty() {
        let _infallible = writeln!(text, "                 {}", told::styled(told::FAINT, controls.join(", ")));
    }
    text
}

/// Where the JSON and the Markdown go.
fn paths(file: &Path) -> [PathBuf; 2] {
    let ends_in = |ending| file.extension().is_some_and(|found| found == ending);
    if ends_in("json") || ends_in("md") {
        return [file.with_extension("json"), file.with_extension("md")];
    }
    let mut markdown = file.as_os_str().to_owned();
    markdown.push(".md");
    [file.to_owned(), markdown.into()]
}

fn refuse_existing(path: &Path) -> Result<(), EvidenceError> {
    match path.symlink_metadata() {
        Ok(_) => Err(EvidenceError::Exists(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(EvidenceError::Write { path: path.to_owned(), source }),
    }
}

/// All of it or nothing: renamed into place.
fn write(path: &Path, text: &str) -> Result<(), EvidenceError> {
    refuse_existing(path)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|source| {
        // What is half written is of no use; the first error is the one to tell.
        let _removed = fs::remove_file(&new);
        EvidenceError::Write { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::ClaimId;

    #[test]
    fn evidence_is_two_files_beside_each_other() {
        for (file, json, markdown) in [
            ("a/e.json", "a/e.json", "a/e.md"),
            ("e.md", "e.json", "e.md"),
            ("e", "e", "e.md"),
            ("2026.1", "2026.1", "2026.1.md"),
        ] {
            assert_eq!(paths(Path::new(file)), [PathBuf::from(json), PathBuf::from(markdown)], "{file}");
        }
    }

    #[test]
    fn failed_claim_says_what_to_do_and_foreign_text_cannot_move_the_cursor() {
        let told = claim(&Finding::failed(ClaimId::Versioned, "Enabled", "\u{1b}[2Jfine"));
        for part in ["FAILED", "blocking", "expected Enabled", "to do    strongroom bucket apply", "FSBP S3.14"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("\u{1b}[2J"), "{told}");
    }
}
