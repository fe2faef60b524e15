//! `GetObjectAttributes`.

use super::get::{found_for_read, refuse_customer_key};
use crate::{
    meta::{MetaError, lookup, record::Segment},
    s3::{
        Store, blocking,
        checksum::show_checksum,
        clock,
        list::{MAX_ROWS, shown},
        storage_class,
    },
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        Checksum, ChecksumType, ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
        ObjectAttributes, ObjectPart, StorageClass,
    },
    s3_error,
};

const MAX_PARTS: i32 = 1000;

pub(in crate::s3) async fn get_object_attributes(
    store: &Store,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let S3Request { input, extensions, .. } = request;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    let found = found_for_read(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
    let wants = |name: &str| {
        // The header's list arrives in one piece or several.
        input.object_attributes.iter().any(|given| given.as_str().split(',').any(|one| one.trim() == name))
    };
    let content = &found.content;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(clock::timestamp(found.version.modified_ms)),
        version_id: found.version_id(),
        ..GetObjectAttributesOutput::default()
    };
    if wants(ObjectAttributes::ETAG) {
        output.e_tag = Some(ETag::Strong(content.etag.clone()));
    }
    if wants(ObjectAttributes::OBJECT_SIZE) {
        output.object_size = Some(content.size as i64);
    }
    if wants(ObjectAttributes::STORAGE_CLASS) {
        output.storage_class = Some(StorageClass::from_static(storage_class::name(content)));
    }
    if wants(ObjectAttributes::CHECKSUM)
        && let Some(checksum) = &content.checksum
    {
        let mut shown =
            Checksum { checksum_type: Some(ChecksumType::from_static(checksum.kind.name())), ..Checksum::default() };
        // Here, unlike on HEAD, a composite value comes without its count.
        let value = checksum.value.split('-').next().unwrap_or_default().to_owned();
        show_checksum!(shown, checksum.algorithm, value);
        output.checksum = Some(shown);
    }
    if wants(ObjectAttributes::OBJECT_PARTS)
        && let Some(count) = content.parts
    {
        let marker = input.part_number_marker.unwrap_or(0);
        let limit = usize::try_from(input.max_parts.unwrap_or(MAX_PARTS)).unwrap_or(usize::MAX);
        if marker < 0 || input.max_parts.is_some_and(|limit| limit < 0) {
            return Err(s3_error!(InvalidArgument, "The part number marker and the number of parts are not negative"));
        }
        let limit = limit.min(MAX_ROWS);
        let snapshot = store.snapshot()?;
        let sequence = found.version.sequence;
        let (rows, truncated) = blocking(move || {
            let (mut rows, mut truncated) = (Vec::new(), false);
            let all = (sequence, 0, 0)..=(sequence, u64::MAX, u16::MAX);
            for entry in snapshot.segments.range(all).map_err(MetaError::from)? {
                let (place, record) = entry.map_err(MetaError::from)?;
                let number = i32::from(place.value().2);
                if number <= marker {
                    continue;
                }
                if rows.len() >= limit {
                    truncated = true;
                    break;
                }
                rows.push((number, lookup::parse::<Segment>(record.value())?));
            }
            Ok((rows, truncated))
        })
        .await?;
        let last = rows.last().map_or(marker, |(number, _)| *number);
        // As on AWS, parts are listed one by one only where each has a checksum of its own.
        let has_checksums = rows.iter().any(|(_, segment)| segment.checksum.is_some());
        let parts = rows.into_iter().map(|(number, segment)| {
            let mut part =
                ObjectPart { part_number: Some(number), size: Some(segment.size as i64), ..ObjectPart::default() };
            if let (Some(checksum), Some(value)) = (&content.checksum, segment.checksum) {
                show_checksum!(part, checksum.algorithm, value);
            }
            part
        });
        output.object_parts = Some(GetObjectAttributesParts {
            is_truncated: Some(truncated),
            max_parts: Some(shown(limit)),
            next_part_number_marker: Some(last),
            part_number_marker: Some(marker),
            parts: has_checksums.then(|| parts.collect()),
            total_parts_count: Some(i32::from(count)),
        });
    }
    Ok(S3Response::new(output))
}
