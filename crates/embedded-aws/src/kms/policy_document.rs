//! Key policies: checked as documents and kept, not evaluated.
//!
//! Who may use a key is decided by the caller's identity policy alone (`kms:…` actions). The check still refuses what
//! AWS refuses, so that a policy which passes here passes there: unknown elements, statements without their parts, and
//! a policy under which nobody could change the policy any more.

use super::KmsError;
use crate::policy::json::Json;
use crate::policy::pattern;

/// Largest key policy in bytes, as on AWS.
const MAX_BYTES: usize = 32 * 1024;

/// The policy of a key that was created without one: the account may do everything, by its identity policies.
pub(super) fn default_policy(account: &str) -> String {
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

/// Checks a policy document; with `caller`, also that the account or the caller can still change it afterwards.
pub(super) fn check(text: &str, account: &str, caller: Option<&str>) -> Result<(), KmsError> {
    let malformed = |reason: String| KmsError::MalformedPolicy(reason);
    if text.len() > MAX_BYTES {
        return Err(KmsError::LimitExceeded(format!("the policy has more than {MAX_BYTES} bytes")));
    }
    let document = Json::parse(text).map_err(|error| malformed(format!("the policy is not valid JSON: {error}")))?;
    let members = document.members().ok_or_else(|| malformed("the policy is not an object".to_owned()))?;
    let (mut version, mut statements) = (None, None);
    for (name, value) in members {
        match name.as_str() {
            "Version" => version = value.text(),
            "Id" if value.text().is_some() => {}
            "Statement" => statements = Some(value.one_or_many()),
            _ => return Err(malformed(format!("the policy has an unsupported element {name:?}"))),
        }
    }
    if !matches!(version, Some("2012-10-17" | "2008-10-17")) {
        return Err(malformed("the policy has no valid Version".to_owned()));
    }
    let statements = statements.filter(|list| !list.is_empty());
    let statements = statements.ok_or_else(|| malformed("the policy has no Statement".to_owned()))?;
    for (index, statement) in statements.iter().enumerate() {
        check_statement(statement).map_err(|reason| malformed(format!("statement {}: {reason}", index + 1)))?;
    }
    if let Some(caller) = caller
        && !statements.iter().any(|statement| keeps_the_policy_changeable(statement, account, caller))
    {
        return Err(malformed(
            "The new key policy will not allow you to update the key policy in the future.".to_owned(),
        ));
    }
    Ok(())
}

fn check_statement(statement: &Json) -> Result<(), String> {
    let members = statement.members().ok_or("not an object")?;
    for (name, value) in members {
        let good = match name.as_str() {
            "Sid" => value.text().is_some(),
            "Effect" => matches!(value.text(), Some("Allow" | "Deny")),
            "Principal" | "NotPrincipal" => value.text() == Some("*") || is_map_of_names(value),
            "Action" | "NotAction" => is_list_of_names(value, |name| name == "*" || is_kms_action(name)),
            "Resource" | "NotResource" => is_list_of_names(value, |name| !name.is_empty()),
            "Condition" => value.members().is_some_and(|operators| {
                operators.iter().all(|(_, keys)| keys.members().is_some_and(|keys| !keys.is_empty()))
            }),
            _ => return Err(format!("unsupported element {name:?}")),
        };
        if !good {
            return Err(format!("invalid {name}"));
        }
    }
    let has = |name: &str| members.iter().any(|(member, _)| member == name);
    if !has("Effect") {
        return Err("no Effect".to_owned());
    }
    for (plain, negated) in [("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")] {
        if has(plain) == has(negated) {
            return Err(format!("exactly one of {plain} and {negated} is needed"));
        }
    }
    Ok(())
}

/// Whether a statement lets the account, everyone or the caller put the next policy without condition.
fn keeps_the_policy_changeable(statement: &Json, account: &str, caller: &str) -> bool {
    let Some(members) = statement.members() else { return false };
    let find = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let names = |value: &Json| -> Vec<String> {
        value.one_or_many().iter().filter_map(Json::text).map(str::to_owned).collect()
    };
    let root = format!("arn:aws:iam::{account}:root");
    let principals = match find("Principal") {
        Some(Json::Object(kinds)) => {
            kinds.iter().filter(|(kind, _)| kind == "AWS").flat_map(|(_, v)| names(v)).collect()
        }
        Some(value) => names(value),
        None => Vec::new(),
    };
    find("Effect").and_then(Json::text) == Some("Allow")
        && find("Condition").is_none()
        && principals.iter().any(|name| name == "*" || name == account || *name == root || name == caller)
        && find("Action")
            .is_some_and(|value| names(value).iter().any(|name| pattern::matches(name, "kms:PutKeyPolicy", true)))
}

fn is_kms_action(name: &str) -> bool {
    name.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("kms:"))
        && name.len() > 4
        && name[4..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*' || b == b'?')
}

fn is_list_of_names(value: &Json, good: impl Fn(&str) -> bool) -> bool {
    let names = value.one_or_many();
    !names.is_empty() && names.iter().all(|name| name.text().is_some_and(&good))
}

fn is_map_of_names(value: &Json) -> bool {
    value.members().is_some_and(|kinds| {
        !kinds.is_empty()
            && kinds.iter().all(|(kind, names)| {
                matches!(kind.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser")
                    && is_list_of_names(names, |name| !name.is_empty())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "000000000000";
    const CALLER: &str = "arn:aws:iam::000000000000:role/provisioner";

    fn refused(text: &str) -> bool {
        matches!(check(text, ACCOUNT, Some(CALLER)), Err(KmsError::MalformedPolicy(_)))
    }

    fn statement(principal: &str, action: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":"*"}}]}}"#
        )
    }

    #[test]
    fn default_policy_passes_its_own_check() {
        check(&default_policy(ACCOUNT), ACCOUNT, Some(CALLER)).unwrap();
    }

    #[test]
    fn malformed_documents_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"Statement":[]}"#,
            r#"{"Version":"2012-10-17"}"#,
            r#"{"Version":"2012-10-17","Statement":[]}"#,
            r#"{"Version":"1","Statement":[{}]}"#,
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}"#,
            r#"{"Version":"2012-10-17","Statement":[1]}"#,
            r#"{"Version":"2012-10-17","Extra":1,"Statement":[{}]}"#,
            &statement(r#""someone""#, r#""kms:*""#),
            &statement(r#"{"AWS":[]}"#, r#""kms:*""#),
            &statement(r#"{"Robot":"x"}"#, r#""kms:*""#),
            &statement(r#""*""#, r#""s3:*""#),
            &statement(r#""*""#, "[]"),
            &statement(r#""*""#, r#""kms:*""#).replace("\"Resource\"", "\"Ressource\""),
        ] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn policy_that_locks_everyone_out_is_refused_unless_the_check_is_bypassed() {
        let root = r#"{"AWS":"arn:aws:iam::000000000000:root"}"#;
        assert!(!refused(&statement(root, r#"["kms:Describe*","kms:PutKeyPolicy"]"#)));
        assert!(!refused(&statement(r#"{"AWS":"arn:aws:iam::000000000000:role/provisioner"}"#, r#""kms:*""#)));
        assert!(!refused(&statement(r#"{"AWS":"000000000000"}"#, r#""kms:Put*""#)));
        assert!(refused(&statement(root, r#""kms:Decrypt""#)));
        let other = statement(r#"{"AWS":"arn:aws:iam::000000000000:role/other"}"#, r#""kms:*""#);
        assert!(refused(&other));
        check(&other, ACCOUNT, None).unwrap();
    }
}
