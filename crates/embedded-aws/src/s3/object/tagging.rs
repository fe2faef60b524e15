//! Tags of an object version.

use super::{Found, find, shown_id, version_ref};
use crate::{
    meta::{objects, objects::Refused, record::Version},
    s3::{
        Store, place_of,
        tags::{self, OBJECT_TAGS},
    },
};
use axum::http::Extensions;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
        PutObjectTaggingInput, PutObjectTaggingOutput,
    },
};

pub(in crate::s3) fn get_object_tagging(
    store: &Store,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let S3Request { input, extensions, .. } = request;
    let found = find(store, &input.bucket, &input.key, input.version_id.as_deref(), &extensions)?;
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: tags::to_set(&found.content.description.tags),
        version_id: found.version_id(),
    }))
}

pub(in crate::s3) async fn put_object_tagging(
    store: &Store,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let S3Request { input, extensions, .. } = request;
    let tags = tags::parse_set(input.tagging.tag_set, OBJECT_TAGS)?;
    let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
    let version_id = set(store, target, tags, &extensions).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

pub(in crate::s3) async fn delete_object_tagging(
    store: &Store,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let S3Request { input, extensions, .. } = request;
    let target = (input.bucket.as_str(), input.key.as_str(), input.version_id.as_deref());
    let version_id = set(store, target, Vec::new(), &extensions).await?;
    let output = DeleteObjectTaggingOutput { version_id };
    Ok(S3Response::new(output))
}

/// Replaces the tags and returns the version id to show.
async fn set(
    store: &Store,
    (bucket, key, version_id): (&str, &str, Option<&str>),
    tags: Vec<(String, String)>,
    extensions: &Extensions,
) -> S3Result<Option<String>> {
    let Found { versioning, .. } = find(store, bucket, key, version_id, extensions)?;
    let wanted = version_ref(version_id)?;
    let place = place_of(&store.snapshot()?, bucket, key)?.0;
    let version: Version = store
        .change::<_, Refused>(move |tables| {
            objects::edit(tables, &place, wanted, |content| {
                content.description.tags = tags;
                Ok(())
            })
        })
        .await?;
    Ok(shown_id(versioning, &version))
}
