//! The optional statements on who may come and from where: what each says of everybody that may knock.
//!
//! They lean on keys that anonymous requests lack: an absent key makes a negated operator and `…IfExists` true, so that
//! the Deny applies, where a plain `Bool` would let the request slip through.

use super::{BucketPolicy, Caller, ConditionKey, Context, Request, Verdict};

const RUNTIME: &str = "arn:aws:iam::000000000000:role/runtime";
const PROVISIONER: &str = "arn:aws:iam::000000000000:role/provisioner";
const STRANGER: &str = "arn:aws:iam::000000000000:role/stranger";
const ROOT: &str = "arn:aws:iam::000000000000:root";
const VPCE: &str = "vpce-1";

const OBJECTS: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Sid":"DenyAllButServicePrincipals","Effect":"Deny","Principal":"*",
  "Action":["s3:GetObject*","s3:PutObject*","s3:DeleteObject*","s3:AbortMultipartUpload"],"Resource":"arn:aws:s3:::models/*",
  "Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::000000000000:role/runtime"]},
    "BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}]}"#;

const CONFIGURATION: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Sid":"DenyConfigDriftByOthers","Effect":"Deny","Principal":"*",
  "Action":["s3:PutBucketPolicy","s3:DeleteBucketPolicy","s3:PutEncryptionConfiguration","s3:PutBucketVersioning",
    "s3:PutBucketPublicAccessBlock","s3:PutBucketOwnershipControls","s3:PutLifecycleConfiguration","s3:DeleteBucket",
    "s3:PutBucketAcl","s3:PutObjectAcl","s3:BypassGovernanceRetention"],
  "Resource":["arn:aws:s3:::models","arn:aws:s3:::models/*"],
  "Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::000000000000:role/provisioner"]}}}]}"#;

const ENDPOINT: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Sid":"DenyOutsideVpce","Effect":"Deny","Principal":"*","Action":"s3:*",
  "Resource":["arn:aws:s3:::models","arn:aws:s3:::models/*"],
  "Condition":{"StringNotEqualsIfExists":{"aws:SourceVpce":"vpce-1"},
    "BoolIfExists":{"aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false"},
    "ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::000000000000:role/provisioner"]}}}]}"#;

/// Somebody who knocks.
#[derive(Clone, Copy, Debug)]
struct Knock {
    /// `None`: without credentials, and without any key on a principal.
    arn: Option<&'static str>,
    is_service: bool,
    via_service: bool,
    vpce: Option<&'static str>,
}

const fn role(arn: &'static str) -> Knock {
    Knock { arn: Some(arn), is_service: false, via_service: false, vpce: None }
}

const ANONYMOUS: Knock = Knock { arn: None, ..role("") };
const SERVICE: Knock = Knock { is_service: true, ..role("logging.s3.amazonaws.com") };

fn denied(policy: &str, knock: Knock, action: &str) -> bool {
    let policy = BucketPolicy::parse(policy, "models").unwrap();
    let mut context = Context::new();
    let caller = match knock.arn {
        None => Caller::Anonymous,
        Some(arn) => {
            context.insert(ConditionKey::PrincipalArn, arn.to_owned());
            context.insert(ConditionKey::PrincipalIsAwsService, knock.is_service.to_string());
            context.insert(ConditionKey::ViaAwsService, knock.via_service.to_string());
            Caller::Known { arn: arn.to_owned(), account: "000000000000".to_owned() }
        }
    };
    if let Some(vpce) = knock.vpce {
        context.insert(ConditionKey::SourceVpce, vpce.to_owned());
    }
    let object = action.contains("Object") || action.contains("Retention");
    let resource = if object { "arn:aws:s3:::models/k" } else { "arn:aws:s3:::models" };
    let verdict = policy.evaluate(&Request { caller: &caller, action, resource, context: &context });
    matches!(verdict, Verdict::Deny { .. })
}

#[test]
fn objects_are_for_the_named_role_and_for_services_of_aws() {
    for action in ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObjectVersion"] {
        for (knock, expected) in
            [(ANONYMOUS, true), (role(STRANGER), true), (role(ROOT), true), (role(RUNTIME), false), (SERVICE, false)]
        {
            assert_eq!(denied(OBJECTS, knock, action), expected, "{action} by {knock:?}");
        }
    }
    assert!(!denied(OBJECTS, role(STRANGER), "s3:ListBucket"), "what the statement does not name");
}

#[test]
fn settings_are_for_the_provisioner_alone() {
    for action in ["s3:PutBucketPolicy", "s3:PutBucketVersioning", "s3:DeleteBucket", "s3:BypassGovernanceRetention"] {
        for (knock, expected) in [
            (ANONYMOUS, true),
            (role(STRANGER), true),
            (role(RUNTIME), true),
            // S3 lets the root mend a policy all the same: that is not the policy's own verdict.
            (role(ROOT), true),
            (role(PROVISIONER), false),
        ] {
            assert_eq!(denied(CONFIGURATION, knock, action), expected, "{action} by {knock:?}");
        }
    }
    assert!(!denied(CONFIGURATION, role(RUNTIME), "s3:GetBucketPolicy"));
}

#[test]
fn requests_come_through_the_endpoint_or_from_the_provisioner() {
    let through = |knock: Knock| Knock { vpce: Some(VPCE), ..knock };
    let elsewhere = |knock: Knock| Knock { vpce: Some("vpce-2"), ..knock };
    for (knock, expected) in [
        (ANONYMOUS, true),
        (role(RUNTIME), true),
        (role(ROOT), true),
        (elsewhere(role(RUNTIME)), true),
        (elsewhere(ANONYMOUS), true),
        (through(role(RUNTIME)), false),
        (through(role(STRANGER)), false),
        (through(ANONYMOUS), false),
        (role(PROVISIONER), false),
        (SERVICE, false),
        (Knock { via_service: true, ..role(RUNTIME) }, false),
    ] {
        for action in ["s3:GetObject", "s3:ListBucket"] {
            assert_eq!(denied(ENDPOINT, knock, action), expected, "{action} by {knock:?}");
        }
    }
}

#[test]
fn a_plain_bool_would_let_anonymous_requests_slip_through() {
    for policy in [OBJECTS, ENDPOINT] {
        let weak = policy.replace("BoolIfExists", "Bool");
        assert!(denied(policy, ANONYMOUS, "s3:GetObject"));
        assert!(!denied(&weak, ANONYMOUS, "s3:GetObject"), "{weak}");
    }
}

#[test]
fn create_only_is_asked_of_the_request_that_makes_the_object() {
    let text = r#"{"Version":"2012-10-17","Statement":[
     {"Sid":"CreateOnly","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::models/*",
      "Condition":{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}}]}"#;
    let policy = BucketPolicy::parse(text, "models").unwrap();
    let judge = |creates: &str, condition: Option<&str>| {
        let mut context = Context::from([(ConditionKey::ObjectCreationOperation, creates.to_owned())]);
        context.extend(condition.map(|tag| (ConditionKey::IfNoneMatch, tag.to_owned())));
        let (caller, resource) = (Caller::Anonymous, "arn:aws:s3:::models/k");
        policy.evaluate(&Request { caller: &caller, action: "s3:PutObject", resource, context: &context })
    };
    assert!(matches!(judge("true", None), Verdict::Deny { .. }));
    assert_eq!(judge("true", Some("*")), Verdict::NoMatch);
    assert_eq!(judge("false", None), Verdict::NoMatch, "a part of an upload");
}
