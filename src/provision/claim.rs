//! The claim: one create-only object that says which catalog the bucket belongs to.
//!
//! Two services with two catalogs on one bucket would sweep each other's objects.
//! Here is what the object says and what follows; `store` writes and reads it.

use serde::{Deserialize, Serialize};

/// S3 key of the claim.
pub const CLAIM_KEY: &str = "strongroom-claim.json";
/// Longest claim that is read, in bytes.
pub const MAX_CLAIM_BYTES: usize = 4096;

const FORMAT: u32 = 1;

/// What the claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    format: u32,
    catalog_id: String,
}

/// Why the bucket is not ours to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another catalog was here first.
    #[error(
        "the bucket belongs to catalog {owner}, not to ours ({ours}): point this service at that catalog's database, \
         or at another bucket"
    )]
    ClaimedByAnother {
        /// The catalog in the claim.
        owner: String,
        /// Our own.
        ours: String,
    },
    /// The object is there, and says nothing we understand.
    #[error("`{CLAIM_KEY}` in the bucket is not a claim this release understands: {0}")]
    Unintelligible(String),
}

impl Claim {
    /// Our claim.
    pub fn new(catalog_id: impl Into<String>) -> Self {
        Self { format: FORMAT, catalog_id: catalog_id.into() }
    }

    /// The bytes to store; the same catalog always gives the same bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::json!({"catalog_id": self.catalog_id, "format": self.format}).to_string().into_bytes()
    }

    /// Reads a stored claim, of at most [`MAX_CLAIM_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        if bytes.len() > MAX_CLAIM_BYTES {
            return Err(ClaimError::Unintelligible(format!("longer than {MAX_CLAIM_BYTES} bytes")));
        }
        let claim: Self =
            serde_json::from_slice(bytes).map_err(|error| ClaimError::Unintelligible(error.to_string()))?;
        if claim.format == FORMAT {
            Ok(claim)
        } else {
            Err(ClaimError::Unintelligible(format!("format {}", claim.format)))
        }
    }

    /// The catalog it names.
    pub fn catalog_id(&self) -> &str {
        &self.catalog_id
    }
}

/// Decides by the claim found in the bucket.
///
/// To be asked whenever the create-only write was refused (412, 409): a retry of our own write, whose first answer was
/// lost, is refused too, and is ours by content.
pub fn judge(found: &[u8], our_catalog: &str) -> Result<(), ClaimError> {
    let owner = Claim::parse(found)?.catalog_id;
    if owner == our_catalog {
        Ok(())
    } else {
        Err(ClaimError::ClaimedByAnother { owner, ours: our_catalog.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_claim_is_ours_however_often_it_was_written() {
        let bytes = Claim::new("01ABC").to_json();
        assert_eq!(bytes, br#"{"catalog_id":"01ABC","format":1}"#);
        assert_eq!(judge(&bytes, "01ABC"), Ok(()));
    }

    #[test]
    fn claim_of_another_catalog_is_refused_by_name() {
        let error = judge(&Claim::new("theirs").to_json(), "ours").unwrap_err();
        assert_eq!(error, ClaimError::ClaimedByAnother { owner: "theirs".into(), ours: "ours".into() });
    }

    #[test]
    fn what_is_no_claim_is_never_taken_for_ours() {
        let long = format!(r#"{{"format":1,"catalog_id":"{}"}}"#, "a".repeat(MAX_CLAIM_BYTES));
        for text in ["", "{}", r#"{"format":2,"catalog_id":"ours"}"#, r#"{"catalog_id":"ours"}"#, &long] {
            assert!(matches!(judge(text.as_bytes(), "ours"), Err(ClaimError::Unintelligible(_))), "{text:.60}");
        }
    }
}
