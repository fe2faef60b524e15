//! `PutObject`.

use super::{conditions::precondition, now, shown_id};
use crate::{
    meta::{
        lookup,
        objects::{self, Place},
        record::{Algorithm, Checksum, ChecksumKind, Content, StorageClass},
    },
    s3::{
        Store,
        checksum::{self, Claim, sent_checksums, show_checksum},
        description::{described, refuse_unsupported},
        encryption::{self, requested, show_encryption},
        ingest::{self, Claims, MAX_SIZE},
        lock::{self, requested_lock},
        place_of,
    },
};
use axum::http::HeaderMap;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{ChecksumAlgorithm, ChecksumType, ETag, PutObjectInput, PutObjectOutput},
    s3_error,
};

pub(in crate::s3) async fn put_object(
    store: &Store,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request { mut input, headers, extensions, trailing_headers, .. } = request;
    require_length(&headers, input.content_length)?;
    refuse_unsupported!(input);
    if input.write_offset_bytes.is_some() {
        return Err(s3_error!(NotImplemented, "Appending to objects is not supported"));
    }
    let precondition = precondition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let description = described!(input).check()?;
    let locked = requested_lock!(input)?;
    let claim = checksum::claim(
        sent_checksums!(input),
        &headers,
        input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str),
    )?;
    let claims =
        Claims { md5: ingest::content_md5(input.content_md5.as_deref())?, checksum: claim, trailers: trailing_headers };
    let (place, encryption) = {
        let snapshot = store.snapshot()?;
        let (place, bucket) = place_of(&snapshot, &input.bucket, &input.key)?;
        let settings = lookup::settings(&snapshot.settings, bucket.id)?;
        let has_digest = claims.md5.is_some() || claims.checksum.is_some();
        lock::check_bucket(&locked, settings.object_lock.as_ref())?;
        lock::demand_digest(&locked, settings.object_lock.as_ref(), has_digest, "Put Object")?;
        let encryption = encryption::resolve(&requested!(input), settings.encryption.as_ref(), &store.inner.kms)?;
        (place, encryption)
    };

    // When the client sends no checksum, S3 computes and keeps this one.
    let algorithm = claims.checksum.as_ref().map_or(Algorithm::Crc64Nvme, Claim::algorithm);
    let body = ingest::request_body(input.body.take(), extensions);
    let ingested = ingest::ingest(store, &place, &encryption, body, claims, &[algorithm]).await?;
    let value = ingested.checksum(algorithm).unwrap_or_default().to_owned();
    let content = Content {
        size: ingested.blob.size(),
        etag: ingested.etag.clone(),
        parts: None,
        checksum: Some(Checksum { algorithm, kind: ChecksumKind::FullObject, value: value.clone() }),
        encryption: encryption.clone(),
        description,
        lock: locked,
        storage_class: StorageClass::Standard,
    };
    let segments = [(1, ingested.segment())];
    let etag = ingested.etag;
    let written = {
        let place: Place = place.clone();
        store
            .commit(ingested.blob, move |tables| objects::put(tables, &place, content, &segments, &precondition, now()))
    }
    .await?;
    let version_id = shown_id(written.versioning, &written.version);
    store.unlink(written.unlink).await;

    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(etag)),
        version_id,
        checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
        ..PutObjectOutput::default()
    };
    show_checksum!(output, algorithm, value);
    show_encryption!(output, &encryption);
    Ok(S3Response::new(output))
}

/// S3 wants to know the length of a body before it reads one.
pub(in crate::s3) fn require_length(headers: &HeaderMap, content_length: Option<i64>) -> S3Result<()> {
    let decoded = headers.get("x-amz-decoded-content-length").and_then(|value| value.to_str().ok());
    let decoded = decoded.and_then(|value| value.parse::<u64>().ok());
    let plain = content_length.and_then(|length| u64::try_from(length).ok());
    match decoded.or(plain) {
        None => Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header.")),
        Some(length) if length > MAX_SIZE => {
            Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"))
        }
        Some(_) => Ok(()),
    }
}
