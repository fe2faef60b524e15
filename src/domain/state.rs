//! Where a version is in its life.

use serde::Serialize;
use utoipa::ToSchema;

/// State of a version: it goes forward only, but for a restore from the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// Has its number and waits for its manifest.
    Publishing,
    /// Waits for the numbers below it.
    Described,
    /// Visible.
    Published,
    /// Hidden; can be restored.
    Trashed,
    /// Its bytes are going.
    Purging,
    /// Nothing is left but its number.
    Purged,
}

impl VersionState {
    /// The form that is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publishing => "publishing",
            Self::Described => "described",
            Self::Published => "published",
            Self::Trashed => "trashed",
            Self::Purging => "purging",
            Self::Purged => "purged",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Publishing, Self::Described, Self::Published, Self::Trashed, Self::Purging, Self::Purged];
        all.into_iter().find(|state| state.as_str() == text)
    }
}
