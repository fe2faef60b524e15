//! `strongroom bucket …`.

use clap::{Subcommand, ValueEnum};

use super::{Outcome, Settings, print, runtime};
use crate::app::{self, Outputs};
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub(super) enum Bucket {
    /// Print the bucket's name, its region, its key and the key's alias.
    Outputs {
        #[command(flatten)]
        settings: Settings,
        /// How to print them.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Bucket {
    pub(super) fn run(self) -> Outcome {
        let Self::Outputs { settings, format } = self;
        let config = settings.load(&[])?;
        telemetry::init(config.log_format, None);
        let outputs = runtime()?.block_on(app::outputs(&config))?;
        let text = match format {
            Format::Text => text(&outputs),
            Format::Json => serde_json::to_string_pretty(&outputs)? + "\n",
        };
        print(&text)?;
        Ok(())
    }
}

/// The outputs, one a line.
pub(super) fn text(outputs: &Outputs) -> String {
    format!(
        "bucket         {}\nregion         {}\nkms key        {}\nkms alias      {}\n",
        outputs.bucket,
        outputs.region,
        outputs.key_arn,
        outputs.key_alias.as_deref().unwrap_or("- (the key is your own)")
    )
}
