//! From what we want and what we saw to the changes between them, in order: pure, no clock, no network.
//!
//! `create` makes what was never set and leaves alone what somebody set differently; `repair` brings that back too.
//! What could not be read is never guessed.

mod bucket;
mod key;

use std::collections::BTreeMap;

use super::change::Change;
use super::observe::{Observed, Setting};
use super::spec::{KeyArn, Mode, SPEC_VERSION, TAG_SPEC_VERSION};

pub use self::bucket::plan_bucket;
#[cfg(test)]
pub(super) use self::bucket::tests;
pub(super) use self::bucket::{aborts_uploads_after, wanted_encryption};
pub use self::key::plan_key;

/// Why no plan can be made; each says what the operator can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// Settings that could not be read.
    #[error("cannot read {}; grant the role these reads, or set STRONGROOM_PROVISION=verify", told(.0))]
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
        "there is no KMS key named {alias}; run once with STRONGROOM_PROVISION=create, or name one in STRONGROOM_KMS_KEY_ARN"
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

/// How a setting stands to what is wanted.
enum Standing {
    InOrder,
    /// Nobody ever set it.
    Unset,
    /// Somebody set it differently.
    Different(String),
}

/// Collects changes, under the rules of one mode.
struct Planner {
    mode: Mode,
    /// Whether `create` may set what was never set.
    completes: bool,
    changes: Vec<Change>,
    unreadable: Vec<(Setting, String)>,
}

impl Planner {
    fn new(mode: Mode, completes: bool) -> Self {
        Self { mode, completes, changes: Vec::new(), unreadable: Vec::new() }
    }

    fn settle<T>(
        &mut self,
        setting: Setting,
        have: &Observed<T>,
        standing: impl FnOnce(&T) -> Standing,
        change: impl FnOnce(Option<String>) -> Change,
    ) {
        let standing = match have {
            Observed::Known(value) => standing(value),
            Observed::Absent => Standing::Unset,
            Observed::Unsupported => Standing::InOrder,
            Observed::Unreadable(reason) => {
                self.unreadable.push((setting, reason.clone()));
                return;
            }
        };
        match standing {
            Standing::Unset if self.mode == Mode::Repair || self.completes => self.changes.push(change(None)),
            Standing::Different(was) if self.mode == Mode::Repair => self.changes.push(change(Some(was))),
            Standing::InOrder | Standing::Unset | Standing::Different(_) => {}
        }
    }

    fn finish(self) -> Result<Vec<Change>, Unplannable> {
        if self.unreadable.is_empty() { Ok(self.changes) } else { Err(Unplannable::Unreadable(self.unreadable)) }
    }
}

fn refuse_downgrade(tags: &Observed<BTreeMap<String, String>>) -> Result<(), Unplannable> {
    let found = tags.known().and_then(|tags| tags.get(TAG_SPEC_VERSION)).and_then(|version| version.parse().ok());
    match found {
        Some(found) if found > SPEC_VERSION => Err(Unplannable::NewerSpec { found }),
        _ => Ok(()),
    }
}

/// The tags of ours that a run in this mode must set: absent ones, and in `repair` wrong ones.
fn missing_tags(
    want: &BTreeMap<String, String>,
    have: &Observed<BTreeMap<String, String>>,
    mode: Mode,
) -> Option<BTreeMap<String, String>> {
    let none = BTreeMap::new();
    let have = match have {
        Observed::Known(have) => have,
        Observed::Absent => &none,
        Observed::Unsupported | Observed::Unreadable(_) => return None,
    };
    let missing: BTreeMap<_, _> = want
        .iter()
        .filter(|(name, value)| match have.get(*name) {
            None => true,
            Some(found) => found != *value && mode == Mode::Repair,
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!missing.is_empty()).then_some(missing)
}

fn told(unreadable: &[(Setting, String)]) -> String {
    let each = unreadable.iter().map(|(setting, reason)| format!("{setting} ({}: {reason})", setting.read_action()));
    each.collect::<Vec<_>>().join(", ")
}
