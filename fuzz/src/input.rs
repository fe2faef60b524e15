//! How bytes become what a target needs: lines that people can write and read, so that seeds are plain files.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Lines of `name: value` as headers; what cannot be one is passed over.
pub(crate) fn headers(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Some((name, value)) = header(line) {
            headers.append(name, value);
        }
    }
    headers
}

/// A line of `name: value`.
pub(crate) fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = split_once(line, b':')?;
    let name = HeaderName::from_bytes(name.trim_ascii()).ok()?;
    Some((name, HeaderValue::from_bytes(value.trim_ascii()).ok()?))
}

/// What stands before and after the first of these bytes.
pub(crate) fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

/// The first line, and everything after it.
pub(crate) fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    split_once(bytes, b'\n').unwrap_or((bytes, b""))
}

/// The bytes in pieces: each byte of `sizes`, over and over, is the size of a piece less one.
pub(crate) fn pieces<'a>(bytes: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size) + 1);
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Every `from` is a `to`.
pub(crate) fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}
