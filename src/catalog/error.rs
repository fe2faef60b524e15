//! What can go wrong with the catalog.

use super::Refusal;

/// A failure of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or did not answer.
    #[error("could not {action}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds what this program would never write.
    #[error("the catalog holds an invalid {what}: {value:?}")]
    Corrupt {
        /// The kind of value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// The schema could not be brought up to date.
    #[error("could not bring the catalog's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The rows do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// For `map_err`: says what was being done.
    pub(super) fn during(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Database { source, .. } => matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)),
            Self::Corrupt { .. } | Self::Migrate(_) | Self::Refused(_) => false,
        }
    }
}

/// Reads a stored text through the same door as one from outside.
pub(super) fn stored<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::Corrupt { what, value: text.to_owned() })
}
