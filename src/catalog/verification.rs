//! Objects whose digest is only the client's word: which are to be read, and what came of it.

use serde_json::json;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::audit::{note, record};
use super::error::stored;
use super::listing::{number, text};
use super::{Catalog, Error};
use crate::domain::{
    Actor, AuditAction, Deed, DraftId, Event, Integrity, ModelRef, Sha256Digest, Subject, Timestamp, VersionNumber,
};

/// Versions that a report on a quarantine names; more are counted.
const NAMED: i64 = 20;

/// Which declared objects are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Those of versions, in the trash too.
    Published,
    /// Those of drafts in namespaces that demand verification.
    Demanded,
    /// Those of this draft.
    Draft(DraftId),
}

/// An object to be read and compared with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectToCheck {
    /// Row id.
    pub id: i64,
    /// S3 key.
    pub s3_key: String,
    /// S3 VersionId.
    pub s3_version_id: String,
    /// Bytes.
    pub size: u64,
    /// What the bytes should have.
    pub sha256: Sha256Digest,
    /// What is known of that so far: a finding counts only while it is so.
    pub integrity: Integrity,
}

/// What was found in the stored bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// They have the digest.
    Right,
    /// They do not have the digest.
    Wrong,
    /// They are not there.
    Missing,
}

/// What a finding changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Versions that were quarantined by it, the first few.
    pub quarantined: Vec<(ModelRef, VersionNumber)>,
    /// All of them.
    pub count: u64,
    /// Why, with the path in the first of them; empty when there is none.
    pub reason: String,
}

/// Objects by what is known of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// Nobody has compared them yet.
    pub declared: u64,
    /// Their bytes are not what they should be.
    pub wrong: u64,
}

/// The columns of an [`ObjectToCheck`].
pub(super) const OBJECT_COLUMNS: &str = "o.id, o.s3_key, o.s3_version_id, o.size, o.sha256, o.integrity";

impl ObjectToCheck {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        let integrity = text(row, "integrity")?;
        Ok(Self {
            id: number(row, "id")?,
            s3_key: text(row, "s3_key")?,
            s3_version_id: text(row, "s3_version_id")?,
            size: number(row, "size")? as u64,
            sha256: stored("digest", &text(row, "sha256")?)?,
            integrity: Integrity::parse(&integrity).ok_or(Error::Corrupt { what: "integrity", value: integrity })?,
        })
    }
}

impl Recorded {
    /// The quarantine as the audit log tells it: an object belongs to one model, and so do the versions that use it.
    fn deed(&self, object: &ObjectToCheck) -> Option<Deed> {
        let (model, _) = self.quarantined.first()?;
        let versions: Vec<i64> = self.quarantined.iter().map(|(_, number)| number.get()).collect();
        let details = json!({
            "reason": self.reason,
            "sha256": object.sha256.to_string(),
            "versions": versions,
            "version_count": self.count,
        });
        Some(Deed::done(AuditAction::VersionQuarantine, Subject::model(model), details))
    }
}

impl Found {
    const fn integrity(self) -> Integrity {
        match self {
            Self::Right => Integrity::Verified,
            Self::Wrong | Self::Missing => Integrity::Wrong,
        }
    }

    /// The end of the sentence that begins with the path of a file.
    const fn quarantine(self) -> &'static str {
        match self {
            Self::Right | Self::Wrong => "` do not have the SHA-256 that was stated",
            Self::Missing => "` are not in the bucket any more",
        }
    }
}

impl Catalog {
    /// Declared objects in this bucket by row id, from behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn declared_objects(
        &self,
        bucket: &str,
        which: Declared,
        after: i64,
        limit: i64,
    ) -> Result<Vec<ObjectToCheck>, Error> {
        let of = match which {
            Declared::Published => {
                "exists (select 1 from version_files f join versions v on v.id = f.version_id \
                 where f.object_id = o.id and v.state not in ('purging', 'purged'))"
            }
            Declared::Demanded => {
                "exists (select 1 from draft_files f where f.object_id = o.id) and exists \
                 (select 1 from models m join namespaces n on n.id = m.namespace_id \
                 where m.id = o.model_id and n.require_verified = 1)"
            }
            Declared::Draft(_) => "exists (select 1 from draft_files f where f.object_id = o.id and f.draft_id = $4)",
        };
        let query = format!(
            "select {OBJECT_COLUMNS} from objects o join vaults w on w.id = o.vault_id \
             where o.integrity = 'declared' and o.state = 'live' and o.id > $1 and w.bucket = $2 and {of} \
             order by o.id limit $3"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(after).bind(bucket).bind(limit);
        if let Declared::Draft(draft) = which {
            query = query.bind(draft.to_string());
        }
        let rows = query.fetch_all(&self.read).await.map_err(Error::during("list objects to be verified"))?;
        rows.iter().map(ObjectToCheck::read).collect()
    }

    /// Whether an object is still as it was when it was listed.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn is_unchanged(&self, object: &ObjectToCheck) -> Result<bool, Error> {
        // Asked of the writer, behind whatever it is doing.
        let row = sqlx::query("select id from objects where id = $1 and integrity = $2 and state = 'live'")
            .bind(object.id)
            .bind(object.integrity.as_str())
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look an object up"))?;
        Ok(row.is_some())
    }

    /// Records what was found in an object's bytes; none when the object is not as it was when it was listed.
    ///
    /// An object that is not right quarantines every version that uses it, for whatever file.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours; nothing is recorded then.
    pub async fn record_found(
        &self,
        object: &ObjectToCheck,
        found: Found,
        by: &Actor,
    ) -> Result<Option<Recorded>, Error> {
        let fail = || Error::during("record what an object is");
        let (now, integrity) = (Timestamp::now(), found.integrity());
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let done = sqlx::query(
            "update objects set integrity = $3, checked_at = $4 where id = $1 and integrity = $2 and state = 'live'",
        )
        .bind(object.id)
        .bind(object.integrity.as_str())
        .bind(integrity.as_str())
        .bind(now.millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        recount(&mut tx, object, integrity).await.map_err(fail())?;
        let recorded = match integrity {
            Integrity::Wrong => quarantine(&mut tx, object.id, found.quarantine()).await?,
            Integrity::Verified | Integrity::Declared => Recorded::default(),
        };
        let event = Event::ObjectChecked {
            key: object.s3_key.clone(),
            version_id: object.s3_version_id.clone(),
            sha256: object.sha256,
            integrity,
            at: now,
        };
        record(&mut tx, by, &event).await.map_err(fail())?;
        if let Some(deed) = recorded.deed(object) {
            note(&mut tx, by, &deed).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(Some(recorded))
    }

    /// How many objects are not known to be right.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn object_counts(&self) -> Result<ObjectCounts, Error> {
        let fail = || Error::during("count objects");
        let row = sqlx::query(
            "select (select count(*) from objects where integrity = 'declared' and state = 'live') as declared, \
             (select count(*) from objects where integrity = 'wrong' and state = 'live') as wrong",
        )
        .fetch_one(&self.read)
        .await
        .map_err(fail())?;
        Ok(ObjectCounts { declared: number(&row, "declared")? as u64, wrong: number(&row, "wrong")? as u64 })
    }
}

/// Counts an object into or out of the files that are not verified, in every version that uses it.
async fn recount(tx: &mut AnyConnection, object: &ObjectToCheck, now: Integrity) -> Result<(), sqlx::Error> {
    let unproven = |integrity| i64::from(integrity != Integrity::Verified);
    let change = unproven(now) - unproven(object.integrity);
    if change == 0 {
        return Ok(());
    }
    sqlx::query(
        "update versions set declared_files = declared_files + $2 * (select count(*) from version_files f \
         where f.version_id = versions.id and f.object_id = $1) \
         where id in (select version_id from version_files where object_id = $1)",
    )
    .bind(object.id)
    .bind(change)
    .execute(tx)
    .await?;
    Ok(())
}

/// Quarantines every version that uses the object, unless it is quarantined already.
async fn quarantine(tx: &mut AnyConnection, object: i64, end: &str) -> Result<Recorded, Error> {
    let fail = || Error::during("quarantine versions");
    let hit = "from versions v join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
               where v.quarantine is null and v.state not in ('purging', 'purged') \
               and v.id in (select version_id from version_files where object_id = $1)";
    let query = format!(
        "select n.name as namespace, m.name as model, v.number, (select min(f.path) from version_files f \
         where f.version_id = v.id and f.object_id = $1) as path {hit} order by v.id limit $2"
    );
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(object).bind(NAMED).fetch_all(&mut *tx).await.map_err(fail())?;
    let version = |row: &AnyRow| {
        let model = ModelRef {
            namespace: stored("namespace", &text(row, "namespace")?)?,
            name: stored("model name", &text(row, "model")?)?,
        };
        let n = number(row, "number")?;
        let number = VersionNumber::new(n);
        Ok((model, number.ok_or_else(|| Error::Corrupt { what: "version number", value: n.to_string() })?))
    };
    let quarantined = rows.iter().map(version).collect::<Result<Vec<_>, Error>>()?;
    let path = rows.first().map(|row| text(row, "path")).transpose()?;
    let done = sqlx::query(
        "update versions set quarantine = 'the bytes of `' || (select min(f.path) from version_files f \
         where f.version_id = versions.id and f.object_id = $1) || $2 \
         where quarantine is null and state not in ('purging', 'purged') \
         and id in (select version_id from version_files where object_id = $1)",
    )
    .bind(object)
    .bind(end)
    .execute(tx)
    .await
    .map_err(fail())?;
    let reason = path.map(|path| format!("the bytes of `{path}{end}")).unwrap_or_default();
    Ok(Recorded { quarantined, count: done.rows_affected(), reason })
}
