//! API tokens, by the digest of their text. A revoked one stays, so that its name is not forgotten.

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::audit::note;
use super::grants::{GrantRow, add_grant, forget_grants};
use super::listing::{Page, number, text};
use super::{Catalog, Error};
use crate::domain::{Actor, AuditAction, Deed, Grantee, Sha256Digest, Subject, Timestamp};

/// A token as stored: everything but its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// What its maker called it: the principal is `token:{name}`, and tokens of one name are one principal.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it stops being valid; none: never.
    pub expires_at: Option<Timestamp>,
    /// When it was presented last, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, and by whom.
    pub revoked: Option<(Timestamp, String)>,
}

/// Most valid tokens of one name: who rotates again and again uses one of the old ones up, or ends them.
const MOST: i64 = 20;

/// What came of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// There is one more token.
    Done,
    /// The old one is not valid any more.
    NotValid,
    /// The name has as many valid tokens as it may have.
    TooMany,
}

impl TokenRow {
    /// When one that takes its place now ends, if it is to live as long.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expires_at.map(|at| Timestamp::now().plus(at.since(self.created_at)))
    }

    /// A new token of this name.
    pub fn new(name: &str, by: &str, expires_at: Option<Timestamp>) -> Self {
        Self {
            id: ulid::Ulid::generate().to_string(),
            name: name.to_owned(),
            created_at: Timestamp::now(),
            created_by: by.to_owned(),
            expires_at,
            last_used_at: None,
            revoked: None,
        }
    }

    /// Whether it can be presented now.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    fn read(row: &AnyRow) -> Result<Self, Error> {
        let time = |column| {
            let millis: Option<i64> = row.try_get(column).map_err(Error::during("read a token"))?;
            Ok::<_, Error>(millis.map(Timestamp::from_millis))
        };
        let revoked = match time("revoked_at")? {
            Some(at) => Some((at, text(row, "revoked_by")?)),
            None => None,
        };
        Ok(Self {
            id: text(row, "id")?,
            name: text(row, "name")?,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            created_by: text(row, "created_by")?,
            expires_at: time("expires_at")?,
            last_used_at: time("last_used_at")?,
            revoked,
        })
    }
}

const COLUMNS: &str = "id, name, created_at, created_by, expires_at, last_used_at, revoked_at, \
                       coalesce(revoked_by, '') as revoked_by";

impl Catalog {
    /// The token whose text has this digest, valid or not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn token_by_digest(&self, digest: Sha256Digest) -> Result<Option<TokenRow>, Error> {
        let sql = format!("select {COLUMNS} from tokens where sha256 = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(digest.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a token up"))?;
        row.as_ref().map(TokenRow::read).transpose()
    }

    /// The token with this id, valid or not.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRow>, Error> {
        let sql = format!("select {COLUMNS} from tokens where id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a token up"))?;
        row.as_ref().map(TokenRow::read).transpose()
    }

    /// Tokens by id, from behind `after`; those that one principal made, or all.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn tokens(
        &self,
        made_by: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<TokenRow, String>, Error> {
        let sql =
            format!("select {COLUMNS} from tokens where ($1 = '' or created_by = $1) and id > $2 order by id limit $3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(made_by.unwrap_or_default())
            .bind(after.unwrap_or_default())
            .bind(limit as i64 + 1)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list tokens"))?;
        let items = rows.iter().map(TokenRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |token| token.id.clone()))
    }

    /// Records the first token with its grant, unless there is or was any; true when it was recorded.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add_first_token(
        &self,
        token: &TokenRow,
        digest: Sha256Digest,
        grant: &GrantRow,
        by: &Actor,
    ) -> Result<bool, Error> {
        let fail = || Error::during("record the first token");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query("select count(*) as n from tokens").fetch_one(&mut *tx).await.map_err(fail())?;
        if row.try_get::<i64, _>("n").map_err(fail())? > 0 {
            return Ok(false);
        }
        insert(&mut tx, token, digest).await.map_err(fail())?;
        note(&mut tx, by, &made(AuditAction::TokenMake, token, json!({}))).await.map_err(fail())?;
        add_grant(&mut tx, grant, by).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Records a token of a new name with its grants; false when the name has a valid token.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn add_token(
        &self,
        token: &TokenRow,
        digest: Sha256Digest,
        grants: &[GrantRow],
        by: &Actor,
    ) -> Result<bool, Error> {
        let fail = || Error::during("record a token");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        if has_valid(&mut tx, &token.name).await.map_err(fail())? {
            return Ok(false);
        }
        // What a token of this name was granted in former times is not for whoever takes the name now.
        forget_grants(&mut tx, &Grantee::token(&token.name), by).await?;
        insert(&mut tx, token, digest).await.map_err(fail())?;
        note(&mut tx, by, &made(AuditAction::TokenMake, token, json!({}))).await.map_err(fail())?;
        for grant in grants {
            add_grant(&mut tx, grant, by).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Records one more token of the name of a valid one, which goes on until `old_until` at the latest.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn rotate_token(
        &self,
        old: &str,
        old_until: Timestamp,
        token: &TokenRow,
        digest: Sha256Digest,
        by: &Actor,
    ) -> Result<Rotation, Error> {
        let fail = || Error::during("rotate a token");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let done = sqlx::query(
            "update tokens set expires_at = min(coalesce(expires_at, $2), $2) where id = $1 and name = $3 \
             and revoked_at is null and (expires_at is null or expires_at > $4)",
        )
        .bind(old)
        .bind(old_until.millis())
        .bind(&token.name)
        .bind(token.created_at.millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        if done.rows_affected() == 0 {
            return Ok(Rotation::NotValid);
        }
        let row = sqlx::query(
            "select count(*) as n from tokens where name = $1 and revoked_at is null \
             and (expires_at is null or expires_at > $2)",
        )
        .bind(&token.name)
        .bind(token.created_at.millis())
        .fetch_one(&mut *tx)
        .await
        .map_err(fail())?;
        if number(&row, "n")? >= MOST {
            return Ok(Rotation::TooMany);
        }
        insert(&mut tx, token, digest).await.map_err(fail())?;
        let details = json!({ "old": old, "old_until": old_until });
        note(&mut tx, by, &made(AuditAction::TokenRotate, token, details)).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Rotation::Done)
    }

    /// Revokes a token, or all of its name; false when there was none to revoke. With the last valid one of a name go the name's grants.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn revoke_token(&self, id: &str, all: bool, by: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("revoke a token");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let which = if all { "name = (select name from tokens where id = $1)" } else { "id = $1" };
        let sql = format!(
            "update tokens set revoked_at = $2, revoked_by = $3 where {which} and revoked_at is null returning id, name"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(Timestamp::now().millis())
            .bind(&by.principal)
            .fetch_all(&mut *tx)
            .await
            .map_err(fail())?;
        let Some(first) = rows.first() else { return Ok(false) };
        let name = text(first, "name")?;
        if !has_valid(&mut tx, &name).await.map_err(fail())? {
            forget_grants(&mut tx, &Grantee::token(&name), by).await?;
        }
        for row in &rows {
            let on = Subject::token(&text(row, "id")?);
            let deed = Deed::done(AuditAction::TokenRevoke, on, json!({ "name": name }));
            note(&mut tx, by, &deed).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Notes that a token was presented.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn token_used(&self, id: &str, at: Timestamp) -> Result<(), Error> {
        sqlx::query("update tokens set last_used_at = $2 where id = $1")
            .bind(id)
            .bind(at.millis())
            .execute(&self.write)
            .await
            .map_err(Error::during("note the use of a token"))?;
        Ok(())
    }
}

/// A deed that made a token.
fn made(action: AuditAction, token: &TokenRow, more: serde_json::Value) -> Deed {
    let mut details = json!({ "name": token.name, "expires_at": token.expires_at });
    if let (Some(details), serde_json::Value::Object(more)) = (details.as_object_mut(), more) {
        details.extend(more);
    }
    Deed::done(action, Subject::token(&token.id), details)
}

async fn insert(tx: &mut AnyConnection, token: &TokenRow, digest: Sha256Digest) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into tokens (id, name, sha256, created_at, created_by, expires_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&token.id)
    .bind(&token.name)
    .bind(digest.to_string())
    .bind(token.created_at.millis())
    .bind(&token.created_by)
    .bind(token.expires_at.map(Timestamp::millis))
    .execute(tx)
    .await?;
    Ok(())
}

async fn has_valid(tx: &mut AnyConnection, name: &str) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "select id from tokens where name = $1 and revoked_at is null and (expires_at is null or expires_at > $2) \
         limit 1",
    )
    .bind(name)
    .bind(Timestamp::now().millis())
    .fetch_optional(tx)
    .await?;
    Ok(row.is_some())
}
