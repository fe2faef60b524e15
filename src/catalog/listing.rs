//! Rows as they are read, and pages of them.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Error;
use super::error::stored;
use crate::domain::{
    DraftId, FilePath, Integrity, Labels, Metadata, ModelName, ModelRef, Namespace, Sha256Digest, Timestamp,
    VersionNumber, VersionState,
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
    /// Whether every file's digest is proven; wrong while it is quarantined.
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
    /// Where it is in its life.
    pub state: VersionState,
    /// What is said of it, beside the metadata.
    pub description: String,
    /// Counts the changes of description and metadata.
    pub revision: i64,
    /// Why it is on legal hold; none when it is not.
    pub hold: Option<String>,
    /// When it went to the trash; none outside.
    pub deletion: Option<Deletion>,
}

/// That something is in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// From when on it may be purged.
    pub purge_at: Timestamp,
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

/// The number of a version, from its column.
pub(super) fn version_number(row: &AnyRow) -> Result<VersionNumber, Error> {
    let n = number(row, "number")?;
    VersionNumber::new(n).ok_or_else(|| Error::Corrupt { what: "version number", value: n.to_string() })
}

/// The model that a row is about, as first spelled.
pub(super) fn model_ref(row: &AnyRow) -> Result<ModelRef, Error> {
    Ok(ModelRef {
        namespace: stored::<Namespace>("namespace", &text(row, "namespace")?)?,
        name: stored::<ModelName>("model name", &text(row, "model")?)?,
    })
}

fn integrity(row: &AnyRow) -> Result<Integrity, Error> {
    let value = text(row, "integrity")?;
    Integrity::parse(&value).ok_or(Error::Corrupt { what: "integrity", value })
}

impl VersionRow {
    pub(super) fn read(row: &AnyRow) -> Result<Self, Error> {
        let metadata = text(row, "metadata")?;
        let declared = number(row, "declared_files")?;
        let quarantine: Option<String> = row.try_get("quarantine").map_err(Error::during("read a row"))?;
        Ok(Self {
            id: number(row, "id")?,
            model: model_ref(row)?,
            number: version_number(row)?,
            digest: stored("digest", &text(row, "digest")?)?,
            integrity: match (&quarantine, declared) {
                (Some(_), _) => Integrity::Wrong,
                (None, 0) => Integrity::Verified,
                (None, _) => Integrity::Declared,
            },
            file_count: number(row, "file_count")? as u64,
            total_size: number(row, "total_size")? as u64,
            metadata: Metadata::from_json(metadata.as_bytes())
                .map_err(|_| Error::Corrupt { what: "metadata", value: metadata.clone() })?,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            created_by: text(row, "created_by")?,
            draft: stored("draft id", &text(row, "draft_id")?)?,
            plain_prefix: number(row, "plain_prefix")? != 0,
            quarantine,
            state: state(row)?,
            description: text(row, "description")?,
            revision: number(row, "revision")?,
            hold: Some(text(row, "hold")?).filter(|hold| !hold.is_empty()),
            deletion: Deletion::read(row)?,
        })
    }
}

impl Deletion {
    /// From the columns `deleted_at` (-1: none), `deleted_by` and `purge_at`.
    pub(super) fn read(row: &AnyRow) -> Result<Option<Self>, Error> {
        let at = number(row, "deleted_at")?;
        if at < 0 {
            return Ok(None);
        }
        let (by, purge_at) = (text(row, "deleted_by")?, Timestamp::from_millis(number(row, "purge_at")?));
        Ok(Some(Self { at: Timestamp::from_millis(at), by, purge_at }))
    }
}

/// The state of a version, from its column.
pub(super) fn state(row: &AnyRow) -> Result<VersionState, Error> {
    let value = text(row, "state")?;
    VersionState::parse(&value).ok_or(Error::Corrupt { what: "state", value })
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

/// The labels of a model, from its column `labels`.
pub(super) fn labels(row: &AnyRow) -> Result<Labels, Error> {
    let json = text(row, "labels")?;
    serde_json::from_str(&json).map_err(|_| Error::Corrupt { what: "labels", value: json })
}
