//! The named security claims, and what a look or a trial says about each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A claim about the bucket or its key; its name is part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimId {
    /// The bucket carries the claim of this catalog.
    BucketOurs,
    /// Every version is kept.
    Versioned,
    /// Nobody without credentials gets in.
    PublicAccessBlocked,
    /// What names no key falls under ours.
    DefaultEncryption,
    /// The key is enabled and of the right kind.
    KeyUsable,
    /// A write, a read and a deletion went through, under the policy in force.
    Canary,
    /// A write without encryption headers is refused, or falls under our key where the profile says so.
    HeaderlessWriteRefused,
    /// A write under S3's own keys is refused.
    WrongAlgorithmRefused,
    /// A write under the account's default KMS key is refused, or falls under our key where the profile says so.
    NamelessKeyRefused,
    /// A write under another KMS key is refused.
    ForeignKeyRefused,
    /// A write without credentials is refused.
    AnonymousWriteRefused,
    /// The policy denies plain HTTP, and TLS before 1.2.
    TlsOnly,
    /// The policy denies every other encryption than ours.
    EncryptionEnforced,
    /// The policy denies old signatures and form uploads.
    PresignedBounded,
    /// The policy grants nothing to anybody.
    PolicyGrantsNothing,
    /// ACLs have no effect.
    AclsDisabled,
    /// Unfinished uploads end.
    MultipartExpires,
    /// The key's material is rotated every year.
    KeyRotates,
    /// Only the named principals use the key, and only through S3.
    KeyPolicyLimits,
    /// Keys that clients bring in headers are refused.
    CustomerKeysRefused,
    /// The bucket says whose it is.
    Tagged,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be looked at, or the back end has no such thing.
    NotVerifiable,
}

/// What a claim that does not hold does to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// No new bytes and no publishing.
    Blocking,
    /// Reported, alerted, and mended in `repair`.
    Degrading,
}

/// One claim, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which claim.
    #[serde(rename = "id")]
    pub claim: ClaimId,
    /// How it stands.
    pub status: Status,
    /// What follows when it does not hold.
    pub effect: Effect,
    /// What should be.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Controls of the AWS Foundational Security Best Practices and the CIS benchmark that it covers.
    pub controls: &'static [&'static str],
}

impl ClaimId {
    /// All claims.
    pub const ALL: [Self; 21] = [
        Self::BucketOurs,
        Self::Versioned,
        Self::PublicAccessBlocked,
        Self::DefaultEncryption,
        Self::KeyUsable,
        Self::Canary,
        Self::HeaderlessWriteRefused,
        Self::WrongAlgorithmRefused,
        Self::NamelessKeyRefused,
        Self::ForeignKeyRefused,
        Self::AnonymousWriteRefused,
        Self::TlsOnly,
        Self::EncryptionEnforced,
        Self::PresignedBounded,
        Self::PolicyGrantsNothing,
        Self::AclsDisabled,
        Self::MultipartExpires,
        Self::KeyRotates,
        Self::KeyPolicyLimits,
        Self::CustomerKeysRefused,
        Self::Tagged,
    ];

    /// The claims without which no byte is taken, even when nothing speaks against them.
    pub const REQUIRED: [Self; 6] = [
        Self::BucketOurs,
        Self::Versioned,
        Self::PublicAccessBlocked,
        Self::DefaultEncryption,
        Self::KeyUsable,
        Self::Canary,
    ];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BucketOurs => "bucket_ours",
            Self::Versioned => "versioned",
            Self::PublicAccessBlocked => "public_access_blocked",
            Self::DefaultEncryption => "default_encryption",
            Self::KeyUsable => "key_usable",
            Self::Canary => "canary",
            Self::HeaderlessWriteRefused => "headerless_write_refused",
            Self::WrongAlgorithmRefused => "wrong_algorithm_refused",
            Self::NamelessKeyRefused => "nameless_key_refused",
            Self::ForeignKeyRefused => "foreign_key_refused",
            Self::AnonymousWriteRefused => "anonymous_write_refused",
            Self::TlsOnly => "tls_only",
            Self::EncryptionEnforced => "encryption_enforced",
            Self::PresignedBounded => "presigned_bounded",
            Self::PolicyGrantsNothing => "policy_grants_nothing",
            Self::AclsDisabled => "acls_disabled",
            Self::MultipartExpires => "multipart_expires",
            Self::KeyRotates => "key_rotates",
            Self::KeyPolicyLimits => "key_policy_limits",
            Self::CustomerKeysRefused => "customer_keys_refused",
            Self::Tagged => "tagged",
        }
    }

    /// What follows when it does not hold.
    pub fn effect(self) -> Effect {
        match self {
            Self::BucketOurs
            | Self::Versioned
            | Self::PublicAccessBlocked
            | Self::DefaultEncryption
            | Self::KeyUsable
            | Self::Canary
            | Self::HeaderlessWriteRefused
            | Self::WrongAlgorithmRefused
            | Self::NamelessKeyRefused
            | Self::ForeignKeyRefused
            | Self::AnonymousWriteRefused => Effect::Blocking,
            Self::TlsOnly
            | Self::EncryptionEnforced
            | Self::PresignedBounded
            | Self::PolicyGrantsNothing
            | Self::AclsDisabled
            | Self::MultipartExpires
            | Self::KeyRotates
            | Self::KeyPolicyLimits
            | Self::CustomerKeysRefused
            | Self::Tagged => Effect::Degrading,
        }
    }

    fn controls(self) -> &'static [&'static str] {
        match self {
            Self::Versioned => &["FSBP S3.14"],
            Self::PublicAccessBlocked => &["FSBP S3.8", "CIS 2.1.4"],
            Self::AnonymousWriteRefused => &["FSBP S3.3"],
            Self::DefaultEncryption => &["FSBP S3.17"],
            Self::KeyUsable => &["FSBP KMS.3"],
            Self::TlsOnly => &["FSBP S3.5", "CIS 2.1.1"],
            Self::PolicyGrantsNothing => &["FSBP S3.2", "FSBP S3.6"],
            Self::AclsDisabled => &["FSBP S3.12"],
            Self::MultipartExpires => &["FSBP S3.10", "FSBP S3.13"],
            Self::KeyRotates => &["FSBP KMS.4", "CIS 3.6"],
            Self::KeyPolicyLimits => &["FSBP KMS.5"],
            _ => &[],
        }
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClaimId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|claim| claim.as_str() == text).ok_or_else(|| format!("`{text}` names no claim"))
    }
}

impl Finding {
    /// A claim that holds.
    pub fn passed(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::Passed, expected.into(), observed.into())
    }

    /// A claim that does not.
    pub fn failed(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::Failed, expected.into(), observed.into())
    }

    /// A claim about which nothing can be said.
    pub fn not_verifiable(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::NotVerifiable, expected.into(), observed.into())
    }

    /// A claim that holds or does not.
    pub fn judged(claim: ClaimId, holds: bool, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        if holds { Self::passed(claim, expected, observed) } else { Self::failed(claim, expected, observed) }
    }

    fn new(claim: ClaimId, status: Status, expected: String, observed: String) -> Self {
        Self { claim, status, effect: claim.effect(), expected, observed, controls: claim.controls() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_claim_is_the_same_in_text_and_json() {
        for claim in ClaimId::ALL {
            assert_eq!(serde_json::to_value(claim).unwrap(), claim.as_str());
            assert_eq!(claim.as_str().parse(), Ok(claim));
        }
    }

    #[test]
    fn every_required_claim_blocks() {
        assert!(ClaimId::REQUIRED.iter().all(|claim| claim.effect() == Effect::Blocking));
    }

    #[test]
    fn finding_has_the_shape_of_the_api() {
        let finding = Finding::failed(ClaimId::TlsOnly, "a", "b");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"id":"tls_only","status":"failed","effect":"degrading","expected":"a","observed":"b","controls":["FSBP S3.5","CIS 2.1.1"]}"#
        );
    }
}
