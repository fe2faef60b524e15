//! Making keys, showing them, and the states they go through.

use serde::Deserialize;
use serde_json::{Value, json};

use super::tags::{Tag, checked_tags};
use super::{KeyIdRequest, demand, list, no_grant_tokens, page, parse, seconds, to_change};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::record::{DAY, Key, KeyState, Manager};
use crate::kms::{Keys, Kms, KmsError, new_id, new_record, policy_document};

/// Largest description in characters.
const MAX_DESCRIPTION: usize = 8192;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct CreateKeyRequest {
    description: Option<String>,
    policy: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Option<Vec<Tag>>,
    key_spec: Option<String>,
    customer_master_key_spec: Option<String>,
    key_usage: Option<String>,
    origin: Option<String>,
    multi_region: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DescribeKeyRequest {
    key_id: String,
    grant_tokens: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListKeysRequest {
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateKeyDescriptionRequest {
    key_id: String,
    description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ScheduleKeyDeletionRequest {
    key_id: String,
    pending_window_in_days: Option<i64>,
}

impl Kms {
    pub(super) fn create_key(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: CreateKeyRequest = parse(body)?;
        only("KeySpec", request.key_spec.as_deref(), "SYMMETRIC_DEFAULT")?;
        only("CustomerMasterKeySpec", request.customer_master_key_spec.as_deref(), "SYMMETRIC_DEFAULT")?;
        only("KeyUsage", request.key_usage.as_deref(), "ENCRYPT_DECRYPT")?;
        only("Origin", request.origin.as_deref(), "AWS_KMS")?;
        if request.multi_region == Some(true) {
            return Err(KmsError::Unsupported("MultiRegion keys are not supported".to_owned()));
        }
        let description = checked_description(request.description.unwrap_or_default())?;
        let tags = request.tags.unwrap_or_default();
        if !tags.is_empty() {
            demand(identity, "TagResource", "*")?;
        }
        let tags = checked_tags(tags)?;
        let mut keys = self.write();
        if let Some(policy) = &request.policy {
            let caller = (request.bypass_policy_lockout_safety_check != Some(true)).then_some(identity.arn.as_str());
            policy_document::check(policy, &keys.arns.account, caller)?;
        }
        let mut record = new_record(new_id()?, Manager::Customer, self.now(), &keys.arns.account);
        record.description = description;
        record.tags = tags;
        if let Some(policy) = request.policy {
            record.policy = policy;
        }
        let id = record.id.clone();
        keys.create(self.tables(), record)?;
        let key = keys.resolve(&id, Names::IdOrArn)?;
        Ok(json!({ "KeyMetadata": metadata(&keys, key) }))
    }

    pub(super) fn describe_key(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: DescribeKeyRequest = parse(body)?;
        no_grant_tokens(request.grant_tokens.as_deref())?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::All)?;
        Ok(json!({ "KeyMetadata": metadata(&keys, key) }))
    }

    pub(super) fn list_keys(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: ListKeysRequest = parse(body)?;
        let keys = self.read();
        let items = keys.visible().map(|key| {
            let id = key.record.id.clone();
            let item = json!({ "KeyId": id, "KeyArn": keys.arns.key(&id) });
            (id, item)
        });
        Ok(list("Keys", page(items, request.limit, (100, 1000), request.marker.as_deref())?))
    }

    pub(super) fn update_key_description(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: UpdateKeyDescriptionRequest = parse(body)?;
        let description = checked_description(request.description)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "UpdateKeyDescription")?;
        keys.not_pending(key)?;
        let mut record = key.record.clone();
        record.description = description;
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn enable_key(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        self.switch(identity, body, "EnableKey", KeyState::Enabled)
    }

    pub(super) fn disable_key(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        self.switch(identity, body, "DisableKey", KeyState::Disabled)
    }

    fn switch(&self, identity: &Identity, body: &[u8], operation: &str, state: KeyState) -> Result<Value, KmsError> {
        let request: KeyIdRequest = parse(body)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, operation)?;
        keys.not_pending(key)?;
        let mut record = key.record.clone();
        record.state = state;
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn schedule_key_deletion(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: ScheduleKeyDeletionRequest = parse(body)?;
        let days = request.pending_window_in_days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint: \
                 Member must have value between 7 and 30"
            )));
        }
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "ScheduleKeyDeletion")?;
        keys.not_pending(key)?;
        let at = self.now() + days * DAY;
        let mut record = key.record.clone();
        record.state = KeyState::PendingDeletion { at };
        let arn = keys.arns.key(&record.id);
        keys.update(self.tables(), record)?;
        Ok(json!({
            "KeyId": arn, "DeletionDate": seconds(at), "KeyState": "PendingDeletion", "PendingWindowInDays": days,
        }))
    }

    pub(super) fn cancel_key_deletion(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: KeyIdRequest = parse(body)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "CancelKeyDeletion")?;
        let arn = keys.arns.key(&key.record.id);
        if !matches!(key.record.state, KeyState::PendingDeletion { .. }) {
            return Err(KmsError::InvalidState(format!("{arn} is not pending deletion.")));
        }
        let mut record = key.record.clone();
        record.state = KeyState::Disabled;
        keys.update(self.tables(), record)?;
        Ok(json!({ "KeyId": arn }))
    }
}

fn metadata(keys: &Keys, key: &Key) -> Value {
    let record = &key.record;
    let state = match record.state {
        KeyState::Enabled => "Enabled",
        KeyState::Disabled => "Disabled",
        KeyState::PendingDeletion { .. } => "PendingDeletion",
    };
    let mut metadata = json!({
        "AWSAccountId": keys.arns.account,
        "KeyId": record.id,
        "Arn": keys.arns.key(&record.id),
        "CreationDate": seconds(record.created),
        "Enabled": record.state == KeyState::Enabled,
        "Description": record.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": state,
        "Origin": "AWS_KMS",
        "KeyManager": if record.manager == Manager::Customer { "CUSTOMER" } else { "AWS" },
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    });
    if let KeyState::PendingDeletion { at } = record.state {
        metadata["DeletionDate"] = seconds(at);
    }
    metadata
}

fn only(name: &str, value: Option<&str>, supported: &str) -> Result<(), KmsError> {
    match value {
        Some(value) if value != supported => {
            Err(KmsError::Unsupported(format!("{name} {value} is not supported, only {supported} is")))
        }
        _ => Ok(()),
    }
}

fn checked_description(description: String) -> Result<String, KmsError> {
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(KmsError::Validation(format!(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have \
             length less than or equal to {MAX_DESCRIPTION}"
        )));
    }
    Ok(description)
}
