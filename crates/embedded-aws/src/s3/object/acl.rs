//! ACLs: disabled, as in every bucket whose owner is enforced; the owner controls everything.

use super::find;
use crate::s3::{Store, bucket_of, description::refuse_acl};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        BucketCannedACL, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput, Grant, Grantee,
        ObjectCannedACL, Owner, Permission, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput,
        PutObjectAclOutput, Type,
    },
};

pub(in crate::s3) fn get_bucket_acl(
    store: &Store,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    let owner = store.owner();
    Ok(S3Response::new(GetBucketAclOutput { grants: Some(vec![full_control(&owner)]), owner: Some(owner) }))
}

pub(in crate::s3) fn put_bucket_acl(
    store: &Store,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let input = request.input;
    bucket_of(&store.snapshot()?, &input.bucket)?;
    let grants = [
        input.access_control_policy.is_some(),
        input.grant_full_control.is_some(),
        input.grant_read.is_some(),
        input.grant_read_acp.is_some(),
        input.grant_write.is_some(),
        input.grant_write_acp.is_some(),
    ];
    refuse_acl(input.acl.as_ref().map(BucketCannedACL::as_str), &grants)?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

pub(in crate::s3) fn get_object_acl(
    store: &Store,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let S3Request { input, extensions, .. } = request;
    find(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
    let owner = store.owner();
    let grants = Some(vec![full_control(&owner)]);
    Ok(S3Response::new(GetObjectAclOutput { grants, owner: Some(owner), request_charged: None }))
}

pub(in crate::s3) fn put_object_acl(
    store: &Store,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let S3Request { input, extensions, .. } = request;
    find(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
    let grants = [
        input.access_control_policy.is_some(),
        input.grant_full_control.is_some(),
        input.grant_read.is_some(),
        input.grant_read_acp.is_some(),
        input.grant_write.is_some(),
        input.grant_write_acp.is_some(),
    ];
    refuse_acl(input.acl.as_ref().map(ObjectCannedACL::as_str), &grants)?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}

fn full_control(owner: &Owner) -> Grant {
    Grant {
        grantee: Some(Grantee {
            display_name: None,
            email_address: None,
            id: owner.id.clone(),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }
}
