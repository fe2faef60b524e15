//! What the sweeper asks: what rows need of the bucket, and what it has seen before.

use sqlx::Row as _;

use super::listing::{number, text};
use super::{Catalog, Error};
use crate::domain::{Event, ModelRef, Timestamp};

/// What was seen in the bucket, and nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What it is.
    pub kind: Sighted,
    /// S3 key.
    pub key: String,
    /// VersionId, or upload id.
    pub id: String,
}

/// Kinds of things that are sighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighted {
    /// A multipart upload.
    Upload,
    /// An object version or a delete marker.
    Version,
    /// A row of an object that no file refers to.
    Object,
}

impl Sighted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Version => "version",
            Self::Object => "object",
        }
    }
}

/// An object version that a row names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// S3 key.
    pub key: String,
    /// S3 VersionId.
    pub version_id: String,
}

impl Catalog {
    /// Object versions of a bucket that rows name, by key from `first` to `last`, as far as `limit` goes.
    ///
    /// A database that sorts keys in another order than S3 may leave some out: ask [`Self::is_pinned`] of the rest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pins(&self, bucket: &str, first: &str, last: &str, limit: i64) -> Result<Vec<Pin>, Error> {
        let rows = sqlx::query(
            "select o.s3_key, o.s3_version_id from objects o join vaults w on w.id = o.vault_id \
             where w.bucket = $1 and o.s3_key >= $2 and o.s3_key <= $3 limit $4",
        )
        .bind(bucket)
        .bind(first)
        .bind(last)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("look at what rows need of the bucket"))?;
        rows.iter().map(|row| Ok(Pin { key: text(row, "s3_key")?, version_id: text(row, "s3_version_id")? })).collect()
    }

    /// How many object versions of a bucket rows name that were recorded before a time, and are to stay.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pinned_before(&self, bucket: &str, before: Timestamp) -> Result<u64, Error> {
        let row = sqlx::query(
            "select count(*) as objects from objects o join vaults w on w.id = o.vault_id \
             where w.bucket = $1 and o.created_at < $2 and o.state = 'live'",
        )
        .bind(bucket)
        .bind(before.millis())
        .fetch_one(&self.read)
        .await
        .map_err(Error::during("count what rows need of the bucket"))?;
        Ok(number(&row, "objects")? as u64)
    }

    /// Whether a row needs this object version, or a draft may still be going to; one statement, asked of the writer.
    ///
    /// Everything below the prefix of a draft of one request belongs to it; below that of a draft that a client fills
    /// only while a file is on its way. A prefix without a draft never gets one again, so that what is not needed now
    /// never will be.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn needs_version(&self, bucket: &str, prefix: &str, key: &str, version_id: &str) -> Result<bool, Error> {
        let row = sqlx::query(
            "select (select count(*) from objects o join vaults w on w.id = o.vault_id \
             where w.bucket = $1 and o.s3_key = $2 and o.s3_version_id = $3) + \
             (select count(*) from drafts d where (d.prefix = $4 or (d.prefix = '' and d.id = $4)) and \
             (d.kind = 'request' or exists (select 1 from uploads u where u.draft_id = d.id))) as needs",
        )
        .bind(bucket)
        .bind(key)
        .bind(version_id)
        .bind(prefix)
        .fetch_one(&self.write)
        .await
        .map_err(Error::during("look whether an object version is needed"))?;
        Ok(number(&row, "needs")? > 0)
    }

    /// Whether a row knows this multipart upload, or a draft may still be going to: asked of the writer.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn needs_upload(&self, prefix: &str, key: &str, upload_id: &str) -> Result<bool, Error> {
        let row = sqlx::query(
            "select (select count(*) from uploads where s3_upload_id = $1) + \
             (select count(*) from drafts d where (d.prefix = $3 or (d.prefix = '' and d.id = $3)) and \
             (d.kind = 'request' or exists (select 1 from uploads u where u.draft_id = d.id \
             and u.s3_key = $2 and u.s3_upload_id is null))) as needs",
        )
        .bind(upload_id)
        .bind(key)
        .bind(prefix)
        .fetch_one(&self.write)
        .await
        .map_err(Error::during("look whether a multipart upload is needed"))?;
        Ok(number(&row, "needs")? > 0)
    }

    /// The last number that a model gave; 0 when there is no such model.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn last_number(&self, model: &ModelRef) -> Result<i64, Error> {
        let row = sqlx::query(
            "select m.last_number from models m join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look a model's last number up"))?;
        row.map_or(Ok(0), |row| number(&row, "last_number"))
    }

    /// The number that the next entry of the journal will have; it may be skipped.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn next_journal_number(&self) -> Result<i64, Error> {
        let fail = || Error::during("learn the next number of the journal");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        // Only the database knows which numbers it has given, and it says so when it gives one; none is kept.
        let row = sqlx::query("insert into outbox (event, created_at) values ('', 0) returning seq")
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
        tx.rollback().await.map_err(fail())?;
        row.try_get("seq").map_err(fail())
    }

    /// Whether this change still waits to be written to the journal.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn waits_for_journal(&self, event: &Event) -> Result<bool, Error> {
        let fail = || Error::during("look into the outbox");
        let json = serde_json::to_string(event).map_err(|error| fail()(sqlx::Error::Encode(error.into())))?;
        let row = sqlx::query("select seq from outbox where event = $1 limit 1")
            .bind(json)
            .fetch_optional(&self.write)
            .await
            .map_err(fail())?;
        Ok(row.is_some())
    }

    /// Records that these were seen now; gives since when each has been.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn sight(&self, seen: &[Sighting], now: Timestamp) -> Result<Vec<Timestamp>, Error> {
        let fail = || Error::during("record what was seen");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let mut since = Vec::with_capacity(seen.len());
        for Sighting { kind, key, id } in seen {
            let row = sqlx::query(
                "insert into sightings (kind, s3_key, s3_id, first_seen, last_seen) values ($1, $2, $3, $4, $4) \
                 on conflict (kind, s3_key, s3_id) do update set last_seen = excluded.last_seen returning first_seen",
            )
            .bind(kind.as_str())
            .bind(key)
            .bind(id)
            .bind(now.millis())
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
            since.push(Timestamp::from_millis(number(&row, "first_seen")?));
        }
        tx.commit().await.map_err(fail())?;
        Ok(since)
    }

    /// Since when this has been seen, without recording anything; none when it is new.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn sighted(&self, seen: &Sighting) -> Result<Option<Timestamp>, Error> {
        let row = sqlx::query("select first_seen from sightings where kind = $1 and s3_key = $2 and s3_id = $3")
            .bind(seen.kind.as_str())
            .bind(&seen.key)
            .bind(&seen.id)
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look up what was seen"))?;
        row.map(|row| Ok(Timestamp::from_millis(number(&row, "first_seen")?))).transpose()
    }

    /// Forgets what was last seen before this time: it is gone, or something refers to it again.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_sightings(&self, before: Timestamp) -> Result<(), Error> {
        sqlx::query("delete from sightings where last_seen < $1")
            .bind(before.millis())
            .execute(&self.write)
            .await
            .map_err(Error::during("forget what was seen"))?;
        Ok(())
    }
}
