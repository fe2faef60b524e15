//! Heads of the audit log: an object for each place at which the log was known to end.
//!
//! The name of the object says everything, so that a list of them can be compared with the log, and nobody who can only
//! write objects can change what one says.

use bytes::Bytes;
use serde_json::json;

use super::{Error, ListedTo, Store};
use crate::domain::{AuditHead, ObjectKey, Sha256Digest, Timestamp, UploadToken};

/// A walk over the heads of a catalog's audit logs, a log after the other, in the order of their numbers.
#[derive(Debug)]
pub struct AuditHeads {
    prefix: String,
    next: Option<ListedTo>,
    is_through: bool,
}

impl AuditHeads {
    /// All of a catalog.
    pub fn of(catalog: &str) -> Self {
        Self { prefix: format!("audit/{catalog}/"), next: None, is_through: false }
    }
}

impl Store {
    /// Writes where a log ends, create-only; harmless when it is there.
    ///
    /// # Errors
    /// Of S3.
    pub async fn put_audit_head(&self, catalog: &str, head: &AuditHead) -> Result<(), Error> {
        let key = ObjectKey::AuditHead { catalog, head }.to_string();
        let json = json!({
            "schema": 1,
            "catalog": catalog,
            "chain": head.chain,
            "seq": head.seq,
            "hash": head.hash.to_string(),
            "written_at": Timestamp::now(),
        });
        let json = Bytes::from(json.to_string());
        let digest = Sha256Digest::of(&json);
        let token = UploadToken::from_stored(Sha256Digest::of(format!("{key} {digest}").as_bytes()).to_string());
        match self.put(&key, &token, json, digest, "application/json", true).await {
            Ok(_) | Err(Error::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next heads, at most about 1,000, also those that something lies over; none when the walk is through.
    ///
    /// # Errors
    /// Of S3; the walk is where it was then.
    pub async fn next_audit_heads(&self, walk: &mut AuditHeads) -> Result<Option<Vec<AuditHead>>, Error> {
        if walk.is_through {
            return Ok(None);
        }
        let page = self.list_versions(&walk.prefix, walk.next.as_ref()).await?;
        let mut heads: Vec<AuditHead> =
            page.versions.iter().filter_map(|listed| AuditHead::of_key(&listed.key, &walk.prefix)).collect();
        heads.dedup();
        walk.next = page.next;
        walk.is_through = walk.next.is_none();
        Ok(Some(heads))
    }
}
