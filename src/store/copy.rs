//! Copies that S3 makes by itself, from one object version to a new key.

use std::ops::Range;

use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective, TaggingDirective};
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::attempts::{Repeated, once, within};
use super::multipart::{SentPart, Whole, wire};
use super::pending::CONTENT_TYPE;
use super::stored::{Expected, Said, TOKEN};
use super::{Error, Store, Stored};
use crate::domain::{LARGEST_PART_BYTES, MAX_OBJECT_BYTES, MAX_PARTS, Sha256Digest, UploadToken};

const MIB: u64 = 1024 * 1024;
/// Ranges that a large object is copied in; larger ones only when there would be too many.
const RANGE: u64 = 1024 * MIB;
/// Ranges that are copied at the same time.
const PARALLEL: usize = 8;
/// S3 copies at hundreds of MiB a second; what takes longer than at this rate is tried again.
const SLOWEST: u64 = 8 * MIB;

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub struct CopySource<'a> {
    /// S3 key, in the same bucket.
    pub key: &'a str,
    /// S3 VersionId.
    pub version_id: &'a str,
    /// Bytes.
    pub size: u64,
    /// What the verified source has.
    pub sha256: Sha256Digest,
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The new object.
    pub stored: Stored,
    /// S3 answered with the SHA-256 of the whole copy, and it is the source's: else its digest is only declared.
    pub verified: bool,
}

impl Store {
    /// Copies an object version to a new key, with our encryption and token.
    ///
    /// Up to 5 GiB go at once, and S3 computes the SHA-256 of the whole; more go in ranges.
    ///
    /// # Errors
    /// Of S3; [`Error::NotFound`] without such a source; [`Error::Unfaithful`] when the copy has other bytes.
    pub async fn copy(&self, from: CopySource<'_>, key: &str, token: &UploadToken) -> Result<Copied, Error> {
        if from.size > MAX_OBJECT_BYTES {
            return Err(Error::TooLarge);
        }
        if from.size > LARGEST_PART_BYTES {
            let stored = self.copy_in_ranges(from, key, token).await?;
            return Ok(Copied { stored, verified: false });
        }
        let request = self
            .s3()
            .copy_object()
            .bucket(self.bucket())
            .key(key)
            .copy_source(self.named(from))
            // The source's token and tags are not the copy's; tags would take permissions of their own.
            .metadata_directive(MetadataDirective::Replace)
            .tagging_directive(TaggingDirective::Replace)
            .metadata(TOKEN, token.as_str())
            .content_type(CONTENT_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_expected_bucket_owner(self.owner())
            .set_expected_source_bucket_owner(self.owner());
        let request = self.inner.encryption.copy(request);
        let limit = self.long().max(self.limit_for(from.size, SLOWEST));
        let attempt = || async {
            let request = request.clone().customize().config_override(once(limit));
            let copied = request.send().await.map_err(Error::during("CopyObject"))?;
            Ok(Said {
                version_id: copied.version_id,
                algorithm: copied.server_side_encryption,
                key: copied.ssekms_key_id,
                checksum: copied.copy_object_result.and_then(|result| result.checksum_sha256),
                size: None,
            })
        };
        let said = self.write(key, token, Repeated::Doubles, attempt).await?;
        // What HEAD says may be the source's own checksum, carried over: only the answer is about the copied bytes.
        let verified = said.checksum.as_deref() == Some(from.sha256.to_base64().as_str());
        let stored = self.checked(key, said, from.size, Expected::Whole(from.sha256)).await?;
        Ok(Copied { stored, verified })
    }

    async fn copy_in_ranges(&self, from: CopySource<'_>, key: &str, token: &UploadToken) -> Result<Stored, Error> {
        let id = self.begin_upload(key, token).await?;
        // After a failure no further range is begun, and those under way are awaited: what comes after an abort stays.
        let (mut parts, mut failure, mut under_way) = (Vec::new(), None, FuturesOrdered::new());
        let mut left = ranges(from.size);
        loop {
            while failure.is_none() && under_way.len() < PARALLEL {
                let Some((number, range)) = left.next() else { break };
                under_way.push_back(self.copy_range(from, key, &id, number, range));
            }
            match under_way.next().await {
                Some(Ok(part)) => parts.push(part),
                Some(Err(error)) => {
                    failure.get_or_insert(error);
                }
                None => break,
            }
        }
        let outcome = match failure {
            Some(error) => Err(error),
            None => self.join(Whole { key, id: &id, token, size: from.size, create_only: true }, &parts).await,
        };
        if outcome.is_err()
            && let Err(error) = self.abort_upload(key, &id).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not abort the upload of a copy");
        }
        outcome
    }

    async fn copy_range(
        &self,
        from: CopySource<'_>,
        key: &str,
        id: &str,
        number: u32,
        range: Range<u64>,
    ) -> Result<SentPart, Error> {
        let limit = self.long().max(self.limit_for(range.end - range.start, SLOWEST));
        let copied = self
            .s3()
            .upload_part_copy()
            .bucket(self.bucket())
            .key(key)
            .upload_id(id)
            .part_number(wire(number))
            .copy_source(self.named(from))
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
            .set_expected_bucket_owner(self.owner())
            .set_expected_source_bucket_owner(self.owner())
            .customize()
            .config_override(within(limit))
            .send()
            .await
            .map_err(Error::during("UploadPartCopy"))?;
        let part = copied.copy_part_result.ok_or(Error::Unfaithful("it copied a part and said nothing of it"))?;
        let etag = part.e_tag.ok_or(Error::Unfaithful("it copied a part without an ETag"))?;
        let sha256 = part.checksum_sha256.and_then(|text| Sha256Digest::from_base64(&text).ok());
        let sha256 = sha256.ok_or(Error::Unfaithful("it copied a part without a checksum"))?;
        Ok(SentPart::new(number, etag, sha256))
    }

    /// The source as the header names it: a path, and the version.
    fn named(&self, from: CopySource<'_>) -> String {
        const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
        let (key, version) = (utf8_percent_encode(from.key, PATH), utf8_percent_encode(from.version_id, UNRESERVED));
        format!("{}/{key}?versionId={version}", self.bucket())
    }
}

/// Numbers from 1, and the bytes of each range; at most 10,000 of at most 5 GiB.
fn ranges(size: u64) -> impl Iterator<Item = (u32, Range<u64>)> {
    let each = size.div_ceil(MAX_PARTS).div_ceil(MIB).saturating_mul(MIB).max(RANGE);
    (1..).zip((0..size).step_by(usize::try_from(each).unwrap_or(usize::MAX))).map(move |(number, start)| {
        let end = size.min(start + each);
        (number, start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_byte_once_and_are_few_enough() {
        for size in [LARGEST_PART_BYTES + 1, 7 * RANGE, 10_000 * RANGE, 10_000 * RANGE + 1, MAX_OBJECT_BYTES] {
            let all: Vec<_> = ranges(size).collect();
            assert!(all.len() as u64 <= MAX_PARTS, "{size}");
            assert_eq!((all[0].1.start, all.last().unwrap().1.end), (0, size));
            assert!(all.windows(2).all(|pair| pair[0].1.end == pair[1].1.start && pair[0].0 + 1 == pair[1].0));
            assert!(all.iter().all(|(_, range)| range.end - range.start <= LARGEST_PART_BYTES));
        }
        assert_eq!(ranges(LARGEST_PART_BYTES + 1).count(), 6);
    }
}
