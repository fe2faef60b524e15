//! One step from the account as it is to the account as it should be, told as a plan tells it: what, from, to, why.

mod step;
mod words;

use serde::Serialize;

use super::compare::Clash;
use super::observe::Setting;

pub use self::step::{Amiss, Step};
pub(super) use self::words::listed;

/// A change to the key or the bucket; each is one idempotent call (but `CreateKey`, which nothing can make so).
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    bucket: String,
    step: Step,
    was: Option<String>,
}

/// Whether a change makes something, or alters what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was never set.
    Create,
    /// It is set to something else.
    Update,
}

/// What differs from the desired state, and is left alone by the mode of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which setting.
    pub setting: Setting,
    /// What it is now, or why that cannot be known.
    pub was: String,
    /// What it should be.
    pub wanted: String,
    /// What goes wrong as long as it differs.
    pub why: &'static str,
}

impl Change {
    /// A step to be taken for `bucket`; `was` is what is set now, if anything.
    pub fn new(bucket: impl Into<String>, step: Step, was: Option<String>) -> Self {
        Self { bucket: bucket.into(), step, was }
    }

    /// The call to make.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Whether it makes or alters.
    pub fn kind(&self) -> Kind {
        if self.was.is_none() { Kind::Create } else { Kind::Update }
    }

    /// What it changes: `kms key`, `bucket ml`, `bucket ml: versioning` …
    pub fn what(&self) -> String {
        match (&self.step, self.setting()) {
            (Step::CreateKey, _) => "kms key".to_owned(),
            (Step::CreateAlias { alias, .. }, _) => format!("kms alias {alias}"),
            (_, None) => format!("bucket {}", self.bucket),
            (_, Some(setting)) if setting.is_of_key() => format!("kms key: {}", setting.name()),
            (_, Some(setting)) => format!("bucket {}: {}", self.bucket, setting.name()),
        }
    }

    /// What is set now; none when nothing is.
    pub fn from(&self) -> Option<String> {
        let was = self.was.as_ref()?;
        let theirs = self.step.replaced().iter().map(|Clash { sid, theirs, .. }| words::side(*sid, theirs));
        Some(std::iter::once(was.clone()).chain(theirs).collect::<Vec<_>>().join("; "))
    }

    /// The setting that it changes; none for what makes the key or the bucket itself.
    pub fn setting(&self) -> Option<Setting> {
        self.step.setting()
    }

    /// The IAM actions that it needs.
    pub fn actions(&self) -> &'static str {
        self.step.actions()
    }

    /// The same as something that is not done; none for what makes the key or the bucket itself.
    pub(super) fn left_alone(&self) -> Option<Difference> {
        Some(Difference {
            setting: self.setting()?,
            was: self.from().unwrap_or_else(|| "not set".to_owned()),
            wanted: self.to(),
            why: self.why(),
        })
    }
}
