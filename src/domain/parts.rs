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

#[cfg(test)]
mod tests {
    use super::*;

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
