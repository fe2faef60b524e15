//! `strongroom bucket export`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Ended, note};
use crate::app;
use crate::cli::{Settings, print, runtime};
use crate::provision::{self, BackEnd};

/// Print the bucket and its key as code, to apply elsewhere; nothing is asked of the account.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    settings: Settings,
    /// Whose code.
    #[arg(long, value_enum)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// HCL, for a file such as strongroom.tf.
    Terraform,
    /// YAML, for a file named Pulumi.yaml.
    Pulumi,
}

impl Export {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let mut wanted = runtime()?.block_on(app::desired::wanted(&config))?;
        if wanted.back_end != BackEnd::Aws {
            wanted.back_end = BackEnd::Aws;
            note("the configured storage is not AWS: this is the same bucket and key, as they would be on AWS");
        }
        let format = match self.format {
            Format::Terraform => provision::export::Format::Terraform,
            Format::Pulumi => provision::export::Format::Pulumi,
        };
        print(&provision::export::export(format, &wanted))?;
        Ok(ExitCode::SUCCESS)
    }
}
