//! Aliases: movable names of versions, and where each has been.

use std::collections::HashMap;
use std::fmt::Write as _;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::audit;
use super::error::stored;
use super::heads::{ModelHead, Outcome};
use super::listing::{Page, number, text};
use super::{Catalog, Error};
use crate::domain::{Actor, Alias, AliasChange, Event, ModelRef, Timestamp, VersionNumber};

/// Most aliases of one model: a version's answer lists those that name it.
pub const MAX_ALIASES: i64 = 1_000;

/// An alias and the version that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRow {
    /// Its name.
    pub name: Alias,
    /// What it names.
    pub number: VersionNumber,
    /// When it was moved there.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// One move of an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasMove {
    /// Grows with each move of any alias.
    pub id: i64,
    /// Where it was; none when it was new.
    pub from: Option<VersionNumber>,
    /// Where it went; none when it was removed.
    pub to: Option<VersionNumber>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why, as was said.
    pub reason: String,
}

/// What became of the wish to move an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasOutcome {
    /// It is moved; the history and the outbox tell.
    Moved,
    /// It was there already, or was not there to be removed: nothing is written.
    Unchanged,
    /// It is not where it was believed to be, but here.
    Elsewhere(Option<VersionNumber>),
    /// There is no such version.
    NoVersion,
    /// The version is in the trash, until then at least; or on its way out of it, without a time.
    Deleted(Option<Timestamp>),
    /// The version's bytes are not given out, for this reason.
    Quarantined(String),
    /// The model has [`MAX_ALIASES`] already.
    TooMany,
}

/// Moves an alias, as part of a transaction; with the history row and the outbox entry.
///
/// Anything that stands against it is an outcome and leaves nothing behind, so that a larger transaction can go on.
pub(super) async fn move_alias(
    tx: &mut AnyConnection,
    model_id: i64,
    model: &ModelRef,
    change: &AliasChange,
    now: Timestamp,
    who: &Actor,
) -> Result<AliasOutcome, sqlx::Error> {
    let by = &who.principal;
    // The row of the model is what two movers of one alias wait for, also where readers and writers run side by side.
    sqlx::query("update models set last_number = last_number where id = $1").bind(model_id).execute(&mut *tx).await?;
    let row = sqlx::query("select number from aliases where model_id = $1 and name = $2")
        .bind(model_id)
        .bind(change.alias.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    let from = row.map(|row| row.try_get("number")).transpose()?.and_then(VersionNumber::new);
    if from == change.to {
        return Ok(AliasOutcome::Unchanged);
    }
    if !change.expected.holds(from) {
        return Ok(AliasOutcome::Elsewhere(from));
    }
    if let Some(refused) = refusal(&mut *tx, model_id, from, change.to).await? {
        return Ok(refused);
    }
    set(&mut *tx, model_id, &change.alias, change.to, now, by).await?;
    let made = AliasMove { id: 0, from, to: change.to, at: now, by: by.clone(), reason: change.reason.clone() };
    remember(&mut *tx, model_id, &change.alias, &made).await?;
    let event = Event::AliasMoved {
        model: model.clone(),
        alias: change.alias.clone(),
        from,
        to: change.to,
        reason: made.reason,
        at: now,
        by: made.by,
    };
    audit::record(tx, who, &event).await?;
    Ok(AliasOutcome::Moved)
}

/// What stands against an alias at this version.
async fn refusal(
    tx: &mut AnyConnection,
    model_id: i64,
    from: Option<VersionNumber>,
    to: Option<VersionNumber>,
) -> Result<Option<AliasOutcome>, sqlx::Error> {
    let Some(to) = to else { return Ok(None) };
    let row = sqlx::query("select state, quarantine, purge_at from versions where model_id = $1 and number = $2")
        .bind(model_id)
        .bind(to.get())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(Some(AliasOutcome::NoVersion)) };
    let state: String = row.try_get("state")?;
    let purge_at: Option<i64> = row.try_get("purge_at")?;
    match state.as_str() {
        "published" => {}
        "trashed" => return Ok(Some(AliasOutcome::Deleted(purge_at.map(Timestamp::from_millis)))),
        "purging" => return Ok(Some(AliasOutcome::Deleted(None))),
        _ => return Ok(Some(AliasOutcome::NoVersion)),
    }
    if let Some(reason) = row.try_get("quarantine")? {
        return Ok(Some(AliasOutcome::Quarantined(reason)));
    }
    if from.is_none() {
        let row = sqlx::query("select count(*) as aliases from aliases where model_id = $1")
            .bind(model_id)
            .fetch_one(tx)
            .await?;
        if row.try_get::<i64, _>("aliases")? >= MAX_ALIASES {
            return Ok(Some(AliasOutcome::TooMany));
        }
    }
    Ok(None)
}

/// Puts an alias where it belongs, whatever was there.
pub(super) async fn set(
    tx: &mut AnyConnection,
    model_id: i64,
    alias: &Alias,
    to: Option<VersionNumber>,
    at: Timestamp,
    by: &str,
) -> Result<(), sqlx::Error> {
    let Some(to) = to else {
        sqlx::query("delete from aliases where model_id = $1 and name = $2")
            .bind(model_id)
            .bind(alias.as_str())
            .execute(tx)
            .await?;
        return Ok(());
    };
    sqlx::query(
        "insert into aliases (model_id, name, number, updated_at, updated_by) values ($1, $2, $3, $4, $5) \
         on conflict (model_id, name) do update set number = excluded.number, updated_at = excluded.updated_at, \
         updated_by = excluded.updated_by",
    )
    .bind(model_id)
    .bind(alias.as_str())
    .bind(to.get())
    .bind(at.millis())
    .bind(by)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes a move into the history; its id is given here.
pub(super) async fn remember(
    tx: &mut AnyConnection,
    model_id: i64,
    alias: &Alias,
    made: &AliasMove,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into alias_history (model_id, name, from_number, to_number, moved_at, moved_by, reason) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(model_id)
    .bind(alias.as_str())
    .bind(made.from.map(VersionNumber::get))
    .bind(made.to.map(VersionNumber::get))
    .bind(made.at.millis())
    .bind(&made.by)
    .bind(&made.reason)
    .execute(tx)
    .await?;
    Ok(())
}

impl Catalog {
    /// Moves an alias of a model, unless the model is in the trash or is none.
    ///
    /// # Errors
    /// [`Error`] of the database; nothing is moved then.
    pub async fn change_alias(&self, model: &ModelRef, change: &AliasChange, by: &Actor) -> Outcome<AliasOutcome> {
        let fail = || Error::during("move an alias");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let model = match ModelHead::live(&mut tx, model).await? {
            Ok(head) => head,
            Err(objection) => return Ok(Err(objection)),
        };
        let outcome = move_alias(&mut tx, model.id, &model.model, change, Timestamp::now(), by).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(outcome))
    }

    /// Aliases of a model by name, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn aliases(
        &self,
        model_id: i64,
        after: Option<&Alias>,
        limit: usize,
    ) -> Result<Page<AliasRow, Alias>, Error> {
        let rows = sqlx::query(
            "select name, number, updated_at, updated_by from aliases where model_id = $1 and name > $2 \
             order by name limit $3",
        )
        .bind(model_id)
        .bind(after.map_or("", Alias::as_str))
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list aliases"))?;
        let items = rows.iter().map(AliasRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |alias| alias.name.clone()))
    }

    /// One alias of a model.
    ///
    /// # Errors
    /// As [`Self::aliases`].
    pub async fn alias(&self, model_id: i64, alias: &Alias) -> Result<Option<AliasRow>, Error> {
        let row =
            sqlx::query("select name, number, updated_at, updated_by from aliases where model_id = $1 and name = $2")
                .bind(model_id)
                .bind(alias.as_str())
                .fetch_optional(&self.read)
                .await
                .map_err(Error::during("look an alias up"))?;
        row.as_ref().map(AliasRow::read).transpose()
    }

    /// Moves of an alias, newest first, from before the one with the id `before`; also of one that was removed.
    ///
    /// # Errors
    /// As [`Self::aliases`].
    pub async fn alias_history(
        &self,
        model_id: i64,
        alias: &Alias,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<AliasMove, i64>, Error> {
        let rows = sqlx::query(
            "select id, from_number, to_number, moved_at, moved_by, reason from alias_history \
             where model_id = $1 and name = $2 and id < $3 order by id desc limit $4",
        )
        .bind(model_id)
        .bind(alias.as_str())
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("read the history of an alias"))?;
        let items = rows.iter().map(AliasMove::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |made| made.id))
    }

    /// The sorted names of the aliases that name these versions, by the versions' row ids; one query for a page of them.
    ///
    /// # Errors
    /// As [`Self::aliases`].
    pub async fn aliases_of(&self, versions: &[i64]) -> Result<HashMap<i64, Vec<Alias>>, Error> {
        let mut named: HashMap<i64, Vec<Alias>> = HashMap::new();
        if versions.is_empty() {
            return Ok(named);
        }
        // The driver binds no lists; numbers need no quoting.
        let ids = versions.iter().fold(String::new(), |mut ids, id| {
            let _infallible = write!(ids, "{}{id}", if ids.is_empty() { "" } else { "," });
            ids
        });
        let sql = format!(
            "select v.id, a.name from versions v join aliases a on a.model_id = v.model_id and a.number = v.number \
             where v.id in ({ids}) order by a.name"
        );
        // Each page has a statement of its own, which is not worth keeping.
        let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&self.read).await;
        for row in rows.map_err(Error::during("list the aliases of versions"))? {
            named.entry(number(&row, "id")?).or_default().push(stored("alias", &text(&row, "name")?)?);
        }
        Ok(named)
    }
}

fn version_number(n: i64) -> Result<VersionNumber, Error> {
    VersionNumber::new(n).ok_or_else(|| Error::Corrupt { what: "version number", value: n.to_string() })
}

impl AliasRow {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, Error> {
        Ok(Self {
            name: stored("alias", &text(row, "name")?)?,
            number: version_number(number(row, "number")?)?,
            updated_at: Timestamp::from_millis(number(row, "updated_at")?),
            updated_by: text(row, "updated_by")?,
        })
    }
}

impl AliasMove {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, Error> {
        let at = |column| {
            let n: Option<i64> = row.try_get(column).map_err(Error::during("read a row"))?;
            n.map(version_number).transpose()
        };
        Ok(Self {
            id: number(row, "id")?,
            from: at("from_number")?,
            to: at("to_number")?,
            at: Timestamp::from_millis(number(row, "moved_at")?),
            by: text(row, "moved_by")?,
            reason: text(row, "reason")?,
        })
    }
}
