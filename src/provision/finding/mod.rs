//! The named security claims, and what a look or a trial says about each.

mod claim_id;
mod controls;

use serde::Serialize;

pub use self::claim_id::ClaimId;
pub use self::controls::{Apart, apart};

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be looked at, or the back end has no such thing.
    NotVerifiable,
}

/// What a claim that does not hold does to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// No new bytes and no publishing.
    Blocking,
    /// Reported, alerted, and mended in `repair`.
    Degrading,
}

/// One claim, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// Which claim.
    #[serde(rename = "id")]
    pub claim: ClaimId,
    /// How it stands.
    pub status: Status,
    /// What follows when it does not hold.
    pub effect: Effect,
    /// What should be.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Controls that it satisfies: of FSBP (AWS Foundational Security Best Practices), CIS (AWS Foundations Benchmark
    /// 5.0), Prowler, cdk-nag and AWS Config.
    #[schema(value_type = Vec<String>)]
    pub controls: &'static [&'static str],
}

impl Finding {
    /// A claim that holds.
    pub fn passed(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::Passed, expected.into(), observed.into())
    }

    /// A claim that does not.
    pub fn failed(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::Failed, expected.into(), observed.into())
    }

    /// A claim about which nothing can be said.
    pub fn not_verifiable(claim: ClaimId, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(claim, Status::NotVerifiable, expected.into(), observed.into())
    }

    /// A claim that holds or does not.
    pub fn judged(claim: ClaimId, holds: bool, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        if holds { Self::passed(claim, expected, observed) } else { Self::failed(claim, expected, observed) }
    }

    fn new(claim: ClaimId, status: Status, expected: String, observed: String) -> Self {
        Self { claim, status, effect: claim.effect(), expected, observed, controls: controls::of(claim) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_has_the_shape_of_the_api() {
        let finding = Finding::failed(ClaimId::TlsOnly, "a", "b");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"id":"tls_only","status":"failed","effect":"degrading","expected":"a","observed":"b","controls":["FSBP S3.5","CIS 2.1.1","Prowler s3_bucket_secure_transport_policy","cdk-nag AwsSolutions-S10","Config s3-bucket-ssl-requests-only"]}"#
        );
    }
}
