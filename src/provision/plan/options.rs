//! The changes that only some buckets need: Object Lock, access logs, events, CORS.

use aws_sdk_s3::types::{BucketVersioningStatus, CorsRule, NotificationConfiguration};

use super::{Planner, Standing};
use crate::provision::change::Step;
use crate::provision::observe::{BucketSettings, Observed, ObservedOptions, cors_rule, same_cors, with_event_bridge};
use crate::provision::spec::{AccessLog, CORS_RULE_ID, ObjectLock, Options};

impl Planner<'_> {
    /// Object Lock needs versioning, so it comes right after it.
    ///
    /// It can never be turned off, nor is a retention in force ever shortened: that is in order.
    pub(super) fn settle_object_lock(&mut self, want: &Options, bucket: &BucketSettings) {
        let Some(wanted) = want.object_lock else { return };
        let have = &bucket.options;
        // What only a repair enables again; before that S3 would refuse the lock.
        if have.object_lock == Observed::Absent
            && bucket.versioning == Observed::Known(BucketVersioningStatus::Suspended)
        {
            let standing = Standing::Different("off, and impossible while versioning is suspended".to_owned());
            return self.settle(&bucket.versioning, |_| standing, Step::LockObjects(wanted));
        }
        let in_force = have.object_lock.known().copied().flatten();
        let kept = in_force.map_or(wanted, |lock| lock.or_stricter(wanted));
        let standing = |have: &Option<ObjectLock>| match have {
            None => Standing::Unset,
            Some(have) if *have == kept => Standing::InOrder,
            Some(have) => Standing::Different(have.to_string()),
        };
        self.settle(&have.object_lock, standing, Step::LockObjects(kept));
    }

    /// What tells others of the bucket, and lets pages use it.
    pub(super) fn settle_options(&mut self, want: &Options, have: &ObservedOptions) {
        if let Some(wanted) = &want.access_log {
            let standing = |have: &AccessLog| {
                if have == wanted { Standing::InOrder } else { Standing::Different(have.to_string()) }
            };
            self.settle(&have.access_log, standing, Step::LogAccess(wanted.clone()));
        }
        if want.event_bridge {
            let standing = |have: &NotificationConfiguration| match have.event_bridge_configuration() {
                Some(_) => Standing::InOrder,
                None => Standing::Unset,
            };
            let all = with_event_bridge(have.notifications.known());
            self.settle(&have.notifications, standing, Step::SendEvents(all));
        }
        if !want.cors_origins.is_empty() {
            let wanted = cors_rule(&want.cors_origins);
            let is_ours = |rule: &&CorsRule| rule.id() == Some(CORS_RULE_ID);
            let standing = |have: &Vec<CorsRule>| match have.iter().find(is_ours) {
                None => Standing::Unset,
                Some(ours) if same_cors(ours, &wanted) => Standing::InOrder,
                Some(ours) => Standing::Different(format!("another rule, for {}", ours.allowed_origins().join(", "))),
            };
            // S3 obeys the first rule that fits, so ours stands before those of others.
            let others = have.cors.known().into_iter().flatten().filter(|rule| !is_ours(rule)).cloned();
            let all = [wanted.clone()].into_iter().chain(others).collect();
            self.settle(&have.cors, standing, Step::AllowOrigins(all));
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{LambdaFunctionConfiguration, TransitionStorageClass};

    use crate::provision::change::{Change, Step};
    use crate::provision::observe::{BucketSettings, Observed, ObservedBucket, Setting, cors_rule};
    use crate::provision::plan::plan_bucket;
    use crate::provision::plan::tests::{all_options, in_order, with_options};
    use crate::provision::spec::{AccessLog, BucketSpec, Mode, ObjectLock, Options, Retention};

    fn plan(spec: &BucketSpec, settings: BucketSettings, mode: Mode) -> Vec<Step> {
        let plan = plan_bucket(spec, &ObservedBucket::Present(Box::new(settings)), mode).unwrap();
        plan.changes.iter().map(|change| change.step().clone()).collect()
    }

    fn lock(mode: Retention, days: i32) -> ObjectLock {
        ObjectLock { mode, days }
    }

    #[test]
    fn every_option_is_set_on_a_new_bucket_and_none_twice() {
        let spec = with_options(all_options());
        let made = plan_bucket(&spec, &ObservedBucket::Absent, Mode::Create).unwrap();
        assert!(matches!(made.changes[0].step(), Step::CreateBucket { object_lock: true, .. }));
        let settings: Vec<Setting> = made.changes.iter().filter_map(Change::setting).collect();
        for setting in [Setting::ObjectLock, Setting::AccessLog, Setting::Notifications, Setting::Cors] {
            assert!(settings.contains(&setting), "{setting}");
        }
        assert_eq!(plan(&spec, in_order(&spec), Mode::Repair), []);
    }

    #[test]
    fn option_that_is_off_is_not_looked_at() {
        let spec = with_options(Options::default());
        let mut settings = in_order(&spec);
        settings.options.object_lock = Observed::Known(Some(lock(Retention::Compliance, 9)));
        settings.options.cors = Observed::Unreadable("403".into());
        assert_eq!(plan(&spec, settings, Mode::Repair), []);
    }

    #[test]
    fn retention_in_force_is_lengthened_and_never_shortened() {
        let spec = with_options(Options { object_lock: Some(lock(Retention::Governance, 30)), ..Options::default() });
        for (have, due) in [
            (Some(lock(Retention::Governance, 30)), None),
            (Some(lock(Retention::Governance, 31)), None),
            (Some(lock(Retention::Compliance, 30)), None),
            (Some(lock(Retention::Governance, 29)), Some(lock(Retention::Governance, 30))),
            (Some(lock(Retention::Compliance, 7)), Some(lock(Retention::Compliance, 30))),
            (None, Some(lock(Retention::Governance, 30))),
        ] {
            let mut settings = in_order(&spec);
            settings.options.object_lock = Observed::Known(have);
            let due: Vec<Step> = due.into_iter().map(Step::LockObjects).collect();
            assert_eq!(plan(&spec, settings.clone(), Mode::Repair), due, "{have:?}");
            let in_create = if have.is_none() { due } else { vec![] };
            assert_eq!(plan(&spec, settings, Mode::Create), in_create, "{have:?}");
        }
    }

    #[test]
    fn nothing_is_locked_while_versioning_is_suspended_and_left_so() {
        let spec = with_options(Options { object_lock: all_options().object_lock, ..Options::default() });
        let mut settings = in_order(&spec);
        settings.versioning = Observed::Known(aws_sdk_s3::types::BucketVersioningStatus::Suspended);
        settings.options.object_lock = Observed::Absent;
        assert_eq!(plan(&spec, settings.clone(), Mode::Create), []);
        let steps = plan(&spec, settings, Mode::Repair);
        assert!(matches!(steps.as_slice(), [Step::EnableVersioning, Step::LockObjects(_)]), "{steps:?}");
    }

    #[test]
    fn notifications_and_cors_rules_of_others_are_kept() {
        let spec = with_options(all_options());
        let mut settings = in_order(&spec);
        let lambda = LambdaFunctionConfiguration::builder().lambda_function_arn("arn:x").events("s3:*".into()).build();
        let theirs = aws_sdk_s3::types::NotificationConfiguration::builder()
            .lambda_function_configurations(lambda.unwrap())
            .build();
        settings.options.notifications = Observed::Known(theirs.clone());
        let other = aws_sdk_s3::types::CorsRule::builder().allowed_methods("GET").allowed_origins("*").build().unwrap();
        settings.options.cors = Observed::Known(vec![other.clone()]);
        let steps = plan(&spec, settings, Mode::Create);
        let [Step::SendEvents(events), Step::AllowOrigins(rules)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(events.lambda_function_configurations(), theirs.lambda_function_configurations());
        assert!(events.event_bridge_configuration().is_some());
        assert_eq!(rules.as_slice(), [cors_rule(&all_options().cors_origins), other]);
    }

    #[test]
    fn other_values_are_left_alone_in_create_and_brought_back_in_repair() {
        let spec = with_options(all_options());
        let mut settings = in_order(&spec);
        settings.options.access_log = Observed::Known(AccessLog { bucket: "logs".into(), prefix: "x/".into() });
        settings.options.cors = Observed::Known(vec![cors_rule(&["https://elsewhere.example".to_owned()])]);
        assert_eq!(plan(&spec, settings.clone(), Mode::Create), []);
        let steps = plan(&spec, settings, Mode::Repair);
        assert!(matches!(steps.as_slice(), [Step::LogAccess(_), Step::AllowOrigins(rules)] if rules.len() == 1));
    }

    #[test]
    fn objects_are_tiered_by_a_rule_that_goes_with_its_option() {
        let mut spec = with_options(all_options());
        let tiered = in_order(&spec);
        let rules = &tiered.lifecycle.known().unwrap().rules;
        let [_, rule] = rules.as_slice() else { panic!("{rules:?}") };
        let transition = &rule.transitions()[0];
        assert_eq!(transition.days(), Some(0));
        assert_eq!(transition.storage_class(), Some(&TransitionStorageClass::IntelligentTiering));
        spec.options.intelligent_tiering = false;
        assert_eq!(plan(&spec, tiered.clone(), Mode::Create), []);
        let steps = plan(&spec, tiered, Mode::Repair);
        assert!(matches!(steps.as_slice(), [Step::PutLifecycle(left)] if left.rules.len() == 1), "{steps:?}");
    }
}
