//! Which versions of a model are kept when nobody asks for them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

const DAY: Duration = Duration::from_hours(24);

/// What the rules of a model keep; whatever no rule keeps goes to the trash.
///
/// Versions that an alias names, those on legal hold and the highest one are kept whatever the rules say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with keep_last, keep_days or both")]
pub struct Retention {
    /// Keep this many of the highest numbers, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub keep_last: Option<u32>,
    /// Keep what was published less than this many days ago, 1 to 36,500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub keep_days: Option<u32>,
}

/// Why rules are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetention {
    /// Nothing is said.
    #[error(
        "retention rules say `keep_last`, `keep_days` or both: without either all but the highest version would go"
    )]
    Empty,
    /// The count is out of bounds.
    #[error("`keep_last` is 1 to 1000000, not {0}")]
    Last(u32),
    /// The age is out of bounds.
    #[error("`keep_days` is 1 to 36500, not {0}")]
    Days(u32),
}

/// Why a version stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptBecause {
    /// It is the highest.
    Highest,
    /// An alias names it.
    Aliased,
    /// It is on legal hold.
    Held,
    /// It is one of the last that the rules keep.
    KeepLast,
    /// It is younger than the rules say.
    KeepDays,
}

/// What the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How many published versions of the model are higher.
    pub higher: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// Whether an alias names it.
    pub aliased: bool,
    /// Whether it is on legal hold.
    pub held: bool,
}

impl Retention {
    /// The rules, if they are ones.
    ///
    /// # Errors
    /// [`InvalidRetention`] says which bound they break.
    pub fn checked(self) -> Result<Self, InvalidRetention> {
        match self {
            Self { keep_last: None, keep_days: None } => Err(InvalidRetention::Empty),
            Self { keep_last: Some(last), .. } if !(1..=1_000_000).contains(&last) => Err(InvalidRetention::Last(last)),
            Self { keep_days: Some(days), .. } if !(1..=36_500).contains(&days) => Err(InvalidRetention::Days(days)),
            rules => Ok(rules),
        }
    }

    /// Every reason for which a version stays; none: it goes.
    pub fn keeps(self, version: Standing, now: Timestamp) -> Vec<KeptBecause> {
        let last = self.keep_last.is_some_and(|last| version.higher < u64::from(last));
        let young = self.keep_days.is_some_and(|days| version.published_at.plus(DAY * days) > now);
        let reasons = [
            (version.higher == 0, KeptBecause::Highest),
            (version.aliased, KeptBecause::Aliased),
            (version.held, KeptBecause::Held),
            (last, KeptBecause::KeepLast),
            (young, KeptBecause::KeepDays),
        ];
        reasons.into_iter().filter_map(|(holds, why)| holds.then_some(why)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// A small generator: the same histories in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            u32::try_from(self.0 % u64::from(bound)).unwrap()
        }

        fn rules(&mut self) -> Retention {
            let mut some = |bound| (self.below(3) > 0).then(|| 1 + self.below(bound));
            Retention { keep_last: some(12), keep_days: some(40) }
        }

        /// Newest first; times are not always in the order of numbers.
        fn model(&mut self) -> Vec<Standing> {
            let versions = self.below(30);
            (0..versions)
                .map(|higher| Standing {
                    higher: u64::from(higher),
                    published_at: NOW.minus(DAY * self.below(50) + Duration::from_secs(self.below(86_400).into())),
                    aliased: self.below(6) == 0,
                    held: self.below(9) == 0,
                })
                .collect()
        }
    }

    fn kept(rules: Retention, model: &[Standing], now: Timestamp) -> Vec<bool> {
        model.iter().map(|version| !rules.keeps(*version, now).is_empty()).collect()
    }

    #[test]
    fn the_highest_the_aliased_and_the_held_stay_whatever_the_rules_say() {
        let mut random = Random(7);
        for _ in 0..2_000 {
            let (rules, model) = (random.rules(), random.model());
            for version in model {
                let reasons = rules.keeps(version, NOW);
                assert_eq!(version.higher == 0, reasons.contains(&KeptBecause::Highest));
                assert_eq!(version.aliased, reasons.contains(&KeptBecause::Aliased));
                assert_eq!(version.held, reasons.contains(&KeptBecause::Held));
            }
        }
    }

    #[test]
    fn a_version_that_no_reason_keeps_is_old_and_not_among_the_last() {
        let mut random = Random(8);
        for _ in 0..2_000 {
            let (rules, model) = (random.rules(), random.model());
            for version in model.iter().filter(|version| rules.keeps(**version, NOW).is_empty()) {
                assert!(rules.keep_last.is_none_or(|last| version.higher >= u64::from(last)));
                let age = NOW.millis() - version.published_at.millis();
                assert!(rules.keep_days.is_none_or(|days| age >= i64::from(days) * 86_400_000));
            }
        }
    }

    #[test]
    fn another_rule_and_a_larger_number_never_take_anything_away() {
        let mut random = Random(9);
        for _ in 0..2_000 {
            let (rules, model) = (random.rules(), random.model());
            let more = Retention {
                keep_last: rules.keep_last.map(|last| last + 1).or(Some(1)),
                keep_days: rules.keep_days.map(|days| days + 1).or(Some(1)),
            };
            let (fewer, more) = (kept(rules, &model, NOW), kept(more, &model, NOW));
            assert!(fewer.iter().zip(&more).all(|(fewer, more)| !fewer || *more));
        }
    }

    #[test]
    fn applying_the_rules_twice_at_one_moment_takes_nothing_more() {
        let mut random = Random(10);
        for _ in 0..2_000 {
            let (rules, model) = (random.rules(), random.model());
            let mut left: Vec<Standing> = model.into_iter().filter(|v| !rules.keeps(*v, NOW).is_empty()).collect();
            for (higher, version) in left.iter_mut().enumerate() {
                version.higher = higher as u64;
            }
            assert!(kept(rules, &left, NOW).iter().all(|kept| *kept));
        }
    }

    #[test]
    fn time_only_takes_away() {
        let mut random = Random(11);
        for _ in 0..2_000 {
            let (rules, model) = (random.rules(), random.model());
            let later = NOW.plus(DAY * random.below(60));
            let (before, after) = (kept(rules, &model, NOW), kept(rules, &model, later));
            assert!(after.iter().zip(&before).all(|(after, before)| !after || *before));
        }
    }

    #[test]
    fn rules_that_say_nothing_or_too_much_are_none() {
        let of = |keep_last, keep_days| Retention { keep_last, keep_days }.checked();
        assert_eq!(of(None, None), Err(InvalidRetention::Empty));
        assert_eq!(of(Some(0), None), Err(InvalidRetention::Last(0)));
        assert_eq!(of(Some(1_000_001), Some(1)), Err(InvalidRetention::Last(1_000_001)));
        assert_eq!(of(None, Some(0)), Err(InvalidRetention::Days(0)));
        assert_eq!(of(Some(1), Some(36_501)), Err(InvalidRetention::Days(36_501)));
        assert!(of(Some(1), None).is_ok() && of(None, Some(36_500)).is_ok());
    }
}
