//! Whom a key policy lets use the key beside the account that owns it: everybody, or other accounts.
//!
//! A policy that leaves the use to IAM, or names principals of the account, lets in nobody from outside. What only
//! describes the key is no use of it, and a denial elsewhere in the policy is not counted in favour of an allowance.

use serde_json::Value;

use crate::provision::compare::{NotAPolicy, canonical, statements};
use crate::provision::spec::KeyArn;

/// Longest list of actions that is told of one statement.
const TOLD_ACTIONS: usize = 8;
/// Condition keys that say from which account a request comes.
const ACCOUNT_KEYS: [&str; 3] = ["kms:calleraccount", "aws:principalaccount", "aws:sourceaccount"];
const ORGANISATION_KEY: &str = "aws:principalorgid";
/// Actions that only look, as prefixes in lower case.
const LOOKS: [&str; 3] = ["kms:describe", "kms:get", "kms:list"];

/// Whether a key policy lets in anybody from outside.
pub(in crate::provision) fn opens(policy: &str, key: &KeyArn) -> bool {
    outsiders(policy, key.account()).is_ok_and(|found| !found.is_empty())
}

/// What stands in a key policy that is neither of ours, as far as it matters.
pub(in crate::provision) fn another_policy(policy: &str, key: &KeyArn) -> String {
    match outsiders(policy, key.account()) {
        Ok(found) if !found.is_empty() => format!("open to {}", found.join("; ")),
        _ => "another key policy".to_owned(),
    }
}

/// Each outsider that `policy` lets use the key of `account`, with the statement's `Sid` and its actions; empty: none.
fn outsiders(policy: &str, account: &str) -> Result<Vec<String>, NotAPolicy> {
    let found = statements(policy)?;
    Ok(found.iter().filter_map(|statement| outsider(statement, account)).collect())
}

fn outsider(raw: &Value, account: &str) -> Option<String> {
    let statement = canonical(raw);
    if raw.get("Effect").and_then(Value::as_str) != Some("Allow") || !uses(&statement) || bound_to(&statement, account)
    {
        return None;
    }
    let who = match strangers(&statement, account).as_slice() {
        [] => return None,
        all if all.contains(&"*") => "everybody".to_owned(),
        some => some.join(", "),
    };
    if who == "everybody" && bound_to_organisation(&statement) {
        return None;
    }
    let sid =
        raw.get("Sid").and_then(Value::as_str).map_or("a statement without Sid".to_owned(), |sid| format!("`{sid}`"));
    Some(format!("{who}, by {sid} ({})", actions(raw)))
}

/// Principals outside the account; `*` is everybody.
fn strangers<'a>(statement: &'a Value, account: &str) -> Vec<&'a str> {
    // All but some are everybody.
    if statement.get("NotPrincipal").is_some() {
        return vec!["*"];
    }
    let named = texts(statement.pointer("/Principal/AWS"));
    let outside = |who: &&str| match who.split(':').nth(4) {
        Some(of) => of != account,
        None if *who == "*" => true,
        // A bare account number; what else stands alone is the id of a principal that was deleted.
        None => who.bytes().all(|byte| byte.is_ascii_digit()) && *who != account,
    };
    named.into_iter().filter(outside).collect()
}

fn uses(statement: &Value) -> bool {
    let named = texts(statement.get("Action"));
    statement.get("NotAction").is_some()
        || named.iter().any(|action| !LOOKS.iter().any(|look| action.starts_with(look)))
}

/// Whether a condition lets in only requests from the account itself.
fn bound_to(statement: &Value, account: &str) -> bool {
    conditions(statement, |key| ACCOUNT_KEYS.contains(&key)).any(|values| values.iter().all(|value| *value == account))
}

fn bound_to_organisation(statement: &Value) -> bool {
    conditions(statement, |key| key == ORGANISATION_KEY).any(|values| values.iter().all(|value| !value.contains('*')))
}

/// The values of the conditions that demand one of them, and are not met by a request that has no such key.
fn conditions<'a>(
    statement: &'a Value,
    is_asked: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = Vec<&'a str>> + 'a {
    let demands = ["StringEquals", "StringEqualsIgnoreCase", "StringLike"];
    let blocks = demands.into_iter().filter_map(|operator| statement.get("Condition")?.get(operator)?.as_object());
    let asked = blocks.flatten().filter(move |(key, _)| is_asked(key));
    asked.map(|(_, values)| texts(Some(values))).filter(|values| !values.is_empty())
}

fn actions(raw: &Value) -> String {
    let (but, named) = match raw.get("NotAction") {
        Some(named) => ("all but ", named),
        None => ("", raw.get("Action").unwrap_or(&Value::Null)),
    };
    let named: Vec<&str> = match named {
        Value::String(one) => vec![one],
        several => texts(Some(several)),
    };
    let more = if named.len() > TOLD_ACTIONS { ", …" } else { "" };
    format!("{but}{}{more}", named[..named.len().min(TOLD_ACTIONS)].join(", "))
}

fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::policy::{delegating_key_policy, key_policy};
    use crate::provision::spec::BackEnd;

    const ACCOUNT: &str = "123456789012";

    fn let_in(statement: &str) -> Vec<String> {
        outsiders(&format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#), ACCOUNT).unwrap()
    }

    #[test]
    fn everybody_and_other_accounts_are_named_with_statement_and_actions() {
        for (statement, told) in [
            (
                r#"{"Sid":"Open","Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*"}"#,
                "everybody, by `Open` (kms:Decrypt)",
            ),
            (
                r#"{"Effect":"Allow","Principal":"*","Action":["kms:Get*","kms:G*"],"Resource":"*"}"#,
                "everybody, by a statement without Sid (kms:Get*, kms:G*)",
            ),
            (
                r#"{"Sid":"N","Effect":"Allow","NotPrincipal":{"AWS":"999999999999"},"NotAction":"kms:Decrypt"}"#,
                "everybody, by `N` (all but kms:Decrypt)",
            ),
            (
                r#"{"Sid":"P","Effect":"Allow","Principal":{"AWS":["arn:aws:iam::999999999999:root","arn:aws:iam::123456789012:role/r","888888888888"]},"Action":"kms:*"}"#,
                "888888888888, arn:aws:iam::999999999999:root, by `P` (kms:*)",
            ),
            (
                r#"{"Sid":"C","Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringNotEquals":{"kms:CallerAccount":"123456789012"}}}"#,
                "everybody, by `C` (kms:*)",
            ),
            (
                r#"{"Sid":"C","Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringEqualsIfExists":{"aws:SourceAccount":"123456789012"}}}"#,
                "everybody, by `C` (kms:*)",
            ),
            (
                r#"{"Sid":"C","Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringLike":{"aws:PrincipalAccount":"*"}}}"#,
                "everybody, by `C` (kms:*)",
            ),
            (
                r#"{"Sid":"C","Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringEquals":{"kms:ViaService":"s3.eu-west-1.amazonaws.com"}}}"#,
                "everybody, by `C` (kms:*)",
            ),
        ] {
            assert_eq!(let_in(statement), [told]);
        }
    }

    #[test]
    fn account_itself_and_whoever_is_bound_to_it_are_no_outsiders() {
        for statement in [
            r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringEquals":{"kms:CallerAccount":"123456789012","kms:ViaService":"s3.eu-west-1.amazonaws.com"}}}"#,
            r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:*","Condition":{"StringEquals":{"aws:PrincipalOrgID":["o-1"]}}}"#,
            r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Condition":{"StringLike":{"AWS:SourceAccount":"123456789012"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":"kms:*"}"#,
            r#"{"Effect":"Allow","Principal":"*","Action":["kms:DescribeKey","kms:GetKeyPolicy","kms:List*"]}"#,
            r#"{"Effect":"Allow","Principal":{"Service":"logs.amazonaws.com"},"Action":"kms:*"}"#,
            r#"{"Effect":"Allow","Principal":{"AWS":["123456789012","AROAEXAMPLE"]},"Action":"kms:*"}"#,
        ] {
            assert_eq!(let_in(statement), Vec::<String>::new(), "{statement}");
        }
    }

    #[test]
    fn policies_of_ours_let_nobody_in_from_outside() {
        let key: KeyArn = "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap();
        let role = ["arn:aws:iam::123456789012:role/r".to_owned()];
        let limited = key_policy(&key, "ml", "eu-west-1", &role, BackEnd::Aws).render();
        for text in [limited, delegating_key_policy(&key).to_string()] {
            assert_eq!(outsiders(&text, ACCOUNT).unwrap(), Vec::<String>::new());
        }
        assert!(outsiders("{}", ACCOUNT).is_err());
    }
}
