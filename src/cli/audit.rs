//! `strongroom audit`.

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::Subcommand;

use super::report::Reporting;
use super::{Settings, runtime};
use crate::app::audit;
use crate::telemetry;

/// What is logged unless the configuration says otherwise: the report says the rest.
const QUIET: &str = "error,s3s=off";

/// The audit log: who did what.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Read the whole log, compare it with its hashes and with the heads in the bucket; exit 1 when an entry was
    /// altered, removed or moved.
    Verify {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        reporting: Reporting,
    },
}

impl Audit {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let Self::Verify { settings, reporting } = self;
        let config = settings.load(&[])?;
        telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or(QUIET)));
        let report = runtime()?.block_on(audit::verify(&config))?;
        reporting.say(&report)?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
