//! The catalog: rows about models, versions and objects. The only module that names the database library.
//!
//! The statements are written once for SQLite and PostgreSQL: `bigint` and `text` only, `$n` parameters, times in
//! milliseconds, and constraint names that mean something. SQLite has one writer connection, which begins every
//! transaction as a writer, and a pool of readers. No call to S3 happens while a transaction is open.

mod aliases;
mod drafts;
mod error;
mod intact;
mod leases;
mod listing;
mod missing;
mod open;
mod outbox;
mod overrides;
mod publishing;
mod rebuild;
mod replay;
mod tokens;
mod vaults;
mod versions;

pub use aliases::{AliasMove, AliasOutcome, AliasRow, MAX_ALIASES, Standing};
pub use drafts::DraftRow;
pub use error::Error;
pub use intact::PinnedObject;
pub use leases::Lease;
pub use listing::{FileRow, Page, VersionRow};
pub use missing::Gap;
pub use overrides::OverrideRow;
pub use publishing::{NewObject, NewVersion, Unfinished};
pub use rebuild::{Extent, FoundVersion};
pub use tokens::TokenRow;

use sqlx::AnyPool;

/// A handle on the catalog; cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    write: AnyPool,
    read: AnyPool,
    id: String,
}

impl Catalog {
    /// The id that the bucket's claim must name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the catalog answers.
    ///
    /// # Errors
    /// [`Error`] when it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("select 1").execute(&self.read).await.map_err(Error::during("ping the catalog"))?;
        Ok(())
    }

    /// Ends all connections; what was committed stays.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
