//! `strongroom bucket …`, a file per command.

mod apply;
mod check;
mod destroy;
mod export;
mod iam;
mod outputs;
mod override_claims;
mod plan;
mod told;

use std::error::Error as StdError;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

pub(super) use self::outputs::text as outputs_text;
use super::Settings;
use crate::config::{Config, InvalidConfig};
use crate::provision::Mode;
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum Bucket {
    /// Say what `apply` would change, from what to what, and why; exit 0 in sync, 2 with changes, 1 on an error.
    Plan(plan::Plan),
    /// Make the key and the bucket, or bring them back to what they should be.
    Apply(apply::Apply),
    /// Print the bucket's name, its region, its key and the key's alias.
    Outputs(outputs::Outputs),
    /// Prove the bucket: every claim looked at, every good and bad path tried; exit 1 when a claim fails.
    Check(check::Check),
    /// Let writes pass in spite of named claims until a stated time; recorded and logged.
    Override(override_claims::OverrideClaims),
    /// Print the bucket and its key as Terraform or Pulumi code; nothing is asked of the account.
    Export(export::Export),
    /// Print the IAM policies to grant: to who provisions, serves, sweeps and destroys.
    Iam(iam::Iam),
    /// Schedule the deletion of the bucket's KMS key, 10 days ahead; refused unless the bucket is empty.
    Destroy(destroy::Destroy),
}

/// How a bucket command ends: some say more than success by their exit status.
pub(super) type Ended = Result<ExitCode, Box<dyn StdError>>;

impl Bucket {
    pub(super) fn run(self) -> Ended {
        match self {
            Self::Plan(plan) => plan.run(),
            Self::Apply(apply) => apply.run(),
            Self::Check(check) => check.run(),
            Self::Override(claims) => claims.run(),
            Self::Outputs(outputs) => outputs.run(),
            Self::Export(export) => export.run(),
            Self::Iam(iam) => iam.run(),
            Self::Destroy(destroy) => destroy.run(),
        }
    }
}

/// What a plan may change; `verify` and `off` change nothing.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ChangingMode {
    /// Make what is absent, change nothing that exists.
    Create,
    /// Also bring back what differs.
    Repair,
}

impl From<ChangingMode> for Mode {
    fn from(mode: ChangingMode) -> Self {
        match mode {
            ChangingMode::Create => Self::Create,
            ChangingMode::Repair => Self::Repair,
        }
    }
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What is logged unless the configuration says otherwise: what is wrong, and that another run was faster with the key.
const QUIET: &str = "warn,s3s=off,strongroom::provision::apply_key=info";

/// Reads the configuration, and leaves the rest of the log out: what is done goes to standard output.
fn prepare(settings: &Settings) -> Result<Config, InvalidConfig> {
    let config = settings.load(&[])?;
    telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or(QUIET)));
    Ok(config)
}

/// What may be regretted, before it is done.
fn warn(config: &Config) {
    for warning in config.warnings() {
        note(&format!("warning: {warning}"));
    }
}

/// Advice beside a document on standard output.
fn note(text: &str) {
    // Standard error may be closed; the document counts.
    let _told = writeln!(std::io::stderr(), "strongroom: {text}");
}
