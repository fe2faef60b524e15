//! What the service does, a file per verb. `&Caller` is the first argument of each, so that nobody forgets who asks.
//!
//! The registry does not know that HTTP exists: bytes come in as a stream of [`Incoming`] and go out as a stream, and
//! a client's place is a [`Seat`]. Bytes are in S3 and checked before a row refers to them, and no
//! call to S3 happens inside a transaction.

mod admit;
mod aliases;
mod audit;
mod audit_verification;
mod describe;
mod download;
mod draft_files;
mod drafts;
mod error;
mod grants;
mod inspection;
mod journal;
mod live;
mod models;
mod namespaces;
mod outputs;
mod overrides;
mod posture;
mod publish;
mod publish_draft;
mod rebuild;
mod recover;
mod removal;
mod replay;
mod retention;
mod sweep;
mod take_in;
mod tokens;
mod trash;
mod uploads;
mod urls;
mod verification;
mod verifier;
mod versions;

// The protocols see rows, places and failures through here, and name neither the catalog nor the store.
pub use crate::access::{Action, Known, Verdict};
pub use crate::catalog::{
    AliasMove, AliasRow, AuditFilter, AuditOrder, AuditRow, Deletion, DraftRow, Error as CatalogError, FileRow,
    GrantRow, ModelRow, NamespaceChange, NamespaceRow, Refusal, Said, SaidOfModel, TokenRow, UploadRow, VersionRow,
};
pub use crate::provision::{ClaimId, Effect, Gauges, InvalidOverride, Override, Report, Status};
pub use crate::store::{Error as StoreError, ListedPart, PresignedPart, PresignedParts, Seat};
pub use audit::AuditGauges;
pub use audit_verification::{AuditFinding, AuditFindingKind, AuditReport, verify_audit};
pub use download::{Download, Wanted, content_disposition};
pub use drafts::{DraftFile, DraftState, DraftWish};
pub use error::{Error, InputError};
pub use grants::{Place, Question};
pub use inspection::{BucketFinding, FindingKind, InspectionOptions, InspectionProgress, InspectionReport, Inspector};
pub use journal::JournalLag;
pub use overrides::{overrides_in_force, record_override, refresh_overrides};
pub use posture::Readiness;
pub use publish::{PublishWish, Published};
pub use publish_draft::DraftPublication;
pub use rebuild::{Loss, LossKind, RebuildError, Rebuilt, rebuild};
pub use recover::Recovered;
pub use replay::IdempotencyKey;
pub use retention::Foreseen;
pub use sweep::{Removed, SweepError, SweepGauges, SweepOptions, SweepReport, Sweeper, Sweeps};
pub use take_in::{Incoming, IncomingStream};
pub use tokens::{NewToken, TokenWish};
pub use uploads::{Declaration, Declared, PartWish};
pub use urls::FileUrl;
pub use verification::VerificationGauges;

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::access::{AuthenticationError, Authenticator, Caller, Seal};
use crate::catalog::Catalog;
use crate::config::Limits;
use crate::domain::{DraftId, Origin, UploadId};

use self::audit::Trail;
use self::live::Live;
use self::verification::Verification;
use crate::provision::{Outputs, Posture};
use crate::store::Store;

/// The service, without its protocol; cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Parts>,
    /// Drafts that a request of this process is working on: recovery leaves them alone.
    live: Live<DraftId>,
    /// Files that a request of this process streams or copies into a draft: recovery leaves them alone.
    live_uploads: Live<UploadId>,
    tasks: TaskTracker,
    /// Turns of uploads to have their bodies read.
    turns: Arc<Semaphore>,
    /// Rung when the journal has something to write.
    journal: Arc<Notify>,
    /// What the verifier remembers.
    verification: Arc<Verification>,
    /// What waits to be appended to the audit log.
    trail: Arc<Trail>,
}

/// What a [`Registry`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who is calling.
    pub authenticator: Authenticator,
    /// The rows.
    pub catalog: Catalog,
    /// The bytes.
    pub store: Store,
    /// Row id of the bucket and key that new bytes go to.
    pub vault: i64,
    /// How the bucket stands, and whether new bytes may be taken.
    pub posture: Posture,
    /// What the service takes.
    pub limits: Limits,
    /// Where things are, for operators.
    pub outputs: Outputs,
    /// What the sweeper of this process did.
    pub sweeps: Sweeps,
    /// For cursors over what a caller may not see.
    pub seal: Seal,
}

impl Registry {
    /// A registry of these parts.
    pub fn new(parts: Parts) -> Self {
        let turns = Arc::new(Semaphore::new(parts.limits.uploads));
        Self {
            inner: Arc::new(parts),
            live: Live::default(),
            live_uploads: Live::default(),
            tasks: TaskTracker::new(),
            turns,
            journal: Arc::default(),
            verification: Arc::default(),
            trail: Arc::default(),
        }
    }

    /// The caller who presents this token; none when it is not valid.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn authenticate(&self, presented: &str, origin: Origin) -> Result<Option<Caller>, Error> {
        self.inner.authenticator.authenticate(presented, origin).await.map_err(|error| match error {
            AuthenticationError::IssuerAway => Error::IssuerAway,
            AuthenticationError::Catalog(error) => error.into(),
        })
    }

    /// Waits until every upload that goes on without its request has ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}
