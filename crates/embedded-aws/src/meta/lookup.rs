//! Point reads, the same inside a transaction and on a snapshot.

use super::{
    MetaError, SequencedId,
    record::{Bucket, Completed, Part, Settings, Upload, Version},
};
use redb::ReadableTable;

/// Which version of a key is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionRef {
    Latest,
    Null,
    Id(SequencedId),
}

pub(crate) type ObjectKey = (u64, &'static [u8]);
pub(crate) type VersionKey = (u64, &'static [u8], u64);
type Bytes = &'static [u8];

pub(crate) fn bucket(table: &impl ReadableTable<&'static str, Bytes>, name: &str) -> Result<Option<Bucket>, MetaError> {
    table.get(name)?.map(|value| parse(value.value())).transpose()
}

pub(crate) fn settings(table: &impl ReadableTable<u64, Bytes>, bucket: u64) -> Result<Settings, MetaError> {
    Ok(table.get(bucket)?.map(|value| parse(value.value())).transpose()?.unwrap_or_default())
}

/// The newest version of a key, delete marker or not.
pub(crate) fn latest(
    versions: &impl ReadableTable<VersionKey, Bytes>,
    bucket: u64,
    key: &[u8],
) -> Result<Option<Version>, MetaError> {
    let mut range = versions.range((bucket, key, 0)..=(bucket, key, u64::MAX))?;
    range.next().map(|entry| parse(entry?.1.value())).transpose()
}

pub(crate) fn version(
    versions: &impl ReadableTable<VersionKey, Bytes>,
    bucket: u64,
    key: &[u8],
    sequence: u64,
) -> Result<Option<Version>, MetaError> {
    versions.get((bucket, key, !sequence))?.map(|value| parse(value.value())).transpose()
}

/// Finds the version that a request names; an id whose nonce differs names nothing.
pub(crate) fn find(
    versions: &impl ReadableTable<VersionKey, Bytes>,
    nulls: &impl ReadableTable<ObjectKey, u64>,
    bucket: u64,
    key: &[u8],
    wanted: VersionRef,
) -> Result<Option<Version>, MetaError> {
    match wanted {
        VersionRef::Latest => latest(versions, bucket, key),
        VersionRef::Null => match null_sequence(nulls, bucket, key)? {
            Some(sequence) => version(versions, bucket, key, sequence),
            None => Ok(None),
        },
        VersionRef::Id(id) => {
            let found = version(versions, bucket, key, id.sequence)?;
            Ok(found.filter(|version| version.nonce == id.nonce && !version.null))
        }
    }
}

pub(crate) fn null_sequence(
    nulls: &impl ReadableTable<ObjectKey, u64>,
    bucket: u64,
    key: &[u8],
) -> Result<Option<u64>, MetaError> {
    Ok(nulls.get((bucket, key))?.map(|value| value.value()))
}

pub(crate) fn upload(
    uploads: &impl ReadableTable<VersionKey, Bytes>,
    bucket: u64,
    key: &[u8],
    id: SequencedId,
) -> Result<Option<Upload>, MetaError> {
    let found: Option<Upload> =
        uploads.get((bucket, key, id.sequence))?.map(|value| parse(value.value())).transpose()?;
    Ok(found.filter(|upload| upload.nonce == id.nonce))
}

pub(crate) fn part(
    parts: &impl ReadableTable<(u64, u16), Bytes>,
    upload: u64,
    number: u16,
) -> Result<Option<Part>, MetaError> {
    parts.get((upload, number))?.map(|value| parse(value.value())).transpose()
}

pub(crate) fn completed(
    table: &impl ReadableTable<u64, Bytes>,
    id: SequencedId,
) -> Result<Option<Completed>, MetaError> {
    let found: Option<Completed> = table.get(id.sequence)?.map(|value| parse(value.value())).transpose()?;
    Ok(found.filter(|completed| completed.nonce == id.nonce))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, MetaError> {
    Ok(serde_json::from_slice(bytes)?)
}
