//! Ownership controls: the bucket's owner is enforced, which is what switches ACLs off.

use crate::s3::{Store, error};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput, GetBucketOwnershipControlsInput,
        GetBucketOwnershipControlsOutput, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
        PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
    },
    s3_error,
};

pub(in crate::s3) async fn put_bucket_ownership_controls(
    store: &Store,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let input = request.input;
    let [rule] = input.ownership_controls.rules.as_slice() else {
        return Err(s3_error!(MalformedXML, "Ownership controls have exactly one rule"));
    };
    let enforced = ObjectOwnership::BUCKET_OWNER_ENFORCED;
    if rule.object_ownership.as_str() != enforced {
        return Err(s3_error!(NotImplemented, "Only the object ownership {enforced} is supported"));
    }
    store.set(&input.bucket, |settings| settings.ownership = Some(enforced.to_owned())).await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

pub(in crate::s3) fn get_bucket_ownership_controls(
    store: &Store,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let (_, settings) = store.configured(&request.input.bucket)?;
    let ownership = settings.ownership.ok_or_else(|| {
        error::custom("OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found")
    })?;
    let rules = vec![OwnershipControlsRule { object_ownership: ObjectOwnership::from(ownership) }];
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules }) }))
}

pub(in crate::s3) async fn delete_bucket_ownership_controls(
    store: &Store,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    store.set(&request.input.bucket, |settings| settings.ownership = None).await?;
    Ok(S3Response::new(DeleteBucketOwnershipControlsOutput::default()))
}
