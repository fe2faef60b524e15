//! `DeleteObject`.

use super::{conditions::precondition, id_of, not_implemented, now, version_ref};
use crate::{
    meta::{lookup::VersionRef, objects, objects::Deleted, objects::Precondition, objects::Refused},
    s3::{Store, place_of},
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{DeleteObjectInput, DeleteObjectOutput},
};

pub(in crate::s3) async fn delete_object(
    store: &Store,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(not_implemented("A condition on size or time of a deletion"));
    }
    let condition = precondition(input.if_match.as_ref(), None)?;
    let wanted = input.version_id.as_deref().map(|id| version_ref(Some(id))).transpose()?;
    // The access check has asked for the right to it.
    let bypass = input.bypass_governance_retention == Some(true);
    let deleted = delete(store, &input.bucket, &input.key, wanted, condition, bypass).await?;
    let mut output = DeleteObjectOutput::default();
    if let Some(marker) = &deleted.marker {
        output.delete_marker = Some(true);
        output.version_id = Some(id_of(marker));
    } else if let Some(version_id) = input.version_id {
        output.delete_marker = deleted.removed.is_some_and(|version| version.content.is_none()).then_some(true);
        output.version_id = Some(version_id);
    }
    Ok(S3Response::new(output))
}

/// Deletes one key or version; deleting what is not there succeeds.
pub(super) async fn delete(
    store: &Store,
    bucket: &str,
    key: &str,
    wanted: Option<VersionRef>,
    condition: Precondition,
    bypass: bool,
) -> S3Result<Deleted> {
    let place = place_of(&store.snapshot()?, bucket, key)?.0;
    let mut deleted = store
        .change::<_, Refused>(move |tables| objects::delete(tables, &place, wanted, &condition, bypass, now()))
        .await?;
    store.unlink(std::mem::take(&mut deleted.unlink)).await;
    Ok(deleted)
}
