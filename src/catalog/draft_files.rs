//! Files of a client's draft that are complete.

use serde_json::json;
use sqlx::AnyConnection;

use super::audit::note;
use super::drafts::touch;
use super::listing::{FileRow, Page, number};
use super::objects::{NewObject, ObjectPlace, condemn_unused, insert_object, model_row, verified_here};
use super::uploads::{refuse_conflict, refuse_too_many};
use super::{Catalog, DraftRow, Error, Refusal, Room, UploadRow};
use crate::domain::{Actor, AuditAction, Deed, DraftId, FilePath, Sha256Digest, Subject, Timestamp, UploadId};

/// What came of a file that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The file, as the draft has it now.
    pub file: FileRow,
    /// The object that it replaced and that nobody needs any more.
    pub condemned: Option<ObjectPlace>,
}

impl Catalog {
    /// Makes stored bytes a file of the draft, in the place of one with the same path, and ends their upload.
    ///
    /// # Errors
    /// [`Refusal::UploadNotFound`] when the upload was ended by somebody else, [`Refusal::NamespaceFull`], and of the
    /// database. The caller removes the bytes then, unless a row pins them.
    pub async fn place_upload(
        &self,
        upload: &UploadRow,
        object: &NewObject,
        room: Room,
        by: &Actor,
    ) -> Result<Placed, Error> {
        let fail = || Error::during("record a file of a draft");
        let now = Timestamp::now().millis();
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let ended = sqlx::query("delete from uploads where id = $1 and draft_id = $2")
            .bind(upload.id.to_string())
            .bind(upload.draft.to_string())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        if ended.rows_affected() == 0 {
            return Err(Refusal::UploadNotFound(upload.id).into());
        }
        let draft = touch(&mut tx, upload.draft, Timestamp::from_millis(now).plus(room.draft_life)).await?;
        let model = model_row(&mut tx, &draft.model).await.map_err(fail())?;
        let inserted = insert_object(&mut tx, model, draft.vault, object, room.max_bytes, now).await.map_err(fail())?;
        let Some(id) = inserted else { return Err(Refusal::NamespaceFull { max: room.max_bytes }.into()) };
        let placed = place(&mut tx, &draft, &object.path, id, Some(upload.id), now, by).await?;
        tx.commit().await.map_err(fail())?;
        Ok(placed)
    }

    /// Makes bytes that the model has verified a file of the draft; none when it has no such bytes.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], [`Refusal::PathConflict`], [`Refusal::TooManyFiles`], and of the database.
    pub async fn place_verified(
        &self,
        draft: &DraftRow,
        path: &FilePath,
        sha256: Sha256Digest,
        size: u64,
        room: Room,
        by: &Actor,
    ) -> Result<Option<Placed>, Error> {
        let fail = || Error::during("record a file of a draft");
        let now = Timestamp::now();
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let draft = touch(&mut tx, draft.id, now.plus(room.draft_life)).await?;
        let model = model_row(&mut tx, &draft.model).await.map_err(fail())?;
        let Some(object) = verified_here(&mut tx, model, sha256, size).await.map_err(fail())? else {
            return Ok(None);
        };
        refuse_conflict(&mut tx, draft.id, path).await?;
        let placed = place(&mut tx, &draft, path, object, None, now.millis(), by).await?;
        refuse_too_many(&mut tx, draft.id, room.max_files).await?;
        tx.commit().await.map_err(fail())?;
        Ok(Some(placed))
    }

    /// Takes a file out of a draft; gives its object when nobody needs it any more.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], [`Refusal::FileNotFound`], and of the database.
    pub async fn remove_file(
        &self,
        draft: DraftId,
        path: &FilePath,
        room: Room,
        by: &Actor,
    ) -> Result<Option<ObjectPlace>, Error> {
        let fail = || Error::during("remove a file of a draft");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = touch(&mut tx, draft, Timestamp::now().plus(room.draft_life)).await?;
        let model = row.model;
        let row = sqlx::query("delete from draft_files where draft_id = $1 and path = $2 returning object_id")
            .bind(draft.to_string())
            .bind(path.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        let Some(row) = row else { return Err(Refusal::FileNotFound(path.clone()).into()) };
        let condemned = condemned(&mut tx, number(&row, "object_id")?).await?;
        let details = json!({ "path": path.as_str() });
        let deed = Deed::done(AuditAction::FileRemove, Subject::draft(&model, draft), details);
        note(&mut tx, by, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(condemned)
    }

    /// One complete file of a draft.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn draft_file(&self, draft: DraftId, path: &FilePath) -> Result<Option<FileRow>, Error> {
        let row = sqlx::query(
            "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from draft_files f \
             join objects o on o.id = f.object_id where f.draft_id = $1 and f.path = $2",
        )
        .bind(draft.to_string())
        .bind(path.as_str())
        .fetch_optional(&self.write)
        .await
        .map_err(Error::during("look a file of a draft up"))?;
        row.as_ref().map(FileRow::read).transpose()
    }

    /// The file that an upload brought, while the draft has it.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn brought_by(&self, draft: DraftId, upload: UploadId) -> Result<Option<FileRow>, Error> {
        let row = sqlx::query(
            "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from draft_files f \
             join objects o on o.id = f.object_id where f.draft_id = $1 and f.upload_id = $2",
        )
        .bind(draft.to_string())
        .bind(upload.to_string())
        .fetch_optional(&self.write)
        .await
        .map_err(Error::during("look a file of a draft up"))?;
        row.as_ref().map(FileRow::read).transpose()
    }

    /// Complete files of a draft by path, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn draft_files(
        &self,
        draft: DraftId,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<FileRow, FilePath>, Error> {
        let rows = sqlx::query(
            "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from draft_files f \
             join objects o on o.id = f.object_id where f.draft_id = $1 and f.path > $2 order by f.path limit $3",
        )
        .bind(draft.to_string())
        .bind(after.map_or("", FilePath::as_str))
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list the files of a draft"))?;
        let items = rows.iter().map(FileRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |file| file.path.clone()))
    }
}

async fn place(
    tx: &mut AnyConnection,
    draft: &DraftRow,
    path: &FilePath,
    object: i64,
    upload: Option<UploadId>,
    now: i64,
    by: &Actor,
) -> Result<Placed, Error> {
    let fail = || Error::during("record a file of a draft");
    let before = sqlx::query("delete from draft_files where draft_id = $1 and path = $2 returning object_id")
        .bind(draft.id.to_string())
        .bind(path.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fail())?;
    sqlx::query(
        "insert into draft_files (draft_id, path, object_id, upload_id, created_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(draft.id.to_string())
    .bind(path.as_str())
    .bind(object)
    .bind(upload.map(|upload| upload.to_string()))
    .bind(now)
    .execute(&mut *tx)
    .await
    .map_err(fail())?;
    let condemned = match before {
        Some(row) => condemned(&mut *tx, number(&row, "object_id")?).await?,
        None => None,
    };
    let row = sqlx::query(
        "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from draft_files f \
         join objects o on o.id = f.object_id where f.draft_id = $1 and f.path = $2",
    )
    .bind(draft.id.to_string())
    .bind(path.as_str())
    .fetch_one(&mut *tx)
    .await
    .map_err(fail())?;
    let file = FileRow::read(&row)?;
    let deed = Deed::file_added(&draft.model, draft.id, &file.path, file.size, file.sha256);
    note(&mut *tx, by, &deed).await.map_err(fail())?;
    Ok(Placed { file, condemned })
}

/// Condemns an object that nobody needs any more, and says where it lies.
async fn condemned(tx: &mut AnyConnection, object: i64) -> Result<Option<ObjectPlace>, Error> {
    let fail = || Error::during("condemn an object");
    if !condemn_unused(&mut *tx, object).await.map_err(fail())? {
        return Ok(None);
    }
    let row = sqlx::query("select id, s3_key, s3_version_id from objects where id = $1")
        .bind(object)
        .fetch_one(tx)
        .await
        .map_err(fail())?;
    ObjectPlace::read(&row).map(Some)
}
