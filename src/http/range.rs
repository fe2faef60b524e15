//! `Range` and the conditional headers (RFC 9110).

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// Which bytes of a file are to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    Whole,
    /// These.
    Part(Range<u64>),
    /// None of those that were asked for exist.
    NotSatisfiable,
}

/// What the conditional headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Go on.
    Holds,
    /// The client has these bytes.
    NotModified,
    /// The client wants other bytes.
    Failed,
}

/// Evaluates `If-Match` and `If-None-Match` against the file's ETag; one without an ETag has no tag in common with any.
pub fn condition(headers: &HeaderMap, etag: Option<&str>) -> Condition {
    let tags = |name: &header::HeaderName| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect()
    };
    // RFC 9110: If-Match compares strongly, If-None-Match weakly.
    if headers.contains_key(header::IF_MATCH)
        && !tags(&header::IF_MATCH).iter().any(|tag| tag == "*" || Some(tag.as_str()) == etag)
    {
        return Condition::Failed;
    }
    let weakly = |tag: &String| tag == "*" || Some(tag.strip_prefix("W/").unwrap_or(tag)) == etag;
    if tags(&header::IF_NONE_MATCH).iter().any(weakly) { Condition::NotModified } else { Condition::Holds }
}

/// Whether the request depends on the file's ETag in a way that S3, which has another one, would judge differently.
///
/// A client sends its headers again after a redirect: `If-Range` would splice two files, and `If-Match` always fail.
pub fn depends_on_etag(headers: &HeaderMap) -> bool {
    [header::IF_RANGE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
}

/// Evaluates `Range` and `If-Range` for a file of this size.
///
/// A header that is malformed, in another unit or names several ranges is passed over, as RFC 9110 §14.2 lets us.
pub fn selection(headers: &HeaderMap, etag: Option<&str>, size: u64) -> Selection {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Selection::Whole;
    };
    if headers.get(header::IF_RANGE).is_some_and(|tag| Some(tag.as_bytes()) != etag.map(str::as_bytes)) {
        return Selection::Whole;
    }
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Selection::Whole;
    };
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let range = match (first, last) {
        ("", last) => match number(last) {
            Some(0) => return Selection::NotSatisfiable,
            Some(length) => size.saturating_sub(length)..size,
            None => return Selection::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => first..size,
            None => return Selection::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Selection::Whole,
        },
    };
    if range.start < range.end { Selection::Part(range) } else { Selection::NotSatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"sha256:ab\"";

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn range(text: &str) -> Selection {
        selection(&headers(&[(header::RANGE, text)]), Some(TAG), 100)
    }

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        assert_eq!(range("bytes=0-9"), Selection::Part(0..10));
        assert_eq!(range("bytes=90-"), Selection::Part(90..100));
        assert_eq!(range("bytes=-10"), Selection::Part(90..100));
        assert_eq!(range("bytes=-1000"), Selection::Part(0..100));
        assert_eq!(range("bytes=50-18446744073709551615"), Selection::Part(50..100));
    }

    #[test]
    fn ranges_outside_the_file_are_not_satisfiable() {
        for text in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(range(text), Selection::NotSatisfiable, "{text}");
        }
        let empty = selection(&headers(&[(header::RANGE, "bytes=0-")]), Some(TAG), 0);
        assert_eq!(empty, Selection::NotSatisfiable);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_passed_over() {
        for text in ["bytes=", "bytes=a-b", "bytes=9-0", "bytes=0-1,5-6", "lines=0-1", "bytes=+1-2", "bytes=--1", "0-1"]
        {
            assert_eq!(range(text), Selection::Whole, "{text}");
        }
    }

    #[test]
    fn if_range_lets_the_range_through_only_for_the_same_bytes() {
        let with = |tag| selection(&headers(&[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, tag)]), Some(TAG), 100);
        assert_eq!(with(TAG), Selection::Part(0..1));
        assert_eq!(with("\"sha256:cd\""), Selection::Whole);
        assert_eq!(with("Sun, 09 Sep 2001 01:46:40 GMT"), Selection::Whole);
    }

    #[test]
    fn conditions_compare_the_etag() {
        let of = |pairs: &[(header::HeaderName, &str)]| condition(&headers(pairs), Some(TAG));
        assert_eq!(of(&[]), Condition::Holds);
        assert_eq!(of(&[(header::IF_NONE_MATCH, TAG)]), Condition::NotModified);
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"x\", W/\"sha256:ab\"")]), Condition::NotModified);
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), Condition::NotModified);
        assert_eq!(of(&[(header::IF_NONE_MATCH, "\"x\"")]), Condition::Holds);
        assert_eq!(of(&[(header::IF_MATCH, "\"x\"")]), Condition::Failed);
        assert_eq!(of(&[(header::IF_MATCH, "W/\"sha256:ab\"")]), Condition::Failed);
        assert_eq!(of(&[(header::IF_MATCH, TAG)]), Condition::Holds);
    }

    #[test]
    fn file_without_an_etag_is_never_taken_for_one_that_a_client_has() {
        let of = |pairs: &[(header::HeaderName, &str)]| condition(&headers(pairs), None);
        assert_eq!(of(&[(header::IF_NONE_MATCH, TAG)]), Condition::Holds);
        assert_eq!(of(&[(header::IF_MATCH, TAG)]), Condition::Failed);
        assert_eq!(of(&[(header::IF_MATCH, "*")]), Condition::Holds);
        let spliced = selection(&headers(&[(header::RANGE, "bytes=0-0"), (header::IF_RANGE, TAG)]), None, 100);
        assert_eq!(spliced, Selection::Whole);
    }
}
