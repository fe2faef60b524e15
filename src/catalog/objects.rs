//! Objects: bytes in S3 that were checked. Files of drafts and versions refer to them, several to one perhaps.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::error::stored;
use super::listing::{number, text};
use super::{Catalog, Error};
use crate::domain::{FilePath, Integrity, ModelRef, Sha256Digest, Timestamp};

/// Bytes in S3 that were checked, and the file that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// The file's path.
    pub path: FilePath,
    /// S3 key.
    pub s3_key: String,
    /// S3 VersionId.
    pub s3_version_id: String,
    /// The key that S3 said it used.
    pub kms_key_arn: String,
    /// What S3 computed: base64 SHA-256, or its composite form.
    pub s3_checksum: String,
    /// Bytes.
    pub size: u64,
    /// Of the bytes.
    pub sha256: Sha256Digest,
    /// How far the digest is proven.
    pub integrity: Integrity,
}

/// Where an object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    /// Row id.
    pub id: i64,
    /// S3 key.
    pub s3_key: String,
    /// S3 VersionId.
    pub s3_version_id: String,
}

/// An object of another model that has the wanted bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The model whose it is.
    pub model: ModelRef,
    /// Where.
    pub place: ObjectPlace,
}

impl ObjectPlace {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self { id: number(row, "id")?, s3_key: text(row, "s3_key")?, s3_version_id: text(row, "s3_version_id")? })
    }
}

impl Catalog {
    /// Verified objects with these bytes in other models of the namespace, at most `limit`; the caller decides which of
    /// them may be read.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn verified_elsewhere(
        &self,
        model: &ModelRef,
        sha256: Sha256Digest,
        size: u64,
        limit: i64,
    ) -> Result<Vec<Elsewhere>, Error> {
        let rows = sqlx::query(
            "select o.id, o.s3_key, o.s3_version_id, n.name as namespace, m.name as model from objects o \
             join models m on m.id = o.model_id join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded <> $2 and o.sha256 = $3 and o.size = $4 and o.state = 'live' \
             and o.integrity = 'verified' and m.deleted_at is null and exists (select 1 from version_files f \
             join versions v on v.id = f.version_id where f.object_id = o.id and v.state = 'published') \
             order by o.id limit $5",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .bind(sha256.to_string())
        .bind(size as i64)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("look for bytes that are there"))?;
        let elsewhere = |row: &AnyRow| {
            let model = ModelRef {
                namespace: stored("namespace", &text(row, "namespace")?)?,
                name: stored("model name", &text(row, "model")?)?,
            };
            Ok(Elsewhere { model, place: ObjectPlace::read(row)? })
        };
        rows.iter().map(elsewhere).collect()
    }

    /// The object at this version of this key, and whether it is live.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn object_at(&self, s3_key: &str, s3_version_id: &str) -> Result<Option<(ObjectPlace, bool)>, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query(
            "select id, s3_key, s3_version_id, state from objects where s3_key = $1 and s3_version_id = $2 limit 1",
        )
        .bind(s3_key)
        .bind(s3_version_id)
        .fetch_optional(&self.write)
        .await
        .map_err(Error::during("look an object up"))?;
        row.map(|row| Ok((ObjectPlace::read(&row)?, text(&row, "state")? == "live"))).transpose()
    }

    /// Whether a row pins this version of this key.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn pins(&self, s3_key: &str, s3_version_id: &str) -> Result<bool, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query("select id from objects where s3_key = $1 and s3_version_id = $2 limit 1")
            .bind(s3_key)
            .bind(s3_version_id)
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look an object up"))?;
        Ok(row.is_some())
    }

    /// Forgets a condemned object whose bytes are gone; false when it is not condemned.
    ///
    /// # Errors
    /// [`Error`] of the database; the row stays then.
    pub async fn forget_object(&self, object: i64) -> Result<bool, Error> {
        let fail = || Error::during("forget an object");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let freed = sqlx::query(
            "update namespaces set bytes = bytes - (select o.size from objects o where o.id = $1) where id = \
             (select m.namespace_id from objects o join models m on m.id = o.model_id \
             where o.id = $1 and o.state = 'condemned')",
        )
        .bind(object)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        let gone = sqlx::query("delete from objects where id = $1 and state = 'condemned'")
            .bind(object)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        debug_assert_eq!(freed.rows_affected(), gone.rows_affected());
        tx.commit().await.map_err(fail())?;
        Ok(gone.rows_affected() == 1)
    }
}

/// Records an object and counts its bytes; none when the namespace would have more than `max_bytes`.
pub(super) async fn insert_object(
    tx: &mut AnyConnection,
    model: i64,
    vault: i64,
    file: &NewObject,
    max_bytes: u64,
    now: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let counted = sqlx::query(
        "update namespaces set bytes = bytes + $2 where id = (select namespace_id from models where id = $1) \
         and bytes + $2 <= $3",
    )
    .bind(model)
    .bind(file.size as i64)
    .bind(i64::try_from(max_bytes).unwrap_or(i64::MAX))
    .execute(&mut *tx)
    .await?;
    if counted.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query(
        "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, s3_checksum, size, sha256, \
         integrity, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id",
    )
    .bind(model)
    .bind(vault)
    .bind(&file.s3_key)
    .bind(&file.s3_version_id)
    .bind(&file.kms_key_arn)
    .bind(&file.s3_checksum)
    .bind(file.size as i64)
    .bind(file.sha256.to_string())
    .bind(file.integrity.as_str())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")
    .map(Some)
}

/// Condemns an object that nothing refers to any more; true when it was condemned now.
pub(super) async fn condemn_unused(tx: &mut AnyConnection, object: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update objects set state = 'condemned' where id = $1 and state = 'live' \
         and not exists (select 1 from version_files where object_id = $1) \
         and not exists (select 1 from draft_files where object_id = $1)",
    )
    .bind(object)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A live, verified object of the model with these bytes.
pub(super) async fn verified_here(
    tx: &mut AnyConnection,
    model: i64,
    sha256: Sha256Digest,
    size: u64,
) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query(
        "select id from objects where model_id = $1 and sha256 = $2 and size = $3 and state = 'live' \
         and integrity = 'verified' order by id limit 1",
    )
    .bind(model)
    .bind(sha256.to_string())
    .bind(size as i64)
    .fetch_optional(tx)
    .await?;
    row.map(|row| row.try_get("id")).transpose()
}

/// The id of the model's row; made, with that of its namespace, when it is new.
pub(super) async fn model_row(tx: &mut AnyConnection, model: &ModelRef) -> Result<i64, sqlx::Error> {
    let now = Timestamp::now().millis();
    // An update that changes nothing makes `returning` answer for a row that was there.
    let namespace: i64 = sqlx::query(
        "insert into namespaces (name, folded, created_at) values ($1, $2, $3) \
         on conflict (folded) do update set folded = excluded.folded returning id",
    )
    .bind(model.namespace.as_str())
    .bind(model.namespace.folded())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")?;
    sqlx::query(
        "insert into models (namespace_id, name, folded, created_at) values ($1, $2, $3, $4) \
         on conflict (namespace_id, folded) do update set folded = excluded.folded returning id",
    )
    .bind(namespace)
    .bind(model.name.as_str())
    .bind(model.name.folded())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")
}
