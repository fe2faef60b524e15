//! What an operator does about a claim that does not hold: one short imperative each.

use crate::provision::finding::ClaimId;

/// What to do when a claim fails, as the log and the report say it.
pub fn remedy(claim: ClaimId) -> &'static str {
    match claim {
        ClaimId::KeyUsable => "enable the key, or cancel its deletion: it is never replaced",
        ClaimId::BucketOurs => {
            "if the bucket was replaced, strongroom bucket apply; if it carries another catalog's claim, find out who \
             uses it"
        }
        ClaimId::Canary | ClaimId::StalePresignedRefused | ClaimId::PresignedPostRefused => {
            "strongroom bucket check shows what S3 answers"
        }
        ClaimId::HeaderlessWriteRefused
        | ClaimId::WrongAlgorithmRefused
        | ClaimId::NamelessKeyRefused
        | ClaimId::ForeignKeyRefused
        | ClaimId::DualLayerRefused
        | ClaimId::CustomerKeyWriteRefused
        | ClaimId::AnonymousWriteRefused => "strongroom bucket apply --mode repair, then strongroom bucket check",
        ClaimId::PolicyGrantsNothing => {
            "remove the Allow statements from the bucket policy by hand: they are never removed for you"
        }
        ClaimId::NothingExpires => {
            "remove the lifecycle rules that the finding names, or narrow them to other prefixes: they are never removed for you"
        }
        ClaimId::KeyNamed => "give the alias back (aws kms create-alias, update-alias), or set STRONGROOM_KMS_KEY_ARN",
        ClaimId::ObjectsIntact => "the finding in /v1/posture names each object and the way back",
        ClaimId::ClockInStep => "set this machine's clock",
        ClaimId::Versioned
        | ClaimId::PublicAccessBlocked
        | ClaimId::DefaultEncryption
        | ClaimId::TlsOnly
        | ClaimId::EncryptionEnforced
        | ClaimId::PresignedBounded
        | ClaimId::AclsDisabled
        | ClaimId::MultipartExpires
        | ClaimId::KeyRotates
        | ClaimId::KeyPolicyLimits
        | ClaimId::CustomerKeysRefused
        | ClaimId::Tagged
        | ClaimId::PerimeterClosed
        | ClaimId::VpcEndpointOnly
        | ClaimId::ObjectsLocked
        | ClaimId::AccessLogged
        | ClaimId::EventsSent
        | ClaimId::CorsExact
        | ClaimId::ObjectsTiered => "strongroom bucket apply --mode repair",
    }
}
