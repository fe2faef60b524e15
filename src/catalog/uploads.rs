//! Uploads: the intent behind each file on its way into a draft, and the files that arrived.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::audit::note;
use super::drafts::{refuse_deleted, touch};
use super::error::stored;
use super::listing::{Page, number, text};
use super::{Catalog, DraftRow, Error, Refusal};
use crate::domain::{
    Actor, AuditAction, Deed, DraftId, FilePath, ModelRef, PartLedger, PathConflict, Sha256Digest, Subject, Timestamp,
    UploadId, UploadToken,
};

/// Which way the bytes of an upload take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadKind {
    /// Parts go straight to S3; it lives until it is completed, aborted or expires.
    Presigned,
    /// Through the service, or copied by S3; it ends with its request.
    Streamed,
}

/// A file on its way into a draft.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadRow {
    /// Its id.
    pub id: UploadId,
    /// The draft.
    pub draft: DraftId,
    /// Which way the bytes take.
    pub kind: UploadKind,
    /// Where the file will lie in the draft.
    pub path: FilePath,
    /// Bytes, where they are known.
    pub size: Option<u64>,
    /// What the client says the digest is.
    pub sha256: Option<Sha256Digest>,
    /// Bytes of each part but the last.
    pub part_size: Option<u64>,
    /// How many parts.
    pub part_count: Option<u32>,
    /// Where the bytes go in S3.
    pub s3_key: String,
    /// S3's own id of it; none before S3 was asked.
    pub s3_upload_id: Option<String>,
    /// The mark that the object carries.
    pub token: UploadToken,
    /// When.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it is aborted by itself.
    pub expires_at: Timestamp,
}

/// Bounds on what a draft takes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Files of a draft.
    pub max_files: usize,
    /// Bytes of a namespace.
    pub max_bytes: u64,
    /// How long a draft that is not kept lives after the last change of it.
    pub draft_life: Duration,
}

const COLUMNS: &str = "id, draft_id, kind, path, size, sha256, part_size, part_count, s3_key, s3_upload_id, token, \
    created_at, created_by, expires_at";

impl UploadKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Presigned => "presigned",
            Self::Streamed => "streamed",
        }
    }
}

impl UploadRow {
    fn read(row: &AnyRow) -> Result<Self, Error> {
        let fail = || Error::during("read an upload");
        let optional = |column| row.try_get::<Option<i64>, _>(column).map_err(fail());
        let kind = text(row, "kind")?;
        let sha256: Option<String> = row.try_get("sha256").map_err(fail())?;
        Ok(Self {
            id: stored("upload id", &text(row, "id")?)?,
            draft: stored("draft id", &text(row, "draft_id")?)?,
            kind: match kind.as_str() {
                "presigned" => UploadKind::Presigned,
                "streamed" => UploadKind::Streamed,
                _ => return Err(Error::Corrupt { what: "kind of upload", value: kind }),
            },
            path: stored("file path", &text(row, "path")?)?,
            size: optional("size")?.map(|size| size as u64),
            sha256: sha256.map(|sha256| stored("digest", &sha256)).transpose()?,
            part_size: optional("part_size")?.map(|size| size as u64),
            part_count: optional("part_count")?.and_then(|count| u32::try_from(count).ok()),
            s3_key: text(row, "s3_key")?,
            s3_upload_id: row.try_get("s3_upload_id").map_err(fail())?,
            token: UploadToken::from_stored(text(row, "token")?),
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            created_by: text(row, "created_by")?,
            expires_at: Timestamp::from_millis(number(row, "expires_at")?),
        })
    }
}

impl Catalog {
    /// Records uploads into a draft, all or none.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`], [`Refusal::PathConflict`], [`Refusal::TooManyFiles`], [`Refusal::NamespaceFull`],
    /// [`Error::ModelTrashed`], and of the database.
    pub async fn begin_uploads(&self, draft: &DraftRow, uploads: &[UploadRow], room: Room) -> Result<(), Error> {
        let fail = || Error::during("record uploads");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let now = touch(&mut tx, draft.id, Timestamp::now().plus(room.draft_life)).await?;
        // A draft that was published in between goes on under another prefix.
        if now.prefix != draft.prefix {
            return Err(Refusal::DraftChanging.into());
        }
        refuse_deleted(&mut tx, &draft.model).await?;
        room_for(&mut tx, &draft.model, uploads.iter().filter_map(|upload| upload.size).sum(), room).await?;
        for upload in uploads {
            refuse_conflict(&mut tx, draft.id, &upload.path).await?;
            insert_upload(&mut tx, upload).await.map_err(fail())?;
        }
        refuse_too_many(&mut tx, draft.id, room.max_files).await?;
        tx.commit().await.map_err(fail())
    }

    /// Refuses bytes of which it is known beforehand that the namespace has no room for them.
    ///
    /// # Errors
    /// [`Refusal::NamespaceFull`], and of the database.
    pub async fn refuse_full(&self, model: &ModelRef, more: u64, room: Room) -> Result<(), Error> {
        let mut connection = self.read.acquire().await.map_err(Error::during("measure a namespace"))?;
        room_for(&mut connection, model, more, room).await
    }

    /// Records S3's id of an upload; false when the upload is gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn upload_begun(&self, upload: UploadId, s3_upload_id: &str) -> Result<bool, Error> {
        let done = sqlx::query("update uploads set s3_upload_id = $2 where id = $1 and s3_upload_id is null")
            .bind(upload.to_string())
            .bind(s3_upload_id)
            .execute(&self.write)
            .await
            .map_err(Error::during("record an upload"))?;
        Ok(done.rows_affected() == 1)
    }

    /// One upload of a draft, and the digests that URLs were signed for.
    ///
    /// # Errors
    /// [`Refusal::UploadNotFound`], and of the database.
    pub async fn upload(&self, draft: DraftId, upload: UploadId) -> Result<(UploadRow, PartLedger), Error> {
        let query = format!("select {COLUMNS}, parts from uploads where id = $1 and draft_id = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(upload.to_string())
            .bind(draft.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look an upload up"))?;
        let Some(row) = row else { return Err(Refusal::UploadNotFound(upload).into()) };
        let parts = text(&row, "parts")?;
        let ledger = PartLedger::from_text(&parts).map_err(|_| Error::Corrupt { what: "part ledger", value: parts })?;
        Ok((UploadRow::read(&row)?, ledger))
    }

    /// Records the digests that URLs are about to be signed for.
    ///
    /// # Errors
    /// [`Refusal::UploadNotFound`], and of the database.
    pub async fn record_parts(
        &self,
        draft: DraftId,
        upload: UploadId,
        parts: &[(u32, Sha256Digest)],
    ) -> Result<(), Error> {
        let fail = || Error::during("record the digests of parts");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query("select parts from uploads where id = $1 and draft_id = $2")
            .bind(upload.to_string())
            .bind(draft.to_string())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        let Some(row) = row else { return Err(Refusal::UploadNotFound(upload).into()) };
        let before = text(&row, "parts")?;
        let mut ledger = PartLedger::from_text(&before)
            .map_err(|_| Error::Corrupt { what: "part ledger", value: before.clone() })?;
        for (number, sha256) in parts {
            ledger.record(*number, *sha256);
        }
        let after = ledger.to_text();
        if after != before {
            sqlx::query("update uploads set parts = $2 where id = $1")
                .bind(upload.to_string())
                .bind(after)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
        }
        tx.commit().await.map_err(fail())
    }

    /// Uploads into a draft by path, at most `limit`, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn uploads(
        &self,
        draft: DraftId,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<UploadRow, FilePath>, Error> {
        let query =
            format!("select {COLUMNS} from uploads where draft_id = $1 and path > $2 order by path, id limit $3");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(draft.to_string())
            .bind(after.map_or("", FilePath::as_str))
            .bind(limit as i64 + 1)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list uploads"))?;
        let items = rows.iter().map(UploadRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |upload| upload.path.clone()))
    }

    /// Uploads of any draft that go through the service, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn streamed_uploads(&self, limit: i64) -> Result<Vec<UploadRow>, Error> {
        let query = format!("select {COLUMNS} from uploads where kind = 'streamed' order by id limit $1");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list uploads"))?;
        rows.iter().map(UploadRow::read).collect()
    }

    /// S3's ids of the other uploads to the key of this one; none while only S3 knows the id of one of them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn s3_uploads_beside(&self, upload: &UploadRow) -> Result<Option<Vec<String>>, Error> {
        let fail = || Error::during("list uploads");
        let rows = sqlx::query("select s3_upload_id from uploads where s3_key = $1 and id <> $2")
            .bind(&upload.s3_key)
            .bind(upload.id.to_string())
            .fetch_all(&self.write)
            .await
            .map_err(fail())?;
        rows.iter().map(|row| row.try_get("s3_upload_id").map_err(fail())).collect()
    }

    /// An open presigned upload of the same file, to go on with.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn same_upload(
        &self,
        draft: &DraftRow,
        path: &FilePath,
        size: u64,
        sha256: Option<Sha256Digest>,
    ) -> Result<Option<UploadRow>, Error> {
        let query = format!(
            "select {COLUMNS} from uploads where draft_id = $1 and path = $2 and size = $3 \
             and ($4 = '' or coalesce(sha256, $4) = $4) and kind = 'presigned' order by id limit 1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(draft.id.to_string())
            .bind(path.as_str())
            .bind(size as i64)
            .bind(sha256.map(|sha256| sha256.to_string()).unwrap_or_default())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look an upload up"))?;
        row.as_ref().map(UploadRow::read).transpose()
    }

    /// Whether the upload is still one: its file was neither placed nor forgotten.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn upload_exists(&self, upload: UploadId) -> Result<bool, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query("select id from uploads where id = $1")
            .bind(upload.to_string())
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look an upload up"))?;
        Ok(row.is_some())
    }

    /// Records what the client says the digest of the whole is, when it is completed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn state_digest(&self, upload: UploadId, sha256: Sha256Digest) -> Result<(), Error> {
        sqlx::query("update uploads set sha256 = $2 where id = $1 and sha256 is null")
            .bind(upload.to_string())
            .bind(sha256.to_string())
            .execute(&self.write)
            .await
            .map_err(Error::during("record a digest"))?;
        Ok(())
    }

    /// Forgets an upload that somebody aborts; harmless when it is gone.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn abort_upload(&self, upload: &UploadRow, model: &ModelRef, by: &Actor) -> Result<(), Error> {
        let fail = || Error::during("abort an upload");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let gone = sqlx::query("delete from uploads where id = $1")
            .bind(upload.id.to_string())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        if gone.rows_affected() == 0 {
            return Ok(());
        }
        let details = serde_json::json!({ "path": upload.path.as_str(), "upload": upload.id.to_string() });
        let deed = Deed::done(AuditAction::UploadAbort, Subject::draft(model, upload.draft), details);
        note(&mut tx, by, &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())
    }

    /// Forgets an upload that will not be completed; harmless when it is gone.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn forget_upload(&self, upload: UploadId) -> Result<(), Error> {
        sqlx::query("delete from uploads where id = $1")
            .bind(upload.to_string())
            .execute(&self.write)
            .await
            .map_err(Error::during("forget an upload"))?;
        Ok(())
    }
}

async fn insert_upload(tx: &mut AnyConnection, upload: &UploadRow) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into uploads (id, draft_id, kind, path, size, sha256, part_size, part_count, s3_key, s3_upload_id, \
         token, created_at, created_by, expires_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(upload.id.to_string())
    .bind(upload.draft.to_string())
    .bind(upload.kind.as_str())
    .bind(upload.path.as_str())
    .bind(upload.size.map(|size| size as i64))
    .bind(upload.sha256.map(|sha256| sha256.to_string()))
    .bind(upload.part_size.map(|size| size as i64))
    .bind(upload.part_count.map(i64::from))
    .bind(&upload.s3_key)
    .bind(upload.s3_upload_id.as_deref())
    .bind(upload.token.as_str())
    .bind(upload.created_at.millis())
    .bind(&upload.created_by)
    .bind(upload.expires_at.millis())
    .execute(tx)
    .await?;
    Ok(())
}

/// Refuses a path that is a folder of another file, or below one that is a file.
pub(super) async fn refuse_conflict(tx: &mut AnyConnection, draft: DraftId, path: &FilePath) -> Result<(), Error> {
    let fail = || Error::during("compare paths of a draft");
    // Everything below `path/` sorts between it and `path0`: the byte after the slash.
    let below = (format!("{path}/"), format!("{path}0"));
    for table in ["draft_files", "uploads"] {
        let query = format!("select path from {table} where draft_id = $1 and path >= $2 and path < $3 limit 1");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(draft.to_string())
            .bind(&below.0)
            .bind(&below.1)
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        if row.is_some() {
            return Err(Refusal::PathConflict(PathConflict::FileAndFolder(path.to_string())).into());
        }
        for folder in path.folders() {
            let query = format!("select path from {table} where draft_id = $1 and path = $2 limit 1");
            let row = sqlx::query(sqlx::AssertSqlSafe(query))
                .bind(draft.to_string())
                .bind(folder)
                .fetch_optional(&mut *tx)
                .await
                .map_err(fail())?;
            if row.is_some() {
                return Err(Refusal::PathConflict(PathConflict::FileAndFolder(folder.to_owned())).into());
            }
        }
    }
    Ok(())
}

pub(super) async fn refuse_too_many(tx: &mut AnyConnection, draft: DraftId, max: usize) -> Result<(), Error> {
    let fail = || Error::during("count the files of a draft");
    let files: i64 = sqlx::query(
        "select count(*) as n from (select path from draft_files where draft_id = $1 \
         union select path from uploads where draft_id = $1) as paths",
    )
    .bind(draft.to_string())
    .fetch_one(tx)
    .await
    .and_then(|row| row.try_get("n"))
    .map_err(fail())?;
    if usize::try_from(files).is_ok_and(|files| files > max) {
        Err(Refusal::TooManyFiles { max }.into())
    } else {
        Ok(())
    }
}

/// Refuses what would not fit into the namespace, so far as it is known before the bytes.
async fn room_for(tx: &mut AnyConnection, model: &ModelRef, more: u64, room: Room) -> Result<(), Error> {
    let bytes: Option<i64> = sqlx::query("select bytes from namespaces where folded = $1")
        .bind(model.namespace.folded())
        .fetch_optional(tx)
        .await
        .and_then(|row| row.map(|row| row.try_get("bytes")).transpose())
        .map_err(Error::during("measure a namespace"))?;
    let have = bytes.unwrap_or_default() as u64;
    if have.saturating_add(more) > room.max_bytes {
        return Err(Refusal::NamespaceFull { max: room.max_bytes }.into());
    }
    Ok(())
}
