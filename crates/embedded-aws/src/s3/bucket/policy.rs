//! Bucket policies: parsed when they are put, so that what is stored can be enforced.

use crate::{
    policy::BucketPolicy,
    s3::{Store, error},
};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
        GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus, PutBucketPolicyInput,
        PutBucketPolicyOutput,
    },
    s3_error,
};

/// Bytes, as on AWS.
const MAX_POLICY: usize = 20 * 1024;

pub(in crate::s3) async fn put_bucket_policy(
    store: &Store,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let input = request.input;
    store.configured(&input.bucket)?;
    if input.policy.len() > MAX_POLICY {
        return Err(error::custom("PolicyTooLarge", 400, "Policy exceeds the maximum allowed document size."));
    }
    let policy =
        BucketPolicy::parse(&input.policy, &input.bucket).map_err(|failed| s3_error!(MalformedPolicy, "{failed}"))?;
    store
        .configure(&input.bucket, move |_, settings| {
            if settings.public_access_block.unwrap_or_default().block_public_policy && policy.is_public() {
                return Err(public_policy_blocked());
            }
            settings.policy = Some(policy.text().to_owned());
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutBucketPolicyOutput::default()))
}

pub(in crate::s3) fn get_bucket_policy(
    store: &Store,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let policy = settings.policy.ok_or_else(no_policy)?;
    Ok(S3Response::new(GetBucketPolicyOutput { policy: Some(policy) }))
}

pub(in crate::s3) fn get_bucket_policy_status(
    store: &Store,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let facts = store.access_facts(&request.input.bucket)?;
    let policy = facts.and_then(|facts| facts.policy).ok_or_else(no_policy)?;
    let policy_status = Some(PolicyStatus { is_public: Some(policy.is_public()) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}

pub(in crate::s3) async fn delete_bucket_policy(
    store: &Store,
    request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    store.set(&request.input.bucket, |settings| settings.policy = None).await?;
    Ok(S3Response::new(DeleteBucketPolicyOutput::default()))
}

fn no_policy() -> S3Error {
    s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")
}

fn public_policy_blocked() -> S3Error {
    s3_error!(
        AccessDenied,
        "The policy would make the bucket public, and public policies are blocked by the BlockPublicPolicy setting of the bucket's public access block."
    )
}
