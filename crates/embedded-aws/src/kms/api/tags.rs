//! Tags of keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{list, page, parse, to_change};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::{Kms, KmsError};

const MAX_TAGS: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TagResourceRequest {
    key_id: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UntagResourceRequest {
    key_id: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListResourceTagsRequest {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
}

/// Checks tags that are put together: their form, and that no key occurs twice.
pub(super) fn checked_tags(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, KmsError> {
    let mut checked = BTreeMap::new();
    for Tag { tag_key, tag_value } in tags {
        if !(1..=128).contains(&tag_key.chars().count()) || tag_value.chars().count() > 256 {
            return Err(KmsError::Validation(
                "a tag key has 1 to 128 characters and a tag value at most 256".to_owned(),
            ));
        }
        if tag_key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(KmsError::Tag(format!("tag key {tag_key:?} begins with aws:, which is reserved")));
        }
        if let Some(earlier) = checked.insert(tag_key, tag_value) {
            return Err(KmsError::Tag(format!("a tag key occurs twice, once with the value {earlier:?}")));
        }
    }
    demand_few(&checked)?;
    Ok(checked)
}

impl Kms {
    pub(super) fn tag_resource(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: TagResourceRequest = parse(body)?;
        let tags = checked_tags(request.tags)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "TagResource")?;
        keys.not_pending(key)?;
        let mut record = key.record.clone();
        record.tags.extend(tags);
        demand_few(&record.tags)?;
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn untag_resource(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: UntagResourceRequest = parse(body)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "UntagResource")?;
        keys.not_pending(key)?;
        let mut record = key.record.clone();
        for name in &request.tag_keys {
            record.tags.remove(name);
        }
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn list_resource_tags(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: ListResourceTagsRequest = parse(body)?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::IdOrArn)?;
        let items =
            key.record.tags.iter().map(|(name, value)| (name.clone(), json!({ "TagKey": name, "TagValue": value })));
        Ok(list("Tags", page(items, request.limit, (50, 50), request.marker.as_deref())?))
    }
}

fn demand_few(tags: &BTreeMap<String, String>) -> Result<(), KmsError> {
    if tags.len() > MAX_TAGS {
        return Err(KmsError::Tag(format!("a key has at most {MAX_TAGS} tags")));
    }
    Ok(())
}
