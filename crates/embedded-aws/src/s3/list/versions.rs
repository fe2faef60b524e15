//! `ListObjectVersions`.

use super::{KeyEncoding, limit, shown};
use crate::{
    meta::{
        SequencedId,
        listing::{self, After, Query, Row},
        lookup,
    },
    s3::{Store, blocking, bucket_of, clock, object::id_of, storage_class},
};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, DeleteMarkerEntry, ETag, ListObjectVersionsInput, ListObjectVersionsOutput,
        ObjectVersion, ObjectVersionStorageClass,
    },
    s3_error,
};

pub(in crate::s3) async fn list_object_versions(
    store: &Store,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    let encoding = KeyEncoding::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let snapshot = store.snapshot()?;
    let bucket = bucket_of(&snapshot, &input.bucket)?.id;
    let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
    let id_marker = input.version_id_marker.clone().filter(|marker| !marker.is_empty());
    let after = match (key_marker, id_marker) {
        (None, Some(_)) => {
            return Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."));
        }
        (None, None) => After::Start,
        (Some(key), None) => After::Row(key),
        (Some(key), Some(id)) => {
            let sequence = match (id.as_str(), SequencedId::parse(&id)) {
                ("null", _) => lookup::null_sequence(&snapshot.nulls, bucket, key.as_bytes())?,
                // A marker that was deleted meanwhile still names its place.
                (_, Some(id)) => Some(id.sequence),
                (_, None) => return Err(s3_error!(InvalidArgument, "Invalid version id specified")),
            };
            match sequence {
                Some(sequence) => After::Item(key, !sequence),
                None => After::Row(key),
            }
        }
    };
    let query = Query {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let page = blocking(move || Ok(listing::versions(&snapshot, bucket, &query)?)).await?;

    let mut output = ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.encode(&input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoding.encode(&text)),
        key_marker: Some(encoding.encode(&input.key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(shown(limit)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        ..ListObjectVersionsOutput::default()
    };
    if page.truncated {
        match page.rows.last() {
            Some(Row::Entry(key, (version, _))) => {
                output.next_key_marker = Some(encoding.encode(key));
                output.next_version_id_marker = Some(id_of(version));
            }
            Some(Row::Prefix(prefix)) => output.next_key_marker = Some(encoding.encode(prefix)),
            None => {}
        }
    }
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    let owner = store.owner();
    for row in page.rows {
        let (key, version, newest) = match row {
            Row::Entry(key, (version, newest)) => (encoding.encode(&key), version, newest),
            Row::Prefix(prefix) => {
                prefixes.push(prefix);
                continue;
            }
        };
        let version_id = Some(id_of(&version));
        let last_modified = Some(clock::timestamp(version.modified_ms));
        let Some(content) = version.content else {
            markers.push(DeleteMarkerEntry {
                is_latest: Some(newest),
                key: Some(key),
                last_modified,
                owner: Some(owner.clone()),
                version_id,
            });
            continue;
        };
        let algorithm = content.checksum.as_ref().map(|checksum| checksum.algorithm.name());
        let class = ObjectVersionStorageClass::from_static(storage_class::name(&content));
        versions.push(ObjectVersion {
            checksum_algorithm: algorithm.map(|name| vec![ChecksumAlgorithm::from_static(name)]),
            checksum_type: content.checksum.map(|checksum| ChecksumType::from_static(checksum.kind.name())),
            e_tag: Some(ETag::Strong(content.etag)),
            is_latest: Some(newest),
            key: Some(key),
            last_modified,
            owner: Some(owner.clone()),
            restore_status: None,
            size: Some(content.size as i64),
            storage_class: Some(class),
            version_id,
        });
    }
    output.versions = Some(versions);
    output.delete_markers = Some(markers);
    output.common_prefixes = encoding.prefixes(prefixes);
    Ok(S3Response::new(output))
}
