//! One run over the account: look, plan, change, and look again until nothing is left to change.

use std::collections::BTreeSet;

use super::apply::{Applied, apply_bucket};
use super::apply_key::KeyRun;
use super::change::{Change, Step};
use super::finding::Finding;
use super::key::{self, ObservedKey, observe_key};
use super::observe::{ObservedBucket, Setting};
use super::plan::{Unplannable, plan_bucket, plan_key};
use super::read::{BucketRefused, observe_bucket};
use super::spec::{BucketSpec, KeyArn, KeySpec, KeyWish, Mode, Wanted};
use super::{Clients, Outputs, ProvisionError, Provisioned};

/// Rounds of planning and changing the key before it is called unsettled; a lost race takes two.
const KEY_ROUNDS: usize = 6;

/// One run, and what it has done so far.
pub(super) struct Run<'a> {
    clients: &'a Clients,
    wanted: &'a Wanted,
    mode: Mode,
    made: &'a (dyn Fn(&Change) + Sync),
    changes_made: Vec<String>,
    unsupported: BTreeSet<Setting>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        clients: &'a Clients,
        wanted: &'a Wanted,
        mode: Mode,
        made: &'a (dyn Fn(&Change) + Sync),
    ) -> Self {
        Self { clients, wanted, mode, made, changes_made: Vec::new(), unsupported: BTreeSet::new() }
    }

    /// The key's ARN, without a look at anything else.
    pub(super) async fn key_arn_only(&self, spec: &KeySpec) -> Result<KeyArn, ProvisionError> {
        if let KeyWish::Brought(arn) = &spec.wish {
            return Ok(arn.clone());
        }
        let have = observe_key(self.clients, spec).await;
        match have {
            ObservedKey::Present(facts) => Ok(facts.arn),
            ObservedKey::Unreadable(reason) => Err(Unplannable::KeyUnreadable { reason }.into()),
            ObservedKey::Absent { .. } => Err(plan_key(spec, &have, &ObservedBucket::Absent, Mode::Off)
                .err()
                .map_or_else(|| ProvisionError::NotSettled { subject: "key", left: Vec::new() }, ProvisionError::from)),
        }
    }

    /// Plans and changes, and looks again, until nothing is left to change; `seen` is what the first look saw.
    pub(super) async fn settle_key(
        &mut self,
        spec: &KeySpec,
        bucket: &ObservedBucket,
        seen: ObservedKey,
    ) -> Result<(KeyArn, ObservedKey), ProvisionError> {
        let mut seen = Some(seen);
        let mut work = KeyRun::new(self.clients, spec, None);
        let mut pauses = self.clients.patience.pauses();
        let mut left = Vec::new();
        for _ in 0..KEY_ROUNDS {
            let mut have = match (seen.take(), work.key()) {
                (Some(seen), _) => seen,
                (None, Some(arn)) => key::observe_known(self.clients, arn).await,
                (None, None) => observe_key(self.clients, spec).await,
            };
            if let ObservedKey::Present(facts) = &mut have {
                facts.mark_unsupported(&self.unsupported);
            }
            let changes = plan_key(spec, &have, bucket, self.mode)?.changes;
            match (&have, &spec.wish) {
                (ObservedKey::Present(facts), _) if changes.is_empty() => return Ok((facts.arn.clone(), have)),
                (ObservedKey::Unreadable(_), KeyWish::Brought(arn)) => return Ok((arn.clone(), have)),
                _ => {}
            }
            if let ObservedKey::Present(facts) = have {
                work.work_on(facts.arn);
            }
            left = changes.iter().map(ToString::to_string).collect();
            for change in &changes {
                match work.apply(change).await? {
                    Applied::Done => self.made(change),
                    Applied::Unsupported => self.unsupported.extend(change.setting()),
                    Applied::Superseded => break,
                }
            }
            pauses.pause().await;
        }
        Err(ProvisionError::NotSettled { subject: "key", left })
    }

    /// The same for the bucket; what it looks like in the end.
    pub(super) async fn settle_bucket(&mut self, spec: &BucketSpec) -> Result<ObservedBucket, ProvisionError> {
        let mut changes = plan_bucket(spec, &self.look(spec).await?, self.mode)?.changes;
        if let Some(create) = changes.first().filter(|first| matches!(first.step(), Step::CreateBucket { .. })) {
            self.change_bucket(spec, create).await?;
            let there = self.look_until_there(spec).await?;
            // Somebody else may have been faster, or S3 may have denied a bucket that it had: what is set in it counts.
            if there.is_new() {
                changes.remove(0);
            } else {
                changes = plan_bucket(spec, &there, self.mode)?.changes;
            }
        }
        for change in &changes {
            self.change_bucket(spec, change).await?;
        }
        let mut pauses = self.clients.patience.pauses();
        loop {
            let have = self.look(spec).await?;
            let left = match plan_bucket(spec, &have, self.mode) {
                Ok(plan) if plan.changes.is_empty() => return Ok(have),
                Ok(plan) => plan.changes,
                // A bucket that was made a moment ago may not be known everywhere yet.
                Err(Unplannable::Unreadable(_)) if !changes.is_empty() && pauses.pause().await => continue,
                Err(error) => return Err(error.into()),
            };
            if !pauses.pause().await {
                let left = left.iter().map(ToString::to_string).collect();
                return Err(ProvisionError::NotSettled { subject: "bucket", left });
            }
        }
    }

    async fn change_bucket(&mut self, spec: &BucketSpec, change: &Change) -> Result<(), ProvisionError> {
        match apply_bucket(self.clients, spec, change).await? {
            Applied::Done => self.made(change),
            Applied::Unsupported => self.unsupported.extend(change.setting()),
            Applied::Superseded => {}
        }
        Ok(())
    }

    /// The bucket that was made a moment ago, once S3 knows it.
    async fn look_until_there(&self, spec: &BucketSpec) -> Result<ObservedBucket, BucketRefused> {
        let mut pauses = self.clients.patience.pauses();
        loop {
            let have = self.look(spec).await?;
            if have != ObservedBucket::Absent || !pauses.pause().await {
                return Ok(have);
            }
        }
    }

    async fn look(&self, spec: &BucketSpec) -> Result<ObservedBucket, BucketRefused> {
        let owner = spec.owner.as_deref();
        let mut have = observe_bucket(self.clients, &spec.bucket, &spec.region, owner, &spec.options).await?;
        if let ObservedBucket::Present(settings) = &mut have {
            for setting in &self.unsupported {
                settings.mark_unsupported(*setting);
            }
        }
        Ok(have)
    }

    fn made(&mut self, change: &Change) {
        let told = change.to_string();
        if !self.changes_made.contains(&told) {
            (self.made)(change);
            self.changes_made.push(told);
        }
    }

    pub(super) fn done(self, spec: BucketSpec, findings: Vec<Finding>) -> Provisioned {
        let key_alias = match &self.wanted.key {
            KeyWish::Alias(alias) => Some(alias.clone()),
            KeyWish::Brought(_) => None,
        };
        Provisioned {
            outputs: Outputs {
                bucket: spec.bucket.clone(),
                region: spec.region.clone(),
                key_arn: spec.key.to_string(),
                key_alias,
            },
            spec,
            changes_made: self.changes_made,
            findings,
            unsupported: self.unsupported.into_iter().collect(),
        }
    }
}
