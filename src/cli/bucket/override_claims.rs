//! `strongroom bucket override`.

use std::process::ExitCode;

use clap::Args;

use super::{Ended, told};
use crate::app::bucket::overrides;
use crate::cli::{Settings, print, runtime, stretch};
use crate::config::Config;
use crate::domain::Timestamp;
use crate::provision::{ClaimId, Override};

/// Let writes pass in spite of named claims until a stated time; recorded, and logged when made, used and ended.
#[derive(Debug, Args)]
pub(in crate::cli) struct OverrideClaims {
    #[command(flatten)]
    settings: Settings,
    /// A blocking claim, by its id; repeat it for more.
    #[arg(long = "claim", value_name = "ID", required_unless_present = "list")]
    claims: Vec<ClaimId>,
    /// When it ends by itself: a time (2026-01-31T18:00:00Z) or from now on (30m, 2h, 3d); at most 7 days ahead.
    #[arg(long, value_name = "TIME", value_parser = until, required_unless_present_any = ["list", "end"])]
    until: Option<Timestamp>,
    /// Why; it is kept for the audit.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["list", "end"])]
    reason: Option<String>,
    /// Who says so; it is kept for the audit.
    #[arg(long, value_name = "NAME", default_value = "command line")]
    by: String,
    /// End the overrides of these claims now.
    #[arg(long, conflicts_with_all = ["until", "reason", "list"])]
    end: bool,
    /// List the overrides in force.
    #[arg(long, conflicts_with_all = ["claims", "until", "reason"])]
    list: bool,
}

impl OverrideClaims {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let runtime = runtime()?;
        if self.list {
            let in_force = runtime.block_on(overrides::list(&config))?;
            print(&lines(&in_force))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.end {
            let had_none = runtime.block_on(overrides::end(&config, &self.claims, &self.by))?;
            for claim in &self.claims {
                let none = had_none.contains(claim);
                print(&format!("{} {claim}\n", if none { "not overridden:" } else { "override ended:" }))?;
            }
            print(&next_look(&config))?;
            return Ok(if had_none.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let (until, reason) = (self.until.unwrap_or_else(Timestamp::now), self.reason.unwrap_or_default());
        let made = runtime.block_on(overrides::set(&config, &self.claims, until, &reason, &self.by))?;
        print(&(lines(&made) + &next_look(&config)))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn lines(overrides: &[Override]) -> String {
    if overrides.is_empty() {
        return "no claim is overridden\n".to_owned();
    }
    let line = |made: &Override| {
        let Override { claim, until, reason, by, since } = made;
        format!("{claim} is overridden until {until}, by {}, since {since}: {}\n", told::clean(by), told::clean(reason))
    };
    overrides.iter().map(line).collect()
}

fn next_look(config: &Config) -> String {
    format!("A running service takes this in at its next look, within {} s.\n", config.watch.as_secs())
}

/// A point in time, or one that is a number of days, hours, minutes or seconds ahead.
fn until(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ahead = stretch(text).ok_or_else(|| {
        format!("`{text}` is neither a time (2026-01-31T18:00:00Z) nor one from now on (30m, 2h, 3d)")
    })?;
    Ok(Timestamp::now().plus(ahead))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn until_is_a_time_or_a_stretch_from_now() {
        assert_eq!(until("1970-01-01T00:00:01Z"), Ok(Timestamp::from_millis(1000)));
        let in_two_hours = Timestamp::now().plus(Duration::from_hours(2)).millis();
        assert!((until("2h").unwrap().millis() - in_two_hours).abs() < 5_000);
        for text in ["", "h", "2", "2w", "-2h", "2026-01-31", "2.5h", "ä"] {
            assert!(until(text).is_err(), "{text}");
        }
    }
}
