//! `strongroom bucket …`, a file per command.

mod outputs;

use clap::Subcommand;

pub(super) use self::outputs::text as outputs_text;
use super::Outcome;

#[derive(Debug, Subcommand)]
pub(super) enum Bucket {
    /// Print the bucket's name, its region, its key and the key's alias.
    Outputs(outputs::Outputs),
}

impl Bucket {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Outputs(outputs) => outputs.run(),
        }
    }
}
