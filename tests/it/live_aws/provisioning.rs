//! Our own provisioning on this account: made, proven, spoiled, repaired.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use strongroom::provision::{self, ClaimId, Finding, Mode, Provisioned, Status};

use super::place::Place;
use super::{Answer, Answers};
use crate::provision::told;

const IN_ORDER: &str = "everything passes";

/// Makes the bucket, and tries whether it is what was wanted.
pub(super) async fn create(place: &Place, answers: &mut Answers) -> Provisioned {
    let wanted = place.wanted();
    let made = provision::provision(&place.clients, &wanted, Mode::Create).await;
    let made = made.unwrap_or_else(|error| panic!("provisioning: {}", told(&error)));
    let agree = |question, answered| Answer { question, promised: IN_ORDER, agreed: true, answered };
    answers.push(agree("posture of a bucket that was just provisioned", verdict(&made.findings)));
    let again = provision::preview(&place.clients, &wanted, Mode::Repair).await.unwrap();
    let left: Vec<String> = again.changes.iter().map(ToString::to_string).collect();
    answers.push(Answer {
        question: "changes that a second run would make",
        promised: "none",
        agreed: true,
        answered: if left.is_empty() { "none".to_owned() } else { left.join("; ") },
    });
    place.settle().await;
    let probes = provision::probe(&place.clients, &made.spec, place.settling()).await;
    answers.push(agree("writes that must be refused, tried", verdict(&probes)));
    made
}

/// Spoils three settings, and has them brought back.
pub(super) async fn drift_and_repair(place: &Place, made: &Provisioned, answers: &mut Answers) {
    let (s3, bucket) = (&place.clients.s3, &place.bucket);
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    s3.put_bucket_versioning().bucket(bucket).versioning_configuration(suspended).send().await.unwrap();
    s3.delete_public_access_block().bucket(bucket).send().await.unwrap();
    s3.delete_bucket_policy().bucket(bucket).send().await.unwrap();
    place.settle().await;
    let posture = provision::posture(&place.clients, &place.wanted(), &made.spec).await;
    let seen = [ClaimId::Versioned, ClaimId::PublicAccessBlocked, ClaimId::TlsOnly]
        .into_iter()
        .filter(|claim| posture.iter().any(|finding| finding.claim == *claim && finding.status == Status::Failed));
    answers.push(Answer {
        question: "versioning suspended, public access block and policy deleted: how many are seen",
        promised: "3",
        agreed: true,
        answered: seen.count().to_string(),
    });
    let repaired = provision::provision(&place.clients, &place.wanted(), Mode::Repair).await;
    answers.push(Answer {
        question: "posture after the repair",
        promised: IN_ORDER,
        agreed: true,
        answered: match repaired {
            Ok(repaired) => verdict(&repaired.findings),
            Err(error) => told(&error),
        },
    });
}

/// Without principals the key's policy leaves it to IAM who uses the key; that alone cannot be verified.
fn verdict(findings: &[Finding]) -> String {
    let against: Vec<String> = findings
        .iter()
        .filter(|finding| finding.status != Status::Passed && finding.claim != ClaimId::KeyPolicyLimits)
        .map(|finding| format!("{}: {}", finding.claim, finding.observed))
        .collect();
    if against.is_empty() { IN_ORDER.to_owned() } else { against.join("; ") }
}
