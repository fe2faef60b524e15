//! `strongroom bucket plan`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{ChangingMode, Ended, Format, told};
use crate::app;
use crate::cli::{Settings, print, runtime};
use crate::provision::{Change, Difference, Kind, Mode, Preview};

/// There is something to do.
const CHANGES: u8 = 2;

/// Say what `apply` would change, from what to what, and why; exit 0 in sync, 2 with changes, 1 on an error.
#[derive(Debug, Args)]
pub(in crate::cli) struct Plan {
    #[command(flatten)]
    settings: Settings,
    /// What may be changed [default: the configuration's mode, or create when that changes nothing].
    #[arg(long, value_enum)]
    mode: Option<ChangingMode>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Plan {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        super::warn(&config);
        let (mode, preview) = runtime()?.block_on(app::bucket::plan(&config, self.mode.map(Mode::from)))?;
        match self.format {
            Format::Text => told::print(&text(&preview, mode))?,
            Format::Json => print(&(serde_json::to_string_pretty(&Document::new(&preview, mode))? + "\n"))?,
        }
        Ok(if preview.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
    }
}

fn text(preview: &Preview, mode: Mode) -> String {
    let Preview { spec, changes, left_alone } = preview;
    let mut text = format!("bucket {} in {}, mode {mode}\n\n", spec.bucket, spec.region);
    if !changes.is_empty() {
        text.extend(changes.iter().map(told::change));
        text.push('\n');
    }
    if !left_alone.is_empty() {
        text.push_str(&told::left_alone(left_alone, mode));
        text.push('\n');
    }
    let of = |kind| changes.iter().filter(|change| change.kind() == kind).count();
    let summary = if changes.is_empty() && left_alone.is_empty() {
        "In sync: nothing to change.".to_owned()
    } else {
        let (create, update) = (of(Kind::Create), of(Kind::Update));
        format!("Plan: {create} to create, {update} to change, {} left alone.", left_alone.len())
    };
    text + &told::styled(told::HEAD, summary) + "\n"
}

/// The JSON form; fields may come, none goes or changes its meaning.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    mode: Mode,
    bucket: &'a str,
    region: &'a str,
    /// Whether there is nothing to change; what is left alone does not count.
    in_sync: bool,
    changes: Vec<Entry>,
    left_alone: &'a [Difference],
}

#[derive(Debug, Serialize)]
struct Entry {
    kind: Kind,
    what: String,
    from: Option<String>,
    to: String,
    why: &'static str,
    /// IAM actions that it takes.
    actions: &'static str,
}

impl<'a> Document<'a> {
    fn new(preview: &'a Preview, mode: Mode) -> Self {
        let Preview { spec, changes, left_alone } = preview;
        Self {
            format: 1,
            mode,
            bucket: &spec.bucket,
            region: &spec.region,
            in_sync: changes.is_empty(),
            changes: changes.iter().map(Entry::new).collect(),
            left_alone,
        }
    }
}

impl Entry {
    fn new(change: &Change) -> Self {
        Self {
            kind: change.kind(),
            what: change.what(),
            from: change.from(),
            to: change.to(),
            why: change.why(),
            actions: change.actions(),
        }
    }
}
