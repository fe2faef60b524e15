//! `GetObject` and `HeadObject`: the same answer, with and without bytes.

use super::{Found, conditions::Conditions, find, may_decrypt};
use crate::{
    meta::{lookup, record::Segment},
    s3::{
        Store, blocking,
        checksum::show_checksum,
        clock,
        encryption::show_encryption,
        error,
        lock::{self, show_lock},
        storage_class,
    },
};
use axum::http::Extensions;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumType, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PartNumber, Range,
        StreamingBlob,
    },
    s3_error,
};
use std::ops;

/// Copies what a read says about an object into either output.
macro_rules! show {
    ($output:expr, $input:expr, $found:expr, $part:expr, $lock:expr) => {
        let description = $found.content.description.clone();
        let range = &$part.range;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.content_length = Some((range.end - range.start) as i64);
        $output.e_tag = Some(ETag::Strong($found.content.etag.clone()));
        $output.last_modified = Some(clock::timestamp($found.version.modified_ms));
        $output.version_id = $found.version_id();
        $output.parts_count = $part.parts_count;
        $output.content_range = $part.content_range($found.content.size);
        $output.content_type = $input
            .response_content_type
            .take()
            .or(description.content_type)
            .or_else(|| Some("binary/octet-stream".to_owned()));
        $output.content_encoding = $input.response_content_encoding.take().or(description.content_encoding);
        $output.content_disposition = $input.response_content_disposition.take().or(description.content_disposition);
        $output.content_language = $input.response_content_language.take().or(description.content_language);
        $output.cache_control = $input.response_cache_control.take().or(description.cache_control);
        $output.expires = $input.response_expires.take().or(description.expires_ms.map(clock::timestamp));
        $output.website_redirect_location = description.website_redirect;
        $output.metadata = (!description.metadata.is_empty()).then(|| description.metadata.into_iter().collect());
        show_encryption!($output, &$found.content.encryption);
        show_lock!($output, $lock);
        // S3 says it only where it is not STANDARD.
        $output.storage_class = storage_class::unusual(&$found.content);
        // A checksum of the whole says nothing about a range; clients would compare it.
        let wanted = $input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == "ENABLED");
        if let Some(checksum) = $found.content.checksum.as_ref().filter(|_| wanted && !$part.partial) {
            $output.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
            show_checksum!($output, checksum.algorithm, checksum.value.clone());
        }
    };
}

macro_rules! conditions {
    ($input:expr) => {
        Conditions {
            if_match: $input.if_match.take(),
            if_none_match: $input.if_none_match.take(),
            if_modified_since: $input.if_modified_since.take(),
            if_unmodified_since: $input.if_unmodified_since.take(),
        }
    };
}

pub(in crate::s3) async fn get_object(
    store: &Store,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let S3Request { mut input, extensions, .. } = request;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    // A version that is deleted between the look-up and the first byte is looked up once more.
    let mut again = true;
    let conditions = conditions!(input);
    loop {
        let found = find(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
        conditions.check_read(&found.content.etag, found.version.modified_ms)?;
        may_decrypt(&found.content, &extensions)?;
        let part = Part::of(store, &found, input.range, input.part_number).await?;
        let opened = store.read(&found.place, &found.version, &found.content.encryption, part.range.clone()).await;
        let reader = match opened {
            Err(error) if again && *error.code() == s3s::S3ErrorCode::NoSuchKey => {
                again = false;
                continue;
            }
            opened => opened?,
        };
        let mut output = GetObjectOutput {
            body: Some(StreamingBlob::wrap(reader.into_stream())),
            tag_count: tag_count(&found),
            ..GetObjectOutput::default()
        };
        let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
        let locked = lock::visible(store, &found.content, target, &extensions);
        show!(output, input, found, part, locked);
        return Ok(S3Response::new(output));
    }
}

pub(in crate::s3) async fn head_object(
    store: &Store,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let S3Request { mut input, extensions, .. } = request;
    refuse_customer_key(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    let found = find(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
    conditions!(input).check_read(&found.content.etag, found.version.modified_ms)?;
    if input.checksum_mode.is_some() {
        // AWS keeps the checksum encrypted with the object.
        may_decrypt(&found.content, &extensions)?;
    }
    let part = Part::of(store, &found, input.range, input.part_number).await?;
    let mut output = HeadObjectOutput::default();
    let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
    let locked = lock::visible(store, &found.content, target, &extensions);
    show!(output, input, found, part, locked);
    Ok(S3Response::new(output))
}

/// Which bytes a read asks for.
#[derive(Debug)]
struct Part {
    range: ops::Range<u64>,
    /// Asked for by range or part number.
    partial: bool,
    parts_count: Option<i32>,
}

impl Part {
    async fn of(store: &Store, found: &Found, range: Option<Range>, number: Option<PartNumber>) -> S3Result<Self> {
        let size = found.content.size;
        match (range, number) {
            (None, None) => Ok(Self { range: 0..size, partial: false, parts_count: None }),
            (Some(range), None) => {
                let range =
                    range.check(size).map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
                Ok(Self { range, partial: true, parts_count: None })
            }
            (None, Some(number)) => Self::numbered(store, found, number).await,
            (Some(_), Some(_)) => {
                Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
            }
        }
    }

    /// Part numbers of a finished object count from 1 without gaps.
    async fn numbered(store: &Store, found: &Found, number: PartNumber) -> S3Result<Self> {
        let absent = || error::custom("InvalidPartNumber", 416, "The requested partnumber is not satisfiable");
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        let Some(count) = found.content.parts else {
            let whole = Self { range: 0..found.content.size, partial: true, parts_count: None };
            return if number == 1 { Ok(whole) } else { Err(absent()) };
        };
        let snapshot = store.snapshot()?;
        let sequence = found.version.sequence;
        let skipped = usize::try_from(number - 1).map_err(|_| absent())?;
        let range = blocking(move || {
            let all = (sequence, 0, 0)..=(sequence, u64::MAX, u16::MAX);
            let segments = snapshot.segments.range(all).map_err(crate::meta::MetaError::from)?;
            let Some(entry) = segments.into_iter().nth(skipped) else { return Ok(None) };
            let (place, record) = entry.map_err(crate::meta::MetaError::from)?;
            let segment: Segment = lookup::parse(record.value())?;
            let offset = place.value().1;
            Ok(Some(offset..offset + segment.size))
        })
        .await?;
        let range = range.ok_or_else(absent)?;
        Ok(Self { range, partial: true, parts_count: Some(i32::from(count)) })
    }

    fn content_range(&self, size: u64) -> Option<String> {
        (self.partial && !self.range.is_empty())
            .then(|| format!("bytes {}-{}/{size}", self.range.start, self.range.end - 1))
    }
}

fn tag_count(found: &Found) -> Option<i32> {
    let count = found.content.description.tags.len();
    i32::try_from(count).ok().filter(|count| *count > 0)
}

/// Nothing here is encrypted with a customer's key, so none fits.
pub(in crate::s3) fn refuse_customer_key(sent: bool) -> S3Result<()> {
    if sent {
        return Err(s3_error!(InvalidRequest, "The encryption parameters are not applicable to this object."));
    }
    Ok(())
}

/// Only what a caller may see is worth a closer look.
pub(in crate::s3) fn found_for_read(
    store: &Store,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    extensions: &Extensions,
) -> S3Result<Found> {
    let found = find(store, bucket, key, version_id, extensions)?;
    may_decrypt(&found.content, extensions)?;
    Ok(found)
}
