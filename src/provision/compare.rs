//! Policies compared by what they mean: S3 and KMS give a policy back in other words than it was sent.
//!
//! The order of statements and lists, one string against a list of one, `"*"` against `{"AWS":"*"}`, the case of
//! actions and condition keys, and text against JSON numbers and booleans make no difference.
//! `Id` and `Sid` carry no meaning; a `Sid` only says who owns a statement.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::policy::{Document, Sid};

/// Our bucket policy held against the one in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Our statements that are not in force.
    pub missing: Vec<Sid>,
    /// Statements that allow something to somebody: we grant nothing by bucket policy.
    pub allows: Vec<String>,
    /// Statements under our names that say something else, or belong to another profile.
    pub stale: Vec<String>,
    /// Denials that somebody else added; they only narrow, and are kept.
    pub foreign: Vec<Value>,
}

/// A text that is no policy document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy in force cannot be understood: {0}")]
pub struct NotAPolicy(String);

impl Comparison {
    /// Whether the policy in force needs no change.
    pub fn in_order(&self) -> bool {
        self.missing.is_empty() && self.allows.is_empty() && self.stale.is_empty()
    }
}

/// What distinguishes the policy in force from `ours`.
pub fn compare(ours: &Document, in_force: &str) -> Result<Comparison, NotAPolicy> {
    let found = statements(in_force)?;
    let canonical_found: Vec<Value> = found.iter().map(canonical).collect();
    let wanted: Vec<(Sid, Value)> =
        ours.statements().iter().map(|statement| (statement.sid(), canonical(&statement.value()))).collect();

    let mut comparison = Comparison {
        missing: wanted.iter().filter(|(_, ours)| !canonical_found.contains(ours)).map(|(sid, _)| *sid).collect(),
        ..Comparison::default()
    };
    for (raw, meaning) in found.iter().zip(&canonical_found) {
        if wanted.iter().any(|(_, ours)| ours == meaning) {
            continue;
        }
        let name = raw.get("Sid").and_then(Value::as_str).unwrap_or("(no Sid)").to_owned();
        if raw.get("Effect").and_then(Value::as_str) != Some("Deny") {
            comparison.allows.push(name);
        } else if Sid::BUCKET.iter().any(|sid| sid.as_str() == name) {
            comparison.stale.push(name);
        } else {
            comparison.foreign.push(raw.clone());
        }
    }
    Ok(comparison)
}

/// Our policy with the denials of others behind it, as text for `PutBucketPolicy`.
pub fn merged(ours: &Document, foreign: &[Value]) -> String {
    if foreign.is_empty() {
        return ours.render();
    }
    let mut document = ours.value();
    if let Some(list) = document.get_mut("Statement").and_then(Value::as_array_mut) {
        list.extend(foreign.iter().cloned());
    }
    document.to_string()
}

/// Whether two whole policies mean the same; unreadable ones mean nothing in common.
pub fn same_meaning(one: &str, other: &str) -> bool {
    let meaning =
        |text| statements(text).map(|list| list.iter().map(|s| canonical(s).to_string()).collect::<BTreeSet<_>>());
    match (meaning(one), meaning(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn statements(text: &str) -> Result<Vec<Value>, NotAPolicy> {
    let document: Value = serde_json::from_str(text).map_err(|error| NotAPolicy(error.to_string()))?;
    let version = document.get("Version").and_then(Value::as_str);
    // In 2008-10-17, the default, `${…}` in a value is plain text; our statements use none, theirs might.
    if !matches!(version, None | Some("2012-10-17" | "2008-10-17")) {
        return Err(NotAPolicy(format!("version {version:?}")));
    }
    match document.get("Statement") {
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => Ok(list.clone()),
        Some(single @ Value::Object(_)) => Ok(vec![single.clone()]),
        _ => Err(NotAPolicy("it has no statements".to_owned())),
    }
}

/// One statement with everything that carries no meaning taken out.
fn canonical(statement: &Value) -> Value {
    let mut out = Map::new();
    for (name, value) in statement.as_object().into_iter().flatten() {
        let value = match name.as_str() {
            "Sid" => continue,
            "Action" | "NotAction" => set(value, str::to_ascii_lowercase),
            "Principal" | "NotPrincipal" => principal(value),
            "Condition" if value.as_object().is_some_and(Map::is_empty) => continue,
            "Condition" => condition(value),
            _ => set(value, str::to_owned),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn principal(value: &Value) -> Value {
    match value {
        Value::Object(kinds) => {
            Value::Object(kinds.iter().map(|(kind, who)| (kind.clone(), set(who, str::to_owned))).collect())
        }
        everyone => Value::Object(Map::from_iter([("AWS".to_owned(), set(everyone, str::to_owned))])),
    }
}

fn condition(value: &Value) -> Value {
    let operators = value.as_object().into_iter().flatten().map(|(operator, keys)| {
        let keys = keys
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.to_ascii_lowercase(), set(values, str::to_owned)))
            .collect();
        (operator.clone(), Value::Object(keys))
    });
    Value::Object(operators.collect())
}

/// A scalar or a list as a sorted list of texts without doubles.
fn set(value: &Value, spelling: impl Fn(&str) -> String) -> Value {
    let text = |scalar: &Value| match scalar {
        Value::String(text) => spelling(text),
        other => other.to_string(),
    };
    let texts: BTreeSet<String> = match value {
        Value::Array(list) => list.iter().map(text).collect(),
        scalar => BTreeSet::from([text(scalar)]),
    };
    texts.into_iter().map(Value::String).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::policy::bucket_policy;
    use crate::provision::spec::{BackEnd, Profile, Wanted};

    fn ours(profile: Profile) -> Document {
        let wanted = Wanted { profile, ..Wanted::new("ml", "eu-west-1", BackEnd::Aws) };
        bucket_policy(&wanted, &"arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap())
    }

    fn doc(statement: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)
    }

    #[test]
    fn spelling_makes_no_difference() {
        let base = r#"{"Sid":"A","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"s3:authType":"true"}}}"#;
        for other in [
            r#"{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"s3:authType":"true"}}}"#,
            r#"{"Sid":"B","Effect":"Deny","Principal":{"AWS":["*"]},"Action":["s3:putobject"],"Resource":["r"],"Condition":{"Null":{"s3:AuthType":["true"]}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":["s3:PutObject","S3:PutObject"],"Resource":"r","Condition":{"Null":{"s3:authtype":true}}}"#,
        ] {
            assert!(same_meaning(&doc(base), &doc(other)), "{other}");
        }
    }

    #[test]
    fn every_part_of_a_statement_makes_a_difference() {
        let base = r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#;
        for other in [
            r#"{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":{"AWS":"1"},"Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","NotPrincipal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":{"Service":"*"},"Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","NotAction":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":["s3:PutObject","s3:GetObject"],"Resource":"r","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"R","Condition":{"Null":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Null":{"k":"false"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"r","Condition":{"Bool":{"k":"true"}}}"#,
            r#"{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"r"}"#,
        ] {
            assert!(!same_meaning(&doc(base), &doc(other)), "{other}");
        }
    }

    #[test]
    fn our_policy_in_any_order_is_in_order() {
        let mut document: Value = serde_json::from_str(&ours(Profile::Explicit).render()).unwrap();
        document["Statement"].as_array_mut().unwrap().reverse();
        document["Id"] = "other".into();
        let comparison = compare(&ours(Profile::Explicit), &document.to_string()).unwrap();
        assert_eq!(comparison, Comparison::default());
    }

    #[test]
    fn weakened_statement_is_missing_and_stale() {
        let weak = ours(Profile::Explicit).render().replace(r#""aws:kms""#, r#""AES256""#);
        let comparison = compare(&ours(Profile::Explicit), &weak).unwrap();
        assert_eq!(comparison.missing, [Sid::DenyWrongSseAlgorithm]);
        assert_eq!(comparison.stale, ["DenyWrongSseAlgorithm"]);
        assert!(!comparison.in_order());
    }

    #[test]
    fn allow_is_drift_and_a_foreign_denial_is_kept() {
        let mut document: Value = serde_json::from_str(&ours(Profile::Explicit).render()).unwrap();
        let list = document["Statement"].as_array_mut().unwrap();
        list.push(
            serde_json::json!({"Sid":"Open","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}),
        );
        let narrow = serde_json::json!({"Sid":"Vpc","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"});
        list.push(narrow.clone());
        let comparison = compare(&ours(Profile::Explicit), &document.to_string()).unwrap();
        assert_eq!(comparison.allows, ["Open"]);
        assert_eq!(comparison.foreign, [narrow]);

        let merged = merged(&ours(Profile::Explicit), &comparison.foreign);
        let again = compare(&ours(Profile::Explicit), &merged).unwrap();
        assert!(again.in_order());
        assert_eq!(again.foreign.len(), 1);
    }

    #[test]
    fn statements_of_the_other_profile_are_stale() {
        let comparison = compare(&ours(Profile::DefaultOk), &ours(Profile::Explicit).render()).unwrap();
        assert_eq!(comparison.missing, [Sid::DenyWrongSseAlgorithmIfSent, Sid::DenyWrongKmsKeyIfSent]);
        assert_eq!(comparison.stale, ["DenyMissingSseHeader", "DenyWrongSseAlgorithm", "DenyWrongKmsKey"]);
    }

    #[test]
    fn text_that_is_no_policy_is_an_error_and_equals_nothing() {
        for text in ["", "[]", "{}", r#"{"Statement":"x"}"#, r#"{"Version":"2030-01-01","Statement":[]}"#] {
            assert!(compare(&ours(Profile::Explicit), text).is_err(), "{text}");
            assert!(!same_meaning(text, text));
        }
    }
}
