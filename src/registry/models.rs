//! Models: listed, read, described.

use super::{Error, Registry};
use crate::access::{Action, Caller, Resource};
use crate::catalog::{ModelRow, Page, SaidOfModel};
use crate::domain::{ModelRef, Namespace};

/// Models that are looked at together.
const SCAN: usize = 200;
/// Models that are looked at for one page.
const MOST_SCANNED: usize = 5_000;

impl Registry {
    /// Models that the caller may read, by namespace and name, of one namespace or of all.
    ///
    /// A page may have fewer than `limit`, or none, and others after it: where many may not be read. So the next page
    /// begins where the caller may not know of, and its cursor is sealed.
    ///
    /// # Errors
    /// [`Error::Cursor`]; of the catalog.
    pub async fn models(
        &self,
        caller: &Caller,
        namespace: Option<&Namespace>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<ModelRow, String>, Error> {
        let after = cursor.map(|cursor| self.opened(caller, cursor).ok_or(Error::Cursor)).transpose()?;
        let (mut items, mut after, mut looked_at) = (Vec::new(), after, 0);
        loop {
            let page = self.catalog().models(namespace, after.as_ref(), SCAN).await?;
            looked_at += page.items.len();
            for row in page.items {
                after = Some(row.model.clone());
                if caller.may(Action::Read, Resource::Model(&row.model, &row.labels)) {
                    items.push(row);
                }
                if items.len() == limit {
                    return Ok(Page { items, next: self.sealed(caller, after.as_ref()) });
                }
            }
            if page.next.is_none() {
                return Ok(Page { items, next: None });
            }
            if looked_at >= MOST_SCANNED {
                return Ok(Page { items, next: self.sealed(caller, after.as_ref()) });
            }
        }
    }

    fn sealed(&self, caller: &Caller, model: Option<&ModelRef>) -> Option<String> {
        self.inner.seal.close(&model?.to_string(), &caller.principal)
    }

    fn opened(&self, caller: &Caller, cursor: &str) -> Option<ModelRef> {
        let text = self.inner.seal.open(cursor, &caller.principal)?;
        let (namespace, name) = text.split_once('/')?;
        Some(ModelRef { namespace: namespace.parse().ok()?, name: name.parse().ok()? })
    }

    /// One model.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn model(&self, caller: &Caller, model: &ModelRef) -> Result<ModelRow, Error> {
        self.admit(caller, Action::Read, model).await?;
        if let Some(row) = self.catalog().model(model).await? {
            return Ok(row);
        }
        self.readable(model).await?;
        // Restored between the two questions.
        self.catalog().model(model).await?.ok_or_else(|| Error::ModelNotFound(model.clone()))
    }

    /// Changes what is said of a model.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelTrashed`], and of the catalog.
    pub async fn describe_model(
        &self,
        caller: &Caller,
        model: &ModelRef,
        said: &SaidOfModel,
    ) -> Result<ModelRow, Error> {
        if said.description.is_some() {
            self.admit(caller, Action::Describe, model).await?;
        }
        // Policies ask for labels: who may change them may change what others may do.
        if said.labels.is_some() {
            self.admit(caller, Action::Govern, model).await?;
        }
        let done = self.catalog().describe_model(model, said, &caller.actor()).await?;
        done.map_err(|refusal| Error::refused(refusal, model, None))?;
        self.model(caller, model).await
    }
}
