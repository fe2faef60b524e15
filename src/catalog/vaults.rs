//! Vaults: which bucket and key objects are in.

use sqlx::Row as _;

use super::{Catalog, Error};

impl Catalog {
    /// The id of the vault with this bucket and key, recorded when it is new.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn vault(&self, bucket: &str, region: &str, kms_key_arn: &str) -> Result<i64, Error> {
        let row = sqlx::query(
            "insert into vaults (bucket, region, kms_key_arn) values ($1, $2, $3) \
             on conflict (bucket, kms_key_arn) do update set region = excluded.region returning id",
        )
        .bind(bucket)
        .bind(region)
        .bind(kms_key_arn)
        .fetch_one(&self.write)
        .await
        .map_err(Error::during("record the vault"))?;
        row.try_get("id").map_err(Error::during("record the vault"))
    }

    /// The id of the vault with this bucket and key; none when it was never recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn known_vault(&self, bucket: &str, kms_key_arn: &str) -> Result<Option<i64>, Error> {
        let fail = || Error::during("look up the vault");
        let row = sqlx::query("select id from vaults where bucket = $1 and kms_key_arn = $2")
            .bind(bucket)
            .bind(kms_key_arn)
            .fetch_optional(&self.read)
            .await
            .map_err(fail())?;
        row.map(|row| row.try_get("id")).transpose().map_err(fail())
    }

    /// Id and key of the vault that a bucket had last; none when no service has used it with this catalog.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn last_vault(&self, bucket: &str) -> Result<Option<(i64, String)>, Error> {
        let fail = || Error::during("look up the vault");
        let row = sqlx::query("select id, kms_key_arn from vaults where bucket = $1 order by id desc limit 1")
            .bind(bucket)
            .fetch_optional(&self.read)
            .await
            .map_err(fail())?;
        let vault = |row: sqlx::any::AnyRow| Ok((row.try_get("id")?, row.try_get("kms_key_arn")?));
        row.map(vault).transpose().map_err(fail())
    }
}
