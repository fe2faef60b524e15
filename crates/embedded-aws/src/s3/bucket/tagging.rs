//! Tags of a bucket.

use crate::s3::{
    Store,
    tags::{self, BUCKET_TAGS},
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketTaggingInput, DeleteBucketTaggingOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
        PutBucketTaggingInput, PutBucketTaggingOutput,
    },
    s3_error,
};

pub(in crate::s3) async fn put_bucket_tagging(
    store: &Store,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let input = request.input;
    let tags = tags::parse_set(input.tagging.tag_set, BUCKET_TAGS)?;
    store.set(&input.bucket, |settings| settings.tags = Some(tags)).await?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

pub(in crate::s3) fn get_bucket_tagging(
    store: &Store,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let tags = settings.tags.filter(|tags| !tags.is_empty());
    let tags = tags.ok_or_else(|| s3_error!(NoSuchTagSet, "The TagSet does not exist"))?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tags::to_set(&tags) }))
}

pub(in crate::s3) async fn delete_bucket_tagging(
    store: &Store,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    store.set(&request.input.bucket, |settings| settings.tags = None).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}
