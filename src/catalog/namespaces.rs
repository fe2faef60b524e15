//! Namespaces: what they hold, and what they demand.

use sqlx::any::AnyRow;

use super::audit::record;
use super::error::stored;
use super::listing::{number, text};
use super::{Catalog, Error};
use crate::domain::{Actor, AliasPattern, Event, Namespace, Timestamp};

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRow {
    /// As first spelled.
    pub name: Namespace,
    /// Bytes of all its objects, those of drafts and of the trash included.
    pub bytes: u64,
    /// Whether files must be verified before they are published.
    pub require_verified: bool,
    /// The aliases that only some may move.
    pub protected_aliases: Vec<AliasPattern>,
    /// Since when.
    pub created_at: Timestamp,
}

/// What of a namespace is to change; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceChange {
    /// Whether files must be verified before they are published.
    pub require_verified: Option<bool>,
    /// The aliases that only some may move.
    pub protected_aliases: Option<Vec<AliasPattern>>,
}

macro_rules! namespace_select {
    () => {
        "select name, bytes, require_verified, protected_aliases, created_at from namespaces "
    };
}

impl NamespaceRow {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        let patterns = text(row, "protected_aliases")?;
        let protected_aliases = serde_json::from_str(&patterns)
            .map_err(|_| Error::Corrupt { what: "patterns of aliases", value: patterns })?;
        Ok(Self {
            protected_aliases,
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
        let row = sqlx::query(concat!(namespace_select!(), "where folded = $1"))
            .bind(name.folded())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a namespace up"))?;
        row.as_ref().map(NamespaceRow::read).transpose()
    }

    /// Changes what a namespace demands and protects; one that is new is recorded.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours; nothing is changed then.
    pub async fn change_namespace(
        &self,
        name: &Namespace,
        change: &NamespaceChange,
        by: &Actor,
    ) -> Result<NamespaceRow, Error> {
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
        let row = sqlx::query(concat!(namespace_select!(), "where folded = $1"))
            .bind(name.folded())
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
        let mut namespace = NamespaceRow::read(&row)?;
        if let Some(demanded) = change.require_verified.filter(|demanded| *demanded != namespace.require_verified) {
            sqlx::query("update namespaces set require_verified = $2 where folded = $1")
                .bind(name.folded())
                .bind(i64::from(demanded))
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            namespace.require_verified = demanded;
            let event = Event::VerificationDemanded { namespace: namespace.name.clone(), demanded };
            record(&mut tx, by, &event).await.map_err(fail())?;
        }
        if let Some(patterns) = change.protected_aliases.as_ref().filter(|new| **new != namespace.protected_aliases) {
            let json = serde_json::to_string(patterns).map_err(|error| fail()(sqlx::Error::Encode(error.into())))?;
            sqlx::query("update namespaces set protected_aliases = $2 where folded = $1")
                .bind(name.folded())
                .bind(json)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            namespace.protected_aliases.clone_from(patterns);
            let event = Event::AliasesProtected { namespace: namespace.name.clone(), patterns: patterns.clone() };
            record(&mut tx, by, &event).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(namespace)
    }

    /// Which aliases a namespace protects; none when there is no such namespace.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn protected_aliases(&self, name: &Namespace) -> Result<Vec<AliasPattern>, Error> {
        Ok(self.namespace(name).await?.map(|namespace| namespace.protected_aliases).unwrap_or_default())
    }
}
