//! The catalog made anew from the bucket alone: manifests first, then the journal in the order of its numbers.
//!
//! Nothing is written to the bucket. What cannot be had back or contradicts itself is told, and the rest goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use super::audit_verification;
use crate::catalog::{self, Catalog, FoundVersion};
use crate::domain::{
    AuditHead, FileEntry, FilePath, JournalEntry, Manifest, ManifestObject, ModelRef, ObjectKey, VersionNumber,
    version_digest,
};
use crate::store::{self, Found, Original, Originals, Store};

/// Manifests or journal entries that are read at the same time.
const PARALLEL: usize = 24;
/// Requests about files at the same time, for all manifests together.
const REQUESTS: usize = 48;
/// Versions and files of one transaction.
const BATCH: usize = 200;
const BATCH_FILES: usize = 4_000;
/// Losses that are told one by one; more are counted.
const TOLD: usize = 100_000;
/// The documents that this release understands.
const SCHEMA: u32 = 1;

/// What a rebuild brought back, and what it did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rebuilt {
    /// The catalog's id, from the bucket's claim.
    pub catalog: String,
    /// The bucket.
    pub bucket: String,
    /// Models, also those that are deleted or purged.
    pub models: i64,
    /// Versions, also those that are deleted or purged.
    pub versions: i64,
    /// Stored files.
    pub objects: i64,
    /// Aliases.
    pub aliases: i64,
    /// Objects that have another VersionId than recorded, found by their bytes: the bucket is a copy.
    pub moved_objects: u64,
    /// Entries of the journal.
    pub journal_entries: u64,
    /// The highest number among them; the journal goes on after it.
    pub last_entry: i64,
    /// How long it took.
    pub seconds: f64,
    /// Manifests read a second.
    pub versions_per_second: f64,
    /// What could not be had back, or contradicts itself.
    pub lost: Vec<Loss>,
    /// Losses that are not listed, because there are too many.
    pub more_lost: u64,
}

/// One thing that a rebuild did not bring back as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Which kind.
    pub kind: LossKind,
    /// The model, or the S3 key.
    pub of: String,
    /// What is wrong.
    pub what: String,
}

/// The kinds of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// A version whose manifest is missing: its number stays taken.
    Version,
    /// Bytes of a file: its version is there, in quarantine.
    Bytes,
    /// A manifest that says what cannot be.
    Manifest,
    /// A journal entry that cannot be read, or does not follow from those before it.
    Journal,
    /// An alias of a version that is not there.
    Alias,
}

/// Why there is no rebuilt catalog; it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The object store failed.
    #[error("the object store failed; run the rebuild again")]
    Store(#[from] store::Error),
    /// The catalog failed.
    #[error("the catalog failed; run the rebuild again")]
    Catalog(#[from] catalog::Error),
    /// The bucket was written by a later release.
    #[error("{key} was written by a later release than this one ({why}): rebuild with that one")]
    TooNew {
        /// What could not be understood.
        key: String,
        /// Why.
        why: String,
    },
}

/// S3 key and VersionId as a manifest has them.
type Named = (String, String);

/// A rebuild that goes on.
struct Rebuild<'a> {
    catalog: &'a Catalog,
    store: &'a Store,
    region: &'a str,
    requests: Semaphore,
    /// Objects of the manifests at hand, so that none is looked for twice at the same time.
    looked_for: Mutex<HashMap<Named, Arc<OnceCell<Found>>>>,
    manifests: u64,
    moved: Mutex<u64>,
    bytes_lost: Vec<(ModelRef, VersionNumber, FilePath, &'static str)>,
    journal_entries: u64,
    last_entry: i64,
    lost: Vec<Loss>,
    more_lost: u64,
}

/// A manifest as it was read, and the files whose bytes are not there.
struct Read {
    version: FoundVersion,
    reasons: Vec<&'static str>,
}

/// Fills a catalog for which a rebuild has begun.
///
/// # Errors
/// [`RebuildError`]; the catalog says that it is unfinished then.
pub async fn rebuild(catalog: &Catalog, store: &Store, region: &str) -> Result<Rebuilt, RebuildError> {
    let began = Instant::now();
    let mut rebuild = Rebuild {
        catalog,
        store,
        region,
        requests: Semaphore::new(REQUESTS),
        looked_for: Mutex::default(),
        manifests: 0,
        moved: Mutex::default(),
        bytes_lost: Vec::new(),
        journal_entries: 0,
        last_entry: 0,
        lost: Vec::new(),
        more_lost: 0,
    };
    rebuild.manifests().await?;
    rebuild.journal().await?;
    let earlier = audit_verification::last_heads(store, catalog.id()).await?;
    let extent = catalog.end_rebuild(rebuild.last_entry, &earlier).await?;
    // Only who may write into the bucket can say that the log begins anew here.
    if let Some(head) = catalog.audit_head().await? {
        store.put_audit_head(catalog.id(), &AuditHead { seq: 0, ..head }).await?;
    }
    rebuild.losses().await?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let versions_per_second = rebuild.manifests as f64 / seconds.max(0.001);
    let moved_objects = *rebuild.moved.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Rebuilt {
        catalog: catalog.id().to_owned(),
        bucket: store.bucket().to_owned(),
        models: extent.models,
        versions: extent.versions,
        objects: extent.objects,
        aliases: extent.aliases,
        moved_objects,
        journal_entries: rebuild.journal_entries,
        last_entry: rebuild.last_entry,
        seconds,
        versions_per_second,
        lost: rebuild.lost,
        more_lost: rebuild.more_lost,
    })
}

impl Rebuild<'_> {
    async fn manifests(&mut self) -> Result<(), RebuildError> {
        let mut walk = Originals::manifests();
        while let Some(page) = self.store.next_originals(&mut walk).await? {
            let mut batch: Vec<Read> = Vec::new();
            for stretch in page.chunks(BATCH) {
                let read: Vec<Result<Read, Loss>> = stream::iter(stretch)
                    .map(|original| self.version(&walk, original))
                    .buffered(PARALLEL)
                    .try_collect()
                    .await?;
                for read in read {
                    match read {
                        Ok(read) => batch.push(read),
                        Err(loss) => self.tell(loss),
                    }
                    let files: usize = batch.iter().map(|read| read.version.manifest.files.len()).sum();
                    if batch.len() >= BATCH || files >= BATCH_FILES {
                        self.put_back(std::mem::take(&mut batch)).await?;
                    }
                }
            }
            self.put_back(batch).await?;
            tracing::info!(versions = self.manifests, "manifests read");
        }
        Ok(())
    }

    /// Reads one manifest and looks for its bytes.
    async fn version(&self, walk: &Originals, original: &Original) -> Result<Result<Read, Loss>, RebuildError> {
        let bytes = match self.store.read_original(walk, original).await {
            Ok(bytes) => bytes,
            Err(error @ (store::Error::NotFound { .. } | store::Error::Unfaithful(_))) => {
                return Ok(Err(loss(LossKind::Manifest, &original.key, error.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        let mut manifest: Manifest = match serde_json::from_slice(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => match newer(&bytes) {
                Some(why) => return Err(RebuildError::TooNew { key: original.key.clone(), why }),
                None => return Ok(Err(loss(LossKind::Manifest, &original.key, error.to_string()))),
            },
        };
        if manifest.schema != SCHEMA {
            let why = format!("schema {}", manifest.schema);
            return Err(RebuildError::TooNew { key: original.key.clone(), why });
        }
        let model = manifest.model_ref();
        if (ObjectKey::Manifest { model: &model, number: manifest.number }).to_string() != original.key {
            let what = format!("it describes version {} of {model}", manifest.number);
            return Ok(Err(loss(LossKind::Manifest, &original.key, what)));
        }
        let entries: Vec<FileEntry> = manifest.files.iter().map(|object| object.file.clone()).collect();
        if version_digest(&entries) != manifest.digest {
            let what = "its files do not have its digest".to_owned();
            return Ok(Err(loss(LossKind::Manifest, &original.key, what)));
        }
        let found: Vec<Found> =
            stream::iter(&manifest.files).map(|object| self.find(object)).buffered(REQUESTS).try_collect().await?;
        let (mut lost, mut reasons) = (Vec::new(), Vec::new());
        for (object, found) in manifest.files.iter_mut().zip(found) {
            match found {
                Found::There { version_id, kms_key_arn } => {
                    (object.version_id, object.kms_key_arn) = (version_id, kms_key_arn);
                }
                Found::Lost(why) => {
                    lost.push(object.file.path.clone());
                    reasons.push(why);
                }
            }
        }
        Ok(Ok(Read { version: FoundVersion { manifest, lost }, reasons }))
    }

    /// Looks for the bytes of a file, once for all versions that share them.
    async fn find(&self, object: &ManifestObject) -> Result<Found, RebuildError> {
        let known = (object.key.clone(), object.version_id.clone());
        let cell = Arc::clone(self.looked_for.lock().unwrap_or_else(PoisonError::into_inner).entry(known).or_default());
        let found = cell.get_or_try_init(|| async {
            if let Some((version_id, kms_key_arn)) = self.catalog.put_back_object(self.store.bucket(), object).await? {
                return Ok::<_, RebuildError>(Found::There { version_id, kms_key_arn });
            }
            // The semaphore is never closed.
            let _turn = self.requests.acquire().await.ok();
            let found = self.store.find_object(object).await?;
            if matches!(&found, Found::There { version_id, .. } if *version_id != object.version_id) {
                *self.moved.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }
            Ok(found)
        });
        found.await.cloned()
    }

    async fn put_back(&mut self, batch: Vec<Read>) -> Result<(), RebuildError> {
        let (mut versions, mut reasons) = (Vec::new(), Vec::new());
        for read in batch {
            versions.push(read.version);
            reasons.push(read.reasons);
        }
        let doubles = self.catalog.put_back(self.store.bucket(), self.region, &versions).await?;
        self.manifests += versions.len() as u64;
        for (position, (version, reasons)) in versions.iter().zip(reasons).enumerate() {
            let (model, number) = (version.manifest.model_ref(), version.manifest.number);
            if doubles.contains(&position) {
                let what = format!("another manifest has the number or the draft of version {number}");
                self.tell(loss(LossKind::Manifest, &model.to_string(), what));
                continue;
            }
            // A version that was purged has none: that is known only behind the journal.
            let lost = version.lost.iter().zip(reasons);
            self.bytes_lost.extend(lost.map(|(path, why)| (model.clone(), number, path.clone(), why)));
        }
        // Those that are put back are found in the catalog from now on.
        self.looked_for.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    async fn journal(&mut self) -> Result<(), RebuildError> {
        let mut walk = Originals::journal(self.catalog.id());
        while let Some(page) = self.store.next_originals(&mut walk).await? {
            for stretch in page.chunks(BATCH) {
                let read: Vec<Result<JournalEntry, Loss>> = stream::iter(stretch)
                    .map(|original| self.entry(&walk, original))
                    .buffered(PARALLEL)
                    .try_collect()
                    .await?;
                let mut entries = Vec::new();
                for read in read {
                    match read {
                        Ok(entry) => entries.push(entry),
                        Err(loss) => self.tell(loss),
                    }
                }
                self.journal_entries += entries.len() as u64;
                self.last_entry = entries.last().map_or(self.last_entry, |entry| entry.seq.max(self.last_entry));
                for (seq, what) in self.catalog.replay(&entries).await? {
                    let key = ObjectKey::Journal { catalog: self.catalog.id(), seq }.to_string();
                    self.tell(loss(LossKind::Journal, &key, what));
                }
            }
            tracing::info!(entries = self.journal_entries, "journal entries applied");
        }
        Ok(())
    }

    async fn entry(&self, walk: &Originals, original: &Original) -> Result<Result<JournalEntry, Loss>, RebuildError> {
        let bytes = match self.store.read_original(walk, original).await {
            Ok(bytes) => bytes,
            Err(error @ (store::Error::NotFound { .. } | store::Error::Unfaithful(_))) => {
                return Ok(Err(loss(LossKind::Journal, &original.key, error.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        let entry: JournalEntry = match serde_json::from_slice(&bytes) {
            Ok(entry) => entry,
            // An event that this release does not know: what follows may depend on it.
            Err(error) if serde_json::from_slice::<serde_json::Value>(&bytes).is_ok() => {
                return Err(RebuildError::TooNew { key: original.key.clone(), why: error.to_string() });
            }
            Err(error) => return Ok(Err(loss(LossKind::Journal, &original.key, error.to_string()))),
        };
        if entry.schema != SCHEMA {
            let why = format!("schema {}", entry.schema);
            return Err(RebuildError::TooNew { key: original.key.clone(), why });
        }
        let key = ObjectKey::Journal { catalog: self.catalog.id(), seq: entry.seq }.to_string();
        if key != original.key {
            let what = format!("it holds the entry {}", entry.seq);
            return Ok(Err(loss(LossKind::Journal, &original.key, what)));
        }
        Ok(Ok(entry))
    }

    /// What is missing, now that it is known what was purged.
    async fn losses(&mut self) -> Result<(), RebuildError> {
        for (model, number, path, why) in std::mem::take(&mut self.bytes_lost) {
            if self.catalog.is_kept(&model, number).await? {
                let what = format!("version {number}, `{path}`: {why}");
                self.tell(loss(LossKind::Bytes, &model.to_string(), what));
            }
        }
        for gap in self.catalog.gaps(TOLD).await? {
            let what = format!("version {} has neither a manifest nor an entry that it was purged", gap.number);
            self.tell(loss(LossKind::Version, &gap.model.to_string(), what));
        }
        for (model, alias, number) in self.catalog.dangling_aliases(TOLD as i64).await? {
            let what = format!("the alias `{alias}` names version {number}, which is not there");
            self.tell(loss(LossKind::Alias, &model.to_string(), what));
        }
        Ok(())
    }

    fn tell(&mut self, loss: Loss) {
        if self.lost.len() < TOLD {
            self.lost.push(loss);
        } else {
            self.more_lost += 1;
        }
    }
}

fn loss(kind: LossKind, of: &str, what: String) -> Loss {
    Loss { kind, of: of.to_owned(), what }
}

/// Whether a document that cannot be read says of itself that it is of a later form.
fn newer(bytes: &[u8]) -> Option<String> {
    let schema = serde_json::from_slice::<serde_json::Value>(bytes).ok()?["schema"].as_u64()?;
    (schema > u64::from(SCHEMA)).then(|| format!("schema {schema}"))
}
