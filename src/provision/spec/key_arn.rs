//! The ARN of a KMS key, from which account and partition of everything else are taken.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The ARN of a KMS key: `arn:{partition}:kms:{region}:{account}:key/{id}`.
///
/// Account and partition of everything else are taken from here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyArn {
    text: Box<str>,
    partition: Box<str>,
    region: Box<str>,
    account: Box<str>,
}

/// Why a text is not the ARN of a KMS key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the full ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID)")]
pub struct InvalidKeyArn(String);

impl KeyArn {
    /// `aws`, `aws-cn`, `aws-us-gov` …
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Region of the key.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The twelve digits of the account that owns the key.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The whole ARN.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ARN of another key id in the same region and account.
    pub(in crate::provision) fn sibling(&self, id: &str) -> Self {
        let text = format!("arn:{}:kms:{}:{}:key/{id}", self.partition, self.region, self.account);
        Self { text: text.into(), ..self.clone() }
    }
}

impl FromStr for KeyArn {
    type Err = InvalidKeyArn;

    fn from_str(text: &str) -> Result<Self, InvalidKeyArn> {
        let invalid = || InvalidKeyArn(text.to_owned());
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(invalid);
        let (arn, partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        let id = resource.strip_prefix("key/").ok_or_else(invalid)?;
        let id_ok = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let account_ok = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if arn != "arn" || service != "kms" || !partition.starts_with("aws") || !id_ok || !account_ok {
            return Err(invalid());
        }
        Ok(Self { text: text.into(), partition: partition.into(), region: region.into(), account: account.into() })
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for KeyArn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws-cn:kms:cn-north-1:123456789012:key/0f0f-1";

    #[test]
    fn key_arn_gives_partition_region_and_account() {
        let arn: KeyArn = ARN.parse().unwrap();
        assert_eq!((arn.partition(), arn.region(), arn.account()), ("aws-cn", "cn-north-1", "123456789012"));
        assert_eq!(arn.to_string(), ARN);
        assert_eq!(arn.sibling("x").as_str(), "arn:aws-cn:kms:cn-north-1:123456789012:key/x");
    }

    #[test]
    fn whatever_is_not_a_full_key_arn_is_refused() {
        for text in [
            "",
            "0f0f-1",
            "alias/models",
            "arn:aws:kms:eu-west-1:123456789012:alias/models",
            "arn:aws:s3:eu-west-1:123456789012:key/1",
            "arn:aws:kms::123456789012:key/1",
            "arn:aws:kms:eu-west-1:12345:key/1",
            "arn:aws:kms:eu-west-1:123456789012:key/",
            "arn:aws:kms:eu-west-1:123456789012:key/a\"b",
            "urn:aws:kms:eu-west-1:123456789012:key/1",
        ] {
            assert!(text.parse::<KeyArn>().is_err(), "{text}");
        }
    }
}
