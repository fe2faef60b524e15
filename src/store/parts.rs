//! Uploads whose parts clients send straight to S3: what S3 has of them, and their completion from our own record.

use std::collections::BTreeMap;

use aws_sdk_s3::types::Part;

use super::multipart::{SentPart, Whole, composite};
use super::stored::{Expected, Said};
use super::{Error, Store, Stored};
use crate::domain::{MAX_OBJECT_BYTES, MAX_PARTS, Sha256Digest, UploadToken};

/// Most pages of a list of parts: 10,000 parts are ten pages, and some servers list a part more than once.
const MAX_PAGES: usize = 200;

/// One part of an upload, as its URL was or will be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartToSign {
    /// From 1 to 10,000.
    pub number: u32,
    /// Bytes, at most 5 GiB.
    pub size: u64,
    /// Of the part's bytes.
    pub sha256: Sha256Digest,
}

/// A part that S3 says it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// From 1 to 10,000.
    pub number: u32,
    /// Bytes.
    pub size: u64,
    /// Names the part's bytes at the completion; no digest.
    pub etag: String,
    /// Of the part's bytes; none where the server does not tell.
    pub sha256: Option<Sha256Digest>,
}

/// An upload that is to become an object.
#[derive(Debug, Clone, Copy)]
pub struct UploadToComplete<'a> {
    /// S3 key.
    pub key: &'a str,
    /// S3's id of the upload.
    pub upload_id: &'a str,
    /// What the upload was begun with.
    pub token: &'a UploadToken,
    /// Bytes of the whole.
    pub size: u64,
    /// Our own record, ascending: the parts that URLs were signed for.
    pub parts: &'a [PartToSign],
    /// What [`Store::list_parts`] gave.
    pub listed: &'a [ListedPart],
    /// Refuse when there is an object already; a file that is replaced inside a draft has an earlier version.
    pub create_only: bool,
}

impl Store {
    /// The parts that S3 has of an upload, ascending, the latest of each number.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the upload is gone: completed, aborted, or expired.
    pub async fn list_parts(&self, key: &str, upload_id: &str) -> Result<Vec<ListedPart>, Error> {
        let mut latest = Latest::default();
        let mut marker: u32 = 0;
        for _ in 0..MAX_PAGES {
            let page = self
                .s3()
                .list_parts()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload_id)
                .set_part_number_marker((marker > 0).then(|| marker.to_string()))
                .set_expected_bucket_owner(self.owner())
                .send()
                .await
                .map_err(Error::during("ListParts"))?;
            let last = latest.take(page.parts.unwrap_or_default());
            if page.is_truncated != Some(true) {
                return Ok(latest.into_parts());
            }
            let next = page.next_part_number_marker.and_then(|next| next.parse().ok()).or(last).unwrap_or(0);
            if next <= marker {
                return Err(Error::Unfaithful("its list of parts does not come to an end"));
            }
            marker = next;
        }
        Err(Error::Unfaithful("its list of parts does not come to an end"))
    }

    /// Makes an object of the parts of an upload, and checks what S3 says of it.
    ///
    /// Digests and sizes are those of our record, ETags those that S3 listed; the upload stays when S3 refuses, so that
    /// missing parts can be sent. An upload that is gone, because the answer to its completion was lost, is found again by
    /// its token, also when nothing is listed.
    ///
    /// # Errors
    /// [`Error::PartsMissing`] and [`Error::PartMismatch`] before S3 is asked; [`Error::NotFound`] when neither the upload
    /// nor an object of it is there; [`Error::Exists`] with `create_only`; [`Error::Unfaithful`] when S3 stored something
    /// else, which is removed then so far as the role may.
    pub async fn complete_upload(&self, upload: &UploadToComplete<'_>) -> Result<Stored, Error> {
        let parts = match upload.matched(upload.listed) {
            Ok(parts) => parts,
            Err(error) if upload.listed.is_empty() => return self.completed(upload).await?.ok_or(error),
            Err(error) => return Err(error),
        };
        let whole = upload.whole();
        match self.join(whole, &parts).await {
            // A part was sent again after it had been listed: its ETag is another one now.
            Err(error) if error.is_invalid_part() => match self.list_parts(upload.key, upload.upload_id).await {
                Ok(listed) => self.join(whole, &upload.matched(&listed)?).await,
                Err(Error::NotFound { .. }) => self.completed(upload).await?.ok_or(error),
                Err(error) => Err(error),
            },
            outcome => outcome,
        }
    }

    /// The object that an earlier completion of this upload left.
    async fn completed(&self, upload: &UploadToComplete<'_>) -> Result<Option<Stored>, Error> {
        let Some(version_id) = self.find(upload.key, upload.token).await?.into_iter().next() else { return Ok(None) };
        let said = Said { version_id: Some(version_id), ..Said::default() };
        let checksum = composite(upload.parts.iter().map(|part| &part.sha256));
        self.checked(upload.key, said, upload.size, Expected::Stated(&checksum)).await.map(Some)
    }
}

impl UploadToComplete<'_> {
    fn whole(&self) -> Whole<'_> {
        let Self { key, upload_id, token, size, create_only, .. } = *self;
        Whole { key, id: upload_id, token, size, create_only }
    }

    /// Our record with the ETags of what is listed, when everything is there and nothing else.
    fn matched(&self, listed: &[ListedPart]) -> Result<Vec<SentPart>, Error> {
        if self.size > MAX_OBJECT_BYTES || self.parts.len() as u64 > MAX_PARTS {
            return Err(Error::TooLarge);
        }
        let listed: BTreeMap<u32, &ListedPart> = listed.iter().map(|part| (part.number, part)).collect();
        let mut missing = Vec::new();
        let mut sent = Vec::with_capacity(self.parts.len());
        let (mut next, mut sum) = (1, 0_u64);
        for part in self.parts {
            if part.number < next {
                return Err(Error::PartMismatch { number: part.number });
            }
            // No URL was ever asked for these.
            missing.extend(next..part.number);
            next = part.number + 1;
            sum = sum.saturating_add(part.size);
            let Some(found) = listed.get(&part.number) else {
                missing.push(part.number);
                continue;
            };
            if found.size != part.size || found.sha256.is_some_and(|sha256| sha256 != part.sha256) {
                return Err(Error::PartMismatch { number: part.number });
            }
            sent.push(SentPart::new(part.number, found.etag.clone(), part.sha256));
        }
        if next == 1 || sum < self.size && missing.is_empty() {
            missing.push(next);
        }
        if !missing.is_empty() {
            return Err(Error::PartsMissing { numbers: missing });
        }
        if sum == self.size { Ok(sent) } else { Err(Error::PartMismatch { number: next - 1 }) }
    }
}

/// The latest listed part of each number.
#[derive(Debug, Default)]
struct Latest(BTreeMap<u32, (i128, ListedPart)>);

impl Latest {
    /// Takes a page, and gives the highest number on it.
    fn take(&mut self, page: Vec<Part>) -> Option<u32> {
        let mut highest = None;
        for part in page {
            let Some(number) = part.part_number.and_then(|number| u32::try_from(number).ok()) else { continue };
            highest = highest.max(Some(number));
            let Some(etag) = part.e_tag else { continue };
            // Of two with the same time, or without one, the later in the list counts.
            let at = part.last_modified.map_or(i128::MIN, |at| at.as_nanos());
            if self.0.get(&number).is_some_and(|(earlier, _)| *earlier > at) {
                continue;
            }
            let size = part.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            let sha256 = part.checksum_sha256.and_then(|text| Sha256Digest::from_base64(&text).ok());
            self.0.insert(number, (at, ListedPart { number, size, etag, sha256 }));
        }
        highest
    }

    fn into_parts(self) -> Vec<ListedPart> {
        self.0.into_values().map(|(_, part)| part).collect()
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn record(sizes: &[(u32, u64)]) -> Vec<PartToSign> {
        let part = |&(number, size): &(u32, u64)| PartToSign { number, size, sha256: digest(number) };
        sizes.iter().map(part).collect()
    }

    fn digest(number: u32) -> Sha256Digest {
        Sha256Digest::of(&number.to_le_bytes())
    }

    fn listed(number: u32, size: u64, sha256: Option<Sha256Digest>) -> ListedPart {
        ListedPart { number, size, etag: format!("etag-{number}"), sha256 }
    }

    fn outcome(size: u64, parts: &[PartToSign], listed: &[ListedPart]) -> Result<usize, String> {
        let token = UploadToken::generate();
        let upload =
            UploadToComplete { key: "k", upload_id: "u", token: &token, size, parts, listed, create_only: true };
        upload.matched(listed).map(|sent| sent.len()).map_err(|error| match error {
            Error::PartsMissing { numbers } => format!("missing {numbers:?}"),
            Error::PartMismatch { number } => format!("mismatch {number}"),
            other => other.to_string(),
        })
    }

    #[test]
    fn upload_is_whole_only_when_every_recorded_part_is_listed_as_recorded() {
        let parts = record(&[(1, 8 * MIB), (2, 3)]);
        let size = 8 * MIB + 3;
        let all = [listed(1, 8 * MIB, Some(digest(1))), listed(2, 3, None)];
        assert_eq!(outcome(size, &parts, &all), Ok(2));
        assert_eq!(outcome(size, &parts, &all[..1]), Err("missing [2]".into()));
        assert_eq!(outcome(size, &parts, &[]), Err("missing [1, 2]".into()));
        assert_eq!(outcome(size, &parts, &[all[0].clone(), listed(2, 4, None)]), Err("mismatch 2".into()));
        let other = listed(2, 3, Some(digest(1)));
        assert_eq!(outcome(size, &parts, &[all[0].clone(), other]), Err("mismatch 2".into()));
        assert_eq!(outcome(size, &parts, &[all[0].clone(), all[1].clone(), listed(3, 1, None)]), Ok(2));
    }

    #[test]
    fn parts_that_no_url_was_asked_for_are_missing() {
        let two_of_four = record(&[(2, 8 * MIB), (4, 1)]);
        let all = [listed(2, 8 * MIB, None), listed(4, 1, None)];
        assert_eq!(outcome(24 * MIB + 1, &two_of_four, &all), Err("missing [1, 3]".into()));
        assert_eq!(
            outcome(8 * MIB + 1, &record(&[(1, 8 * MIB)]), &[listed(1, 8 * MIB, None)]),
            Err("missing [2]".into())
        );
        assert_eq!(outcome(0, &[], &[]), Err("missing [1]".into()));
        assert_eq!(outcome(0, &record(&[(1, 0)]), &[listed(1, 0, None)]), Ok(1));
        assert_eq!(outcome(1, &record(&[(1, 2)]), &[listed(1, 2, None)]), Err("mismatch 1".into()));
        assert_eq!(outcome(4, &record(&[(1, 2), (1, 2)]), &[listed(1, 2, None)]), Err("mismatch 1".into()));
    }

    #[test]
    fn part_count_and_size_end_where_those_of_s3_do() {
        let sizes: Vec<_> = (1..=10_001).map(|number| (number, 1)).collect();
        let all: Vec<_> = (1..=10_001).map(|number| listed(number, 1, None)).collect();
        assert_eq!(outcome(10_000, &record(&sizes[..10_000]), &all), Ok(10_000));
        assert_eq!(outcome(10_001, &record(&sizes), &all), Err(Error::TooLarge.to_string()));
        assert_eq!(outcome(MAX_OBJECT_BYTES + 1, &record(&sizes[..1]), &all), Err(Error::TooLarge.to_string()));
    }

    #[test]
    fn latest_of_repeated_entries_counts_and_incomplete_ones_do_not() {
        let part = |number: i32, etag: &str, at: Option<i64>| {
            let part = Part::builder().part_number(number).e_tag(etag).size(1);
            part.set_last_modified(at.map(DateTime::from_secs)).build()
        };
        let mut latest = Latest::default();
        let page = vec![part(2, "b", Some(5)), part(2, "a", Some(4)), part(1, "x", None), part(1, "y", None)];
        assert_eq!(latest.take(page), Some(2));
        let nameless = Part::builder().part_number(3).size(1).build();
        let page = vec![part(2, "c", Some(5)), nameless, Part::builder().e_tag("z").build()];
        assert_eq!(latest.take(page), Some(3));
        let etags: Vec<_> = latest.into_parts().into_iter().map(|part| (part.number, part.etag)).collect();
        assert_eq!(etags, [(1, "y".to_owned()), (2, "c".to_owned())]);
    }
}
