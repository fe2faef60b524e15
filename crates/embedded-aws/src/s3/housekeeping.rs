//! What happens without a request: lifecycle rules are carried out, completions forgotten.

use super::{Inner, bucket::lifecycle::Lifecycle, clock};
use crate::meta::{
    MetaError, SequencedId,
    listing::{self, After, Query, Row},
    lookup,
    objects::Refused,
    record::Upload,
    uploads,
};
use redb::ReadableTable;
use s3s::dto::{ExpirationStatus, LifecycleRule};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinHandle};

const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long a repeated Complete is answered.
const COMPLETED_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Uploads that are looked at in one read.
const PAGE: usize = 500;

/// The task; dropped, it ends.
#[derive(Debug)]
pub(super) struct Housekeeping(Option<JoinHandle<()>>);

impl Housekeeping {
    /// Begins at once and repeats hourly; without a tokio runtime nothing is started.
    pub(super) fn start(inner: &Arc<Inner>) -> Self {
        let Ok(runtime) = Handle::try_current() else { return Self(None) };
        Self(Some(runtime.spawn(run(Arc::downgrade(inner)))))
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let Some(inner) = store.upgrade() else { return };
        let done = tokio::task::spawn_blocking(move || round(&inner, clock::now_ms())).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "housekeeping failed; it will be tried again"
                );
            }
            Err(error) => tracing::error!(%error, "housekeeping ended early; it will be tried again"),
        }
    }
}

/// One round over all buckets. Blocks.
pub(super) fn round(inner: &Inner, now_ms: i64) -> Result<(), MetaError> {
    let forgotten = inner.meta.write(move |tables| {
        uploads::forget_completed(tables, now_ms - COMPLETED_MS)?;
        Ok(Ok::<_, Refused>(()))
    })?;
    debug_assert!(forgotten.is_ok(), "forgetting cannot be refused");
    let snapshot = inner.meta.read()?;
    for entry in snapshot.buckets.iter()? {
        let bucket: crate::meta::record::Bucket = lookup::parse(entry?.1.value())?;
        let settings = lookup::settings(&snapshot.settings, bucket.id)?;
        let Some(json) = settings.lifecycle else { continue };
        let lifecycle: Lifecycle = serde_json::from_str(&json)?;
        abort_old_uploads(inner, bucket.id, &lifecycle.rules, now_ms)?;
    }
    Ok(())
}

fn abort_old_uploads(inner: &Inner, bucket: u64, rules: &[LifecycleRule], now_ms: i64) -> Result<(), MetaError> {
    let mut query = Query { limit: PAGE, ..Query::default() };
    loop {
        let snapshot = inner.meta.read()?;
        let page = listing::uploads(&snapshot, bucket, &query)?;
        for row in page.rows {
            let Row::Entry(key, upload) = row else { continue };
            query.after = After::Item(key.clone(), upload.sequence);
            if is_due(rules, &key, &upload, now_ms) {
                abort(inner, bucket, key, &upload)?;
            }
        }
        if !page.truncated {
            return Ok(());
        }
    }
}

fn abort(inner: &Inner, bucket: u64, key: String, upload: &Upload) -> Result<(), MetaError> {
    let id = SequencedId { sequence: upload.sequence, nonce: upload.nonce };
    tracing::info!(key, upload = %id, "aborting an upload by lifecycle rule");
    let aborted = inner.meta.write(move |tables| uploads::abort(tables, bucket, key.as_bytes(), id))?;
    // A refusal means that it was completed or aborted meanwhile.
    if let Ok(blobs) = aborted {
        inner.readers.unlink(blobs);
    }
    Ok(())
}

fn is_due(rules: &[LifecycleRule], key: &str, upload: &Upload, now_ms: i64) -> bool {
    rules.iter().filter(|rule| rule.status.as_str() == ExpirationStatus::ENABLED).any(|rule| {
        let days = rule.abort_incomplete_multipart_upload.as_ref().and_then(|abort| abort.days_after_initiation);
        let prefix = rule.filter.as_ref().and_then(|filter| filter.prefix.as_ref()).or(rule.prefix.as_ref());
        days.is_some_and(|days| now_ms - upload.initiated_ms >= i64::from(days) * DAY_MS)
            && prefix.is_none_or(|prefix| key.starts_with(prefix.as_str()))
    })
}
