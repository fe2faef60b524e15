//! Tag sets, in XML and in the `x-amz-tagging` header.

use percent_encoding::percent_decode_str;
use s3s::{
    S3Result,
    dto::{Tag, TagSet},
    s3_error,
};
use std::collections::BTreeSet;

/// How many tags an object may have.
pub(super) const OBJECT_TAGS: usize = 10;
/// How many tags a bucket may have.
pub(super) const BUCKET_TAGS: usize = 50;

/// Reads `k1=v1&k2=v2`, form-encoded.
pub(super) fn parse_header(header: &str) -> S3Result<Vec<(String, String)>> {
    let pairs = header.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(key)?, decode(value)?))
    });
    let tags = pairs.collect::<Option<Vec<_>>>().ok_or_else(|| {
        s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
    })?;
    check(tags, OBJECT_TAGS)
}

/// Reads a tag set of at most `limit` tags.
pub(super) fn parse_set(set: TagSet, limit: usize) -> S3Result<Vec<(String, String)>> {
    let tags = set.into_iter().map(|tag| Some((tag.key?, tag.value?))).collect::<Option<Vec<_>>>();
    let tags = tags.ok_or_else(|| s3_error!(MalformedXML, "A tag needs a key and a value"))?;
    check(tags, limit)
}

pub(super) fn to_set(tags: &[(String, String)]) -> TagSet {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

fn check(tags: Vec<(String, String)>, limit: usize) -> S3Result<Vec<(String, String)>> {
    if tags.len() > limit {
        return Err(s3_error!(InvalidTag, "At most {limit} tags are allowed"));
    }
    let mut seen = BTreeSet::new();
    for (key, value) in &tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > 256 {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if key.starts_with("aws:") {
            return Err(s3_error!(InvalidTag, "System tags cannot be added/updated by requester"));
        }
        if !seen.insert(key) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_form_encoded() {
        let tags = parse_header("team=vision+lab&stage=%C3%A4%26b&empty=").unwrap();
        let expected = [("team", "vision lab"), ("stage", "ä&b"), ("empty", "")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(parse_header("").unwrap(), []);
    }

    #[test]
    fn bad_sets_are_refused() {
        for header in ["a=1&a=2", "=1", "aws:x=1", "a=%ff"] {
            assert!(parse_header(header).is_err(), "{header}");
        }
        let eleven: Vec<String> = (0..11).map(|n| format!("k{n}=v")).collect();
        assert!(parse_header(&eleven.join("&")).is_err());
        assert!(parse_header(&format!("a={}", "x".repeat(257))).is_err());
    }
}
