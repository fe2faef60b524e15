//! The truth table of the origin's bucket policy and of the two profiles that replace it.
//!
//! Under each row both readings of the key condition are tried for requests without headers: S3 fills in the bucket's
//! default key, or leaves the key absent. The profiles must not depend on which one is right; the origin's policy and
//! AWS's own example do. Tried for real by the service's own tests, on this endpoint and on one that others wrote.

use super::{BucketPolicy, Caller, ConditionKey, Context, Request, Verdict};

const CMK: &str = "arn:aws:kms:us-east-1:000000000000:key/0a0a0a0a-0000-4000-8000-000000000001";
const OTHER: &str = "arn:aws:kms:us-east-1:000000000000:key/0b0b0b0b-0000-4000-8000-000000000002";
/// Two more names of the first key.
const ALIAS: &str = "alias/models";
const BARE: &str = "0a0a0a0a-0000-4000-8000-000000000001";
const AWS_S3: &str = "arn:aws:kms:us-east-1:000000000000:key/0c0c0c0c-0000-4000-8000-000000000003";

/// What the seed deployed: both headers wrong at once, or the algorithm absent.
const ORIGIN: &str = include_str!("../../tests/policies/origin.json");

/// Profile F: headers required.
const EXPLICIT: &str = include_str!("../../tests/policies/explicit.json");

/// Profile G: no headers means the bucket's default, wrong headers are refused.
const DEFAULT_OK: &str = include_str!("../../tests/policies/default-ok.json");

/// AWS's documented single statement, whose verdict on row 1 depends on the reading.
const KEY_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Sid":"KeyOnly","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::models/*",
  "Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"${KEY_ARN}"}}}]}"#;

struct Row {
    number: u8,
    algorithm: Option<&'static str>,
    /// The key that S3 uses, as the condition sees it when it sees the resolved one.
    key: Option<&'static str>,
    customer: bool,
    origin: Must,
    explicit: Must,
    default_ok: Must,
}

/// What a policy must say of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Must {
    Deny,
    Allow,
    /// Nobody may rely on it: a key that is not named by its ARN is never sent.
    Either,
}

const DENY: Must = Must::Deny;
const ALLOW: Must = Must::Allow;
const EITHER: Must = Must::Either;

#[rustfmt::skip]
const ROWS: [Row; 10] = [
    Row { number: 1, algorithm: None,                 key: Some(CMK),    customer: false, origin: DENY,  explicit: DENY,  default_ok: ALLOW },
    Row { number: 2, algorithm: Some("aws:kms"),      key: Some(CMK),    customer: false, origin: ALLOW, explicit: ALLOW, default_ok: ALLOW },
    Row { number: 3, algorithm: Some("aws:kms"),      key: Some(OTHER),  customer: false, origin: ALLOW, explicit: DENY,  default_ok: DENY },
    Row { number: 4, algorithm: Some("aws:kms"),      key: Some(AWS_S3), customer: false, origin: ALLOW, explicit: DENY,  default_ok: DENY },
    Row { number: 5, algorithm: Some("AES256"),       key: None,         customer: false, origin: DENY,  explicit: DENY,  default_ok: DENY },
    Row { number: 6, algorithm: Some("aws:kms:dsse"), key: Some(CMK),    customer: false, origin: ALLOW, explicit: DENY,  default_ok: DENY },
    Row { number: 7, algorithm: Some("aws:kms:dsse"), key: Some(OTHER),  customer: false, origin: DENY,  explicit: DENY,  default_ok: DENY },
    Row { number: 8, algorithm: None,                 key: None,         customer: true,  origin: DENY,  explicit: DENY,  default_ok: DENY },
    Row { number: 9, algorithm: Some("aws:kms"),      key: Some(ALIAS),  customer: false, origin: ALLOW, explicit: EITHER, default_ok: EITHER },
    Row { number: 9, algorithm: Some("aws:kms"),      key: Some(BARE),   customer: false, origin: ALLOW, explicit: EITHER, default_ok: EITHER },
];

fn policy(text: &str) -> BucketPolicy {
    BucketPolicy::parse(&text.replace("${KEY_ARN}", CMK), "models").unwrap()
}

fn put(policy: &BucketPolicy, context: &Context) -> Verdict {
    let caller = Caller::Known { arn: "arn:aws:iam::000000000000:root".into(), account: "000000000000".into() };
    policy.evaluate(&Request {
        caller: &caller,
        action: "s3:PutObject",
        resource: "arn:aws:s3:::models/models/ns/m/1/file",
        context,
    })
}

fn context(row: &Row, key_of_default_is_seen: bool) -> Context {
    let mut context = Context::from([
        (ConditionKey::SecureTransport, "true".to_owned()),
        (ConditionKey::TlsVersion, "1.3".to_owned()),
        (ConditionKey::AuthType, "REST-HEADER".to_owned()),
    ]);
    if let Some(algorithm) = row.algorithm {
        context.insert(ConditionKey::Encryption, algorithm.to_owned());
    }
    if let Some(key) = row.key
        && (row.algorithm.is_some() || key_of_default_is_seen)
    {
        context.insert(ConditionKey::EncryptionKey, key.to_owned());
    }
    if row.customer {
        context.insert(ConditionKey::CustomerAlgorithm, "AES256".to_owned());
    }
    context
}

#[test]
fn every_row_gives_its_verdict_under_both_readings() {
    let (origin, explicit, default_ok) = (policy(ORIGIN), policy(EXPLICIT), policy(DEFAULT_OK));
    for row in &ROWS {
        for resolved in [true, false] {
            let context = context(row, resolved);
            for (name, policy, must) in [
                ("origin", &origin, row.origin),
                ("explicit", &explicit, row.explicit),
                ("default-ok", &default_ok, row.default_ok),
            ] {
                let said = if put(policy, &context) == Verdict::NoMatch { ALLOW } else { DENY };
                assert!(must == EITHER || must == said, "{name}, row {}, resolved {resolved}: {said:?}", row.number);
            }
        }
    }
}

#[test]
fn documented_key_statement_alone_depends_on_the_reading() {
    let key_only = policy(KEY_ONLY);
    assert_eq!(put(&key_only, &context(&ROWS[0], true)), Verdict::NoMatch);
    assert_eq!(put(&key_only, &context(&ROWS[0], false)), Verdict::Deny { sid: Some("KeyOnly".into()) });
}

#[test]
fn if_exists_on_a_negated_operator_denies_a_request_without_the_header() {
    let text = KEY_ONLY.replace("StringNotEquals", "StringNotEqualsIfExists");
    assert_eq!(put(&policy(&text), &Context::new()), Verdict::Deny { sid: Some("KeyOnly".into()) });
}

#[test]
fn transport_and_presigned_statements_deny_what_they_name() {
    let explicit = policy(EXPLICIT);
    let denied_by = |key: ConditionKey, value: &str, more: &[(ConditionKey, &str)]| {
        let mut context = context(&ROWS[1], true);
        context.insert(key, value.to_owned());
        context.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        match put(&explicit, &context) {
            Verdict::Deny { sid } => sid,
            _ => None,
        }
    };
    let query = (ConditionKey::AuthType, "REST-QUERY-STRING");
    assert_eq!(denied_by(ConditionKey::SecureTransport, "false", &[]).as_deref(), Some("DenyInsecureTransport"));
    assert_eq!(denied_by(ConditionKey::TlsVersion, "1.1", &[]).as_deref(), Some("DenyOutdatedTls"));
    assert_eq!(denied_by(ConditionKey::AuthType, "POST", &[]).as_deref(), Some("DenyPresignedPost"));
    assert_eq!(denied_by(ConditionKey::SignatureAge, "600001", &[query]).as_deref(), Some("DenyStalePresigned"));
    assert_eq!(denied_by(ConditionKey::SignatureAge, "600000", &[query]), None);
    assert_eq!(denied_by(ConditionKey::SignatureAge, "600001", &[]), None);
}
