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
    record::{Bucket, StorageClass, Upload, Version},
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
            Verdict::Transition => self.transition(&key.name, version),
            Verdict::Expire => self.delete(&key.name, version, false),
            Verdict::Remove => self.delete(&key.name, version, true),
        }
    }

    /// Says of a version that it is kept in Intelligent-Tiering.
    fn transition(&self, key: &str, version: &Version) -> Result<(), MetaError> {
        let place = self.place(key);
        let sequence = version.sequence;
        let moved = self.inner.meta.write(move |tables| {
            let found = lookup::version(&tables.versions, place.bucket_id, place.key.as_bytes(), sequence)?;
            let Some(version) = found else { return Ok(Err(Refused::NoSuchVersion)) };
            objects::rewrite(tables, &place, version, |content| {
                content.storage_class = StorageClass::IntelligentTiering;
                Ok(())
            })
        })?;
        // A refusal means that it was deleted meanwhile.
        if moved.is_ok() {
            tracing::debug!(bucket = self.name, key, "moved to Intelligent-Tiering by lifecycle rule");
        }
        Ok(())
    }

    fn place(&self, key: &str) -> Place {
        Place { bucket: self.name.to_owned(), bucket_id: self.bucket.id, key: key.to_owned() }
    }

    /// Deletes unless the key has changed since it was judged.
    fn delete(&self, key: &str, version: &Version, for_good: bool) -> Result<(), MetaError> {
        let place = self.place(key);
        let (sequence, now_ms, newest_only) = (version.sequence, self.now_ms, !for_good || version.content.is_none());
        tracing::info!(bucket = self.name, key, for_good, "deleting by lifecycle rule");
        let deleted = self.inner.meta.write(move |tables| {
            let key = place.key.as_bytes();
            let newest = lookup::latest(&tables.versions, place.bucket_id, key)?;
            if newest_only && newest.is_none_or(|newest| newest.sequence != sequence) {
                return Ok(Err(Refused::PreconditionFailed));
            }
            if !for_good {
                return Ok(objects::delete(tables, &place, None, &Precondition::None, false, now_ms)?
                    .map(|deleted| deleted.unlink));
            }
            let Some(version) = lookup::version(&tables.versions, place.bucket_id, key, sequence)? else {
                return Ok(Err(Refused::NoSuchVersion));
            };
            // A legal hold may have been put on it since it was judged.
            if version.is_locked(now_ms, false) {
                return Ok(Err(Refused::Locked));
            }
            Ok(Ok(objects::remove(tables, place.bucket_id, key, &version)?))
        })?;
        if let Ok(blobs) = deleted {
            self.inner.readers.unlink(blobs);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kms::Kms,
        meta::lock::{Lock, LockMode, Retention},
        meta::record::{Content, Description, Encryption, Part, PublicAccessBlock, Settings, Versioning},
        root_key::RootKey,
        s3::{Store, ingest},
    };
    use bytes::Bytes;
    use futures::stream;
    use s3s::dto::{
        AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRuleFilter,
        NoncurrentVersionExpiration, Transition, TransitionStorageClass,
    };

    const BUCKET: &str = "models";

    struct Fixture {
        store: Store,
        bucket: Bucket,
        dir: tempfile::TempDir,
        /// Of the versions that are put next.
        lock: Lock,
    }

    impl Fixture {
        async fn with(rule: LifecycleRule) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let db = Arc::new(redb::Database::create(dir.path().join("meta.redb")).unwrap());
            let (region, account) = ("us-east-1", "000000000000");
            let kms = Kms::open(Arc::clone(&db), RootKey::random().unwrap(), region, account).unwrap();
            // Away from the runtime, so that no round of today runs beside those of the test.
            let path = dir.path().to_owned();
            let open = move || Store::open(db, &path, kms, account, region).unwrap();
            let store = std::thread::spawn(open).join().unwrap();
            let bucket = Bucket { id: 1_000_000, created_ms: 0, versioning: Versioning::Enabled };
            let lifecycle = serde_json::to_string(&serde_json::json!({ "rules": [rule] })).unwrap();
            let settings = Settings {
                lifecycle: Some(lifecycle),
                public_access_block: Some(PublicAccessBlock::ALL),
                ..Settings::default()
            };
            let record = bucket.clone();
            store
                .change::<_, Refused>(move |tables| {
                    tables.buckets.insert(BUCKET, serde_json::to_vec(&record)?.as_slice())?;
                    tables.settings.insert(record.id, serde_json::to_vec(&settings)?.as_slice())?;
                    Ok(Ok(()))
                })
                .await
                .unwrap();
            Self { store, bucket, dir, lock: Lock::default() }
        }

        fn place(&self, key: &str) -> Place {
            Place { bucket: BUCKET.to_owned(), bucket_id: self.bucket.id, key: key.to_owned() }
        }

        async fn ingest(&self, key: &str) -> ingest::Ingested {
            let body = stream::iter([Ok(Bytes::from_static(b"weights"))]);
            let claims = ingest::Claims::default();
            ingest::ingest(&self.store, &self.place(key), &plain(), body, claims, &[]).await.unwrap()
        }

        async fn put(&self, key: &str, at_ms: i64) {
            let ingested = self.ingest(key).await;
            let content = Content {
                size: ingested.blob.size(),
                etag: ingested.etag.clone(),
                parts: None,
                checksum: None,
                encryption: plain(),
                description: Description::default(),
                lock: self.lock,
                storage_class: StorageClass::Standard,
            };
            let (place, segments) = (self.place(key), [(1, ingested.segment())]);
            let put = move |tables: &mut crate::meta::table::Tables<'_>| {
                objects::put(tables, &place, content, &segments, &Precondition::None, at_ms)
            };
            self.store.commit(ingested.blob, put).await.unwrap();
        }

        async fn upload(&self, key: &str, at_ms: i64) {
            let upload = Upload {
                sequence: 0,
                nonce: 0,
                initiated_ms: at_ms,
                initiator: String::new(),
                encryption: plain(),
                algorithm_header: None,
                checksum: None,
                description: Description::default(),
                lock: Lock::default(),
            };
            let place = self.place(key);
            let id = self.store.change(move |tables| uploads::create(tables, &place, upload)).await.unwrap();
            let ingested = self.ingest(key).await;
            let part = Part {
                blob: ingested.blob.id(),
                wrapped_key: ingested.wrapped_key.clone(),
                size: ingested.blob.size(),
                etag: ingested.etag.clone(),
                modified_ms: at_ms,
                checksum: String::new(),
                sent_checksum: None,
            };
            let place = self.place(key);
            let put =
                move |tables: &mut crate::meta::table::Tables<'_>| uploads::put_part(tables, &place, id, 1, &part);
            self.store.commit(ingested.blob, put).await.unwrap();
        }

        async fn round(&self, now_ms: i64) {
            let inner = Arc::clone(&self.store.inner);
            tokio::task::spawn_blocking(move || round(&inner, now_ms).unwrap()).await.unwrap();
        }

        /// Keys of all versions, markers with a `-` behind.
        fn versions(&self) -> Vec<String> {
            let snapshot = self.store.snapshot().unwrap();
            let query = Query { limit: 100, ..Query::default() };
            let page = listing::versions(&snapshot, self.bucket.id, &query).unwrap();
            let rows = page.rows.into_iter().map(|row| match row {
                Row::Entry(key, (version, _)) if version.content.is_some() => key,
                Row::Entry(key, _) => format!("{key}-"),
                Row::Prefix(prefix) => prefix,
            });
            rows.collect()
        }

        fn classes(&self) -> Vec<StorageClass> {
            let snapshot = self.store.snapshot().unwrap();
            let query = Query { limit: 100, ..Query::default() };
            let page = listing::current(&snapshot, self.bucket.id, &query).unwrap();
            let rows = page.rows.into_iter().filter_map(|row| match row {
                Row::Entry(_, version) => version.content.map(|content| content.storage_class),
                Row::Prefix(_) => None,
            });
            rows.collect()
        }

        fn files(&self) -> usize {
            let shards = std::fs::read_dir(self.dir.path().join("blobs")).unwrap();
            shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
        }
    }

    fn plain() -> Encryption {
        Encryption { kms_key: None, bucket_key: false, context: std::collections::BTreeMap::new() }
    }

    fn rule() -> LifecycleRule {
        LifecycleRule {
            abort_incomplete_multipart_upload: None,
            expiration: None,
            filter: None,
            id: None,
            noncurrent_version_expiration: None,
            noncurrent_version_transitions: None,
            prefix: Some("staging/".into()),
            status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
            transitions: None,
        }
    }

    #[tokio::test]
    async fn old_uploads_are_aborted_with_their_bytes() {
        let abort = AbortIncompleteMultipartUpload { days_after_initiation: Some(2) };
        let fixture = Fixture::with(LifecycleRule { abort_incomplete_multipart_upload: Some(abort), ..rule() }).await;
        fixture.upload("staging/old", 0).await;
        fixture.upload("staging/young", DAY_MS).await;
        fixture.upload("models/old", 0).await;
        fixture.round(2 * DAY_MS - 1).await;
        assert_eq!(fixture.files(), 3);
        fixture.round(2 * DAY_MS).await;
        assert_eq!(fixture.files(), 2);
        let snapshot = fixture.store.snapshot().unwrap();
        let left = listing::uploads(&snapshot, fixture.bucket.id, &Query { limit: 10, ..Query::default() }).unwrap();
        let keys: Vec<_> = left.rows.iter().map(|(Row::Entry(key, _) | Row::Prefix(key))| key.as_str()).collect();
        assert_eq!(keys, ["models/old", "staging/young"]);
    }

    #[tokio::test]
    async fn versions_expire_step_by_step_until_nothing_is_left() {
        let fixture = Fixture::with(LifecycleRule {
            expiration: Some(LifecycleExpiration { days: Some(1), ..LifecycleExpiration::default() }),
            noncurrent_version_expiration: Some(NoncurrentVersionExpiration {
                noncurrent_days: Some(1),
                newer_noncurrent_versions: None,
            }),
            ..rule()
        })
        .await;
        fixture.put("staging/a", 0).await;
        fixture.put("staging/a", DAY_MS).await;
        fixture.put("models/a", 0).await;
        fixture.round(2 * DAY_MS).await;
        assert_eq!(fixture.versions(), ["models/a", "staging/a-", "staging/a"]);
        assert_eq!(fixture.files(), 2);
        fixture.round(3 * DAY_MS).await;
        assert_eq!(fixture.versions(), ["models/a", "staging/a-"]);
        fixture.round(4 * DAY_MS).await;
        assert_eq!(fixture.versions(), ["models/a"]);
        assert_eq!(fixture.files(), 1);
    }

    #[tokio::test]
    async fn locked_versions_outlive_every_rule_until_their_time() {
        let mut fixture = Fixture::with(LifecycleRule {
            expiration: Some(LifecycleExpiration { days: Some(1), ..LifecycleExpiration::default() }),
            noncurrent_version_expiration: Some(NoncurrentVersionExpiration {
                noncurrent_days: Some(1),
                newer_noncurrent_versions: None,
            }),
            ..rule()
        })
        .await;
        let until = |days: i64| Some(Retention { mode: LockMode::Governance, until_ms: days * DAY_MS });
        fixture.lock = Lock { retention: until(10), legal_hold: None };
        fixture.put("staging/retained", 0).await;
        fixture.lock = Lock { retention: None, legal_hold: Some(true) };
        fixture.put("staging/held", 0).await;
        for day in 2..10 {
            fixture.round(day * DAY_MS).await;
        }
        let all = ["staging/held-", "staging/held", "staging/retained-", "staging/retained"];
        assert_eq!(fixture.versions(), all, "markers are put, versions stay");
        fixture.round(10 * DAY_MS).await;
        assert_eq!(fixture.versions(), ["staging/held-", "staging/held", "staging/retained-"]);
    }

    #[tokio::test]
    async fn objects_are_tiered_when_their_rule_is_due() {
        let transition = |days| Transition {
            days: Some(days),
            storage_class: Some(TransitionStorageClass::from_static(TransitionStorageClass::INTELLIGENT_TIERING)),
            date: None,
        };
        let filter = LifecycleRuleFilter { object_size_greater_than: Some(0), ..LifecycleRuleFilter::default() };
        let fixture = Fixture::with(LifecycleRule {
            transitions: Some(vec![transition(0)]),
            filter: Some(filter),
            prefix: None,
            ..rule()
        })
        .await;
        fixture.put("models/a", DAY_MS / 2).await;
        fixture.round(DAY_MS - 1).await;
        assert_eq!(fixture.classes(), [StorageClass::Standard], "the day of the upload is not over");
        fixture.round(DAY_MS).await;
        fixture.round(DAY_MS).await;
        assert_eq!(fixture.classes(), [StorageClass::IntelligentTiering]);
        assert_eq!(fixture.files(), 1);
    }
}
