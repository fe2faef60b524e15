//! Which digests the URLs of an upload's parts were signed for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{InvalidDigest, Sha256Digest};

/// A flag and a SHA-256.
const ENTRY: usize = 33;

/// The digest of each part of one upload, so far as a URL was signed for it; parts are numbered from 1.
///
/// The upload is completed with these digests, so S3 itself refuses a part with other bytes. Stored as one text: base64
/// of 33 bytes a part, 440 KB for 10,000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartLedger(Vec<u8>);

impl PartLedger {
    /// Records the digest of a part; the newest counts.
    pub fn record(&mut self, number: u32, sha256: Sha256Digest) {
        let start = (number.max(1) as usize - 1) * ENTRY;
        if self.0.len() < start + ENTRY {
            self.0.resize(start + ENTRY, 0);
        }
        self.0[start] = 1;
        self.0[start + 1..start + ENTRY].copy_from_slice(sha256.as_bytes());
    }

    /// The digest of a part, if a URL was ever signed for it.
    pub fn digest(&self, number: u32) -> Option<Sha256Digest> {
        let start = (number as usize).checked_sub(1)? * ENTRY;
        let entry = self.0.get(start..start + ENTRY)?;
        (entry[0] == 1).then(|| Sha256Digest::from_hash(&entry[1..]))
    }

    /// The stored form.
    pub fn to_text(&self) -> String {
        STANDARD_NO_PAD.encode(&self.0)
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// [`InvalidDigest`] when it is not that.
    pub fn from_text(text: &str) -> Result<Self, InvalidDigest> {
        let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| InvalidDigest)?;
        if bytes.len() % ENTRY == 0 { Ok(Self(bytes)) } else { Err(InvalidDigest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_kept_by_number_and_read_back() {
        let mut ledger = PartLedger::default();
        ledger.record(3, Sha256Digest::of(b"three"));
        ledger.record(1, Sha256Digest::of(b"one"));
        ledger.record(3, Sha256Digest::of(b"again"));
        let ledger = PartLedger::from_text(&ledger.to_text()).unwrap();
        assert_eq!(ledger.digest(1), Some(Sha256Digest::of(b"one")));
        assert_eq!(ledger.digest(3), Some(Sha256Digest::of(b"again")));
        assert_eq!([0, 2, 4, 10_000].map(|n| ledger.digest(n)), [None; 4]);
        assert!(PartLedger::from_text("AAAA").is_err());
    }
}
