//! `Range`, `If-Range`, `If-Match` and `If-None-Match`: a line with the size of the file, then headers.

use axum::http::header;
use strongroom::http::range::{Condition, Selection, condition, depends_on_etag, selection};

use crate::input;

const TAG: &str = "\"sha256:ab\"";

pub(crate) fn check(bytes: &[u8]) {
    let (size, rest) = input::first_line(bytes);
    let size: u64 = std::str::from_utf8(size).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(100);
    let headers = input::headers(rest);
    for etag in [Some(TAG), None] {
        let selected = selection(&headers, etag, size);
        match &selected {
            Selection::Part(range) => {
                assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
                assert!(headers.contains_key(header::RANGE));
                let same = headers.get(header::IF_RANGE).is_none_or(|tag| etag.is_some_and(|etag| *tag == etag));
                assert!(same, "a range of other bytes than the client has");
            }
            Selection::NotSatisfiable => assert!(headers.contains_key(header::RANGE)),
            Selection::Whole => {}
        }
        // A range that is exactly the bytes that were selected selects them again, and nothing is outside of the file.
        if let Selection::Part(range) = selected {
            let mut again = headers.clone();
            let text = format!("bytes={}-{}", range.start, range.end - 1);
            again.insert(header::RANGE, text.parse().unwrap());
            assert_eq!(selection(&again, etag, size), Selection::Part(range));
        }
        let judged = condition(&headers, etag);
        if judged != Condition::Holds {
            assert!(headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH));
        }
        if judged == Condition::NotModified && etag.is_none() {
            let stars = |value: &axum::http::HeaderValue| value.as_bytes().contains(&b'*');
            assert!(headers.get_all(header::IF_NONE_MATCH).iter().any(stars), "without a tag nothing is the same");
        }
    }
    if headers.contains_key(header::IF_RANGE) {
        assert!(depends_on_etag(&headers));
    }
}
