//! The end of an object: from live to condemned while nothing refers to it, then gone.

use sqlx::AnyConnection;

use super::listing::{number, text};
use super::{Catalog, Error};

/// An object, as its end needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Row id.
    pub id: i64,
    /// S3 key.
    pub key: String,
    /// S3 VersionId.
    pub version_id: String,
    /// Bytes.
    pub size: u64,
}

/// What no file refers to: the condition of every step.
macro_rules! unreferenced {
    ($rest:literal) => {
        concat!(
            "not exists (select 1 from version_files f where f.object_id = o.id) ",
            "and not exists (select 1 from draft_files f where f.object_id = o.id) ",
            $rest
        )
    };
}

impl Catalog {
    /// Objects of a bucket that are condemned, by row id, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn condemned_objects(&self, bucket: &str, after: i64, limit: i64) -> Result<Vec<ObjectRow>, Error> {
        let rows = sqlx::query(
            "select o.id, o.s3_key, o.s3_version_id, o.size from objects o join vaults w on w.id = o.vault_id \
             where o.state = 'condemned' and w.bucket = $1 and o.id > $2 order by o.id limit $3",
        )
        .bind(bucket)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.write)
        .await
        .map_err(Error::during("list condemned objects"))?;
        rows.iter().map(object).collect()
    }

    /// Live objects of a bucket that no file refers to, by row id, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unreferenced_objects(&self, bucket: &str, after: i64, limit: i64) -> Result<Vec<ObjectRow>, Error> {
        let rows = sqlx::query(concat!(
            "select o.id, o.s3_key, o.s3_version_id, o.size from objects o join vaults w on w.id = o.vault_id ",
            "where o.state = 'live' and w.bucket = $1 and o.id > $2 and ",
            unreferenced!("order by o.id limit $3")
        ))
        .bind(bucket)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list objects that nothing refers to"))?;
        rows.iter().map(object).collect()
    }

    /// Condemns a live object that no file refers to; false when one does.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn condemn(&self, object: i64) -> Result<bool, Error> {
        let done = sqlx::query(concat!(
            "update objects as o set state = 'condemned' where o.id = $1 and o.state = 'live' and ",
            unreferenced!("")
        ))
        .bind(object)
        .execute(&self.write)
        .await
        .map_err(Error::during("condemn an object"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether an object may be deleted: it is condemned, and nothing refers to it. Asked of the writer.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn is_condemned(&self, object: i64) -> Result<bool, Error> {
        let row = sqlx::query(concat!(
            "select o.id from objects o where o.id = $1 and o.state = 'condemned' and ",
            unreferenced!("")
        ))
        .bind(object)
        .fetch_optional(&self.write)
        .await
        .map_err(Error::during("look at a condemned object"))?;
        Ok(row.is_some())
    }

    /// Removes the row of a condemned object whose bytes are gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_object(&self, object: &ObjectRow) -> Result<(), Error> {
        let fail = || Error::during("forget an object");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        sqlx::query(
            "update namespaces set bytes = case when bytes > $2 then bytes - $2 else 0 end where id in (select \
             m.namespace_id from models m join objects o on o.model_id = m.id \
             where o.id = $1 and o.state = 'condemned')",
        )
        .bind(object.id)
        .bind(object.size as i64)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        sqlx::query("delete from objects where id = $1 and state = 'condemned'")
            .bind(object.id)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(())
    }
}

/// Condemns those of these objects that nothing refers to any more, as part of the change that took the reference.
pub(super) async fn condemn_unreferenced_of(tx: &mut AnyConnection, objects: &[i64]) -> Result<u64, sqlx::Error> {
    let mut condemned = 0;
    for object in objects {
        let done = sqlx::query(concat!(
            "update objects as o set state = 'condemned' where o.id = $1 and o.state = 'live' and ",
            unreferenced!("")
        ))
        .bind(*object)
        .execute(&mut *tx)
        .await?;
        condemned += done.rows_affected();
    }
    Ok(condemned)
}

fn object(row: &sqlx::any::AnyRow) -> Result<ObjectRow, Error> {
    Ok(ObjectRow {
        id: number(row, "id")?,
        key: text(row, "s3_key")?,
        version_id: text(row, "s3_version_id")?,
        size: number(row, "size")? as u64,
    })
}
