//! What the operator reads about a change: in one line, as a value, and why.

use std::collections::BTreeMap;
use std::fmt;

use super::{Amiss, Change, Step};
use crate::provision::compare::Clash;
use crate::provision::observe::{Lifecycle, PublicAccess};
use crate::provision::plan::describe;
use crate::provision::policy::Sid;
use crate::provision::spec::{CORS_RULE_ID, KEY_DESCRIPTION, LIFECYCLE_RULE_ID, TIERING_RULE_ID};

/// Longest statement that is told in full; ours fit.
const SIDE_CHARS: usize = 600;

impl Change {
    /// What will be set.
    pub fn to(&self) -> String {
        match &self.step {
            Step::CreateKey => format!("\"{KEY_DESCRIPTION}\", symmetric, one region"),
            Step::CreateAlias { key: None, .. } => "the new key".to_owned(),
            Step::CreateAlias { key: Some(key), .. } => format!("{key}, left over from an interrupted run"),
            Step::TagKey(set) | Step::TagBucket { set, .. } => listed(set),
            Step::DescribeKey => format!("\"{KEY_DESCRIPTION}\""),
            Step::PutKeyPolicy { limits: true } => "only the runtime principals use it, only through S3".to_owned(),
            Step::PutKeyPolicy { limits: false } => "who uses it is left to IAM".to_owned(),
            Step::EnableKeyRotation { days } => format!("every {days} days"),
            Step::CreateBucket { region, object_lock } => {
                format!(
                    "in {region}, owned by its account alone{}",
                    if *object_lock { ", with Object Lock" } else { "" }
                )
            }
            Step::BlockPublicAccess => PublicAccess::BLOCKED.to_string(),
            Step::EnforceOwnership => "BucketOwnerEnforced".to_owned(),
            Step::EncryptByDefault { to, .. } => to.in_full(),
            Step::EnableVersioning => "Enabled".to_owned(),
            Step::PutBucketPolicy { ours, kept, replaced, .. } => {
                let names: Vec<_> = ours.iter().copied().map(Sid::as_str).collect();
                let text = format!("{}{}", names.join(", "), kept_too(*kept, "statement"));
                replaced.iter().fold(text, |text, Clash { sid, ours, .. }| {
                    format!("{text}; {}", side(*sid, ours.as_deref().unwrap_or("removed, it is not wanted now")))
                })
            }
            Step::PutLifecycle(lifecycle) => {
                let (ours, kept) = split(lifecycle);
                format!("{ours}{}", kept_too(kept, "rule"))
            }
            Step::LockObjects(lock) => format!("{lock}; Object Lock itself can never be turned off"),
            Step::LogAccess(log) => {
                format!("{log}; the policy of {} must allow logging.s3.amazonaws.com, and is not touched", log.bucket)
            }
            Step::SendEvents(all) => {
                let kept = all.topic_configurations().len()
                    + all.queue_configurations().len()
                    + all.lambda_function_configurations().len();
                format!("EventBridge{}", kept_too(kept, "notification"))
            }
            Step::AllowOrigins(rules) => {
                let ours = rules.iter().find(|rule| rule.id() == Some(CORS_RULE_ID));
                let origins = ours.map(|rule| rule.allowed_origins().join(", ")).unwrap_or_default();
                format!("{origins}{}", kept_too(rules.len().saturating_sub(1), "rule"))
            }
        }
    }

    /// What goes wrong without it.
    pub fn why(&self) -> &'static str {
        match &self.step {
            Step::CreateKey => {
                "Without a key of its own the bucket falls under one that every principal of the account may use."
            }
            Step::CreateAlias { .. } => "Without its alias the next run does not find the key, and makes a second one.",
            Step::TagKey(_) => {
                "Without its tags nobody knows whose key it is, and this service never changes it again."
            }
            Step::DescribeKey => "Whoever cleans up keys by hand sees a key without a purpose.",
            Step::PutKeyPolicy { limits: true } => "Any principal with an IAM policy on KMS could decrypt every model.",
            Step::PutKeyPolicy { limits: false } => {
                "Another key policy lets in whom IAM does not name, or keeps out whom it does."
            }
            Step::EnableKeyRotation { .. } => {
                "Key material that is rotated late or never protects too much of what was ever written."
            }
            Step::CreateBucket { .. } => "There is no place for models.",
            Step::BlockPublicAccess => "One wrong policy or ACL would open the models to the world.",
            Step::EnforceOwnership => "ACLs could give objects away, past every policy.",
            Step::EncryptByDefault { amiss, .. } => match amiss {
                Amiss::Key => "A write that names no key would be stored under another one than ours.",
                Amiss::KeyName => {
                    "What is no full ARN is looked up in the writer's account, and may lead to another key."
                }
                Amiss::NoBucketKey => "Every object would need a call to KMS of its own, which costs and is throttled.",
                Amiss::CustomerKeys => "What is written under keys that clients bring cannot be read without them.",
            },
            Step::EnableVersioning => "An overwrite or deletion would destroy a published version.",
            Step::PutBucketPolicy { .. } => {
                "Writes under other keys, plain HTTP and old presigned URLs would be accepted."
            }
            Step::PutLifecycle(_) => "Unfinished uploads would be stored, and paid for, for ever.",
            Step::LockObjects(_) => "Whoever may delete versions could delete a model before its time.",
            Step::LogAccess(_) => "Nobody could tell later who read or wrote what.",
            Step::SendEvents(_) => "Whoever waits for events of this bucket would wait in vain.",
            Step::AllowOrigins(_) => "Browsers would refuse pages of these origins the use of presigned URLs.",
            Step::TagBucket { takes_over: true, .. } => {
                "A bucket that was not strongroom's and holds objects is taken over, and kept as it should be from now on."
            }
            Step::TagBucket { .. } => {
                "Without its tags nobody knows whose bucket it is, and `create` no longer completes it."
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::CreateKey => write!(f, "create a KMS key, \"{KEY_DESCRIPTION}\"")?,
            Step::CreateAlias { alias, key: None } => write!(f, "name the new key {alias}")?,
            Step::CreateAlias { alias, key: Some(key) } => {
                write!(f, "name {key}, left over from an interrupted run, {alias}")?;
            }
            Step::TagKey(set) => write!(f, "tag the key {}", listed(set))?,
            Step::DescribeKey => write!(f, "describe the key as \"{KEY_DESCRIPTION}\"")?,
            Step::PutKeyPolicy { limits: true } => {
                f.write_str("let only the runtime principals use the key, and only through S3")?;
            }
            Step::PutKeyPolicy { limits: false } => f.write_str("leave the use of the key to IAM")?,
            Step::EnableKeyRotation { days } => write!(f, "rotate the key every {days} days")?,
            Step::CreateBucket { region, .. } => write!(f, "create bucket {} in {region}", self.bucket)?,
            Step::BlockPublicAccess => f.write_str("block public access, all four ways")?,
            Step::EnforceOwnership => f.write_str("make the bucket owner own every object (ACLs off)")?,
            Step::EncryptByDefault { .. } => {
                f.write_str("encrypt by default with SSE-KMS under our key, bucket key on")?;
            }
            Step::EnableVersioning => f.write_str("enable versioning")?,
            Step::PutBucketPolicy { .. } => f.write_str("put our denials into the bucket policy")?,
            Step::PutLifecycle(lifecycle) => f.write_str(&split(lifecycle).0)?,
            Step::LockObjects(lock) => write!(f, "lock new versions: {lock}")?,
            Step::LogAccess(log) => write!(f, "deliver access logs {log}")?,
            Step::SendEvents(_) => f.write_str("send events to EventBridge")?,
            Step::AllowOrigins(_) => f.write_str("let pages of the named origins use presigned URLs (CORS)")?,
            Step::TagBucket { set, takes_over: true, .. } => {
                write!(f, "take over a bucket that was not strongroom's and holds objects: tag it {}", listed(set))?;
            }
            Step::TagBucket { set, .. } => write!(f, "tag the bucket {}", listed(set))?,
        }
        self.was.as_ref().map_or(Ok(()), |was| write!(f, " (now: {was})"))
    }
}

/// Tags as an operator reads them.
pub(in crate::provision) fn listed(tags: &BTreeMap<String, String>) -> String {
    tags.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// One statement of a policy, under its name; long ones are cut.
pub(super) fn side(sid: Sid, statement: &str) -> String {
    let (told, cut) = match statement.char_indices().nth(SIDE_CHARS) {
        Some((end, _)) => (&statement[..end], "…"),
        None => (statement, ""),
    };
    format!("{}: {told}{cut}", sid.as_str())
}

/// What the rules of ours say, and how many others there are.
fn split(lifecycle: &Lifecycle) -> (String, usize) {
    let (ours, others): (Vec<_>, Vec<_>) =
        lifecycle.rules.iter().partition(|rule| matches!(rule.id(), Some(LIFECYCLE_RULE_ID | TIERING_RULE_ID)));
    (ours.into_iter().map(describe).collect::<Vec<_>>().join(", "), others.len())
}

fn kept_too(count: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("; 1 {what} of others is kept"),
        many => format!("; {many} {what}s of others are kept"),
    }
}

#[cfg(test)]
mod tests {
    use crate::provision::change::{Change, Kind};
    use crate::provision::observe::{BucketSettings, ObservedBucket};
    use crate::provision::plan::plan_bucket;
    use crate::provision::plan::tests::{all_options, with_options};
    use crate::provision::spec::Mode;

    fn everything() -> Vec<Change> {
        plan_bucket(&with_options(all_options()), &ObservedBucket::Absent, Mode::Create).unwrap().changes
    }

    #[test]
    fn every_change_says_what_it_makes_of_what_and_why_in_one_sentence() {
        let changes = everything();
        assert_eq!(changes.len(), 12);
        for change in changes {
            assert!(change.what().starts_with("bucket ml"), "{}", change.what());
            assert_eq!((change.kind(), change.from()), (Kind::Create, None));
            assert!(!change.to().is_empty() && !change.to().contains('\n'), "{}", change.to());
            let why = change.why();
            assert!(why.ends_with('.') && why.matches('.').count() == 1 && why.len() < 120, "{why}");
        }
    }

    #[test]
    fn plan_reads_as_what_from_to() {
        let told: Vec<(String, String)> = everything().into_iter().map(|change| (change.what(), change.to())).collect();
        let told = |what: &str| told.iter().find(|(name, _)| name == what).map(|(_, to)| to.as_str()).unwrap();
        assert_eq!(told("bucket ml"), "in eu-west-1, owned by its account alone, with Object Lock");
        assert_eq!(
            told("bucket ml: Object Lock"),
            "governance for 30 days; Object Lock itself can never be turned off"
        );
        assert_eq!(
            told("bucket ml: access logs"),
            "to s3://logs/ml/; the policy of logs must allow logging.s3.amazonaws.com, and is not touched"
        );
        assert_eq!(told("bucket ml: event notifications"), "EventBridge");
        assert_eq!(told("bucket ml: CORS rules"), "https://models.example");
        assert_eq!(
            told("bucket ml: lifecycle rules"),
            "abort unfinished multipart uploads after 7 days, store objects in Intelligent-Tiering"
        );
    }

    #[test]
    fn what_is_left_alone_is_told_in_the_same_words() {
        let unset = ObservedBucket::Present(Box::new(BucketSettings::unset()));
        let left = plan_bucket(&with_options(all_options()), &unset, Mode::Verify).unwrap().left_alone;
        let due = plan_bucket(&with_options(all_options()), &unset, Mode::Repair).unwrap().changes;
        assert_eq!(left.len(), due.len());
        for (left, due) in left.iter().zip(&due) {
            assert_eq!((Some(left.setting), &left.wanted, left.why), (due.setting(), &due.to(), due.why()));
            assert_eq!(left.was, "not set");
        }
    }
}
