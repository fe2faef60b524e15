//! The claims about the key.

use super::seen;
use crate::provision::compare::same_meaning;
use crate::provision::finding::{ClaimId, Finding, Status};
use crate::provision::key::{KeyFacts, ObservedKey};
use crate::provision::observe::Observed;
use crate::provision::plan::{another_policy, opens};
use crate::provision::spec::{BucketSpec, KeySpec, KeyWish, TAG_MANAGED_BY, TAG_MANAGED_BY_US};

/// The three claims about the key alone.
pub(super) fn verify(key_spec: &KeySpec, spec: &BucketSpec, key: &ObservedKey) -> Vec<Finding> {
    let usable = format!("{}, enabled", spec.key);
    let claims = [
        (ClaimId::KeyUsable, usable.as_str()),
        (ClaimId::KeyRotates, "rotation on"),
        (ClaimId::KeyPolicyLimits, "our key policy"),
    ];
    match key {
        ObservedKey::Absent { .. } => {
            claims.map(|(claim, expected)| Finding::failed(claim, expected, "there is no such key")).to_vec()
        }
        ObservedKey::Unreadable(reason) => {
            claims.map(|(claim, expected)| Finding::not_verifiable(claim, expected, reason.as_str())).to_vec()
        }
        ObservedKey::Present(facts) => {
            let kind = if facts.fit { "" } else { ", not a symmetric customer managed encryption key" };
            let observed = format!("{}, {}{kind}", facts.arn, facts.state);
            vec![
                Finding::judged(ClaimId::KeyUsable, facts.usable() && facts.arn == spec.key, usable, observed),
                rotates(key_spec, facts),
                limits(key_spec, facts),
            ]
        }
    }
}

fn rotates(spec: &KeySpec, key: &KeyFacts) -> Finding {
    let expected = format!("every {} days or sooner", spec.rotation_days);
    seen(ClaimId::KeyRotates, &expected, &key.rotation, |rotation| match rotation.period_days {
        Some(days) => (days <= spec.rotation_days, format!("every {days} days")),
        None => (true, "on".to_owned()),
    })
}

fn limits(spec: &KeySpec, key: &KeyFacts) -> Finding {
    let (claim, expected) = (ClaimId::KeyPolicyLimits, "only the runtime principals, only through S3");
    if spec.limits_key() {
        return seen(claim, expected, &key.policy, |text| {
            let same = same_meaning(text, &spec.policy_text(&key.arn));
            (same, if same { expected.to_owned() } else { another_policy(text, &key.arn) })
        });
    }
    let left = "left to IAM: STRONGROOM_RUNTIME_PRINCIPALS is not set";
    match &key.policy {
        Observed::Known(_) if key.delegates_to_iam() => Finding::not_verifiable(claim, expected, left),
        Observed::Known(text) if opens(text, &key.arn) => {
            Finding::failed(claim, expected, another_policy(text, &key.arn))
        }
        Observed::Known(_) => Finding::not_verifiable(claim, expected, "another key policy"),
        Observed::Absent | Observed::Unsupported => Finding::not_verifiable(claim, expected, left),
        Observed::Unreadable(reason) => Finding::not_verifiable(claim, expected, reason.as_str()),
    }
}

/// `tagged` is also about the key, when it is found by its alias: without our mark it is used, and never changed.
///
/// A key that the operator brought carries his own tags.
pub(super) fn judge_tags(spec: &KeySpec, key: &ObservedKey, tagged: &mut Finding) {
    let (KeyWish::Alias(_), ObservedKey::Present(key)) = (&spec.wish, key) else { return };
    let told = |what: String| match tagged.status {
        Status::Failed => format!("{}; {what}", tagged.observed),
        _ => what,
    };
    if key.unmarked() {
        let observed = told(format!(
            "the key is not tagged {TAG_MANAGED_BY}={TAG_MANAGED_BY_US}, and never changed: tag it so, or bring it with \
             STRONGROOM_KMS_KEY_ARN"
        ));
        *tagged = Finding::failed(ClaimId::Tagged, tagged.expected.as_str(), observed);
    } else if let (Observed::Unreadable(reason), Status::Passed) = (&key.tags, tagged.status) {
        let observed = format!("the key's tags cannot be read ({reason})");
        *tagged = Finding::not_verifiable(ClaimId::Tagged, tagged.expected.as_str(), observed);
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::types::KeyState;

    use super::*;
    use crate::provision::key::Rotation;
    use crate::provision::policy::delegating_key_policy;
    use crate::provision::spec::{BackEnd, KEY_DESCRIPTION, KeyArn, Wanted};

    fn arn() -> KeyArn {
        "arn:aws:kms:eu-west-1:123456789012:key/1".parse().unwrap()
    }

    fn wanted() -> Wanted {
        Wanted::new("ml", "eu-west-1", BackEnd::Aws)
    }

    fn key(policy: &str) -> KeyFacts {
        KeyFacts {
            arn: arn(),
            created: 0,
            state: KeyState::Enabled,
            fit: true,
            description: Observed::Known(KEY_DESCRIPTION.to_owned()),
            tags: Observed::Known(KeySpec::new(&wanted()).tags),
            policy: Observed::Known(policy.to_owned()),
            rotation: Observed::Known(Rotation { period_days: Some(365) }),
        }
    }

    #[test]
    fn key_that_the_world_may_use_fails_its_claim_ours_or_brought() {
        let open = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Open","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}"#;
        let other = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/r"},"Action":"kms:*","Resource":"*"}]}"#;
        let left = delegating_key_policy(&arn()).to_string();
        let brought = Wanted { key: KeyWish::Brought(arn()), ..wanted() };
        for wanted in [wanted(), brought] {
            let spec = KeySpec::new(&wanted);
            let limited = Wanted { runtime_principals: vec!["arn:aws:iam::123456789012:role/r".to_owned()], ..wanted };
            let limited = KeySpec::new(&limited);
            let ours = limited.policy_text(&arn());
            for (spec, policy, status, told) in [
                (&spec, open, Status::Failed, "open to everybody, by `Open` (kms:Decrypt)"),
                (&spec, other, Status::NotVerifiable, "another key policy"),
                (&spec, ours.as_str(), Status::NotVerifiable, "another key policy"),
                (&spec, left.as_str(), Status::NotVerifiable, "left to IAM: STRONGROOM_RUNTIME_PRINCIPALS is not set"),
                (&limited, open, Status::Failed, "open to everybody, by `Open` (kms:Decrypt)"),
                (&limited, other, Status::Failed, "another key policy"),
                (&limited, ours.as_str(), Status::Passed, "only the runtime principals, only through S3"),
            ] {
                let found = limits(spec, &key(policy));
                assert_eq!((found.status, found.observed.as_str()), (status, told));
            }
        }
    }

    #[test]
    fn key_of_the_alias_must_say_whose_it_is_and_a_brought_one_need_not() {
        let judged = |wanted: &Wanted, tags, status: Status| {
            let key = ObservedKey::Present(Box::new(KeyFacts { tags, ..key("") }));
            let mut tagged = match status {
                Status::Failed => Finding::failed(ClaimId::Tagged, "our tags", "without managed-by"),
                _ => Finding::passed(ClaimId::Tagged, "our tags", "our tags"),
            };
            judge_tags(&KeySpec::new(wanted), &key, &mut tagged);
            (tagged.status, tagged.observed)
        };
        let ours = || Observed::Known(KeySpec::new(&wanted()).tags);
        assert_eq!(judged(&wanted(), ours(), Status::Passed).0, Status::Passed);
        assert_eq!(judged(&wanted(), Observed::Unsupported, Status::Passed).0, Status::Passed);
        let (status, told) = judged(&wanted(), Observed::Absent, Status::Passed);
        assert_eq!(status, Status::Failed);
        assert!(told.contains("managed-by=strongroom") && told.contains("STRONGROOM_KMS_KEY_ARN"), "{told}");
        let (_, both) = judged(&wanted(), Observed::Absent, Status::Failed);
        assert!(both.starts_with("without managed-by; the key is not tagged"), "{both}");
        let unread = judged(&wanted(), Observed::Unreadable("kms:ListResourceTags".into()), Status::Passed);
        assert_eq!(unread.0, Status::NotVerifiable);
        let brought = Wanted { key: KeyWish::Brought(arn()), ..wanted() };
        assert_eq!(judged(&brought, Observed::Absent, Status::Passed).0, Status::Passed);
    }
}
