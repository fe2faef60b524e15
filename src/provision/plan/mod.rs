//! From what we want and what we saw to the changes between them, in order: pure, no clock, no network.
//!
//! `create` makes what was never set and leaves alone what somebody set differently; `repair` brings that back too.
//! What could not be read is never guessed.

mod bucket;
mod key;
mod lifecycle;
mod options;
mod outsiders;

use std::collections::BTreeMap;

use super::change::{Change, Difference, Step, listed};
use super::compare::{Clash, NotAPolicy};
use super::observe::{Observed, Setting};
use super::spec::{KeyArn, Mode, SPEC_VERSION, TAG_MANAGED_BY, TAG_MANAGED_BY_US, TAG_SPEC_VERSION};

pub use self::bucket::plan_bucket;
#[cfg(test)]
pub(super) use self::bucket::tests;
pub(super) use self::bucket::wanted_encryption;
pub use self::key::plan_key;
pub(super) use self::lifecycle::{aborts_uploads_after, describe, lifecycle_rules, tiers_at_once};
pub(super) use self::outsiders::{another_policy, opens};

/// Longest bucket policy that S3 takes.
const MAX_POLICY_BYTES: usize = 20 * 1024;

type Tags = BTreeMap<String, String>;

/// Why no plan can be made; each says what the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// Settings that could not be read.
    #[error("cannot read {}; if the role may not, grant it these reads, or set STRONGROOM_PROVISION=verify", told(.0))]
    Unreadable(Vec<(Setting, String)>),
    /// KMS did not let us look.
    #[error("cannot look at the KMS key ({reason}); grant the role kms:DescribeKey, or check the KMS endpoint")]
    KeyUnreadable {
        /// What KMS said.
        reason: String,
    },
    /// The brought key does not exist.
    #[error("there is no KMS key {arn}; check STRONGROOM_KMS_KEY_ARN")]
    KeyMissing {
        /// Its ARN.
        arn: KeyArn,
    },
    /// There is no key yet, and this run may not make one.
    #[error(
        "there is no KMS key named {alias}; if there is a bucket already, give its key that alias again, or name it in \
         STRONGROOM_KMS_KEY_ARN; if there is none yet, run once with STRONGROOM_PROVISION=create"
    )]
    KeyAbsent {
        /// The alias.
        alias: String,
    },
    /// The bucket has a key, but the alias is gone. A new key would split the data over two.
    #[error(
        "bucket `{bucket}` encrypts under {key}, but no key is named {alias} any more; give it that alias again, or \
         set STRONGROOM_KMS_KEY_ARN to it: a replacement is never made silently"
    )]
    KeyLost {
        /// Its name.
        bucket: String,
        /// The alias that should exist.
        alias: String,
        /// The key that the bucket names.
        key: String,
    },
    /// The alias was moved: another key than the one that the bucket names. Following it would split the data.
    #[error(
        "bucket `{bucket}` is set up for {}, but {alias} now names {key}: point the alias back, or set \
         STRONGROOM_KMS_KEY_ARN={key} and repair, if new objects are to go under that key; it is never changed silently",
        .set_up_for.join(", ")
    )]
    KeyMoved {
        /// Its name.
        bucket: String,
        /// The alias.
        alias: String,
        /// The key that it names now.
        key: Box<KeyArn>,
        /// The keys that default encryption and policy of the bucket name.
        set_up_for: Vec<String>,
    },
    /// Somebody else's statements stand under our names, in a bucket that is not marked ours.
    #[error(
        "the policy of bucket `{bucket}` has statements under names of ours, and the bucket is not tagged \
         {TAG_MANAGED_BY}={TAG_MANAGED_BY_US}; nothing was changed. Rename or remove theirs; or set that tag, if the \
         bucket is this service's, and repair{}", each(.clashes)
    )]
    PolicyConflict {
        /// Its name.
        bucket: String,
        /// Both sides.
        clashes: Vec<Clash>,
    },
    /// What is in force would be lost.
    #[error("the policy of bucket `{bucket}` is not changed: {reason}; rewrite it by hand, or remove it")]
    PolicyForeign {
        /// Its name.
        bucket: String,
        /// Why nothing can be added to it.
        reason: NotAPolicy,
    },
    /// S3 would refuse it.
    #[error(
        "the policy of bucket `{bucket}` would have {bytes} bytes, and S3 takes {MAX_POLICY_BYTES}: our statements \
         need {ours} of them, so shorten those of others"
    )]
    PolicyTooLong {
        /// Its name.
        bucket: String,
        /// Bytes of the merged text.
        bytes: usize,
        /// Bytes of ours alone.
        ours: usize,
    },
    /// The key is disabled.
    #[error(
        "KMS key {arn} is disabled: nothing can be read or written; enable it (kms:EnableKey), it is never replaced silently"
    )]
    KeyDisabled {
        /// Its ARN.
        arn: KeyArn,
    },
    /// The key is about to be deleted, and every object with it.
    #[error(
        "KMS key {arn} is scheduled for deletion, after which every object is lost; cancel it \
         (kms:CancelKeyDeletion, then kms:EnableKey), it is never replaced silently"
    )]
    KeyPendingDeletion {
        /// Its ARN.
        arn: KeyArn,
    },
    /// The key is in some other state in which it cannot be used.
    #[error("KMS key {arn} cannot be used, its state is {state}")]
    KeyUnavailable {
        /// Its ARN.
        arn: KeyArn,
        /// The state KMS gives.
        state: String,
    },
    /// S3 cannot use such a key, or we must not.
    #[error("KMS key {arn} is not a symmetric, customer managed encryption key")]
    KeyUnfit {
        /// Its ARN.
        arn: KeyArn,
    },
    /// S3 needs the key in the bucket's region.
    #[error("KMS key {arn} is not in the bucket's region {region}")]
    KeyElsewhere {
        /// Its ARN.
        arn: KeyArn,
        /// The bucket's region.
        region: String,
    },
    /// A newer release set the bucket up.
    #[error(
        "the bucket was set up by a newer release (state {found}, ours is {SPEC_VERSION}); use that release, or STRONGROOM_PROVISION=verify"
    )]
    NewerSpec {
        /// Its version of the desired state.
        found: u32,
    },
    /// Our own policy would lock us out.
    #[error(
        "the S3 endpoint is plain HTTP: the bucket policy denies that to everyone, this service included; use an https endpoint"
    )]
    PlainHttp,
}

/// What a run would do, and what it would leave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The changes, in the order they must be made; empty: nothing to do.
    pub changes: Vec<Change>,
    /// What differs, and this mode leaves alone.
    pub left_alone: Vec<Difference>,
}

/// How a setting stands to what is wanted.
enum Standing {
    InOrder,
    /// Nobody ever set it.
    Unset,
    /// What is set is somebody else's and stays; ours is not among it.
    Lacking(String),
    /// Somebody set it differently.
    Different(String),
}

/// Collects changes, under the rules of one mode.
struct Planner<'a> {
    bucket: &'a str,
    mode: Mode,
    /// Whether `create` may set what was never set.
    completes: bool,
    plan: Plan,
    unreadable: Vec<(Setting, String)>,
}

impl<'a> Planner<'a> {
    fn new(bucket: &'a str, mode: Mode) -> Self {
        Self { bucket, mode, completes: true, plan: Plan::default(), unreadable: Vec::new() }
    }

    /// A step that is taken without a look.
    fn take(&mut self, step: Step) {
        self.plan.changes.push(Change::new(self.bucket, step, None));
    }

    /// The step, if the setting needs it and the mode allows it.
    fn settle<T>(&mut self, have: &Observed<T>, standing: impl FnOnce(&T) -> Standing, step: Step) {
        let standing = match have {
            Observed::Known(value) => standing(value),
            Observed::Absent => Standing::Unset,
            Observed::Unsupported => Standing::InOrder,
            Observed::Unreadable(reason) => {
                let change = Change::new(self.bucket, step, Some(format!("cannot be read ({reason})")));
                self.unreadable.extend(change.setting().map(|setting| (setting, reason.clone())));
                self.plan.left_alone.extend(change.left_alone());
                return;
            }
        };
        let adds = self.mode == Mode::Repair || self.mode == Mode::Create && self.completes;
        let (was, allowed) = match standing {
            Standing::InOrder => return,
            Standing::Unset => (None, adds),
            Standing::Lacking(was) => (Some(was), adds),
            Standing::Different(was) => (Some(was), self.mode == Mode::Repair),
        };
        let change = Change::new(self.bucket, step, was);
        if allowed {
            self.plan.changes.push(change);
        } else {
            self.plan.left_alone.extend(change.left_alone());
        }
    }

    /// The tags of ours that are absent or wrong; those of others are none of our business.
    fn settle_tags(&mut self, want: &Tags, have: &Observed<Tags>, step: impl Fn(Tags) -> Step) {
        let none = Tags::new();
        let found = have.known().unwrap_or(&none);
        let (wrong, absent): (Tags, Tags) = want
            .iter()
            .filter(|(name, value)| found.get(*name) != Some(value))
            .map(owned)
            .partition(|(name, _)| found.contains_key(name));
        for set in self.mode.calls(absent, wrong) {
            let now: Tags = found.iter().filter(|(name, _)| set.contains_key(*name)).map(owned).collect();
            let standing = if now.is_empty() { Standing::Unset } else { Standing::Different(listed(&now)) };
            self.settle(have, |_| standing, step(set));
        }
    }

    fn finish(self) -> Result<Plan, Unplannable> {
        if self.mode.changes() && !self.unreadable.is_empty() {
            return Err(Unplannable::Unreadable(self.unreadable));
        }
        Ok(self.plan)
    }
}

impl Mode {
    /// What S3 knows only as a whole is set in one call where both may be set; `create` may set only what is absent.
    fn calls<C>(self, absent: C, wrong: C) -> impl Iterator<Item = C>
    where
        C: Default + Extend<C::Item> + IntoIterator,
        for<'a> &'a C: IntoIterator,
    {
        let mut calls = [absent, wrong];
        if self == Self::Repair {
            let wrong = std::mem::take(&mut calls[1]);
            calls[0].extend(wrong);
        }
        calls.into_iter().filter(|call| call.into_iter().next().is_some())
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn refuse_downgrade(tags: &Observed<Tags>) -> Result<(), Unplannable> {
    let found = tags.known().and_then(|tags| tags.get(TAG_SPEC_VERSION)).and_then(|version| version.parse().ok());
    match found {
        Some(found) if found > SPEC_VERSION => Err(Unplannable::NewerSpec { found }),
        _ => Ok(()),
    }
}

fn each(clashes: &[Clash]) -> String {
    let sides = clashes.iter().map(|Clash { sid, ours, theirs }| {
        let ours = ours.as_deref().unwrap_or("none of this name, with the profile and options that are set");
        format!("\n{}\n  ours:   {ours}\n  theirs: {theirs}", sid.as_str())
    });
    sides.collect()
}

fn told(unreadable: &[(Setting, String)]) -> String {
    let each = unreadable.iter().map(|(setting, reason)| format!("{setting} ({}: {reason})", setting.read_action()));
    each.collect::<Vec<_>>().join(", ")
}
