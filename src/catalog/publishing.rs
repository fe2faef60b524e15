//! From a draft to a visible version, in two transactions with the manifest between them.

use sqlx::{AnyConnection, Row as _};

use super::drafts::{DraftRow, refuse_deleted};
use super::error::stored;
use super::idempotency::answer_key;
use super::objects::{NewObject, insert_object, model_row};
use super::{Catalog, Error, Refusal, showing};
use crate::domain::{
    Actor, AliasChange, DraftId, FileEntry, Integrity, Manifest, ManifestObject, Metadata, ModelRef, ObjectKey, Origin,
    Sha256Digest, Timestamp, VersionNumber,
};

/// What the draft of one request becomes.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The draft; its row goes with the transaction.
    pub draft: DraftRow,
    /// Digest over the files.
    pub digest: Sha256Digest,
    /// At least one.
    pub files: Vec<NewObject>,
    /// What the publisher says of it.
    pub metadata: Metadata,
    /// Where the request came from.
    pub origin: Origin,
    /// Of all that was asked, for a request that is sent again with the same key.
    pub fingerprint: Sha256Digest,
    /// Aliases that are to name the version when it becomes visible.
    pub aliases: Vec<AliasChange>,
    /// Most bytes of the namespace.
    pub max_bytes: u64,
}

/// What a client's draft becomes: its files as they were read at one revision.
#[derive(Debug, Clone)]
pub struct DraftToPublish {
    /// The draft as it was read.
    pub draft: DraftRow,
    /// Digest over the files of that revision.
    pub digest: Sha256Digest,
    /// Who publishes.
    pub by: Actor,
    /// What is said of the version.
    pub metadata: Metadata,
    /// Aliases that are to name the version when it becomes visible.
    pub aliases: Vec<AliasChange>,
}

/// A version that has its number and is not visible yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Row id.
    pub id: i64,
    /// Row id of its model.
    pub model_id: i64,
    /// Its number.
    pub number: VersionNumber,
}

/// What the version's own row says.
struct Row<'a> {
    prefix: DraftId,
    digest: Sha256Digest,
    metadata: &'a Metadata,
    by: &'a str,
    origin: &'a Origin,
    plain_prefix: bool,
    aliases: &'a [AliasChange],
}

impl Catalog {
    /// Gives the draft of one request the model's next number and freezes it, invisible.
    ///
    /// Names of the namespace and the model that are new are recorded as they are spelled here.
    ///
    /// # Errors
    /// [`Error::ModelTrashed`], [`Refusal::NamespaceFull`], and of the database; the draft is as it was then.
    pub async fn begin_publish(&self, new: &NewVersion) -> Result<Unfinished, Error> {
        let fail = || Error::during("give a version its number");
        let now = Timestamp::now().millis();
        let draft = &new.draft;
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        refuse_deleted(&mut tx, &draft.model).await?;
        let model = model_row(&mut tx, &draft.model).await.map_err(fail())?;
        let (digest, metadata) = (new.digest, &new.metadata);
        let by = &draft.created_by;
        let (origin, aliases) = (&new.origin, &new.aliases);
        let row = Row { prefix: draft.prefix, digest, metadata, by, origin, plain_prefix: true, aliases };
        let version = number_version(&mut tx, model, &draft.model, &row, now).await?;
        for file in &new.files {
            let object = insert_object(&mut tx, model, draft.vault, file, new.max_bytes, now).await.map_err(fail())?;
            let Some(object) = object else { return Err(Refusal::NamespaceFull { max: new.max_bytes }.into()) };
            sqlx::query("insert into version_files (version_id, path, object_id) values ($1, $2, $3)")
                .bind(version.id)
                .bind(file.path.as_str())
                .bind(object)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
        }
        count_files(&mut tx, version.id).await.map_err(fail())?;
        answer_key(&mut tx, draft.id, new.fingerprint, &version.id.to_string()).await.map_err(fail())?;
        forget(&mut tx, draft.id).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(version)
    }

    /// Gives a client's draft the model's next number and freezes its files, invisible.
    ///
    /// A kept draft goes on with the same files under another prefix; another one is gone.
    ///
    /// # Errors
    /// [`Refusal::DraftNotFound`]; [`Refusal::DraftChanging`] when the draft is not at the revision that was read;
    /// [`Refusal::UploadsUnfinished`], [`Refusal::NoFiles`], [`Refusal::WrongFile`], [`Refusal::Unverified`],
    /// [`Error::ModelTrashed`], and of the database; the draft is as it was then.
    pub async fn begin_publish_draft(&self, new: &DraftToPublish) -> Result<Unfinished, Error> {
        let fail = || Error::during("give a version its number");
        let now = Timestamp::now().millis();
        let (draft, id) = (&new.draft, new.draft.id.to_string());
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let revision = sqlx::query("select revision, prefix from drafts where id = $1 and kind = 'client'")
            .bind(&id)
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail())?;
        let Some(row) = revision else { return Err(Refusal::DraftNotFound(draft.id).into()) };
        let revision: i64 = row.try_get("revision").map_err(fail())?;
        let prefix: String = row.try_get("prefix").map_err(fail())?;
        if revision != draft.revision || prefix != draft.prefix.to_string() {
            return Err(Refusal::DraftChanging.into());
        }
        refuse_deleted(&mut tx, &draft.model).await?;
        refuse_unready(&mut tx, draft).await?;
        let model = model_row(&mut tx, &draft.model).await.map_err(fail())?;
        let row = Row {
            prefix: draft.prefix,
            digest: new.digest,
            metadata: &new.metadata,
            by: &new.by.principal,
            origin: &new.by.origin,
            plain_prefix: has_plain_prefix(&mut tx, draft).await.map_err(fail())?,
            aliases: &new.aliases,
        };
        let version = number_version(&mut tx, model, &draft.model, &row, now).await?;
        sqlx::query(
            "insert into version_files (version_id, path, object_id) \
             select $1, path, object_id from draft_files where draft_id = $2",
        )
        .bind(version.id)
        .bind(&id)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        count_files(&mut tx, version.id).await.map_err(fail())?;
        if draft.keep {
            sqlx::query(
                "update drafts set prefix = $2, published_revision = revision, published_version = $3 where id = $1",
            )
            .bind(&id)
            .bind(DraftId::generate().to_string())
            .bind(version.id)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        } else {
            forget(&mut tx, draft.id).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(version)
    }

    /// The version that a draft became; none when it was never published.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn published_from(&self, draft: DraftId) -> Result<Option<(ModelRef, Unfinished)>, Error> {
        let fail = || Error::during("look up what a draft became");
        let row = sqlx::query(
            "select v.id, v.model_id, v.number, n.name as namespace, m.name as model from versions v \
             join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id where v.draft_id = $1",
        )
        .bind(draft.to_string())
        .fetch_optional(&self.write)
        .await
        .map_err(fail())?;
        let Some(row) = row else { return Ok(None) };
        let text = |column| row.try_get::<String, _>(column).map_err(fail());
        let model = ModelRef {
            namespace: stored("namespace", &text("namespace")?)?,
            name: stored("model name", &text("model")?)?,
        };
        Ok(Some((model, unfinished(&row)?)))
    }

    /// A version by its row id, as [`Unfinished`] names it.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn numbered(&self, version: i64) -> Result<Unfinished, Error> {
        let row = sqlx::query("select id, model_id, number from versions where id = $1")
            .bind(version)
            .fetch_one(&self.read)
            .await
            .map_err(Error::during("look a version up"))?;
        unfinished(&row)
    }

    /// The manifest of a version, from its rows.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn manifest(&self, version: i64) -> Result<Manifest, Error> {
        let fail = || Error::during("read a version for its manifest");
        let row = sqlx::query(
            "select n.name as namespace, m.name as model, v.number, v.draft_id, v.digest, v.metadata, v.created_at, \
             v.created_by, v.description, v.plain_prefix, m.created_at as model_created_at, \
             n.created_at as namespace_created_at from versions v join models m on m.id = v.model_id \
             join namespaces n on n.id = m.namespace_id where v.id = $1",
        )
        .bind(version)
        .fetch_one(&self.read)
        .await
        .map_err(fail())?;
        let text = |column| row.try_get::<String, _>(column).map_err(fail());
        let number: i64 = row.try_get("number").map_err(fail())?;
        let metadata = text("metadata")?;
        let time = |column| row.try_get(column).map(Timestamp::from_millis).map_err(fail());
        Ok(Manifest {
            schema: 1,
            draft: text("draft_id")?,
            namespace: stored("namespace", &text("namespace")?)?,
            model: stored("model name", &text("model")?)?,
            number: VersionNumber::new(number)
                .ok_or_else(|| Error::Corrupt { what: "version number", value: number.to_string() })?,
            digest: stored("digest", &text("digest")?)?,
            created_at: Timestamp::from_millis(row.try_get("created_at").map_err(fail())?),
            created_by: text("created_by")?,
            metadata: Metadata::from_json(metadata.as_bytes())
                .map_err(|_| Error::Corrupt { what: "metadata", value: metadata.clone() })?,
            description: text("description")?,
            plain_prefix: row.try_get::<i64, _>("plain_prefix").map_err(fail())? != 0,
            model_created_at: Some(time("model_created_at")?),
            namespace_created_at: Some(time("namespace_created_at")?),
            files: self.manifest_objects(version).await?,
        })
    }

    async fn manifest_objects(&self, version: i64) -> Result<Vec<ManifestObject>, Error> {
        let fail = || Error::during("read the files of a version");
        let rows = sqlx::query(
            "select f.path, o.s3_key, o.s3_version_id, o.kms_key_arn, o.size, o.sha256, o.integrity, \
             o.s3_checksum \
             from version_files f join objects o on o.id = f.object_id where f.version_id = $1 order by f.path",
        )
        .bind(version)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let object = |row: &sqlx::any::AnyRow| {
            let text = |column| row.try_get::<String, _>(column).map_err(fail());
            let size: i64 = row.try_get("size").map_err(fail())?;
            let integrity = text("integrity")?;
            Ok(ManifestObject {
                file: FileEntry {
                    path: stored("file path", &text("path")?)?,
                    size: size as u64,
                    sha256: stored("digest", &text("sha256")?)?,
                },
                key: text("s3_key")?,
                version_id: text("s3_version_id")?,
                kms_key_arn: text("kms_key_arn")?,
                integrity: Integrity::parse(&integrity)
                    .ok_or(Error::Corrupt { what: "integrity", value: integrity })?,
                checksum: Some(text("s3_checksum")?).filter(|checksum| !checksum.is_empty()),
            })
        };
        rows.iter().map(object).collect()
    }

    /// Up to `limit` versions that are not visible yet, of one model or of all, lowest number first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unfinished(&self, model: Option<i64>, limit: i64) -> Result<Vec<Unfinished>, Error> {
        let rows = sqlx::query(
            "select id, model_id, number from versions where state in ('publishing', 'described') \
             and ($1 < 0 or model_id = $1) order by number, id limit $2",
        )
        .bind(model.unwrap_or(-1))
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list versions that are not published yet"))?;
        rows.iter().map(unfinished).collect()
    }
}

fn unfinished(row: &sqlx::any::AnyRow) -> Result<Unfinished, Error> {
    let fail = || Error::during("read a version");
    let number: i64 = row.try_get("number").map_err(fail())?;
    Ok(Unfinished {
        id: row.try_get("id").map_err(fail())?,
        model_id: row.try_get("model_id").map_err(fail())?,
        number: VersionNumber::new(number)
            .ok_or_else(|| Error::Corrupt { what: "version number", value: number.to_string() })?,
    })
}

/// Gives the model's next number to a new row; its counts are filled in by [`count_files`].
async fn number_version(
    tx: &mut AnyConnection,
    model_id: i64,
    model: &ModelRef,
    version: &Row<'_>,
    now: i64,
) -> Result<Unfinished, Error> {
    let fail = || Error::during("give a version its number");
    showing::refuse_moved(&mut *tx, model_id, version.aliases).await?;
    let number: i64 = sqlx::query(
        "update models set last_number = last_number + 1, purged_at = null, deleted_at = null \
         where id = $1 returning last_number",
    )
    .bind(model_id)
    .fetch_one(&mut *tx)
    .await
    .and_then(|row| row.try_get("last_number"))
    .map_err(fail())?;
    // Keys are spelled as the draft spells the model, the version's address as the model was spelled first.
    let spelled: i64 = sqlx::query(
        "select count(*) as n from models m join namespaces n on n.id = m.namespace_id \
         where m.id = $1 and m.name = $2 and n.name = $3",
    )
    .bind(model_id)
    .bind(model.name.as_str())
    .bind(model.namespace.as_str())
    .fetch_one(&mut *tx)
    .await
    .and_then(|row| row.try_get("n"))
    .map_err(fail())?;
    let row = sqlx::query(
        "insert into versions (model_id, number, state, draft_id, digest, file_count, total_size, declared_files, \
         metadata, created_at, created_by, plain_prefix, wanted_aliases, origin) \
         values ($1, $2, 'publishing', $3, $4, 0, 0, 0, $5, $6, $7, $8, $9, $10) returning id, model_id, number",
    )
    .bind(model_id)
    .bind(number)
    .bind(version.prefix.to_string())
    .bind(version.digest.to_string())
    .bind(version.metadata.to_json())
    .bind(now)
    .bind(version.by)
    .bind(i64::from(version.plain_prefix && spelled == 1))
    .bind(showing::wanted(version.aliases))
    .bind(serde_json::json!(version.origin).to_string())
    .fetch_one(tx)
    .await
    .map_err(fail())?;
    unfinished(&row)
}

/// Counts the files of a version into its row.
pub(super) async fn count_files(tx: &mut AnyConnection, version: i64) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "select count(*) as files, cast(sum(o.size) as bigint) as bytes, \
         cast(sum(case when o.integrity = 'verified' then 0 else 1 end) as bigint) as declared \
         from version_files f join objects o on o.id = f.object_id where f.version_id = $1",
    )
    .bind(version)
    .fetch_one(&mut *tx)
    .await?;
    let count = |column| row.try_get::<i64, _>(column);
    sqlx::query("update versions set file_count = $2, total_size = $3, declared_files = $4 where id = $1")
        .bind(version)
        .bind(count("files")?)
        .bind(count("bytes")?)
        .bind(count("declared")?)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Removes the rows of a draft that became a version; its objects are the version's now.
async fn forget(tx: &mut AnyConnection, draft: DraftId) -> Result<(), sqlx::Error> {
    let id = draft.to_string();
    sqlx::query("delete from draft_files where draft_id = $1").bind(&id).execute(&mut *tx).await?;
    let gone = sqlx::query("delete from drafts where id = $1").bind(&id).execute(tx).await?;
    // Whoever else removed the row has removed the bytes before it.
    if gone.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// Refuses a draft that is not ready to be frozen.
async fn refuse_unready(tx: &mut AnyConnection, draft: &DraftRow) -> Result<(), Error> {
    let fail = || Error::during("look at the files of a draft");
    let id = draft.id.to_string();
    let row = sqlx::query("select count(*) as n, coalesce(min(path), '') as path from uploads where draft_id = $1")
        .bind(&id)
        .fetch_one(&mut *tx)
        .await
        .map_err(fail())?;
    let count: i64 = row.try_get("n").map_err(fail())?;
    if count > 0 {
        let path: String = row.try_get("path").map_err(fail())?;
        return Err(Refusal::UploadsUnfinished { count: count as u64, path: stored("file path", &path)? }.into());
    }
    let row = sqlx::query(
        "select count(*) as files, coalesce(min(case when o.integrity = 'wrong' then f.path end), '') as wrong, \
         cast(coalesce(sum(case when o.integrity = 'declared' then 1 else 0 end), 0) as bigint) as declared \
         from draft_files f join objects o on o.id = f.object_id where f.draft_id = $1",
    )
    .bind(&id)
    .fetch_one(&mut *tx)
    .await
    .map_err(fail())?;
    let files: i64 = row.try_get("files").map_err(fail())?;
    let wrong: String = row.try_get("wrong").map_err(fail())?;
    let declared: i64 = row.try_get("declared").map_err(fail())?;
    if files == 0 {
        return Err(Refusal::NoFiles.into());
    }
    if !wrong.is_empty() {
        return Err(Refusal::WrongFile(stored("file path", &wrong)?).into());
    }
    let demanded: Option<i64> = sqlx::query("select require_verified from namespaces where folded = $1")
        .bind(draft.model.namespace.folded())
        .fetch_optional(tx)
        .await
        .and_then(|row| row.map(|row| row.try_get("require_verified")).transpose())
        .map_err(fail())?;
    if declared > 0 && demanded.unwrap_or_default() != 0 {
        return Err(Refusal::Unverified { count: declared as u64 }.into());
    }
    Ok(())
}

/// Whether every file of the draft lies under its prefix by its own path, and nothing else does.
async fn has_plain_prefix(tx: &mut AnyConnection, draft: &DraftRow) -> Result<bool, sqlx::Error> {
    let prefix = ObjectKey::DraftPrefix { model: &draft.model, draft: &draft.prefix }.to_string();
    let strays: i64 = sqlx::query(
        "select count(*) as n from draft_files f join objects o on o.id = f.object_id \
         where f.draft_id = $1 and o.s3_key <> $2 || f.path",
    )
    .bind(draft.id.to_string())
    .bind(&prefix)
    .fetch_one(&mut *tx)
    .await?
    .try_get("n")?;
    // Everything below `prefix/` sorts between it and `prefix0`: the byte after the slash.
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let others: i64 = sqlx::query(
        "select count(*) as n from objects o where o.vault_id = $1 and o.s3_key >= $2 and o.s3_key < $3 \
         and not exists (select 1 from draft_files f where f.draft_id = $4 and f.object_id = o.id)",
    )
    .bind(draft.vault)
    .bind(&prefix)
    .bind(end)
    .bind(draft.id.to_string())
    .fetch_one(tx)
    .await?
    .try_get("n")?;
    Ok(strays == 0 && others == 0)
}
