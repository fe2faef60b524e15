//! `strongroom sweep`.

use std::error::Error as StdError;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Settings, print, runtime};
use crate::app::sweep::{self, SweepReport};
use crate::telemetry;

/// What is logged unless the configuration says otherwise: the report says the rest.
const QUIET: &str = "warn,s3s=off";

/// Remove what nothing refers to, and purge the trash; exit 1 when it was refused or ended early.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    settings: Settings,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also when nothing refers to more than a quarter of the bucket.
    #[arg(long)]
    force: bool,
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

/// Why the report was not written; the sweep is done.
#[derive(Debug, thiserror::Error)]
#[error("the sweep is done; cannot write its report to {}", path.display())]
struct ReportError {
    path: PathBuf,
    source: std::io::Error,
}

impl Sweep {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let config = self.settings.load(&[])?;
        telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or(QUIET)));
        let report = runtime()?.block_on(sweep::once(&config, self.dry_run, self.force))?;
        let json = serde_json::to_string_pretty(&report)? + "\n";
        match self.format {
            Format::Text => print(&report.to_string())?,
            Format::Json => print(&json)?,
        }
        if let Some(path) = self.report {
            write(&path, &json).map_err(|source| ReportError { path, source })?;
        }
        Ok(exit(&report))
    }
}

fn exit(report: &SweepReport) -> ExitCode {
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
