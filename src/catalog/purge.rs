//! The end of a version and of a model: journal, bytes, manifest, and then only the number is left.

use sqlx::{AnyConnection, Row as _};

use super::audit::record;
use super::condemned::condemn_unreferenced_of;
use super::listing::{model_ref, number, version_number};
use super::{Catalog, Error};
use crate::domain::{Actor, Event, ModelRef, Timestamp, VersionNumber};

/// A version on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Row id.
    pub id: i64,
    /// Its model, as first spelled.
    pub model: ModelRef,
    /// Row id of the model.
    pub model_id: i64,
    /// Its number.
    pub number: VersionNumber,
}

/// A model on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPurge {
    /// Row id.
    pub id: i64,
    /// Its name, as first spelled.
    pub model: ModelRef,
}

/// What keeps a version although its time in the trash is over.
macro_rules! free {
    ($rest:literal) => {
        concat!(
            "v.hold is null and not exists ",
            "(select 1 from aliases a where a.model_id = v.model_id and a.number = v.number) ",
            $rest
        )
    };
}

macro_rules! purges {
    ($rest:literal) => {
        concat!(
            "select v.id, n.name as namespace, m.name as model, m.id as model_id, v.number from versions v ",
            "join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id where ",
            $rest
        )
    };
}

impl Catalog {
    /// Versions whose time in the trash is over, by row id, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn due_versions(&self, now: Timestamp, after: i64, limit: i64) -> Result<Vec<Purge>, Error> {
        let rows = sqlx::query(concat!(
            purges!("v.state = 'trashed' and v.purge_at <= $1 and v.id > $2 and "),
            free!("order by v.id limit $3")
        ))
        .bind(now.millis())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list what is to be purged"))?;
        rows.iter().map(purge).collect()
    }

    /// Begins the purge of a version: from here on it cannot be restored. False when it was, or is kept.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin_purge(&self, version: &Purge, now: Timestamp, by: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("begin to purge a version");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let done = sqlx::query(concat!(
            "update versions as v set state = 'purging' where v.id = $1 and v.state = 'trashed' ",
            "and v.purge_at <= $2 and ",
            free!("")
        ))
        .bind(version.id)
        .bind(now.millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        record(&mut tx, by, &version.event()).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }

    /// Models whose time in the trash is over, or whose purge has begun, by row id, from behind `after`.
    ///
    /// # Errors
    /// As [`Self::due_versions`].
    pub async fn due_models(&self, now: Timestamp, after: i64, limit: i64) -> Result<Vec<ModelPurge>, Error> {
        let rows = sqlx::query(
            "select m.id, n.name as namespace, m.name as model from models m \
             join namespaces n on n.id = m.namespace_id \
             where m.deleted_at is not null and m.purged_at is null and m.purge_at <= $1 and m.id > $2 \
             order by m.id limit $3",
        )
        .bind(now.millis())
        .bind(after)
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list models to be purged"))?;
        rows.iter().map(|row| Ok(ModelPurge { id: number(row, "id")?, model: model_ref(row)? })).collect()
    }

    /// Begins the purge of a model and of up to `limit` of its versions; gives how many began.
    ///
    /// None begins while an alias names one, or one is on hold.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn begin_model_purge(
        &self,
        model: &ModelPurge,
        now: Timestamp,
        limit: i64,
        by: &Actor,
    ) -> Result<u64, Error> {
        let fail = || Error::during("begin to purge a model");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        // 0 tells that it has begun: no clock that is behind restores it.
        let done = sqlx::query(
            "update models set purge_at = 0 where id = $1 and deleted_at is not null and purged_at is null \
             and purge_at <= $2 and not exists (select 1 from aliases a where a.model_id = models.id) \
             and not exists (select 1 from versions v where v.model_id = models.id and v.hold is not null)",
        )
        .bind(model.id)
        .bind(now.millis())
        .execute(&mut *tx)
        .await
        .map_err(fail())?;
        if done.rows_affected() == 0 {
            return Ok(0);
        }
        let rows = sqlx::query(purges!("v.model_id = $1 and v.state in ('published', 'trashed') limit $2"))
            .bind(model.id)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await
            .map_err(fail())?;
        for version in rows.iter().map(purge) {
            let version = version?;
            sqlx::query("update versions set state = 'purging' where id = $1")
                .bind(version.id)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            record(&mut tx, by, &version.event()).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(rows.len() as u64)
    }

    /// Versions whose purge has begun, by row id, from behind `after`.
    ///
    /// # Errors
    /// As [`Self::due_versions`].
    pub async fn purging_versions(&self, after: i64, limit: i64) -> Result<Vec<Purge>, Error> {
        let rows = sqlx::query(purges!("v.state = 'purging' and v.id > $1 order by v.id limit $2"))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.write)
            .await
            .map_err(Error::during("list versions that are being purged"))?;
        rows.iter().map(purge).collect()
    }

    /// Takes the files from a version whose purge has begun, and condemns the objects that only it had.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn unlink(&self, version: &Purge) -> Result<u64, Error> {
        let fail = || Error::during("take the files from a version");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let had = sqlx::query(
            "delete from version_files where version_id in (select id from versions where id = $1 and \
             state = 'purging') returning object_id",
        )
        .bind(version.id)
        .fetch_all(&mut *tx)
        .await
        .map_err(fail())?;
        let had = had.iter().map(|row| row.try_get("object_id")).collect::<Result<Vec<i64>, _>>().map_err(fail())?;
        let condemned = condemn_unreferenced_of(&mut tx, &had).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(condemned)
    }

    /// Whether bytes of purged versions of a model are still to go: manifests wait for them.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn bytes_are_going(&self, model: i64) -> Result<bool, Error> {
        let row = sqlx::query("select id from objects where model_id = $1 and state = 'condemned' limit 1")
            .bind(model)
            .fetch_optional(&self.write)
            .await
            .map_err(Error::during("look for condemned objects of a model"))?;
        Ok(row.is_some())
    }

    /// Leaves nothing of a version but its row with its number.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_purge(&self, version: &Purge) -> Result<(), Error> {
        sqlx::query(
            "update versions set state = 'purged', metadata = '{}', description = '', wanted_aliases = null, \
             quarantine = null where id = $1 and state = 'purging'",
        )
        .bind(version.id)
        .execute(&self.write)
        .await
        .map_err(Error::during("end the purge of a version"))?;
        Ok(())
    }

    /// Leaves nothing of a model but its row with the last number, once all its versions are purged; true then.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn end_model_purge(&self, model: &ModelPurge, now: Timestamp, by: &Actor) -> Result<bool, Error> {
        let fail = || Error::during("end the purge of a model");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let row = sqlx::query(
            "update models set purged_at = $2, deleted_at = null, deleted_by = null, purge_at = null, \
             description = '', labels = '{}', retention = null where id = $1 and deleted_at is not null and purge_at = 0 \
             and not exists (select 1 from versions v where v.model_id = models.id and v.state <> 'purged') \
             returning last_number",
        )
        .bind(model.id)
        .bind(now.millis())
        .fetch_optional(&mut *tx)
        .await
        .map_err(fail())?;
        let Some(row) = row else { return Ok(false) };
        forget_aliases(&mut tx, model.id).await.map_err(fail())?;
        let last_number = number(&row, "last_number")?;
        let event = Event::ModelPurged { model: model.model.clone(), last_number, at: now };
        record(&mut tx, by, &event).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(true)
    }
}

impl Purge {
    /// What the journal must have before anything of it goes.
    pub fn event(&self) -> Event {
        Event::VersionPurged { model: self.model.clone(), number: self.number }
    }
}

async fn forget_aliases(tx: &mut AnyConnection, model: i64) -> Result<(), sqlx::Error> {
    for statement in ["delete from alias_history where model_id = $1", "delete from aliases where model_id = $1"] {
        sqlx::query(statement).bind(model).execute(&mut *tx).await?;
    }
    Ok(())
}

fn purge(row: &sqlx::any::AnyRow) -> Result<Purge, Error> {
    Ok(Purge {
        id: number(row, "id")?,
        model: model_ref(row)?,
        model_id: number(row, "model_id")?,
        number: version_number(row)?,
    })
}
