//! What a command that looks at everything says in the end: a report for people or for programs, also as a file.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::print;

/// Where the report goes, and how.
#[derive(Debug, Args)]
pub(super) struct Reporting {
    /// Also write the report to FILE, as JSON; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Why the report is not said; the work is done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// Standard output.
    #[error("the work is done; cannot print its report")]
    Print(#[from] std::io::Error),
    /// JSON.
    #[error("the work is done; its report cannot be written down")]
    Json(#[from] serde_json::Error),
    /// The file.
    #[error("the work is done; cannot write its report to {}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        source: std::io::Error,
    },
}

impl Reporting {
    /// Says it where it is wanted.
    ///
    /// # Errors
    /// [`ReportError`].
    pub(super) fn say(self, report: &(impl Display + Serialize)) -> Result<(), ReportError> {
        let json = serde_json::to_string_pretty(report)? + "\n";
        match self.format {
            Format::Text => print(&report.to_string())?,
            Format::Json => print(&json)?,
        }
        match self.report {
            Some(path) => write(&path, &json).map_err(|source| ReportError::File { path, source }),
            None => Ok(()),
        }
    }
}

/// All of it or nothing: renamed into place.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
