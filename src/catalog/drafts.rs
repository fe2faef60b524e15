//! Drafts: the rows that are there before the bytes.

use sqlx::Row as _;

use super::error::stored;
use super::{Catalog, Error};
use crate::domain::{DraftId, ModelRef, Timestamp, UploadToken};

/// A draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    /// Its id; the prefix of its objects.
    pub id: DraftId,
    /// The model that it will be a version of.
    pub model: ModelRef,
    /// Where its bytes go.
    pub vault: i64,
    /// The mark that each of its objects carries.
    pub token: UploadToken,
    /// Who began it.
    pub created_by: String,
}

impl Catalog {
    /// Records a draft.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin_draft(&self, draft: &DraftRow) -> Result<(), Error> {
        sqlx::query(
            "insert into drafts (id, model_namespace, model_name, vault_id, token, created_at, created_by) \
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(draft.id.to_string())
        .bind(draft.model.namespace.as_str())
        .bind(draft.model.name.as_str())
        .bind(draft.vault)
        .bind(draft.token.as_str())
        .bind(Timestamp::now().millis())
        .bind(&draft.created_by)
        .execute(&self.write)
        .await
        .map_err(Error::during("record a draft"))?;
        Ok(())
    }

    /// Forgets a draft that will not be published; harmless when it is gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_draft(&self, draft: DraftId) -> Result<(), Error> {
        sqlx::query("delete from drafts where id = $1")
            .bind(draft.to_string())
            .execute(&self.write)
            .await
            .map_err(Error::during("forget a draft"))?;
        Ok(())
    }

    /// Whether the draft is still one: it was neither published nor forgotten.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn draft_exists(&self, draft: DraftId) -> Result<bool, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query("select id from drafts where id = $1")
            .bind(draft.to_string())
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look a draft up"))?;
        Ok(row.is_some())
    }

    /// Up to `limit` drafts of one request each, oldest first: those of clients end otherwise.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn drafts(&self, limit: i64) -> Result<Vec<DraftRow>, Error> {
        let fail = || Error::during("list drafts");
        let rows = sqlx::query(
            "select id, model_namespace, model_name, vault_id, token, created_by from drafts \
             where kind = 'request' order by id limit $1",
        )
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let draft = |row: &sqlx::any::AnyRow| {
            let text = |column| row.try_get::<String, _>(column).map_err(fail());
            Ok(DraftRow {
                id: stored("draft id", &text("id")?)?,
                model: ModelRef {
                    namespace: stored("namespace", &text("model_namespace")?)?,
                    name: stored("model name", &text("model_name")?)?,
                },
                vault: row.try_get("vault_id").map_err(fail())?,
                token: UploadToken::from_stored(text("token")?),
                created_by: text("created_by")?,
            })
        };
        rows.iter().map(draft).collect()
    }
}
