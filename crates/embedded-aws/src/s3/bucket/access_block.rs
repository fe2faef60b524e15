//! The public access block of a bucket.

use crate::{
    meta::record::PublicAccessBlock,
    s3::{Store, error},
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetPublicAccessBlockInput,
        GetPublicAccessBlockOutput, PublicAccessBlockConfiguration, PutPublicAccessBlockInput,
        PutPublicAccessBlockOutput,
    },
};

pub(in crate::s3) async fn put_public_access_block(
    store: &Store,
    request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let input = request.input;
    let wanted = input.public_access_block_configuration;
    let block = PublicAccessBlock {
        block_public_acls: wanted.block_public_acls.unwrap_or(false),
        ignore_public_acls: wanted.ignore_public_acls.unwrap_or(false),
        block_public_policy: wanted.block_public_policy.unwrap_or(false),
        restrict_public_buckets: wanted.restrict_public_buckets.unwrap_or(false),
    };
    store.set(&input.bucket, move |settings| settings.public_access_block = Some(block)).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

pub(in crate::s3) fn get_public_access_block(
    store: &Store,
    request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let block = settings.public_access_block.ok_or_else(|| {
        error::custom(
            "NoSuchPublicAccessBlockConfiguration",
            404,
            "The public access block configuration was not found",
        )
    })?;
    Ok(S3Response::new(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(PublicAccessBlockConfiguration {
            block_public_acls: Some(block.block_public_acls),
            ignore_public_acls: Some(block.ignore_public_acls),
            block_public_policy: Some(block.block_public_policy),
            restrict_public_buckets: Some(block.restrict_public_buckets),
        }),
    }))
}

pub(in crate::s3) async fn delete_public_access_block(
    store: &Store,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    store.set(&request.input.bucket, |settings| settings.public_access_block = None).await?;
    Ok(S3Response::new(DeletePublicAccessBlockOutput::default()))
}
