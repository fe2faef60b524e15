//! A catalog made anew from manifests and journal: the rows of versions, and what follows from all of them.

use std::collections::HashMap;

use serde_json::json;
use sqlx::{AnyConnection, Row as _};

use super::audit::note;
use super::listing::{number, text};
use super::{Catalog, Error, replay};
use crate::domain::{
    Actor, AuditAction, AuditHead, Deed, FilePath, Integrity, JournalEntry, Manifest, ManifestObject, ModelRef,
    Subject, Timestamp, version_digest,
};

/// The lease that a rebuild takes when it begins and gives back when it is through: what lies between is no catalog.
const LEASE: &str = "rebuild";

/// The end of the sentence that says why a version is in quarantine; it begins with the path of a file.
const NOT_THERE: &str = "` are not in the bucket any more";
pub(super) const OTHER_BYTES: &str = "` do not have the SHA-256 that was stated";

/// When an object was checked whose bytes the rebuild did not find: what the journal tells of it is of no use.
pub(super) const LOST: i64 = 0;

/// A version to be put back.
#[derive(Debug, Clone)]
pub struct FoundVersion {
    /// Its manifest, with VersionIds and keys as they are in this bucket.
    pub manifest: Manifest,
    /// Files whose bytes were not found.
    pub lost: Vec<FilePath>,
}

/// How much a catalog has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Models, also those that are deleted or purged.
    pub models: i64,
    /// Versions, also those that are deleted or purged.
    pub versions: i64,
    /// Stored files.
    pub objects: i64,
    /// Aliases.
    pub aliases: i64,
}

impl Catalog {
    /// Empties the catalog for a rebuild under this id; none when it has models that no rebuild put there.
    ///
    /// Tokens stay. Until [`Self::end_rebuild`] the catalog says that it is unfinished, and the next rebuild begins anew.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin_rebuild(self, id: &str) -> Result<Option<Self>, Error> {
        let fail = || Error::during("begin a rebuild");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query(
            "select (select count(*) from models) as models, (select count(*) from drafts) as drafts, \
             (select count(*) from leases where name = $1) as unfinished",
        )
        .bind(LEASE)
        .fetch_one(&mut *tx)
        .await
        .map_err(fail())?;
        let in_use = number(&row, "models")? + number(&row, "drafts")? > 0;
        if in_use && number(&row, "unfinished")? == 0 {
            return Ok(None);
        }
        for emptied in [
            "delete from alias_history",
            "delete from aliases",
            "delete from version_files",
            "delete from versions",
            "delete from objects",
            "delete from models",
            "delete from namespaces",
            "delete from outbox",
        ] {
            sqlx::query(emptied).execute(&mut *tx).await.map_err(fail())?;
        }
        sqlx::query("update catalog set id = $1").bind(id).execute(&mut *tx).await.map_err(fail())?;
        sqlx::query(
            "insert into leases (name, owner, until) values ($1, $1, $2) \
             on conflict (name) do update set until = excluded.until",
        )
        .bind(LEASE)
        .bind(i64::MAX)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Some(Self { id: id.to_owned(), ..self }))
    }

    /// Whether a rebuild began here and is not through.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn is_half_rebuilt(&self) -> Result<bool, Error> {
        let row = sqlx::query("select name from leases where name = $1")
            .bind(LEASE)
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look for an unfinished rebuild"))?;
        Ok(row.is_some())
    }

    /// Puts versions back, in one transaction; gives the positions of those whose number or draft another one has.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_back(&self, bucket: &str, region: &str, found: &[FoundVersion]) -> Result<Vec<usize>, Error> {
        let fail = || Error::during("put versions back");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let (mut vaults, mut doubles) = (HashMap::new(), Vec::new());
        for (position, version) in found.iter().enumerate() {
            let manifest = &version.manifest;
            let created = Created {
                namespace: manifest.namespace_created_at.unwrap_or(manifest.created_at),
                model: manifest.model_created_at.unwrap_or(manifest.created_at),
            };
            let model = model_row(&mut tx, &manifest.model_ref(), created).await.map_err(fail())?;
            let Some(id) = insert_version(&mut tx, model, version).await.map_err(fail())? else {
                doubles.push(position);
                continue;
            };
            for object in &manifest.files {
                let vault = match vaults.get(&object.kms_key_arn) {
                    Some(vault) => *vault,
                    None => vault_row(&mut tx, bucket, region, &object.kms_key_arn).await.map_err(fail())?,
                };
                vaults.insert(object.kms_key_arn.clone(), vault);
                let is_lost = version.lost.contains(&object.file.path);
                let at = manifest.created_at;
                let object_id = insert_object(&mut tx, model, vault, object, is_lost, at).await.map_err(fail())?;
                sqlx::query("insert into version_files (version_id, path, object_id) values ($1, $2, $3)")
                    .bind(id)
                    .bind(object.file.path.as_str())
                    .bind(object_id)
                    .execute(&mut *tx)
                    .await
                    .map_err(fail())?;
            }
        }
        tx.commit().await.map_err(fail())?;
        Ok(doubles)
    }

    /// What an object of this key is called that a rebuild has put back already: VersionId and key ARN.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn put_back_object(
        &self,
        bucket: &str,
        object: &ManifestObject,
    ) -> Result<Option<(String, String)>, Error> {
        let row = sqlx::query(
            "select s3_version_id, kms_key_arn from objects where vault_id in (select id from vaults where bucket = $1) \
             and s3_key = $2 and sha256 = $3 and size = $4 and integrity <> 'wrong'",
        )
        .bind(bucket)
        .bind(&object.key)
        .bind(object.file.sha256.to_string())
        .bind(object.file.size as i64)
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look an object up"))?;
        row.map(|row| Ok((text(&row, "s3_version_id")?, text(&row, "kms_key_arn")?))).transpose()
    }

    /// Applies entries of the journal, in one transaction; gives what contradicts them, with the entry's number.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn replay(&self, entries: &[JournalEntry]) -> Result<Vec<(i64, String)>, Error> {
        let fail = || Error::during("apply the journal");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let mut contradictions = Vec::new();
        for entry in entries {
            let told = replay::apply(&mut tx, &entry.event).await.map_err(fail())?;
            contradictions.extend(told.map(|told| (entry.seq, told)));
        }
        tx.commit().await.map_err(fail())?;
        Ok(contradictions)
    }

    /// Computes what follows from all rows, and says that the catalog is whole; the outbox goes on after `last_entry`.
    ///
    /// `earlier`: where the bucket says that audit logs of this catalog ended; the log tells that they did.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_rebuild(&self, last_entry: i64, earlier: &[AuditHead]) -> Result<Extent, Error> {
        let fail = || Error::during("end a rebuild");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        for derived in [
            "update namespaces set bytes = (select coalesce(sum(o.size), 0) from objects o \
             join models m on m.id = o.model_id where m.namespace_id = namespaces.id)",
            "update versions set declared_files = (select count(*) from version_files f \
             join objects o on o.id = f.object_id where f.version_id = versions.id and o.integrity <> 'verified')",
        ] {
            sqlx::query(derived).execute(&mut *tx).await.map_err(fail())?;
        }
        sqlx::query("update objects set checked_at = $2 where checked_at = $1")
            .bind(LOST)
            .bind(Timestamp::now().millis())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        if last_entry > 0 {
            // The number is taken once, so that the next one comes after it.
            sqlx::query("insert into outbox (seq, event, created_at) values ($1, '', 0)")
                .bind(last_entry)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            sqlx::query("delete from outbox where seq = $1").bind(last_entry).execute(&mut *tx).await.map_err(fail())?;
        }
        sqlx::query("delete from leases where name = $1").bind(LEASE).execute(&mut *tx).await.map_err(fail())?;
        let row = sqlx::query(
            "select (select count(*) from models) as models, (select count(*) from versions) as versions, \
             (select count(*) from objects) as objects, (select count(*) from aliases) as aliases",
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(fail())?;
        let extent = Extent {
            models: number(&row, "models")?,
            versions: number(&row, "versions")?,
            objects: number(&row, "objects")?,
            aliases: number(&row, "aliases")?,
        };
        let head = |head: &AuditHead| json!({ "chain": head.chain, "seq": head.seq, "hash": head.hash.to_string() });
        let details = json!({
            "models": extent.models,
            "versions": extent.versions,
            "earlier_logs": earlier.iter().map(head).collect::<Vec<_>>(),
        });
        let deed = Deed::done(AuditAction::CatalogRebuild, Subject::catalog(), details);
        note(&mut tx, &Actor::operator(), &deed).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(extent)
    }
}

/// Since when there are a namespace and a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Created {
    pub(super) namespace: Timestamp,
    pub(super) model: Timestamp,
}

/// The id of the model's row; of several times at which it was made the earliest counts.
pub(super) async fn model_row(tx: &mut AnyConnection, model: &ModelRef, created: Created) -> Result<i64, sqlx::Error> {
    let namespace =
        namespace_row(&mut *tx, model.namespace.as_str(), &model.namespace.folded(), created.namespace).await?;
    sqlx::query(
        "insert into models (namespace_id, name, folded, created_at) values ($1, $2, $3, $4) \
         on conflict (namespace_id, folded) do update set created_at = \
         case when excluded.created_at < models.created_at then excluded.created_at else models.created_at end \
         returning id",
    )
    .bind(namespace)
    .bind(model.name.as_str())
    .bind(model.name.folded())
    .bind(created.model.millis())
    .fetch_one(tx)
    .await?
    .try_get("id")
}

pub(super) async fn namespace_row(
    tx: &mut AnyConnection,
    name: &str,
    folded: &str,
    created: Timestamp,
) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "insert into namespaces (name, folded, created_at) values ($1, $2, $3) \
         on conflict (folded) do update set created_at = case when excluded.created_at < namespaces.created_at \
         then excluded.created_at else namespaces.created_at end returning id",
    )
    .bind(name)
    .bind(folded)
    .bind(created.millis())
    .fetch_one(tx)
    .await?
    .try_get("id")
}

async fn vault_row(tx: &mut AnyConnection, bucket: &str, region: &str, key: &str) -> Result<i64, sqlx::Error> {
    sqlx::query(
        "insert into vaults (bucket, region, kms_key_arn) values ($1, $2, $3) \
         on conflict (bucket, kms_key_arn) do update set region = excluded.region returning id",
    )
    .bind(bucket)
    .bind(region)
    .bind(key)
    .fetch_one(tx)
    .await?
    .try_get("id")
}

/// The version's row, visible; none when its number or draft is taken.
async fn insert_version(
    tx: &mut AnyConnection,
    model: i64,
    version: &FoundVersion,
) -> Result<Option<i64>, sqlx::Error> {
    let manifest = &version.manifest;
    let total: u64 = manifest.files.iter().map(|object| object.file.size).sum();
    let row = sqlx::query(
        "insert into versions (model_id, number, state, draft_id, digest, file_count, total_size, declared_files, \
         metadata, created_at, created_by, description, plain_prefix, quarantine) \
         values ($1, $2, 'published', $3, $4, $5, $6, 0, $7, $8, $9, $10, $11, $12) \
         on conflict do nothing returning id",
    )
    .bind(model)
    .bind(manifest.number.get())
    .bind(&manifest.draft)
    .bind(manifest.digest.to_string())
    .bind(manifest.files.len() as i64)
    .bind(total as i64)
    .bind(manifest.metadata.to_json())
    .bind(manifest.created_at.millis())
    .bind(&manifest.created_by)
    .bind(&manifest.description)
    .bind(i64::from(manifest.plain_prefix))
    .bind(version.lost.iter().min().map(|path| format!("the bytes of `{path}{NOT_THERE}")))
    .fetch_optional(&mut *tx)
    .await?;
    raise_last_number(tx, model, manifest.number.get()).await?;
    row.map(|row| row.try_get("id")).transpose()
}

/// A row for a number of which nothing but the number is left; one that is there stays as it is.
pub(super) async fn insert_purged(tx: &mut AnyConnection, model: i64, number: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into versions (model_id, number, state, draft_id, digest, file_count, total_size, declared_files, \
         metadata, created_at, created_by) values ($1, $2, 'purged', $3, $4, 0, 0, 0, '{}', 0, '') \
         on conflict do nothing",
    )
    .bind(model)
    .bind(number)
    // Which draft it was is not known; that of another version it is not.
    .bind(format!("purged {model} {number}"))
    .bind(version_digest(&[]).to_string())
    .execute(&mut *tx)
    .await?;
    raise_last_number(tx, model, number).await
}

/// Remembers that a number was given.
pub(super) async fn raise_last_number(tx: &mut AnyConnection, model: i64, number: i64) -> Result<(), sqlx::Error> {
    sqlx::query("update models set last_number = $2 where id = $1 and last_number < $2")
        .bind(model)
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// The object's row; of what several manifests say of the same bytes, what was found out later counts.
async fn insert_object(
    tx: &mut AnyConnection,
    model: i64,
    vault: i64,
    object: &ManifestObject,
    is_lost: bool,
    at: Timestamp,
) -> Result<i64, sqlx::Error> {
    // Nothing may refer anew to bytes that are lost.
    let integrity = if is_lost { Integrity::Wrong } else { object.integrity };
    sqlx::query(
        "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, size, sha256, integrity, \
         created_at, s3_checksum, checked_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (vault_id, s3_key, s3_version_id) do update set integrity = \
         case when objects.integrity = 'declared' then excluded.integrity else objects.integrity end returning id",
    )
    .bind(model)
    .bind(vault)
    .bind(&object.key)
    .bind(&object.version_id)
    .bind(&object.kms_key_arn)
    .bind(object.file.size as i64)
    .bind(object.file.sha256.to_string())
    .bind(integrity.as_str())
    .bind(at.millis())
    .bind(object.checksum.as_deref().unwrap_or_default())
    .bind(is_lost.then_some(LOST))
    .fetch_one(tx)
    .await?
    .try_get("id")
}
