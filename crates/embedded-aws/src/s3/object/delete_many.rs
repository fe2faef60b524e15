//! `DeleteObjects`: up to 1,000 keys, each allowed or refused on its own.

use super::{conditions::precondition, delete::delete, id_of, version_ref};
use crate::s3::{Store, access::Caller, bucket_of};
use axum::http::Extensions;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error, ObjectIdentifier},
    s3_error,
};
use std::sync::Arc;

const MAX_KEYS: usize = 1000;

pub(in crate::s3) async fn delete_objects(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let S3Request { input, extensions, .. } = request;
    if input.delete.objects.is_empty() || input.delete.objects.len() > MAX_KEYS {
        return Err(s3_error!(MalformedXML, "A deletion names 1 to {MAX_KEYS} objects"));
    }
    bucket_of(&store.snapshot()?, &input.bucket)?;
    let bypass = input.bypass_governance_retention == Some(true);
    let quiet = input.delete.quiet.unwrap_or(false);
    let mut output = DeleteObjectsOutput::default();
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        let (key, version_id) = (object.key.clone(), object.version_id.clone());
        match delete_one(store, &input.bucket, object, bypass, &extensions).await {
            Ok(done) if !quiet => deleted.push(done),
            Ok(_) => {}
            Err(failed) => errors.push(describe(&failed, key, version_id)),
        }
    }
    output.deleted = (!deleted.is_empty()).then_some(deleted);
    output.errors = (!errors.is_empty()).then_some(errors);
    Ok(S3Response::new(output))
}

async fn delete_one(
    store: &Store,
    bucket: &str,
    object: ObjectIdentifier,
    bypass: bool,
    extensions: &Extensions,
) -> S3Result<DeletedObject> {
    let action = if object.version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
    let caller = extensions.get::<Arc<Caller>>().ok_or_else(|| s3_error!(AccessDenied, "Access Denied"))?;
    let may = |action| caller.verdict_for(store, action, bucket, Some(&object.key), object.version_id.as_deref());
    may(action)?;
    if bypass {
        may("s3:BypassGovernanceRetention")?;
    }
    if object.last_modified_time.is_some() || object.size.is_some() {
        return Err(super::not_implemented("A condition on size or time of a deletion"));
    }
    let condition = precondition(object.e_tag.map(ETagCondition::ETag).as_ref(), None)?;
    let wanted = object.version_id.as_deref().map(|id| version_ref(Some(id))).transpose()?;
    let deleted = delete(store, bucket, &object.key, wanted, condition, bypass).await?;
    let mut done = DeletedObject { key: Some(object.key), ..DeletedObject::default() };
    if let Some(marker) = &deleted.marker {
        done.delete_marker = Some(true);
        done.delete_marker_version_id = Some(id_of(marker));
    } else {
        if deleted.removed.is_some_and(|version| version.content.is_none()) {
            done.delete_marker = Some(true);
            done.delete_marker_version_id.clone_from(&object.version_id);
        }
        done.version_id = object.version_id;
    }
    Ok(done)
}

fn describe(failed: &S3Error, key: String, version_id: Option<String>) -> Error {
    Error {
        code: Some(failed.code().as_str().to_owned()),
        key: Some(key),
        message: failed.message().map(str::to_owned),
        version_id,
    }
}
