//! What has a time and is past it: drafts of clients, their uploads, remembered answers.

use serde_json::json;
use sqlx::Row as _;

use super::audit::note;
use super::condemned::condemn_unreferenced_of;
use super::error::stored;
use super::listing::{model_ref, number, text};
use super::{Catalog, Error};
use crate::domain::{Actor, AuditAction, Deed, ModelRef, Subject, Timestamp};

/// A draft that nobody filled in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredDraft {
    /// Its id.
    pub id: String,
    /// Its model.
    pub model: ModelRef,
    /// What its objects lie below.
    pub prefix: String,
}

/// An upload that nobody ended in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredUpload {
    /// Its id.
    pub id: String,
    /// S3 key.
    pub key: String,
    /// Id of the multipart upload; none when S3 was not asked yet.
    pub upload_id: Option<String>,
}

impl Catalog {
    /// Drafts of clients that expired before `now` and are not kept, by id, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn expired_drafts(&self, now: Timestamp, after: &str, limit: i64) -> Result<Vec<ExpiredDraft>, Error> {
        let rows = sqlx::query(
            "select id, model_namespace as namespace, model_name as model, prefix from drafts where kind = 'client' \
             and keep = 0 and expires_at is not null and expires_at < $1 and id > $2 order by id limit $3",
        )
        .bind(now.millis())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list expired drafts"))?;
        rows.iter()
            .map(|row| {
                let (id, prefix) = (text(row, "id")?, text(row, "prefix")?);
                let prefix = if prefix.is_empty() { id.clone() } else { prefix };
                Ok(ExpiredDraft { id, model: model_ref(row)?, prefix })
            })
            .collect()
    }

    /// Removes the rows of an expired draft, and condemns the objects that only it had; false when it is not expired
    /// any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_expired_draft(&self, draft: &ExpiredDraft, now: Timestamp, by: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("end an expired draft");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query(
            "select id from drafts where id = $1 and kind = 'client' and keep = 0 and expires_at is not null \
             and expires_at < $2",
        )
        .bind(&draft.id)
        .bind(now.millis())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fail())?;
        if row.is_none() {
            return Ok(false);
        }
        let had = sqlx::query("delete from draft_files where draft_id = $1 returning object_id")
            .bind(&draft.id)
            .fetch_all(&mut *tx)
            .await
            .map_err(fail())?;
        let had = had.iter().map(|row| row.try_get("object_id")).collect::<Result<Vec<i64>, _>>().map_err(fail())?;
        condemn_unreferenced_of(&mut tx, &had).await.map_err(fail())?;
        for statement in ["delete from uploads where draft_id = $1", "delete from drafts where id = $1"] {
            sqlx::query(statement).bind(&draft.id).execute(&mut *tx).await.map_err(fail())?;
        }
        let on = Subject::draft(&draft.model, stored("draft", &draft.id)?);
        note(&mut tx, by, &Deed::done(AuditAction::DraftExpire, on, json!({}))).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Uploads that expired before `before`, by id, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn expired_uploads(
        &self,
        before: Timestamp,
        after: &str,
        limit: i64,
    ) -> Result<Vec<ExpiredUpload>, Error> {
        let rows = sqlx::query(
            "select id, s3_key, coalesce(s3_upload_id, '') as s3_upload_id from uploads \
             where expires_at < $1 and id > $2 order by id limit $3",
        )
        .bind(before.millis())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list expired uploads"))?;
        rows.iter()
            .map(|row| {
                let upload_id = Some(text(row, "s3_upload_id")?).filter(|id| !id.is_empty());
                Ok(ExpiredUpload { id: text(row, "id")?, key: text(row, "s3_key")?, upload_id })
            })
            .collect()
    }

    /// Removes the row of an expired upload; false when it is not expired any more.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_expired_upload(&self, upload: &str, now: Timestamp) -> Result<bool, Error> {
        let done = sqlx::query("delete from uploads where id = $1 and expires_at < $2")
            .bind(upload)
            .bind(now.millis())
            .execute(&self.write)
            .await
            .map_err(Error::during("end an expired upload"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets remembered answers that were given before this time; gives how many.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_answers(&self, before: Timestamp) -> Result<u64, Error> {
        let done = sqlx::query("delete from idempotency where created_at < $1")
            .bind(before.millis())
            .execute(&self.write)
            .await
            .map_err(Error::during("forget remembered answers"))?;
        Ok(done.rows_affected())
    }

    /// How many remembered answers were given before this time.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn old_answers(&self, before: Timestamp) -> Result<u64, Error> {
        let row = sqlx::query("select count(*) as answers from idempotency where created_at < $1")
            .bind(before.millis())
            .fetch_one(&self.read)
            .await
            .map_err(Error::during("count remembered answers"))?;
        Ok(number(&row, "answers")? as u64)
    }
}
