//! `DeleteBucket`.

use crate::{
    meta::{lookup, objects::Refused},
    s3::Store,
};
use redb::ReadableTable;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{DeleteBucketInput, DeleteBucketOutput},
    s3_error,
};

pub(in crate::s3) async fn delete_bucket(
    store: &Store,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let name = request.input.bucket;
    store
        .change(move |tables| {
            let Some(bucket) = lookup::bucket(&tables.buckets, &name)? else {
                return Ok(Err(S3Error::from(Refused::NoSuchBucket)));
            };
            let id = bucket.id;
            let all = || (id, [].as_slice(), 0)..(id + 1, [].as_slice(), 0);
            let versions = tables.versions.range(all())?.next().is_some();
            let uploads = tables.uploads.range(all())?.next().is_some();
            if versions || uploads {
                let message = if versions {
                    "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
                } else {
                    "The bucket you tried to delete has multipart uploads in progress."
                };
                return Ok(Err(s3_error!(BucketNotEmpty, "{message}")));
            }
            tables.buckets.remove(name.as_str())?;
            tables.settings.remove(id)?;
            Ok(Ok(()))
        })
        .await?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}
