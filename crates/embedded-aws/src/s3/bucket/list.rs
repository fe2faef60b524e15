//! `ListBuckets`.

use crate::{
    meta::{MetaError, lookup, record},
    s3::{Store, blocking, clock},
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{Bucket, ListBucketsInput, ListBucketsOutput},
    s3_error,
};

pub(in crate::s3) async fn list_buckets(
    store: &Store,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let input = request.input;
    let limit = match input.max_buckets {
        None => 10_000,
        Some(limit @ 1..=10_000) => usize::try_from(limit).unwrap_or(usize::MAX),
        Some(_) => {
            return Err(s3_error!(InvalidArgument, "Argument max-buckets must be an integer between 1 and 10000"));
        }
    };
    let region = store.inner.region.clone();
    if input.bucket_region.as_ref().is_some_and(|wanted| *wanted != region) {
        return Ok(S3Response::new(ListBucketsOutput { owner: Some(store.owner()), ..ListBucketsOutput::default() }));
    }
    let shown_region = input.max_buckets.is_some() || input.bucket_region.is_some() || input.prefix.is_some();
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.continuation_token.clone();
    let snapshot = store.snapshot()?;
    let (buckets, continuation_token) = blocking(move || {
        let from = after.as_deref().unwrap_or_default().max(prefix.as_str());
        let mut buckets: Vec<Bucket> = Vec::new();
        for entry in snapshot.buckets.range(from..).map_err(MetaError::from)? {
            let (name, record) = entry.map_err(MetaError::from)?;
            let name = name.value();
            if !name.starts_with(&prefix) {
                break;
            }
            if Some(name) == after.as_deref() {
                continue;
            }
            if buckets.len() >= limit {
                let last = buckets.last().and_then(|bucket| bucket.name.clone());
                return Ok((buckets, last));
            }
            let record: record::Bucket = lookup::parse(record.value())?;
            buckets.push(Bucket {
                name: Some(name.to_owned()),
                creation_date: Some(clock::timestamp(record.created_ms)),
                bucket_region: shown_region.then(|| region.clone()),
            });
        }
        Ok((buckets, None))
    })
    .await?;
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(store.owner()),
        prefix: input.prefix,
    }))
}
