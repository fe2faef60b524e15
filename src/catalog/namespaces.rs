//! Namespaces: what they hold, and what they demand.

use sqlx::any::AnyRow;

use super::error::stored;
use super::listing::{number, text};
use super::outbox::record;
use super::{Catalog, Error};
use crate::domain::{Event, Namespace, Timestamp};

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRow {
    /// As first spelled.
    pub name: Namespace,
    /// Bytes of all its objects, those of drafts and of the trash included.
    pub bytes: u64,
    /// Whether files must be verified before they are published.
    pub require_verified: bool,
    /// Since when.
    pub created_at: Timestamp,
}

impl NamespaceRow {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            name: stored("namespace", &text(row, "name")?)?,
            bytes: number(row, "bytes")? as u64,
            require_verified: number(row, "require_verified")? != 0,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
        })
    }
}

impl Catalog {
    /// A namespace; none when nothing was ever stored in it or said of it.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn namespace(&self, name: &Namespace) -> Result<Option<NamespaceRow>, Error> {
        let row = sqlx::query("select name, bytes, require_verified, created_at from namespaces where folded = $1")
            .bind(name.folded())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a namespace up"))?;
        row.as_ref().map(NamespaceRow::read).transpose()
    }

    /// Says whether a namespace demands that files are verified before they are published; one that is new is recorded.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours; nothing is changed then.
    pub async fn demand_verification(&self, name: &Namespace, demanded: bool) -> Result<NamespaceRow, Error> {
        let fail = || Error::during("change a namespace");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        sqlx::query(
            "insert into namespaces (name, folded, created_at) values ($1, $2, $3) on conflict (folded) do nothing",
        )
        .bind(name.as_str())
        .bind(name.folded())
        .bind(Timestamp::now().millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        let changed =
            sqlx::query("update namespaces set require_verified = $2 where folded = $1 and require_verified <> $2")
                .bind(name.folded())
                .bind(i64::from(demanded))
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
        let row = sqlx::query("select name, bytes, require_verified, created_at from namespaces where folded = $1")
            .bind(name.folded())
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
        let namespace = NamespaceRow::read(&row)?;
        if changed.rows_affected() == 1 {
            let event = Event::VerificationDemanded { namespace: namespace.name.clone(), demanded };
            record(&mut tx, &event).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(namespace)
    }
}
