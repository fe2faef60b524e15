//! Key policies: every key has exactly one, named `default`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{list, page, parse, to_change};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::{Kms, KmsError, policy_document};

const NAME: &str = "default";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetKeyPolicyRequest {
    key_id: String,
    policy_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutKeyPolicyRequest {
    key_id: String,
    policy_name: Option<String>,
    policy: String,
    bypass_policy_lockout_safety_check: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListKeyPoliciesRequest {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
}

impl Kms {
    pub(super) fn get_key_policy(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: GetKeyPolicyRequest = parse(body)?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::IdOrArn)?;
        only_default(request.policy_name.as_deref())?;
        Ok(json!({ "Policy": key.record.policy, "PolicyName": NAME }))
    }

    pub(super) fn put_key_policy(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: PutKeyPolicyRequest = parse(body)?;
        only_default(request.policy_name.as_deref())?;
        let mut keys = self.write();
        let key = to_change(&keys, &request.key_id, identity, "PutKeyPolicy")?;
        let caller = (request.bypass_policy_lockout_safety_check != Some(true)).then_some(identity.arn.as_str());
        policy_document::check(&request.policy, &keys.arns.account, caller)?;
        let mut record = key.record.clone();
        record.policy = request.policy;
        keys.update(self.tables(), record)?;
        Ok(Value::Null)
    }

    pub(super) fn list_key_policies(&self, _: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: ListKeyPoliciesRequest = parse(body)?;
        self.read().resolve(&request.key_id, Names::IdOrArn)?;
        let items = std::iter::once((NAME.to_owned(), json!(NAME)));
        Ok(list("PolicyNames", page(items, request.limit, (100, 1000), request.marker.as_deref())?))
    }
}

fn only_default(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(KmsError::NotFound("No such policy exists".to_owned())),
    }
}
