//! `strongroom verify`.

use std::error::Error as StdError;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::report::Reporting;
use super::{Settings, runtime};
use crate::app::verify::{self, InspectionReport, Wish};
use crate::domain::Namespace;
use crate::telemetry;

/// What is logged unless the configuration says otherwise: the report says the rest.
const QUIET: &str = "error,s3s=off";

/// Look again at everything that is stored, and read it: is it there, and is it still right; exit 1 when it is not.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    settings: Settings,
    /// Read the bytes of a random part of the files only; S3 is asked about all of them.
    #[arg(long, value_name = "N%", default_value = "100%", value_parser = part)]
    sample: u32,
    /// Look at one namespace only.
    #[arg(long, value_name = "NS")]
    namespace: Option<Namespace>,
    /// Look at files that only drafts have, and at the manifests of versions, too.
    #[arg(long)]
    full: bool,
    /// Quarantine the versions of files that are missing or have wrong bytes; for good.
    #[arg(long)]
    quarantine: bool,
    #[command(flatten)]
    reporting: Reporting,
}

impl Verify {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let config = self.settings.load(&[])?;
        telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or(QUIET)));
        let wish =
            Wish { sample: self.sample, namespace: self.namespace, full: self.full, quarantine: self.quarantine };
        let report = runtime()?.block_on(verify::verify(&config, wish, tell))?;
        self.reporting.say(&report)?;
        Ok(exit(&report))
    }
}

fn exit(report: &InspectionReport) -> ExitCode {
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Standard output is for the report.
fn tell(progress: String) {
    // Standard error may be closed; the report counts.
    let _told = writeln!(std::io::stderr(), "strongroom: {progress}");
}

/// `5%`, `5` or `0.25%` in millionths.
fn part(text: &str) -> Result<u32, &'static str> {
    const RULE: &str = "a number from 0% to 100% with at most four decimals";
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 4 {
        return Err(RULE);
    }
    let millionths: u32 = format!("{whole}{decimals:0<4}").parse().map_err(|_| RULE)?;
    if millionths <= 1_000_000 { Ok(millionths) } else { Err(RULE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_a_percentage() {
        assert_eq!((part("5%"), part("100"), part("0.5%")), (Ok(50_000), Ok(1_000_000), Ok(5_000)));
        assert_eq!((part("0"), part("0.0001%"), part("100.0%")), (Ok(0), Ok(1), Ok(1_000_000)));
        for text in ["", "%", "-1%", "101%", "100.1%", "NaN", "half", "1.", ".5", "0.00001%"] {
            assert!(part(text).is_err(), "{text}");
        }
    }
}
