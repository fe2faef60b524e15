//! Version and upload ids: opaque and unguessable outside, a sequence number inside.

use std::fmt;

/// 32 hex digits that carry a sequence number, so that finding the record is a point read.
///
/// The nonce is 64 random bits kept in the record: who has not been given an id cannot make one up.
/// The sequence number is masked with it, so that ids tell nobody how many writes happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequencedId {
    pub(crate) sequence: u64,
    pub(crate) nonce: u64,
}

impl SequencedId {
    /// Reads an id; `None` for anything that was never given out by [`fmt::Display`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let nonce = u64::from_str_radix(&text[..16], 16).ok()?;
        let masked = u64::from_str_radix(&text[16..], 16).ok()?;
        Some(Self { sequence: masked ^ nonce, nonce })
    }
}

impl fmt::Display for SequencedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.nonce, self.sequence ^ self.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_what_was_written() {
        let id = SequencedId { sequence: 42, nonce: 0x0123_4567_89ab_cdef };
        assert_eq!(SequencedId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn foreign_ids_are_no_ids() {
        for text in ["", "null", "0123", "ZZ23456789abcdef0123456789abcdef", "ÄÄ23456789abcdef0123456789abcd"] {
            assert_eq!(SequencedId::parse(text), None, "{text}");
        }
    }
}
