//! The changes to the key.

use aws_sdk_kms::types::KeyState;

use super::outsiders::another_policy;
use super::{Plan, Planner, Standing, Unplannable, refuse_downgrade};
use crate::provision::change::{Change, Difference, Step};
use crate::provision::compare::same_meaning;
use crate::provision::key::{KeyFacts, ObservedKey, Rotation};
use crate::provision::observe::{Observed, ObservedBucket, Setting};
use crate::provision::spec::{KEY_DESCRIPTION, KeyArn, KeySpec, KeyWish, Mode, TAG_MANAGED_BY, TAG_MANAGED_BY_US};

/// What brings the key to what is wanted.
///
/// # Errors
/// When the key is missing, unusable or not to be looked at: no mode makes a replacement silently.
pub fn plan_key(want: &KeySpec, have: &ObservedKey, bucket: &ObservedBucket, mode: Mode) -> Result<Plan, Unplannable> {
    match (have, &want.wish) {
        // The operator vouches for it, and KMS need not be asked; that it can be used is tried.
        (ObservedKey::Unreadable(_), KeyWish::Brought(_)) => Ok(Plan::default()),
        (ObservedKey::Unreadable(reason), KeyWish::Alias(_)) => {
            Err(Unplannable::KeyUnreadable { reason: reason.clone() })
        }
        (ObservedKey::Absent { .. }, KeyWish::Brought(arn)) => Err(Unplannable::KeyMissing { arn: arn.clone() }),
        (ObservedKey::Absent { orphan }, KeyWish::Alias(alias)) => {
            refuse_replacement(want, alias, bucket)?;
            if !mode.changes() {
                return Err(Unplannable::KeyAbsent { alias: alias.clone() });
            }
            plan_new_key(want, alias, orphan.as_ref(), bucket, mode)
        }
        (ObservedKey::Present(key), _) => {
            usable(want, key)?;
            refuse_another_key(want, key, bucket)?;
            plan_existing_key(want, key, mode)
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

/// A bucket of ours that names keys, and not this one, was set up for another: the alias has been moved since.
///
/// Where only default encryption or only the policy was changed behind our back, the other still names our key.
fn refuse_another_key(want: &KeySpec, key: &KeyFacts, bucket: &ObservedBucket) -> Result<(), Unplannable> {
    let (KeyWish::Alias(alias), ObservedBucket::Present(settings)) = (&want.wish, bucket) else { return Ok(()) };
    let named = settings.named_keys();
    if !settings.taken_for_ours() || named.is_empty() || named.contains(key.arn.as_str()) {
        return Ok(());
    }
    Err(Unplannable::KeyMoved {
        bucket: want.bucket().to_owned(),
        alias: alias.clone(),
        key: Box::new(key.arn.clone()),
        set_up_for: named.into_iter().collect(),
    })
}

/// A bucket that names a key has lost its alias: a new key would split the data.
fn refuse_replacement(want: &KeySpec, alias: &str, bucket: &ObservedBucket) -> Result<(), Unplannable> {
    let ObservedBucket::Present(settings) = bucket else { return Ok(()) };
    let Some(key) = settings.named_keys().pop_first() else { return Ok(()) };
    Err(Unplannable::KeyLost { bucket: want.bucket().to_owned(), alias: alias.to_owned(), key })
}

fn plan_new_key(
    want: &KeySpec,
    alias: &str,
    orphan: Option<&KeyArn>,
    bucket: &ObservedBucket,
    mode: Mode,
) -> Result<Plan, Unplannable> {
    if let ObservedBucket::Present(settings) = bucket
        && let Observed::Unreadable(reason) = &settings.encryption
    {
        return Err(Unplannable::Unreadable(vec![(Setting::DefaultEncryption, reason.clone())]));
    }
    let mut planner = Planner::new(want.bucket(), mode);
    if orphan.is_none() {
        planner.take(Step::CreateKey);
    }
    planner.take(Step::CreateAlias { alias: alias.to_owned(), key: orphan.cloned() });
    // The other settings of a key that was left over are looked at once it has its name.
    if orphan.is_none() {
        if want.limits_key() {
            planner.take(Step::PutKeyPolicy { limits: true });
        }
        planner.take(Step::EnableKeyRotation { days: want.rotation_days });
    }
    planner.finish()
}

fn plan_existing_key(want: &KeySpec, key: &KeyFacts, mode: Mode) -> Result<Plan, Unplannable> {
    if let (KeyWish::Alias(_), Observed::Unreadable(reason), true) = (&want.wish, &key.tags, mode.changes()) {
        return Err(Unplannable::Unreadable(vec![(Setting::KeyTags, reason.clone())]));
    }
    if !key.ours(want) {
        let mut plan = Plan::default();
        plan.left_alone.extend(unmarked(want, key));
        return Ok(plan);
    }
    if mode == Mode::Repair {
        refuse_downgrade(&key.tags)?;
    }
    let mut planner = Planner::new(want.bucket(), mode);
    planner.settle_tags(&want.tags, &key.tags, Step::TagKey);
    let described = |have: &String| {
        if have == KEY_DESCRIPTION { Standing::InOrder } else { Standing::Different(format!("\"{have}\"")) }
    };
    planner.settle(&key.description, described, Step::DescribeKey);
    let limits = want.limits_key();
    let standing = |have: &String| {
        if same_meaning(have, &want.policy_text(&key.arn)) {
            Standing::InOrder
        } else if key.delegates_to_iam() {
            Standing::Unset
        } else {
            Standing::Different(another_policy(have, &key.arn))
        }
    };
    // A KMS that shows no policy has one that leaves the use to IAM.
    if limits || key.policy != Observed::Absent {
        planner.settle(&key.policy, standing, Step::PutKeyPolicy { limits });
    }
    // Sooner than wanted is in order.
    let rotates = |have: &Rotation| match have.period_days {
        Some(days) if days > want.rotation_days => Standing::Different(format!("every {days} days")),
        _ => Standing::InOrder,
    };
    planner.settle(&key.rotation, rotates, Step::EnableKeyRotation { days: want.rotation_days });
    planner.finish()
}

/// A key that has the wanted alias and does not say that it is ours: used as it is, in every mode.
fn unmarked(want: &KeySpec, key: &KeyFacts) -> Option<Difference> {
    let KeyWish::Alias(alias) = &want.wish else { return None };
    let was = format!(
        "{} is named {alias} and is not tagged {TAG_MANAGED_BY}={TAG_MANAGED_BY_US}: it is used, and never changed; tag \
         it so, if it is this service's, or name it in STRONGROOM_KMS_KEY_ARN",
        key.arn
    );
    key.unmarked().then(|| Change::new(want.bucket(), Step::TagKey(want.tags.clone()), Some(was)).left_alone())?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::provision::observe::{BucketSettings, DefaultEncryption};
    use crate::provision::plan::bucket::tests::{in_order, spec as bucket_spec};
    use crate::provision::plan::wanted_encryption;
    use crate::provision::policy::delegating_key_policy;
    use crate::provision::spec::{BackEnd, ROTATION_PERIOD_DAYS, SPEC_VERSION, TAG_SPEC_VERSION, Wanted};

    const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/1";
    const EVERY: [Mode; 3] = [Mode::Create, Mode::Repair, Mode::Verify];
    const NO_BUCKET: ObservedBucket = ObservedBucket::Absent;

    fn arn() -> KeyArn {
        ARN.parse().unwrap()
    }

    fn wanted() -> Wanted {
        Wanted::new("ml", "eu-west-1", BackEnd::Aws)
    }

    fn spec() -> KeySpec {
        KeySpec::new(&wanted())
    }

    fn limited() -> KeySpec {
        KeySpec::new(&Wanted { runtime_principals: vec!["arn:aws:iam::123456789012:role/r".into()], ..wanted() })
    }

    fn key() -> KeyFacts {
        KeyFacts {
            arn: arn(),
            created: 0,
            state: KeyState::Enabled,
            fit: true,
            description: Observed::Known(KEY_DESCRIPTION.to_owned()),
            tags: Observed::Known(spec().tags),
            policy: Observed::Known(delegating_key_policy(&arn()).to_string()),
            rotation: Observed::Known(Rotation { period_days: Some(ROTATION_PERIOD_DAYS) }),
        }
    }

    fn present(key: KeyFacts) -> ObservedKey {
        ObservedKey::Present(Box::new(key))
    }

    fn absent() -> ObservedKey {
        ObservedKey::Absent { orphan: None }
    }

    fn alias(key: Option<KeyArn>) -> Step {
        Step::CreateAlias { alias: "alias/ml".to_owned(), key }
    }

    const LIMIT: Step = Step::PutKeyPolicy { limits: true };
    const ROTATE: Step = Step::EnableKeyRotation { days: ROTATION_PERIOD_DAYS };

    fn steps(want: &KeySpec, have: &ObservedKey, mode: Mode) -> Vec<Step> {
        let plan = plan_key(want, have, &NO_BUCKET, mode).unwrap();
        plan.changes.iter().map(|change| change.step().clone()).collect()
    }

    #[test]
    fn absent_key_is_made_named_and_rotated_in_that_order() {
        assert_eq!(steps(&spec(), &absent(), Mode::Create), [Step::CreateKey, alias(None), ROTATE]);
        let limited = steps(&limited(), &absent(), Mode::Create);
        assert_eq!(limited, [Step::CreateKey, alias(None), LIMIT, ROTATE]);
    }

    #[test]
    fn key_that_a_dead_run_left_is_named_instead_of_a_second_one_made() {
        let have = ObservedKey::Absent { orphan: Some(arn()) };
        assert_eq!(steps(&spec(), &have, Mode::Create), [alias(Some(arn()))]);
    }

    #[test]
    fn no_key_is_made_by_a_run_that_may_not_change() {
        for mode in [Mode::Verify, Mode::Off] {
            let error = plan_key(&spec(), &absent(), &NO_BUCKET, mode).unwrap_err();
            assert_eq!(error, Unplannable::KeyAbsent { alias: "alias/ml".into() });
        }
    }

    #[test]
    fn lost_alias_of_a_bucket_that_has_a_key_is_fatal() {
        let bucket = ObservedBucket::Present(Box::new(in_order(&bucket_spec())));
        for mode in EVERY {
            let error = plan_key(&spec(), &absent(), &bucket, mode).unwrap_err();
            assert!(matches!(&error, Unplannable::KeyLost { key, .. } if key == ARN), "{error}");
        }
        let unread = BucketSettings { encryption: Observed::Unreadable("403".into()), ..BucketSettings::unset() };
        let bucket = ObservedBucket::Present(Box::new(unread));
        assert!(matches!(plan_key(&spec(), &absent(), &bucket, Mode::Create), Err(Unplannable::Unreadable(_))));
    }

    #[test]
    fn moved_alias_is_fatal_until_encryption_or_policy_vouch_for_its_key() {
        let other = KeyFacts { arn: arn().sibling("2"), ..key() };
        let marked = in_order(&bucket_spec());
        let look = |have: &KeyFacts, bucket: &BucketSettings, mode| {
            let bucket = ObservedBucket::Present(Box::new(bucket.clone()));
            plan_key(&spec(), &present(have.clone()), &bucket, mode)
        };
        for mode in EVERY {
            let error = look(&other, &marked, mode).unwrap_err();
            assert!(matches!(&error, Unplannable::KeyMoved { set_up_for, .. } if set_up_for == &[ARN]), "{error}");
            let no_policy = BucketSettings { policy: Observed::Absent, ..marked.clone() };
            assert!(matches!(look(&other, &no_policy, mode), Err(Unplannable::KeyMoved { .. })));
            // Here only the default encryption was changed.
            let theirs = Observed::Known(DefaultEncryption {
                key: Some("arn:aws:kms:eu-west-1:123456789012:key/3".into()),
                ..wanted_encryption(&bucket_spec())
            });
            assert!(look(&key(), &BucketSettings { encryption: theirs, ..marked.clone() }, mode).is_ok());
            let unmarked = BucketSettings { tags: Observed::Absent, ..marked.clone() };
            assert!(look(&other, &unmarked, mode).is_ok());
            assert!(look(&key(), &BucketSettings::unset(), mode).is_ok());
        }
    }

    #[test]
    fn unusable_key_is_fatal_in_every_mode_and_never_replaced() {
        for (state, word) in [
            (KeyState::Disabled, "disabled"),
            (KeyState::PendingDeletion, "scheduled for deletion"),
            (KeyState::PendingImport, "PendingImport"),
        ] {
            for mode in [Mode::Create, Mode::Repair, Mode::Verify] {
                let have = present(KeyFacts { state: state.clone(), ..key() });
                let error = plan_key(&spec(), &have, &NO_BUCKET, mode).unwrap_err().to_string();
                assert!(error.contains(word) && error.contains(ARN), "{error}");
            }
        }
        let unfit = present(KeyFacts { fit: false, ..key() });
        assert_eq!(plan_key(&spec(), &unfit, &NO_BUCKET, Mode::Create), Err(Unplannable::KeyUnfit { arn: arn() }));
    }

    #[test]
    fn key_of_another_region_is_fatal_where_s3_needs_it_near() {
        let elsewhere = |back_end| {
            let spec = KeySpec::new(&Wanted::new("ml", "us-east-1", back_end));
            let have = present(KeyFacts { tags: Observed::Known(spec.tags.clone()), ..key() });
            plan_key(&spec, &have, &NO_BUCKET, Mode::Create)
        };
        assert!(matches!(elsewhere(BackEnd::Aws), Err(Unplannable::KeyElsewhere { .. })));
        assert_eq!(elsewhere(BackEnd::Compatible), Ok(Plan::default()));
    }

    #[test]
    fn key_in_order_needs_nothing() {
        for mode in [Mode::Create, Mode::Repair, Mode::Verify, Mode::Off] {
            assert_eq!(steps(&spec(), &present(key()), mode), []);
        }
    }

    #[test]
    fn rotation_that_is_off_is_turned_on_and_another_period_only_in_repair() {
        let off = present(KeyFacts { rotation: Observed::Absent, ..key() });
        assert_eq!(steps(&spec(), &off, Mode::Create), [ROTATE]);
        let slow = present(KeyFacts { rotation: Observed::Known(Rotation { period_days: Some(2560) }), ..key() });
        assert_eq!(steps(&spec(), &slow, Mode::Create), []);
        let plan = plan_key(&spec(), &slow, &NO_BUCKET, Mode::Repair).unwrap();
        assert_eq!(plan.changes, [Change::new("ml", ROTATE, Some("every 2560 days".into()))]);
        let unread = present(KeyFacts { rotation: Observed::Unreadable("403".into()), ..key() });
        assert!(plan_key(&spec(), &unread, &NO_BUCKET, Mode::Create).is_err());
    }

    #[test]
    fn default_key_policy_is_tightened_and_a_foreign_one_only_in_repair() {
        let default = present(KeyFacts { tags: Observed::Known(limited().tags), ..key() });
        assert_eq!(steps(&limited(), &default, Mode::Create), [LIMIT]);
        let foreign =
            present(KeyFacts { policy: Observed::Known(r#"{"Version":"2012-10-17","Statement":[]}"#.into()), ..key() });
        assert_eq!(steps(&limited(), &foreign, Mode::Create), []);
        assert_eq!(steps(&limited(), &foreign, Mode::Repair), [LIMIT]);
        let ours = limited().policy_text(&arn());
        let ours = present(KeyFacts { policy: Observed::Known(ours), ..key() });
        assert_eq!(steps(&limited(), &ours, Mode::Repair), []);
    }

    #[test]
    fn policy_that_limits_or_opens_the_key_goes_back_to_iam_only_in_repair() {
        let leave = Step::PutKeyPolicy { limits: false };
        let open = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Open","Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}"#;
        for (policy, was) in [
            (limited().policy_text(&arn()), "another key policy"),
            (open.to_owned(), "open to everybody, by `Open` (kms:Decrypt)"),
        ] {
            let have = present(KeyFacts { policy: Observed::Known(policy), ..key() });
            let plan = plan_key(&spec(), &have, &NO_BUCKET, Mode::Repair).unwrap();
            assert_eq!(plan.changes, [Change::new("ml", leave.clone(), Some(was.to_owned()))]);
            let left = plan_key(&spec(), &have, &NO_BUCKET, Mode::Create).unwrap();
            assert_eq!((left.changes, left.left_alone[0].was.as_str()), (vec![], was));
        }
        let untold = present(KeyFacts { policy: Observed::Absent, ..key() });
        assert_eq!(steps(&spec(), &untold, Mode::Repair), []);
    }

    #[test]
    fn faster_rotation_than_wanted_is_in_order() {
        let fast = present(KeyFacts { rotation: Observed::Known(Rotation { period_days: Some(100) }), ..key() });
        assert_eq!(steps(&spec(), &fast, Mode::Repair), []);
    }

    #[test]
    fn unmarked_key_under_the_alias_is_told_with_the_way_out() {
        let have = present(KeyFacts { tags: Observed::Absent, ..key() });
        for mode in EVERY {
            let plan = plan_key(&spec(), &have, &NO_BUCKET, mode).unwrap();
            let [left] = plan.left_alone.as_slice() else { panic!("{plan:?}") };
            assert_eq!((left.setting, plan.changes), (Setting::KeyTags, vec![]));
            assert!(left.was.contains("managed-by=strongroom") && left.was.contains("STRONGROOM_KMS_KEY_ARN"));
        }
        let brought = KeySpec::new(&Wanted { key: KeyWish::Brought(arn()), ..wanted() });
        assert_eq!(plan_key(&brought, &have, &NO_BUCKET, Mode::Repair), Ok(Plan::default()));
    }

    #[test]
    fn key_that_is_not_ours_is_used_and_never_changed() {
        let bad = KeyFacts {
            description: Observed::Known("theirs".into()),
            rotation: Observed::Absent,
            tags: Observed::Absent,
            ..key()
        };
        let brought = KeySpec::new(&Wanted { key: KeyWish::Brought(arn()), ..wanted() });
        for spec in [&spec(), &brought] {
            assert_eq!(steps(spec, &present(bad.clone()), Mode::Repair), []);
        }
        let missing = plan_key(&brought, &absent(), &NO_BUCKET, Mode::Create);
        assert_eq!(missing, Err(Unplannable::KeyMissing { arn: arn() }));
    }

    #[test]
    fn key_whose_tags_cannot_be_read_is_nobodys_until_they_are() {
        let have = present(KeyFacts { tags: Observed::Unreadable("403".into()), ..key() });
        let error = plan_key(&spec(), &have, &NO_BUCKET, Mode::Create).unwrap_err();
        assert!(error.to_string().contains("kms:ListResourceTags"), "{error}");
        assert_eq!(steps(&spec(), &have, Mode::Verify), []);
    }

    #[test]
    fn tags_and_description_of_our_key_are_mended() {
        let marked = BTreeMap::from([(TAG_MANAGED_BY.to_owned(), "strongroom".to_owned())]);
        let have = present(KeyFacts {
            tags: Observed::Known(marked.clone()),
            description: Observed::Known("x".into()),
            ..key()
        });
        let plan = steps(&spec(), &have, Mode::Create);
        assert!(matches!(plan.as_slice(), [Step::TagKey(tags)] if tags.len() == 3), "{plan:?}");
        let plan = steps(&spec(), &have, Mode::Repair);
        assert!(matches!(plan.as_slice(), [Step::TagKey(_), Step::DescribeKey]), "{plan:?}");

        let mut newer = marked;
        newer.insert(TAG_SPEC_VERSION.to_owned(), (SPEC_VERSION + 1).to_string());
        let have = present(KeyFacts { tags: Observed::Known(newer), ..key() });
        assert!(matches!(plan_key(&spec(), &have, &NO_BUCKET, Mode::Repair), Err(Unplannable::NewerSpec { .. })));
    }

    #[test]
    fn key_that_may_not_be_looked_at_is_fatal() {
        let error = plan_key(&spec(), &ObservedKey::Unreadable("403".into()), &NO_BUCKET, Mode::Off).unwrap_err();
        assert!(error.to_string().contains("kms:DescribeKey"), "{error}");
    }
}
