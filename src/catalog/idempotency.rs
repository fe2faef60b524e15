//! Idempotency keys: what a creating call that is sent again finds of the first one.
//!
//! A key belongs to a principal and a route. Its row comes with the first change of the request and its result with the
//! last one, in the same transactions; it goes when the request fails, so that it may be tried again.

use sqlx::{AnyConnection, Row as _};

use super::{Catalog, Error, Refusal};
use crate::domain::{DraftId, Sha256Digest, Timestamp};

/// A key that a client chose, and where it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Who sent it.
    pub principal: String,
    /// What was called; each route has keys of its own.
    pub route: String,
    /// The key.
    pub key: String,
}

/// What the first request with a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Of what was asked: another request may not have the key.
    pub fingerprint: Sha256Digest,
    /// What came of it.
    pub result: String,
}

/// The answer of the first request with the key, if there was one.
///
/// # Errors
/// [`Refusal::KeyInUse`] while that request is under way.
pub(super) async fn first_answer(tx: &mut AnyConnection, once: &Once) -> Result<Option<FirstAnswer>, Error> {
    let fail = || Error::during("look an idempotency key up");
    let row =
        sqlx::query("select fingerprint, result from idempotency where principal = $1 and route = $2 and key = $3")
            .bind(&once.principal)
            .bind(&once.route)
            .bind(&once.key)
            .fetch_optional(tx)
            .await
            .map_err(fail())?;
    let Some(row) = row else { return Ok(None) };
    let fingerprint: Option<String> = row.try_get("fingerprint").map_err(fail())?;
    let result: Option<String> = row.try_get("result").map_err(fail())?;
    match (fingerprint, result) {
        (Some(fingerprint), Some(result)) => {
            Ok(Some(FirstAnswer { fingerprint: super::error::stored("fingerprint", &fingerprint)?, result }))
        }
        _ => Err(Refusal::KeyInUse.into()),
    }
}

/// Records a key whose request goes on with this draft.
pub(super) async fn take_key(tx: &mut AnyConnection, once: &Once, draft: DraftId) -> Result<(), sqlx::Error> {
    sqlx::query("insert into idempotency (principal, route, key, draft_id, created_at) values ($1, $2, $3, $4, $5)")
        .bind(&once.principal)
        .bind(&once.route)
        .bind(&once.key)
        .bind(draft.to_string())
        .bind(Timestamp::now().millis())
        .execute(tx)
        .await?;
    Ok(())
}

/// Records what came of the request that goes on with this draft, if it had a key; it does not go with the draft then.
pub(super) async fn answer_key(
    tx: &mut AnyConnection,
    draft: DraftId,
    fingerprint: Sha256Digest,
    result: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("update idempotency set fingerprint = $2, result = $3, draft_id = null where draft_id = $1")
        .bind(draft.to_string())
        .bind(fingerprint.to_string())
        .bind(result)
        .execute(tx)
        .await?;
    Ok(())
}

impl Catalog {
    /// Records what came of the request that a key is bound to.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn answer_bound(&self, once: &Once, result: &str) -> Result<(), Error> {
        sqlx::query("update idempotency set result = $4 where principal = $1 and route = $2 and key = $3")
            .bind(&once.principal)
            .bind(&once.route)
            .bind(&once.key)
            .bind(result)
            .execute(&self.write)
            .await
            .map_err(Error::during("record an answer"))?;
        Ok(())
    }

    /// Binds a key to a request that can be done again without harm; gives what came of the first one, if that is known.
    ///
    /// # Errors
    /// [`Refusal::KeyReused`] when it is bound to another request, and of the database.
    pub async fn bind_key(&self, once: &Once, fingerprint: Sha256Digest) -> Result<Option<String>, Error> {
        let fail = || Error::during("record an idempotency key");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        match first_answer(&mut tx, once).await? {
            Some(first) if first.fingerprint == fingerprint => {
                return Ok(Some(first.result).filter(|result| !result.is_empty()));
            }
            Some(_) => return Err(Refusal::KeyReused.into()),
            None => {}
        }
        sqlx::query(
            "insert into idempotency (principal, route, key, fingerprint, result, created_at) \
             values ($1, $2, $3, $4, '', $5)",
        )
        .bind(&once.principal)
        .bind(&once.route)
        .bind(&once.key)
        .bind(fingerprint.to_string())
        .bind(Timestamp::now().millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(None)
    }
}
