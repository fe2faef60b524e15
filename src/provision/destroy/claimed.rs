//! Whose claim is in the bucket: only our own catalog's may be removed with the key.

use super::{BucketSpec, DestroyError, UNCHANGED, failed};
use crate::provision::Clients;
use crate::provision::claim::{CLAIM_KEY, Claim, MAX_CLAIM_BYTES};
use crate::provision::fault::call;

const READING: &str =
    "reading the bucket's claim, which takes s3:GetObjectVersion, and kms:Decrypt on the key (enabled),";

/// A version of the claim, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) version_id: String,
    /// Size in bytes.
    pub(super) size: u64,
}

/// Reads each of these versions of the claim, and refuses the first that does not name `catalog`.
pub(super) async fn refuse_foreign(
    clients: &Clients,
    spec: &BucketSpec,
    claims: &[Listed],
    catalog: Option<&str>,
) -> Result<(), DestroyError> {
    for claim in claims {
        let readable = claim.size <= MAX_CLAIM_BYTES as u64;
        let bytes = if readable { Some(read(clients, spec, &claim.version_id).await?) } else { None };
        if let Some(whose) = foreign(bytes.as_deref(), catalog) {
            return Err(DestroyError::Claimed { bucket: spec.bucket.clone(), whose });
        }
    }
    Ok(())
}

/// Whose the claim is, when it is not `catalog`'s; a claim that was too long to read has no bytes.
fn foreign(bytes: Option<&[u8]>, catalog: Option<&str>) -> Option<String> {
    let claim = match bytes.map(Claim::parse) {
        None => return Some(format!("something that is no claim of ours (longer than {MAX_CLAIM_BYTES} bytes)")),
        Some(Err(error)) => return Some(format!("something else ({error})")),
        Some(Ok(claim)) => claim,
    };
    let owner = claim.catalog_id();
    match catalog {
        Some(ours) if ours == owner => None,
        Some(ours) => Some(format!("catalog {owner:?}, and the one here is {ours:?}")),
        None => Some(format!("catalog {owner:?}, and there is no catalog here")),
    }
}

async fn read(clients: &Clients, spec: &BucketSpec, version_id: &str) -> Result<Vec<u8>, DestroyError> {
    let get = clients.s3.get_object().bucket(&spec.bucket).key(CLAIM_KEY).version_id(version_id);
    let answer = call("GetObject", get.set_expected_bucket_owner(spec.owner.clone()).send()).await;
    let answer = answer.map_err(|fault| failed(READING, UNCHANGED, fault))?;
    // A version never changes: it is as long as it was listed.
    let bytes = answer.body.collect().await.map_err(|_| DestroyError::Claimed {
        bucket: spec.bucket.clone(),
        whose: "nobody knows whom (S3's answer broke off: try again)".to_owned(),
    })?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_claim_of_the_catalog_here_is_ours() {
        let ours = Claim::new("ours").to_json();
        assert_eq!(foreign(Some(&ours), Some("ours")), None);
        for (bytes, catalog, part) in [
            (Some(&ours[..]), Some("other"), "catalog \"ours\", and the one here is \"other\""),
            (Some(&ours), None, "there is no catalog here"),
            (Some(b"{}"), Some("ours"), "something else"),
            (Some(b""), Some("ours"), "something else"),
            (None, Some("ours"), "longer than 4096 bytes"),
        ] {
            let whose = foreign(bytes, catalog).unwrap();
            assert!(whose.contains(part), "{whose}");
        }
    }
}
