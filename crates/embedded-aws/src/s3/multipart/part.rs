//! `UploadPart` and `UploadPartCopy`.

use super::{Named, find, part_number};
use crate::{
    meta::{
        record::{Algorithm, Part, Upload},
        uploads,
    },
    s3::{
        Store,
        access::Caller,
        checksum::{self, Claim, sent_checksums, show_checksum},
        clock,
        encryption::show_encryption,
        ingest::{self, Claims, Ingested, MAX_SIZE},
        lock,
        object::{conditions::Conditions, copy, get::refuse_customer_key, put::require_length},
    },
};
use axum::http::Extensions;
use bytes::Bytes;
use futures::Stream;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, CopyPartResult, ETag, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
        UploadPartOutput,
    },
    s3_error,
};
use std::{ops::Range, sync::Arc};

pub(in crate::s3) async fn upload_part(
    store: &Store,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let S3Request { mut input, headers, extensions, trailing_headers, .. } = request;
    let number = part_number(input.part_number)?;
    require_length(&headers, input.content_length)?;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    let named = find(&store.snapshot()?, &input.bucket, &input.key, &input.upload_id)?;
    may_extend(&named.upload, &extensions)?;
    let claim = checksum::claim(
        sent_checksums!(input),
        &headers,
        input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str),
    )?;
    check_declared(&named.upload, claim.as_ref())?;
    let claimed = claim.as_ref().map(Claim::algorithm);
    let claims =
        Claims { md5: ingest::content_md5(input.content_md5.as_deref())?, checksum: claim, trailers: trailing_headers };
    let has_digest = claims.md5.is_some() || claims.checksum.is_some();
    let bucket_lock = store.bucket_lock(&input.bucket)?;
    lock::demand_digest(&named.upload.lock, bucket_lock.as_ref(), has_digest, "Put Part")?;
    let body = ingest::request_body(input.body.take(), extensions);
    let stored = store_part(store, &named, number, body, claims).await?;

    let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(stored.etag.clone())), ..UploadPartOutput::default() };
    let declared = named.upload.checksum.map(|(algorithm, _)| algorithm);
    let shown = claimed.or(declared).unwrap_or(Algorithm::Crc64Nvme);
    let value = stored.value_of(&named.upload, shown);
    show_checksum!(output, shown, value);
    show_encryption!(output, &named.upload.encryption);
    Ok(S3Response::new(output))
}

pub(in crate::s3) async fn upload_part_copy(
    store: &Store,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let S3Request { mut input, extensions, .. } = request;
    let number = part_number(input.part_number)?;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.copy_source_sse_customer_algorithm.is_some())?;
    let named = find(&store.snapshot()?, &input.bucket, &input.key, &input.upload_id)?;
    may_extend(&named.upload, &extensions)?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    };
    let (source, _) = copy::source(store, &input.copy_source, &conditions, &extensions)?;
    let range = match input.copy_source_range.as_deref() {
        Some(header) => copy_range(header, source.content.size)?,
        None => 0..source.content.size,
    };
    if range.end - range.start > MAX_SIZE {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        ));
    }
    let reader = store.read(&source.place, &source.version, &source.content.encryption, range).await?;
    let body = Box::pin(reader.into_stream());
    let stored = store_part(store, &named, number, body, Claims::default()).await?;

    let mut result = CopyPartResult {
        e_tag: Some(ETag::Strong(stored.etag.clone())),
        last_modified: Some(clock::timestamp(stored.modified_ms)),
        ..CopyPartResult::default()
    };
    if let Some((algorithm, _)) = named.upload.checksum {
        show_checksum!(result, algorithm, stored.checksum.clone());
    }
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source.version_id(),
        ..UploadPartCopyOutput::default()
    };
    show_encryption!(output, &named.upload.encryption);
    Ok(S3Response::new(output))
}

impl Part {
    /// The part's checksum in the algorithm that the client used.
    fn value_of(&self, upload: &Upload, algorithm: Algorithm) -> String {
        match &self.sent_checksum {
            Some((sent, value)) if upload.checksum.is_none() && *sent == algorithm => value.clone(),
            _ => self.checksum.clone(),
        }
    }
}

async fn store_part(
    store: &Store,
    named: &Named,
    number: u16,
    body: impl Stream<Item = S3Result<Bytes>> + Unpin,
    claims: Claims,
) -> S3Result<Part> {
    let algorithm = named.upload.checksum.map_or(Algorithm::Crc64Nvme, |(algorithm, _)| algorithm);
    let claimed = claims.checksum.as_ref().map(Claim::algorithm);
    let ingested = ingest::ingest(store, &named.place, &named.upload.encryption, body, claims, &[algorithm]).await?;
    let value = |algorithm| ingested.checksum(algorithm).unwrap_or_default().to_owned();
    let sent_checksum =
        claimed.filter(|_| named.upload.checksum.is_none()).map(|algorithm| (algorithm, value(algorithm)));
    let part = Part {
        blob: ingested.blob.id(),
        wrapped_key: ingested.wrapped_key.clone(),
        size: ingested.blob.size(),
        etag: ingested.etag.clone(),
        modified_ms: clock::now_ms(),
        checksum: value(algorithm),
        sent_checksum,
    };
    let Ingested { blob, .. } = ingested;
    let (place, id, stored) = (named.place.clone(), named.id, part.clone());
    let unlink = store.commit(blob, move |tables| uploads::put_part(tables, &place, id, number, &stored)).await?;
    store.unlink(unlink).await;
    Ok(part)
}

/// AWS decrypts the upload's key for each part.
fn may_extend(upload: &Upload, extensions: &Extensions) -> S3Result<()> {
    let Some(key) = &upload.encryption.kms_key else { return Ok(()) };
    match extensions.get::<Arc<Caller>>() {
        Some(caller) => caller.may_use_key("kms:Decrypt", key),
        None => Err(s3_error!(AccessDenied, "Access Denied")),
    }
}

/// A part uses the algorithm that its upload declared; one declared as SHA must come with it.
fn check_declared(upload: &Upload, claim: Option<&Claim>) -> S3Result<()> {
    let Some((declared, _)) = upload.checksum else { return Ok(()) };
    let actual = claim.map(Claim::algorithm);
    if actual == Some(declared) || (actual.is_none() && declared.is_crc()) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        declared.name().to_ascii_lowercase(),
        actual.map_or_else(|| "null".to_owned(), |algorithm| algorithm.name().to_ascii_lowercase())
    ))
}

/// Reads `bytes=first-last`; unlike a Range header, both ends must be given and lie within the source.
fn copy_range(header: &str, size: u64) -> S3Result<Range<u64>> {
    let parse = || {
        let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    };
    let (first, last) = parse().filter(|(first, last)| first <= last).ok_or_else(|| {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        )
    })?;
    if last >= size {
        return Err(s3_error!(InvalidArgument, "Range specified is not valid for source object of size: {size}"));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_ranges_name_both_ends_within_the_source() {
        assert_eq!(copy_range("bytes=0-9", 10).unwrap(), 0..10);
        assert_eq!(copy_range("bytes=3-3", 10).unwrap(), 3..4);
        for bad in ["bytes=0-10", "bytes=5-4", "bytes=-5", "bytes=5-", "0-9", "bytes=a-b"] {
            assert!(copy_range(bad, 10).is_err(), "{bad}");
        }
    }
}
