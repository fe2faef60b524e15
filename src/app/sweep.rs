//! Sweeping: by command, and again and again beside the requests.

use std::time::Duration;

use super::ToolError;
use super::tools::Tools;
use crate::config::Config;
pub use crate::registry::SweepReport;
use crate::registry::{SweepError, SweepOptions, Sweeper, Sweeps};

/// The first sweep of a service: soon, so that one that is restarted every day sweeps too.
const FIRST: Duration = Duration::from_mins(1);

/// Why a sweep did not begin.
#[derive(Debug, thiserror::Error)]
pub enum SweepCommandError {
    /// There is nothing to sweep.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// It did not begin.
    #[error(transparent)]
    Sweep(#[from] SweepError),
}

/// Sweeps once.
///
/// # Errors
/// [`SweepCommandError`] when it could not begin; what went wrong later is in the report.
pub async fn once(config: &Config, dry_run: bool, force: bool) -> Result<SweepReport, SweepCommandError> {
    let tools = Tools::open(config).await?;
    let sweeper = Sweeper::new(tools.catalog.clone(), tools.store.clone());
    let swept = sweeper.run(&SweepOptions { dry_run, force, ..options(config) }).await;
    tools.close().await;
    Ok(swept?)
}

pub(super) fn options(config: &Config) -> SweepOptions {
    SweepOptions {
        age: config.sweeping.age,
        max_deletions: config.sweeping.max_deletions,
        trash: config.limits.trash,
        dry_run: false,
        force: false,
    }
}

/// Never ends. Of several services on one catalog, one sweeps at a time.
pub(super) async fn again_and_again(sweeper: Sweeper, options: SweepOptions, every: Duration, sweeps: Sweeps) {
    tokio::time::sleep(FIRST.min(every)).await;
    loop {
        match sweeper.run(&options).await {
            Ok(report) => {
                tell(&report);
                sweeps.record(Some(report));
            }
            Err(SweepError::Busy) => tracing::info!("sweep: another one is under way"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "sweep: could not begin");
                sweeps.record(None);
            }
        }
        tokio::time::sleep(every).await;
    }
}

fn tell(report: &SweepReport) {
    if let Some(why) = report.refused.as_ref().or(report.failed.as_ref()) {
        tracing::warn!("sweep: {why}");
    }
    let removed = report.removed;
    tracing::info!(
        ?removed,
        waiting = report.waiting,
        denied = report.denied,
        missing = report.missing,
        trashed = report.versions_trashed,
        purged = report.versions_purged,
        capped = report.capped,
        "swept"
    );
}
