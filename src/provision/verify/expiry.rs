//! Lifecycle rules that would end or archive what is stored: somebody else's, and the quietest way to lose a model.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, LifecycleRuleFilter, TransitionStorageClass};

use super::seen;
use crate::provision::claim::CLAIM_KEY;
use crate::provision::finding::{ClaimId, Finding};
use crate::provision::observe::{Lifecycle, Observed};

/// What all keys that must last begin with.
const LASTING: [&str; 4] = ["models/", "manifests/", "journal/", "audit/"];

/// Whether no enabled rule expires what is stored, or moves it where it cannot be read at once.
pub(super) fn nothing_expires(lifecycle: &Observed<Lifecycle>) -> Finding {
    let expected = "no lifecycle rule that expires or archives what is stored";
    if matches!(lifecycle, Observed::Absent) {
        return Finding::passed(ClaimId::NothingExpires, expected, "no lifecycle rules");
    }
    seen(ClaimId::NothingExpires, expected, lifecycle, |have| {
        let harmful: Vec<String> = have.rules.iter().filter_map(harm).collect();
        let told = match harmful.as_slice() {
            [] => "none".to_owned(),
            rules => format!("{}; remove or narrow by hand: it is never removed for you", rules.join(", ")),
        };
        (harmful.is_empty(), told)
    })
}

/// What a rule does to what must last.
fn harm(rule: &LifecycleRule) -> Option<String> {
    if *rule.status() != ExpirationStatus::Enabled || !reaches(prefix(rule)) {
        return None;
    }
    let expires =
        rule.expiration().is_some_and(|when| when.days().is_some_and(|days| days > 0) || when.date().is_some())
            || rule.noncurrent_version_expiration().is_some();
    let current = rule.transitions().iter().filter_map(|to| to.storage_class());
    let noncurrent = rule.noncurrent_version_transitions().iter().filter_map(|to| to.storage_class());
    let archives = current
        .chain(noncurrent)
        .any(|class| matches!(class, TransitionStorageClass::Glacier | TransitionStorageClass::DeepArchive));
    let does = match (expires, archives) {
        (true, true) => "expires and archives objects",
        (true, false) => "expires objects",
        (false, true) => "archives objects",
        (false, false) => return None,
    };
    Some(format!("rule `{}` {does}", rule.id().unwrap_or("(no id)")))
}

/// Whether any key that must last can begin so. Tags and sizes may narrow a rule further: that spares nothing for sure.
fn reaches(prefix: &str) -> bool {
    LASTING.iter().any(|lasting| lasting.starts_with(prefix) || prefix.starts_with(lasting))
        || CLAIM_KEY.starts_with(prefix)
}

fn prefix(rule: &LifecycleRule) -> &str {
    #[expect(deprecated, reason = "old back ends still answer with the prefix outside the filter")]
    let prefix = rule.prefix().or_else(|| rule.filter().and_then(of_filter));
    prefix.unwrap_or_default()
}

fn of_filter(filter: &LifecycleRuleFilter) -> Option<&str> {
    filter.prefix().or_else(|| filter.and()?.prefix())
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{
        LifecycleExpiration, LifecycleRuleAndOperator, NoncurrentVersionExpiration, Tag, Transition,
    };

    use super::*;
    use crate::provision::finding::Status;
    use crate::provision::plan::tests::{all_options, in_order, with_options};

    fn rule(prefix: &str) -> LifecycleRule {
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        let rule = LifecycleRule::builder().id("theirs").status(ExpirationStatus::Enabled).filter(filter);
        rule.build().unwrap()
    }

    fn expiring(rule: LifecycleRule) -> LifecycleRule {
        with(rule, |rule| rule.expiration = Some(LifecycleExpiration::builder().days(1).build()))
    }

    fn with(mut rule: LifecycleRule, change: impl FnOnce(&mut LifecycleRule)) -> LifecycleRule {
        change(&mut rule);
        rule
    }

    fn moving(class: TransitionStorageClass) -> LifecycleRule {
        let transition = Transition::builder().days(30).storage_class(class).build();
        with(rule("models/"), |rule| rule.transitions = Some(vec![transition]))
    }

    fn judged(rule: LifecycleRule) -> Finding {
        nothing_expires(&Observed::Known(Lifecycle { rules: vec![rule], transition_minimum: None }))
    }

    #[test]
    fn rule_that_ends_or_archives_what_is_stored_fails_and_is_named() {
        let noncurrent = NoncurrentVersionExpiration::builder().noncurrent_days(1).build();
        let noncurrent = with(rule("manifests/"), |rule| rule.noncurrent_version_expiration = Some(noncurrent));
        for (rule, does) in [
            (expiring(rule("models/")), "expires objects"),
            (noncurrent, "expires objects"),
            (moving(TransitionStorageClass::Glacier), "archives objects"),
            (moving(TransitionStorageClass::DeepArchive), "archives objects"),
        ] {
            let finding = judged(rule);
            assert_eq!(finding.status, Status::Failed);
            let told = format!("rule `theirs` {does}; remove or narrow by hand: it is never removed for you");
            assert_eq!(finding.observed, told);
        }
    }

    #[test]
    fn prefixes_overlap_in_both_directions_and_narrowing_spares_nothing_for_sure() {
        for prefix in ["", "m", "models/", "models/a/b/", "journal/2", "strongroom-claim.json"] {
            assert_eq!(judged(expiring(rule(prefix))).status, Status::Failed, "{prefix}");
        }
        for prefix in ["probes/", "logs/", "modelsx"] {
            assert_eq!(judged(expiring(rule(prefix))).status, Status::Passed, "{prefix}");
        }
        let tag = Tag::builder().key("k").value("v").build().unwrap();
        let narrowed = |prefix: &str| {
            let and = LifecycleRuleAndOperator::builder().prefix(prefix).tags(tag.clone()).build();
            with(expiring(rule("")), |rule| rule.filter = Some(LifecycleRuleFilter::builder().and(and).build()))
        };
        assert_eq!(judged(narrowed("models/")).status, Status::Failed);
        assert_eq!(judged(narrowed("logs/")).status, Status::Passed);
        assert_eq!(judged(with(expiring(rule("")), |rule| rule.filter = None)).status, Status::Failed);
    }

    #[test]
    fn what_stays_readable_passes() {
        let markers = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        let disabled = with(expiring(rule("")), |rule| rule.status = ExpirationStatus::Disabled);
        let mut harmless = vec![with(rule(""), |rule| rule.expiration = Some(markers)), disabled];
        for class in [
            TransitionStorageClass::IntelligentTiering,
            TransitionStorageClass::StandardIa,
            TransitionStorageClass::OnezoneIa,
            TransitionStorageClass::GlacierIr,
        ] {
            harmless.push(moving(class));
        }
        for rule in harmless {
            let finding = judged(rule.clone());
            assert_eq!(finding.status, Status::Passed, "{rule:?}");
        }
        assert_eq!(nothing_expires(&Observed::Absent).status, Status::Passed);
        let ours = in_order(&with_options(all_options())).lifecycle;
        assert_eq!(nothing_expires(&ours).status, Status::Passed);
    }
}
