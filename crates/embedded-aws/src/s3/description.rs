//! What a writer says about an object in headers, checked and stored.

use super::{clock, tags};
use crate::meta::record::Description;
use s3s::{
    S3Result,
    dto::{Metadata, Timestamp},
    s3_error,
};

/// User metadata: names and values together, in bytes.
const MAX_METADATA: usize = 2048;

/// The descriptive headers that creating requests share.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) website_redirect: Option<String>,
    pub(super) metadata: Option<Metadata>,
    pub(super) tagging: Option<String>,
}

macro_rules! described {
    ($input:expr) => {
        $crate::s3::description::Described {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_disposition: $input.content_disposition.take(),
            content_language: $input.content_language.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            website_redirect: $input.website_redirect_location.take(),
            metadata: $input.metadata.take(),
            tagging: $input.tagging.take(),
        }
    };
}

/// Refuses what an object cannot be given here: ACLs and other storage classes.
macro_rules! refuse_unsupported {
    ($input:expr) => {{
        let grants = [
            $input.grant_full_control.is_some(),
            $input.grant_read.is_some(),
            $input.grant_read_acp.is_some(),
            $input.grant_write_acp.is_some(),
        ];
        $crate::s3::description::refuse_acl($input.acl.as_ref().map(|acl| acl.as_str()), &grants)?;
        $crate::s3::description::refuse_storage_class($input.storage_class.as_ref().map(|class| class.as_str()))?;
    }};
}

pub(super) use {described, refuse_unsupported};

impl Described {
    pub(super) fn check(self) -> S3Result<Description> {
        let metadata: std::collections::BTreeMap<_, _> = self.metadata.unwrap_or_default().into_iter().collect();
        let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_METADATA {
            return Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size"));
        }
        Ok(Description {
            content_type: self.content_type,
            content_encoding: self.content_encoding.and_then(|encoding| without_aws_chunked(&encoding)),
            content_disposition: self.content_disposition,
            content_language: self.content_language,
            cache_control: self.cache_control,
            expires_ms: self.expires.as_ref().map(clock::millis),
            website_redirect: self.website_redirect,
            metadata,
            tags: self.tagging.as_deref().map(tags::parse_header).transpose()?.unwrap_or_default(),
        })
    }
}

/// Buckets here are `BucketOwnerEnforced`: only what says no more than that is accepted.
pub(super) fn refuse_acl(canned: Option<&str>, grants: &[bool]) -> S3Result<()> {
    let harmless = canned.is_none_or(|acl| matches!(acl, "private" | "bucket-owner-full-control"));
    if harmless && grants.iter().all(|given| !given) {
        return Ok(());
    }
    Err(s3_error!(AccessControlListNotSupported, "The bucket does not allow ACLs"))
}

pub(super) fn refuse_storage_class(storage_class: Option<&str>) -> S3Result<()> {
    if storage_class.is_some_and(|class| class != "STANDARD") {
        return Err(s3_error!(NotImplemented, "Only the storage class STANDARD is supported"));
    }
    Ok(())
}

/// `aws-chunked` describes the transfer, not the object.
fn without_aws_chunked(encoding: &str) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_no_content_encoding() {
        assert_eq!(without_aws_chunked("aws-chunked"), None);
        assert_eq!(without_aws_chunked("gzip, aws-chunked"), Some("gzip".to_owned()));
        assert_eq!(without_aws_chunked("gzip"), Some("gzip".to_owned()));
    }

    #[test]
    fn metadata_is_bounded() {
        let of = |size: usize| Described {
            metadata: Some([("k".to_owned(), "v".repeat(size - 1))].into_iter().collect()),
            ..Described::default()
        };
        assert!(of(MAX_METADATA).check().is_ok());
        assert!(of(MAX_METADATA + 1).check().is_err());
    }
}
