//! Into the trash and out of it: one transaction each, with its entry for the journal.

use sqlx::AnyConnection;

use super::audit::record;
use super::heads::{ModelHead, NAMED, Objection, Outcome, VersionHead, aliases};
use super::listing::{Deletion, Page, VersionRow, number, version_number};
use super::versions::version_select;
use super::{Catalog, Error};
use crate::domain::{Actor, Event, ModelRef, Timestamp, VersionNumber, VersionState};

const TRASH: &str = "move a version to the trash";
const TRASH_MODEL: &str = "move a model to the trash";

impl Catalog {
    /// Puts a version into the trash; one that is there stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when an alias names it or it is on hold.
    pub async fn trash_version(
        &self,
        model: &ModelRef,
        version: VersionNumber,
        deletion: Deletion,
        by: &Actor,
    ) -> Outcome<(Deletion, VersionState)> {
        let fail = || Error::during(TRASH);
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match VersionHead::find(&mut tx, model, version).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(there) = head.deletion {
            return Ok(Ok((there, head.state)));
        }
        if let Some(refusal) = kept(&mut tx, &head).await? {
            return Ok(Err(refusal));
        }
        move_to_trash(&mut tx, &head, &deletion, by).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok((deletion, VersionState::Trashed)))
    }

    /// Puts a version into the trash because the rules of its model say so, if they still do; true when it went.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn trash_by_rules(
        &self,
        model: &ModelRef,
        version: VersionNumber,
        rules: &str,
        deletion: &Deletion,
        by: &Actor,
    ) -> Result<bool, Error> {
        let fail = || Error::during(TRASH);
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let Ok(head) = VersionHead::published(&mut tx, model, version).await? else { return Ok(false) };
        let is_highest =
            sqlx::query("select id from versions where model_id = $1 and number > $2 and state = 'published' limit 1")
                .bind(head.model.id)
                .bind(version.get())
                .fetch_optional(&mut *tx)
                .await
                .map_err(fail())?
                .is_none();
        if is_highest || head.model.retention != rules || kept(&mut tx, &head).await?.is_some() {
            return Ok(false);
        }
        move_to_trash(&mut tx, &head, deletion, by).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Takes a version out of the trash; one that is not in it stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when its purge has begun.
    pub async fn restore_version(&self, model: &ModelRef, version: VersionNumber, by: &Actor) -> Outcome<()> {
        let fail = || Error::during("take a version out of the trash");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match VersionHead::find(&mut tx, model, version).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match head.state {
            VersionState::Published => return Ok(Ok(())),
            VersionState::Trashed => {}
            _ => return Ok(Err(head.trashed())),
        }
        sqlx::query(
            "update versions set state = 'published', deleted_at = null, deleted_by = null, purge_at = null \
             where id = $1",
        )
        .bind(head.id)
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        let event = Event::VersionRestored { model: head.model.model, number: version };
        record(&mut tx, by, &event).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    /// Puts a model into the trash with all its versions; one that is there stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when it has an alias, a version on hold, or one that is being published.
    pub async fn trash_model(&self, model: &ModelRef, deletion: Deletion, who: &Actor) -> Outcome<Deletion> {
        let fail = || Error::during(TRASH_MODEL);
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match ModelHead::find(&mut tx, model).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(there) = head.deletion {
            return Ok(Ok(there));
        }
        let aliased = aliases(&mut tx, head.id, None).await?;
        if !aliased.is_empty() {
            return Ok(Err(Objection::Aliased(aliased)));
        }
        let held = held(&mut tx, head.id).await?;
        if !held.is_empty() {
            return Ok(Err(Objection::Held(held)));
        }
        let unfinished =
            sqlx::query("select id from versions where model_id = $1 and state in ('publishing', 'described') limit 1")
                .bind(head.id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(fail())?;
        if unfinished.is_some() {
            return Ok(Err(Objection::Busy));
        }
        sqlx::query("update models set deleted_at = $2, deleted_by = $3, purge_at = $4 where id = $1")
            .bind(head.id)
            .bind(deletion.at.millis())
            .bind(&deletion.by)
            .bind(deletion.purge_at.millis())
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        let Deletion { at, by, purge_at } = deletion.clone();
        record(&mut tx, who, &Event::ModelTrashed { model: head.model, at, by, purge_at }).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(deletion))
    }

    /// Takes a model out of the trash; one that is not in it stays as it is.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when its time is over.
    pub async fn restore_model(&self, model: &ModelRef, by: &Actor) -> Outcome<()> {
        let fail = || Error::during("take a model out of the trash");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match ModelHead::find(&mut tx, model).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(deletion) = head.deletion else { return Ok(Ok(())) };
        // A purge that has begun leaves 0 here, so that no clock that is behind brings half a model back.
        if deletion.purge_at <= Timestamp::now() {
            return Ok(Err(Objection::ModelTrashed { until: deletion.purge_at }));
        }
        sqlx::query("update models set deleted_at = null, deleted_by = null, purge_at = null where id = $1")
            .bind(head.id)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        record(&mut tx, by, &Event::ModelRestored { model: head.model }).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    /// Versions of a live model that are in the trash, highest number first, from below `before`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn trashed_versions(
        &self,
        model: &ModelRef,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<VersionRow, VersionNumber>, Error> {
        let rows = sqlx::query(version_select!(
            "v.state in ('trashed', 'purging')",
            "and v.number < $3 order by v.number desc limit $4"
        ))
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .bind(before.map_or(i64::MAX, VersionNumber::get))
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list the trash"))?;
        let items = rows.iter().map(VersionRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |version| version.number))
    }
}

/// Why a published version may not go.
async fn kept(tx: &mut AnyConnection, head: &VersionHead) -> Result<Option<Objection>, Error> {
    let aliased = aliases(tx, head.model.id, Some(head.number)).await?;
    if !aliased.is_empty() {
        return Ok(Some(Objection::Aliased(aliased)));
    }
    Ok((!head.hold.is_empty()).then(|| Objection::Held(vec![head.number])))
}

async fn held(tx: &mut AnyConnection, model: i64) -> Result<Vec<VersionNumber>, Error> {
    let rows = sqlx::query(
        "select number from versions where model_id = $1 and hold is not null and state <> 'purged' \
         order by number limit $2",
    )
    .bind(model)
    .bind(NAMED)
    .fetch_all(tx)
    .await
    .map_err(Error::during(TRASH_MODEL))?;
    rows.iter().map(version_number).collect()
}

async fn move_to_trash(
    tx: &mut AnyConnection,
    head: &VersionHead,
    deletion: &Deletion,
    who: &Actor,
) -> Result<(), sqlx::Error> {
    sqlx::query("update versions set state = 'trashed', deleted_at = $2, deleted_by = $3, purge_at = $4 where id = $1")
        .bind(head.id)
        .bind(deletion.at.millis())
        .bind(&deletion.by)
        .bind(deletion.purge_at.millis())
        .execute(&mut *tx)
        .await?;
    let Deletion { at, by, purge_at } = deletion.clone();
    let event = Event::VersionTrashed { model: head.model.model.clone(), number: head.number, at, by, purge_at };
    record(tx, who, &event).await
}

impl Catalog {
    /// Where a version is in its life, and from when on it may be purged; none when its number was never given.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn version_standing(
        &self,
        model: &ModelRef,
        version: VersionNumber,
    ) -> Result<Option<(VersionState, Timestamp)>, Error> {
        let row = sqlx::query(
            "select v.state, coalesce(v.purge_at, -1) as purge_at from versions v \
             join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2 and v.number = $3",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .bind(version.get())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look a version up"))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((super::listing::state(&row)?, Timestamp::from_millis(number(&row, "purge_at")?))))
    }
}
