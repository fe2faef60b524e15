//! Aliases: movable names of keys.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{customer_managed, list, page, parse, seconds, to_change};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::record::AliasRecord;
use crate::kms::{Kms, KmsError};

/// Longest alias in bytes, with `alias/`.
const MAX_ALIAS: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AliasToKeyRequest {
    alias_name: String,
    target_key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteAliasRequest {
    alias_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListAliasesRequest {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

impl Kms {
    pub(super) fn create_alias(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: AliasToKeyRequest = parse(body)?;
        let name = checked_name(request.alias_name)?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.target_key_id, identity, "CreateAlias")?;
        keys.not_pending(key)?;
        let target = key.record.id.clone();
        if keys.alias(&name).is_some() {
            let arn = keys.arns.alias(&name);
            return Err(KmsError::AlreadyExists(format!("An alias with the name {arn} already exists")));
        }
        let now = self.now();
        keys.put_alias(self.tables(), &name, AliasRecord { target, created: now, updated: now })?;
        Ok(Value::Null)
    }

    pub(super) fn update_alias(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: AliasToKeyRequest = parse(body)?;
        let name = checked_name(request.alias_name)?;
        let mut keys = self.write();
        let mut alias = keys.alias(&name).cloned().ok_or_else(|| alias_not_found(&keys.arns.alias(&name)))?;
        let key = to_change(&keys, &request.target_key_id, identity, "UpdateAlias")?;
        keys.not_pending(key)?;
        alias.target.clone_from(&key.record.id);
        alias.updated = self.now();
        keys.put_alias(self.tables(), &name, alias)?;
        Ok(Value::Null)
    }

    pub(super) fn delete_alias(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: DeleteAliasRequest = parse(body)?;
        let name = checked_name(request.alias_name)?;
        let mut keys = self.write();
        let alias = keys.alias(&name).ok_or_else(|| alias_not_found(&keys.arns.alias(&name)))?;
        let key = keys.resolve(&alias.target, Names::IdOrArn)?;
        customer_managed(&keys, key, identity, "DeleteAlias")?;
        keys.delete_alias(self.tables(), &name)?;
        Ok(Value::Null)
    }

    pub(super) fn list_aliases(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: ListAliasesRequest = parse(body)?;
        let keys = self.read();
        let only = match &request.key_id {
            Some(name) => Some(keys.resolve(name, Names::IdOrArn)?.record.id.as_str()),
            None => None,
        };
        let aliases = keys.aliases().filter(|(_, alias)| only.is_none_or(|only| alias.target == only));
        let items = aliases.map(|(name, alias)| {
            let item = json!({
                "AliasName": name,
                "AliasArn": keys.arns.alias(name),
                "TargetKeyId": alias.target,
                "CreationDate": seconds(alias.created),
                "LastUpdatedDate": seconds(alias.updated),
            });
            (name.clone(), item)
        });
        Ok(list("Aliases", page(items, request.limit, (50, 100), request.marker.as_deref())?))
    }
}

/// Checks the name of an alias that a client manages.
fn checked_name(name: String) -> Result<String, KmsError> {
    let Some(rest) = name.strip_prefix("alias/") else {
        return Err(KmsError::Validation(
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
                .to_owned(),
        ));
    };
    if rest.starts_with("aws/") {
        return Err(KmsError::NotAuthorized);
    }
    if name.len() > MAX_ALIAS {
        return Err(KmsError::Validation(format!(
            "1 validation error detected: Value at 'aliasName' failed to satisfy constraint: Member must have length \
             less than or equal to {MAX_ALIAS}"
        )));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-');
    if rest.is_empty() || !rest.bytes().all(allowed) {
        return Err(KmsError::InvalidAliasName(format!("{name} contains invalid characters for an alias")));
    }
    Ok(name)
}

fn alias_not_found(arn: &str) -> KmsError {
    KmsError::NotFound(format!("Alias {arn} is not found."))
}
