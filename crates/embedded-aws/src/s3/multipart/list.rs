//! `ListParts` and `ListMultipartUploads`.

use super::find;
use crate::{
    meta::{
        SequencedId,
        listing::{self, After, Query, Row},
    },
    s3::{
        Store, blocking, bucket_of,
        checksum::show_checksum,
        clock,
        list::{KeyEncoding, MAX_ROWS, limit, shown},
    },
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, ETag, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
        ListPartsInput, ListPartsOutput, MultipartUpload, Part, StorageClass,
    },
    s3_error,
};

pub(in crate::s3) async fn list_parts(
    store: &Store,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let limit = limit(input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = u16::try_from(marker).map_err(|_| {
        s3_error!(InvalidArgument, "Argument part-number-marker must be an integer between 0 and 10000")
    })?;
    let snapshot = store.snapshot()?;
    let named = find(&snapshot, &input.bucket, &input.key, &input.upload_id)?;
    let sequence = named.id.sequence;
    let (rows, truncated) = blocking(move || {
        if limit == 0 {
            return Ok((Vec::new(), false));
        }
        Ok(listing::parts(&snapshot, sequence, after, limit)?)
    })
    .await?;
    let declared = named.upload.checksum;
    let next = rows.last().map_or(marker, |(number, _)| i32::from(*number));
    let parts = rows.into_iter().map(|(number, stored)| {
        let mut part = Part {
            part_number: Some(i32::from(number)),
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: Some(clock::timestamp(stored.modified_ms)),
            size: Some(stored.size as i64),
            ..Part::default()
        };
        if let Some((algorithm, _)) = declared {
            show_checksum!(part, algorithm, stored.checksum);
        }
        part
    });
    Ok(S3Response::new(ListPartsOutput {
        parts: Some(parts.collect()),
        is_truncated: Some(truncated),
        max_parts: Some(shown(limit)),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(next),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: declared.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: declared.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        initiator: Some(initiator(&named.upload.initiator)),
        owner: Some(store.owner()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..ListPartsOutput::default()
    }))
}

pub(in crate::s3) async fn list_multipart_uploads(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    let encoding = KeyEncoding::of(input.encoding_type.as_ref())?;
    let limit = match input.max_uploads {
        None => MAX_ROWS,
        Some(given @ 1..=1000) => limit(Some(given))?,
        Some(_) => {
            return Err(s3_error!(InvalidArgument, "Argument max-uploads must be an integer between 1 and 1000"));
        }
    };
    let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
    let id_marker = input.upload_id_marker.clone().filter(|marker| !marker.is_empty());
    let after = match (key_marker, id_marker) {
        // S3 ignores an upload id without a key.
        (None, _) => After::Start,
        (Some(key), None) => After::Row(key),
        (Some(key), Some(id)) => match SequencedId::parse(&id) {
            Some(id) => After::Item(key, id.sequence),
            None => return Err(s3_error!(InvalidArgument, "Invalid uploadId marker")),
        },
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let snapshot = store.snapshot()?;
    let bucket = bucket_of(&snapshot, &input.bucket)?.id;
    let page = blocking(move || Ok(listing::uploads(&snapshot, bucket, &query)?)).await?;
    let mut output = ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoding.encode(&text)),
        key_marker: Some(encoding.encode(&input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        max_uploads: Some(shown(limit)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        ..ListMultipartUploadsOutput::default()
    };
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
    let owner = store.owner();
    for row in page.rows {
        match row {
            Row::Entry(key, upload) => {
                let id = SequencedId { sequence: upload.sequence, nonce: upload.nonce }.to_string();
                output.next_key_marker = Some(encoding.encode(&key));
                output.next_upload_id_marker = Some(id.clone());
                uploads.push(MultipartUpload {
                    checksum_algorithm: upload
                        .checksum
                        .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
                    checksum_type: upload.checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
                    initiated: Some(clock::timestamp(upload.initiated_ms)),
                    initiator: Some(initiator(&upload.initiator)),
                    key: Some(encoding.encode(&key)),
                    owner: Some(owner.clone()),
                    storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                    upload_id: Some(id),
                });
            }
            Row::Prefix(prefix) => {
                output.next_key_marker = Some(encoding.encode(&prefix));
                output.next_upload_id_marker = None;
                prefixes.push(prefix);
            }
        }
    }
    if !page.truncated {
        output.next_key_marker = None;
        output.next_upload_id_marker = None;
    }
    output.uploads = Some(uploads);
    output.common_prefixes = encoding.prefixes(prefixes);
    Ok(S3Response::new(output))
}

fn initiator(arn: &str) -> Initiator {
    Initiator { display_name: None, id: Some(arn.to_owned()) }
}
