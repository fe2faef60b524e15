//! Multipart uploads: parts are blobs from the start, completing only writes records.

pub(super) mod begin;
pub(super) mod complete;
pub(super) mod list;
pub(super) mod part;
mod plan;

use super::place_of;
use crate::meta::{
    SequencedId, lookup,
    objects::{Place, Refused},
    record::Upload,
    table::Snapshot,
};
use s3s::{S3Result, s3_error};

pub(super) const MAX_PART: i32 = 10_000;

/// An upload that a request names.
#[derive(Debug)]
struct Named {
    place: Place,
    id: SequencedId,
    upload: Upload,
}

fn find(snapshot: &Snapshot, bucket: &str, key: &str, upload_id: &str) -> S3Result<Named> {
    let place = place_of(snapshot, bucket, key)?.0;
    let id = SequencedId::parse(upload_id).ok_or(Refused::NoSuchUpload)?;
    let upload = lookup::upload(&snapshot.uploads, place.bucket_id, key.as_bytes(), id)?;
    Ok(Named { place, id, upload: upload.ok_or(Refused::NoSuchUpload)? })
}

fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|_| (1..=MAX_PART).contains(&number))
        .ok_or_else(|| s3_error!(InvalidArgument, "Part number must be an integer between 1 and {MAX_PART}, inclusive"))
}
