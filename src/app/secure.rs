//! From an account to a bucket that is proven safe: provision, claim, canary, probes.

use std::time::Duration;

use super::back_end::{BackEnd, Outputs};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::provision::claim::{self, Claim, ClaimError};
use crate::provision::{self, BucketSpec, ClaimId, Effect, Finding, Mode, ProvisionError, Status, WriteGate};
use crate::store::{self, CanaryError, Encryption, MemoryBudget, Parts, Store};

/// Why the bucket is not proven safe; the service does not start then.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// Provisioning failed.
    #[error("the bucket could not be secured")]
    Provision(#[source] Box<ProvisionError>),
    /// The bucket belongs to another catalog.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The claim could not be read or written.
    #[error("the bucket could not be claimed for this catalog")]
    ClaimIo(#[source] store::Error),
    /// The good path does not work.
    #[error("the bucket is configured, and does not work as it should")]
    Canary(#[source] Box<CanaryError>),
    /// A claim does not hold.
    #[error("the bucket is not safe, so no bytes are taken:\n  - {}\nSTRONGROOM_PROVISION=repair brings back what differs", .0.join("\n  - "))]
    Unsafe(Vec<String>),
}

/// A bucket that is proven safe, and the store on it.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) store: Store,
    pub(super) gate: WriteGate,
    pub(super) outputs: Outputs,
    pub(super) changes: Vec<String>,
    pub(super) remarks: Vec<String>,
    /// Versioning was switched on a moment ago and is not in force yet: [`establish`] is to be tried again.
    pub(super) proof_is_due: bool,
}

/// Brings the bucket to what is wanted and proves it.
pub(super) async fn secure(
    config: &Config,
    back_end: &BackEnd,
    catalog: &Catalog,
    budget: MemoryBudget,
) -> Result<Secured, SecureError> {
    let clients = back_end.provisioning_clients();
    let provisioned = provision::provision(&clients, &back_end.wanted(config), config.provision).await;
    let provisioned = provisioned.map_err(|error| SecureError::Provision(Box::new(error)))?;
    let store = store_on(back_end, &provisioned.spec, budget);
    let gate = if config.provision == Mode::Off { WriteGate::trusting() } else { WriteGate::closed() };
    let mut findings = provisioned.findings;
    refuse_if_unsafe(&findings)?;

    let proof_is_due = match establish(&store, catalog.id()).await {
        Ok(proven) => {
            findings.extend(proven);
            false
        }
        Err(error) if error.is_unversioned() => true,
        Err(error) => return Err(error),
    };
    if config.provision != Mode::Off {
        findings
            .extend(provision::probe(&back_end.serving_clients(), &provisioned.spec, provision::POLICY_SETTLING).await);
        refuse_if_unsafe(&findings)?;
    }
    gate.judge(&findings);
    Ok(Secured {
        store,
        gate,
        outputs: provisioned.outputs,
        changes: provisioned.changes_made,
        remarks: remarks(&findings),
        proof_is_due,
    })
}

/// Claims the bucket for the catalog and tries the good path.
pub(super) async fn establish(store: &Store, catalog: &str) -> Result<Vec<Finding>, SecureError> {
    let found = store.claim(Claim::new(catalog).to_json()).await.map_err(SecureError::ClaimIo)?;
    claim::judge(&found, catalog)?;
    store.canary().await.map_err(|error| SecureError::Canary(Box::new(error)))?;
    Ok(vec![
        Finding::passed(ClaimId::BucketOurs, "claimed by this catalog", "claimed by this catalog"),
        Finding::passed(ClaimId::Canary, "writing, reading and removing work", "writing, reading and removing work"),
    ])
}

impl SecureError {
    /// Versioning was switched on a moment ago: a later try may pass.
    fn is_unversioned(&self) -> bool {
        match self {
            Self::ClaimIo(error) => matches!(error, store::Error::Unversioned),
            Self::Canary(error) => error.is_unversioned(),
            Self::Provision(_) | Self::Claim(_) | Self::Unsafe(_) => false,
        }
    }
}

fn store_on(back_end: &BackEnd, spec: &BucketSpec, budget: MemoryBudget) -> Store {
    Store::new(Parts {
        s3: back_end.common.data_client(),
        direct: back_end.direct.clone(),
        reach: back_end.reach_of_clients(),
        credentials: back_end.common.credentials.clone(),
        bucket: spec.bucket.clone(),
        encryption: Encryption { kms_key_arn: spec.key.to_string() },
        expected_owner: spec.owner.clone(),
        budget,
    })
}

fn refuse_if_unsafe(findings: &[Finding]) -> Result<(), SecureError> {
    let failed = findings.iter().filter(|f| f.effect == Effect::Blocking && f.status == Status::Failed);
    let failed: Vec<String> = failed.map(remark).collect();
    if failed.is_empty() { Ok(()) } else { Err(SecureError::Unsafe(failed)) }
}

/// What the operator should look at; what cannot be verified here is only logged.
fn remarks(findings: &[Finding]) -> Vec<String> {
    for finding in findings {
        match finding.status {
            Status::Passed => {}
            Status::NotVerifiable => tracing::info!("posture: {}", remark(finding)),
            Status::Failed => tracing::warn!("posture: {}", remark(finding)),
        }
    }
    findings.iter().filter(|finding| finding.status == Status::Failed).map(remark).collect()
}

fn remark(finding: &Finding) -> String {
    let Finding { claim, status, expected, observed, .. } = finding;
    let status = match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::NotVerifiable => "not verifiable",
    };
    format!("{claim} {status}: expected {expected}, found {observed}")
}

/// How often the proof is tried again while versioning is not in force yet: AWS says up to 15 minutes.
pub(super) const PROOF_PAUSE: Duration = Duration::from_secs(20);
