//! Lists: of current objects, of versions, and what both share.

pub(super) mod objects;
pub(super) mod versions;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Result,
    dto::{CommonPrefix, EncodingType},
    s3_error,
};

pub(super) const MAX_ROWS: usize = 1000;

/// What S3 leaves alone with `encoding-type=url`. A space becomes `%20`, which every client decodes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// How keys are written into a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyEncoding {
    url: bool,
}

impl KeyEncoding {
    pub(super) fn of(requested: Option<&EncodingType>) -> S3Result<Self> {
        match requested.map(EncodingType::as_str) {
            None | Some("") => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    pub(super) fn encode(self, key: &str) -> String {
        if self.url { utf8_percent_encode(key, ENCODED).to_string() } else { key.to_owned() }
    }

    pub(super) fn prefixes(self, prefixes: Vec<String>) -> Option<Vec<CommonPrefix>> {
        let shown = |prefix: String| CommonPrefix { prefix: Some(self.encode(&prefix)) };
        (!prefixes.is_empty()).then(|| prefixes.into_iter().map(shown).collect())
    }
}

/// A number of rows as it is shown.
pub(super) fn shown(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Reads `max-keys` and its like: 0 or more, at most 1,000 are given.
pub(super) fn limit(requested: Option<i32>) -> S3Result<usize> {
    let Some(requested) = requested else { return Ok(MAX_ROWS) };
    let limit = usize::try_from(requested);
    let limit = limit
        .map_err(|_| s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647"))?;
    Ok(limit.min(MAX_ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_slashes_and_escape_the_rest() {
        let url = KeyEncoding { url: true };
        assert_eq!(url.encode("a/b c+d&ü\u{1}.x-_*"), "a/b%20c%2Bd%26%C3%BC%01.x-_*");
        assert_eq!(KeyEncoding { url: false }.encode("a b"), "a b");
    }

    #[test]
    fn limits_are_capped_and_not_negative() {
        assert_eq!(limit(None).unwrap(), 1000);
        assert_eq!(limit(Some(0)).unwrap(), 0);
        assert_eq!(limit(Some(5000)).unwrap(), 1000);
        assert!(limit(Some(-1)).is_err());
    }
}
