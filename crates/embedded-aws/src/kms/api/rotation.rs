//! Rotation: new material every so many days, the old kept for decryption.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{KeyIdRequest, enabled, parse, seconds, to_change};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::record::{DAY, KeyState, Rotation};
use crate::kms::{Kms, KmsError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EnableKeyRotationRequest {
    key_id: String,
    rotation_period_in_days: Option<i64>,
}

impl Kms {
    pub(super) fn enable_key_rotation(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: EnableKeyRotationRequest = parse(body)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "EnableKeyRotation")?;
        enabled(&keys, key)?;
        let mut record = key.record.clone();
        // Repeating the call without a period keeps the one in force, and its date.
        let period_days = match (request.rotation_period_in_days, record.rotation) {
            (None, Some(_)) => return Ok(Value::Null),
            (None, None) => 365,
            (Some(days), _) => u16::try_from(days).ok().filter(|days| (90..=2560).contains(days)).ok_or_else(|| {
                KmsError::Validation(format!(
                    "1 validation error detected: Value '{days}' at 'rotationPeriodInDays' failed to satisfy \
                     constraint: Member must have value between 90 and 2560"
                ))
            })?,
        };
        if record.rotation.is_none_or(|rotation| rotation.period_days != period_days) {
            record.rotation = Some(Rotation { period_days, next: self.now() + i64::from(period_days) * DAY });
            keys.update(self.tables(), record)?;
        }
        Ok(Value::Null)
    }

    pub(super) fn disable_key_rotation(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: KeyIdRequest = parse(body)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "DisableKeyRotation")?;
        enabled(&keys, key)?;
        let mut record = key.record.clone();
        record.rotation = None;
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn get_key_rotation_status(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: KeyIdRequest = parse(body)?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::IdOrArn)?;
        // A key that waits for its deletion does not rotate; after a cancellation its setting counts again.
        let pending = matches!(key.record.state, KeyState::PendingDeletion { .. });
        let rotation = key.record.rotation.filter(|_| !pending);
        let mut status = json!({ "KeyId": keys.arns.key(&key.record.id), "KeyRotationEnabled": rotation.is_some() });
        if let Some(rotation) = rotation {
            status["RotationPeriodInDays"] = json!(rotation.period_days);
            status["NextRotationDate"] = seconds(rotation.next);
        }
        Ok(status)
    }
}
