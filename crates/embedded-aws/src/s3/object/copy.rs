//! `CopyObject`: the source is decrypted and encrypted anew, under the destination's key.

use super::{
    Found,
    conditions::{Conditions, precondition},
    get::{found_for_read, refuse_customer_key},
    now, shown_id,
};
use crate::{
    meta::{
        lookup,
        objects::{self, Place},
        record::{Algorithm, Checksum, ChecksumKind, Content, Description, StorageClass},
    },
    s3::{
        Store,
        checksum::show_checksum,
        clock,
        description::{described, refuse_unsupported},
        encryption::{self, requested, show_encryption},
        ingest::{self, Claims, MAX_SIZE},
        lock::{self, requested_lock},
        place_of,
    },
};
use axum::http::{Extensions, HeaderMap, header};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, ETagCondition,
        MetadataDirective, TaggingDirective,
    },
    s3_error,
};

pub(in crate::s3) async fn copy_object(
    store: &Store,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let S3Request { mut input, headers, extensions, .. } = request;
    refuse_unsupported!(input);
    refuse_customer_key(
        input.copy_source_sse_customer_algorithm.is_some() || input.copy_source_sse_customer_key.is_some(),
    )?;
    // s3s has no fields for the conditions on the destination.
    let condition = |name| condition_header(&headers, name);
    let precondition = precondition(condition(header::IF_MATCH)?.as_ref(), condition(header::IF_NONE_MATCH)?.as_ref())?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.take(),
        if_none_match: input.copy_source_if_none_match.take(),
        if_modified_since: input.copy_source_if_modified_since.take(),
        if_unmodified_since: input.copy_source_if_unmodified_since.take(),
    };
    let (source, source_named_version) = source(store, &input.copy_source, &conditions, &extensions)?;
    if source.content.size > MAX_SIZE {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        ));
    }
    let replaces_metadata = replaces(
        input.metadata_directive.as_ref().map(MetadataDirective::as_str),
        MetadataDirective::REPLACE,
        MetadataDirective::COPY,
    )?;
    let replaces_tags = replaces(
        input.tagging_directive.as_ref().map(TaggingDirective::as_str),
        TaggingDirective::REPLACE,
        TaggingDirective::COPY,
    )?;
    let algorithm = match &input.checksum_algorithm {
        Some(name) => Algorithm::parse(name.as_str())?,
        None => source.content.checksum.as_ref().map_or(Algorithm::Crc64Nvme, |checksum| checksum.algorithm),
    };
    let locked = requested_lock!(input)?;
    let (place, encryption) = {
        let snapshot = store.snapshot()?;
        let (place, bucket) = place_of(&snapshot, &input.bucket, &input.key)?;
        let settings = lookup::settings(&snapshot.settings, bucket.id)?;
        lock::check_bucket(&locked, settings.object_lock.as_ref())?;
        let requested = requested!(input);
        let onto_itself =
            place.bucket_id == source.place.bucket_id && place.key == source.place.key && !source_named_version;
        let changes = replaces_metadata
            || requested.algorithm.is_some()
            || input.checksum_algorithm.is_some()
            || input.website_redirect_location.is_some()
            || input.storage_class.is_some();
        if onto_itself && !changes {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        (place, encryption::resolve(&requested, settings.encryption.as_ref(), &store.inner.kms)?)
    };
    let description = describe(described!(input).check()?, &source, replaces_metadata, replaces_tags);

    let range = 0..source.content.size;
    let reader = store.read(&source.place, &source.version, &source.content.encryption, range).await?;
    let body = Box::pin(reader.into_stream());
    let ingested = ingest::ingest(store, &place, &encryption, body, Claims::default(), &[algorithm]).await?;
    let value = ingested.checksum(algorithm).unwrap_or_default().to_owned();
    let etag = ingested.etag.clone();
    let content = Content {
        size: ingested.blob.size(),
        etag: etag.clone(),
        parts: None,
        checksum: Some(Checksum { algorithm, kind: ChecksumKind::FullObject, value: value.clone() }),
        encryption: encryption.clone(),
        description,
        lock: locked,
        storage_class: StorageClass::Standard,
    };
    let segments = [(1, ingested.segment())];
    let written = {
        let place: Place = place.clone();
        store
            .commit(ingested.blob, move |tables| objects::put(tables, &place, content, &segments, &precondition, now()))
    }
    .await?;
    let version_id = shown_id(written.versioning, &written.version);
    store.unlink(written.unlink).await;

    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(etag)),
        last_modified: Some(clock::timestamp(written.version.modified_ms)),
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..CopyObjectResult::default()
    };
    show_checksum!(result, algorithm, value);
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source.version_id(),
        version_id,
        ..CopyObjectOutput::default()
    };
    show_encryption!(output, &encryption);
    Ok(S3Response::new(output))
}

/// Finds a copy's source and checks its conditions; true when a version was named.
pub(in crate::s3) fn source(
    store: &Store,
    source: &CopySource,
    conditions: &Conditions,
    extensions: &Extensions,
) -> S3Result<(Found, bool)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(super::not_implemented("Copying from access points"));
    };
    let found = found_for_read(store, bucket, key, version_id.as_deref(), extensions)?;
    conditions.check_copy(&found.content.etag, found.version.modified_ms)?;
    Ok((found, version_id.is_some()))
}

/// What the copy says about itself: the request's headers or the source's, each for metadata and tags.
fn describe(new: Description, source: &Found, metadata: bool, tags: bool) -> Description {
    let old = source.content.description.clone();
    let kept_tags = if tags { new.tags.clone() } else { old.tags.clone() };
    let redirect = new.website_redirect.clone();
    let chosen = if metadata { new } else { old };
    // A redirect is never copied.
    Description { tags: kept_tags, website_redirect: redirect, ..chosen }
}

fn replaces(directive: Option<&str>, replace: &str, copy: &str) -> S3Result<bool> {
    match directive {
        None => Ok(false),
        Some(given) if given == copy => Ok(false),
        Some(given) if given == replace => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown directive.")),
    }
}

fn condition_header(headers: &HeaderMap, name: header::HeaderName) -> S3Result<Option<ETagCondition>> {
    let value = headers.get(&name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
    value.transpose().map_err(|_| s3_error!(InvalidArgument, "The header {name} is invalid"))
}
