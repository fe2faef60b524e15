//! The sweeper: removes what no row needs, ends what has a time, and purges the trash.
//!
//! Everything is looked at before anything is removed. What nothing refers to goes only when this sweeper saw it long
//! ago, too, and when the writer of the catalog says once more, at that moment, that nothing needs it. A sweeper stops
//! before it removes anything when the catalog may not be the one that the bucket belongs to.

mod condemned;
mod expired;
mod guards;
mod look;
mod purge;
mod remove;
mod report;
mod retention;

pub use report::{Removed, SweepReport};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::remove::Budget;
use super::admit::decide_on_system;
use super::journal;
use crate::access::{Action, Caller};
use crate::catalog::{self, Catalog, Lease};
use crate::domain::{Actor, Timestamp};
use crate::store::{self, Store};

/// Name of the lease: one sweep at a time.
const LEASE: &str = "sweep";
/// How long a sweep that died keeps others out.
const LIFE: Duration = Duration::from_mins(2);
/// How often a sweep says that it lives.
const RENEW: Duration = Duration::from_secs(20);
/// Who the audit log says did it.
fn sweeper() -> Actor {
    Actor::service("sweeper")
}

/// Rows read at once.
const ROWS: i64 = 500;

/// How to sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepOptions {
    /// How long ago something must have been seen first before it goes.
    pub age: Duration,
    /// Most objects and uploads that one run removes.
    pub max_deletions: u64,
    /// How long what the rules of a model put into the trash stays there.
    pub trash: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Remove also when a suspicious share of the bucket would go.
    pub force: bool,
}

/// Removes from one bucket what one catalog does not need; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sweeper {
    catalog: Catalog,
    store: Store,
}

/// Why a sweep did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Somebody else sweeps.
    #[error("another sweep is under way, or was ended by force less than two minutes ago")]
    Busy,
    /// The lease was lost: this process was too slow.
    #[error("another sweep has begun meanwhile: this one stopped")]
    Overtaken,
    /// S3.
    #[error("the object store failed")]
    Store(#[from] store::Error),
    /// The catalog.
    #[error("the catalog failed")]
    Catalog(#[from] catalog::Error),
}

/// One run.
struct Run<'a> {
    catalog: &'a Catalog,
    store: &'a Store,
    options: &'a SweepOptions,
    began: Timestamp,
    budget: Budget,
    report: SweepReport,
    lease: Option<(&'a Lease, Instant)>,
}

impl Sweeper {
    /// A sweeper of this bucket for this catalog.
    pub fn new(catalog: Catalog, store: Store) -> Self {
        Self { catalog, store }
    }

    /// Sweeps once. What went wrong on the way is in the report, with what was done until then.
    ///
    /// # Errors
    /// [`SweepError`] when it could not begin.
    pub async fn run(&self, options: &SweepOptions) -> Result<SweepReport, SweepError> {
        if options.dry_run {
            return Ok(self.run_under(options, None).await);
        }
        let lease = self.catalog.take_lease(LEASE, LIFE).await?.ok_or(SweepError::Busy)?;
        let report = self.run_under(options, Some(&lease)).await;
        if let Err(error) = self.catalog.give_back(lease).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the lease of a sweep ends by itself");
        }
        Ok(report)
    }

    async fn run_under(&self, options: &SweepOptions, lease: Option<&Lease>) -> SweepReport {
        let began = Timestamp::now();
        let mut run = Run {
            catalog: &self.catalog,
            store: &self.store,
            options,
            began,
            budget: Budget::new(options.max_deletions),
            report: SweepReport::new(began, options.dry_run),
            lease: lease.map(|lease| (lease, Instant::now())),
        };
        if let Err(error) = run.all().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a sweep ended early");
            run.report.failed = Some(with_cause(&error));
        }
        run.report.ended_at = Timestamp::now();
        run.report
    }
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), SweepError> {
        if self.refuses_bucket().await? {
            return Ok(());
        }
        let Some(found) = self.look().await? else { return Ok(()) };
        self.expired_uploads().await?;
        self.expired_drafts().await?;
        self.retention().await?;
        self.begin_purges().await?;
        // What goes for good is in the journal first. A role that only sweeps may not write it: the service does, and a
        // later sweep goes on.
        if !self.options.dry_run
            && let Err(error) = journal::drain(self.catalog, self.store).await
        {
            tracing::info!(error = &error as &dyn std::error::Error, "the journal is left to the service");
        }
        let journalled = self.unlink_journalled().await?;
        self.unreferenced_rows().await?;
        self.condemned_objects().await?;
        self.end_purges(journalled).await?;
        self.remove_found(found).await?;
        self.old_answers().await
    }

    /// Says that this sweep lives; to be called between calls to S3.
    async fn keep(&mut self) -> Result<(), SweepError> {
        let Some((lease, renewed)) = &mut self.lease else { return Ok(()) };
        if renewed.elapsed() < RENEW {
            return Ok(());
        }
        if !self.catalog.renew(lease, LIFE).await? {
            return Err(SweepError::Overtaken);
        }
        *renewed = Instant::now();
        Ok(())
    }

    /// Whether what was first seen then may go.
    fn is_old(&self, first_seen: Timestamp) -> bool {
        first_seen.plus(self.options.age) <= self.began
    }
}

fn with_cause(error: &SweepError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// What the sweeper of this process did, for the metrics; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sweeps(Arc<Mutex<SweepGauges>>);

/// The sweeps of this process in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepGauges {
    /// When the last one ended that went through; none before.
    pub last_success: Option<Timestamp>,
    /// The last one; none before.
    pub last: Option<SweepReport>,
    /// What all of them removed.
    pub removed: Removed,
    /// How many could not begin, ended early or were refused.
    pub failures: u64,
}

impl Sweeps {
    /// Takes in what came of a sweep; none: it could not begin.
    pub fn record(&self, report: Option<SweepReport>) {
        let mut gauges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let through = report.as_ref().is_some_and(SweepReport::is_clean);
        gauges.failures += u64::from(!through);
        if let Some(report) = report {
            gauges.removed.add(&report.removed);
            if through {
                gauges.last_success = Some(report.ended_at);
            }
            gauges.last = Some(report);
        }
    }

    fn gauges(&self) -> SweepGauges {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl super::Registry {
    /// What the sweeper of this process did.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`].
    pub fn sweep_gauges(&self, caller: &Caller) -> Result<SweepGauges, super::Error> {
        decide_on_system(caller, Action::Observe)?;
        Ok(self.inner.sweeps.gauges())
    }
}
