//! Conditions: operators, and what they make of keys that are absent.
//!
//! Within a block every operator and every key must hold. Of several values of one key any may match, and a negated
//! operator demands that none does. A key that is absent fails every operator except the negated ones, `…IfExists`
//! and `Null`. Source: "IAM JSON policy elements: Condition operators" in the IAM user guide.

use std::net::IpAddr;

use super::PolicyError;
use super::json::Json;
use super::key::{ConditionKey, Context};
use super::pattern;

/// One operator on one key with its values.
#[derive(Debug)]
pub(crate) struct Condition {
    key: ConditionKey,
    test: Test,
    negated: bool,
    if_exists: bool,
}

/// What a value of the request is held against; any of the values may match.
#[derive(Debug)]
enum Test {
    Text { values: Vec<String>, ignore_case: bool },
    Like(Vec<String>),
    Arn(Vec<String>),
    Bool(Vec<bool>),
    Number { relation: Relation, values: Vec<f64> },
    Address(Vec<Network>),
    Null(Vec<bool>),
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    address: u128,
    prefix: u32,
    v4: bool,
}

/// Parses a `Condition` element; `place` names the statement in errors.
pub(crate) fn parse(place: &str, element: &Json) -> Result<Vec<Condition>, PolicyError> {
    let wrong = |place: String| PolicyError::WrongType { place, expected: "an object" };
    let operators = element.members().ok_or_else(|| wrong(format!("{place}: Condition")))?;
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let keys = keys.members().ok_or_else(|| wrong(format!("{place}: Condition: {operator}")))?;
        if keys.is_empty() {
            return Err(PolicyError::Empty { place: format!("{place}: {operator}"), element: "Condition" });
        }
        for (name, values) in keys {
            conditions.push(Condition::parse(place, operator, name, values)?);
        }
    }
    Ok(conditions)
}

impl Condition {
    fn parse(place: &str, operator: &str, name: &str, values: &Json) -> Result<Self, PolicyError> {
        let key = ConditionKey::from_name(name).ok_or_else(|| PolicyError::ConditionKey(name.to_owned()))?;
        let values = values.one_or_many().iter().map(|value| scalar(operator, value)).collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            return Err(PolicyError::Empty { place: place.to_owned(), element: key.name() });
        }
        let (base, if_exists) = match operator.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (operator, false),
        };
        let (test, negated) = Test::parse(operator, base, values)?;
        if if_exists && matches!(test, Test::Null(_)) {
            return Err(PolicyError::Operator(operator.to_owned()));
        }
        Ok(Self { key, test, negated, if_exists })
    }

    /// Whether the condition holds for a request.
    pub(crate) fn holds(&self, context: &Context) -> bool {
        let value = context.get(&self.key);
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&value.is_none());
        }
        match value {
            None => self.if_exists || self.negated,
            Some(value) => self.test.matches(value) != self.negated,
        }
    }

    /// Whether the condition ties the statement to named values, so that an Allow to everyone is not public.
    pub(crate) fn narrows(&self) -> bool {
        let fixed = |value: &String| !value.contains(['*', '?']);
        !self.negated
            && !self.if_exists
            && self.key.narrows_the_public()
            && match &self.test {
                Test::Text { .. } => true,
                Test::Like(values) | Test::Arn(values) => values.iter().all(fixed),
                Test::Address(networks) => networks.iter().all(Network::is_narrow),
                Test::Bool(_) | Test::Number { .. } | Test::Null(_) => false,
            }
    }
}

impl Test {
    /// The test of an operator without its `IfExists`, and whether it is a negated one.
    fn parse(operator: &str, base: &str, values: Vec<String>) -> Result<(Self, bool), PolicyError> {
        let text = |ignore_case| move |values| Ok(Self::Text { values, ignore_case });
        let bad = |value: &str| PolicyError::ConditionValue { operator: operator.to_owned(), value: value.to_owned() };
        let arns = |values: Vec<String>| match values.iter().find(|v| *v != "*" && !pattern::is_arn(v)) {
            Some(value) => Err(bad(value)),
            None => Ok(Self::Arn(values)),
        };
        let bools = |values: Vec<String>| {
            values.iter().map(|v| parse_bool(v).ok_or_else(|| bad(v))).collect::<Result<Vec<_>, _>>()
        };
        let number = |relation, values: Vec<String>| {
            let values = values.iter().map(|v| parse_number(v).ok_or_else(|| bad(v))).collect::<Result<_, _>>()?;
            Ok(Self::Number { relation, values })
        };
        let addresses = |values: Vec<String>| {
            let networks = values.iter().map(|v| Network::parse(v).ok_or_else(|| bad(v))).collect::<Result<_, _>>()?;
            Ok(Self::Address(networks))
        };
        let (test, negated) = match base {
            "StringEquals" => (text(false)(values), false),
            "StringNotEquals" => (text(false)(values), true),
            "StringEqualsIgnoreCase" => (text(true)(values), false),
            "StringNotEqualsIgnoreCase" => (text(true)(values), true),
            "StringLike" => (Ok(Self::Like(values)), false),
            "StringNotLike" => (Ok(Self::Like(values)), true),
            "ArnEquals" | "ArnLike" => (arns(values), false),
            "ArnNotEquals" | "ArnNotLike" => (arns(values), true),
            "Bool" => (bools(values).map(Self::Bool), false),
            "Null" => (bools(values).map(Self::Null), false),
            "NumericEquals" => (number(Relation::Equal, values), false),
            "NumericNotEquals" => (number(Relation::Equal, values), true),
            "NumericLessThan" => (number(Relation::Less, values), false),
            "NumericLessThanEquals" => (number(Relation::LessOrEqual, values), false),
            "NumericGreaterThan" => (number(Relation::Greater, values), false),
            "NumericGreaterThanEquals" => (number(Relation::GreaterOrEqual, values), false),
            "IpAddress" => (addresses(values), false),
            "NotIpAddress" => (addresses(values), true),
            _ => return Err(PolicyError::Operator(operator.to_owned())),
        };
        Ok((test?, negated))
    }

    /// Whether any of the values matches; a value of the wrong kind matches none.
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Text { values, ignore_case: false } => values.iter().any(|wanted| wanted == value),
            Self::Text { values, ignore_case: true } => {
                let value = value.to_lowercase();
                values.iter().any(|wanted| wanted.to_lowercase() == value)
            }
            Self::Like(patterns) => patterns.iter().any(|wanted| pattern::matches(wanted, value, false)),
            Self::Arn(patterns) => patterns.iter().any(|wanted| pattern::arn_matches(wanted, value)),
            Self::Bool(values) => parse_bool(value).is_some_and(|value| values.contains(&value)),
            Self::Number { relation, values } => {
                parse_number(value).is_some_and(|value| values.iter().any(|wanted| relation.holds(value, *wanted)))
            }
            Self::Address(networks) => {
                value.parse().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            Self::Null(_) => false,
        }
    }
}

impl Relation {
    #[expect(clippy::float_cmp, reason = "both sides were read from decimal text, where equal text is equal value")]
    fn holds(self, value: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => value == wanted,
            Self::Less => value < wanted,
            Self::LessOrEqual => value <= wanted,
            Self::Greater => value > wanted,
            Self::GreaterOrEqual => value >= wanted,
        }
    }
}

impl Network {
    /// Parses `192.0.2.0/24`, `2001:db8::/32` or a single address.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (v4, bits) = (address.is_ipv4(), if address.is_ipv4() { 32 } else { 128 });
        let prefix = match prefix {
            Some(prefix) if !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit()) => prefix.parse().ok()?,
            Some(_) => return None,
            None => bits,
        };
        (prefix <= bits).then(|| Self { address: number_of(address), prefix, v4 })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let bits = if self.v4 { 32 } else { 128 };
        let host_bits = bits - self.prefix;
        let network = |number: u128| number.checked_shr(host_bits).unwrap_or(0);
        address.is_ipv4() == self.v4 && network(number_of(address)) == network(self.address)
    }

    /// S3 calls a range public when it is wider than /8, for IPv6 wider than /32.
    fn is_narrow(&self) -> bool {
        self.prefix >= if self.v4 { 8 } else { 32 }
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// A value as text: IAM takes `true` and `1.2` with and without quotes.
fn scalar(operator: &str, value: &Json) -> Result<String, PolicyError> {
    let text = match value {
        Json::Text(text) => text.clone(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.clone(),
        Json::Null | Json::List(_) | Json::Object(_) => {
            return Err(PolicyError::ConditionValue { operator: operator.to_owned(), value: format!("{value:?}") });
        }
    };
    if text.contains("${") {
        return Err(PolicyError::Variable(text));
    }
    Ok(text)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A decimal number; no exponent, no infinity.
fn parse_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.len() <= 40;
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, key: ConditionKey, value: Option<&str>) -> bool {
        let conditions = parse("Statement 1", &Json::parse(condition).unwrap()).unwrap();
        let context = value.map(|value| (key, value.to_owned())).into_iter().collect();
        conditions.iter().all(|condition| condition.holds(&context))
    }

    fn refused(condition: &str) -> PolicyError {
        parse("Statement 1", &Json::parse(condition).unwrap()).unwrap_err()
    }

    #[test]
    fn absent_key_fails_positive_operators_and_passes_negated_ones() {
        use ConditionKey::{EncryptionKey, PrincipalArn, SecureTransport, SignatureAge, SourceIp};
        let arn = r#"{"OP":{"aws:PrincipalArn":"arn:aws:iam::1:role/a"}}"#;
        let text = r#"{"OP":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"k"}}"#;
        let number = r#"{"OP":{"s3:signatureAge":"5"}}"#;
        let address = r#"{"OP":{"aws:SourceIp":"10.0.0.0/8"}}"#;
        let boolean = r#"{"OP":{"aws:SecureTransport":"false"}}"#;
        for (operator, template, key, expected) in [
            ("StringEquals", text, EncryptionKey, false),
            ("StringNotEquals", text, EncryptionKey, true),
            ("StringEqualsIgnoreCase", text, EncryptionKey, false),
            ("StringNotEqualsIgnoreCase", text, EncryptionKey, true),
            ("StringLike", text, EncryptionKey, false),
            ("StringNotLike", text, EncryptionKey, true),
            ("ArnEquals", arn, PrincipalArn, false),
            ("ArnNotEquals", arn, PrincipalArn, true),
            ("ArnLike", arn, PrincipalArn, false),
            ("ArnNotLike", arn, PrincipalArn, true),
            ("Bool", boolean, SecureTransport, false),
            ("NumericEquals", number, SignatureAge, false),
            ("NumericNotEquals", number, SignatureAge, true),
            ("NumericLessThan", number, SignatureAge, false),
            ("NumericLessThanEquals", number, SignatureAge, false),
            ("NumericGreaterThan", number, SignatureAge, false),
            ("NumericGreaterThanEquals", number, SignatureAge, false),
            ("IpAddress", address, SourceIp, false),
            ("NotIpAddress", address, SourceIp, true),
        ] {
            assert_eq!(holds(&template.replace("OP", operator), key, None), expected, "{operator}");
            assert!(holds(&template.replace("OP", &format!("{operator}IfExists")), key, None), "{operator}IfExists");
        }
        assert!(holds(r#"{"Null":{"s3:signatureAge":"true"}}"#, SignatureAge, None));
        assert!(!holds(r#"{"Null":{"s3:signatureAge":"false"}}"#, SignatureAge, None));
        assert!(holds(r#"{"Null":{"s3:signatureAge":false}}"#, SignatureAge, Some("1")));
    }

    #[test]
    fn several_values_are_or_and_under_negation_nor() {
        let key = ConditionKey::Encryption;
        let either = r#"{"StringEquals":{"s3:x-amz-server-side-encryption":["aws:kms","AES256"]}}"#;
        let neither = r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":["aws:kms","AES256"]}}"#;
        for (value, is_one) in [("aws:kms", true), ("AES256", true), ("aws:kms:dsse", false), ("AWS:KMS", false)] {
            assert_eq!(holds(either, key, Some(value)), is_one, "{value}");
            assert_eq!(holds(neither, key, Some(value)), !is_one, "{value}");
        }
    }

    #[test]
    fn several_keys_and_operators_are_and() {
        let condition =
            r#"{"StringEquals":{"s3:authType":"REST-QUERY-STRING"},"NumericGreaterThan":{"s3:signatureAge":"600000"}}"#;
        let conditions = parse("Statement 1", &Json::parse(condition).unwrap()).unwrap();
        let judge = |auth: &str, age: &str| {
            let context = Context::from([
                (ConditionKey::AuthType, auth.to_owned()),
                (ConditionKey::SignatureAge, age.to_owned()),
            ]);
            conditions.iter().all(|condition| condition.holds(&context))
        };
        assert!(judge("REST-QUERY-STRING", "600001"));
        assert!(!judge("REST-QUERY-STRING", "600000"));
        assert!(!judge("REST-HEADER", "600001"));
    }

    #[test]
    fn numbers_compare_as_numbers_and_not_as_text() {
        let below = r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#;
        assert!(holds(below, ConditionKey::TlsVersion, Some("1.1")));
        assert!(!holds(below, ConditionKey::TlsVersion, Some("1.2")));
        assert!(!holds(below, ConditionKey::TlsVersion, Some("1.3")));
        assert!(holds(r#"{"NumericLessThan":{"s3:max-keys":10}}"#, ConditionKey::MaxKeys, Some("9")));
        assert!(!holds(r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#, ConditionKey::MaxKeys, Some("many")));
    }

    #[test]
    fn addresses_match_their_network_in_both_families() {
        let inside = r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","2001:db8::/32"]}}"#;
        for (address, expected) in [
            ("192.0.2.77", true),
            ("192.0.3.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.1", true),
        ] {
            assert_eq!(holds(inside, ConditionKey::SourceIp, Some(address)), expected, "{address}");
        }
        assert!(holds(r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#, ConditionKey::SourceIp, Some("9.9.9.9")));
        assert!(holds(r#"{"IpAddress":{"aws:SourceIp":"::/0"}}"#, ConditionKey::SourceIp, Some("::1")));
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused() {
        assert!(matches!(refused(r#"{"StringMatches":{"s3:prefix":"a"}}"#), PolicyError::Operator(_)));
        assert!(matches!(refused(r#"{"ForAnyValue:StringEquals":{"s3:prefix":"a"}}"#), PolicyError::Operator(_)));
        assert!(matches!(refused(r#"{"NullIfExists":{"s3:prefix":"true"}}"#), PolicyError::Operator(_)));
        assert!(matches!(refused(r#"{"DateLessThan":{"s3:prefix":"2030-01-01"}}"#), PolicyError::Operator(_)));
        assert!(matches!(refused(r#"{"StringEquals":{"aws:username":"a"}}"#), PolicyError::ConditionKey(_)));
        assert!(matches!(refused(r#"{"StringEquals":{"s3:prefix":"${aws:username}"}}"#), PolicyError::Variable(_)));
        assert!(matches!(refused(r#"{"StringEquals":{"s3:prefix":[]}}"#), PolicyError::Empty { .. }));
        assert!(matches!(refused(r#"{"StringEquals":{}}"#), PolicyError::Empty { .. }));
        assert!(matches!(refused(r#"{"StringEquals":"a"}"#), PolicyError::WrongType { .. }));
        for value in [
            r#"{"Bool":{"aws:SecureTransport":"no"}}"#,
            r#"{"Null":{"aws:SecureTransport":"yes"}}"#,
            r#"{"NumericEquals":{"s3:max-keys":"ten"}}"#,
            r#"{"NumericEquals":{"s3:max-keys":"inf"}}"#,
            r#"{"NumericEquals":{"s3:max-keys":"1e9"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}"#,
            r#"{"IpAddress":{"aws:SourceIp":"somewhere"}}"#,
            r#"{"ArnLike":{"aws:PrincipalArn":"role/a"}}"#,
            r#"{"StringEquals":{"s3:prefix":{"a":1}}}"#,
            r#"{"StringEquals":{"s3:prefix":null}}"#,
        ] {
            assert!(matches!(refused(value), PolicyError::ConditionValue { .. }), "{value}");
        }
    }
}
