//! Pages of keys, versions and uploads, rolled up at a delimiter.
//!
//! A page costs one seek per row or common prefix, however many keys lie under the prefix.

use super::{
    MetaError, lookup,
    record::{Part, Upload, Version},
    table::Snapshot,
};
use std::ops::Bound;

/// What to list. All strings are compared as bytes, as S3 does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    /// Empty: nothing is rolled up.
    pub(crate) delimiter: String,
    pub(crate) after: After,
    /// At most this many rows and common prefixes together.
    pub(crate) limit: usize,
}

/// Where the previous page ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum After {
    #[default]
    Start,
    /// After this key, but its common prefix is still shown (`start-after`).
    Key(String),
    /// After this row: the rest of a common prefix that it lies in was shown with it.
    Row(String),
    /// After this version or upload of this key.
    Item(String, u64),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Row<T> {
    Entry(String, T),
    Prefix(String),
}

#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<Row<T>>,
    pub(crate) truncated: bool,
}

/// A version in a list, and whether it is its key's newest.
pub(crate) type ListedVersion = (Version, bool);

/// A place to go on from; items of one key are ordered by number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seek {
    At(Vec<u8>),
    Past(Vec<u8>, u64),
}

/// The current versions of a bucket's keys.
pub(crate) fn current(snapshot: &Snapshot, bucket: u64, query: &Query) -> Result<Page<Version>, MetaError> {
    page(query, |seek| {
        let key = match seek {
            Seek::At(key) | Seek::Past(key, _) => key.as_slice(),
        };
        let range = snapshot.current.range((bucket, key)..(bucket + 1, [].as_slice()))?;
        Ok(range.map(|entry| {
            let (place, sequence) = entry?;
            let key = place.value().1;
            // One snapshot: an index without its record would be a broken database.
            let version = lookup::version(&snapshot.versions, bucket, key, sequence.value())?;
            Ok((text(key), version.ok_or(MetaError::NotCommitted)?))
        }))
    })
}

/// All versions and delete markers, newest first within a key.
pub(crate) fn versions(snapshot: &Snapshot, bucket: u64, query: &Query) -> Result<Page<ListedVersion>, MetaError> {
    page(query, |seek| {
        let (from, mut previous) = match seek {
            Seek::At(key) => (Bound::Included((bucket, key.as_slice(), 0)), None),
            Seek::Past(key, item) => (Bound::Excluded((bucket, key.as_slice(), *item)), Some(text(key))),
        };
        let range = snapshot.versions.range((from, Bound::Excluded((bucket + 1, [].as_slice(), 0))))?;
        Ok(range.map(move |entry| {
            let (place, record) = entry?;
            let key = text(place.value().1);
            let newest = previous.as_deref() != Some(&key);
            previous = Some(key.clone());
            Ok((key, (lookup::parse(record.value())?, newest)))
        }))
    })
}

/// Uploads in progress, oldest first within a key.
pub(crate) fn uploads(snapshot: &Snapshot, bucket: u64, query: &Query) -> Result<Page<Upload>, MetaError> {
    page(query, |seek| {
        let from = match seek {
            Seek::At(key) => Bound::Included((bucket, key.as_slice(), 0)),
            Seek::Past(key, item) => Bound::Excluded((bucket, key.as_slice(), *item)),
        };
        let range = snapshot.uploads.range((from, Bound::Excluded((bucket + 1, [].as_slice(), 0))))?;
        Ok(range.map(|entry| {
            let (place, record) = entry?;
            Ok((text(place.value().1), lookup::parse(record.value())?))
        }))
    })
}

/// Parts of an upload with numbers above `after`, at most `limit`, and whether more follow.
pub(crate) fn parts(
    snapshot: &Snapshot,
    upload: u64,
    after: u16,
    limit: usize,
) -> Result<(Vec<(u16, Part)>, bool), MetaError> {
    let range = (Bound::Excluded((upload, after)), Bound::Included((upload, u16::MAX)));
    let mut rows = Vec::new();
    for entry in snapshot.parts.range::<(u64, u16)>(range)? {
        let (place, record) = entry?;
        if rows.len() == limit {
            return Ok((rows, true));
        }
        rows.push((place.value().1, lookup::parse(record.value())?));
    }
    Ok((rows, false))
}

fn page<T, I>(query: &Query, scan: impl Fn(&Seek) -> Result<I, MetaError>) -> Result<Page<T>, MetaError>
where
    I: Iterator<Item = Result<(String, T), MetaError>>,
{
    let mut rows = Vec::new();
    if query.limit == 0 {
        return Ok(Page { rows, truncated: false });
    }
    let mut seek = start(query);
    'seek: loop {
        for entry in scan(&seek)? {
            let (key, item) = entry?;
            if !key.starts_with(&query.prefix) {
                break 'seek;
            }
            if rows.len() == query.limit {
                return Ok(Page { rows, truncated: true });
            }
            if let Some(prefix) = rolled_up(&key, query) {
                seek = Seek::At(past(prefix));
                rows.push(Row::Prefix(prefix.to_owned()));
                continue 'seek;
            }
            rows.push(Row::Entry(key, item));
        }
        break;
    }
    Ok(Page { rows, truncated: false })
}

fn start(query: &Query) -> Seek {
    let seek = match &query.after {
        After::Start => return Seek::At(query.prefix.clone().into_bytes()),
        After::Row(key) => match rolled_up(key, query) {
            Some(prefix) => Seek::At(past(prefix)),
            None => Seek::At(following(key)),
        },
        After::Key(key) => Seek::At(following(key)),
        After::Item(key, item) => Seek::Past(key.clone().into_bytes(), *item),
    };
    let (Seek::At(key) | Seek::Past(key, _)) = &seek;
    if key.as_slice() < query.prefix.as_bytes() { Seek::At(query.prefix.clone().into_bytes()) } else { seek }
}

/// The common prefix that a key is shown as, delimiter included.
fn rolled_up<'k>(key: &'k str, query: &Query) -> Option<&'k str> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(&query.prefix)?;
    let end = rest.find(&query.delimiter)? + query.delimiter.len();
    Some(&key[..query.prefix.len() + end])
}

/// The first possible key after this one.
fn following(key: &str) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

/// After every key with this prefix: no UTF-8 contains the byte 0xFF.
fn past(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), &[0xff]].concat()
}

/// Keys came in as strings.
fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists `keys` (sorted) page by page and returns all pages, rows as text.
    fn pages(keys: &[&str], query: &Query) -> Vec<Vec<String>> {
        let mut query = query.clone();
        let mut all = Vec::new();
        loop {
            let scan = |seek: &Seek| {
                let (Seek::At(from) | Seek::Past(from, _)) = seek;
                let from = from.clone();
                let rest = keys.iter().filter(move |key| key.as_bytes() >= from.as_slice());
                Ok(rest.map(|key| Ok(((*key).to_owned(), ()))))
            };
            let page = page(&query, scan).unwrap();
            let rows: Vec<String> =
                page.rows.iter().map(|(Row::Entry(key, ()) | Row::Prefix(key))| key.clone()).collect();
            query.after = After::Row(rows.last().cloned().unwrap_or_default());
            all.push(rows);
            if !page.truncated {
                return all;
            }
        }
    }

    fn query(prefix: &str, delimiter: &str, limit: usize) -> Query {
        Query { prefix: prefix.into(), delimiter: delimiter.into(), limit, after: After::Start }
    }

    const KEYS: &[&str] = &["a", "a/", "a/1", "a/2", "b/c/1", "b/c/2", "b/d", "c", "ä/x", "\u{10ffff}/y"];

    #[test]
    fn pages_of_any_size_show_every_row_once() {
        for delimiter in ["", "/", "c/"] {
            let whole = pages(KEYS, &query("", delimiter, 100)).concat();
            for limit in 1..12 {
                let paged = pages(KEYS, &query("", delimiter, limit));
                assert_eq!(paged.concat(), whole, "limit {limit}, delimiter {delimiter:?}");
                assert!(paged.iter().all(|page| page.len() <= limit));
            }
        }
    }

    #[test]
    fn a_delimiter_rolls_up_behind_the_prefix() {
        assert_eq!(pages(KEYS, &query("", "/", 100)), [["a", "a/", "b/", "c", "ä/", "\u{10ffff}/"]]);
        assert_eq!(pages(KEYS, &query("b/", "/", 100)), [["b/c/", "b/d"]]);
        assert_eq!(pages(KEYS, &query("b/c", "/", 1)), [["b/c/"]]);
    }

    #[test]
    fn a_full_last_page_is_not_truncated() {
        assert_eq!(pages(&["a", "b"], &query("", "", 2)), [["a", "b"]]);
        assert_eq!(pages(&["a", "x/1", "x/2"], &query("", "/", 2)), [["a", "x/"]]);
    }

    #[test]
    fn start_after_inside_a_common_prefix_still_shows_it() {
        let mut inside = query("", "/", 10);
        inside.after = After::Key("b/c/1".into());
        assert_eq!(pages(KEYS, &inside)[0][0], "b/");
        inside.after = After::Row("b/c/1".into());
        assert_eq!(pages(KEYS, &inside)[0][0], "c");
    }

    #[test]
    fn no_rows_are_asked_for() {
        let page = page(&query("", "", 0), |_| Ok(std::iter::once(Ok((String::from("a"), ()))))).unwrap();
        assert!(page.rows.is_empty() && !page.truncated);
    }
}
