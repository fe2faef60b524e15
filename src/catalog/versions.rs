//! Published versions and their files.

use super::listing::{FileRow, Page, VersionRow};
use super::{Catalog, Error};
use crate::domain::{FilePath, ModelRef, Sha256Digest, VersionNumber};

/// The columns of a [`VersionRow`].
macro_rules! version_select {
    ($rest:literal) => {
        concat!(
            "select v.id, n.name as namespace, m.name as model, v.number, v.digest, v.file_count, v.total_size, ",
            "v.declared_files, v.metadata, v.created_at, v.created_by, v.draft_id, v.plain_prefix, v.quarantine ",
            "from versions v join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id ",
            "where n.folded = $1 and m.folded = $2 and v.state = 'published' and m.deleted_at is null ",
            $rest
        )
    };
}

impl Catalog {
    /// Published versions of a model, newest first, from below `before`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn versions(
        &self,
        model: &ModelRef,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<VersionRow, VersionNumber>, Error> {
        let rows = sqlx::query(version_select!("and v.number < $3 order by v.number desc limit $4"))
            .bind(model.namespace.folded())
            .bind(model.name.folded())
            .bind(before.map_or(i64::MAX, VersionNumber::get))
            .bind(limit as i64 + 1)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list versions"))?;
        let items = rows.iter().map(VersionRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |version| version.number))
    }

    /// One published version by number.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn version_by_number(
        &self,
        model: &ModelRef,
        number: VersionNumber,
    ) -> Result<Option<VersionRow>, Error> {
        let row = sqlx::query(version_select!("and v.number = $3"))
            .bind(model.namespace.folded())
            .bind(model.name.folded())
            .bind(number.get())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a version up"))?;
        row.as_ref().map(VersionRow::read).transpose()
    }

    /// The highest published version with this digest.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn version_by_digest(&self, model: &ModelRef, digest: Sha256Digest) -> Result<Option<VersionRow>, Error> {
        let row = sqlx::query(version_select!("and v.digest = $3 order by v.number desc limit 1"))
            .bind(model.namespace.folded())
            .bind(model.name.folded())
            .bind(digest.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a version up"))?;
        row.as_ref().map(VersionRow::read).transpose()
    }

    /// Whether the model has a row: it had a version once.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn model_exists(&self, model: &ModelRef) -> Result<bool, Error> {
        let row = sqlx::query(
            "select m.id from models m join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2 and m.last_number > 0 and m.deleted_at is null \
             and m.purged_at is null",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look a model up"))?;
        Ok(row.is_some())
    }

    /// Files of a version by path, from behind `after`.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn files(
        &self,
        version: i64,
        after: Option<&FilePath>,
        limit: usize,
    ) -> Result<Page<FileRow, FilePath>, Error> {
        let rows = sqlx::query(
            "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from version_files f \
             join objects o on o.id = f.object_id where f.version_id = $1 and f.path > $2 order by f.path limit $3",
        )
        .bind(version)
        .bind(after.map_or("", FilePath::as_str))
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list the files of a version"))?;
        let items = rows.iter().map(FileRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |file| file.path.clone()))
    }

    /// One file of a version.
    ///
    /// # Errors
    /// As [`Self::versions`].
    pub async fn file(&self, version: i64, path: &FilePath) -> Result<Option<FileRow>, Error> {
        let row = sqlx::query(
            "select f.path, o.size, o.sha256, o.integrity, o.s3_key, o.s3_version_id from version_files f \
             join objects o on o.id = f.object_id where f.version_id = $1 and f.path = $2",
        )
        .bind(version)
        .bind(path.as_str())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look a file up"))?;
        row.as_ref().map(FileRow::read).transpose()
    }
}
