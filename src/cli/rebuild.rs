//! `strongroom rebuild`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Settings, print, runtime};
use crate::app::rebuild::{self, Rebuilt};
use crate::telemetry;

/// Losses that are printed; the report has all.
const PRINTED: usize = 100;

/// Make the catalog anew from the bucket alone, into an empty database; exit 1 when anything was lost.
#[derive(Debug, Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    settings: Settings,
    /// Also write what came back and what did not as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Rebuild {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let config = self.settings.load(&[])?;
        telemetry::init(config.log_format, config.log_filter.as_deref());
        let rebuilt = runtime()?.block_on(rebuild::rebuild(&config))?;
        if let Some(path) = &self.report {
            std::fs::write(path, serde_json::to_string_pretty(&rebuilt)? + "\n")?;
        }
        print(&text(&rebuilt))?;
        Ok(if rebuilt.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(rebuilt: &Rebuilt) -> String {
    let Rebuilt { catalog, bucket, models, versions, objects, aliases, journal_entries, .. } = rebuilt;
    let mut text = format!(
        "catalog        {catalog}\nbucket         {bucket}\nmodels         {models}\nversions       {versions}\n\
         objects        {objects}\naliases        {aliases}\njournal        {journal_entries} entries, the last is {}\n",
        rebuilt.last_entry
    );
    if rebuilt.moved_objects > 0 {
        let moved = rebuilt.moved_objects;
        let _infallible = writeln!(text, "moved          {moved} objects under other VersionIds, found by their bytes");
    }
    let (seconds, rate) = (rebuilt.seconds, rebuilt.versions_per_second);
    let _infallible = writeln!(text, "took           {seconds:.1} s, {rate:.0} versions a second");
    for loss in rebuilt.lost.iter().take(PRINTED) {
        // What stands in the bucket may hold what moves a terminal's cursor.
        let what = loss.what.replace(char::is_control, " ");
        let _infallible = writeln!(text, "LOST           {}: {what}", loss.of.replace(char::is_control, " "));
    }
    let lost = rebuilt.lost.len() as u64 + rebuilt.more_lost;
    if lost > PRINTED as u64 {
        let _infallible = writeln!(text, "               … and {} more; --report has them", lost - PRINTED as u64);
    }
    text.push_str(match lost {
        0 => "\nNothing was lost of what manifests and journal hold.\n",
        _ => "\nWhat is lost is listed above; everything else is back.\n",
    });
    text.push_str("Tokens, grants, drafts, audit and overrides are not kept in the bucket: make them anew.\n");
    text
}
