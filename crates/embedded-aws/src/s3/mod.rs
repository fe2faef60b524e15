//! The S3 operations, on records in [`meta`](crate::meta) and bytes in [`blob`](crate::blob).
//!
//! [`operations`] lists what is implemented; everything else is `NotImplemented` by s3s's defaults.
//! A request has passed [`access`] before it comes here. This module alone names s3s.
//!
//! Snapshots are read on the runtime's own threads: they are point reads, mostly of cached pages.
//! Lists, changes and files go to blocking threads. No lock is held across an await.

pub(crate) mod access;
mod bucket;
mod checksum;
mod clock;
mod cors;
mod description;
mod document;
mod encryption;
mod error;
mod expiry;
mod facts;
mod housekeeping;
mod ingest;
mod list;
mod lock;
mod multipart;
mod object;
mod operations;
pub(crate) mod protocol;
mod read;
mod readers;
mod storage_class;
mod tags;

pub(crate) use encryption::key_in_force;
pub(crate) use facts::AccessFacts;

use crate::{
    blob::{BlobError, BlobId, Blobs, Finished},
    kms::Kms,
    meta::{Meta, MetaError, lookup, objects::Place, record::Bucket, table::Snapshot, table::Tables},
};
use facts::PolicyCache;
use housekeeping::Housekeeping;
use readers::Readers;
use s3s::{S3Error, S3Result, dto::Owner, s3_error};
use std::{path::Path, sync::Arc};
use thiserror::Error;

/// All buckets of the one account, and what it takes to serve them.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
    /// Ends with the last clone.
    _housekeeping: Arc<Housekeeping>,
}

#[derive(Debug)]
struct Inner {
    meta: Meta,
    blobs: Blobs,
    readers: Readers,
    kms: Kms,
    policies: PolicyCache,
    account: String,
    region: String,
}

/// Why the store could not be opened.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("the object metadata cannot be opened")]
    Meta(#[from] MetaError),
    #[error("the object files cannot be opened")]
    Blob(#[from] BlobError),
}

impl Store {
    /// Opens the records in `db` and the files under `dir`, and removes files that a crash left without a record.
    ///
    /// Inside a tokio runtime it also starts the hourly housekeeping; that ends when the last clone is dropped.
    pub(crate) fn open(
        db: Arc<redb::Database>,
        dir: &Path,
        kms: Kms,
        account: &str,
        region: &str,
    ) -> Result<Self, OpenError> {
        let meta = Meta::open(db)?;
        let blobs = Blobs::open(dir)?;
        let snapshot = meta.read()?;
        let removed = blobs.sweep(|id| {
            let known = snapshot.blobs.get(id.as_bytes()).map_err(MetaError::from)?;
            Ok::<_, OpenError>(known.is_some())
        })?;
        if removed > 0 {
            tracing::info!(files = removed, "removed files of unfinished writes");
        }
        let inner = Arc::new(Inner {
            meta,
            readers: Readers::new(blobs.clone()),
            blobs,
            kms,
            policies: PolicyCache::default(),
            account: account.to_owned(),
            region: region.to_owned(),
        });
        Ok(Self { _housekeeping: Arc::new(Housekeeping::start(&inner)), inner })
    }

    fn snapshot(&self) -> S3Result<Snapshot> {
        Ok(self.inner.meta.read()?)
    }

    /// Runs a change on a blocking thread and returns when it is durable.
    async fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Result<T, E>, MetaError> + Send + 'static,
    ) -> S3Result<T>
    where
        T: Send + 'static,
        E: Into<S3Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.meta.write(change)?.map_err(Into::into)).await
    }

    /// Publishes a blob, then runs the change that refers to it, in one step that a dropped request cannot split.
    ///
    /// A refused change removes the blob. When it is unknown whether the change became durable, the file stays:
    /// the next start decides by the record.
    async fn commit<T, E>(
        &self,
        mut blob: Finished,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Result<T, E>, MetaError> + Send + 'static,
    ) -> S3Result<T>
    where
        T: Send + 'static,
        E: Into<S3Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            blob.publish()?;
            match inner.meta.write(change) {
                Ok(Ok(done)) => {
                    blob.keep();
                    Ok(done)
                }
                Ok(Err(refused)) => Err(refused.into()),
                Err(failed) => {
                    blob.keep();
                    Err(failed.into())
                }
            }
        })
        .await
    }

    /// Unlinks blobs after the commit that forgot them; those being read go with their last reader.
    async fn unlink(&self, blobs: Vec<BlobId>) {
        if blobs.is_empty() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let unlinked = blocking(move || {
            inner.readers.unlink(blobs);
            Ok(())
        });
        // A failure leaves files for the next start to remove; the deletion itself is durable.
        let _ = unlinked.await;
    }

    /// The one owner of every bucket and object.
    fn owner(&self) -> Owner {
        Owner { display_name: None, id: Some(self.inner.canonical_id()) }
    }
}

impl Inner {
    /// AWS shows owners by a 64-digit canonical id; here it is the account id, padded.
    fn canonical_id(&self) -> String {
        format!("{:0>64}", self.account)
    }
}

/// Looks a bucket up, or answers `NoSuchBucket`.
fn bucket_of(snapshot: &Snapshot, name: &str) -> S3Result<Bucket> {
    lookup::bucket(&snapshot.buckets, name)?
        .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
}

/// Looks the bucket of a key up; keys are 1 to 1,024 bytes.
fn place_of(snapshot: &Snapshot, bucket: &str, key: &str) -> S3Result<(Place, Bucket)> {
    if key.is_empty() || key.len() > 1024 {
        return Err(s3_error!(KeyTooLongError, "Your key is too long"));
    }
    let found = bucket_of(snapshot, bucket)?;
    let place = Place { bucket: bucket.to_owned(), bucket_id: found.id, key: key.to_owned() };
    Ok((place, found))
}

/// Runs work that waits for the disk away from the runtime's own threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => Err(error::internal(&failed)),
    }
}
