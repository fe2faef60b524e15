//! `strongroom bucket …`, a file per command.

mod destroy;
mod outputs;

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::Subcommand;

pub(super) use self::outputs::text as outputs_text;
use super::Settings;
use crate::config::{Config, InvalidConfig};
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum Bucket {
    /// Print the bucket's name, its region, its key and the key's alias.
    Outputs(outputs::Outputs),
    /// Schedule the deletion of the bucket's KMS key, 10 days ahead; refused unless the bucket is empty.
    Destroy(destroy::Destroy),
}

/// How a bucket command ends: some say more than success by their exit status.
pub(super) type Ended = Result<ExitCode, Box<dyn StdError>>;

impl Bucket {
    pub(super) fn run(self) -> Ended {
        match self {
            Self::Outputs(outputs) => outputs.run(),
            Self::Destroy(destroy) => destroy.run(),
        }
    }
}

/// Reads the configuration, and logs only what is wrong unless it says otherwise: what is done goes to standard output.
fn prepare(settings: &Settings) -> Result<Config, InvalidConfig> {
    let config = settings.load(&[])?;
    telemetry::init(config.log_format, Some(config.log_filter.as_deref().unwrap_or("warn,s3s=off")));
    Ok(config)
}
