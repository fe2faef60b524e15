//! The operations of the API, a file per subject.
//!
//! Every operation needs the action `kms:<Operation>`. Request members that are not known here are refused, so that
//! nothing a client asks for is dropped silently.

mod aliases;
mod crypto;
mod keys;
mod policies;
mod rotation;
mod tags;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::keys::Names;
use super::record::{Key, KeyState, Manager, Millis};
use super::{Keys, Kms, KmsError};
use crate::identity::Identity;

/// One page of a list: its items, and where the next one begins.
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct KeyIdRequest {
    key_id: String,
}

impl Kms {
    /// The region that requests must be signed for.
    pub(super) fn region(&self) -> String {
        self.read().arns.region.clone()
    }

    /// Does one operation for a caller; `Null` where AWS answers nothing.
    pub(super) fn call(&self, identity: &Identity, operation: &str, body: &[u8]) -> Result<Value, KmsError> {
        let run: fn(&Self, &Identity, &[u8]) -> Result<Value, KmsError> = match operation {
            "CreateKey" => Self::create_key,
            "DescribeKey" => Self::describe_key,
            "ListKeys" => Self::list_keys,
            "UpdateKeyDescription" => Self::update_key_description,
            "EnableKey" => Self::enable_key,
            "DisableKey" => Self::disable_key,
            "ScheduleKeyDeletion" => Self::schedule_key_deletion,
            "CancelKeyDeletion" => Self::cancel_key_deletion,
            "CreateAlias" => Self::create_alias,
            "UpdateAlias" => Self::update_alias,
            "DeleteAlias" => Self::delete_alias,
            "ListAliases" => Self::list_aliases,
            "GetKeyPolicy" => Self::get_key_policy,
            "PutKeyPolicy" => Self::put_key_policy,
            "ListKeyPolicies" => Self::list_key_policies,
            "EnableKeyRotation" => Self::enable_key_rotation,
            "DisableKeyRotation" => Self::disable_key_rotation,
            "GetKeyRotationStatus" => Self::get_key_rotation_status,
            "TagResource" => Self::tag_resource,
            "UntagResource" => Self::untag_resource,
            "ListResourceTags" => Self::list_resource_tags,
            "GenerateDataKey" => Self::generate_data_key_for,
            "GenerateDataKeyWithoutPlaintext" => Self::generate_data_key_without_plaintext,
            "Encrypt" => Self::encrypt_for,
            "Decrypt" => Self::decrypt_for,
            _ => return Err(KmsError::UnknownOperation(operation.to_owned())),
        };
        demand(identity, operation, &self.resource_of(body))?;
        run(self, identity, body)
    }

    /// The ARN of the key that a request names in any way; `*` when it names none that there is.
    fn resource_of(&self, body: &[u8]) -> String {
        let keys = self.read();
        let named = serde_json::from_slice::<Named>(body).ok().and_then(|named| named.key_id.or(named.target_key_id));
        let key = named.and_then(|name| keys.resolve(&name, Names::All).ok());
        key.map_or_else(|| "*".to_owned(), |key| keys.arns.key(&key.record.id))
    }
}

/// The members by which requests name a key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    key_id: Option<String>,
    target_key_id: Option<String>,
}

/// Demands that the caller's identity policy allows an operation.
fn demand(identity: &Identity, operation: &str, resource: &str) -> Result<(), KmsError> {
    if identity.allows(&format!("kms:{operation}"), resource) {
        return Ok(());
    }
    Err(KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: kms:{operation} on resource: {resource} because no identity-based \
         policy allows the kms:{operation} action",
        identity.arn
    )))
}

/// Refuses what only AWS itself may do to a key that it manages.
fn customer_managed(keys: &Keys, key: &Key, identity: &Identity, operation: &str) -> Result<(), KmsError> {
    if key.record.manager == Manager::Customer {
        return Ok(());
    }
    Err(KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: kms:{operation} on resource: {} because no resource-based policy \
         allows the kms:{operation} action",
        identity.arn,
        keys.arns.key(&key.record.id)
    )))
}

/// Finds a customer managed key by id or ARN, to change it.
fn to_change<'a>(keys: &'a Keys, name: &str, identity: &Identity, operation: &str) -> Result<&'a Key, KmsError> {
    let key = keys.resolve(name, Names::IdOrArn)?;
    customer_managed(keys, key, identity, operation)?;
    Ok(key)
}

/// Demands a key that is enabled, to change what only enabled keys have.
fn enabled(keys: &Keys, key: &Key) -> Result<(), KmsError> {
    keys.not_pending(key)?;
    match key.record.state {
        KeyState::Disabled => Err(KmsError::Disabled(keys.arns.key(&key.record.id))),
        _ => Ok(()),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body).map_err(|error| {
        let reason = error.to_string();
        match reason.split_once("unknown field") {
            Some((_, field)) => KmsError::Unsupported(format!("The request has an unsupported member:{field}")),
            None => KmsError::Serialization(reason),
        }
    })
}

/// Refuses grant tokens: there are no grants that they could stand for.
fn no_grant_tokens(tokens: Option<&[String]>) -> Result<(), KmsError> {
    match tokens {
        None | Some([]) => Ok(()),
        Some(_) => Err(KmsError::InvalidGrantToken),
    }
}

fn no_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    if dry_run == Some(true) {
        return Err(KmsError::Unsupported("DryRun is not supported".to_owned()));
    }
    Ok(())
}

fn from_base64(name: &str, text: &str) -> Result<Vec<u8>, KmsError> {
    STANDARD.decode(text).map_err(|_| KmsError::Serialization(format!("{name} is not base64")))
}

fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Seconds since 1970, as the protocol has times.
fn seconds(time: Millis) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era are below 2^53")]
    let seconds = time as f64 / 1000.0;
    json!(seconds)
}

/// Cuts a page out of items in the order of their names; a marker names the last item of the page before.
fn page<T>(
    items: impl Iterator<Item = (String, T)>,
    limit: Option<i64>,
    (default, maximum): (usize, usize),
    marker: Option<&str>,
) -> Result<Page<T>, KmsError> {
    let limit = match limit {
        None => default,
        Some(limit) => usize::try_from(limit).ok().filter(|limit| (1..=maximum).contains(limit)).ok_or_else(|| {
            KmsError::Validation(format!(
                "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must \
                 have value between 1 and {maximum}"
            ))
        })?,
    };
    let after = match marker {
        None => None,
        Some(marker) => {
            let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| KmsError::InvalidMarker)?;
            Some(String::from_utf8(bytes).map_err(|_| KmsError::InvalidMarker)?)
        }
    };
    let mut rest = items.filter(|(name, _)| after.as_ref().is_none_or(|after| name > after)).peekable();
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = String::new();
    while page.items.len() < limit
        && let Some((name, item)) = rest.next()
    {
        page.items.push(item);
        last = name;
    }
    if rest.peek().is_some() {
        page.next = Some(URL_SAFE_NO_PAD.encode(last));
    }
    Ok(page)
}

/// The members that every list answers with.
fn list(name: &str, page: Page<Value>) -> Value {
    let mut answer = json!({ name: page.items, "Truncated": page.next.is_some() });
    if let Some(marker) = page.next {
        answer["NextMarker"] = json!(marker);
    }
    answer
}
