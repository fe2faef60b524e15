//! Storage classes as they are told: bytes lie in one place, whatever a lifecycle rule says of them.

use crate::meta::record::{Content, StorageClass};
use s3s::dto;

/// The class's name, as all of S3's lists of classes spell it.
pub(super) fn name(content: &Content) -> &'static str {
    match content.storage_class {
        StorageClass::Standard => dto::StorageClass::STANDARD,
        StorageClass::IntelligentTiering => dto::StorageClass::INTELLIGENT_TIERING,
    }
}

/// The class where it is worth a header.
pub(super) fn unusual(content: &Content) -> Option<dto::StorageClass> {
    (content.storage_class != StorageClass::Standard).then(|| dto::StorageClass::from_static(name(content)))
}
