//! `strongroom bucket apply`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::{ChangingMode, Ended, outputs_text, told};
use crate::app::{self, bucket::Done};
use crate::cli::{Settings, runtime};
use crate::provision::{Change, Mode, Status};

/// Make the key and the bucket, or bring them back to what they should be.
///
/// Safe to repeat, and to run beside a service or by several at once.
#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    #[command(flatten)]
    settings: Settings,
    /// What may be changed [default: the configuration's mode].
    #[arg(long, value_enum)]
    mode: Option<ChangingMode>,
}

impl Apply {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        super::warn(&config);
        // A reader that went away does not end the work.
        let tell = |change: &Change| drop(told::print(&format!("{} {change}\n", told::sign(change))));
        let done = runtime()?.block_on(app::bucket::apply(&config, self.mode.map(Mode::from), &tell))?;
        told::print(&text(&done))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What follows the changes: how many there were, the outputs, and what is still not as it should be.
fn text(done: &Done) -> String {
    let Done { mode, provisioned, left_alone } = done;
    let summary = match provisioned.changes_made.len() {
        0 if left_alone.is_empty() => "In sync: nothing was changed.".to_owned(),
        0 => "Nothing was changed.".to_owned(),
        1 => "1 change was made.".to_owned(),
        many => format!("{many} changes were made."),
    };
    let mut text = format!("{}\n\n{}", told::styled(told::HEAD, summary), outputs_text(&provisioned.outputs));
    if !provisioned.unsupported.is_empty() {
        let names: Vec<String> = provisioned.unsupported.iter().map(ToString::to_string).collect();
        let _infallible = writeln!(text, "not known here {}", names.join(", "));
    }
    if !left_alone.is_empty() {
        text.push('\n');
        text.push_str(&told::left_alone(left_alone, *mode));
    }
    let failed: Vec<&str> = provisioned
        .findings
        .iter()
        .filter(|finding| finding.status == Status::Failed)
        .map(|finding| finding.claim.as_str())
        .collect();
    if !failed.is_empty() {
        let line = format!("Claims that do not hold: {} (`strongroom bucket check` says why)", failed.join(", "));
        let _infallible = writeln!(text, "\n{}", told::styled(told::BAD, line));
    }
    text
}
