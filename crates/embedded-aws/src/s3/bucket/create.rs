//! `CreateBucket`, `HeadBucket` and `GetBucketLocation`.

use crate::{
    meta::{
        MetaError,
        lock::BucketLock,
        lookup,
        record::{Bucket, PublicAccessBlock, Settings, Versioning},
    },
    s3::{Store, bucket_of, clock, description::refuse_acl},
};
use redb::ReadableTableMetadata;
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        BucketCannedACL, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, GetBucketLocationInput,
        GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ObjectOwnership,
    },
    s3_error,
};

/// Buckets of the account; each costs a few kilobytes of records.
const MAX_BUCKETS: u64 = 1000;
const US_EAST_1: &str = "us-east-1";

pub(in crate::s3) async fn create_bucket(
    store: &Store,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let input = request.input;
    if !is_bucket_name(&input.bucket) {
        return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
    }
    check_location(&store.inner.region, &input)?;
    let grants = [
        input.grant_full_control.is_some(),
        input.grant_read.is_some(),
        input.grant_read_acp.is_some(),
        input.grant_write.is_some(),
        input.grant_write_acp.is_some(),
    ];
    refuse_acl(input.acl.as_ref().map(BucketCannedACL::as_str), &grants)?;
    let enforced = ObjectOwnership::BUCKET_OWNER_ENFORCED;
    if input.object_ownership.as_ref().is_some_and(|ownership| ownership.as_str() != enforced) {
        return Err(s3_error!(NotImplemented, "Only the object ownership {enforced} is supported"));
    }
    let name = input.bucket.clone();
    // There alone, S3 says yes when the owner asks again; nothing changes.
    let may_repeat = store.inner.region == US_EAST_1;
    let locked = input.object_lock_enabled_for_bucket == Some(true);
    let versioning = if locked { Versioning::Enabled } else { Versioning::Unversioned };
    let settings = Settings {
        public_access_block: Some(PublicAccessBlock::ALL),
        ownership: Some(enforced.to_owned()),
        object_lock: locked.then(BucketLock::default),
        ..Settings::default()
    };
    store
        .change(move |tables| {
            if lookup::bucket(&tables.buckets, &name)?.is_some() {
                return Ok(if may_repeat { Ok(()) } else { Err(already_owned()) });
            }
            if tables.buckets.len()? >= MAX_BUCKETS {
                return Ok(Err(s3_error!(TooManyBuckets, "You have attempted to create more buckets than allowed")));
            }
            let id = tables.next_sequence()?;
            let bucket = Bucket { id, created_ms: clock::now_ms(), versioning };
            let record = serde_json::to_vec(&bucket).map_err(MetaError::from)?;
            tables.buckets.insert(name.as_str(), record.as_slice())?;
            let record = serde_json::to_vec(&settings).map_err(MetaError::from)?;
            tables.settings.insert(id, record.as_slice())?;
            Ok(Ok(()))
        })
        .await?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

pub(in crate::s3) fn head_bucket(
    store: &Store,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    let region = Some(store.inner.region.clone());
    Ok(S3Response::new(HeadBucketOutput { bucket_region: region, ..HeadBucketOutput::default() }))
}

pub(in crate::s3) fn get_bucket_location(
    store: &Store,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    bucket_of(&store.snapshot()?, &request.input.bucket)?;
    // An empty constraint is how S3 says us-east-1.
    let region = store.inner.region.clone();
    let location_constraint = (region != US_EAST_1).then(|| BucketLocationConstraint::from(region));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

fn already_owned() -> S3Error {
    s3_error!(
        BucketAlreadyOwnedByYou,
        "Your previous request to create the named bucket succeeded and you already own it."
    )
}

/// us-east-1 is said by leaving the constraint out; any other region must be named.
fn check_location(region: &str, input: &CreateBucketInput) -> S3Result<()> {
    let configuration = input.create_bucket_configuration.as_ref();
    if configuration.is_some_and(|given| given.bucket.is_some() || given.location.is_some()) {
        return Err(s3_error!(NotImplemented, "Directory buckets are not supported"));
    }
    let constraint = configuration.and_then(|given| given.location_constraint.as_ref());
    match constraint.map(BucketLocationConstraint::as_str).filter(|constraint| !constraint.is_empty()) {
        None if region == US_EAST_1 => Ok(()),
        None => Err(s3_error!(
            IllegalLocationConstraintException,
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
        )),
        Some(US_EAST_1) => Err(s3_error!(InvalidLocationConstraint, "The specified location-constraint is not valid")),
        Some(given) if given == region => Ok(()),
        Some(given) => Err(s3_error!(
            IllegalLocationConstraintException,
            "The {given} location constraint is incompatible for the region specific endpoint this request was sent to."
        )),
    }
}

/// The rules for general purpose buckets.
fn is_bucket_name(name: &str) -> bool {
    const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&name.len())
        && bytes.iter().all(|byte| alphanumeric(*byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(|byte| alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| alphanumeric(*byte))
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !RESERVED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules() {
        for good in ["abc", "ml-artifacts", "a.b.c", "0a9", &"x".repeat(63)] {
            assert!(is_bucket_name(good), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["ab", &long, "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "10.0.0.1", "xn--a", "a-s3alias", "äbc"] {
            assert!(!is_bucket_name(bad), "{bad}");
        }
    }
}
