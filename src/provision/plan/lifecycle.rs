//! Our lifecycle rules among those of others.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleRule, LifecycleRuleFilter, Transition,
    TransitionStorageClass,
};

use super::{Planner, Standing};
use crate::provision::change::Step;
use crate::provision::observe::{Lifecycle, Observed};
use crate::provision::spec::{ABORT_UPLOADS_AFTER_DAYS, LIFECYCLE_RULE_ID, Options, TIERING_RULE_ID};

/// The rules that we insist on.
pub(in crate::provision) fn lifecycle_rules(options: &Options) -> Vec<LifecycleRule> {
    let rule = |id| {
        let whole_bucket = LifecycleRuleFilter::builder().prefix("").build();
        LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled).filter(whole_bucket)
    };
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_UPLOADS_AFTER_DAYS).build();
    let mut rules = vec![rule(LIFECYCLE_RULE_ID).abort_incomplete_multipart_upload(abort)];
    if options.intelligent_tiering {
        let at_once = Transition::builder().days(0).storage_class(TransitionStorageClass::IntelligentTiering).build();
        rules.push(rule(TIERING_RULE_ID).transitions(at_once));
    }
    rules.into_iter().map(|rule| rule.build().expect("status is set")).collect()
}

/// Days after which a rule aborts unfinished uploads of the whole bucket; `None` when it does not.
pub(in crate::provision) fn aborts_uploads_after(rule: &LifecycleRule) -> Option<i32> {
    let days = rule.abort_incomplete_multipart_upload().and_then(AbortIncompleteMultipartUpload::days_after_initiation);
    days.filter(|_| covers_all(rule))
}

/// Whether a rule moves every object of the bucket to Intelligent-Tiering as soon as it is stored.
pub(in crate::provision) fn tiers_at_once(rule: &LifecycleRule) -> bool {
    covers_all(rule)
        && rule.transitions().iter().any(|transition| {
            transition.days().unwrap_or_default() == 0
                && transition.date().is_none()
                && transition.storage_class() == Some(&TransitionStorageClass::IntelligentTiering)
        })
}

impl Planner<'_> {
    /// The rules of ours that are absent, wrong or no longer wanted; those of others are kept.
    pub(super) fn settle_lifecycle(&mut self, want: &Options, have: &Observed<Lifecycle>) {
        let found: &[LifecycleRule] = have.known().map_or(&[], |lifecycle| &lifecycle.rules);
        let wanted = lifecycle_rules(want);
        let by_id = |rules: &[LifecycleRule], id| rules.iter().find(|rule| rule.id() == Some(id)).cloned();
        let wrong: Vec<&str> = OUR_RULES
            .into_iter()
            .filter(|id| by_id(found, id).is_some_and(|rule| by_id(&wanted, id).is_none() || !is_as_wanted(&rule)))
            .collect();
        let absent: Vec<&str> =
            OUR_RULES.into_iter().filter(|id| by_id(&wanted, id).is_some() && by_id(found, id).is_none()).collect();
        for ids in self.mode.calls(absent, wrong) {
            let now: Vec<String> = found.iter().filter(|rule| is_one_of(rule, &ids)).map(describe).collect();
            let standing = if now.is_empty() { Standing::Unset } else { Standing::Different(now.join(", ")) };
            let others = found.iter().filter(|rule| !is_one_of(rule, &ids)).cloned();
            let ours = wanted.iter().filter(|rule| is_one_of(rule, &ids)).cloned();
            let step = Step::PutLifecycle(Lifecycle {
                rules: others.chain(ours).collect(),
                transition_minimum: have.known().and_then(|lifecycle| lifecycle.transition_minimum.clone()),
            });
            self.settle(have, |_| standing, step);
        }
    }
}

const OUR_RULES: [&str; 2] = [LIFECYCLE_RULE_ID, TIERING_RULE_ID];

fn is_one_of(rule: &LifecycleRule, ids: &[&str]) -> bool {
    rule.id().is_some_and(|id| ids.contains(&id))
}

fn is_as_wanted(rule: &LifecycleRule) -> bool {
    match rule.id() {
        Some(TIERING_RULE_ID) => tiers_at_once(rule),
        _ => aborts_uploads_after(rule) == Some(ABORT_UPLOADS_AFTER_DAYS),
    }
}

/// What a rule of ours says.
pub(in crate::provision) fn describe(rule: &LifecycleRule) -> String {
    match (rule.id(), aborts_uploads_after(rule)) {
        (Some(TIERING_RULE_ID), _) if tiers_at_once(rule) => "store objects in Intelligent-Tiering".to_owned(),
        (Some(LIFECYCLE_RULE_ID), Some(days)) => format!("abort unfinished multipart uploads after {days} days"),
        (id, _) => format!("{} is off, or says something else", id.unwrap_or_default()),
    }
}

fn covers_all(rule: &LifecycleRule) -> bool {
    #[expect(deprecated, reason = "old back ends still answer with the prefix outside the filter")]
    let prefix = rule.prefix().or_else(|| rule.filter().and_then(LifecycleRuleFilter::prefix)).unwrap_or_default();
    let narrowed = rule.filter().is_some_and(|filter| {
        filter.tag().is_some()
            || filter.and().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
    });
    prefix.is_empty() && !narrowed && *rule.status() == ExpirationStatus::Enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifecycle_rule_counts_only_when_it_covers_the_whole_bucket() {
        let rule = &lifecycle_rules(&Options::default())[0];
        assert_eq!(aborts_uploads_after(rule), Some(7));
        let mut narrow = rule.clone();
        narrow.filter = Some(LifecycleRuleFilter::builder().prefix("models/").build());
        assert_eq!(aborts_uploads_after(&narrow), None);
        let mut bare = rule.clone();
        bare.filter = None;
        assert_eq!(aborts_uploads_after(&bare), Some(7));
    }
}
