//! `CreateMultipartUpload` and `AbortMultipartUpload`.

use crate::{
    identity::Identity,
    meta::{
        SequencedId, lookup,
        objects::Refused,
        record::{Algorithm, ChecksumKind, Upload},
        uploads,
    },
    s3::{
        Store, clock,
        description::{described, refuse_unsupported},
        encryption::{self, requested, show_encryption},
        error,
        lock::{self, requested_lock},
        place_of,
    },
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
        CreateMultipartUploadInput, CreateMultipartUploadOutput,
    },
    s3_error,
};
use std::sync::Arc;

pub(in crate::s3) async fn create_multipart_upload(
    store: &Store,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let S3Request { mut input, extensions, .. } = request;
    refuse_unsupported!(input);
    let description = described!(input).check()?;
    let locked = requested_lock!(input)?;
    let checksum = declared_checksum(
        input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str),
        input.checksum_type.as_ref().map(ChecksumType::as_str),
    )?;
    let (place, encryption) = {
        let snapshot = store.snapshot()?;
        let (place, bucket) = place_of(&snapshot, &input.bucket, &input.key)?;
        let settings = lookup::settings(&snapshot.settings, bucket.id)?;
        lock::check_bucket(&locked, settings.object_lock.as_ref())?;
        let encryption = encryption::resolve(&requested!(input), settings.encryption.as_ref(), &store.inner.kms)?;
        (place, encryption)
    };
    // A key that cannot be used is refused here, not at the first part.
    let context = encryption::kms_context(&encryption, &place.bucket, &place.key);
    store
        .inner
        .kms
        .generate_data_key(encryption::kms_key_id(&encryption), &context)
        .map_err(|failure| error::kms(&failure))?;
    let upload = Upload {
        // The transaction numbers it.
        sequence: 0,
        nonce: 0,
        initiated_ms: clock::now_ms(),
        initiator: extensions.get::<Arc<Identity>>().map(|identity| identity.arn.clone()).unwrap_or_default(),
        encryption: encryption.clone(),
        algorithm_header: input.server_side_encryption.as_ref().map(|algorithm| algorithm.as_str().to_owned()),
        checksum,
        description,
        lock: locked,
    };
    let id: SequencedId = store.change::<_, Refused>(move |tables| uploads::create(tables, &place, upload)).await?;
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id.to_string()),
        checksum_algorithm: checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.name())),
        ..CreateMultipartUploadOutput::default()
    };
    show_encryption!(output, &encryption);
    Ok(S3Response::new(output))
}

pub(in crate::s3) async fn abort_multipart_upload(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    if input.if_match_initiated_time.is_some() {
        return Err(s3_error!(NotImplemented, "A condition on an abort is not supported"));
    }
    let place = place_of(&store.snapshot()?, &input.bucket, &input.key)?.0;
    let id = SequencedId::parse(&input.upload_id).ok_or(Refused::NoSuchUpload)?;
    let blobs = store
        .change::<_, Refused>(move |tables| uploads::abort(tables, place.bucket_id, place.key.as_bytes(), id))
        .await?;
    store.unlink(blobs).await;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// Which checksum an upload is to have: SHA only over parts, CRC64NVME only over the whole.
fn declared_checksum(algorithm: Option<&str>, kind: Option<&str>) -> S3Result<Option<(Algorithm, ChecksumKind)>> {
    let kind = match kind {
        None => None,
        Some("FULL_OBJECT") => Some(ChecksumKind::FullObject),
        Some("COMPOSITE") => Some(ChecksumKind::Composite),
        Some(_) => return Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    };
    let Some(algorithm) = algorithm else {
        if kind.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            ));
        }
        return Ok(None);
    };
    let algorithm = Algorithm::parse(algorithm)?;
    let kind = match (algorithm, kind) {
        (Algorithm::Crc64Nvme, None | Some(ChecksumKind::FullObject)) => ChecksumKind::FullObject,
        (Algorithm::Crc64Nvme, Some(ChecksumKind::Composite))
        | (Algorithm::Sha1 | Algorithm::Sha256, Some(ChecksumKind::FullObject)) => {
            return Err(s3_error!(
                InvalidRequest,
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.map_or("", ChecksumKind::name),
                algorithm.name().to_ascii_lowercase()
            ));
        }
        (_, kind) => kind.unwrap_or(ChecksumKind::Composite),
    };
    Ok(Some((algorithm, kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_types_fit_their_algorithms() {
        use {Algorithm::*, ChecksumKind::*};
        let declared = |algorithm, kind| declared_checksum(algorithm, kind).ok().flatten();
        assert_eq!(declared(Some("SHA256"), None), Some((Sha256, Composite)));
        assert_eq!(declared(Some("CRC32"), None), Some((Crc32, Composite)));
        assert_eq!(declared(Some("CRC32"), Some("FULL_OBJECT")), Some((Crc32, FullObject)));
        assert_eq!(declared(Some("CRC64NVME"), None), Some((Crc64Nvme, FullObject)));
        for (algorithm, kind) in [
            (Some("SHA256"), Some("FULL_OBJECT")),
            (Some("CRC64NVME"), Some("COMPOSITE")),
            (None, Some("COMPOSITE")),
            (Some("MD4"), None),
            (Some("CRC32"), Some("PARTIAL")),
        ] {
            assert!(declared_checksum(algorithm, kind).is_err(), "{algorithm:?} {kind:?}");
        }
    }
}
