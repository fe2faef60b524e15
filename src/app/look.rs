//! One look at the bucket: everything that reading can tell, with the clients that serve.
//!
//! For commands: [`Looker::new`] with or without a catalog, then [`Looker::look`] gives every finding of a look;
//! [`super::secure::Trial`] tries what only a trial can tell. Failures are findings, never errors.

use std::error::Error as StdError;
use std::time::Duration;

use super::intact::Walk;
use crate::catalog::Catalog;
use crate::provision::claim;
use crate::provision::{self, BucketSpec, ClaimId, Clients, Finding, Status, Wanted};
use crate::store::{ClaimSeen, MAX_SKEW, Store};

/// How long each part of a look may take; the parts run side by side.
const LIMIT: Duration = Duration::from_mins(1);
/// A skew that is worth a line in the log.
const NOTABLE_SKEW: Duration = Duration::from_mins(1);

/// Looks at one bucket again and again.
#[derive(Debug)]
pub(super) struct Looker {
    clients: Clients,
    wanted: Wanted,
    spec: BucketSpec,
    store: Store,
    /// Whose bucket it should be, and the vault of its objects; none: nobody's in particular.
    catalog: Option<(Catalog, i64)>,
    walk: Walk,
    /// The claims of the last look, for one that gets no answer.
    last: Vec<Finding>,
    /// The claim was there once: that it is gone is no beginning.
    once_ours: bool,
    skewed: bool,
}

impl Looker {
    /// `clients` are those that serve: what provisioning may see proves nothing about them.
    pub(super) fn new(
        clients: Clients,
        wanted: Wanted,
        spec: BucketSpec,
        store: Store,
        catalog: Option<(Catalog, i64)>,
    ) -> Self {
        let (walk, last) = (Walk::default(), Vec::new());
        Self { clients, wanted, spec, store, catalog, walk, last, once_ours: false, skewed: false }
    }

    /// As [`Self::new`], after a start that looked already, and that knows whether the bucket is ours.
    pub(super) fn after_start(self, last: Vec<Finding>, once_ours: bool) -> Self {
        Self { last, once_ours, ..self }
    }

    /// The claims about settings and key, as the last look found them.
    pub(super) fn last(&self) -> &[Finding] {
        &self.last
    }

    /// Reads settings, key, claim, clock and the next stretch of objects; ends within about a minute.
    pub(super) async fn look(&mut self) -> Vec<Finding> {
        let settings =
            tokio::time::timeout(LIMIT, Box::pin(provision::posture(&self.clients, &self.wanted, &self.spec)));
        let claim = tokio::time::timeout(LIMIT, self.store.look_at_claim());
        let intact = objects_intact(&mut self.walk, self.catalog.as_ref(), &self.store);
        let (settings, claim, intact) = tokio::join!(settings, claim, intact);
        let mut findings = match settings {
            Ok(findings) => {
                self.last.clone_from(&findings);
                findings
            }
            Err(_) => self.last.iter().map(unanswered).collect(),
        };
        let our_catalog = self.catalog.as_ref().map(|(catalog, _)| catalog.id());
        if let Ok(seen) = claim {
            if self.spec.brought && matches!(seen.claim, Ok(Some(_))) {
                findings.iter_mut().for_each(key_of_the_claim);
            }
            let ours = ownership(&seen, our_catalog, self.once_ours);
            self.once_ours |= ours.status == Status::Passed;
            findings.push(ours);
            findings.push(self.clock(seen.skew));
        } else {
            findings.push(Finding::not_verifiable(ClaimId::BucketOurs, CLAIMED, late()));
            findings.push(Finding::not_verifiable(ClaimId::ClockInStep, IN_STEP, late()));
        }
        findings.extend(intact);
        findings
    }

    fn clock(&mut self, skew: Option<Duration>) -> Finding {
        let notable = skew.is_some_and(|skew| skew > NOTABLE_SKEW);
        if notable && !self.skewed {
            let seconds = skew.unwrap_or_default().as_secs();
            tracing::warn!(
                seconds,
                "this machine's clock and S3's differ: presigned URLs may be refused; set the clock"
            );
        }
        self.skewed = notable;
        clock(skew)
    }
}

/// A brought key about which KMS says nothing has just decrypted the claim.
fn key_of_the_claim(finding: &mut Finding) {
    if finding.claim == ClaimId::KeyUsable && finding.status == Status::NotVerifiable {
        let told = "KMS was not asked; the claim in the bucket was read under it";
        *finding = Finding::passed(finding.claim, &*finding.expected, told);
    }
}

const CLAIMED: &str = "claimed by this catalog";
const UNCLAIMED: &str = "no catalog has claimed it yet: the first start of the service does";
const IN_STEP: &str = "less than 5 minutes apart";

/// Whether the claim in the bucket is that of our catalog; with none to compare, whose it is.
pub(super) fn ownership(seen: &ClaimSeen, our_catalog: Option<&str>, once_ours: bool) -> Finding {
    let id = ClaimId::BucketOurs;
    match (&seen.claim, our_catalog) {
        (Ok(None), _) if once_ours => {
            Finding::failed(id, CLAIMED, "there is no claim: the bucket was emptied, replaced or deleted")
        }
        (Ok(None), _) => Finding::not_verifiable(id, CLAIMED, UNCLAIMED),
        (Ok(Some(bytes)), Some(ours)) => match claim::judge(bytes, ours) {
            Ok(()) => Finding::passed(id, CLAIMED, CLAIMED),
            Err(error) => Finding::failed(id, CLAIMED, error.to_string()),
        },
        (Ok(Some(bytes)), None) => {
            let whose = claim::Claim::parse(bytes)
                .map_or_else(|error| error.to_string(), |claim| format!("claimed by catalog {}", claim.catalog_id()));
            Finding::not_verifiable(id, CLAIMED, whose)
        }
        (Err(error), _) => Finding::not_verifiable(id, CLAIMED, told(error)),
    }
}

fn clock(skew: Option<Duration>) -> Finding {
    let id = ClaimId::ClockInStep;
    match skew {
        None => Finding::not_verifiable(id, IN_STEP, "S3 did not say what time it is"),
        Some(skew) => Finding::judged(id, skew <= MAX_SKEW, IN_STEP, apart(skew)),
    }
}

/// Answers have whole seconds, and take some time.
fn apart(skew: Duration) -> String {
    if skew.as_secs() < 5 { "in step".to_owned() } else { format!("{} s apart", skew.as_secs()) }
}

async fn objects_intact(walk: &mut Walk, catalog: Option<&(Catalog, i64)>, store: &Store) -> Option<Finding> {
    let (catalog, vault) = catalog?;
    Some(match tokio::time::timeout(LIMIT, walk.go_on(catalog, *vault, store)).await {
        Ok(gone_on) => walk.finding(gone_on.as_ref().err()),
        // A walk that took long goes on at the next look.
        Err(_) => walk.finding(None),
    })
}

fn unanswered(last: &Finding) -> Finding {
    Finding::not_verifiable(last.claim, last.expected.clone(), late())
}

fn late() -> String {
    format!("no answer within {} s", LIMIT.as_secs())
}

/// An error and its causes down to S3's code, in one line; the SDK's own words differ at each try.
pub(super) fn told(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.take(3).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    fn seen(claim: Result<Option<Vec<u8>>, store::Error>) -> ClaimSeen {
        ClaimSeen { claim, skew: None }
    }

    #[test]
    fn bucket_is_ours_by_its_claim_and_by_nothing_else() {
        let ours = claim::Claim::new("ours").to_json();
        let cases = [
            (Ok(Some(ours.clone())), Some("ours"), false, Status::Passed),
            (Ok(Some(ours.clone())), Some("theirs"), false, Status::Failed),
            (Ok(Some(b"{}".to_vec())), Some("ours"), true, Status::Failed),
            (Ok(None), Some("ours"), true, Status::Failed),
            (Ok(None), Some("ours"), false, Status::NotVerifiable),
            (Ok(None), None, false, Status::NotVerifiable),
            (Ok(Some(ours)), None, false, Status::NotVerifiable),
            (Err(store::Error::Unversioned), Some("ours"), true, Status::NotVerifiable),
        ];
        for (claim, catalog, once_ours, expected) in cases {
            let seen = seen(claim);
            assert_eq!(ownership(&seen, catalog, once_ours).status, expected, "{seen:?} {catalog:?}");
        }
    }

    #[test]
    fn clocks_may_be_minutes_apart_but_not_five() {
        let at = |seconds| clock(Some(Duration::from_secs(seconds)));
        assert_eq!((at(0).status, at(0).observed.as_str()), (Status::Passed, "in step"));
        assert_eq!((at(200).status, at(200).observed.as_str()), (Status::Passed, "200 s apart"));
        assert_eq!(at(301).status, Status::Failed);
        assert_eq!(clock(None).status, Status::NotVerifiable);
    }
}
