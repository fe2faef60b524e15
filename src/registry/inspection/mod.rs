//! Looking again at everything that is stored: is it there, is it what it was, are its bytes still right.
//!
//! S3 is asked about every object; the bytes of all or of a sample are read and hashed. Nothing is changed in the
//! bucket. In the catalog objects become wrong, and what uses them quarantined, only when that is asked for.

mod report;

pub use report::{BucketFinding, FindingKind, InspectionReport};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Semaphore;
use ulid::Ulid;

use super::{CatalogError, StoreError};
use crate::catalog::{Catalog, Found, Manifested, Scope, StoredObject};
use crate::domain::{Actor, Namespace, ObjectKey, Timestamp};
use crate::store::{Hashed, Pinned, Store};

/// Rows that are read at a time.
const PAGE: i64 = 500;
/// Objects that S3 is asked about at the same time; only some of them are being read.
const PARALLEL_LOOKS: usize = 16;
/// A manifest may have many megabytes.
const PARALLEL_MANIFESTS: usize = 2;
/// How often S3 is asked for the same before it counts as a finding.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A sample of everything.
const ALL: u32 = 1_000_000;
/// So many objects in a row of which S3 says nothing: it is S3, not they.
const UNEXAMINED_IN_A_ROW: u32 = 20;

/// What is to be looked at, and what is to be done with what is found.
#[derive(Debug, Clone)]
pub struct InspectionOptions {
    /// The part of the objects whose bytes are read, in millionths.
    pub sample: u32,
    /// Only this one.
    pub namespace: Option<Namespace>,
    /// Files of drafts and manifests, too.
    pub full: bool,
    /// Record objects that are missing or have wrong bytes as wrong: what uses them is not given out any more.
    pub quarantine: bool,
    /// Objects whose bytes are read at the same time.
    pub parallel: usize,
}

/// How far an inspection is.
#[derive(Debug, Default)]
pub struct InspectionProgress {
    /// Objects that are to be looked at; more may come.
    pub total: AtomicU64,
    /// Objects that were looked at.
    pub done: AtomicU64,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// What is wrong so far.
    pub findings: AtomicU64,
}

/// Looks at everything that a catalog says is in a bucket.
#[derive(Debug, Clone)]
pub struct Inspector {
    catalog: Catalog,
    store: Store,
}

/// What was seen of one object.
#[derive(Debug, Default)]
struct Seen {
    findings: Vec<(FindingKind, String)>,
    hashed: Option<u64>,
    known_wrong: bool,
}

impl Inspector {
    /// An inspector of this catalog's objects in this bucket.
    pub fn new(catalog: Catalog, store: Store) -> Self {
        Self { catalog, store }
    }

    /// Looks at everything once, in bounded memory; also beside a running service.
    ///
    /// # Errors
    /// Of the catalog; what S3 does not say is in the report.
    pub async fn run(
        &self,
        options: &InspectionOptions,
        progress: &InspectionProgress,
    ) -> Result<InspectionReport, CatalogError> {
        let mut report = InspectionReport {
            format: 1,
            began_at: Some(Timestamp::now()),
            bucket: self.store.bucket().to_owned(),
            namespace: options.namespace.clone().map(String::from),
            sample: f64::from(options.sample) / f64::from(ALL),
            full: options.full,
            ..InspectionReport::default()
        };
        let scope = self.scope(options);
        progress.total.store(self.catalog.stored_objects_count(scope).await?, Ordering::Relaxed);
        let readers = Semaphore::new(options.parallel.max(1));
        let mut chosen = Sample::new(options.sample, Ulid::generate().random());
        let looks = self.objects(scope).map_ok(|object| {
            let read = chosen.takes();
            let readers = &readers;
            async move { Ok((self.look(&object, read, readers, progress).await?, object)) }
        });
        let mut looks = std::pin::pin!(looks.try_buffer_unordered(PARALLEL_LOOKS));
        let mut unexamined = 0;
        while let Some((seen, object)) = looks.try_next().await? {
            let is_unexamined = seen.findings.iter().any(|(kind, _)| *kind == FindingKind::NotExamined);
            unexamined = if is_unexamined { unexamined + 1 } else { 0 };
            self.note(&mut report, options, &object, seen).await?;
            progress.done.fetch_add(1, Ordering::Relaxed);
            progress.findings.store(report.finding_count, Ordering::Relaxed);
            if unexamined >= UNEXAMINED_IN_A_ROW {
                report.ended_early = Some(format!("S3 said nothing of {unexamined} objects in a row"));
                break;
            }
        }
        if options.full && report.ended_early.is_none() {
            self.look_at_manifests(options, &mut report).await?;
        }
        report.ended_at = Some(Timestamp::now());
        Ok(report)
    }

    fn scope<'a>(&'a self, options: &'a InspectionOptions) -> Scope<'a> {
        Scope { bucket: self.store.bucket(), namespace: options.namespace.as_ref(), drafts: options.full }
    }

    /// All objects, a page of rows at a time.
    fn objects<'a>(&'a self, scope: Scope<'a>) -> impl Stream<Item = Result<StoredObject, CatalogError>> + 'a {
        let pages = stream::try_unfold(0, move |after| async move {
            let page = self.catalog.stored_objects(scope, after, PAGE).await?;
            Ok::<_, CatalogError>(page.last().map(|last| last.object.id).map(|last| (page, last)))
        });
        pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }

    async fn look(
        &self,
        stored: &StoredObject,
        read: bool,
        readers: &Semaphore,
        progress: &InspectionProgress,
    ) -> Result<Seen, CatalogError> {
        let object = &stored.object;
        if object.integrity == crate::domain::Integrity::Wrong {
            return Ok(Seen { known_wrong: true, ..Seen::default() });
        }
        let pinned = Pinned {
            key: &object.s3_key,
            version_id: &object.s3_version_id,
            size: object.size,
            kms_key_arn: &stored.kms_key_arn,
            checksum: &stored.s3_checksum,
        };
        let mut seen = Seen::default();
        match tried(|| self.store.faults(pinned)).await {
            Ok(faults) => seen.findings = faults.iter().map(|fault| FindingKind::of(fault, object.size)).collect(),
            Err(error) => seen.findings.push((FindingKind::NotExamined, told(&error))),
        }
        let is_there =
            |(kind, _): &(FindingKind, String)| !matches!(kind, FindingKind::Missing | FindingKind::NotExamined);
        if read && seen.findings.iter().all(is_there) {
            // The semaphore lives as long as the inspection, and is never closed.
            let _reader = readers.acquire().await;
            self.read(stored, &mut seen, progress).await;
        }
        // Beside a running service a draft may have gone, with what only it needed.
        if !seen.findings.is_empty() && !self.catalog.is_unchanged(object).await? {
            seen.findings.clear();
        }
        Ok(seen)
    }

    /// Reads the bytes; what differs is read once more, because a verdict may be for ever.
    async fn read(&self, stored: &StoredObject, seen: &mut Seen, progress: &InspectionProgress) {
        let object = &stored.object;
        // That the size differs is seen without reading.
        let is_right = |hashed: &Hashed| hashed.sha256 == object.sha256;
        let hash = || {
            let count = |bytes| _ = progress.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.store.hash_version(&object.s3_key, &object.s3_version_id, count)
        };
        let first = tried(hash).await;
        let hashed = match first {
            Ok(hashed) if !is_right(&hashed) => match tried(hash).await {
                Ok(again) if again != hashed => {
                    let detail =
                        "two reads gave different bytes: look at the disks, the network and what is in between";
                    seen.findings.push((FindingKind::Unreadable, detail.to_owned()));
                    return;
                }
                again => again,
            },
            first => first,
        };
        match hashed {
            Ok(hashed) => {
                seen.hashed = Some(hashed.size);
                if !is_right(&hashed) {
                    let detail = format!(
                        "its {} bytes have the SHA-256 {}, and should have {}: restore it from a copy, or delete what uses it",
                        hashed.size, hashed.sha256, object.sha256
                    );
                    seen.findings.push((FindingKind::WrongBytes, detail));
                }
            }
            Err(StoreError::NotFound { .. }) => seen.findings.push(FindingKind::of(&crate::store::Fault::Missing, 0)),
            Err(error) => {
                let detail = format!("S3 does not give its bytes out: restore it from a copy ({})", told(&error));
                seen.findings.push((FindingKind::Unreadable, detail));
            }
        }
    }

    async fn note(
        &self,
        report: &mut InspectionReport,
        options: &InspectionOptions,
        stored: &StoredObject,
        seen: Seen,
    ) -> Result<(), CatalogError> {
        if seen.known_wrong {
            report.known_wrong += 1;
            return Ok(());
        }
        report.objects += 1;
        if let Some(bytes) = seen.hashed {
            report.hashed += 1;
            report.hashed_bytes += bytes;
        }
        let object = &stored.object;
        for (kind, detail) in seen.findings {
            let used_by = self.catalog.users_of(object.id).await?;
            let (key, version_id) = (object.s3_key.clone(), object.s3_version_id.clone());
            report.add(BucketFinding { kind, key, version_id, detail, used_by });
            let found = match kind {
                FindingKind::Missing => Found::Missing,
                FindingKind::WrongBytes => Found::Wrong,
                _ => continue,
            };
            if options.quarantine
                && let Some(recorded) = self.catalog.record_found(object, found, &Actor::operator()).await?
            {
                tracing::warn!(audit = true, s3.key = object.s3_key, "{}", recorded.in_words());
                let named = recorded.quarantined.iter().map(|(model, number)| format!("{model} version {number}"));
                report.quarantined.extend(named);
            }
        }
        Ok(())
    }

    async fn look_at_manifests(
        &self,
        options: &InspectionOptions,
        report: &mut InspectionReport,
    ) -> Result<(), CatalogError> {
        let mut after = 0;
        // Each page is behind the last one, so this ends.
        loop {
            let page = self.catalog.manifested(options.namespace.as_ref(), after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let looks = stream::iter(page).map(|version| self.look_at_manifest(version));
            let mut looks = std::pin::pin!(looks.buffer_unordered(PARALLEL_MANIFESTS));
            while let Some(finding) = looks.try_next().await? {
                report.manifests += 1;
                if let Some(finding) = finding {
                    report.add(finding);
                }
            }
        }
    }

    async fn look_at_manifest(&self, version: Manifested) -> Result<Option<BucketFinding>, CatalogError> {
        let expected = self.catalog.manifest(version.id).await?;
        let (model, number) = (&version.model, version.number);
        let (kind, detail) = match tried(|| self.store.manifest(model, number)).await {
            Ok(Some(there)) if there.has_the_files_of(&expected) => return Ok(None),
            Ok(_) => (FindingKind::ManifestDiffers, "it does not tell of this version's files".to_owned()),
            Err(StoreError::NotFound { .. }) => (
                FindingKind::ManifestMissing,
                "the manifest is not in the bucket: the catalog could not be rebuilt with this version".to_owned(),
            ),
            Err(error) => (FindingKind::NotExamined, told(&error)),
        };
        // It may have been purged meanwhile.
        if self.catalog.manifested(None, version.id - 1, 1).await?.first() != Some(&version) {
            return Ok(None);
        }
        let key = ObjectKey::Manifest { model, number }.to_string();
        let used_by = vec![format!("{model} version {number}")];
        Ok(Some(BucketFinding { kind, key, version_id: String::new(), detail, used_by }))
    }
}

/// Asks S3 again when it may answer then.
async fn tried<T, F>(ask: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(pause).await;
                pause *= 4;
            }
            outcome => return outcome,
        }
    }
    ask().await
}

/// An error and its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Takes each item with the same chance, and of many items exactly their part.
#[derive(Debug)]
struct Sample {
    /// Both in millionths.
    part: u32,
    sum: u32,
}

impl Sample {
    fn new(part: u32, random: u128) -> Self {
        let phase = u32::try_from(random % u128::from(ALL)).unwrap_or_default();
        Self { part: part.min(ALL), sum: phase }
    }

    fn takes(&mut self) -> bool {
        self.sum += self.part;
        let takes = self.sum >= ALL;
        if takes {
            self.sum -= ALL;
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(part: u32, random: u128, of: usize) -> Vec<usize> {
        let mut sample = Sample::new(part, random);
        (0..of).filter(|_| sample.takes()).collect()
    }

    #[test]
    fn sample_has_its_part_and_not_always_the_same() {
        for random in [0, 7, u128::MAX, 999_999] {
            assert_eq!(taken(ALL, random, 50).len(), 50);
            assert_eq!(taken(0, random, 50).len(), 0);
            assert_eq!(taken(ALL / 10, random, 50).len(), 5);
            assert_eq!(taken(ALL / 100, random, 1000).len(), 10);
        }
        assert_ne!(taken(ALL / 10, 0, 50), taken(ALL / 10, 500_000, 50));
    }
}
