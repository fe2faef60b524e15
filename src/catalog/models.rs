//! Models: what is said of them, what they have, and whether they are in the trash.

use sqlx::any::AnyRow;

use super::heads::ModelHead;
use super::listing::{Deletion, Page, labels, model_ref, number, text, version_number};
use super::{Catalog, Error};
use crate::domain::{Labels, ModelRef, Namespace, Retention, Standing, Timestamp, VersionNumber};

/// A model that is not in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRow {
    /// Row id.
    pub id: i64,
    /// Its name, as first spelled.
    pub model: ModelRef,
    /// What is said of it.
    pub description: String,
    /// The highest published version; none when all are in the trash.
    pub latest: Option<VersionNumber>,
    /// Published versions.
    pub version_count: u64,
    /// Since when there is a model of this name.
    pub created_at: Timestamp,
    /// What is kept of it.
    pub retention: Option<Retention>,
    /// For policies and for people.
    pub labels: Labels,
}

/// Whether a name is that of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelStanding {
    /// It never was, or nothing is left of it.
    Absent,
    /// It is one; the id of its row.
    Live(i64),
    /// It is in the trash.
    Trashed(Deletion),
}

macro_rules! model_select {
    ($rest:literal) => {
        concat!(
            "select m.id, n.name as namespace, m.name as model, m.description, m.labels, m.created_at, ",
            "coalesce(m.retention, '') as retention, coalesce((select max(v.number) from versions v ",
            "where v.model_id = m.id and v.state = 'published'), 0) as latest, ",
            "(select count(*) from versions v where v.model_id = m.id and v.state = 'published') as versions ",
            "from models m join namespaces n on n.id = m.namespace_id ",
            "where m.last_number > 0 and m.deleted_at is null and m.purged_at is null ",
            $rest
        )
    };
}

impl Catalog {
    /// Models by the folded forms of their names, of one namespace or of all, from behind `after`.
    ///
    /// # Errors
    /// [`Error`] of the database, or of a row that is not ours.
    pub async fn models(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ModelRef>,
        limit: usize,
    ) -> Result<Page<ModelRow, ModelRef>, Error> {
        let (after_namespace, after_name) =
            after.map(|after| (after.namespace.folded(), after.name.folded())).unwrap_or_default();
        let rows = sqlx::query(model_select!(
            "and ($1 = '' or n.folded = $1) and (n.folded > $2 or (n.folded = $2 and m.folded > $3)) \
             order by n.folded, m.folded limit $4"
        ))
        .bind(namespace.map(Namespace::folded).unwrap_or_default())
        .bind(after_namespace)
        .bind(after_name)
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("list models"))?;
        let items = rows.iter().map(ModelRow::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |row| row.model.clone()))
    }

    /// One model; none when it is in the trash or is not.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn model(&self, model: &ModelRef) -> Result<Option<ModelRow>, Error> {
        let row = sqlx::query(model_select!("and n.folded = $1 and m.folded = $2"))
            .bind(model.namespace.folded())
            .bind(model.name.folded())
            .fetch_optional(&self.read)
            .await
            .map_err(Error::during("look a model up"))?;
        row.as_ref().map(ModelRow::read).transpose()
    }

    /// The labels of a model, in the trash or not; none when there is no such model.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn labels(&self, model: &ModelRef) -> Result<Labels, Error> {
        let row = sqlx::query(
            "select m.labels from models m join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look the labels of a model up"))?;
        Ok(row.as_ref().map(labels).transpose()?.unwrap_or_default())
    }

    /// Models with rules about what is kept, by row id, from behind `after`.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn models_with_rules(&self, after: i64, limit: i64) -> Result<Vec<ModelRow>, Error> {
        let rows = sqlx::query(model_select!("and m.retention is not null and m.id > $1 order by m.id limit $2"))
            .bind(after)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(Error::during("list models with retention rules"))?;
        rows.iter().map(ModelRow::read).collect()
    }

    /// Whether there is such a model.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn model_standing(&self, model: &ModelRef) -> Result<ModelStanding, Error> {
        let mut connection = self.read.acquire().await.map_err(Error::during("look a model up"))?;
        Ok(match ModelHead::find(&mut connection, model).await? {
            Ok(ModelHead { deletion: Some(deletion), .. }) => ModelStanding::Trashed(deletion),
            Ok(ModelHead { id, .. }) => ModelStanding::Live(id),
            Err(_none) => ModelStanding::Absent,
        })
    }

    /// Published versions of a model as its rules see them, highest number first, from below `before`.
    ///
    /// # Errors
    /// As [`Self::models`].
    pub async fn standings(
        &self,
        model: i64,
        before: Option<VersionNumber>,
        limit: usize,
    ) -> Result<Page<(VersionNumber, Standing), VersionNumber>, Error> {
        let fail = || Error::during("look at versions for retention");
        let before = before.map_or(i64::MAX, VersionNumber::get);
        let counted = sqlx::query(
            "select count(*) as higher from versions where model_id = $1 and state = 'published' and number >= $2",
        )
        .bind(model)
        .bind(before)
        .fetch_one(&self.read)
        .await
        .map_err(fail())?;
        let above = number(&counted, "higher")? as u64;
        let rows = sqlx::query(
            "select v.number, v.created_at, coalesce(v.hold, '') as hold, (select count(*) from aliases a \
             where a.model_id = v.model_id and a.number = v.number) as aliases from versions v \
             where v.model_id = $1 and v.state = 'published' and v.number < $2 order by v.number desc limit $3",
        )
        .bind(model)
        .bind(before)
        .bind(limit as i64 + 1)
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let standing = |(position, row): (usize, &AnyRow)| {
            let standing = Standing {
                higher: above + position as u64,
                published_at: Timestamp::from_millis(number(row, "created_at")?),
                aliased: number(row, "aliases")? > 0,
                held: !text(row, "hold")?.is_empty(),
            };
            Ok((version_number(row)?, standing))
        };
        let items = rows.iter().enumerate().map(standing).collect::<Result<Vec<_>, Error>>()?;
        Ok(Page::cut(items, limit, |(number, _)| *number))
    }
}

impl ModelRow {
    /// The stored form of its rules, which a change of them changes.
    pub fn stored_rules(&self) -> String {
        self.retention.as_ref().map(super::describe::rules_to_json).unwrap_or_default()
    }

    fn read(row: &AnyRow) -> Result<Self, Error> {
        let rules = text(row, "retention")?;
        let retention = if rules.is_empty() {
            None
        } else {
            Some(serde_json::from_str(&rules).map_err(|_| Error::Corrupt { what: "retention", value: rules })?)
        };
        Ok(Self {
            labels: labels(row)?,
            id: number(row, "id")?,
            model: model_ref(row)?,
            description: text(row, "description")?,
            latest: VersionNumber::new(number(row, "latest")?),
            version_count: number(row, "versions")? as u64,
            created_at: Timestamp::from_millis(number(row, "created_at")?),
            retention,
        })
    }
}
