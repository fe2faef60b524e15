//! The rows that a change is about, read inside its transaction, and why a change is not made.

use sqlx::AnyConnection;

use super::Error;
use super::listing::{Deletion, labels, model_ref, number, state, text};
use crate::domain::{Alias, Labels, ModelRef, Timestamp, VersionNumber, VersionState};

/// Most aliases or numbers that a refusal names.
pub(super) const NAMED: i64 = 10;

/// Why a change was not made; nothing is different then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// There is no such model.
    NoModel,
    /// There is no such version, or not yet, or not any more.
    NoVersion,
    /// The model is in the trash.
    ModelTrashed {
        /// Until when it can be restored.
        until: Timestamp,
    },
    /// The version is in the trash.
    VersionTrashed {
        /// Until when it can be restored; none when its purge has begun.
        until: Option<Timestamp>,
    },
    /// Aliases name it.
    Aliased(Vec<(Alias, VersionNumber)>),
    /// These versions are on legal hold.
    Held(Vec<VersionNumber>),
    /// A version is being published.
    Busy,
    /// It was changed meanwhile, or was never as the caller thinks.
    OtherRevision(i64),
}

/// What comes of a change that may be refused.
pub type Outcome<T> = Result<Result<T, Objection>, Error>;

/// A model, as a change finds it.
pub(super) struct ModelHead {
    pub(super) id: i64,
    pub(super) model: ModelRef,
    pub(super) deletion: Option<Deletion>,
    pub(super) description: String,
    pub(super) labels: Labels,
    /// As stored; empty when there are none.
    pub(super) retention: String,
}

/// A version, as a change finds it.
pub(super) struct VersionHead {
    pub(super) id: i64,
    pub(super) model: ModelHead,
    pub(super) number: VersionNumber,
    pub(super) state: VersionState,
    pub(super) deletion: Option<Deletion>,
    pub(super) hold: String,
    pub(super) revision: i64,
}

impl ModelHead {
    /// The model, in the trash or not.
    pub(super) async fn find(tx: &mut AnyConnection, model: &ModelRef) -> Outcome<Self> {
        let row = sqlx::query(
            "select m.id, n.name as namespace, m.name as model, m.description, m.labels, \
             coalesce(m.retention, '') as retention, coalesce(m.deleted_at, -1) as deleted_at, \
             coalesce(m.deleted_by, '') as deleted_by, coalesce(m.purge_at, -1) as purge_at \
             from models m join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2 and m.last_number > 0 and m.purged_at is null",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .fetch_optional(tx)
        .await
        .map_err(Error::during("look a model up"))?;
        let Some(row) = row else { return Ok(Err(Objection::NoModel)) };
        Ok(Ok(Self {
            id: number(&row, "id")?,
            model: model_ref(&row)?,
            deletion: Deletion::read(&row)?,
            description: text(&row, "description")?,
            labels: labels(&row)?,
            retention: text(&row, "retention")?,
        }))
    }

    /// The model, unless it is in the trash.
    pub(super) async fn live(tx: &mut AnyConnection, model: &ModelRef) -> Outcome<Self> {
        let found = Self::find(tx, model).await?;
        Ok(found.and_then(|head| match &head.deletion {
            Some(deletion) => Err(Objection::ModelTrashed { until: deletion.purge_at }),
            None => Ok(head),
        }))
    }
}

impl VersionHead {
    /// The version of a live model, in the trash or not; one that is not published yet, or purged, is not there.
    pub(super) async fn find(tx: &mut AnyConnection, model: &ModelRef, version: VersionNumber) -> Outcome<Self> {
        let model = match ModelHead::live(&mut *tx, model).await? {
            Ok(model) => model,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let row = sqlx::query(
            "select id, state, revision, coalesce(hold, '') as hold, coalesce(deleted_at, -1) as deleted_at, \
             coalesce(deleted_by, '') as deleted_by, coalesce(purge_at, -1) as purge_at \
             from versions where model_id = $1 and number = $2 and state in ('published', 'trashed', 'purging')",
        )
        .bind(model.id)
        .bind(version.get())
        .fetch_optional(tx)
        .await
        .map_err(Error::during("look a version up"))?;
        let Some(row) = row else { return Ok(Err(Objection::NoVersion)) };
        Ok(Ok(Self {
            id: number(&row, "id")?,
            model,
            number: version,
            state: state(&row)?,
            deletion: Deletion::read(&row)?,
            hold: text(&row, "hold")?,
            revision: number(&row, "revision")?,
        }))
    }

    /// As [`Self::find`], but one in the trash is refused.
    pub(super) async fn published(tx: &mut AnyConnection, model: &ModelRef, version: VersionNumber) -> Outcome<Self> {
        let found = Self::find(tx, model, version).await?;
        Ok(found.and_then(|head| if head.state == VersionState::Published { Ok(head) } else { Err(head.trashed()) }))
    }

    /// That it is in the trash, or on its way out of it.
    pub(super) fn trashed(&self) -> Objection {
        let until = self.deletion.as_ref().filter(|_| self.state == VersionState::Trashed);
        Objection::VersionTrashed { until: until.map(|deletion| deletion.purge_at) }
    }
}

/// Aliases of a model, those of one version or all, as far as a refusal names them.
pub(super) async fn aliases(
    tx: &mut AnyConnection,
    model: i64,
    version: Option<VersionNumber>,
) -> Result<Vec<(Alias, VersionNumber)>, Error> {
    let rows = sqlx::query(
        "select name, number from aliases where model_id = $1 and ($2 < 0 or number = $2) order by name limit $3",
    )
    .bind(model)
    .bind(version.map_or(-1, VersionNumber::get))
    .bind(NAMED)
    .fetch_all(tx)
    .await
    .map_err(Error::during("look aliases up"))?;
    rows.iter()
        .map(|row| Ok((super::error::stored("alias", &text(row, "name")?)?, super::listing::version_number(row)?)))
        .collect()
}
