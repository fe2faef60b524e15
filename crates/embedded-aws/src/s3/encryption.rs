//! Which key encrypts a write: decided once, here, from headers and the bucket's default.

use super::error;
use crate::{
    kms::{EncryptionContext, Kms},
    meta::record::{DefaultEncryption, Encryption},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use s3s::{S3Result, dto::ServerSideEncryption, s3_error};
use std::collections::BTreeMap;

pub(super) const AES256: &str = "AES256";
pub(super) const AWS_KMS: &str = "aws:kms";
const AWS_KMS_DSSE: &str = "aws:kms:dsse";

/// The encryption headers of a request.
#[derive(Debug, Default)]
pub(super) struct Requested<'r> {
    pub(super) algorithm: Option<&'r str>,
    pub(super) key_id: Option<&'r str>,
    pub(super) bucket_key: Option<bool>,
    /// Base64 of a JSON object of strings.
    pub(super) context: Option<&'r str>,
    /// Any of the SSE-C headers was sent.
    pub(super) customer_key: bool,
}

/// The encryption fields that creating requests share.
macro_rules! requested {
    ($input:expr) => {
        $crate::s3::encryption::Requested {
            algorithm: $input.server_side_encryption.as_ref().map(|algorithm| algorithm.as_str()),
            key_id: $input.ssekms_key_id.as_deref(),
            bucket_key: $input.bucket_key_enabled,
            context: $input.ssekms_encryption_context.as_deref(),
            customer_key: $input.sse_customer_algorithm.is_some()
                || $input.sse_customer_key.is_some()
                || $input.sse_customer_key_md5.is_some(),
        }
    };
}

/// Sets the encryption fields of an output that answers a write or a read.
macro_rules! show_encryption {
    ($output:expr, $encryption:expr) => {
        $output.server_side_encryption = Some($crate::s3::encryption::algorithm($encryption));
        $output.ssekms_key_id.clone_from(&$encryption.kms_key);
        $output.bucket_key_enabled = $encryption.bucket_key.then_some(true);
    };
}

pub(super) use {requested, show_encryption};

/// The ARN of the KMS key that S3 will use, `None` for SSE-S3.
///
/// `aws:kms` without a key means the AWS-managed key and not the bucket's default.
/// Fails as the write would: unknown key, unknown algorithm, key without algorithm.
pub(crate) fn key_in_force(
    algorithm: Option<&str>,
    key_header: Option<&str>,
    default: Option<&DefaultEncryption>,
    kms: &Kms,
) -> S3Result<Option<String>> {
    let key = match (algorithm, key_header) {
        (Some(AWS_KMS | AWS_KMS_DSSE), key) => key,
        (Some(AES256) | None, Some(_)) => {
            return Err(s3_error!(
                InvalidArgument,
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
            ));
        }
        (Some(AES256), None) => return Ok(None),
        (None, None) => match default.filter(|default| default.algorithm == AWS_KMS) {
            Some(default) => default.key_id.as_deref(),
            None => return Ok(None),
        },
        (Some(_), _) => {
            return Err(s3_error!(
                InvalidEncryptionAlgorithmError,
                "The encryption request that you specified is not valid. Supported value: AES256, aws:kms."
            ));
        }
    };
    let arn = match key {
        Some(key) => kms.resolve_arn(key),
        None => kms.aws_managed_s3_key(),
    };
    arn.map(Some).map_err(|failure| error::kms(&failure))
}

/// Decides how a new object is encrypted.
pub(super) fn resolve(
    requested: &Requested<'_>,
    default: Option<&DefaultEncryption>,
    kms: &Kms,
) -> S3Result<Encryption> {
    if requested.customer_key {
        return Err(s3_error!(NotImplemented, "Encryption with customer-provided keys is not supported"));
    }
    let kms_key = key_in_force(requested.algorithm, requested.key_id, default, kms)?;
    if requested.algorithm == Some(AWS_KMS_DSSE) {
        return Err(s3_error!(NotImplemented, "Dual-layer encryption (aws:kms:dsse) is not supported"));
    }
    if kms_key.is_none() {
        if requested.context.is_some() {
            return Err(s3_error!(
                InvalidArgument,
                "An encryption context requires HTTP header x-amz-server-side-encryption : aws:kms"
            ));
        }
        return Ok(Encryption { kms_key, bucket_key: false, context: BTreeMap::new() });
    }
    let bucket_key = requested.bucket_key.or_else(|| default.map(|default| default.bucket_key)).unwrap_or(false);
    let context = requested.context.map(parse_context).transpose()?.unwrap_or_default();
    Ok(Encryption { kms_key, bucket_key, context })
}

/// The KMS encryption context of a blob: the bucket's ARN with a bucket key, else the object's.
pub(super) fn kms_context(encryption: &Encryption, bucket: &str, key: &str) -> EncryptionContext {
    let arn =
        if encryption.bucket_key { format!("arn:aws:s3:::{bucket}") } else { format!("arn:aws:s3:::{bucket}/{key}") };
    let mut context: EncryptionContext = encryption.context.clone();
    context.insert("aws:s3:arn".to_owned(), arn);
    context
}

/// The key id to ask KMS for a data key with.
pub(super) fn kms_key_id(encryption: &Encryption) -> &str {
    encryption.kms_key.as_deref().unwrap_or(Kms::SSE_S3)
}

/// What `x-amz-server-side-encryption` says of an object.
pub(super) fn algorithm(encryption: &Encryption) -> ServerSideEncryption {
    ServerSideEncryption::from_static(if encryption.kms_key.is_some() { AWS_KMS } else { AES256 })
}

fn parse_context(header: &str) -> S3Result<BTreeMap<String, String>> {
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map"
        )
    };
    let json = STANDARD.decode(header).map_err(|_| invalid())?;
    let context: BTreeMap<String, String> = serde_json::from_slice(&json).map_err(|_| invalid())?;
    if context.contains_key("aws:s3:arn") {
        return Err(invalid());
    }
    Ok(context)
}
