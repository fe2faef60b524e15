//! The journal: an object for each change that no manifest tells of.

use bytes::Bytes;

use super::{Error, Store};
use crate::domain::{JournalEntry, ObjectKey, Sha256Digest, UploadToken};

/// Largest entry that is read: metadata of 64 KiB and all that stands around it, with room.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

impl Store {
    /// Writes an entry, create-only; one that is there must be the same.
    ///
    /// # Errors
    /// Of S3; [`Error::Unfaithful`] when another entry has that name: another service writes with this catalog's id.
    pub async fn put_journal_entry(&self, catalog: &str, entry: &JournalEntry) -> Result<(), Error> {
        let key = ObjectKey::Journal { catalog, seq: entry.seq }.to_string();
        // Not the canonical form: it would turn a 1.0 of the metadata into a 1, and round large integers.
        let json = serde_json::to_vec(entry)
            .map_err(|error| Error::Unexpected { operation: "write a journal entry", source: error.into() })?;
        let json = Bytes::from(json);
        let digest = Sha256Digest::of(&json);
        // The token follows from the entry: a second try after a crash recognises the first one's object.
        let token = UploadToken::from_stored(Sha256Digest::of(format!("{key} {digest}").as_bytes()).to_string());
        match self.put(&key, &token, json.clone(), digest, "application/json", true).await {
            Ok(_) => Ok(()),
            Err(Error::Exists { .. }) => {
                let there = self.read_small(&key, MAX_BYTES).await?;
                let is_ours = serde_json::from_slice::<JournalEntry>(&there).is_ok_and(|there| there == *entry);
                if is_ours { Ok(()) } else { Err(Error::Unfaithful("another journal entry has the entry's name")) }
            }
            Err(error) => Err(error),
        }
    }
}
