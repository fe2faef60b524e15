//! Lifecycle rules: which uploads, versions and delete markers have had their time, and which are tiered. Pure.
//!
//! As on AWS, a number of days ends at the midnight (UTC) that follows it.

use crate::meta::record::{StorageClass, Upload, Version, Versioning};
use s3s::dto::{ExpirationStatus, LifecycleRule, Tag, Timestamp};

pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Smaller objects are not tiered unless the rule itself names a size.
const MIN_TIERED: u64 = 128 * 1024;

/// What the rules have decided about a version; where they differ, the later one here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Keep,
    /// Say from now on that it is kept in Intelligent-Tiering.
    Transition,
    /// Delete as a request without a version id would.
    Expire,
    /// Remove this version for good.
    Remove,
}

/// A version among its siblings.
#[derive(Debug)]
pub(super) struct Placed<'v> {
    pub(super) key: &'v str,
    pub(super) version: &'v Version,
    pub(super) versioning: Versioning,
    /// When the next newer version was written; `None`: this is the newest.
    pub(super) superseded_ms: Option<i64>,
    /// How many noncurrent versions are newer.
    pub(super) newer_noncurrent: usize,
    /// The key has no other version.
    pub(super) only: bool,
}

pub(super) fn upload_is_due(rules: &[LifecycleRule], key: &str, upload: &Upload, now_ms: i64) -> bool {
    enabled(rules).any(|rule| {
        let days = rule.abort_incomplete_multipart_upload.as_ref().and_then(|abort| abort.days_after_initiation);
        days.is_some_and(|days| now_ms >= end_of(upload.initiated_ms, days)) && key.starts_with(prefix_of(rule))
    })
}

/// Whether any rule looks at versions at all.
pub(super) fn concerns_versions(rules: &[LifecycleRule]) -> bool {
    enabled(rules).any(|rule| {
        rule.expiration.is_some()
            || rule.noncurrent_version_expiration.is_some()
            || rule.transitions.is_some()
            || rule.noncurrent_version_transitions.is_some()
    })
}

/// A locked version is not removed, whatever the rules say.
pub(super) fn judge(rules: &[LifecycleRule], placed: &Placed<'_>, now_ms: i64) -> Verdict {
    let verdicts = enabled(rules).filter(|rule| matches(rule, placed)).flat_map(|rule| {
        let deletion = deletion_by(rule, placed, now_ms);
        let forbidden = deletion == Verdict::Remove && placed.version.is_locked(now_ms, false);
        [if forbidden { Verdict::Keep } else { deletion }, tiering_by(rule, placed, now_ms)]
    });
    verdicts.max().unwrap_or(Verdict::Keep)
}

/// Whether a rule tiers a version that is not tiered yet.
fn tiering_by(rule: &LifecycleRule, placed: &Placed<'_>, now_ms: i64) -> Verdict {
    let stays = |content: &crate::meta::record::Content| {
        content.storage_class != StorageClass::Standard || (content.size < MIN_TIERED && !names_size(rule))
    };
    if placed.version.content.as_ref().is_none_or(stays) {
        return Verdict::Keep;
    }
    let due =
        match placed.superseded_ms {
            None => rule.transitions.iter().flatten().any(|transition| {
                is_due(transition.days, transition.date.as_ref(), placed.version.modified_ms, now_ms)
            }),
            Some(superseded_ms) => rule.noncurrent_version_transitions.iter().flatten().any(|transition| {
                let kept = transition.newer_noncurrent_versions.map_or(0, |count| usize::try_from(count).unwrap_or(0));
                is_due(transition.noncurrent_days, None, superseded_ms, now_ms) && placed.newer_noncurrent >= kept
            }),
        };
    if due { Verdict::Transition } else { Verdict::Keep }
}

fn deletion_by(rule: &LifecycleRule, placed: &Placed<'_>, now_ms: i64) -> Verdict {
    if let Some(superseded_ms) = placed.superseded_ms {
        let Some(noncurrent) = &rule.noncurrent_version_expiration else { return Verdict::Keep };
        let kept = noncurrent.newer_noncurrent_versions.map_or(0, |count| usize::try_from(count).unwrap_or(0));
        let due = noncurrent.noncurrent_days.is_some_and(|days| now_ms >= end_of(superseded_ms, days));
        return if due && placed.newer_noncurrent >= kept { Verdict::Remove } else { Verdict::Keep };
    }
    let Some(expiration) = &rule.expiration else { return Verdict::Keep };
    let due = is_due(expiration.days, expiration.date.as_ref(), placed.version.modified_ms, now_ms);
    if placed.version.content.is_none() {
        // A marker that hides nothing any more.
        let unwanted = expiration.expired_object_delete_marker == Some(true) || due;
        return if placed.only && unwanted { Verdict::Remove } else { Verdict::Keep };
    }
    match (due, placed.versioning) {
        (false, _) => Verdict::Keep,
        (true, Versioning::Unversioned) => Verdict::Remove,
        (true, _) => Verdict::Expire,
    }
}

fn is_due(days: Option<i32>, date: Option<&Timestamp>, from_ms: i64, now_ms: i64) -> bool {
    days.is_some_and(|days| now_ms >= end_of(from_ms, days))
        || date.is_some_and(|date| now_ms >= super::clock::millis(date))
}

/// Whether a rule's filter asks for sizes.
fn names_size(rule: &LifecycleRule) -> bool {
    let Some(filter) = &rule.filter else { return false };
    let and = filter.and.as_ref();
    filter.object_size_greater_than.or(and.and_then(|and| and.object_size_greater_than)).is_some()
        || filter.object_size_less_than.or(and.and_then(|and| and.object_size_less_than)).is_some()
}

fn enabled(rules: &[LifecycleRule]) -> impl Iterator<Item = &LifecycleRule> {
    rules.iter().filter(|rule| rule.status.as_str() == ExpirationStatus::ENABLED)
}

fn prefix_of(rule: &LifecycleRule) -> &str {
    let of_filter = rule.filter.as_ref().and_then(|filter| {
        let of_and = filter.and.as_ref().and_then(|and| and.prefix.as_deref());
        filter.prefix.as_deref().or(of_and)
    });
    of_filter.or(rule.prefix.as_deref()).unwrap_or_default()
}

fn matches(rule: &LifecycleRule, placed: &Placed<'_>) -> bool {
    if !placed.key.starts_with(prefix_of(rule)) {
        return false;
    }
    let Some(filter) = &rule.filter else { return true };
    let and = filter.and.as_ref();
    let tags: Vec<&Tag> =
        filter.tag.iter().chain(and.and_then(|and| and.tags.as_ref()).into_iter().flatten()).collect();
    let above = filter.object_size_greater_than.or(and.and_then(|and| and.object_size_greater_than));
    let below = filter.object_size_less_than.or(and.and_then(|and| and.object_size_less_than));
    let Some(content) = &placed.version.content else {
        // Markers have neither tags nor size.
        return tags.is_empty() && above.is_none() && below.is_none();
    };
    let has = |tag: &Tag| {
        content
            .description
            .tags
            .iter()
            .any(|(key, value)| tag.key.as_ref() == Some(key) && tag.value.as_ref() == Some(value))
    };
    let size = i64::try_from(content.size).unwrap_or(i64::MAX);
    tags.into_iter().all(has) && above.is_none_or(|limit| size > limit) && below.is_none_or(|limit| size < limit)
}

/// The midnight at or after so many days.
fn end_of(from_ms: i64, days: i32) -> i64 {
    let end = from_ms + i64::from(days) * DAY_MS;
    end.div_euclid(DAY_MS) * DAY_MS + if end.rem_euclid(DAY_MS) == 0 { 0 } else { DAY_MS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{
        lock::Lock,
        record::{Content, Description, Encryption},
    };
    use s3s::dto::{
        LifecycleExpiration, LifecycleRuleFilter, NoncurrentVersionExpiration, Transition, TransitionStorageClass,
    };
    use std::collections::BTreeMap;

    const NOON: i64 = 100 * DAY_MS + DAY_MS / 2;

    fn version(content: bool) -> Version {
        let content = content.then(|| Content {
            size: 10,
            etag: String::new(),
            parts: None,
            checksum: None,
            encryption: Encryption { kms_key: None, bucket_key: false, context: BTreeMap::new() },
            description: Description { tags: vec![("team".into(), "a".into())], ..Description::default() },
            lock: Lock::default(),
            storage_class: StorageClass::Standard,
        });
        Version { sequence: 1, nonce: 1, null: false, modified_ms: NOON, content }
    }

    fn rule() -> LifecycleRule {
        LifecycleRule {
            abort_incomplete_multipart_upload: None,
            expiration: None,
            filter: None,
            id: None,
            noncurrent_version_expiration: None,
            noncurrent_version_transitions: None,
            prefix: None,
            status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
            transitions: None,
        }
    }

    fn after(days: i32) -> LifecycleRule {
        let expiration = LifecycleExpiration { days: Some(days), ..LifecycleExpiration::default() };
        LifecycleRule { expiration: Some(expiration), ..rule() }
    }

    fn newest(version: &Version) -> Placed<'_> {
        Placed {
            key: "staging/x",
            version,
            versioning: Versioning::Enabled,
            superseded_ms: None,
            newer_noncurrent: 0,
            only: true,
        }
    }

    #[test]
    fn days_end_at_the_midnight_after_them() {
        let version = version(true);
        let placed = newest(&version);
        assert_eq!(judge(&[after(1)], &placed, 102 * DAY_MS - 1), Verdict::Keep);
        assert_eq!(judge(&[after(1)], &placed, 102 * DAY_MS), Verdict::Expire);
        let unversioned = Placed { versioning: Versioning::Unversioned, ..placed };
        assert_eq!(judge(&[after(1)], &unversioned, 102 * DAY_MS), Verdict::Remove);
    }

    #[test]
    fn filters_narrow_a_rule() {
        let version = version(true);
        let placed = newest(&version);
        let judged = |filter: LifecycleRuleFilter| {
            judge(&[LifecycleRule { filter: Some(filter), ..after(1) }], &placed, 200 * DAY_MS)
        };
        let filter = LifecycleRuleFilter::default;
        let tag = |value: &str| Tag { key: Some("team".into()), value: Some(value.into()) };
        assert_eq!(judged(LifecycleRuleFilter { prefix: Some("staging/".into()), ..filter() }), Verdict::Expire);
        assert_eq!(judged(LifecycleRuleFilter { prefix: Some("models/".into()), ..filter() }), Verdict::Keep);
        assert_eq!(judged(LifecycleRuleFilter { tag: Some(tag("a")), ..filter() }), Verdict::Expire);
        assert_eq!(judged(LifecycleRuleFilter { tag: Some(tag("b")), ..filter() }), Verdict::Keep);
        assert_eq!(judged(LifecycleRuleFilter { object_size_greater_than: Some(10), ..filter() }), Verdict::Keep);
        let disabled = LifecycleRule { status: ExpirationStatus::from_static(ExpirationStatus::DISABLED), ..after(1) };
        assert_eq!(judge(&[disabled], &placed, 200 * DAY_MS), Verdict::Keep);
    }

    #[test]
    fn a_marker_goes_only_when_it_hides_nothing() {
        let marker = version(false);
        let expiration =
            LifecycleExpiration { expired_object_delete_marker: Some(true), ..LifecycleExpiration::default() };
        let rules = [LifecycleRule { expiration: Some(expiration), ..rule() }];
        assert_eq!(judge(&rules, &newest(&marker), NOON), Verdict::Remove);
        assert_eq!(judge(&rules, &Placed { only: false, ..newest(&marker) }, NOON), Verdict::Keep);
        assert_eq!(judge(&rules, &newest(&version(true)), NOON), Verdict::Keep);
    }

    #[test]
    fn noncurrent_versions_count_from_when_they_were_superseded() {
        let version = version(true);
        let noncurrent = NoncurrentVersionExpiration { noncurrent_days: Some(2), newer_noncurrent_versions: Some(1) };
        let rules = [LifecycleRule { noncurrent_version_expiration: Some(noncurrent), ..rule() }];
        let old =
            |newer_noncurrent| Placed { superseded_ms: Some(NOON), newer_noncurrent, only: false, ..newest(&version) };
        assert_eq!(judge(&rules, &old(1), 103 * DAY_MS - 1), Verdict::Keep);
        assert_eq!(judge(&rules, &old(1), 103 * DAY_MS), Verdict::Remove);
        assert_eq!(judge(&rules, &old(0), 103 * DAY_MS), Verdict::Keep);
        assert_eq!(judge(&rules, &newest(&version), 200 * DAY_MS), Verdict::Keep);
    }

    fn tiered_after(days: i32) -> LifecycleRule {
        let class = TransitionStorageClass::from_static(TransitionStorageClass::INTELLIGENT_TIERING);
        let transition = Transition { days: Some(days), date: None, storage_class: Some(class) };
        LifecycleRule { transitions: Some(vec![transition]), ..rule() }
    }

    #[test]
    fn small_objects_are_tiered_only_by_a_rule_that_names_a_size() {
        let small = version(true);
        let mut large = version(true);
        if let Some(content) = &mut large.content {
            content.size = MIN_TIERED;
        }
        assert_eq!(judge(&[tiered_after(0)], &newest(&small), 200 * DAY_MS), Verdict::Keep);
        assert_eq!(judge(&[tiered_after(0)], &newest(&large), 200 * DAY_MS), Verdict::Transition);
        let filter = LifecycleRuleFilter { object_size_greater_than: Some(1), ..LifecycleRuleFilter::default() };
        let named = LifecycleRule { filter: Some(filter), ..tiered_after(0) };
        assert_eq!(judge(&[named], &newest(&small), 200 * DAY_MS), Verdict::Transition);
    }

    #[test]
    fn deletion_outweighs_tiering_and_a_lock_outweighs_removal() {
        let mut large = version(true);
        let content = large.content.as_mut().unwrap();
        content.size = MIN_TIERED;
        content.lock.legal_hold = Some(true);
        let placed = newest(&large);
        let rules = [tiered_after(0), after(1)];
        assert_eq!(judge(&rules, &placed, 200 * DAY_MS), Verdict::Expire, "a marker removes nothing");
        let unversioned = Placed { versioning: Versioning::Unversioned, ..placed };
        assert_eq!(judge(&rules, &unversioned, 200 * DAY_MS), Verdict::Transition);
    }
}
