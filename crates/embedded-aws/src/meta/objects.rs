//! Changes to object versions, and the indexes that follow them.
//!
//! Each function checks everything before it writes anything, so that a refusal leaves the shared transaction as it was.
//! Blob ids that come back are no longer referred to: their files are unlinked after the commit.

use super::{
    MetaError,
    lookup::{self, VersionRef},
    record::{Bucket, Content, Segment, Version, Versioning},
    table::Tables,
};
use crate::blob::BlobId;

/// What must hold of the current version when a write commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// `If-None-Match: *`; a delete marker counts as absent.
    Absent,
    /// `If-Match: *`.
    Present,
    /// `If-Match` with an `ETag`, without quotes.
    Matches(String),
}

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    NoSuchUpload,
    PreconditionFailed,
    /// Object Lock protects the version.
    Locked,
}

/// The place of a key in a bucket that was looked up before the transaction.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) bucket_id: u64,
    pub(crate) key: String,
}

/// A version as written; the caller answers with it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) version: Version,
    pub(crate) versioning: Versioning,
    pub(crate) unlink: Vec<BlobId>,
}

/// What a deletion did.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    /// The delete marker that was put on top.
    pub(crate) marker: Option<Version>,
    /// The version that is gone.
    pub(crate) removed: Option<Version>,
    pub(crate) unlink: Vec<BlobId>,
}

/// Reads the bucket again inside the transaction: it may have been deleted, or deleted and made anew, meanwhile.
pub(crate) fn alive(tables: &Tables<'_>, place: &Place) -> Result<Result<Bucket, Refused>, MetaError> {
    let found = lookup::bucket(&tables.buckets, &place.bucket)?;
    Ok(found.filter(|bucket| bucket.id == place.bucket_id).ok_or(Refused::NoSuchBucket))
}

/// Checks a precondition against the current version.
pub(crate) fn check(
    tables: &Tables<'_>,
    place: &Place,
    precondition: &Precondition,
) -> Result<Result<(), Refused>, MetaError> {
    if *precondition == Precondition::None {
        return Ok(Ok(()));
    }
    let current = lookup::latest(&tables.versions, place.bucket_id, place.key.as_bytes())?;
    Ok(holds(precondition, current.as_ref().and_then(|version| version.content.as_ref())))
}

/// Adds a version on top of a key; over the `null` version while versioning is not enabled.
///
/// A version without a retention of its own gets the bucket's default, counted from now.
pub(crate) fn put(
    tables: &mut Tables<'_>,
    place: &Place,
    mut content: Content,
    segments: &[(u16, Segment)],
    precondition: &Precondition,
    now_ms: i64,
) -> Result<Result<Written, Refused>, MetaError> {
    let bucket = match alive(tables, place)? {
        Ok(bucket) => bucket,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Err(refused) = check(tables, place, precondition)? {
        return Ok(Err(refused));
    }
    if content.lock.retention.is_none() {
        let default = lookup::settings(&tables.settings, bucket.id)?.object_lock.and_then(|lock| lock.default);
        content.lock.retention = default.map(|default| default.from(now_ms));
    }
    let (version, unlink) = push(tables, &bucket, place.key.as_bytes(), Some(content), now_ms)?;
    let mut offset = 0;
    for (part, segment) in segments {
        let record = serde_json::to_vec(segment)?;
        tables.segments.insert((version.sequence, offset, *part), record.as_slice())?;
        tables.blobs.insert(segment.blob.as_bytes(), ())?;
        offset += segment.size;
    }
    Ok(Ok(Written { version, versioning: bucket.versioning, unlink }))
}

/// Deletes as S3 does: a named version for good, otherwise by a marker once versioning was enabled.
///
/// A named version that is locked stays; `bypass` overrides governance.
pub(crate) fn delete(
    tables: &mut Tables<'_>,
    place: &Place,
    wanted: Option<VersionRef>,
    precondition: &Precondition,
    bypass: bool,
    now_ms: i64,
) -> Result<Result<Deleted, Refused>, MetaError> {
    let bucket = match alive(tables, place)? {
        Ok(bucket) => bucket,
        Err(refused) => return Ok(Err(refused)),
    };
    let key = place.key.as_bytes();
    if let Some(wanted) = wanted {
        let found = lookup::find(&tables.versions, &tables.nulls, bucket.id, key, wanted)?;
        if let Err(refused) = holds(precondition, found.as_ref().and_then(|version| version.content.as_ref())) {
            return Ok(Err(refused));
        }
        let Some(version) = found else { return Ok(Ok(Deleted::default())) };
        if version.is_locked(now_ms, bypass) {
            return Ok(Err(Refused::Locked));
        }
        let unlink = remove(tables, bucket.id, key, &version)?;
        return Ok(Ok(Deleted { removed: Some(version), unlink, marker: None }));
    }
    if let Err(refused) = check(tables, place, precondition)? {
        return Ok(Err(refused));
    }
    if bucket.versioning == Versioning::Unversioned {
        let found = lookup::find(&tables.versions, &tables.nulls, bucket.id, key, VersionRef::Null)?;
        let Some(version) = found else { return Ok(Ok(Deleted::default())) };
        let unlink = remove(tables, bucket.id, key, &version)?;
        return Ok(Ok(Deleted { removed: Some(version), unlink, marker: None }));
    }
    let (marker, unlink) = push(tables, &bucket, key, None, now_ms)?;
    Ok(Ok(Deleted { marker: Some(marker), unlink, removed: None }))
}

/// Changes what is said of a version that has content; `change` may refuse.
pub(crate) fn edit(
    tables: &mut Tables<'_>,
    place: &Place,
    wanted: VersionRef,
    change: impl FnOnce(&mut Content) -> Result<(), Refused>,
) -> Result<Result<Version, Refused>, MetaError> {
    let key = place.key.as_bytes();
    let found = lookup::find(&tables.versions, &tables.nulls, place.bucket_id, key, wanted)?;
    let Some(version) = found else {
        let missing = if wanted == VersionRef::Latest { Refused::NoSuchKey } else { Refused::NoSuchVersion };
        return Ok(Err(missing));
    };
    rewrite(tables, place, version, change)
}

/// As [`edit`], of a version that was looked up in this transaction.
pub(crate) fn rewrite(
    tables: &mut Tables<'_>,
    place: &Place,
    mut version: Version,
    change: impl FnOnce(&mut Content) -> Result<(), Refused>,
) -> Result<Result<Version, Refused>, MetaError> {
    let Some(content) = version.content.as_mut() else { return Ok(Err(Refused::NoSuchKey)) };
    if let Err(refused) = change(content) {
        return Ok(Err(refused));
    }
    let record = serde_json::to_vec(&version)?;
    tables.versions.insert((place.bucket_id, place.key.as_bytes(), !version.sequence), record.as_slice())?;
    Ok(Ok(version))
}

/// Removes a version for good and repairs the indexes.
pub(crate) fn remove(
    tables: &mut Tables<'_>,
    bucket: u64,
    key: &[u8],
    version: &Version,
) -> Result<Vec<BlobId>, MetaError> {
    tables.versions.remove((bucket, key, !version.sequence))?;
    if version.null {
        tables.nulls.remove((bucket, key))?;
    }
    match lookup::latest(&tables.versions, bucket, key)? {
        Some(newest) if newest.content.is_some() => {
            tables.current.insert((bucket, key), newest.sequence)?;
        }
        _ => {
            tables.current.remove((bucket, key))?;
        }
    }
    let range = (version.sequence, 0, 0)..=(version.sequence, u64::MAX, u16::MAX);
    let mut unlink = Vec::new();
    for entry in tables.segments.extract_from_if(range, |_, _| true)? {
        let segment: Segment = lookup::parse(entry?.1.value())?;
        unlink.push(segment.blob);
    }
    for blob in &unlink {
        tables.blobs.remove(blob.as_bytes())?;
    }
    Ok(unlink)
}

fn holds(precondition: &Precondition, current: Option<&Content>) -> Result<(), Refused> {
    match (precondition, current) {
        (Precondition::None, _) | (Precondition::Absent, None) | (Precondition::Present, Some(_)) => Ok(()),
        (Precondition::Matches(etag), Some(content)) if *etag == content.etag => Ok(()),
        (Precondition::Absent | Precondition::Matches(_), Some(_)) => Err(Refused::PreconditionFailed),
        (Precondition::Present | Precondition::Matches(_), None) => Err(Refused::NoSuchKey),
    }
}

/// Puts a version or a marker on top and points the indexes at it.
fn push(
    tables: &mut Tables<'_>,
    bucket: &Bucket,
    key: &[u8],
    content: Option<Content>,
    now_ms: i64,
) -> Result<(Version, Vec<BlobId>), MetaError> {
    let null = bucket.versioning != Versioning::Enabled;
    let mut unlink = Vec::new();
    if null && let Some(sequence) = lookup::null_sequence(&tables.nulls, bucket.id, key)? {
        let old = lookup::version(&tables.versions, bucket.id, key, sequence)?;
        if let Some(old) = old {
            unlink = remove(tables, bucket.id, key, &old)?;
        }
    }
    let sequence = tables.next_sequence()?;
    let version = Version { sequence, nonce: random(), null, modified_ms: now_ms, content };
    let record = serde_json::to_vec(&version)?;
    tables.versions.insert((bucket.id, key, !sequence), record.as_slice())?;
    if null {
        tables.nulls.insert((bucket.id, key), sequence)?;
    }
    if version.content.is_some() {
        tables.current.insert((bucket.id, key), sequence)?;
    } else {
        tables.current.remove((bucket.id, key))?;
    }
    Ok((version, unlink))
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes, or the library aborts");
    u64::from_be_bytes(bytes)
}
