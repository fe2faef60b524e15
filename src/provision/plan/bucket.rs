//! The changes to the bucket.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketVersioningStatus, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    ObjectOwnership, ServerSideEncryption,
};

use super::{Planner, Standing, Unplannable, missing_tags, refuse_downgrade};
use crate::provision::change::Change;
use crate::provision::compare;
use crate::provision::observe::{
    BucketSettings, DefaultEncryption, Lifecycle, Observed, ObservedBucket, PublicAccess, Setting,
};
use crate::provision::spec::{ABORT_UPLOADS_AFTER_DAYS, BucketSpec, LIFECYCLE_RULE_ID, Mode};

/// The changes that bring the bucket to what is wanted, in the order they must be applied; empty means in sync.
///
/// # Errors
/// Every setting that could not be read, and what would lock us out.
pub fn plan_bucket(want: &BucketSpec, have: &ObservedBucket, mode: Mode) -> Result<Vec<Change>, Unplannable> {
    if !mode.changes() {
        return Ok(Vec::new());
    }
    if !want.secure_transport {
        return Err(Unplannable::PlainHttp);
    }
    let unset;
    let (settings, mut planner) = match have {
        ObservedBucket::Absent => {
            unset = BucketSettings::unset();
            let create = Change::CreateBucket { bucket: want.bucket.clone(), region: want.region.clone() };
            (&unset, Planner { changes: vec![create], ..Planner::new(mode, true) })
        }
        ObservedBucket::Present(settings) => (&**settings, Planner::new(mode, true)),
    };
    if mode == Mode::Repair {
        refuse_downgrade(&settings.tags)?;
    }
    planner.judge_ownership_of(settings);
    planner.settle(Setting::PublicAccessBlock, &settings.public_access, differs_from(&PublicAccess::BLOCKED), |was| {
        Change::BlockPublicAccess { was }
    });
    planner.settle(
        Setting::Ownership,
        &settings.ownership,
        |have| match have {
            ObjectOwnership::BucketOwnerEnforced => Standing::InOrder,
            other => Standing::Different(other.to_string()),
        },
        |was| Change::EnforceOwnership { was },
    );
    planner.settle(Setting::DefaultEncryption, &settings.encryption, |have| encryption(want, have), |was| {
        Change::EncryptByDefault { was }
    });
    planner.settle(
        Setting::Versioning,
        &settings.versioning,
        |have| match have {
            BucketVersioningStatus::Enabled => Standing::InOrder,
            other => Standing::Different(other.to_string()),
        },
        |was| Change::EnableVersioning { was },
    );
    let foreign = settings.policy.known().and_then(|text| compare::compare(&want.policy, text).ok());
    let foreign = foreign.map(|comparison| comparison.foreign).unwrap_or_default();
    planner.settle(Setting::Policy, &settings.policy, |have| policy(want, have), |was| Change::PutBucketPolicy {
        text: compare::merged(&want.policy, &foreign),
        was,
    });
    planner.settle(Setting::Lifecycle, &settings.lifecycle, lifecycle, |was| Change::PutLifecycle {
        lifecycle: with_our_rule(settings.lifecycle.known()),
        was,
    });
    planner.settle_tags(&want.tags, settings);
    planner.finish()
}

/// What default encryption must be.
pub(in crate::provision) fn wanted_encryption(want: &BucketSpec) -> DefaultEncryption {
    DefaultEncryption {
        algorithm: ServerSideEncryption::AwsKms,
        key: Some(want.key.as_str().to_owned()),
        bucket_key: true,
        sse_c_blocked: want.block_sse_c,
    }
}

/// Days after which our lifecycle rule aborts unfinished uploads of the whole bucket; `None` when it does not.
pub(in crate::provision) fn aborts_uploads_after(rule: &LifecycleRule) -> Option<i32> {
    #[expect(deprecated, reason = "old back ends still answer with the prefix outside the filter")]
    let prefix = rule.prefix().or_else(|| rule.filter().and_then(LifecycleRuleFilter::prefix)).unwrap_or_default();
    let narrowed = rule.filter().is_some_and(|filter| {
        filter.tag().is_some()
            || filter.and().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
    });
    let all = prefix.is_empty() && !narrowed && *rule.status() == ExpirationStatus::Enabled;
    let days = rule.abort_incomplete_multipart_upload().and_then(AbortIncompleteMultipartUpload::days_after_initiation);
    days.filter(|_| all)
}

impl Planner {
    /// In `create`, a bucket that is not marked ours and holds objects is somebody's: nothing in it is set.
    fn judge_ownership_of(&mut self, bucket: &BucketSettings) {
        if self.mode != Mode::Create || bucket.marked_ours() || bucket.tags == Observed::Unsupported {
            return;
        }
        match &bucket.occupied {
            Observed::Known(occupied) => self.completes = !occupied,
            Observed::Absent | Observed::Unsupported => {}
            Observed::Unreadable(reason) => self.unreadable.push((Setting::Contents, reason.clone())),
        }
    }

    fn settle_tags(&mut self, want: &BTreeMap<String, String>, bucket: &BucketSettings) {
        if let Observed::Unreadable(reason) = &bucket.tags {
            self.unreadable.push((Setting::Tags, reason.clone()));
            return;
        }
        if self.mode != Mode::Repair && !self.completes {
            return;
        }
        if let Some(missing) = missing_tags(want, &bucket.tags, self.mode) {
            // S3 knows only all tags at once.
            let mut tags = bucket.tags.known().cloned().unwrap_or_default();
            tags.extend(missing);
            self.changes.push(Change::TagBucket { tags });
        }
    }
}

fn differs_from<T: PartialEq + std::fmt::Display>(want: &T) -> impl Fn(&T) -> Standing {
    move |have| if have == want { Standing::InOrder } else { Standing::Different(have.to_string()) }
}

fn encryption(want: &BucketSpec, have: &DefaultEncryption) -> Standing {
    let wanted = wanted_encryption(want);
    if have.algorithm != wanted.algorithm || have.key != wanted.key {
        Standing::Different(have.to_string())
    } else if !have.bucket_key {
        Standing::Different("no bucket key".to_owned())
    } else if want.block_sse_c && !have.sse_c_blocked {
        Standing::Different("SSE-C not blocked".to_owned())
    } else {
        Standing::InOrder
    }
}

fn policy(want: &BucketSpec, have: &str) -> Standing {
    match compare::compare(&want.policy, have) {
        Ok(comparison) if comparison.in_order() => Standing::InOrder,
        Ok(comparison) => {
            let mut told = Vec::new();
            if !comparison.missing.is_empty() {
                let names: Vec<_> = comparison.missing.iter().map(|sid| sid.as_str()).collect();
                told.push(format!("without {}", names.join(", ")));
            }
            if !comparison.allows.is_empty() {
                told.push(format!("with grants {}", comparison.allows.join(", ")));
            }
            if !comparison.stale.is_empty() {
                told.push(format!("with altered or outdated {}", comparison.stale.join(", ")));
            }
            Standing::Different(told.join("; "))
        }
        Err(error) => Standing::Different(error.to_string()),
    }
}

fn lifecycle(have: &Lifecycle) -> Standing {
    match have.rules.iter().find(|rule| rule.id() == Some(LIFECYCLE_RULE_ID)) {
        None => Standing::Unset,
        Some(rule) => match aborts_uploads_after(rule) {
            Some(ABORT_UPLOADS_AFTER_DAYS) => Standing::InOrder,
            Some(days) => Standing::Different(format!("after {days} days")),
            None => Standing::Different("our rule is off, or covers only a part".to_owned()),
        },
    }
}

fn with_our_rule(have: Option<&Lifecycle>) -> Lifecycle {
    let ours = LifecycleRule::builder()
        .id(LIFECYCLE_RULE_ID)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_UPLOADS_AFTER_DAYS).build(),
        )
        .build()
        .expect("status is set");
    let others = have.into_iter().flat_map(|lifecycle| &lifecycle.rules);
    let others = others.filter(|rule| rule.id() != Some(LIFECYCLE_RULE_ID)).cloned();
    Lifecycle {
        rules: others.chain([ours]).collect(),
        transition_minimum: have.and_then(|lifecycle| lifecycle.transition_minimum.clone()),
    }
}

