//! How large the parts of an upload are.
//!
//! Limits of S3: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.

const MIB: u64 = 1024 * 1024;

/// Most parts of one multipart upload.
pub const MAX_PARTS: u64 = 10_000;

/// Our smallest part; S3 takes 5 MiB, and fewer, larger requests are cheaper.
pub const MIN_PART_BYTES: u64 = 8 * MIB;

/// Our largest part of an upload that streams through the service: it bounds the memory of one part.
const MAX_STREAMED_PART_BYTES: u64 = 64 * MIB;

/// Smallest part that S3 takes, but for the last one of an upload.
pub const SMALLEST_PART_BYTES: u64 = 5 * MIB;

/// Largest part that S3 takes, and largest object that it copies at once.
pub const LARGEST_PART_BYTES: u64 = 5 * 1024 * MIB;

/// Largest object of S3: 10,000 parts of 5 GiB, about 48.8 TiB.
pub const MAX_OBJECT_BYTES: u64 = MAX_PARTS * LARGEST_PART_BYTES;

/// What a refusal of a too large stream says.
pub const OBJECT_TOO_LARGE: &str =
    "a file sent through the service is at most 640000 MiB with a Content-Length, and about 595 GiB without";

/// The part size for a file of a known size: `max(8 MiB, ceil(size / 10,000) rounded up to 1 MiB)`.
pub fn part_bytes_for(size: u64) -> u64 {
    size.div_ceil(MAX_PARTS).div_ceil(MIB).saturating_mul(MIB).max(MIN_PART_BYTES)
}

/// The size of part `number` (from 1) of a file of unknown size: 8 MiB, doubling every 1,000 parts up to 64 MiB.
///
/// Few bytes are held for small files, and the 10,000 parts still reach [`max_streamed_bytes`].
pub fn growing_part_bytes(number: u64) -> u64 {
    let doublings = (number.saturating_sub(1) / 1_000).min(3);
    MIN_PART_BYTES << doublings
}

/// The largest file that can stream through the service: with its size known, or not.
pub fn max_streamed_bytes(size_is_known: bool) -> u64 {
    if size_is_known {
        MAX_PARTS * MAX_STREAMED_PART_BYTES
    } else {
        1_000 * (8 + 16 + 32) * MIB + (MAX_PARTS - 3_000) * MAX_STREAMED_PART_BYTES
    }
}

/// How a file of a known size is cut for an upload that goes straight to S3.
///
/// All parts but the last have the same size, so that the plan follows from two numbers. A file of no bytes is one part
/// of no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    /// Bytes of every part but the last, which has the rest.
    pub part_size: u64,
    /// Parts, from 1 to 10,000.
    pub part_count: u32,
    size: u64,
}

/// A file cannot be cut like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPartSize {
    /// S3 has no object of that size.
    #[error("a file has at most {MAX_OBJECT_BYTES} bytes, as S3's largest object has: 10,000 parts of 5 GiB")]
    TooLarge,
    /// S3 takes no parts of that size.
    #[error("a part has {SMALLEST_PART_BYTES} to {LARGEST_PART_BYTES} bytes (5 MiB to 5 GiB), not {0}")]
    OutOfBounds(u64),
    /// There would be too many.
    #[error(
        "parts of {proposed} bytes would be more than {MAX_PARTS}: a file of this size needs at least {least} bytes a part"
    )]
    TooMany {
        /// What was proposed.
        proposed: u64,
        /// The smallest part size with which the parts are few enough.
        least: u64,
    },
}

impl PartPlan {
    /// The plan for a file of `size` bytes: `part_size = max(8 MiB, ceil(size / 10,000) rounded up to 1 MiB)`, or as
    /// proposed.
    ///
    /// # Errors
    /// [`InvalidPartSize`] for a file that S3 could not hold, and for a proposal that S3 would not take.
    pub fn for_size(size: u64, proposed: Option<u64>) -> Result<Self, InvalidPartSize> {
        if size > MAX_OBJECT_BYTES {
            return Err(InvalidPartSize::TooLarge);
        }
        let part_size = proposed.unwrap_or_else(|| part_bytes_for(size));
        if !(SMALLEST_PART_BYTES..=LARGEST_PART_BYTES).contains(&part_size) {
            return Err(InvalidPartSize::OutOfBounds(part_size));
        }
        let count = size.div_ceil(part_size).max(1);
        match u32::try_from(count) {
            Ok(part_count) if count <= MAX_PARTS => Ok(Self { part_size, part_count, size }),
            _ => Err(InvalidPartSize::TooMany { proposed: part_size, least: size.div_ceil(MAX_PARTS) }),
        }
    }

    /// Bytes of part `number`, from 1; none of a part that the plan does not have.
    pub fn size_of(&self, number: u32) -> Option<u64> {
        match number {
            0 => None,
            number if number < self.part_count => Some(self.part_size),
            number if number == self.part_count => Some(self.size - u64::from(number - 1) * self.part_size),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(size: u64) -> (u64, u32, Option<u64>) {
        let plan = PartPlan::for_size(size, None).unwrap();
        (plan.part_size, plan.part_count, plan.size_of(plan.part_count))
    }

    #[test]
    fn parts_follow_the_published_formula_at_its_boundaries() {
        assert_eq!(cut(0), (8 * MIB, 1, Some(0)));
        assert_eq!(cut(1), (8 * MIB, 1, Some(1)));
        assert_eq!(cut(8 * MIB), (8 * MIB, 1, Some(8 * MIB)));
        assert_eq!(cut(8 * MIB + 1), (8 * MIB, 2, Some(1)));
        assert_eq!(cut(80_000 * MIB), (8 * MIB, 10_000, Some(8 * MIB)));
        assert_eq!(cut(80_000 * MIB + 1), (9 * MIB, 8_889, Some(80_000 * MIB + 1 - 8_888 * 9 * MIB)));
        assert_eq!(cut(MAX_OBJECT_BYTES), (LARGEST_PART_BYTES, 10_000, Some(LARGEST_PART_BYTES)));
        assert_eq!(PartPlan::for_size(MAX_OBJECT_BYTES + 1, None), Err(InvalidPartSize::TooLarge));
        assert_eq!(PartPlan::for_size(u64::MAX, Some(LARGEST_PART_BYTES)), Err(InvalidPartSize::TooLarge));
    }

    #[test]
    fn proposed_parts_are_taken_as_far_as_s3_takes_them() {
        let plan = |size, proposed| PartPlan::for_size(size, Some(proposed)).map(|plan| plan.part_count);
        assert_eq!(plan(1, SMALLEST_PART_BYTES), Ok(1));
        assert_eq!(plan(SMALLEST_PART_BYTES + 1, SMALLEST_PART_BYTES), Ok(2));
        assert_eq!(plan(LARGEST_PART_BYTES, LARGEST_PART_BYTES), Ok(1));
        assert_eq!(plan(1, SMALLEST_PART_BYTES - 1), Err(InvalidPartSize::OutOfBounds(SMALLEST_PART_BYTES - 1)));
        assert_eq!(plan(1, LARGEST_PART_BYTES + 1), Err(InvalidPartSize::OutOfBounds(LARGEST_PART_BYTES + 1)));
        assert_eq!(plan(10_000 * (SMALLEST_PART_BYTES + 1), SMALLEST_PART_BYTES + 1), Ok(10_000));
        let refused = plan(10_000 * (SMALLEST_PART_BYTES + 1) + 1, SMALLEST_PART_BYTES + 1);
        let least = SMALLEST_PART_BYTES + 2;
        assert_eq!(refused, Err(InvalidPartSize::TooMany { proposed: SMALLEST_PART_BYTES + 1, least }));
        assert_eq!(plan(10_000 * (SMALLEST_PART_BYTES + 1) + 1, least), Ok(10_000));
    }

    #[test]
    fn sizes_of_the_parts_add_up_and_no_other_part_has_one() {
        for (size, proposed) in
            [(0, None), (20 * MIB + 3, None), (20 * MIB, Some(SMALLEST_PART_BYTES)), (1 << 41, None)]
        {
            let plan = PartPlan::for_size(size, proposed).unwrap();
            let sum: u64 = (1..=plan.part_count).map(|number| plan.size_of(number).unwrap()).sum();
            assert_eq!(sum, size);
            assert_eq!((plan.size_of(0), plan.size_of(plan.part_count + 1)), (None, None));
        }
    }

    #[test]
    fn a_known_size_always_fits_the_part_count() {
        for size in [0, 1, 8 * MIB, 80_000 * MIB, 80_000 * MIB + 1, 640_000 * MIB] {
            let part = part_bytes_for(size);
            assert!(part >= MIN_PART_BYTES && part.is_multiple_of(MIB));
            assert!(size.div_ceil(part) <= MAX_PARTS, "{size}");
        }
        assert_eq!(part_bytes_for(80_000 * MIB), 8 * MIB);
        assert_eq!(part_bytes_for(80_000 * MIB + 1), 9 * MIB);
    }

    #[test]
    fn growing_parts_reach_the_stated_bound_and_no_more_memory() {
        let total: u64 = (1..=MAX_PARTS).map(growing_part_bytes).sum();
        assert_eq!(total, max_streamed_bytes(false));
        assert!((1..=MAX_PARTS).all(|n| growing_part_bytes(n) <= MAX_STREAMED_PART_BYTES));
        assert_eq!(growing_part_bytes(1), MIN_PART_BYTES);
    }
}
