//! The catalog: rows about models, versions and objects. The only module that names the database library.
//!
//! The statements are written once for SQLite and PostgreSQL: `bigint` and `text` only, `$n` parameters, times in
//! milliseconds, and constraint names that mean something. SQLite has one writer connection, which begins every
//! transaction as a writer, and a pool of readers. No call to S3 happens while a transaction is open.

mod aliases;
mod audit;
mod condemned;
mod describe;
mod draft_files;
mod drafts;
mod error;
mod expired;
mod grants;
mod heads;
mod idempotency;
mod intact;
mod leases;
mod listing;
mod missing;
mod models;
mod namespaces;
mod objects;
mod open;
mod outbox;
mod overrides;
mod publishing;
mod rebuild;
mod refusal;
mod replay;
mod showing;
mod stored;
mod tokens;
mod uploads;
mod vaults;
mod verification;
mod versions;
pub use aliases::{AliasMove, AliasOutcome, AliasRow, MAX_ALIASES};
pub use audit::{AUDIT_GUARDS, AuditFilter, AuditOrder, AuditRow};
pub use draft_files::Placed;
pub use drafts::DraftRow;
pub use error::Error;
pub use idempotency::{FirstAnswer, Once};
pub use intact::PinnedObject;
pub use leases::Lease;
pub use listing::{Deletion, FileRow, Page, VersionRow};
pub use namespaces::{NamespaceChange, NamespaceRow};
pub use objects::{Elsewhere, NewObject, ObjectPlace};
pub use overrides::OverrideRow;
pub use publishing::{DraftToPublish, NewVersion, Unfinished};
pub use rebuild::{Extent, FoundVersion};
pub use refusal::Refusal;
pub use showing::LostAlias;
mod purge;
mod sweep;
mod trash;
pub use condemned::ObjectRow;
pub use describe::{Said, SaidOfModel};
pub use expired::{ExpiredDraft, ExpiredUpload};
pub use grants::GrantRow;
pub use heads::{Objection, Outcome};
pub use missing::Gap;
pub use models::{ModelRow, ModelStanding};
pub use purge::{ModelPurge, Purge};
pub use stored::{Manifested, Scope, StoredObject};
pub use sweep::{Pin, Sighted, Sighting};
pub use tokens::{Rotation, TokenRow};
pub use uploads::{Room, UploadKind, UploadRow};
pub use verification::{Declared, Found, ObjectCounts, ObjectToCheck, Recorded};

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
