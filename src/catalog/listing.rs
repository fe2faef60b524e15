//! Rows as they are read, and pages of them.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Error;
use super::error::stored;
use crate::domain::{
    DraftId, FilePath, Integrity, Metadata, ModelName, ModelRef, Namespace, Sha256Digest, Timestamp, VersionNumber,
};

/// Some rows, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// The last item's key when there are more.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Makes a page of rows that were fetched with one more than `limit`.
    pub(super) fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> C) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}

/// A published version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRow {
    /// Row id.
    pub id: i64,
    /// Its model, as first spelled.
    pub model: ModelRef,
    /// Its number.
    pub number: VersionNumber,
    /// Digest over its files.
    pub digest: Sha256Digest,
    /// Whether every file's digest is proven.
    pub integrity: Integrity,
    /// Files.
    pub file_count: u64,
    /// Bytes of all files.
    pub total_size: u64,
    /// What its publisher said.
    pub metadata: Metadata,
    /// When.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// The draft that it was: the prefix of its objects.
    pub draft: DraftId,
    /// Whether all its files lie under that prefix, and nothing else does.
    pub plain_prefix: bool,
    /// Why its bytes are not given out.
    pub quarantine: Option<String>,
}

/// A file of a published version, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Where it lies.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// Of the bytes.
    pub sha256: Sha256Digest,
    /// How far the digest is proven.
    pub integrity: Integrity,
    /// S3 key.
    pub s3_key: String,
    /// S3 VersionId.
    pub s3_version_id: String,
}

pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, Error> {
    row.try_get(column).map_err(Error::during("read a row"))
}

pub(super) fn number(row: &AnyRow, column: &str) -> Result<i64, Error> {
    row.try_get(column).map_err(Error::during("read a row"))
}

fn integrity(row: &AnyRow) -> Result<Integrity, Error> {
    let value = text(row, "integrity")?;
    Integrity::parse(&value).ok_or(Error::Corrupt { what: "integrity", value })
}

impl VersionRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        let n = number(row, "number")?;
        let metadata = text(row, "metadata")?;
        let declared = number(row, "declared_files")?;
        Ok(Self {
            id: number(row, "id")?,
            model: ModelRef {
                namespace: stored::<Namespace>("namespace", &text(row, "namespace")?)?,
                name: stored::<ModelName>("model name", &text(row, "model")?)?,
            },
            number: VersionNumber::new(n)
                .ok_or_else(|| Error::Corrupt { what: "version number", value: n.to_string() })?,
            digest: stored("digest", &text(row, "digest")?)?,
            integrity: if declared == 0 { Integrity::Verified } else { Integrity::Declared },
            file_count: number(row, "file_count")? as u64,
            total_size: number(row, "total_size")? as u64,
            metadata: Metadata::from_json(metadata.as_bytes())
                .map_err(|_| Error::Corrupt { what: "metadata", value: metadata.clone() })?,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            created_by: text(row, "created_by")?,
            draft: stored("draft id", &text(row, "draft_id")?)?,
            plain_prefix: number(row, "plain_prefix")? != 0,
            quarantine: row.try_get("quarantine").map_err(Error::during("read a row"))?,
        })
    }
}

impl FileRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            path: stored("file path", &text(row, "path")?)?,
            size: number(row, "size")? as u64,
            sha256: stored("digest", &text(row, "sha256")?)?,
            integrity: integrity(row)?,
            s3_key: text(row, "s3_key")?,
            s3_version_id: text(row, "s3_version_id")?,
        })
    }
}
