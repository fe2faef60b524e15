//! What is said of models and versions, holds, and rules: one transaction each, with its entry for the journal.

use super::audit::record;
use super::heads::{ModelHead, Objection, Outcome, VersionHead};
use super::{Catalog, Error};
use crate::domain::{
    Actor, Description, Event, Labels, Metadata, ModelRef, Reason, Retention, VersionNumber, VersionState,
};

/// What is to be said of a version; none: as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// All of it.
    pub metadata: Option<Metadata>,
    /// All of it.
    pub description: Option<Description>,
}

/// What is to be said of a model; none: as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SaidOfModel {
    /// All of it.
    pub description: Option<Description>,
    /// All of them.
    pub labels: Option<Labels>,
}

impl Catalog {
    /// Changes what is said of a published version.
    ///
    /// `revision` is the one that the caller has seen; none: whichever it is.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when it has another revision.
    pub async fn describe_version(
        &self,
        model: &ModelRef,
        version: VersionNumber,
        revision: Option<i64>,
        said: &Said,
        by: &Actor,
    ) -> Outcome<()> {
        let fail = || Error::during("describe a version");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match VersionHead::published(&mut tx, model, version).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if revision.is_some_and(|revision| revision != head.revision) {
            return Ok(Err(Objection::OtherRevision(head.revision)));
        }
        let row = sqlx::query("select metadata, description from versions where id = $1")
            .bind(head.id)
            .fetch_one(&mut *tx)
            .await
            .map_err(fail())?;
        let was = (super::listing::text(&row, "metadata")?, super::listing::text(&row, "description")?);
        let metadata = said.metadata.as_ref().map_or(was.0, Metadata::to_json);
        let description = said.description.as_ref().map_or(was.1, |text| text.as_str().to_owned());
        let revision = head.revision + 1;
        sqlx::query("update versions set metadata = $2, description = $3, revision = $4 where id = $1")
            .bind(head.id)
            .bind(&metadata)
            .bind(&description)
            .bind(revision)
            .execute(&mut *tx)
            .await
            .map_err(fail())?;
        let metadata = Metadata::from_json(metadata.as_bytes())
            .map_err(|_| Error::Corrupt { what: "metadata", value: metadata.clone() })?;
        let event =
            Event::VersionDescribed { model: head.model.model, number: version, metadata, description, revision };
        record(&mut tx, by, &event).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    /// Puts a version on legal hold, in the trash or not, or takes it off.
    ///
    /// # Errors
    /// [`Error`] of the database; refused when its purge has begun.
    pub async fn hold_version(
        &self,
        model: &ModelRef,
        version: VersionNumber,
        hold: Option<&Reason>,
        by: &Actor,
    ) -> Outcome<()> {
        let fail = || Error::during("put a version on hold");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match VersionHead::find(&mut tx, model, version).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if head.state == VersionState::Purging {
            return Ok(Err(head.trashed()));
        }
        if head.hold == hold.map_or("", Reason::as_str) {
            return Ok(Ok(()));
        }
        let change = match hold {
            Some(reason) => {
                sqlx::query("update versions set hold = $2 where id = $1").bind(head.id).bind(reason.as_str())
            }
            None => sqlx::query("update versions set hold = null where id = $1").bind(head.id),
        };
        change.execute(&mut *tx).await.map_err(fail())?;
        let hold = hold.map(Reason::to_string);
        record(&mut tx, by, &Event::HoldSet { model: head.model.model, number: version, hold }).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    /// Changes what is said of a model.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn describe_model(&self, model: &ModelRef, said: &SaidOfModel, by: &Actor) -> Outcome<()> {
        let fail = || Error::during("describe a model");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match ModelHead::live(&mut tx, model).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(description) = said.description.as_ref().filter(|new| head.description != new.as_str()) {
            sqlx::query("update models set description = $2 where id = $1")
                .bind(head.id)
                .bind(description.as_str())
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            let description = description.as_str().to_owned();
            record(&mut tx, by, &Event::ModelDescribed { model: head.model.clone(), description })
                .await
                .map_err(fail())?;
        }
        if let Some(labels) = said.labels.as_ref().filter(|new| head.labels != **new) {
            let json = serde_json::to_string(labels).map_err(|error| fail()(sqlx::Error::Encode(error.into())))?;
            sqlx::query("update models set labels = $2 where id = $1")
                .bind(head.id)
                .bind(json)
                .execute(&mut *tx)
                .await
                .map_err(fail())?;
            let event = Event::ModelLabelled { model: head.model, labels: labels.clone() };
            record(&mut tx, by, &event).await.map_err(fail())?;
        }
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }

    /// Gives a model rules, or takes them away.
    ///
    /// # Errors
    /// [`Error`] of the database.
    pub async fn set_retention(&self, model: &ModelRef, rules: Option<Retention>, by: &Actor) -> Outcome<()> {
        let fail = || Error::during("set retention rules");
        let mut tx = self.write.begin_with("begin immediate").await.map_err(fail())?;
        let head = match ModelHead::live(&mut tx, model).await? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let stored = rules.map(|rules| rules_to_json(&rules)).unwrap_or_default();
        if head.retention == stored {
            return Ok(Ok(()));
        }
        let change = if rules.is_some() {
            sqlx::query("update models set retention = $2 where id = $1").bind(head.id).bind(&stored)
        } else {
            sqlx::query("update models set retention = null where id = $1").bind(head.id)
        };
        change.execute(&mut *tx).await.map_err(fail())?;
        record(&mut tx, by, &Event::RetentionSet { model: head.model, rules }).await.map_err(fail())?;
        tx.commit().await.map_err(fail())?;
        Ok(Ok(()))
    }
}

/// The stored form of rules: the same rules always give the same text.
pub(super) fn rules_to_json(rules: &Retention) -> String {
    let Retention { keep_last, keep_days } = rules;
    let member = |name: &str, value: &Option<u32>| value.map(|value| format!("\"{name}\":{value}"));
    let members = [member("keep_last", keep_last), member("keep_days", keep_days)];
    format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
}
