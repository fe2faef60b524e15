//! Default encryption of a bucket. A KMS key is not looked up before a write uses it, as on AWS.
//!
//! A configuration with `BlockedEncryptionTypes` is `MalformedXML`: s3s 0.14 does not know that element.
//! SSE-C, which it would block, is never accepted.

use crate::{
    meta::record::DefaultEncryption,
    s3::{
        Store,
        encryption::{AES256, AWS_KMS},
    },
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput,
        PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
        ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    },
    s3_error,
};

pub(in crate::s3) async fn put_bucket_encryption(
    store: &Store,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let input = request.input;
    let malformed = || {
        s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        )
    };
    let mut rules = input.server_side_encryption_configuration.rules.into_iter();
    let (Some(rule), None) = (rules.next(), rules.next()) else { return Err(malformed()) };
    let default = rule.apply_server_side_encryption_by_default.ok_or_else(malformed)?;
    let algorithm = default.sse_algorithm.as_str().to_owned();
    match (algorithm.as_str(), &default.kms_master_key_id) {
        (AES256, None) | (AWS_KMS, _) => {}
        (AES256, Some(_)) => {
            return Err(s3_error!(
                InvalidArgument,
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
            ));
        }
        ("aws:kms:dsse", _) => {
            return Err(s3_error!(NotImplemented, "Dual-layer encryption (aws:kms:dsse) is not supported"));
        }
        _ => return Err(malformed()),
    }
    let encryption = DefaultEncryption {
        algorithm,
        key_id: default.kms_master_key_id.filter(|key| !key.is_empty()),
        bucket_key: rule.bucket_key_enabled.unwrap_or(false),
    };
    store.set(&input.bucket, |settings| settings.encryption = Some(encryption)).await?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

pub(in crate::s3) fn get_bucket_encryption(
    store: &Store,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let (algorithm, key_id, bucket_key) = match settings.encryption {
        Some(given) => (given.algorithm, given.key_id, given.bucket_key),
        // Every bucket is encrypted since 2023.
        None => (AES256.to_owned(), None, false),
    };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id: key_id,
            sse_algorithm: ServerSideEncryption::from(algorithm),
        }),
        bucket_key_enabled: Some(bucket_key),
    };
    Ok(S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration { rules: vec![rule] }),
    }))
}

pub(in crate::s3) async fn delete_bucket_encryption(
    store: &Store,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
    store.set(&request.input.bucket, |settings| settings.encryption = None).await?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
}
