//! The two policies as typed documents: what the bucket denies, and who may use the key.
//!
//! The bucket policy holds only denials; who is allowed is said by IAM.
//! Rendering is byte-stable: the same wish gives the same text, so replicas that race write the same bytes.

mod fences;

use std::collections::BTreeMap;

use serde::Serialize;

use super::spec::{BackEnd, KeyArn, Profile, Wanted};

const ALGORITHM: &str = "s3:x-amz-server-side-encryption";
pub(super) const KEY_ID: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const CUSTOMER_ALGORITHM: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
const AUTH_TYPE: &str = "s3:authType";

/// A policy of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    id: &'static str,
    statement: Vec<Statement>,
}

/// One statement; its `Sid` names it in plans, findings and merges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: Sid,
    effect: Effect,
    principal: Principal,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<&'static str, OneOrMany>>,
}

/// Names of the statements that this service writes, in any profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Sid {
    DenyInsecureTransport,
    DenyOutdatedTls,
    DenyMissingSseHeader,
    DenyWrongSseAlgorithm,
    DenyWrongKmsKey,
    DenyWrongSseAlgorithmIfSent,
    DenyWrongKmsKeyIfSent,
    DenySseC,
    DenyStalePresigned,
    DenyPresignedPost,
    DenyOutsidePerimeter,
    DenyConfigByOthers,
    DenyOutsideVpce,
    AccountAdminNoDataPlane,
    RuntimeViaS3Only,
    RuntimeDescribe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Principal {
    Everyone(Star),
    Aws {
        #[serde(rename = "AWS")]
        aws: OneOrMany,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Star {
    #[serde(rename = "*")]
    Star,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Document {
    /// The text that is sent to S3 or KMS.
    pub fn render(&self) -> String {
        to_json(self)
    }

    pub(super) fn value(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a tree of strings is JSON")
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statement
    }
}

impl Statement {
    /// Its name.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    pub(super) fn value(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a tree of strings is JSON")
    }
}

impl Sid {
    /// Every name a bucket policy of ours may hold; a statement with such a name is ours to replace.
    pub const BUCKET: [Self; 13] = [
        Self::DenyInsecureTransport,
        Self::DenyOutdatedTls,
        Self::DenyMissingSseHeader,
        Self::DenyWrongSseAlgorithm,
        Self::DenyWrongKmsKey,
        Self::DenyWrongSseAlgorithmIfSent,
        Self::DenyWrongKmsKeyIfSent,
        Self::DenySseC,
        Self::DenyStalePresigned,
        Self::DenyPresignedPost,
        Self::DenyOutsidePerimeter,
        Self::DenyConfigByOthers,
        Self::DenyOutsideVpce,
    ];

    /// The name as it stands in the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DenyInsecureTransport => "DenyInsecureTransport",
            Self::DenyOutdatedTls => "DenyOutdatedTls",
            Self::DenyMissingSseHeader => "DenyMissingSseHeader",
            Self::DenyWrongSseAlgorithm => "DenyWrongSseAlgorithm",
            Self::DenyWrongKmsKey => "DenyWrongKmsKey",
            Self::DenyWrongSseAlgorithmIfSent => "DenyWrongSseAlgorithmIfSent",
            Self::DenyWrongKmsKeyIfSent => "DenyWrongKmsKeyIfSent",
            Self::DenySseC => "DenySseC",
            Self::DenyStalePresigned => "DenyStalePresigned",
            Self::DenyPresignedPost => "DenyPresignedPost",
            Self::DenyOutsidePerimeter => "DenyOutsidePerimeter",
            Self::DenyConfigByOthers => "DenyConfigByOthers",
            Self::DenyOutsideVpce => "DenyOutsideVpce",
            Self::AccountAdminNoDataPlane => "AccountAdminNoDataPlane",
            Self::RuntimeViaS3Only => "RuntimeViaS3Only",
            Self::RuntimeDescribe => "RuntimeDescribe",
        }
    }
}

/// The policy of a bucket whose every object is encrypted under `key`.
///
/// A back end that is not AWS gets no statement on the TLS version, which it does not give to the policy, and another
/// form of [`Profile::DefaultOk`]: the key is judged only when its own header is sent, or `UploadPart` would be denied.
pub fn bucket_policy(wanted: &Wanted, key: &KeyArn) -> Document {
    let (bucket, knows_tls) = (wanted.bucket.as_str(), wanted.back_end != BackEnd::Compatible);
    let bucket_arn = format!("arn:{}:s3:::{bucket}", key.partition());
    let objects = format!("{bucket_arn}/*");
    let everything = OneOrMany::Many(vec![bucket_arn, objects.clone()]);
    let deny = |sid, action: &str, resource: &OneOrMany, condition| Statement {
        sid,
        effect: Effect::Deny,
        principal: Principal::Everyone(Star::Star),
        action: one(action),
        resource: resource.clone(),
        condition,
    };
    let objects = OneOrMany::One(objects);
    let deny_put = |sid, condition| deny(sid, "s3:PutObject", &objects, condition);

    let mut statement = vec![deny(
        Sid::DenyInsecureTransport,
        "s3:*",
        &everything,
        when([("Bool", "aws:SecureTransport", one("false"))]),
    )];
    if knows_tls {
        let old = when([("NumericLessThan", "s3:TlsVersion", one("1.2"))]);
        statement.push(deny(Sid::DenyOutdatedTls, "s3:*", &everything, old));
    }
    match wanted.profile {
        Profile::Explicit => statement.extend([
            // Implied by the next one (an absent header is "not equal"); it stands for the auditor's eye.
            deny_put(Sid::DenyMissingSseHeader, when([("Null", ALGORITHM, one("true"))])),
            deny_put(Sid::DenyWrongSseAlgorithm, when([("StringNotEquals", ALGORITHM, one("aws:kms"))])),
            deny_put(Sid::DenyWrongKmsKey, when([("StringNotEquals", KEY_ID, one(key.as_str()))])),
        ]),
        Profile::DefaultOk => {
            let sent = if wanted.back_end == BackEnd::Compatible { KEY_ID } else { ALGORITHM };
            statement.extend([
                deny_put(
                    Sid::DenyWrongSseAlgorithmIfSent,
                    when([("Null", ALGORITHM, one("false")), ("StringNotEquals", ALGORITHM, one("aws:kms"))]),
                ),
                deny_put(
                    Sid::DenyWrongKmsKeyIfSent,
                    when([("Null", sent, one("false")), ("StringNotEquals", KEY_ID, one(key.as_str()))]),
                ),
            ]);
        }
    }
    statement.extend([
        deny_put(Sid::DenySseC, when([("Null", CUSTOMER_ALGORITHM, one("false"))])),
        deny(
            Sid::DenyStalePresigned,
            "s3:*",
            &objects,
            when([
                ("StringEquals", AUTH_TYPE, one("REST-QUERY-STRING")),
                ("NumericGreaterThan", "s3:signatureAge", one(wanted.max_signature_age().as_millis().to_string())),
            ]),
        ),
        deny_put(Sid::DenyPresignedPost, when([("StringEquals", AUTH_TYPE, one("POST"))])),
    ]);
    statement.extend(fences::fences(wanted, &everything));
    Document { version: "2012-10-17", id: "ModelArtifacts-v1", statement }
}

/// The policy of a key that only `principals` may use, and only through S3 for this bucket.
///
/// The account keeps administration, not the data plane: nobody decrypts by an IAM policy alone.
/// `kms:ViaService` stands in it only on AWS; other back ends do not know it.
pub fn key_policy(key: &KeyArn, bucket: &str, region: &str, principals: &[String], back_end: BackEnd) -> Document {
    let (partition, account) = (key.partition(), key.account());
    let runtime = || Principal::Aws { aws: principals.to_vec().into() };
    let allow = |sid, principal, action, condition| Statement {
        sid,
        effect: Effect::Allow,
        principal,
        action,
        resource: one("*"),
        condition,
    };
    let bucket_arn = format!("arn:{partition}:s3:::{bucket}");
    // With the bucket key on, the encryption context is the bucket; without it, the object.
    let contexts = OneOrMany::Many(vec![bucket_arn.clone(), format!("{bucket_arn}/*")]);
    let mut through_s3 = when([
        ("StringEquals", "kms:CallerAccount", one(account)),
        ("StringLike", "kms:EncryptionContext:aws:s3:arn", contexts),
    ]);
    if back_end == BackEnd::Aws {
        let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        through_s3.entry("StringEquals").or_default().insert("kms:ViaService", one(format!("s3.{region}.{domain}")));
    }
    Document {
        version: "2012-10-17",
        id: "ml-artifacts-key-v1",
        statement: vec![
            allow(
                Sid::AccountAdminNoDataPlane,
                Principal::Aws { aws: one(format!("arn:{partition}:iam::{account}:root")) },
                many(&KEY_ADMINISTRATION),
                BTreeMap::new(),
            ),
            allow(
                Sid::RuntimeViaS3Only,
                runtime(),
                OneOrMany::Many(vec!["kms:GenerateDataKey".to_owned(), "kms:Decrypt".to_owned()]),
                through_s3,
            ),
            allow(Sid::RuntimeDescribe, runtime(), one("kms:DescribeKey"), BTreeMap::new()),
        ],
    }
}

/// The policy that KMS gives a key which is created without one: everything is left to IAM.
pub(super) fn delegating_key_policy(key: &KeyArn) -> serde_json::Value {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:{}:iam::{}:root", key.partition(), key.account())},
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
}

const KEY_ADMINISTRATION: [&str; 17] = [
    "kms:Describe*",
    "kms:Get*",
    "kms:List*",
    "kms:PutKeyPolicy",
    "kms:UpdateKeyDescription",
    "kms:EnableKey",
    "kms:DisableKey",
    "kms:EnableKeyRotation",
    "kms:DisableKeyRotation",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:CreateAlias",
    "kms:UpdateAlias",
    "kms:DeleteAlias",
    "kms:ScheduleKeyDeletion",
    "kms:CancelKeyDeletion",
    "kms:RevokeGrant",
];

/// A document or statement as JSON text.
fn to_json(policy: &impl Serialize) -> String {
    serde_json::to_string(policy).expect("a tree of strings is JSON")
}

impl From<Vec<String>> for OneOrMany {
    fn from(mut texts: Vec<String>) -> Self {
        if texts.len() == 1 { Self::One(texts.remove(0)) } else { Self::Many(texts) }
    }
}

fn many(texts: &[&str]) -> OneOrMany {
    OneOrMany::Many(texts.iter().map(ToString::to_string).collect())
}

fn one(text: impl Into<String>) -> OneOrMany {
    OneOrMany::One(text.into())
}

fn when<const N: usize>(
    conditions: [(&'static str, &'static str, OneOrMany); N],
) -> BTreeMap<&'static str, BTreeMap<&'static str, OneOrMany>> {
    let mut block = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (operator, key, value) in conditions {
        block.entry(operator).or_default().insert(key, value);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyArn {
        "arn:aws:kms:eu-west-1:123456789012:key/0f-1".parse().unwrap()
    }

    fn wanted(back_end: BackEnd) -> Wanted {
        Wanted::new("ml", "eu-west-1", back_end)
    }

    const STRICT: &str = concat!(
        r#"{"Version":"2012-10-17","Id":"ModelArtifacts-v1","Statement":["#,
        r#"{"Sid":"DenyInsecureTransport","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}},"#,
        r#"{"Sid":"DenyOutdatedTls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"],"Condition":{"NumericLessThan":{"s3:TlsVersion":"1.2"}}},"#,
        r#"{"Sid":"DenyMissingSseHeader","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::ml/*","Condition":{"Null":{"s3:x-amz-server-side-encryption":"true"}}},"#,
        r#"{"Sid":"DenyWrongSseAlgorithm","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::ml/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}},"#,
        r#"{"Sid":"DenyWrongKmsKey","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::ml/*","Condition":{"StringNotEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:eu-west-1:123456789012:key/0f-1"}}},"#,
        r#"{"Sid":"DenySseC","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::ml/*","Condition":{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"false"}}},"#,
        r#"{"Sid":"DenyStalePresigned","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::ml/*","Condition":{"NumericGreaterThan":{"s3:signatureAge":"43260000"},"StringEquals":{"s3:authType":"REST-QUERY-STRING"}}},"#,
        r#"{"Sid":"DenyPresignedPost","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::ml/*","Condition":{"StringEquals":{"s3:authType":"POST"}}}"#,
        r"]}",
    );

    #[test]
    fn strict_policy_is_byte_for_byte_the_reviewed_one() {
        assert_eq!(bucket_policy(&wanted(BackEnd::Aws), &key()).render(), STRICT);
    }

    #[test]
    fn headerless_profile_denies_only_headers_that_are_sent_wrong() {
        let text = bucket_policy(&wanted(BackEnd::Compatible), &key()).render();
        let sids: Vec<_> = bucket_policy(&wanted(BackEnd::Compatible), &key())
            .statements()
            .iter()
            .map(|statement| statement.sid().as_str())
            .collect();
        assert_eq!(
            sids,
            [
                "DenyInsecureTransport",
                "DenyWrongSseAlgorithmIfSent",
                "DenyWrongKmsKeyIfSent",
                "DenySseC",
                "DenyStalePresigned",
                "DenyPresignedPost"
            ]
        );
        assert!(text.contains(r#""Condition":{"Null":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"false"},"StringNotEquals":{"s3:x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:eu-west-1:123456789012:key/0f-1"}}"#));
        assert!(!text.contains(r#":"true""#), "a demand for a header would deny UploadPart");
        assert!(!text.contains("IfExists"), "SeaweedFS refuses these operators");
    }

    #[test]
    fn perimeter_names_who_is_inside_and_who_may_change_the_bucket() {
        let mut wanted = wanted(BackEnd::Aws);
        wanted.options.perimeter = true;
        wanted.runtime_principals = vec!["arn:aws:iam::123456789012:role/run".to_owned()];
        wanted.administrators = vec!["arn:aws:iam::123456789012:role/break-glass".to_owned()];
        let text = bucket_policy(&wanted, &key()).render();
        for part in [
            r#"{"Sid":"DenyOutsidePerimeter","Effect":"Deny","Principal":"*","Action":["s3:GetObject*","s3:PutObject*","s3:DeleteObject*","s3:AbortMultipartUpload","s3:ListBucket","s3:ListBucketVersions","s3:ListBucketMultipartUploads","s3:ListMultipartUploadParts"],"Resource":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"],"Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::123456789012:role/run","arn:aws:iam::123456789012:role/break-glass"]},"BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}"#,
            r#"{"Sid":"DenyConfigByOthers","Effect":"Deny","Principal":"*","Action":["s3:PutBucketPolicy","s3:DeleteBucketPolicy","s3:PutEncryptionConfiguration","#,
            r#""s3:PutObjectVersionAcl"],"Resource":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"],"Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/break-glass"}}}"#,
        ] {
            assert!(text.contains(part), "{text}");
        }
        for action in fences::CONFIGURATION {
            assert!(text.contains(&format!("\"{action}\"")), "{action}");
        }
        assert!(!text.contains("DenyOutsideVpce"));
    }

    #[test]
    fn vpc_endpoint_is_left_only_by_administrators_and_services() {
        let mut wanted = wanted(BackEnd::Aws);
        wanted.options.vpc_endpoint = Some("vpce-1".to_owned());
        wanted.administrators = vec!["arn:aws:iam::123456789012:role/a".to_owned()];
        let text = bucket_policy(&wanted, &key()).render();
        let expected = r#"{"Sid":"DenyOutsideVpce","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"],"Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/a"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false"},"StringNotEqualsIfExists":{"aws:SourceVpce":"vpce-1"}}}"#;
        assert!(text.contains(expected), "{text}");
        wanted.back_end = BackEnd::Compatible;
        wanted.options.perimeter = true;
        let elsewhere = bucket_policy(&wanted, &key()).render();
        assert!(elsewhere.contains("DenyOutsidePerimeter") && !elsewhere.contains("IfExists"), "{elsewhere}");
    }

    #[test]
    fn every_statement_of_the_bucket_policy_denies_everyone() {
        for back_end in [BackEnd::Aws, BackEnd::Compatible] {
            for statement in bucket_policy(&wanted(back_end), &key()).statements() {
                assert_eq!(statement.effect, Effect::Deny);
                assert_eq!(statement.principal, Principal::Everyone(Star::Star));
                assert!(Sid::BUCKET.contains(&statement.sid()));
            }
        }
    }

    #[test]
    fn partition_of_the_key_is_the_partition_of_the_resources() {
        let china: KeyArn = "arn:aws-cn:kms:cn-north-1:123456789012:key/1".parse().unwrap();
        let text = bucket_policy(&wanted(BackEnd::Aws), &china).render();
        assert!(text.contains("arn:aws-cn:s3:::ml/*") && !text.contains("arn:aws:s3"));
    }

    #[test]
    fn key_policy_names_the_service_only_on_aws() {
        let principals = ["arn:aws:iam::123456789012:role/runtime".to_owned()];
        let render = |back_end| key_policy(&key(), "ml", "eu-west-1", &principals, back_end).render();
        assert!(render(BackEnd::Aws).contains(r#""StringEquals":{"kms:CallerAccount":"123456789012","kms:ViaService":"s3.eu-west-1.amazonaws.com"},"StringLike":{"kms:EncryptionContext:aws:s3:arn":["arn:aws:s3:::ml","arn:aws:s3:::ml/*"]}"#));
        assert!(!render(BackEnd::Embedded).contains("kms:ViaService"));
        assert!(!render(BackEnd::Compatible).contains("kms:ViaService"));
    }

    #[test]
    fn key_policy_gives_the_account_no_data_plane_and_nobody_grants() {
        let text =
            key_policy(&key(), "ml", "eu-west-1", &["arn:aws:iam::123456789012:role/r".to_owned()], BackEnd::Aws)
                .render();
        assert!(text.starts_with(r#"{"Version":"2012-10-17","Id":"ml-artifacts-key-v1","Statement":[{"Sid":"AccountAdminNoDataPlane","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"}"#));
        for action in ["kms:*", "kms:CreateGrant", "kms:Encrypt", "kms:ReEncrypt"] {
            assert!(!text.contains(&format!("\"{action}\"")), "{action}");
        }
    }
}
