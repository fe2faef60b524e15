//! Bucket policies: parsed strictly, evaluated as AWS does.
//!
//! [`BucketPolicy::parse`] refuses whatever [`BucketPolicy::evaluate`] could not honour, because a condition that is
//! stored and never evaluated is a hole that looks like a lock. Not supported, so refused: `NotPrincipal`, service and
//! federated principals, policy variables, `ForAllValues`/`ForAnyValue`, date and binary operators, and condition keys
//! other than [`ConditionKey`]. Principals are not looked up: an ARN that nobody has simply never matches.
//! Read [`statement`](self) after this file, then conditions, keys and patterns.

mod action;
mod condition;
mod error;
pub(crate) mod json;
mod key;
pub(crate) mod pattern;
#[cfg(test)]
mod perimeter;
mod statement;
#[cfg(test)]
mod truth_table;

pub use error::PolicyError;
pub use key::{ConditionKey, Context};

use json::Json;
use statement::{Effect, Reach, Statement};

/// Largest policy in bytes, as on AWS.
const MAX_POLICY_BYTES: usize = 20 * 1024;

/// The policy of one bucket.
#[derive(Debug)]
pub struct BucketPolicy {
    text: String,
    statements: Vec<Statement>,
}

/// Who makes a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// Unsigned.
    Anonymous,
    /// Signed: the IAM ARN of the identity and its 12-digit account.
    Known { arn: String, account: String },
}

/// One question to a policy.
#[derive(Debug)]
pub struct Request<'a> {
    pub caller: &'a Caller,
    /// `s3:PutObject`.
    pub action: &'a str,
    /// `arn:aws:s3:::bucket` or `arn:aws:s3:::bucket/key`.
    pub resource: &'a str,
    pub context: &'a Context,
}

/// What a policy says of a request. An explicit Deny outweighs every Allow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Deny {
        sid: Option<String>,
    },
    Allow,
    /// Allowed to the caller's account as a whole: it counts together with an identity policy that allows it too.
    AllowAccount,
    NoMatch,
}

impl BucketPolicy {
    /// Parses the policy of `bucket`, at most 20 KiB; every part of it can be evaluated afterwards.
    pub fn parse(text: &str, bucket: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge { size: text.len(), limit: MAX_POLICY_BYTES });
        }
        let document = Json::parse(text).map_err(|error| PolicyError::NotJson(error.to_string()))?;
        let place = || "the policy".to_owned();
        let members =
            document.members().ok_or_else(|| PolicyError::WrongType { place: place(), expected: "an object" })?;
        let mut elements = None;
        for (name, value) in members {
            match (name.as_str(), value) {
                ("Version", Json::Text(version)) if version == "2012-10-17" || version == "2008-10-17" => {}
                ("Version", Json::Text(version)) => return Err(PolicyError::Version(version.clone())),
                ("Version" | "Id", value) if value.text().is_none() => {
                    return Err(PolicyError::WrongType { place: name.clone(), expected: "a string" });
                }
                ("Id", _) => {}
                ("Statement", value) => elements = Some(value.one_or_many()),
                _ => return Err(PolicyError::UnknownElement { place: place(), element: name.clone() }),
            }
        }
        let elements = elements.ok_or_else(|| PolicyError::Missing { place: place(), element: "Statement" })?;
        if elements.is_empty() {
            return Err(PolicyError::Empty { place: place(), element: "Statement" });
        }
        let mut statements: Vec<Statement> = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let statement = Statement::parse(&format!("statement {}", index + 1), element, bucket)?;
            if let Some(sid) = &statement.sid
                && statements.iter().any(|earlier| earlier.sid.as_ref() == Some(sid))
            {
                return Err(PolicyError::RepeatedSid(sid.clone()));
            }
            statements.push(statement);
        }
        Ok(Self { text: text.to_owned(), statements })
    }

    /// The text as it was put.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the policy says of a request.
    pub fn evaluate(&self, request: &Request<'_>) -> Verdict {
        let mut allowed = None;
        for statement in &self.statements {
            let reach = statement.reaches(request.caller, request.action, request.resource, request.context);
            match (statement.effect, reach) {
                (_, None) => {}
                (Effect::Deny, Some(_)) => return Verdict::Deny { sid: statement.sid.clone() },
                (Effect::Allow, Some(reach)) => allowed = allowed.max(Some(reach)),
            }
        }
        match allowed {
            Some(Reach::Direct) => Verdict::Allow,
            Some(Reach::Account) => Verdict::AllowAccount,
            None => Verdict::NoMatch,
        }
    }

    /// Whether the policy lets the public in: an Allow to everyone that no condition ties to named callers.
    ///
    /// Source: "The meaning of public" in the S3 user guide.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(statements: &str) -> Result<BucketPolicy, PolicyError> {
        BucketPolicy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#), "models")
    }

    fn ask(policy: &BucketPolicy, caller: &Caller, action: &str, resource: &str) -> Verdict {
        policy.evaluate(&Request { caller, action, resource, context: &Context::new() })
    }

    fn role(name: &str) -> Caller {
        Caller::Known { arn: format!("arn:aws:iam::111122223333:role/{name}"), account: "111122223333".into() }
    }

    const KEY: &str = "arn:aws:s3:::models/a/b";

    #[test]
    fn deny_outweighs_an_earlier_allow() {
        let policy = policy(
            r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::models/*"},
               {"Sid":"No","Effect":"Deny","Principal":"*","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::models/a/*"}"#,
        )
        .unwrap();
        assert_eq!(ask(&policy, &Caller::Anonymous, "s3:GetObject", KEY), Verdict::Allow);
        assert_eq!(ask(&policy, &Caller::Anonymous, "s3:DeleteObject", KEY), Verdict::Deny { sid: Some("No".into()) });
        assert_eq!(ask(&policy, &Caller::Anonymous, "s3:ListBucket", "arn:aws:s3:::models"), Verdict::NoMatch);
    }

    #[test]
    fn principals_are_everyone_an_account_or_one_identity() {
        let with = |principal: &str| {
            policy(&format!(
                r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*"}}"#
            ))
            .unwrap()
        };
        for (principal, anonymous, train, other) in [
            (r#""*""#, Verdict::Allow, Verdict::Allow, Verdict::Allow),
            (r#"{"AWS":"*"}"#, Verdict::Allow, Verdict::Allow, Verdict::Allow),
            (r#"{"AWS":"111122223333"}"#, Verdict::NoMatch, Verdict::AllowAccount, Verdict::AllowAccount),
            (
                r#"{"AWS":"arn:aws:iam::111122223333:root"}"#,
                Verdict::NoMatch,
                Verdict::AllowAccount,
                Verdict::AllowAccount,
            ),
            (r#"{"AWS":["arn:aws:iam::111122223333:role/train"]}"#, Verdict::NoMatch, Verdict::Allow, Verdict::NoMatch),
            (
                r#"{"AWS":["111122223333","arn:aws:iam::111122223333:role/train"]}"#,
                Verdict::NoMatch,
                Verdict::Allow,
                Verdict::AllowAccount,
            ),
            (r#"{"AWS":"999999999999"}"#, Verdict::NoMatch, Verdict::NoMatch, Verdict::NoMatch),
        ] {
            let policy = with(principal);
            assert_eq!(ask(&policy, &Caller::Anonymous, "s3:GetObject", KEY), anonymous, "{principal}");
            assert_eq!(ask(&policy, &role("train"), "s3:GetObject", KEY), train, "{principal}");
            assert_eq!(ask(&policy, &role("other"), "s3:GetObject", KEY), other, "{principal}");
        }
    }

    #[test]
    fn not_action_and_not_resource_invert_the_match() {
        let policy = policy(
            r#"{"Effect":"Deny","Principal":"*","NotAction":["s3:Get*","s3:List*"],"NotResource":"arn:aws:s3:::models/scratch/*"}"#,
        )
        .unwrap();
        let verdict = |action, resource| ask(&policy, &role("train"), action, resource);
        assert_eq!(verdict("s3:PutObject", KEY), Verdict::Deny { sid: None });
        assert_eq!(verdict("s3:GetObject", KEY), Verdict::NoMatch);
        assert_eq!(verdict("s3:PutObject", "arn:aws:s3:::models/scratch/x"), Verdict::NoMatch);
    }

    #[test]
    fn actions_match_in_any_case() {
        let policy =
            policy(r#"{"Effect":"Allow","Principal":"*","Action":"S3:getobject","Resource":"arn:aws:s3:::models/*"}"#)
                .unwrap();
        assert_eq!(ask(&policy, &Caller::Anonymous, "s3:GetObject", KEY), Verdict::Allow);
    }

    #[test]
    fn whatever_cannot_be_evaluated_is_refused_with_its_reason() {
        let base = [
            ("Effect", r#""Deny""#),
            ("Principal", r#""*""#),
            ("Action", r#""s3:GetObject""#),
            ("Resource", r#""arn:aws:s3:::models/*""#),
        ];
        let with = |element: &str, value: Option<&str>| {
            let mut members: Vec<(String, String)> = base
                .iter()
                .filter(|(name, _)| *name != element)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            members.extend(value.map(|value| (element.to_owned(), value.to_owned())));
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
            policy(&format!("{{{}}}", members.join(","))).map(drop)
        };
        assert_eq!(with("Sid", Some(r#""ok""#)), Ok(()));
        assert_eq!(with("NotPrincipal", Some(r#""*""#)), Err(PolicyError::NotPrincipal));
        assert!(matches!(with("Effect", None), Err(PolicyError::Missing { element: "Effect", .. })));
        assert!(matches!(with("Principal", None), Err(PolicyError::Missing { element: "Principal", .. })));
        assert!(matches!(with("Action", None), Err(PolicyError::Missing { element: "Action", .. })));
        assert!(matches!(with("Resource", None), Err(PolicyError::Missing { element: "Resource", .. })));
        assert!(matches!(with("NotAction", Some(r#""s3:*""#)), Err(PolicyError::Both { element: "Action", .. })));
        assert!(matches!(with("Resources", Some(r#""*""#)), Err(PolicyError::UnknownElement { .. })));
        assert!(matches!(with("effect", Some(r#""Deny""#)), Err(PolicyError::UnknownElement { .. })));
        assert!(matches!(with("Effect", Some(r#""deny""#)), Err(PolicyError::Effect(_))));
        assert!(matches!(with("Sid", Some("1")), Err(PolicyError::WrongType { .. })));
        for action in [r#""kms:Decrypt""#, r#""s3:PutObjekt""#, r#""s3""#, r#""""#, r#"["s3:GetObject","ec2:*"]"#] {
            assert!(matches!(with("Action", Some(action)), Err(PolicyError::Action(_))), "{action}");
        }
        assert!(matches!(with("Action", Some("[]")), Err(PolicyError::Empty { .. })));
        assert!(matches!(with("Action", Some(r#""s3:ListBucket""#)), Err(PolicyError::ActionWithoutResource(_))));
        for resource in [
            r#""*""#,
            r#""arn:aws:s3:::other/*""#,
            r#""arn:aws:s3:::models2/*""#,
            r#""arn:aws:s3:::models*""#,
            r#""arn:aws:s3:::*""#,
            r#""arn:aws:s3:::models/""#,
            r#""arn:aws:s3:us-east-1::models/*""#,
            r#""models/*""#,
        ] {
            assert!(matches!(with("Resource", Some(resource)), Err(PolicyError::Resource(_))), "{resource}");
        }
        assert!(matches!(
            with("Resource", Some(r#""arn:aws:s3:::models/${aws:username}/*""#)),
            Err(PolicyError::Variable(_))
        ));
        for principal in [
            r#""arn:aws:iam::111122223333:root""#,
            r#"{"Service":"logging.s3.amazonaws.com"}"#,
            r#"{"AWS":"*","Service":"x"}"#,
            r#"{"Federated":"x"}"#,
            r#"{"AWS":"12345"}"#,
            r#"{"AWS":"arn:aws:iam::111122223333:role/*"}"#,
            r#"{"AWS":"arn:aws:iam::*:root"}"#,
            r#"{"AWS":"arn:aws:iam::111122223333:group/g"}"#,
            r#"{"AWS":"arn:aws:iam::111122223333:role/"}"#,
            r#"{"AWS":"AROAEXAMPLEID"}"#,
        ] {
            assert!(matches!(with("Principal", Some(principal)), Err(PolicyError::Principal(_))), "{principal}");
        }
        assert!(matches!(with("Principal", Some("{}")), Err(PolicyError::Empty { .. })));
        assert!(matches!(with("Principal", Some(r#"{"AWS":[]}"#)), Err(PolicyError::Empty { .. })));
        assert!(matches!(
            with("Condition", Some(r#"{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}"#)),
            Err(PolicyError::ConditionKey(_))
        ));
    }

    #[test]
    fn document_itself_is_checked() {
        let parse = |text: &str| BucketPolicy::parse(text, "models").map(drop);
        let statement =
            r#"{"Sid":"a","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::models"}"#;
        assert_eq!(parse(&format!(r#"{{"Id":"x","Version":"2008-10-17","Statement":{statement}}}"#)), Ok(()));
        assert_eq!(
            parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement},{statement}]}}"#)),
            Err(PolicyError::RepeatedSid("a".into()))
        );
        assert!(matches!(
            parse(&format!(r#"{{"Version":"2020-01-01","Statement":{statement}}}"#)),
            Err(PolicyError::Version(_))
        ));
        assert!(matches!(
            parse(&format!(r#"{{"Version":1,"Statement":{statement}}}"#)),
            Err(PolicyError::WrongType { .. })
        ));
        assert!(matches!(
            parse(&format!(r#"{{"Extra":1,"Statement":{statement}}}"#)),
            Err(PolicyError::UnknownElement { .. })
        ));
        assert!(matches!(parse(r#"{"Statement":[]}"#), Err(PolicyError::Empty { .. })));
        assert!(matches!(parse(r#"{"Version":"2012-10-17"}"#), Err(PolicyError::Missing { .. })));
        assert!(matches!(parse("[]"), Err(PolicyError::WrongType { .. })));
        assert!(matches!(parse("{"), Err(PolicyError::NotJson(_))));
        assert!(matches!(
            parse(&format!(r#"{{"Statement":{statement},"Statement":{statement}}}"#)),
            Err(PolicyError::NotJson(_))
        ));
        let padded = format!(r#"{{"Id":"{}","Statement":{statement}}}"#, "x".repeat(20 * 1024));
        assert!(matches!(parse(&padded), Err(PolicyError::TooLarge { .. })));
    }

    #[test]
    fn public_is_an_allow_to_everyone_that_nothing_narrows() {
        let with = |effect: &str, principal: &str, condition: &str| {
            policy(&format!(
                r#"{{"Effect":"{effect}","Principal":{principal},"Action":"s3:GetObject","Resource":"arn:aws:s3:::models/*","Condition":{condition}}}"#
            ))
            .unwrap()
            .is_public()
        };
        assert!(with("Allow", r#""*""#, "{}"));
        assert!(with("Allow", r#"{"AWS":["111122223333","*"]}"#, "{}"));
        assert!(!with("Deny", r#""*""#, "{}"));
        assert!(!with("Allow", r#"{"AWS":"111122223333"}"#, "{}"));
        for (condition, public) in [
            (r#"{"StringEquals":{"aws:SourceVpce":"vpce-1"}}"#, false),
            (r#"{"StringLike":{"aws:SourceVpce":"vpce-*"}}"#, true),
            (r#"{"StringEqualsIfExists":{"aws:SourceVpce":"vpce-1"}}"#, true),
            (r#"{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
            (r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","0.0.0.0/1"]}}"#, true),
            (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
            (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/a"}}"#, false),
            (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/a"}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
            (r#"{"Null":{"aws:SourceVpce":"false"}}"#, true),
        ] {
            assert_eq!(with("Allow", r#""*""#, condition), public, "{condition}");
        }
    }
}
