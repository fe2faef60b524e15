//! What published versions need in the bucket, in the order in which S3 lists it.

use sqlx::Row as _;

use super::{Catalog, Error};

/// Bytes that a published version refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedObject {
    /// S3 key.
    pub key: String,
    /// S3 VersionId.
    pub version_id: String,
}

impl Catalog {
    /// The vaults in the same bucket, this one included: objects keep theirs when the key changes.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn vaults_beside(&self, vault: i64) -> Result<Vec<i64>, Error> {
        let fail = || Error::during("list the vaults of a bucket");
        let rows = sqlx::query(
            "select other.id from vaults own join vaults other on other.bucket = own.bucket \
             where own.id = $1 order by other.id",
        )
        .bind(vault)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        rows.iter().map(|row| row.try_get("id").map_err(fail())).collect()
    }

    /// Objects of published versions in a vault by the bytes of their keys, from behind `after`, at most `limit`.
    ///
    /// A key has one such object: the prefix of a draft is never written again.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn published_objects(&self, vault: i64, after: &str, limit: i64) -> Result<Vec<PinnedObject>, Error> {
        let fail = || Error::during("list objects of published versions");
        let rows = sqlx::query(
            "select o.s3_key, o.s3_version_id from objects o where o.vault_id = $1 and o.s3_key > $2 and exists \
             (select 1 from version_files f join versions v on v.id = f.version_id \
             where f.object_id = o.id and v.state = 'published') and o.state = 'live' order by o.s3_key limit $3",
        )
        .bind(vault)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        rows.iter()
            .map(|row| {
                let text = |column| row.try_get::<String, _>(column).map_err(fail());
                Ok(PinnedObject { key: text("s3_key")?, version_id: text("s3_version_id")? })
            })
            .collect()
    }
}
