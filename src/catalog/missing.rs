//! What a rebuild did not find: numbers without a version, aliases that name nothing.

use super::error::stored;
use super::listing::{number, text};
use super::{Catalog, Error};
use crate::domain::{ModelRef, VersionNumber};

/// A number of a model of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The model.
    pub model: ModelRef,
    /// A number that was given, of which neither manifest nor purge is known.
    pub number: VersionNumber,
}

impl Catalog {
    /// Numbers that were given and of which nothing is known, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn gaps(&self, limit: usize) -> Result<Vec<Gap>, Error> {
        let fail = || Error::during("look for missing versions");
        let rows = sqlx::query(
            "select m.id, n.name as namespace, m.name as model, m.last_number from models m \
             join namespaces n on n.id = m.namespace_id \
             where m.last_number > (select count(*) from versions v where v.model_id = m.id) order by m.id",
        )
        .fetch_all(&self.read)
        .await
        .map_err(fail())?;
        let mut gaps = Vec::new();
        for row in rows {
            let model = ModelRef {
                namespace: stored("namespace", &text(&row, "namespace")?)?,
                name: stored("model name", &text(&row, "model")?)?,
            };
            let there = sqlx::query("select number from versions where model_id = $1 order by number")
                .bind(number(&row, "id")?)
                .fetch_all(&self.read)
                .await
                .map_err(fail())?;
            let mut there = there.iter().map(|row| number(row, "number")).collect::<Result<Vec<_>, _>>()?.into_iter();
            let mut next = there.next();
            for n in 1..=number(&row, "last_number")? {
                if next == Some(n) {
                    next = there.next();
                } else if let Some(number) = VersionNumber::new(n) {
                    if gaps.len() == limit {
                        return Ok(gaps);
                    }
                    gaps.push(Gap { model: model.clone(), number });
                }
            }
        }
        Ok(gaps)
    }

    /// Aliases that name no version that is there, as texts, at most `limit`.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn dangling_aliases(&self, limit: i64) -> Result<Vec<(ModelRef, String, i64)>, Error> {
        let rows = sqlx::query(
            "select n.name as namespace, m.name as model, a.name, a.number from aliases a \
             join models m on m.id = a.model_id join namespaces n on n.id = m.namespace_id where not exists \
             (select 1 from versions v where v.model_id = a.model_id and v.number = a.number and v.state = 'published') \
             order by a.model_id, a.name limit $1",
        )
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(Error::during("look for aliases of missing versions"))?;
        rows.iter()
            .map(|row| {
                let model = ModelRef {
                    namespace: stored("namespace", &text(row, "namespace")?)?,
                    name: stored("model name", &text(row, "model")?)?,
                };
                Ok((model, text(row, "name")?, number(row, "number")?))
            })
            .collect()
    }

    /// Whether a version is there and nobody has purged it, or begun to.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn is_kept(&self, model: &ModelRef, number: VersionNumber) -> Result<bool, Error> {
        let row = sqlx::query(
            "select v.id from versions v join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
             where n.folded = $1 and m.folded = $2 and v.number = $3 and v.state in ('published', 'trashed')",
        )
        .bind(model.namespace.folded())
        .bind(model.name.folded())
        .bind(number.get())
        .fetch_optional(&self.read)
        .await
        .map_err(Error::during("look a version up"))?;
        Ok(row.is_some())
    }
}
