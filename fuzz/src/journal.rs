//! Entries of the journal, as a rebuild reads them, and the ledgers of parts that a catalog has.

use strongroom::domain::{JournalEntry, PartLedger, Sha256Digest};

use crate::input;

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<JournalEntry>(bytes) {
        let written = serde_json::to_vec(&entry).unwrap();
        let again: JournalEntry = serde_json::from_slice(&written).unwrap();
        assert_eq!(again, entry, "what is written is read as something else");
        assert_eq!(serde_json::to_vec(&again).unwrap(), written, "it is written in two ways");
    }
    let (text, numbers) = input::first_line(bytes);
    ledger(std::str::from_utf8(text).unwrap_or_default(), numbers);
}

/// A ledger, and numbers of parts for which a URL is signed.
fn ledger(text: &str, numbers: &[u8]) {
    let Ok(mut ledger) = PartLedger::from_text(text) else { return };
    assert_eq!(PartLedger::from_text(&ledger.to_text()).as_ref(), Ok(&ledger));
    for pair in numbers.chunks_exact(2) {
        let number = u32::from(u16::from_le_bytes([pair[0], pair[1]]) % 1_000) + 1;
        let digest = Sha256Digest::of(pair);
        let beside = [number - 1, number + 1].map(|other| (other, ledger.digest(other)));
        ledger.record(number, digest);
        assert_eq!(ledger.digest(number), Some(digest));
        for (other, before) in beside {
            assert_eq!(ledger.digest(other), before, "part {number} changed part {other}");
        }
    }
    assert_eq!(PartLedger::from_text(&ledger.to_text()), Ok(ledger));
}
