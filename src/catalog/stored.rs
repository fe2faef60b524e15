//! Everything that should be in the bucket, for whoever looks at it again.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::error::stored;
use super::listing::{number, text};
use super::verification::OBJECT_COLUMNS;
use super::{Catalog, Error, ObjectToCheck};
use crate::domain::{ModelRef, Namespace, VersionNumber};

/// Files that use an object and are named in a report.
const NAMED: i64 = 5;

/// Which objects are meant.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// In this bucket.
    pub bucket: &'a str,
    /// Of this namespace; of all without.
    pub namespace: Option<&'a Namespace>,
    /// Those that only drafts use, too.
    pub drafts: bool,
}

/// An object with everything that its row says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// What its bytes should be.
    pub object: ObjectToCheck,
    /// Full ARN of the key that it was written with.
    pub kms_key_arn: String,
    /// What S3 computed then: base64 SHA-256, or its composite form; empty when that is not known.
    pub s3_checksum: String,
}

/// A version whose manifest should be in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifested {
    /// Row id of the version.
    pub id: i64,
    /// Its model, as first spelled.
    pub model: ModelRef,
    /// Its number.
    pub number: VersionNumber,
}

impl Scope<'_> {
    /// Conditions on `objects o`, `vaults w` and `namespaces n`; `$1` is the bucket, `$2` the namespace or nothing.
    fn conditions(&self) -> String {
        let versions = "exists (select 1 from version_files f join versions v on v.id = f.version_id \
                        where f.object_id = o.id and v.state not in ('purging', 'purged'))";
        let drafts = if self.drafts { " or exists (select 1 from draft_files f where f.object_id = o.id)" } else { "" };
        format!(
            "from objects o join vaults w on w.id = o.vault_id join models m on m.id = o.model_id \
             join namespaces n on n.id = m.namespace_id \
             where o.state = 'live' and w.bucket = $1 and ($2 = '' or n.folded = $2) and ({versions}{drafts})"
        )
    }

    fn namespace(&self) -> String {
        self.namespace.map(Namespace::folded).unwrap_or_default()
    }
}

impl Catalog {
    /// Objects by row id, from behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn stored_objects(&self, scope: Scope<'_>, after: i64, limit: i64) -> Result<Vec<StoredObject>, Error> {
        let query = format!(
            "select {OBJECT_COLUMNS}, o.kms_key_arn, o.s3_checksum {} and o.id > $3 order by o.id limit $4",
            scope.conditions()
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(scope.bucket)
            .bind(scope.namespace())
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list objects"))?;
        let object = |row: &AnyRow| {
            let (kms_key_arn, s3_checksum) = (text(row, "kms_key_arn")?, text(row, "s3_checksum")?);
            Ok(StoredObject { object: ObjectToCheck::read(row)?, kms_key_arn, s3_checksum })
        };
        rows.iter().map(object).collect()
    }

    /// How many objects there are.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn stored_objects_count(&self, scope: Scope<'_>) -> Result<u64, Error> {
        let fail = || Error::during("count objects");
        let query = format!("select count(*) as n {}", scope.conditions());
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(scope.bucket)
            .bind(scope.namespace())
            .fetch_one(&self.read)
            .await
            .map_err(fail())?;
        row.try_get::<i64, _>("n").map(|n| n as u64).map_err(fail())
    }

    /// Files that use an object, in words, the first few: `namespace/model version 3: path`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn users_of(&self, object: i64) -> Result<Vec<String>, Error> {
        let fail = || Error::during("look for what uses an object");
        let versions = sqlx::query(
            "select n.name as namespace, m.name as model, v.number, f.path from version_files f \
             join versions v on v.id = f.version_id join models m on m.id = v.model_id \
             join namespaces n on n.id = m.namespace_id where f.object_id = $1 order by v.id, f.path limit $2",
        );
        let rows = versions.bind(object).bind(NAMED).fetch_all(&self.read).await.map_err(fail())?;
        let version = |row: &AnyRow| {
            let (namespace, model, path) = (text(row, "namespace")?, text(row, "model")?, text(row, "path")?);
            Ok(format!("{namespace}/{model} version {}: {path}", number(row, "number")?))
        };
        let mut users = rows.iter().map(version).collect::<Result<Vec<_>, Error>>()?;
        let drafts =
            sqlx::query("select draft_id, path from draft_files where object_id = $1 order by draft_id limit $2");
        let rows = drafts.bind(object).bind(NAMED).fetch_all(&self.read).await.map_err(fail())?;
        for row in rows {
            users.push(format!("draft {}: {}", text(&row, "draft_id")?, text(&row, "path")?));
        }
        Ok(users)
    }

    /// Versions that have a manifest by row id, of one namespace or of all, from behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn manifested(
        &self,
        namespace: Option<&Namespace>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Manifested>, Error> {
        let rows = sqlx::query(
            "select v.id, n.name as namespace, m.name as model, v.number from versions v \
             join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
             where v.id > $1 and ($2 = '' or n.folded = $2) and v.state in ('described', 'published', 'trashed') \
             order by v.id limit $3",
        )
        .bind(after)
        .bind(namespace.map(Namespace::folded).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list versions"))?;
        let version = |row: &AnyRow| {
            let n = number(row, "number")?;
            let model = ModelRef {
                namespace: stored("namespace", &text(row, "namespace")?)?,
                name: stored("model name", &text(row, "model")?)?,
            };
            let number =
                VersionNumber::new(n).ok_or_else(|| Error::Corrupt { what: "version number", value: n.to_string() })?;
            Ok(Manifested { id: row.try_get("id").map_err(Error::during("read a row"))?, model, number })
        };
        rows.iter().map(version).collect()
    }
}
