//! The condition keys that a policy may name.
//!
//! A key that is not here makes the policy unacceptable: a condition that is never evaluated is a hole.
//! Sources: the S3 service authorization reference and the IAM global condition keys.

use std::collections::BTreeMap;

/// What a request can be asked about. Names are case-insensitive in a policy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ConditionKey {
    /// `aws:SecureTransport`: `true` or `false`, always present.
    SecureTransport,
    /// `aws:SourceIp`: the caller's address, always present.
    SourceIp,
    /// `aws:SourceVpce`: absent, no VPC endpoint leads here.
    SourceVpce,
    /// `aws:PrincipalArn`: present on signed requests.
    PrincipalArn,
    /// `aws:PrincipalAccount`: present on signed requests.
    PrincipalAccount,
    /// `aws:PrincipalIsAWSService`: present on signed requests.
    PrincipalIsAwsService,
    /// `aws:ViaAWSService`: present on signed requests.
    ViaAwsService,
    /// `s3:TlsVersion`: as a decimal, `1.3`.
    TlsVersion,
    /// `s3:authType`: `REST-HEADER`, `REST-QUERY-STRING` or `POST`; present on signed requests.
    AuthType,
    /// `s3:signatureAge`: milliseconds since the signature was made; present on presigned requests.
    SignatureAge,
    /// `s3:signatureversion`: `AWS4-HMAC-SHA256`; present on signed requests.
    SignatureVersion,
    /// `s3:x-amz-server-side-encryption`: the header as sent, or what the multipart upload was created with.
    Encryption,
    /// `s3:x-amz-server-side-encryption-aws-kms-key-id`: the ARN of the key that S3 will use.
    EncryptionKey,
    /// `s3:x-amz-server-side-encryption-customer-algorithm`: the header as sent.
    CustomerAlgorithm,
    /// `s3:x-amz-acl`: the header as sent.
    Acl,
    /// `s3:if-none-match`: the header as sent.
    IfNoneMatch,
    /// `s3:ObjectCreationOperation`: whether this request makes an object; `false` on the steps of a multipart upload.
    ObjectCreationOperation,
    /// `s3:prefix`: the parameter of a listing.
    Prefix,
    /// `s3:delimiter`: the parameter of a listing.
    Delimiter,
    /// `s3:max-keys`: the parameter of a listing.
    MaxKeys,
    /// `s3:VersionId`: the version that a request names.
    VersionId,
}

/// What is known of a request; a key that is not in it is absent, which conditions tell from empty.
pub type Context = BTreeMap<ConditionKey, String>;

impl ConditionKey {
    const ALL: [Self; 21] = [
        Self::SecureTransport,
        Self::SourceIp,
        Self::SourceVpce,
        Self::PrincipalArn,
        Self::PrincipalAccount,
        Self::PrincipalIsAwsService,
        Self::ViaAwsService,
        Self::TlsVersion,
        Self::AuthType,
        Self::SignatureAge,
        Self::SignatureVersion,
        Self::Encryption,
        Self::EncryptionKey,
        Self::CustomerAlgorithm,
        Self::Acl,
        Self::IfNoneMatch,
        Self::ObjectCreationOperation,
        Self::Prefix,
        Self::Delimiter,
        Self::MaxKeys,
        Self::VersionId,
    ];

    /// The key of a name in any case, `None` when it is not evaluated here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name().eq_ignore_ascii_case(name))
    }

    /// The name as the documentation spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecureTransport => "aws:SecureTransport",
            Self::SourceIp => "aws:SourceIp",
            Self::SourceVpce => "aws:SourceVpce",
            Self::PrincipalArn => "aws:PrincipalArn",
            Self::PrincipalAccount => "aws:PrincipalAccount",
            Self::PrincipalIsAwsService => "aws:PrincipalIsAWSService",
            Self::ViaAwsService => "aws:ViaAWSService",
            Self::TlsVersion => "s3:TlsVersion",
            Self::AuthType => "s3:authType",
            Self::SignatureAge => "s3:signatureAge",
            Self::SignatureVersion => "s3:signatureversion",
            Self::Encryption => "s3:x-amz-server-side-encryption",
            Self::EncryptionKey => "s3:x-amz-server-side-encryption-aws-kms-key-id",
            Self::CustomerAlgorithm => "s3:x-amz-server-side-encryption-customer-algorithm",
            Self::Acl => "s3:x-amz-acl",
            Self::IfNoneMatch => "s3:if-none-match",
            Self::ObjectCreationOperation => "s3:ObjectCreationOperation",
            Self::Prefix => "s3:prefix",
            Self::Delimiter => "s3:delimiter",
            Self::MaxKeys => "s3:max-keys",
            Self::VersionId => "s3:VersionId",
        }
    }

    /// Whether fixing this key to given values keeps a policy from being public, as S3 defines public.
    ///
    /// Source: "The meaning of public" in the S3 user guide, as far as the keys exist here.
    pub(crate) fn narrows_the_public(self) -> bool {
        matches!(
            self,
            Self::SourceIp | Self::SourceVpce | Self::PrincipalArn | Self::PrincipalAccount | Self::EncryptionKey
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_name_in_any_case() {
        for key in ConditionKey::ALL {
            assert_eq!(ConditionKey::from_name(key.name()), Some(key));
            assert_eq!(ConditionKey::from_name(&key.name().to_uppercase()), Some(key));
        }
        assert_eq!(ConditionKey::from_name("s3:ExistingObjectTag/team"), None);
        assert_eq!(ConditionKey::from_name("aws:username"), None);
    }
}
