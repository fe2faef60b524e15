//! Which versions of a model are kept when nobody asks for them.

use serde::{Deserialize, Serialize};

/// What the rules of a model keep; whatever no rule keeps goes to the trash.
///
/// Versions that an alias names, those on legal hold and the highest one are kept whatever the rules say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Keep this many of the highest numbers, 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Keep what was published less than this many days ago, 1 to 36,500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
}
