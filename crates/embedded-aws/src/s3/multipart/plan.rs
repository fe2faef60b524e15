//! What a completion must hold to, and what comes of it: pure, over the list of parts.

use crate::{
    meta::record::{Algorithm, Checksum, ChecksumKind, Content, Part, Segment, StorageClass, Upload},
    s3::{checksum, ingest},
};
use md5::{Digest, Md5};
use s3s::{S3Result, s3_error};

/// Every part but the last has at least so many bytes.
const MIN_PART: u64 = 5 * 1024 * 1024;
/// 50 TB, the largest object.
const MAX_OBJECT: u64 = 50_000_000_000_000;

/// A part as the client lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u16,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) checksums: Vec<(Algorithm, String)>,
}

/// What the request says about the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) size: Option<u64>,
    pub(super) kind: Option<String>,
    pub(super) checksum: Option<(Algorithm, String)>,
}

/// Checks numbers and order, which needs no records.
pub(super) fn check_order(listed: &[Listed]) -> S3Result<()> {
    if listed.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    if listed.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        ));
    }
    Ok(())
}

/// Checks the list against what was uploaded, and puts the object together.
///
/// `parts` holds the record of each listed part, in the same order.
pub(super) fn plan(
    upload: &Upload,
    listed: &[Listed],
    parts: &[Option<Part>],
    whole: &Whole,
) -> S3Result<(Content, Vec<(u16, Segment)>)> {
    let mut found: Vec<&Part> = Vec::with_capacity(listed.len());
    for (wanted, part) in listed.iter().zip(parts) {
        let part = part.as_ref().filter(|part| part.etag == wanted.etag).ok_or_else(|| {
            s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            )
        })?;
        check_part(upload, wanted, part)?;
        found.push(part);
    }
    if let Some((_, all_but_last)) = found.split_last()
        && all_but_last.iter().any(|part| part.size < MIN_PART)
    {
        return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
    }
    let size: u64 = found.iter().map(|part| part.size).sum();
    if size > MAX_OBJECT {
        return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
    }
    if whole.size.is_some_and(|declared| declared != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed: {size}"
        ));
    }
    let checksum = whole_checksum(upload, listed, &found, whole)?;
    let content = Content {
        size,
        etag: etag(upload, &found),
        // At most 10,000 by the part numbers.
        parts: u16::try_from(found.len()).ok(),
        checksum: Some(checksum),
        encryption: upload.encryption.clone(),
        description: upload.description.clone(),
        lock: upload.lock,
        storage_class: StorageClass::Standard,
    };
    let declared = upload.checksum.is_some();
    let segments = listed.iter().zip(found).map(|(wanted, part)| {
        let segment = Segment {
            blob: part.blob,
            wrapped_key: part.wrapped_key.clone(),
            size: part.size,
            checksum: declared.then(|| part.checksum.clone()),
        };
        (wanted.number, segment)
    });
    Ok((content, segments.collect()))
}

fn check_part(upload: &Upload, wanted: &Listed, part: &Part) -> S3Result<()> {
    for (algorithm, value) in &wanted.checksums {
        let known = match (upload.checksum, &part.sent_checksum) {
            (Some((declared, _)), _) if declared == *algorithm => Some(&part.checksum),
            (None, _) if *algorithm == Algorithm::Crc64Nvme => Some(&part.checksum),
            (None, Some((sent, value))) if sent == algorithm => Some(value),
            _ => None,
        };
        if known != Some(value) {
            return Err(s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified checksum may not match the part's checksum."
            ));
        }
    }
    match upload.checksum {
        Some((algorithm, ChecksumKind::Composite)) if wanted.checksums.is_empty() => Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {} in the request.",
            algorithm.name().to_ascii_lowercase(),
            wanted.number
        )),
        _ => Ok(()),
    }
}

fn whole_checksum(upload: &Upload, listed: &[Listed], found: &[&Part], whole: &Whole) -> S3Result<Checksum> {
    let (algorithm, kind) = upload.checksum.unwrap_or((Algorithm::Crc64Nvme, ChecksumKind::FullObject));
    if whole.kind.as_deref().is_some_and(|given| given != kind.name()) {
        return Err(s3_error!(
            InvalidRequest,
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            kind.name()
        ));
    }
    let values = found.iter().map(|part| part.checksum.as_str());
    let value = match kind {
        ChecksumKind::Composite => {
            if listed.iter().zip(1..).any(|(part, expected)| part.number != expected) {
                return Err(s3_error!(
                    InvalidPart,
                    "Part numbers must be consecutive and begin with 1 for a composite checksum."
                ));
            }
            checksum::composite(algorithm, values)
        }
        ChecksumKind::FullObject => {
            checksum::joined(algorithm, found.iter().map(|part| (part.checksum.as_str(), part.size)))
        }
    };
    // Part checksums were computed here, so they decode.
    let value = value.ok_or_else(|| s3_error!(InternalError, "The checksums of the parts cannot be joined"))?;
    if let Some((given_algorithm, given)) = &whole.checksum {
        let plain = given.split('-').next().unwrap_or_default();
        let computed = value.split('-').next().unwrap_or_default();
        if *given_algorithm != algorithm || plain != computed {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                given_algorithm.name()
            ));
        }
    }
    Ok(Checksum { algorithm, kind, value })
}

/// MD5 of the parts' MD5s for SSE-S3, random for SSE-KMS; both with the count.
fn etag(upload: &Upload, found: &[&Part]) -> String {
    if upload.encryption.kms_key.is_some() {
        return format!("{}-{}", ingest::random_etag(), found.len());
    }
    let mut md5 = Md5::new();
    for part in found {
        md5.update(hex::decode(&part.etag).unwrap_or_default());
    }
    format!("{}-{}", hex::encode(md5.finalize()), found.len())
}
