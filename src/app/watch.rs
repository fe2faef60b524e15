//! The watch: looks at the bucket again and again, and says once what changed. It reads; only a proof that the start
//! could not give is tried again here.

use std::time::Duration;

use tokio::time::Instant;
use ulid::Ulid;

use super::look::{Looker, told};
use super::secure::{PROOF_PAUSE, Proof, Trial, any_failed, open_probes, proof_is_due};
use crate::catalog::Catalog;
use crate::provision::{
    BucketSpec, ClaimId, Clients, Effect, Finding, POLICY_SETTLING, Posture, Status, Transition, remedy,
};
use crate::registry;
use crate::store::Store;

/// Looks that somebody asks for come no closer than this.
const CLOSEST: Duration = Duration::from_secs(5);
/// How often probes that got through are tried again, once their statements are in force: some back ends never obey.
const RETRIES: u32 = 3;

/// Who watches one bucket.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) posture: Posture,
    pub(super) catalog: Catalog,
    pub(super) store: Store,
    pub(super) spec: BucketSpec,
    pub(super) clients: Clients,
    pub(super) every: Duration,
    pub(super) state: State,
}

/// What the watch remembers from look to look.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Trials left of probes that got through.
    retries: u32,
    /// Why the last proof could not be given.
    trouble: Option<String>,
}

impl Watch {
    /// Looks now, and then every so often; never ends.
    pub(super) async fn run(mut self, mut looker: Looker) {
        // A policy that was put a moment ago may be obeyed later.
        let late = any_failed(&self.posture, &ClaimId::BEFORE_CLAIMING) || open_probes(looker.last()).next().is_some();
        self.state.retries = if late { RETRIES } else { 0 };
        loop {
            let looking = self.posture.begin_look();
            self.overrides().await;
            let open = self.posture.verdict().is_ok();
            let looked = looker.look().await;
            let mut news = self.posture.take(looked.clone());
            let probes = self.worth_probing(&looked);
            let proving = proof_is_due(&self.posture, probes);
            if proving {
                news.extend(self.prove(Some(&looked)).await);
            }
            self.posture.end_look(looking);
            announce(&news, &self.posture);
            self.announce_gate(open);
            let pause = if proving { self.every.min(PROOF_PAUSE) } else { jittered(self.every) };
            self.rest(pause).await;
        }
    }

    /// Where nobody looks, only the proof that the start could not give is tried again, and overrides are read.
    pub(super) async fn run_unlooking(mut self) {
        loop {
            tokio::time::sleep(PROOF_PAUSE).await;
            self.overrides().await;
            if proof_is_due(&self.posture, &[]) {
                let open = self.posture.verdict().is_ok();
                announce(&self.prove(None).await, &self.posture);
                self.announce_gate(open);
            }
        }
    }

    /// The probes to try again when they failed: none while a look sees that nothing refuses them.
    fn worth_probing(&mut self, looked: &[Finding]) -> &'static [ClaimId] {
        if open_probes(looked).next().is_some() {
            self.state.retries = RETRIES;
            return &[];
        }
        if self.state.retries > 0 { &ClaimId::PROBES } else { &[ClaimId::AnonymousWriteRefused] }
    }

    /// `looked` is what the look before it found; none: nobody looks.
    async fn prove(&mut self, looked: Option<&[Finding]>) -> Vec<Transition> {
        let probing = looked.is_some_and(|looked| open_probes(looked).next().is_none());
        let clients = probing.then_some(&self.clients);
        let (store, spec, settling) = (&self.store, &self.spec, POLICY_SETTLING);
        let trial = Trial { clients, store, spec, settling, looked: looked.unwrap_or_default() };
        let proof = Proof { trial, catalog: self.catalog.id() };
        // A bucket made anew behind our back is ours when provisioning has marked it so, in the account that must own it.
        let may_claim = looked.is_none() || self.posture.status_of(ClaimId::Tagged) == Some(Status::Passed);
        let proven = proof.establish(&self.posture, may_claim).await;
        if probing {
            self.state.retries = self.state.retries.saturating_sub(1);
        }
        let trouble = proven.as_ref().err().map(|error| told(error));
        if let Some(trouble) = trouble.as_ref().filter(|_| trouble != self.state.trouble) {
            tracing::warn!("the bucket is not proven yet: {trouble}");
        }
        self.state.trouble = trouble;
        proven.unwrap_or_default()
    }

    /// A command beside the service writes them into the catalog.
    async fn overrides(&self) {
        if let Err(error) = registry::refresh_overrides(&self.catalog, &self.posture).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "overrides could not be read");
        }
    }

    fn announce_gate(&self, was_open: bool) {
        match (was_open, self.posture.verdict()) {
            (false, Ok(())) => tracing::info!("posture: new bytes are taken"),
            (true, Err(closed)) => tracing::warn!(%closed, "posture: new bytes are refused"),
            _ => {}
        }
    }

    async fn rest(&self, pause: Duration) {
        let begun = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.posture.asked() => tokio::time::sleep_until(begun + CLOSEST.min(self.every)).await,
        }
    }
}

/// One line for each claim that failed or holds again, and one for all that cannot be looked at.
fn announce(news: &[Transition], posture: &Posture) {
    let (mut unseen, mut seen) = (Vec::new(), Vec::new());
    for Transition { claim, effect, from, to } in news {
        let (was, is) = (&from.1, &to.1);
        match (from.0, to.0) {
            (_, Status::Failed) => {
                let remedy = remedy(*claim);
                let consequence = match effect {
                    Effect::Blocking if posture.is_overridden(*claim) => "an override lets writes pass; to repair it",
                    Effect::Blocking => "new bytes are refused until it is repaired",
                    Effect::Degrading => "nothing is refused for it; to repair it",
                };
                tracing::warn!("posture: {claim} failed: was {was}, is {is}; {consequence}: {remedy}");
            }
            (Status::Failed, Status::Passed) => tracing::info!("posture: {claim} passed: was {was}, is {is}"),
            (_, Status::NotVerifiable) => unseen.push((claim.as_str(), is)),
            (_, Status::Passed) => seen.push(claim.as_str()),
        }
    }
    if let Some((_, reason)) = unseen.first() {
        let claims = unseen.iter().map(|(claim, _)| *claim).collect::<Vec<_>>().join(", ");
        tracing::warn!("posture: cannot look at {claims}: {reason}; what was seen last counts for 15 minutes");
    }
    if !seen.is_empty() {
        tracing::info!("posture: seen to hold: {}", seen.join(", "));
    }
}

/// Between four and six fifths of it: many replicas should not look at the same moment.
fn jittered(every: Duration) -> Duration {
    let random = u32::try_from(Ulid::generate().0 & 0xffff).unwrap_or_default();
    every * 4 / 5 + every * 2 / 5 * random / 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_a_fifth_earlier_or_later() {
        let every = Duration::from_mins(5);
        let pauses: Vec<Duration> = (0..1000).map(|_| jittered(every)).collect();
        assert!(pauses.iter().all(|pause| (240..=360).contains(&pause.as_secs())));
        assert!(pauses.iter().any(|pause| pause.as_secs() < 260) && pauses.iter().any(|pause| pause.as_secs() > 340));
        assert_eq!(jittered(Duration::from_hours(24)).as_secs() / 3600 / 30, 0);
    }
}
