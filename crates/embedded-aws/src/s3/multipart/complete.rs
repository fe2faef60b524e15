//! `CompleteMultipartUpload`: checked and written in one transaction, repeatable for a day.

use super::{
    part_number,
    plan::{self, Listed, Whole},
};
use crate::{
    meta::{
        MetaError, SequencedId, lookup,
        objects::{self, Place, Precondition, Refused, Written},
        record::Version,
        table::Tables,
        uploads::{self, Completion},
    },
    s3::{
        Store, bucket_of,
        checksum::{sent_checksums, show_checksum},
        clock,
        encryption::show_encryption,
        object::{conditions::precondition, get::refuse_customer_key, shown_id},
        place_of,
    },
};
use aws_lc_rs::digest::{SHA256, digest};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag},
    s3_error,
};

pub(in crate::s3) async fn complete_multipart_upload(
    store: &Store,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let mut input = request.input;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    let precondition = precondition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let id = SequencedId::parse(&input.upload_id).ok_or(Refused::NoSuchUpload)?;
    let listed = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    let listed = listed.into_iter().map(read_part).collect::<S3Result<Vec<_>>>()?;
    plan::check_order(&listed)?;
    let mut sent = sent_checksums!(input).into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
    let whole = Whole {
        size: input.mpu_object_size.map(|size| u64::try_from(size).unwrap_or(u64::MAX)),
        kind: input.checksum_type.as_ref().map(|kind| kind.as_str().to_owned()),
        checksum: sent.next(),
    };
    if sent.next().is_some() {
        return Err(s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header"));
    }
    let place = place_of(&store.snapshot()?, &input.bucket, &input.key)?.0;
    let request = fingerprint(&listed, &whole);
    let written =
        store.change(move |tables| complete(tables, &place, id, &listed, &whole, precondition, request)).await?;
    store.unlink(written.unlink).await;
    answer(store, input, &written.version)
}

/// Everything that decides, in one transaction with what it decides.
fn complete(
    tables: &mut Tables<'_>,
    place: &Place,
    id: SequencedId,
    listed: &[Listed],
    whole: &Whole,
    precondition: Precondition,
    request: String,
) -> Result<Result<Written, S3Error>, MetaError> {
    let bucket = match objects::alive(tables, place)? {
        Ok(bucket) => bucket,
        Err(refused) => return Ok(Err(refused.into())),
    };
    let key = place.key.as_bytes();
    let Some(upload) = lookup::upload(&tables.uploads, place.bucket_id, key, id)? else {
        // The same request again, perhaps because its answer was lost: the same answer.
        let done = lookup::completed(&tables.completed, id)?
            .filter(|done| done.bucket == place.bucket_id && done.key == place.key && done.request == request);
        let version = match done {
            Some(done) => lookup::version(&tables.versions, place.bucket_id, key, done.version)?,
            None => None,
        };
        return Ok(match version {
            Some(version) => Ok(Written { version, versioning: bucket.versioning, unlink: Vec::new() }),
            None => Err(Refused::NoSuchUpload.into()),
        });
    };
    let mut parts = Vec::with_capacity(listed.len());
    for wanted in listed {
        parts.push(lookup::part(&tables.parts, id.sequence, wanted.number)?);
    }
    let (content, segments) = match plan::plan(&upload, listed, &parts, whole) {
        Ok(planned) => planned,
        Err(refused) => return Ok(Err(refused)),
    };
    let algorithm_header = upload.algorithm_header;
    let completion = Completion { content, segments, precondition, request, algorithm_header };
    Ok(uploads::complete(tables, place, id, completion, clock::now_ms())?.map_err(S3Error::from))
}

fn answer(
    store: &Store,
    input: CompleteMultipartUploadInput,
    version: &Version,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let versioning = bucket_of(&store.snapshot()?, &input.bucket)?.versioning;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        version_id: shown_id(versioning, version),
        ..CompleteMultipartUploadOutput::default()
    };
    if let Some(content) = &version.content {
        output.e_tag = Some(ETag::Strong(content.etag.clone()));
        if let Some(checksum) = &content.checksum {
            output.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
            show_checksum!(output, checksum.algorithm, checksum.value.clone());
        }
        show_encryption!(output, &content.encryption);
    }
    Ok(S3Response::new(output))
}

fn read_part(mut part: CompletedPart) -> S3Result<Listed> {
    let malformed = || s3_error!(MalformedXML, "A completed part needs a part number and an ETag");
    let number = part_number(part.part_number.ok_or_else(malformed)?)?;
    let etag = part.e_tag.take().ok_or_else(malformed)?.into_value();
    let checksums = sent_checksums!(part).into_iter().filter_map(|(algorithm, value)| Some((algorithm, value?)));
    Ok(Listed { number, etag, checksums: checksums.collect() })
}

/// Identical requests have the same.
fn fingerprint(listed: &[Listed], whole: &Whole) -> String {
    hex::encode(digest(&SHA256, format!("{listed:?}{whole:?}").as_bytes()))
}
