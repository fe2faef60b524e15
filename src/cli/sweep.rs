//! `strongroom sweep`.

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::Args;

use super::report::Reporting;
use super::{Settings, runtime};
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
    #[command(flatten)]
    reporting: Reporting,
}

impl Sweep {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let config = self.settings.load(&[])?;
        telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or(QUIET)));
        let report = runtime()?.block_on(sweep::once(&config, self.dry_run, self.force))?;
        self.reporting.say(&report)?;
        Ok(exit(&report))
    }
}

fn exit(report: &SweepReport) -> ExitCode {
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
