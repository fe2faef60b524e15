//! The names of the claims.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Effect;

/// A claim about the bucket or its key; its name is part of the API and never changes.
///
/// A claim is true when it passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
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
    /// The alias by which the key is wished names the key in use.
    KeyNamed,
    /// A write and a read went through, under the policy in force.
    Canary,
    /// A write without encryption headers is refused, or falls under our key where the profile says so.
    HeaderlessWriteRefused,
    /// A write under S3's own keys is refused.
    WrongAlgorithmRefused,
    /// A write under the account's default KMS key is refused, or falls under our key where the profile says so.
    NamelessKeyRefused,
    /// A write under another KMS key is refused.
    ForeignKeyRefused,
    /// A write in two layers (`aws:kms:dsse`) is refused: what is stored is what the policy names, no more and no less.
    DualLayerRefused,
    /// A write under a key in the request's headers (SSE-C) is refused.
    CustomerKeyWriteRefused,
    /// A write without credentials is refused.
    AnonymousWriteRefused,
    /// A presigned URL older than the longest that is handed out is refused.
    StalePresignedRefused,
    /// A form upload with a signed policy is refused.
    PresignedPostRefused,
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
    /// No lifecycle rule ends or archives what is stored.
    NothingExpires,
    /// The key's material is rotated in time.
    KeyRotates,
    /// Only the named principals use the key, and only through S3.
    KeyPolicyLimits,
    /// Keys that clients bring in headers are refused by setting and policy.
    CustomerKeysRefused,
    /// The bucket says whose it is.
    Tagged,
    /// Every file of a published version is still stored, and still the current version of its key.
    ObjectsIntact,
    /// This machine's clock and S3's agree: presigned URLs depend on it.
    ClockInStep,
    /// Only the named principals reach objects or change the bucket; an option.
    PerimeterClosed,
    /// Requests come through the VPC endpoint; an option.
    VpcEndpointOnly,
    /// New versions are kept for their retention; an option.
    ObjectsLocked,
    /// Access is logged to another bucket; an option.
    AccessLogged,
    /// Events go to EventBridge; an option.
    EventsSent,
    /// Only the named origins may use presigned URLs from a page; an option.
    CorsExact,
    /// Objects are stored in Intelligent-Tiering; an option.
    ObjectsTiered,
}

impl ClaimId {
    /// All claims.
    pub const ALL: [Self; 36] = [
        Self::BucketOurs,
        Self::Versioned,
        Self::PublicAccessBlocked,
        Self::DefaultEncryption,
        Self::KeyUsable,
        Self::KeyNamed,
        Self::Canary,
        Self::HeaderlessWriteRefused,
        Self::WrongAlgorithmRefused,
        Self::NamelessKeyRefused,
        Self::ForeignKeyRefused,
        Self::DualLayerRefused,
        Self::CustomerKeyWriteRefused,
        Self::AnonymousWriteRefused,
        Self::StalePresignedRefused,
        Self::PresignedPostRefused,
        Self::TlsOnly,
        Self::EncryptionEnforced,
        Self::PresignedBounded,
        Self::PolicyGrantsNothing,
        Self::AclsDisabled,
        Self::MultipartExpires,
        Self::NothingExpires,
        Self::KeyRotates,
        Self::KeyPolicyLimits,
        Self::CustomerKeysRefused,
        Self::Tagged,
        Self::ObjectsIntact,
        Self::ClockInStep,
        Self::PerimeterClosed,
        Self::VpcEndpointOnly,
        Self::ObjectsLocked,
        Self::AccessLogged,
        Self::EventsSent,
        Self::CorsExact,
        Self::ObjectsTiered,
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

    /// The claims that only a trial proves, each by a request that must be refused; a look at the policy can disprove them.
    pub const PROBES: [Self; 9] = [
        Self::HeaderlessWriteRefused,
        Self::WrongAlgorithmRefused,
        Self::NamelessKeyRefused,
        Self::ForeignKeyRefused,
        Self::DualLayerRefused,
        Self::CustomerKeyWriteRefused,
        Self::AnonymousWriteRefused,
        Self::StalePresignedRefused,
        Self::PresignedPostRefused,
    ];

    /// Degrading claims without which a bucket is not taken over: it was never safe.
    pub const BEFORE_CLAIMING: [Self; 5] = [
        Self::HeaderlessWriteRefused,
        Self::WrongAlgorithmRefused,
        Self::NamelessKeyRefused,
        Self::ForeignKeyRefused,
        Self::CustomerKeyWriteRefused,
    ];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BucketOurs => "bucket_ours",
            Self::Versioned => "versioned",
            Self::PublicAccessBlocked => "public_access_blocked",
            Self::DefaultEncryption => "default_encryption",
            Self::KeyUsable => "key_usable",
            Self::KeyNamed => "key_named",
            Self::Canary => "canary",
            Self::HeaderlessWriteRefused => "headerless_write_refused",
            Self::WrongAlgorithmRefused => "wrong_algorithm_refused",
            Self::NamelessKeyRefused => "nameless_key_refused",
            Self::ForeignKeyRefused => "foreign_key_refused",
            Self::DualLayerRefused => "dual_layer_refused",
            Self::CustomerKeyWriteRefused => "customer_key_write_refused",
            Self::AnonymousWriteRefused => "anonymous_write_refused",
            Self::StalePresignedRefused => "stale_presigned_refused",
            Self::PresignedPostRefused => "presigned_post_refused",
            Self::TlsOnly => "tls_only",
            Self::EncryptionEnforced => "encryption_enforced",
            Self::PresignedBounded => "presigned_bounded",
            Self::PolicyGrantsNothing => "policy_grants_nothing",
            Self::AclsDisabled => "acls_disabled",
            Self::MultipartExpires => "multipart_expires",
            Self::NothingExpires => "nothing_expires",
            Self::KeyRotates => "key_rotates",
            Self::KeyPolicyLimits => "key_policy_limits",
            Self::CustomerKeysRefused => "customer_keys_refused",
            Self::Tagged => "tagged",
            Self::ObjectsIntact => "objects_intact",
            Self::ClockInStep => "clock_in_step",
            Self::PerimeterClosed => "perimeter_closed",
            Self::VpcEndpointOnly => "vpc_endpoint_only",
            Self::ObjectsLocked => "objects_locked",
            Self::AccessLogged => "access_logged",
            Self::EventsSent => "events_sent",
            Self::CorsExact => "cors_exact",
            Self::ObjectsTiered => "objects_tiered",
        }
    }

    /// What is claimed, in one sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::BucketOurs => "The bucket carries the claim of this catalog.",
            Self::Versioned => "Every version is kept.",
            Self::PublicAccessBlocked => "Nobody without credentials gets in.",
            Self::DefaultEncryption => "What names no key falls under ours.",
            Self::KeyUsable => "The key is enabled and of the right kind.",
            Self::KeyNamed => "The alias by which the key is wished names the key in use.",
            Self::Canary => "A write and a read went through, under the policy in force.",
            Self::HeaderlessWriteRefused => {
                "A write without encryption headers is refused, or falls under our key where the profile says so."
            }
            Self::WrongAlgorithmRefused => "A write under S3's own keys is refused.",
            Self::NamelessKeyRefused => {
                "A write under the account's default KMS key is refused, or falls under our key where the profile says so."
            }
            Self::ForeignKeyRefused => "A write under another KMS key is refused.",
            Self::DualLayerRefused => {
                "A write in two layers (aws:kms:dsse) is refused: what is stored is what the policy names, no more and no less."
            }
            Self::CustomerKeyWriteRefused => "A write under a key in the request's headers (SSE-C) is refused.",
            Self::AnonymousWriteRefused => "A write without credentials is refused.",
            Self::StalePresignedRefused => "A presigned URL older than the longest that is handed out is refused.",
            Self::PresignedPostRefused => "A form upload with a signed policy is refused.",
            Self::TlsOnly => "The policy denies plain HTTP, and TLS before 1.2.",
            Self::EncryptionEnforced => "The policy denies every other encryption than ours.",
            Self::PresignedBounded => "The policy denies old signatures and form uploads.",
            Self::PolicyGrantsNothing => "The policy grants nothing to anybody.",
            Self::AclsDisabled => "ACLs have no effect.",
            Self::MultipartExpires => "Unfinished uploads end.",
            Self::NothingExpires => "No lifecycle rule ends or archives what is stored.",
            Self::KeyRotates => "The key's material is rotated in time.",
            Self::KeyPolicyLimits => "Only the named principals use the key, and only through S3.",
            Self::CustomerKeysRefused => "Keys that clients bring in headers are refused by setting and policy.",
            Self::Tagged => "The bucket says whose it is.",
            Self::ObjectsIntact => {
                "Every file of a published version is still stored, and still the current version of its key."
            }
            Self::ClockInStep => "This machine's clock and S3's agree: presigned URLs depend on it.",
            Self::PerimeterClosed => "Only the named principals reach objects or change the bucket.",
            Self::VpcEndpointOnly => "Requests come through the VPC endpoint.",
            Self::ObjectsLocked => "New versions are kept for their retention.",
            Self::AccessLogged => "Access is logged to another bucket.",
            Self::EventsSent => "Events go to EventBridge.",
            Self::CorsExact => "Only the named origins may use presigned URLs from a page.",
            Self::ObjectsTiered => "Objects are stored in Intelligent-Tiering.",
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
            | Self::AnonymousWriteRefused => Effect::Blocking,
            // Our own writes name key and algorithm: refusing them would protect nothing.
            Self::HeaderlessWriteRefused
            | Self::WrongAlgorithmRefused
            | Self::NamelessKeyRefused
            | Self::ForeignKeyRefused
            | Self::CustomerKeyWriteRefused
            | Self::DualLayerRefused
            | Self::StalePresignedRefused
            | Self::PresignedPostRefused
            | Self::TlsOnly
            | Self::EncryptionEnforced
            | Self::PresignedBounded
            | Self::PolicyGrantsNothing
            | Self::AclsDisabled
            | Self::MultipartExpires
            | Self::NothingExpires
            | Self::KeyNamed
            | Self::KeyRotates
            | Self::KeyPolicyLimits
            | Self::CustomerKeysRefused
            | Self::Tagged
            | Self::ObjectsIntact
            | Self::ClockInStep
            | Self::PerimeterClosed
            | Self::VpcEndpointOnly
            | Self::ObjectsLocked
            | Self::AccessLogged
            | Self::EventsSent
            | Self::CorsExact
            | Self::ObjectsTiered => Effect::Degrading,
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
}
