//! API tokens, by the digest of their text.

use sqlx::Row as _;

use super::{Catalog, Error};
use crate::domain::{Sha256Digest, Timestamp};

/// A token as stored: everything but its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// What it may do.
    pub role: String,
}

impl Catalog {
    /// The token whose text has this digest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn token_by_digest(&self, digest: Sha256Digest) -> Result<Option<TokenRow>, Error> {
        let fail = || Error::during("look a token up");
        let row = sqlx::query("select id, name, role from tokens where sha256 = $1")
            .bind(digest.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(fail())?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(TokenRow {
            id: row.try_get("id").map_err(fail())?,
            name: row.try_get("name").map_err(fail())?,
            role: row.try_get("role").map_err(fail())?,
        }))
    }

    /// Records a token unless one with this role is there; true when it was recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add_first_token(&self, token: &TokenRow, digest: Sha256Digest) -> Result<bool, Error> {
        let done = sqlx::query(
            "insert into tokens (id, name, sha256, role, created_at) select $1, $2, $3, $4, $5 \
             where not exists (select 1 from tokens where role = $4)",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(digest.to_string())
        .bind(&token.role)
        .bind(Timestamp::now().millis())
        .execute(&self.write)
        .await
        .map_err(Error::during("record a token"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether any token has this role.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn has_token_of_role(&self, role: &str) -> Result<bool, Error> {
        let row = sqlx::query("select id from tokens where role = $1 limit 1")
            .bind(role)
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a token up"))?;
        Ok(row.is_some())
    }
}
