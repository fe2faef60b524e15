//! The outbox: changes that the bucket's journal does not have yet, written in the transaction of the change itself.

use sqlx::{AnyConnection, Row as _};

use super::{Catalog, Error};
use crate::domain::{Event, JournalEntry, Timestamp};

/// Puts a change into the outbox, as part of the transaction that makes it.
pub(super) async fn record(tx: &mut AnyConnection, event: &Event) -> Result<(), sqlx::Error> {
    let json = serde_json::to_string(event).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("insert into outbox (event, created_at) values ($1, $2)")
        .bind(json)
        .bind(Timestamp::now().millis())
        .execute(tx)
        .await?;
    Ok(())
}

impl Catalog {
    /// Up to `limit` changes that the journal does not have yet, oldest first.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn unjournalled(&self, limit: i64) -> Result<Vec<JournalEntry>, Error> {
        let fail = || Error::during("read the outbox");
        let rows = sqlx::query("select seq, event from outbox order by seq limit $1")
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(fail())?;
        let entry = |row: &sqlx::any::AnyRow| {
            let json: String = row.try_get("event").map_err(fail())?;
            let seq = row.try_get("seq").map_err(fail())?;
            let event = serde_json::from_str(&json).map_err(|_| Error::Corrupt { what: "event", value: json })?;
            Ok(JournalEntry { schema: 1, seq, event })
        };
        rows.iter().map(entry).collect()
    }

    /// Forgets the change with this number, which the journal has.
    ///
    /// Only this one: where writers run side by side, a lower number may be committed later.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn journalled(&self, seq: i64) -> Result<(), Error> {
        sqlx::query("delete from outbox where seq = $1")
            .bind(seq)
            .execute(&self.write)
            .await
            .map_err(Error::during("clear the outbox"))?;
        Ok(())
    }

    /// How many changes the journal does not have yet, and since when the oldest waits.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn journal_lag(&self) -> Result<(i64, Option<Timestamp>), Error> {
        let fail = || Error::during("measure the outbox");
        let row = sqlx::query("select count(*) as entries, coalesce(min(created_at), -1) as oldest from outbox")
            .fetch_one(&self.read)
            .await
            .map_err(fail())?;
        let oldest: i64 = row.try_get("oldest").map_err(fail())?;
        Ok((row.try_get("entries").map_err(fail())?, (oldest >= 0).then(|| Timestamp::from_millis(oldest))))
    }
}
