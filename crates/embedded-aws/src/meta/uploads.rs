//! Changes to multipart uploads: parts are blobs from the start, so that completing copies nothing.

use super::{
    MetaError, SequencedId, lookup,
    objects::{self, Place, Precondition, Refused, Written},
    record::{Completed, Content, Part, Segment, Upload},
    table::Tables,
};
use crate::blob::BlobId;
use std::collections::HashSet;

/// Stores a new upload under a fresh id.
pub(crate) fn create(
    tables: &mut Tables<'_>,
    place: &Place,
    mut upload: Upload,
) -> Result<Result<SequencedId, Refused>, MetaError> {
    if let Err(refused) = objects::alive(tables, place)? {
        return Ok(Err(refused));
    }
    upload.sequence = tables.next_sequence()?;
    upload.nonce = objects::random();
    let record = serde_json::to_vec(&upload)?;
    tables.uploads.insert((place.bucket_id, place.key.as_bytes(), upload.sequence), record.as_slice())?;
    Ok(Ok(SequencedId { sequence: upload.sequence, nonce: upload.nonce }))
}

/// Stores a part over an older one of the same number.
pub(crate) fn put_part(
    tables: &mut Tables<'_>,
    place: &Place,
    id: SequencedId,
    number: u16,
    part: &Part,
) -> Result<Result<Vec<BlobId>, Refused>, MetaError> {
    if lookup::upload(&tables.uploads, place.bucket_id, place.key.as_bytes(), id)?.is_none() {
        return Ok(Err(Refused::NoSuchUpload));
    }
    let old = lookup::part(&tables.parts, id.sequence, number)?;
    let record = serde_json::to_vec(part)?;
    tables.parts.insert((id.sequence, number), record.as_slice())?;
    tables.blobs.insert(part.blob.as_bytes(), ())?;
    if let Some(old) = &old {
        tables.blobs.remove(old.blob.as_bytes())?;
    }
    Ok(Ok(old.map(|old| old.blob).into_iter().collect()))
}

/// Everything that a completion writes.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) content: Content,
    pub(crate) segments: Vec<(u16, Segment)>,
    pub(crate) precondition: Precondition,
    /// Fingerprint of the request, to answer a repetition.
    pub(crate) request: String,
    /// As in [`Upload`].
    pub(crate) algorithm_header: Option<String>,
}

/// Turns an upload into a version; parts that were not asked for are dropped.
///
/// The caller has checked the list of parts within the same transaction.
pub(crate) fn complete(
    tables: &mut Tables<'_>,
    place: &Place,
    id: SequencedId,
    completion: Completion,
    now_ms: i64,
) -> Result<Result<Written, Refused>, MetaError> {
    let Completion { content, segments, precondition, request, algorithm_header } = completion;
    let kms_key = content.encryption.kms_key.clone();
    let mut written = match objects::put(tables, place, content, &segments, &precondition, now_ms)? {
        Ok(written) => written,
        Err(refused) => return Ok(Err(refused)),
    };
    let kept: HashSet<BlobId> = segments.iter().map(|(_, segment)| segment.blob).collect();
    let uploaded = remove(tables, place.bucket_id, place.key.as_bytes(), id.sequence)?;
    written.unlink.extend(uploaded.into_iter().filter(|blob| !kept.contains(blob)));
    // Removing the parts took the kept blobs off the list too.
    for (_, segment) in &segments {
        tables.blobs.insert(segment.blob.as_bytes(), ())?;
    }
    let record = serde_json::to_vec(&Completed {
        nonce: id.nonce,
        bucket: place.bucket_id,
        key: place.key.clone(),
        version: written.version.sequence,
        algorithm_header,
        kms_key,
        request,
        at_ms: now_ms,
    })?;
    tables.completed.insert(id.sequence, record.as_slice())?;
    Ok(Ok(written))
}

/// Forgets an upload and its parts.
pub(crate) fn abort(
    tables: &mut Tables<'_>,
    bucket: u64,
    key: &[u8],
    id: SequencedId,
) -> Result<Result<Vec<BlobId>, Refused>, MetaError> {
    if lookup::upload(&tables.uploads, bucket, key, id)?.is_none() {
        return Ok(Err(Refused::NoSuchUpload));
    }
    Ok(Ok(remove(tables, bucket, key, id.sequence)?))
}

/// Forgets completions older than `before_ms`.
pub(crate) fn forget_completed(tables: &mut Tables<'_>, before_ms: i64) -> Result<(), MetaError> {
    tables.completed.retain(|_, record| {
        serde_json::from_slice::<Completed>(record).is_ok_and(|completed| completed.at_ms >= before_ms)
    })?;
    Ok(())
}

fn remove(tables: &mut Tables<'_>, bucket: u64, key: &[u8], sequence: u64) -> Result<Vec<BlobId>, MetaError> {
    tables.uploads.remove((bucket, key, sequence))?;
    let mut blobs = Vec::new();
    for entry in tables.parts.extract_from_if((sequence, 0)..=(sequence, u16::MAX), |_, _| true)? {
        let part: Part = lookup::parse(entry?.1.value())?;
        blobs.push(part.blob);
    }
    for blob in &blobs {
        tables.blobs.remove(blob.as_bytes())?;
    }
    Ok(blobs)
}
