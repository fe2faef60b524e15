//! Operations on one object, or on a list of them.

pub(super) mod acl;
pub(super) mod attributes;
pub(super) mod conditions;
pub(super) mod copy;
pub(super) mod delete;
pub(super) mod delete_many;
pub(super) mod get;
pub(super) mod lock;
pub(super) mod put;
pub(super) mod tagging;

use super::{Store, clock, error, place_of};
use crate::{
    meta::{
        SequencedId,
        lookup::{self, VersionRef},
        objects::Place,
        record::{Content, Version, Versioning},
    },
    s3::access::Caller,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3Result, s3_error};
use std::sync::Arc;

/// A version with content that a request may look at.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) versioning: Versioning,
    pub(super) version: Version,
    pub(super) content: Content,
}

impl Found {
    /// What `x-amz-version-id` says.
    pub(super) fn version_id(&self) -> Option<String> {
        shown_id(self.versioning, &self.version)
    }
}

/// Reads the `versionId` parameter.
pub(super) fn version_ref(version_id: Option<&str>) -> S3Result<VersionRef> {
    match version_id {
        None => Ok(VersionRef::Latest),
        Some("null") => Ok(VersionRef::Null),
        Some("") => Err(s3_error!(InvalidArgument, "Version id cannot be the empty string")),
        Some(text) => match SequencedId::parse(text) {
            Some(id) => Ok(VersionRef::Id(id)),
            None => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
        },
    }
}

/// A version's id, however the bucket is versioned.
pub(super) fn id_of(version: &Version) -> String {
    if version.null {
        return "null".to_owned();
    }
    SequencedId { sequence: version.sequence, nonce: version.nonce }.to_string()
}

/// A version's id in a response: none while the bucket was never versioned.
pub(super) fn shown_id(versioning: Versioning, version: &Version) -> Option<String> {
    (versioning != Versioning::Unversioned).then(|| id_of(version))
}

/// Finds what a read names, or answers as S3 does for absent keys and delete markers.
pub(super) fn find(
    store: &Store,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    extensions: &Extensions,
) -> S3Result<Found> {
    let snapshot = store.snapshot()?;
    let (place, record) = place_of(&snapshot, bucket, key)?;
    let wanted = version_ref(version_id)?;
    let found = lookup::find(&snapshot.versions, &snapshot.nulls, place.bucket_id, key.as_bytes(), wanted)?;
    let Some(mut version) = found else {
        may_know_absence(store, bucket, extensions)?;
        return Err(if wanted == VersionRef::Latest {
            s3_error!(NoSuchKey, "The specified key does not exist.")
        } else {
            s3_error!(NoSuchVersion, "The specified version does not exist.")
        });
    };
    if let Some(content) = version.content.take() {
        return Ok(Found { place, versioning: record.versioning, version, content });
    }
    may_know_absence(store, bucket, extensions)?;
    Err(marker_error(&version, wanted))
}

/// Without `s3:ListBucket`, S3 does not tell an absent key from a forbidden one.
fn may_know_absence(store: &Store, bucket: &str, extensions: &Extensions) -> S3Result<()> {
    match extensions.get::<Arc<Caller>>() {
        Some(caller) => caller.verdict_for(store, "s3:ListBucket", bucket, None, None),
        None => Err(s3_error!(AccessDenied, "Access Denied")),
    }
}

/// Reading SSE-KMS content takes `kms:Decrypt`, as on AWS.
pub(super) fn may_decrypt(content: &Content, extensions: &Extensions) -> S3Result<()> {
    let Some(key) = &content.encryption.kms_key else { return Ok(()) };
    match extensions.get::<Arc<Caller>>() {
        Some(caller) => caller.may_use_key("kms:Decrypt", key),
        None => Err(s3_error!(AccessDenied, "Access Denied")),
    }
}

fn marker_error(marker: &Version, wanted: VersionRef) -> S3Error {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::from_str(&id_of(marker)) {
        headers.insert("x-amz-version-id", id);
    }
    let mut error = if wanted == VersionRef::Latest {
        s3_error!(NoSuchKey, "The specified key does not exist.")
    } else {
        headers.insert(header::ALLOW, HeaderValue::from_static("DELETE"));
        conditions::insert_time(&mut headers, header::LAST_MODIFIED, marker.modified_ms);
        s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")
    };
    error.set_headers(headers);
    error
}

/// The time of a new version.
fn now() -> i64 {
    clock::now_ms()
}

fn not_implemented(what: &str) -> S3Error {
    error::custom("NotImplemented", 501, format!("{what} is not supported"))
}
