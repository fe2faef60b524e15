//! The changes to the key.

use aws_sdk_kms::types::KeyState;

use super::{Planner, Standing, Unplannable, missing_tags, refuse_downgrade};
use crate::provision::change::Change;
use crate::provision::compare::same_meaning;
use crate::provision::key::{KeyFacts, ObservedKey};
use crate::provision::observe::{DefaultEncryption, Observed, ObservedBucket, Setting};
use crate::provision::spec::{KEY_DESCRIPTION, KeyArn, KeySpec, KeyWish, Mode, ROTATION_PERIOD_DAYS};

/// The changes that bring the key to what is wanted; empty means in sync.
///
/// # Errors
/// When the key is missing, unusable or not to be looked at: no mode makes a replacement silently.
pub fn plan_key(
    want: &KeySpec,
    have: &ObservedKey,
    bucket: &ObservedBucket,
    mode: Mode,
) -> Result<Vec<Change>, Unplannable> {
    match (have, &want.wish) {
        (ObservedKey::Unreadable(reason), _) => Err(Unplannable::KeyUnreadable { reason: reason.clone() }),
        (ObservedKey::Absent { .. }, KeyWish::Brought(arn)) => Err(Unplannable::KeyMissing { arn: arn.clone() }),
        (ObservedKey::Absent { .. }, KeyWish::Alias(alias)) if !mode.changes() => {
            Err(Unplannable::KeyAbsent { alias: alias.clone() })
        }
        (ObservedKey::Absent { orphan }, KeyWish::Alias(alias)) => plan_new_key(want, alias, orphan.as_ref(), bucket),
        (ObservedKey::Present(key), _) => {
            usable(want, key)?;
            if mode.changes() { plan_existing_key(want, key, mode) } else { Ok(Vec::new()) }
        }
    }
}

fn usable(want: &KeySpec, key: &KeyFacts) -> Result<(), Unplannable> {
    let arn = key.arn.clone();
    match &key.state {
        KeyState::Enabled if !key.fit => Err(Unplannable::KeyUnfit { arn }),
        KeyState::Enabled => match &want.region {
            Some(region) if region != key.arn.region() => {
                Err(Unplannable::KeyElsewhere { arn, region: region.clone() })
            }
            _ => Ok(()),
        },
        KeyState::Disabled => Err(Unplannable::KeyDisabled { arn }),
        KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => Err(Unplannable::KeyPendingDeletion { arn }),
        other => Err(Unplannable::KeyUnavailable { arn, state: other.to_string() }),
    }
}

fn plan_new_key(
    want: &KeySpec,
    alias: &str,
    orphan: Option<&KeyArn>,
    bucket: &ObservedBucket,
) -> Result<Vec<Change>, Unplannable> {
    if let ObservedBucket::Present(settings) = bucket {
        match &settings.encryption {
            Observed::Known(DefaultEncryption { key: Some(key), .. }) => {
                return Err(Unplannable::KeyLost {
                    bucket: want.bucket().to_owned(),
                    alias: alias.to_owned(),
                    key: key.clone(),
                });
            }
            Observed::Unreadable(reason) => {
                return Err(Unplannable::Unreadable(vec![(Setting::DefaultEncryption, reason.clone())]));
            }
            _ => {}
        }
    }
    let name = Change::CreateAlias { alias: alias.to_owned(), key: orphan.cloned() };
    if orphan.is_some() {
        // Its other settings are looked at once it has its name.
        return Ok(vec![name]);
    }
    let mut changes = vec![Change::CreateKey, name];
    if want.limits_key() {
        changes.push(Change::PutKeyPolicy);
    }
    changes.push(Change::EnableKeyRotation { was: None });
    Ok(changes)
}

fn plan_existing_key(want: &KeySpec, key: &KeyFacts, mode: Mode) -> Result<Vec<Change>, Unplannable> {
    if let (KeyWish::Alias(_), Observed::Unreadable(reason)) = (&want.wish, &key.tags) {
        return Err(Unplannable::Unreadable(vec![(Setting::KeyTags, reason.clone())]));
    }
    if !key.ours(want) {
        return Ok(Vec::new());
    }
    let mut planner = Planner::new(mode, true);
    if mode == Mode::Repair {
        refuse_downgrade(&key.tags)?;
    }
    if let Some(tags) = missing_tags(&want.tags, &key.tags, mode) {
        planner.changes.push(Change::TagKey(tags));
    }
    if key.description != KEY_DESCRIPTION && mode == Mode::Repair {
        planner.changes.push(Change::DescribeKey { was: key.description.clone() });
    }
    if let Some(policy) = want.policy(&key.arn) {
        let standing = |have: &String| {
            if same_meaning(have, &policy.render()) {
                Standing::InOrder
            } else if key.delegates_to_iam() {
                Standing::Unset
            } else {
                Standing::Different("another policy".to_owned())
            }
        };
        planner.settle(Setting::KeyPolicy, &key.policy, standing, |_| Change::PutKeyPolicy);
    }
    planner.settle(
        Setting::KeyRotation,
        &key.rotation,
        |have| match have.period_days {
            Some(days) if days != ROTATION_PERIOD_DAYS => Standing::Different(format!("every {days} days")),
            _ => Standing::InOrder,
        },
        |was| Change::EnableKeyRotation { was },
    );
    planner.finish()
}

