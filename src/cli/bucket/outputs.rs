//! `strongroom bucket outputs`.

use clap::{Args, ValueEnum};

use crate::app;
use crate::cli::{Outcome, Settings, print, runtime};
use crate::telemetry;

/// Print the bucket's name, its region, its key and the key's alias.
#[derive(Debug, Args)]
pub(in crate::cli) struct Outputs {
    #[command(flatten)]
    settings: Settings,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Outputs {
    pub(super) fn run(self) -> Outcome {
        let config = self.settings.load(&[])?;
        telemetry::init(config.log_format, None);
        let outputs = runtime()?.block_on(app::outputs(&config))?;
        print(&match self.format {
            Format::Text => text(&outputs),
            Format::Json => serde_json::to_string_pretty(&outputs)? + "\n",
        })?;
        Ok(())
    }
}

/// The outputs, one a line.
pub(in crate::cli) fn text(outputs: &app::Outputs) -> String {
    format!(
        "bucket         {}\nregion         {}\nkms key        {}\nkms alias      {}\n",
        outputs.bucket,
        outputs.region,
        outputs.key_arn,
        outputs.key_alias.as_deref().unwrap_or("- (the key is your own)")
    )
}
