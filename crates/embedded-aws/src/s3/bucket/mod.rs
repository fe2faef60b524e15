//! Operations on buckets and their configuration.

pub(super) mod access_block;
pub(super) mod cors;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod encryption;
pub(super) mod lifecycle;
pub(super) mod list;
pub(super) mod object_lock;
pub(super) mod ownership;
pub(super) mod policy;
pub(super) mod tagging;
pub(super) mod unconfigured;
pub(super) mod versioning;

use super::{Store, bucket_of};
use crate::meta::{
    MetaError, lookup,
    objects::Refused,
    record::{Bucket, Settings},
};
use s3s::{S3Error, S3Result};

impl Store {
    /// A bucket and what it is configured with.
    fn configured(&self, bucket: &str) -> S3Result<(Bucket, Settings)> {
        let snapshot = self.snapshot()?;
        let record = bucket_of(&snapshot, bucket)?;
        let settings = lookup::settings(&snapshot.settings, record.id)?;
        Ok((record, settings))
    }

    /// Changes a bucket's configuration; `edit` may refuse, and then nothing changes.
    async fn configure<E: Into<S3Error> + Send + 'static>(
        &self,
        bucket: &str,
        edit: impl FnOnce(&Bucket, &mut Settings) -> Result<(), E> + Send + 'static,
    ) -> S3Result<()> {
        let bucket = bucket.to_owned();
        self.change(move |tables| {
            let Some(record) = lookup::bucket(&tables.buckets, &bucket)? else {
                return Ok(Err(S3Error::from(Refused::NoSuchBucket)));
            };
            let mut settings = lookup::settings(&tables.settings, record.id)?;
            if let Err(refused) = edit(&record, &mut settings) {
                return Ok(Err(refused.into()));
            }
            let json = serde_json::to_vec(&settings).map_err(MetaError::from)?;
            tables.settings.insert(record.id, json.as_slice())?;
            Ok(Ok(()))
        })
        .await
    }

    /// Changes a bucket's configuration in a way that cannot be refused.
    async fn set(&self, bucket: &str, edit: impl FnOnce(&mut Settings) + Send + 'static) -> S3Result<()> {
        let edit = move |_: &Bucket, settings: &mut Settings| {
            edit(settings);
            Ok::<_, S3Error>(())
        };
        self.configure(bucket, edit).await
    }
}
