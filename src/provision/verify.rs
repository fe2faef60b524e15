//! The posture: what was observed, held against what is claimed.

mod expiry;
mod key;
mod options;

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectOwnership};

use super::check;
use super::compare::{Comparison, compare};
use super::finding::{ClaimId, Finding};
use super::key::ObservedKey;
use super::observe::{BucketSettings, Observed, ObservedBucket, PublicAccess};
use super::plan::{aborts_uploads_after, wanted_encryption};
use super::policy::Sid;
use super::spec::{ABORT_UPLOADS_AFTER_DAYS, BucketSpec, KeySpec, LIFECYCLE_RULE_ID, Options};

const UNSUPPORTED: &str = "the back end has no such setting";
const UNSET: &str = "not set";

/// Judges every claim that a look can judge; pure.
///
/// Claims that only a trial can judge (`check`), the canary and the catalog's claim are not among them.
pub fn verify(key_spec: &KeySpec, spec: &BucketSpec, key: &ObservedKey, bucket: &ObservedBucket) -> Vec<Finding> {
    let mut findings = key::verify(key_spec, spec, key);
    match bucket {
        ObservedBucket::Absent => findings.extend(
            bucket_claims(&spec.options)
                .map(|claim| Finding::failed(claim, "a bucket", "there is no bucket of this name")),
        ),
        ObservedBucket::Present(settings) => findings.extend(verify_bucket(spec, settings)),
    }
    if let Some(tagged) = findings.iter_mut().find(|finding| finding.claim == ClaimId::Tagged) {
        key::judge_tags(key_spec, key, tagged);
    }
    findings
}

/// The claims about the bucket when it cannot be reached at all.
pub(super) fn unreachable(options: &Options, reason: &str) -> Vec<Finding> {
    bucket_claims(options).map(|claim| Finding::not_verifiable(claim, "a bucket that answers", reason)).collect()
}

/// All claims of a look, when nobody looks.
pub(super) fn unlooked(options: &Options) -> Vec<Finding> {
    let key = [ClaimId::KeyUsable, ClaimId::KeyRotates, ClaimId::KeyPolicyLimits];
    let all = key.into_iter().chain(bucket_claims(options));
    all.map(|claim| Finding::not_verifiable(claim, "a look", "not looked at: provisioning is off")).collect()
}

const BUCKET_CLAIMS: [ClaimId; 12] = [
    ClaimId::Versioned,
    ClaimId::PublicAccessBlocked,
    ClaimId::DefaultEncryption,
    ClaimId::TlsOnly,
    ClaimId::EncryptionEnforced,
    ClaimId::PresignedBounded,
    ClaimId::PolicyGrantsNothing,
    ClaimId::AclsDisabled,
    ClaimId::MultipartExpires,
    ClaimId::NothingExpires,
    ClaimId::CustomerKeysRefused,
    ClaimId::Tagged,
];

fn bucket_claims(options: &Options) -> impl Iterator<Item = ClaimId> {
    BUCKET_CLAIMS.into_iter().chain(options::claims(options))
}

fn verify_bucket(spec: &BucketSpec, bucket: &BucketSettings) -> Vec<Finding> {
    let encryption = wanted_encryption(spec);
    let mut findings = vec![
        seen(ClaimId::Versioned, "Enabled", &bucket.versioning, |have| {
            (*have == BucketVersioningStatus::Enabled, have.to_string())
        }),
        seen(ClaimId::PublicAccessBlocked, "all four on", &bucket.public_access, |have| {
            (*have == PublicAccess::BLOCKED, have.to_string())
        }),
        seen(ClaimId::DefaultEncryption, &encryption.to_string(), &bucket.encryption, |have| {
            (have.algorithm == encryption.algorithm && have.key == encryption.key, have.to_string())
        }),
        seen(ClaimId::AclsDisabled, "BucketOwnerEnforced", &bucket.ownership, |have| {
            (*have == ObjectOwnership::BucketOwnerEnforced, have.to_string())
        }),
        seen(
            ClaimId::MultipartExpires,
            &format!("aborted after {ABORT_UPLOADS_AFTER_DAYS} days"),
            &bucket.lifecycle,
            |have| {
                let rule = have.rules.iter().find(|rule| rule.id() == Some(LIFECYCLE_RULE_ID));
                let days = rule.and_then(aborts_uploads_after);
                let told = days
                    .map_or_else(|| "no rule of ours in force".to_owned(), |days| format!("aborted after {days} days"));
                (days == Some(ABORT_UPLOADS_AFTER_DAYS), told)
            },
        ),
        seen(ClaimId::Tagged, "our tags", &bucket.tags, |have| {
            let missing: Vec<_> = spec
                .tags
                .iter()
                .filter(|(name, value)| have.get(*name) != Some(value))
                .map(|(name, _)| name.as_str())
                .collect();
            let told =
                if missing.is_empty() { "our tags".to_owned() } else { format!("without {}", missing.join(", ")) };
            (missing.is_empty(), told)
        }),
    ];
    findings.push(expiry::nothing_expires(&bucket.lifecycle));
    findings.extend(verify_policy(spec, bucket));
    findings.extend(options::verify(&spec.options, bucket));
    findings
}

fn verify_policy(spec: &BucketSpec, bucket: &BucketSettings) -> Vec<Finding> {
    let compared = match &bucket.policy {
        Observed::Known(text) => match compare(&spec.policy, text) {
            Ok(comparison) => Observed::Known(comparison),
            Err(error) => Observed::Unreadable(error.to_string()),
        },
        Observed::Absent => Observed::Absent,
        Observed::Unsupported => Observed::Unsupported,
        Observed::Unreadable(reason) => Observed::Unreadable(reason.clone()),
    };
    let wanted: Vec<Sid> = spec.policy.statements().iter().map(super::policy::Statement::sid).collect();
    let in_force = |claim, of: &[Sid]| {
        let of: Vec<Sid> = of.iter().copied().filter(|sid| wanted.contains(sid)).collect();
        let expected = names(&of);
        seen(claim, &expected, &compared, |comparison: &Comparison| {
            let missing: Vec<Sid> = of.iter().copied().filter(|sid| comparison.missing.contains(sid)).collect();
            let told = if missing.is_empty() { expected.clone() } else { format!("without {}", names(&missing)) };
            (missing.is_empty(), told)
        })
    };
    let grants_nothing = if compared == Observed::Absent {
        Finding::passed(ClaimId::PolicyGrantsNothing, "no Allow", "no policy at all")
    } else {
        seen(ClaimId::PolicyGrantsNothing, "no Allow", &compared, |comparison| {
            let told = match comparison.allows.as_slice() {
                [] => "no Allow".to_owned(),
                names => format!("allowed by {}: remove that from the bucket policy by hand", names.join(", ")),
            };
            (comparison.allows.is_empty(), told)
        })
    };
    let mut findings = vec![
        in_force(ClaimId::TlsOnly, &[Sid::DenyInsecureTransport, Sid::DenyOutdatedTls]),
        in_force(
            ClaimId::EncryptionEnforced,
            &[
                Sid::DenyMissingSseHeader,
                Sid::DenyWrongSseAlgorithm,
                Sid::DenyWrongKmsKey,
                Sid::DenyWrongSseAlgorithmIfSent,
                Sid::DenyWrongKmsKeyIfSent,
            ],
        ),
        in_force(ClaimId::PresignedBounded, &[Sid::DenyStalePresigned, Sid::DenyPresignedPost]),
        grants_nothing,
        customer_keys(spec, bucket, &compared),
    ];
    if spec.options.perimeter {
        findings.push(in_force(ClaimId::PerimeterClosed, &[Sid::DenyOutsidePerimeter, Sid::DenyConfigByOthers]));
    }
    if spec.options.vpc_endpoint.is_some() {
        findings.push(in_force(ClaimId::VpcEndpointOnly, &[Sid::DenyOutsideVpce]));
    }
    let missing = match &compared {
        Observed::Known(comparison) => comparison.missing.as_slice(),
        Observed::Absent => wanted.as_slice(),
        Observed::Unsupported | Observed::Unreadable(_) => &[],
    };
    findings.extend(
        check::not_refused(spec, missing)
            .into_iter()
            .filter(|finding| finding.claim != ClaimId::CustomerKeyWriteRefused || !customer_keys_blocked(bucket)),
    );
    findings
}

/// Refused by the bucket's encryption setting, or at least by its policy.
fn customer_keys(spec: &BucketSpec, bucket: &BucketSettings, policy: &Observed<Comparison>) -> Finding {
    if customer_keys_blocked(bucket) {
        return Finding::passed(ClaimId::CustomerKeysRefused, "SSE-C refused", "blocked by the encryption setting");
    }
    seen(ClaimId::CustomerKeysRefused, "SSE-C refused", policy, |comparison| {
        let by_policy = !comparison.missing.contains(&Sid::DenySseC);
        let told = if by_policy { "denied by the policy only" } else { "not refused" };
        (by_policy && !spec.block_sse_c, told.to_owned())
    })
}

fn customer_keys_blocked(bucket: &BucketSettings) -> bool {
    bucket.encryption.known().is_some_and(|encryption| encryption.sse_c_blocked)
}

/// One claim about one setting: what could not be looked at is neither passed nor failed.
fn seen<T>(
    claim: ClaimId,
    expected: &str,
    observed: &Observed<T>,
    judge: impl FnOnce(&T) -> (bool, String),
) -> Finding {
    match observed {
        Observed::Known(value) => {
            let (holds, told) = judge(value);
            Finding::judged(claim, holds, expected, told)
        }
        Observed::Absent => Finding::failed(claim, expected, UNSET),
        Observed::Unsupported => Finding::not_verifiable(claim, expected, UNSUPPORTED),
        Observed::Unreadable(reason) => Finding::not_verifiable(claim, expected, reason.as_str()),
    }
}

fn names(sids: &[Sid]) -> String {
    sids.iter().map(|sid| sid.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::finding::{Effect, Status};
    use crate::provision::key::{KeyFacts, Rotation};
    use crate::provision::observe::{DefaultEncryption, Lifecycle};
    use crate::provision::plan::tests::{all_options, in_order, spec, with_options};
    use crate::provision::policy::delegating_key_policy;
    use crate::provision::spec::{BackEnd, KEY_DESCRIPTION, Wanted};
    use aws_sdk_kms::types::KeyState;

    fn key_spec() -> KeySpec {
        KeySpec::new(&Wanted::new("ml", "eu-west-1", BackEnd::Aws))
    }

    fn key() -> KeyFacts {
        KeyFacts {
            arn: spec().key,
            created: 0,
            state: KeyState::Enabled,
            fit: true,
            description: Observed::Known(KEY_DESCRIPTION.to_owned()),
            tags: Observed::Known(key_spec().tags),
            policy: Observed::Known(delegating_key_policy(&spec().key).to_string()),
            rotation: Observed::Known(Rotation { period_days: Some(365) }),
        }
    }

    fn look(key: KeyFacts, bucket: BucketSettings) -> Vec<Finding> {
        let key = ObservedKey::Present(Box::new(key));
        verify(&key_spec(), &spec(), &key, &ObservedBucket::Present(Box::new(bucket)))
    }

    fn standing(findings: &[Finding], status: Status) -> Vec<ClaimId> {
        findings.iter().filter(|finding| finding.status == status).map(|finding| finding.claim).collect()
    }

    #[test]
    fn bucket_in_order_passes_all_but_what_is_left_to_iam() {
        let findings = look(key(), in_order(&spec()));
        assert_eq!(standing(&findings, Status::Failed), []);
        assert_eq!(standing(&findings, Status::NotVerifiable), [ClaimId::KeyPolicyLimits]);
        assert_eq!(findings.len(), 15);
    }

    #[test]
    fn each_spoiled_setting_fails_its_own_claim() {
        type Spoil = fn(&mut KeyFacts, &mut BucketSettings);
        let cases: [(ClaimId, Spoil); 13] = [
            (ClaimId::KeyUsable, |k, _| k.state = KeyState::Disabled),
            (ClaimId::KeyUsable, |k, _| k.arn = spec().key.sibling("2")),
            (ClaimId::KeyRotates, |k, _| k.rotation = Observed::Absent),
            (ClaimId::Versioned, |_, b| b.versioning = Observed::Known(BucketVersioningStatus::Suspended)),
            (ClaimId::PublicAccessBlocked, |_, b| b.public_access = Observed::Absent),
            (ClaimId::DefaultEncryption, |_, b| {
                let right = wanted_encryption(&spec());
                b.encryption = Observed::Known(DefaultEncryption { key: Some("alias/ml".into()), ..right });
            }),
            (ClaimId::AclsDisabled, |_, b| b.ownership = Observed::Known(ObjectOwnership::ObjectWriter)),
            (ClaimId::MultipartExpires, |_, b| {
                b.lifecycle = Observed::Known(Lifecycle { rules: vec![], transition_minimum: None });
            }),
            (ClaimId::Tagged, |_, b| b.tags = Observed::Absent),
            (ClaimId::TlsOnly, |_, b| without(b, "aws:SecureTransport")),
            (ClaimId::EncryptionEnforced, |_, b| without(b, "s3:x-amz-server-side-encryption-aws-kms-key-id")),
            (ClaimId::PresignedBounded, |_, b| without(b, "s3:signatureAge")),
            (ClaimId::PolicyGrantsNothing, |_, b| {
                let Observed::Known(text) = &b.policy else { panic!() };
                let open = r#""Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"},"#;
                b.policy = Observed::Known(text.replace(r#""Statement":["#, open));
            }),
        ];
        for (claim, spoil) in cases {
            let (mut key, mut bucket) = (key(), in_order(&spec()));
            spoil(&mut key, &mut bucket);
            let failed = standing(&look(key, bucket), Status::Failed);
            assert_eq!(failed[0], claim);
            assert!(failed[1..].iter().all(|known| ClaimId::PROBES.contains(known)), "{failed:?}");
        }
    }

    fn without(bucket: &mut BucketSettings, word: &str) {
        let Observed::Known(text) = &bucket.policy else { panic!() };
        bucket.policy = Observed::Known(text.replace(&format!("\"{word}\""), "\"s3:other\""));
    }

    #[test]
    fn what_may_not_be_seen_is_neither_passed_nor_failed() {
        let mut bucket = in_order(&spec());
        bucket.versioning = Observed::Unreadable("403".into());
        bucket.public_access = Observed::Unsupported;
        bucket.policy = Observed::Unreadable("403".into());
        let findings = look(key(), bucket);
        assert_eq!(standing(&findings, Status::Failed), []);
        let unknown = standing(&findings, Status::NotVerifiable);
        for claim in [ClaimId::Versioned, ClaimId::PublicAccessBlocked, ClaimId::TlsOnly, ClaimId::PolicyGrantsNothing]
        {
            assert!(unknown.contains(&claim), "{claim}");
        }
    }

    #[test]
    fn missing_bucket_fails_every_blocking_claim_about_it() {
        let findings = verify(&key_spec(), &spec(), &ObservedKey::Present(Box::new(key())), &ObservedBucket::Absent);
        let failed = standing(&findings, Status::Failed);
        for claim in [ClaimId::Versioned, ClaimId::PublicAccessBlocked, ClaimId::DefaultEncryption] {
            assert!(failed.contains(&claim) && claim.effect() == Effect::Blocking);
        }
    }

    #[test]
    fn claim_of_an_option_exists_only_while_it_is_on() {
        let on = with_options(all_options());
        let findings = verify_bucket(&on, &in_order(&on));
        assert_eq!(standing(&findings, Status::Failed), []);
        assert_eq!(findings.len(), 12 + 7);
        let bare = verify_bucket(&on, &in_order(&spec()));
        let failed = standing(&bare, Status::Failed);
        assert_eq!(failed, options::claims(&on.options));
        let gone = verify(&key_spec(), &on, &ObservedKey::Present(Box::new(key())), &ObservedBucket::Absent);
        assert_eq!(gone.len(), 3 + 12 + 7);
    }

    #[test]
    fn cors_rule_of_somebody_else_that_lets_others_in_fails_the_claim() {
        let on = with_options(all_options());
        let mut bucket = in_order(&on);
        let Observed::Known(rules) = &mut bucket.options.cors else { panic!() };
        let rule = aws_sdk_s3::types::CorsRule::builder().allowed_methods("GET").allowed_origins("*");
        rules.push(rule.build().unwrap());
        let findings = verify_bucket(&on, &bucket);
        assert_eq!(standing(&findings, Status::Failed), [ClaimId::CorsExact]);
        let told = findings.iter().find(|finding| finding.claim == ClaimId::CorsExact).unwrap();
        assert_eq!(told.observed, "also allowed: *; remove that CORS rule by hand");
    }

    #[test]
    fn customer_keys_need_the_setting_where_it_exists_and_the_policy_elsewhere() {
        let mut bucket = in_order(&spec());
        let unblocked = DefaultEncryption { sse_c_blocked: false, ..wanted_encryption(&spec()) };
        bucket.encryption = Observed::Known(unblocked);
        assert_eq!(standing(&look(key(), bucket.clone()), Status::Failed), [ClaimId::CustomerKeysRefused]);
        let elsewhere = BucketSpec { block_sse_c: false, ..spec() };
        let findings = verify_bucket(&elsewhere, &bucket);
        assert_eq!(standing(&findings, Status::Failed), []);
    }
}
