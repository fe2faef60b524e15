//! Policies compared by what they mean: S3 and KMS give a policy back in other words than it was sent.
//!
//! The order of statements and lists, one string against a list of one, `"*"` against `{"AWS":"*"}`, the case of
//! actions and condition keys, and text against JSON numbers and booleans make no difference.
//! `Id` and `Sid` carry no meaning; a `Sid` only says who owns a statement.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::policy::{Document, KEY_ID, Sid, Statement};

/// Our bucket policy held against the one in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Our statements that are not in force.
    pub missing: Vec<Sid>,
    /// Names of the statements that allow something to somebody: we grant nothing by bucket policy.
    pub allows: Vec<String>,
    /// Statements under our names that say something else, or belong to another profile or an option that is off.
    pub clashes: Vec<Clash>,
    /// Statements under other names, or none: somebody else's, never touched.
    pub foreign: Vec<Value>,
}

/// Two statements under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The name.
    pub sid: Sid,
    /// Our statement as JSON; none when we want none of this name now.
    pub ours: Option<String>,
    /// The one in force.
    pub theirs: String,
}

/// A text that is no policy document which we could add to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy in force cannot be understood: {0}")]
pub struct NotAPolicy(String);

impl Comparison {
    /// Whether everything of ours is in force, and nothing else under our names.
    pub fn in_order(&self) -> bool {
        self.missing.is_empty() && self.clashes.is_empty()
    }
}

/// What distinguishes the policy in force from `ours`.
///
/// # Errors
/// [`NotAPolicy`]; nothing can be merged into such a text.
pub fn compare(ours: &Document, in_force: &str) -> Result<Comparison, NotAPolicy> {
    let found = statements(in_force)?;
    let canonical_found: Vec<Value> = found.iter().map(canonical).collect();
    let wanted: Vec<(&Statement, Value)> =
        ours.statements().iter().map(|statement| (statement, canonical(&statement.value()))).collect();
    let absent = wanted.iter().filter(|(_, ours)| !canonical_found.contains(ours));

    let mut comparison =
        Comparison { missing: absent.map(|(statement, _)| statement.sid()).collect(), ..Comparison::default() };
    for (raw, meaning) in found.iter().zip(&canonical_found) {
        let name = raw.get("Sid").and_then(Value::as_str);
        if raw.get("Effect").and_then(Value::as_str) != Some("Deny") {
            comparison.allows.push(name.unwrap_or("(no Sid)").to_owned());
        }
        match Sid::BUCKET.into_iter().find(|sid| Some(sid.as_str()) == name) {
            None => comparison.foreign.push(raw.clone()),
            Some(_) if wanted.iter().any(|(_, ours)| ours == meaning) => {}
            Some(sid) => {
                let ours = wanted.iter().find(|(statement, _)| statement.sid() == sid);
                let ours = ours.map(|(statement, _)| statement.value().to_string());
                comparison.clashes.push(Clash { sid, ours, theirs: raw.to_string() });
            }
        }
    }
    Ok(comparison)
}

/// Our policy with the statements of others behind it, as text for `PutBucketPolicy`.
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

/// The keys that our statements in a policy in force demand of every write.
pub fn named_keys(in_force: &str) -> BTreeSet<String> {
    let ours = |statement: &&Value| {
        let sid = statement.get("Sid").and_then(Value::as_str);
        [Sid::DenyWrongKmsKey, Sid::DenyWrongKmsKeyIfSent].into_iter().any(|of_key| Some(of_key.as_str()) == sid)
    };
    let statements = statements(in_force).unwrap_or_default();
    let conditions = statements.iter().filter(ours).map(canonical);
    let keys = conditions.filter_map(|statement| statement.pointer("/Condition/StringNotEquals")?.get(KEY_ID).cloned());
    keys.filter_map(|names| serde_json::from_value::<Vec<String>>(names).ok()).flatten().collect()
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

pub(super) fn statements(text: &str) -> Result<Vec<Value>, NotAPolicy> {
    let document: Value = serde_json::from_str(text).map_err(|error| NotAPolicy(error.to_string()))?;
    let version = document.get("Version").and_then(Value::as_str);
    match version {
        Some("2012-10-17") => {}
        // There `${…}` is plain text. Ours is of the newer version, where it is a variable.
        None | Some("2008-10-17") if !text.contains("${") => {}
        None | Some("2008-10-17") => {
            return Err(NotAPolicy(
                "it has version 2008-10-17 and ${…} in it, which means something else in 2012-10-17".to_owned(),
            ));
        }
        Some(other) => return Err(NotAPolicy(format!("version {other}"))),
    }
    match document.get("Statement") {
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => Ok(list.clone()),
        Some(single @ Value::Object(_)) => Ok(vec![single.clone()]),
        _ => Err(NotAPolicy("it has no statements".to_owned())),
    }
}

/// One statement with everything that carries no meaning taken out.
pub(super) fn canonical(statement: &Value) -> Value {
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
    let mut out = Value::Object(out);
    // Texts of it are compared, too.
    out.sort_all_objects();
    out
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
    fn weakened_statement_is_missing_and_shown_beside_ours() {
        let weak = ours(Profile::Explicit).render().replace(r#""aws:kms""#, r#""AES256""#);
        let comparison = compare(&ours(Profile::Explicit), &weak).unwrap();
        assert_eq!(comparison.missing, [Sid::DenyWrongSseAlgorithm]);
        let [clash] = comparison.clashes.as_slice() else { panic!("{comparison:?}") };
        assert_eq!(clash.sid, Sid::DenyWrongSseAlgorithm);
        assert!(clash.ours.as_ref().unwrap().contains("aws:kms") && clash.theirs.contains("AES256"), "{clash:?}");
        assert!(!comparison.in_order());
    }

    #[test]
    fn statements_of_others_are_kept_allow_or_deny() {
        let mut document: Value = serde_json::from_str(&ours(Profile::Explicit).render()).unwrap();
        let list = document["Statement"].as_array_mut().unwrap();
        let theirs = [
            serde_json::json!({"Sid":"Open","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}),
            serde_json::json!({"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}),
            // What we say too, under another name.
            serde_json::json!({"Sid":"Tls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ml/*","arn:aws:s3:::ml"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}),
        ];
        list.extend(theirs.clone());
        let comparison = compare(&ours(Profile::Explicit), &document.to_string()).unwrap();
        assert_eq!(comparison.allows, ["Open"]);
        assert_eq!(comparison.foreign, theirs);
        assert!(comparison.in_order());

        let merged = merged(&ours(Profile::Explicit), &comparison.foreign);
        assert_eq!(compare(&ours(Profile::Explicit), &merged).unwrap(), comparison);
    }

    #[test]
    fn key_that_the_policy_demands_is_read_from_either_profile() {
        for profile in [Profile::Explicit, Profile::DefaultOk] {
            let named = named_keys(&ours(profile).render());
            assert_eq!(named, BTreeSet::from(["arn:aws:kms:eu-west-1:123456789012:key/1".to_owned()]));
        }
        assert!(named_keys("").is_empty());
    }

    #[test]
    fn statements_of_the_other_profile_clash() {
        let comparison = compare(&ours(Profile::DefaultOk), &ours(Profile::Explicit).render()).unwrap();
        assert_eq!(comparison.missing, [Sid::DenyWrongSseAlgorithmIfSent, Sid::DenyWrongKmsKeyIfSent]);
        let clashes: Vec<_> =
            comparison.clashes.iter().map(|clash| (clash.sid.as_str(), clash.ours.is_none())).collect();
        assert_eq!(
            clashes,
            [("DenyMissingSseHeader", true), ("DenyWrongSseAlgorithm", true), ("DenyWrongKmsKey", true)]
        );
    }

    /// A policy as another program might write it: nothing but order and spelling differs.
    struct Respelt(u64);

    impl Respelt {
        fn roll(&mut self, sides: u64) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((self.0 >> 33) % sides).unwrap()
        }

        fn shuffled<T>(&mut self, mut list: Vec<T>) -> Vec<T> {
            for end in (1..list.len()).rev() {
                let other = self.roll(end as u64 + 1);
                list.swap(end, other);
            }
            list
        }

        fn scalars(&mut self, value: &Value, spell: fn(&str) -> String) -> Value {
            let mut texts: Vec<String> = match value {
                Value::Array(list) => list.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
                text => vec![text.as_str().unwrap().to_owned()],
            };
            if self.roll(3) == 0 {
                texts = texts.iter().map(|text| spell(text)).collect();
            }
            let mut list: Vec<Value> = texts.into_iter().map(|text| self.typed(text)).collect();
            if self.roll(4) == 0 {
                list.push(list[0].clone());
            }
            let mut list = self.shuffled(list);
            if list.len() == 1 && self.roll(2) == 0 { list.remove(0) } else { Value::Array(list) }
        }

        fn typed(&mut self, text: String) -> Value {
            let typed =
                serde_json::from_str(&text).ok().filter(|typed: &Value| typed.is_boolean() || typed.is_number());
            typed.filter(|_| self.roll(2) == 0).unwrap_or_else(|| text.into())
        }

        fn statement(&mut self, statement: &Value) -> Value {
            let mut out = Map::new();
            for (name, value) in self.shuffled(statement.as_object().unwrap().iter().collect()) {
                let value = match name.as_str() {
                    "Sid" | "Effect" => value.clone(),
                    "Action" => self.scalars(value, str::to_ascii_uppercase),
                    "Principal" => match self.roll(3) {
                        0 => serde_json::json!("*"),
                        1 => serde_json::json!({"AWS": "*"}),
                        _ => serde_json::json!({"AWS": ["*"]}),
                    },
                    "Condition" => {
                        let operators = value.as_object().unwrap().iter().map(|(operator, keys)| {
                            let keys = keys.as_object().unwrap().iter().map(|(key, values)| {
                                let key = if self.roll(3) == 0 { key.to_ascii_lowercase() } else { key.clone() };
                                (key, self.scalars(values, str::to_owned))
                            });
                            (operator.clone(), Value::Object(keys.collect()))
                        });
                        Value::Object(operators.collect())
                    }
                    _ => self.scalars(value, str::to_owned),
                };
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
    }

    #[test]
    fn policy_means_the_same_however_it_is_ordered_and_spelt() {
        for seed in 0..500 {
            let mut other = Respelt(seed);
            let mut wanted = Wanted::new("ml", "eu-west-1", [BackEnd::Aws, BackEnd::Compatible][other.roll(2)]);
            wanted.profile = [Profile::Explicit, Profile::DefaultOk][other.roll(2)];
            wanted.options.perimeter = other.roll(2) == 0;
            wanted.options.vpc_endpoint = (other.roll(2) == 0).then(|| "vpce-1".to_owned());
            wanted.administrators = ["a", "b"].map(|name| format!("arn:aws:iam::123456789012:role/{name}")).to_vec();
            wanted.runtime_principals = vec!["arn:aws:iam::123456789012:role/run".to_owned()];
            let key = "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap();
            let ours = bucket_policy(&wanted, &key);
            assert_eq!(ours.render(), bucket_policy(&wanted, &key).render(), "the same bytes every time");

            let statements = ours.statements().iter().map(|statement| other.statement(&statement.value())).collect();
            let statements = other.shuffled(statements);
            let text = serde_json::json!({"Statement": statements, "Version": "2012-10-17"}).to_string();
            assert_eq!(compare(&ours, &text), Ok(Comparison::default()), "seed {seed}: {text}");
            assert!(same_meaning(&ours.render(), &text), "seed {seed}: {text}");

            // And one word less is never the same.
            let mut fewer: Value = serde_json::from_str(&text).unwrap();
            let gone = other.roll(ours.statements().len() as u64);
            fewer["Statement"].as_array_mut().unwrap().remove(gone);
            assert!(!compare(&ours, &fewer.to_string()).unwrap().in_order(), "seed {seed}");
        }
    }

    #[test]
    fn text_that_is_no_policy_is_an_error_and_equals_nothing() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"Statement":"x"}"#,
            r#"{"Version":"2030-01-01","Statement":[]}"#,
            r#"{"Statement":[{"Resource":"${x}"}]}"#,
        ] {
            assert!(compare(&ours(Profile::Explicit), text).is_err(), "{text}");
            assert!(!same_meaning(text, text));
        }
    }
}
