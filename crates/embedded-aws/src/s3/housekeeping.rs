//! What happens without a request: lifecycle rules are carried out, completions forgotten.

use super::{
    Inner,
    bucket::lifecycle::Lifecycle,
    clock,
    expiry::{self, DAY_MS, Placed, Verdict},
};
use crate::meta::{
    MetaError, SequencedId,
    listing::{self, After, Query, Row},
    lookup,
    objects::{self, Place, Precondition, Refused},
    record::{Bucket, Upload, Version},
    uploads,
};
use redb::ReadableTable;
use s3s::dto::LifecycleRule;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinHandle};

const INTERVAL: Duration = Duration::from_hours(1);
/// How long a repeated Complete is answered.
const COMPLETED_MS: i64 = DAY_MS;
/// Rows that are looked at in one read.
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
                tracing::error!(error = &error as &dyn std::error::Error, "housekeeping failed; it will be repeated");
            }
            Err(error) => tracing::error!(%error, "housekeeping ended early; it will be repeated"),
        }
    }
}

/// One round over all buckets, as if it were `now_ms`. Blocks.
pub(super) fn round(inner: &Inner, now_ms: i64) -> Result<(), MetaError> {
    let snapshot = inner.meta.read()?;
    let mut completed = snapshot.completed.iter()?;
    if completed.next().is_some() {
        forget_completed(inner, now_ms - COMPLETED_MS)?;
    }
    for entry in snapshot.buckets.iter()? {
        let (name, record) = entry?;
        let bucket: Bucket = lookup::parse(record.value())?;
        let Some(json) = lookup::settings(&snapshot.settings, bucket.id)?.lifecycle else { continue };
        let lifecycle: Lifecycle = serde_json::from_str(&json)?;
        let round = Round { inner, name: name.value(), bucket: &bucket, rules: &lifecycle.rules, now_ms };
        round.abort_uploads()?;
        if expiry::concerns_versions(&lifecycle.rules) {
            round.expire_versions()?;
        }
    }
    Ok(())
}

fn forget_completed(inner: &Inner, before_ms: i64) -> Result<(), MetaError> {
    let forgotten = inner.meta.write(move |tables| {
        uploads::forget_completed(tables, before_ms)?;
        Ok(Ok::<_, Refused>(()))
    })?;
    debug_assert!(forgotten.is_ok(), "forgetting cannot be refused");
    Ok(())
}

/// One bucket's turn.
struct Round<'r> {
    inner: &'r Inner,
    name: &'r str,
    bucket: &'r Bucket,
    rules: &'r [LifecycleRule],
    now_ms: i64,
}

/// The versions of one key that have been read so far, newest first.
#[derive(Default)]
struct Key {
    name: String,
    /// The one that was read last; it is judged when it is known whether another follows.
    last: Option<Version>,
    /// When the version before `last` was written.
    superseded_ms: Option<i64>,
    read: usize,
}

impl Round<'_> {
    fn abort_uploads(&self) -> Result<(), MetaError> {
        let mut query = Query { limit: PAGE, ..Query::default() };
        loop {
            let page = listing::uploads(&self.inner.meta.read()?, self.bucket.id, &query)?;
            for row in page.rows {
                let Row::Entry(key, upload) = row else { continue };
                query.after = After::Item(key.clone(), upload.sequence);
                if expiry::upload_is_due(self.rules, &key, &upload, self.now_ms) {
                    self.abort(key, &upload)?;
                }
            }
            if !page.truncated {
                return Ok(());
            }
        }
    }

    fn abort(&self, key: String, upload: &Upload) -> Result<(), MetaError> {
        let id = SequencedId { sequence: upload.sequence, nonce: upload.nonce };
        let bucket = self.bucket.id;
        tracing::info!(bucket = self.name, key, upload = %id, "aborting an upload by lifecycle rule");
        let aborted = self.inner.meta.write(move |tables| uploads::abort(tables, bucket, key.as_bytes(), id))?;
        // A refusal means that it was completed or aborted meanwhile.
        if let Ok(blobs) = aborted {
            self.inner.readers.unlink(blobs);
        }
        Ok(())
    }

    fn expire_versions(&self) -> Result<(), MetaError> {
        let mut query = Query { limit: PAGE, ..Query::default() };
        let mut key = Key::default();
        loop {
            let page = listing::versions(&self.inner.meta.read()?, self.bucket.id, &query)?;
            for row in page.rows {
                let Row::Entry(name, (version, _)) = row else { continue };
                query.after = After::Item(name.clone(), !version.sequence);
                let same = name == key.name;
                self.judge(&key, !same)?;
                key = if same {
                    let superseded_ms = key.last.as_ref().map(|newer| newer.modified_ms);
                    Key { last: Some(version), superseded_ms, read: key.read + 1, name }
                } else {
                    Key { last: Some(version), superseded_ms: None, read: 1, name }
                };
            }
            if !page.truncated {
                return self.judge(&key, true);
            }
        }
    }

    /// Judges the version that was read last; `complete`: no older one follows.
    fn judge(&self, key: &Key, complete: bool) -> Result<(), MetaError> {
        let Some(version) = &key.last else { return Ok(()) };
        let placed = Placed {
            key: &key.name,
            version,
            versioning: self.bucket.versioning,
            superseded_ms: key.superseded_ms,
            newer_noncurrent: key.read.saturating_sub(2),
            only: complete && key.read == 1,
        };
        match expiry::judge(self.rules, &placed, self.now_ms) {
            Verdict::Keep => Ok(()),
            Verdict::Expire => self.delete(&key.name, version, false),
            Verdict::Remove => self.delete(&key.name, version, true),
        }
    }

    /// Deletes unless the key has changed since it was judged.
    fn delete(&self, key: &str, version: &Version, for_good: bool) -> Result<(), MetaError> {
        let place = Place { bucket: self.name.to_owned(), bucket_id: self.bucket.id, key: key.to_owned() };
        let (sequence, now_ms, newest_only) = (version.sequence, self.now_ms, !for_good || version.content.is_none());
        tracing::info!(bucket = self.name, key, for_good, "deleting by lifecycle rule");
        let deleted = self.inner.meta.write(move |tables| {
            let key = place.key.as_bytes();
            let newest = lookup::latest(&tables.versions, place.bucket_id, key)?;
            if newest_only && newest.is_none_or(|newest| newest.sequence != sequence) {
                return Ok(Err(Refused::PreconditionFailed));
            }
            if !for_good {
                return Ok(
                    objects::delete(tables, &place, None, &Precondition::None, now_ms)?.map(|deleted| deleted.unlink)
                );
            }
            let Some(version) = lookup::version(&tables.versions, place.bucket_id, key, sequence)? else {
                return Ok(Err(Refused::NoSuchVersion));
            };
            Ok(Ok(objects::remove(tables, place.bucket_id, key, &version)?))
        })?;
        if let Ok(blobs) = deleted {
            self.inner.readers.unlink(blobs);
        }
        Ok(())
    }
}
