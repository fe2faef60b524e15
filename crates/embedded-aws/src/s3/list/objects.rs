//! `ListObjectsV2` and `ListObjects`.

use super::{KeyEncoding, limit, shown};
use crate::{
    meta::{
        listing::{self, After, Page, Query, Row},
        record::Version,
    },
    s3::{Store, blocking, bucket_of, clock, storage_class},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, ETag, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
        ListObjectsV2Output, Object, ObjectStorageClass, Owner,
    },
    s3_error,
};

pub(in crate::s3) async fn list_objects_v2(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let encoding = KeyEncoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => After::Row(decode_token(token)?),
        (None, Some(key)) => After::Key(key.clone()),
        (None, None) => After::Start,
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let page = page(store, &input.bucket, query).await?;
    let next = page.truncated.then(|| page.rows.last().map(|row| encode_token(row_key(row)))).flatten();
    let truncated = page.truncated;
    let owner = input.fetch_owner.unwrap_or(false).then(|| store.owner());
    let (contents, prefixes) = split(page, encoding, owner.as_ref());
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        max_keys: Some(shown(limit)),
        key_count: Some(shown(contents.len() + prefixes.len())),
        continuation_token: input.continuation_token,
        is_truncated: Some(truncated),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: encoding.prefixes(prefixes),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoding.encode(&text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|key| encoding.encode(&key)),
        request_charged: None,
    }))
}

pub(in crate::s3) async fn list_objects(
    store: &Store,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let encoding = KeyEncoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let marker = input.marker.clone().filter(|marker| !marker.is_empty());
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: marker.map_or(After::Start, After::Row),
        limit,
    };
    let delimited = !query.delimiter.is_empty();
    let page = page(store, &input.bucket, query).await?;
    // Without a delimiter the last key is the marker, and S3 does not repeat it.
    let next = page
        .truncated
        .then(|| page.rows.last().map(|row| encoding.encode(row_key(row))))
        .flatten()
        .filter(|_| delimited);
    let truncated = page.truncated;
    let owner = store.owner();
    let (contents, prefixes) = split(page, encoding, Some(&owner));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        marker: Some(encoding.encode(&input.marker.unwrap_or_default())),
        max_keys: Some(shown(limit)),
        is_truncated: Some(truncated),
        contents: Some(contents),
        common_prefixes: encoding.prefixes(prefixes),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoding.encode(&text)),
        next_marker: next,
        encoding_type: input.encoding_type,
        request_charged: None,
    }))
}

async fn page(store: &Store, bucket: &str, query: Query) -> S3Result<Page<Version>> {
    let snapshot = store.snapshot()?;
    let id = bucket_of(&snapshot, bucket)?.id;
    blocking(move || Ok(listing::current(&snapshot, id, &query)?)).await
}

fn split(page: Page<Version>, encoding: KeyEncoding, owner: Option<&Owner>) -> (Vec<Object>, Vec<String>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for row in page.rows {
        match row {
            Row::Entry(key, version) => contents.push(object(&key, version, encoding, owner)),
            Row::Prefix(prefix) => prefixes.push(prefix),
        }
    }
    (contents, prefixes)
}

fn object(key: &str, version: Version, encoding: KeyEncoding, owner: Option<&Owner>) -> Object {
    let mut object = Object {
        key: Some(encoding.encode(key)),
        last_modified: Some(clock::timestamp(version.modified_ms)),
        owner: owner.cloned(),
        ..Object::default()
    };
    if let Some(content) = version.content {
        object.storage_class = Some(ObjectStorageClass::from_static(storage_class::name(&content)));
        object.size = Some(content.size as i64);
        object.e_tag = Some(ETag::Strong(content.etag));
        if let Some(checksum) = content.checksum {
            object.checksum_algorithm = Some(vec![ChecksumAlgorithm::from_static(checksum.algorithm.name())]);
            object.checksum_type = Some(ChecksumType::from_static(checksum.kind.name()));
        }
    }
    object
}

fn row_key<T>(row: &Row<T>) -> &str {
    match row {
        Row::Entry(key, _) | Row::Prefix(key) => key,
    }
}

/// A token is the last row shown; the leading `1` leaves room for another kind.
fn encode_token(key: &str) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(key))
}

fn decode_token(token: &str) -> S3Result<String> {
    let key = token.strip_prefix('1').and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    key.and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_any_key() {
        for key in ["a", "ä/ \u{10ffff}", ""] {
            assert_eq!(decode_token(&encode_token(key)).unwrap(), key);
        }
        for token in ["", "2YQ", "1???", "1_w"] {
            assert!(decode_token(token).is_err(), "{token}");
        }
    }
}
