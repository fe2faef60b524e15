//! From a draft to a visible version, in two transactions with the manifest between them.

use sqlx::{AnyConnection, Row as _};

use super::drafts::DraftRow;
use super::error::stored;
use super::{Catalog, Error};
use crate::domain::{
    FileEntry, FilePath, Integrity, Manifest, ManifestObject, Metadata, ModelRef, Sha256Digest, Timestamp,
    VersionNumber,
};

/// Bytes in S3 that were checked, and the file that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// The file's path in the version.
    pub path: FilePath,
    /// S3 key.
    pub s3_key: String,
    /// S3 VersionId.
    pub s3_version_id: String,
    /// The key that S3 said it used.
    pub kms_key_arn: String,
    /// Bytes.
    pub size: u64,
    /// Of the bytes.
    pub sha256: Sha256Digest,
    /// How far the digest is proven.
    pub integrity: Integrity,
}

/// What a draft becomes.
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

impl Catalog {
    /// Gives the draft the model's next number and freezes it, invisible.
    ///
    /// Names of the namespace and the model that are new are recorded as they are spelled here.
    ///
    /// # Errors
    /// [`Error::ModelTrashed`], and of the database; the draft is as it was then.
    pub async fn begin_publish(&self, new: &NewVersion) -> Result<Unfinished, Error> {
        let fail = || Error::during("give a version its number");
        let now = Timestamp::now().millis();
        let draft = new.draft.id.to_string();
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let model_id = model_row(&mut tx, &new.draft.model, now).await.map_err(fail())?;
        refuse_trashed(&mut tx, model_id, &new.draft.model).await?;
        // A model that was purged goes on after its last number.
        let number: i64 = sqlx::query(
            "update models set last_number = last_number + 1, purged_at = null where id = $1 returning last_number",
        )
        .bind(model_id)
        .fetch_one(&mut *tx)
        .await
        .and_then(|row| row.try_get("last_number"))
        .map_err(fail())?;
        let total: u64 = new.files.iter().map(|file| file.size).sum();
        let declared = new.files.iter().filter(|file| file.integrity == Integrity::Declared).count();
        let id: i64 = sqlx::query(
            "insert into versions (model_id, number, state, draft_id, digest, file_count, total_size, \
             declared_files, metadata, created_at, created_by) \
             values ($1, $2, 'publishing', $3, $4, $5, $6, $7, $8, $9, $10) returning id",
        )
        .bind(model_id)
        .bind(number)
        .bind(&draft)
        .bind(new.digest.to_string())
        .bind(new.files.len() as i64)
        .bind(total as i64)
        .bind(declared as i64)
        .bind(new.metadata.to_json())
        .bind(now)
        .bind(&new.draft.created_by)
        .fetch_one(&mut *tx)
        .await
        .and_then(|row| row.try_get("id"))
        .map_err(fail())?;
        for file in &new.files {
            let object = insert_object(&mut tx, model_id, new.draft.vault, file, now).await.map_err(fail())?;
            sqlx::query("insert into version_files (version_id, path, object_id) values ($1, $2, $3)")
                .bind(id)
                .bind(file.path.as_str())
                .bind(object)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
        }
        sqlx::query("delete from drafts where id = $1").bind(&draft).execute(&mut *tx).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        let number = VersionNumber::new(number)
            .ok_or_else(|| Error::Corrupt { what: "version number", value: number.to_string() })?;
        Ok(Unfinished { id, model_id, number })
    }

    /// The manifest of a version, from its rows.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn manifest(&self, version: i64) -> Result<Manifest, Error> {
        let fail = || Error::during("read a version for its manifest");
        let row = sqlx::query(
            "select n.name as namespace, m.name as model, v.number, v.draft_id, v.digest, v.metadata, v.created_at, \
             v.created_by from versions v join models m on m.id = v.model_id \
             join namespaces n on n.id = m.namespace_id where v.id = $1",
        )
        .bind(version)
        .fetch_one(&self.read)
        .await
        .map_err(fail())?;
        let text = |column| row.try_get::<String, _>(column).map_err(fail());
        let number: i64 = row.try_get("number").map_err(fail())?;
        let metadata = text("metadata")?;
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
            files: self.manifest_objects(version).await?,
        })
    }

    async fn manifest_objects(&self, version: i64) -> Result<Vec<ManifestObject>, Error> {
        let fail = || Error::during("read the files of a version");
        let rows = sqlx::query(
            "select f.path, o.s3_key, o.s3_version_id, o.kms_key_arn, o.size, o.sha256, o.integrity \
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
            })
        };
        rows.iter().map(object).collect()
    }

    /// Records that the manifest is written, and shows every version of the model whose turn has come.
    ///
    /// Versions become visible in the order of their numbers: this one stays `described` while a lower one is
    /// `publishing`. True when this one is visible now.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn finish_publish(&self, version: &Unfinished) -> Result<bool, Error> {
        let fail = || Error::during("publish a version");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        sqlx::query("update versions set state = 'described' where id = $1 and state = 'publishing'")
            .bind(version.id)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        sqlx::query(
            "update versions set state = 'published' where model_id = $1 and state = 'described' and not exists \
             (select 1 from versions lower where lower.model_id = $1 and lower.state = 'publishing' \
             and lower.number < versions.number)",
        )
        .bind(version.model_id)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        let state: String = sqlx::query("select state from versions where id = $1")
            .bind(version.id)
            .fetch_one(&mut *tx)
            .await
            .and_then(|row| row.try_get("state"))
            .map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(state == "published")
    }

    /// Up to `limit` versions that are not visible yet, of one model or of all, lowest number first.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unfinished(&self, model: Option<i64>, limit: i64) -> Result<Vec<Unfinished>, Error> {
        let fail = || Error::during("list versions that are not published yet");
        let rows = sqlx::query(
            "select id, model_id, number from versions where state in ('publishing', 'described') \
             and ($1 < 0 or model_id = $1) order by number, id limit $2",
        )
        .bind(model.unwrap_or(-1))
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let unfinished = |row: &sqlx::any::AnyRow| {
            let number: i64 = row.try_get("number").map_err(fail())?;
            Ok(Unfinished {
                id: row.try_get("id").map_err(fail())?,
                model_id: row.try_get("model_id").map_err(fail())?,
                number: VersionNumber::new(number)
                    .ok_or_else(|| Error::Corrupt { what: "version number", value: number.to_string() })?,
            })
        };
        rows.iter().map(unfinished).collect()
    }
}

/// The id of the model's row; made, with that of its namespace, when it is new.
async fn model_row(tx: &mut AnyConnection, model: &ModelRef, now: i64) -> Result<i64, sqlx::Error> {
    // An update that changes nothing makes `returning` answer for a row that was there.
    let namespace: i64 = sqlx::query(
        "insert into namespaces (name, folded, created_at) values ($1, $2, $3) \
         on conflict (folded) do update set folded = excluded.folded returning id",
    )
    .bind(model.namespace.as_str())
    .bind(model.namespace.folded())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")?;
    sqlx::query(
        "insert into models (namespace_id, name, folded, created_at) values ($1, $2, $3, $4) \
         on conflict (namespace_id, folded) do update set folded = excluded.folded returning id",
    )
    .bind(namespace)
    .bind(model.name.as_str())
    .bind(model.name.folded())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")
}

async fn refuse_trashed(tx: &mut AnyConnection, id: i64, model: &ModelRef) -> Result<(), Error> {
    let fail = || Error::during("look whether a model is in the trash");
    let row = sqlx::query("select purge_at from models where id = $1 and deleted_at is not null")
        .bind(id)
        .fetch_optional(tx)
        .await
        .map_err(fail())?;
    let Some(row) = row else { return Ok(()) };
    let until = Timestamp::from_millis(row.try_get("purge_at").map_err(fail())?);
    Err(Error::ModelTrashed { model: model.clone(), until })
}

async fn insert_object(
    tx: &mut AnyConnection,
    model: i64,
    vault: i64,
    file: &NewObject,
    now: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, size, sha256, integrity, \
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(model)
    .bind(vault)
    .bind(&file.s3_key)
    .bind(&file.s3_version_id)
    .bind(&file.kms_key_arn)
    .bind(file.size as i64)
    .bind(file.sha256.to_string())
    .bind(file.integrity.as_str())
    .bind(now)
    .fetch_one(&mut *tx)
    .await?
    .try_get("id")
}
