//! From an account to a bucket that is proven safe: provision, canary, probes, claim.

use std::time::Duration;

use aws_sdk_s3::config::SharedCredentialsProvider;

use super::back_end::{BackEnd, Outputs};
use super::credentials::Fresh;
use super::look::{ownership, told};
use crate::catalog::{self, Catalog};
use crate::config::Config;
use crate::provision::claim::{self, Claim, ClaimError};
use crate::provision::{
    self, BucketSpec, ClaimId, Clients, Effect, Finding, Mode, Posture, ProvisionError, Status, Transition, journal,
};
use crate::registry;
use crate::store::{self, Encryption, Leftover, MemoryBudget, Parts, Store};

/// How often the proof is tried again while versioning is not in force yet: AWS says up to 15 minutes.
pub(super) const PROOF_PAUSE: Duration = Duration::from_secs(20);

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
    /// The overrides could not be read.
    #[error("the catalog does not say which claims are overridden")]
    Overrides(#[source] catalog::Error),
    /// A claim does not hold, in a bucket that was never ours.
    #[error("the bucket is not safe, so no bytes are taken:\n  - {}\nSTRONGROOM_PROVISION=repair brings back what differs", .0.join("\n  - "))]
    Unsafe(Vec<String>),
}

/// A bucket whose posture is known, and the store on it.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) store: Store,
    pub(super) spec: BucketSpec,
    pub(super) posture: Posture,
    /// What provisioning looked at, as it stood then.
    pub(super) looked: Vec<Finding>,
    pub(super) outputs: Outputs,
    pub(super) changes: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// Brings the bucket to what is wanted, as far as the mode allows, and proves it.
///
/// A bucket that is ours already and not safe is served: bytes go out, the posture refuses new ones.
///
/// # Errors
/// [`SecureError`]; a bucket that is not ours is left alone unless it is safe.
pub(super) async fn secure(
    config: &Config,
    back_end: &BackEnd,
    catalog: &Catalog,
    budget: MemoryBudget,
) -> Result<Secured, SecureError> {
    let wanted = back_end.wanted(config);
    let provisioned = provision::provision(&back_end.provisioning_clients(), &wanted, config.provision).await;
    let provisioned = provisioned.map_err(|error| SecureError::Provision(Box::new(error)))?;
    let spec = provisioned.spec;
    let store = store_on(back_end, &spec, budget);
    let apart = provision::apart(&wanted.options);
    let off = config.provision == Mode::Off;
    let posture = if off { Posture::trusting(apart) } else { Posture::closed(apart, config.watch) };
    registry::refresh_overrides(catalog, &posture).await.map_err(SecureError::Overrides)?;

    let claimed = store.look_at_claim().await.claim.map_err(SecureError::ClaimIo)?;
    if let Some(bytes) = &claimed {
        claim::judge(bytes, catalog.id())?;
    }
    posture.take(provisioned.findings.clone());
    let claimable = claimed.is_none();
    if against(&posture, claimable).is_empty() {
        let clients = back_end.serving_clients();
        // What nobody has changed just now is in force.
        let settling = if provisioned.changes_made.is_empty() { Duration::ZERO } else { provision::POLICY_SETTLING };
        let clients = (!off).then_some(&clients);
        let looked = &provisioned.findings;
        let trial = Trial { clients, store: &store, spec: &spec, settling, looked };
        let proof = Proof { trial, catalog: catalog.id() };
        proof.establish(&posture, true).await?;
    }
    let against = against(&posture, claimable);
    if claimable && !against.is_empty() {
        return Err(SecureError::Unsafe(against));
    }
    let mut remarks = remarks(&posture);
    if !against.is_empty() {
        let told = "the bucket is not safe: bytes are given out, new ones are refused until it is repaired";
        tracing::warn!("{told}");
        remarks.insert(0, told.to_owned());
    }
    let (looked, outputs, changes) = (provisioned.findings, provisioned.outputs, provisioned.changes_made);
    Ok(Secured { store, spec, posture, looked, outputs, changes, remarks })
}

/// What is needed to try a bucket out, on good and on bad paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    /// Those that serve; without them the writes that must be refused are not tried.
    pub(super) clients: Option<&'a Clients>,
    pub(super) store: &'a Store,
    pub(super) spec: &'a BucketSpec,
    /// How long a write that must be refused is tried again when it got through, for a policy that was put a moment ago.
    pub(super) settling: Duration,
    /// What the look before it found: a failure that a trial cannot tell anything about stays one.
    pub(super) looked: &'a [Finding],
}

/// A trial for a catalog that may claim the bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof<'a> {
    pub(super) trial: Trial<'a>,
    pub(super) catalog: &'a str,
}

impl Proof<'_> {
    /// Tries the good and the bad paths, and claims the bucket for the catalog when nothing else stands against it.
    ///
    /// # Errors
    /// Of the claim; everything else is in the posture.
    pub(super) async fn establish(&self, posture: &Posture, may_claim: bool) -> Result<Vec<Transition>, SecureError> {
        let mut findings = self.trial.run(Some(self.catalog)).await;
        let unclaimed = |f: &Finding| f.claim == ClaimId::BucketOurs && f.status == Status::NotVerifiable;
        let absent = findings.iter().any(unclaimed);
        // That there is no claim yet is no news of a bucket that is claimed next.
        findings.retain(|finding| !unclaimed(finding));
        let mut transitions = posture.take(findings);
        let only_that = posture.verdict().is_err_and(|closed| closed.claims == [ClaimId::BucketOurs]);
        let safe = !any_failed(posture, &ClaimId::BEFORE_CLAIMING);
        if absent && only_that && safe && may_claim {
            match self.claim().await {
                Ok(finding) => transitions.extend(posture.take(vec![finding])),
                // Versioning is not in force for every write yet: the next try claims.
                Err(SecureError::ClaimIo(store::Error::Unversioned)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(transitions)
    }

    async fn claim(&self) -> Result<Finding, SecureError> {
        let ours = Claim::new(self.catalog).to_json();
        let found = self.trial.store.claim(ours).await.map_err(SecureError::ClaimIo)?;
        claim::judge(&found, self.catalog)?;
        let claimed = "claimed by this catalog";
        Ok(Finding::passed(ClaimId::BucketOurs, claimed, claimed))
    }
}

impl Trial<'_> {
    /// Tries what only a trial can tell: whose bucket it is, the canary, and with clients the writes that must be refused.
    ///
    /// Nothing is claimed, and what is written is removed again. In the bucket of another catalog nothing is tried.
    pub(super) async fn run(&self, catalog: Option<&str>) -> Vec<Finding> {
        let mut findings = vec![ownership(&self.store.look_at_claim().await, catalog, false)];
        if findings[0].status == Status::Failed {
            return findings;
        }
        findings.push(canary(self.store).await);
        findings.extend(self.key_of_the_canary(findings[1].status));
        if let Some(clients) = self.clients {
            let mut tried = provision::probe(clients, self.spec, self.settling).await;
            let seen_to_fail: Vec<ClaimId> = open_probes(self.looked).collect();
            tried.retain(|trial| trial.status != Status::NotVerifiable || !seen_to_fail.contains(&trial.claim));
            findings.extend(tried);
        }
        findings
    }

    /// A brought key about which KMS says nothing was used by the canary.
    fn key_of_the_canary(&self, canary: Status) -> Option<Finding> {
        let unseen = |f: &&Finding| f.claim == ClaimId::KeyUsable && f.status == Status::NotVerifiable;
        let looked = self.looked.iter().find(unseen)?;
        let told = "KMS was not asked; the canary was written and read under it";
        (self.spec.brought && canary == Status::Passed).then(|| Finding::passed(looked.claim, &*looked.expected, told))
    }
}

/// The probes of which a look saw that no statement in force refuses them.
pub(super) fn open_probes(looked: &[Finding]) -> impl Iterator<Item = ClaimId> {
    let failed = looked.iter().filter(|finding| finding.status == Status::Failed).map(|finding| finding.claim);
    failed.filter(|claim| ClaimId::PROBES.contains(claim))
}

/// Whether only trials, and no look, stand against new bytes, and the bucket is not proven or one of `probes` failed.
pub(super) fn proof_is_due(posture: &Posture, probes: &[ClaimId]) -> bool {
    let proven = |claim| posture.status_of(claim) == Some(Status::Passed);
    let unproven = !proven(ClaimId::BucketOurs) || !proven(ClaimId::Canary) || any_failed(posture, probes);
    let only_trials = posture.verdict().err().is_none_or(|closed| {
        let trials = [ClaimId::BucketOurs, ClaimId::Canary, ClaimId::AnonymousWriteRefused];
        // The canary tells whether a brought key can be used when KMS does not.
        let unseen = |claim| claim == ClaimId::KeyUsable && posture.status_of(claim) == Some(Status::NotVerifiable);
        closed.claims.iter().all(|claim| trials.contains(claim) || unseen(*claim))
    });
    unproven && only_trials
}

/// Whether any of these claims failed.
pub(super) fn any_failed(posture: &Posture, claims: &[ClaimId]) -> bool {
    claims.iter().any(|claim| posture.status_of(*claim) == Some(Status::Failed))
}

/// The store on a bucket, with the role that serves.
pub(super) fn store_on(back_end: &BackEnd, spec: &BucketSpec, budget: MemoryBudget) -> Store {
    Store::new(Parts {
        s3: back_end.common.data_client(),
        direct: back_end.direct.clone(),
        reach: back_end.reach_of_clients(),
        credentials: SharedCredentialsProvider::new(Fresh::new(back_end.common.credentials.clone())),
        bucket: spec.bucket.clone(),
        encryption: Encryption { kms_key_arn: spec.key.to_string() },
        expected_owner: spec.owner.clone(),
        budget,
        patience: back_end.common.patience,
    })
}

async fn canary(store: &Store) -> Finding {
    let expected = "writing and reading work";
    let trial = journal::trial("canary, with presigned UploadPart and GetObject", store.canary());
    match Box::pin(trial).await {
        Ok(Leftover::Removed) => Finding::passed(ClaimId::Canary, expected, "writing, reading and removing work"),
        Ok(Leftover::Stays) => Finding::passed(
            ClaimId::Canary,
            expected,
            "writing and reading work; what was written stays under probes/ until it is swept",
        ),
        Err(error) if error.is_unversioned() => Finding::not_verifiable(ClaimId::Canary, expected, told(&error)),
        Err(error) => Finding::failed(ClaimId::Canary, expected, told(&error)),
    }
}

/// The blocking claims that failed and are not overridden; before a bucket is claimed, the writes that got through too.
fn against(posture: &Posture, claimable: bool) -> Vec<String> {
    let report = posture.report();
    let overridden = |claim| report.overrides.iter().any(|made| made.claim == claim);
    let counts = |finding: &&Finding| {
        finding.status == Status::Failed
            && !overridden(finding.claim)
            && (finding.effect == Effect::Blocking || (claimable && ClaimId::BEFORE_CLAIMING.contains(&finding.claim)))
    };
    report.claims.iter().map(|judged| &judged.finding).filter(counts).map(remark).collect()
}

/// What the operator should look at; what cannot be verified here is only logged.
fn remarks(posture: &Posture) -> Vec<String> {
    let mut remarks = Vec::new();
    for judged in posture.report().claims {
        let remark = remark(&judged.finding);
        match judged.finding.status {
            Status::Passed => {}
            Status::NotVerifiable => tracing::info!("posture: {remark}"),
            Status::Failed => {
                tracing::warn!("posture: {remark}");
                remarks.push(remark);
            }
        }
    }
    remarks
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
