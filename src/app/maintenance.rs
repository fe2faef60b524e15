//! What runs beside the requests.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::look::Looker;
use super::watch::Watch;
use crate::registry::Registry;

/// How often recovery looks for what an outage interrupted.
const RECOVERY: Duration = Duration::from_mins(1);

/// How often the journal is looked after when nobody rang for it.
const JOURNAL: Duration = Duration::from_secs(2);
/// The longest pause after tries that failed.
const JOURNAL_PAUSE: Duration = Duration::from_mins(1);
/// How long the journal may take to catch up when the service ends.
const JOURNAL_END: Duration = Duration::from_secs(10);

/// `looker` is none where provisioning is off.
pub(super) fn spawn(
    registry: Registry,
    watch: Watch,
    looker: Option<Looker>,
    audit_head: Duration,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let watching = async move {
        match looker {
            Some(looker) => watch.run(looker).await,
            None => watch.run_unlooking().await,
        }
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(watching));
    tokio::spawn(stop.clone().run_until_cancelled_owned(recover(registry.clone())));
    tokio::spawn(stop.clone().run_until_cancelled_owned(audit_heads(registry.clone(), audit_head)));
    tokio::spawn(journal(registry, stop))
}

/// Keeps the bucket's journal up to date; it ends between two rounds, so that its lease is given back.
async fn journal(registry: Registry, stop: CancellationToken) {
    let mut pause = JOURNAL;
    while !stop.is_cancelled() {
        if let Err(error) = registry.flush_journal().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the journal in the bucket is behind");
            // Who rings does not know that it fails.
            let _stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(JOURNAL_PAUSE);
        } else {
            let _stopped = stop.run_until_cancelled(registry.journal_wanted(JOURNAL)).await;
            pause = JOURNAL;
        }
    }
}

/// Tells the bucket again and again where the audit log ends.
async fn audit_heads(registry: Registry, every: Duration) {
    loop {
        // At once after the start: what the run before wrote last may have no head yet.
        if let Err(error) = registry.flush_audit_head().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the bucket was not told where the audit log ends"
            );
        }
        tokio::time::sleep(every).await;
    }
}

/// Writes what the last requests put into the outbox, once nobody else does; what cannot be written now is written
/// after the next start.
pub(super) async fn end_journal(registry: &Registry, mut task: JoinHandle<()>) {
    let drained = async {
        // A task that panicked has ended too.
        let _ended = (&mut task).await;
        let flushed = registry.flush_journal().await;
        registry.flush_audit_head().await?;
        flushed
    };
    match tokio::time::timeout(JOURNAL_END, drained).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) | Err(_) => tracing::warn!("the journal in the bucket is behind; the next start goes on"),
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the journal in the bucket is behind; the next start goes on");
        }
    }
    task.abort();
}

async fn recover(registry: Registry) {
    loop {
        tokio::time::sleep(RECOVERY).await;
        if let Err(error) = registry.recover().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "recovery did not complete");
        }
    }
}
