//! Models: listed, read, described.

use super::{Error, Registry};
use crate::access::Caller;
use crate::catalog::{ModelRow, Page};
use crate::domain::{Description, ModelRef, Namespace};

impl Registry {
    /// Models by namespace and name, of one namespace or of all.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn models(
        &self,
        _caller: &Caller,
        namespace: Option<&Namespace>,
        after: Option<&ModelRef>,
        limit: usize,
    ) -> Result<Page<ModelRow, ModelRef>, Error> {
        Ok(self.catalog().models(namespace, after, limit).await?)
    }

    /// One model.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelDeleted`], and of the catalog.
    pub async fn model(&self, _caller: &Caller, model: &ModelRef) -> Result<ModelRow, Error> {
        if let Some(row) = self.catalog().model(model).await? {
            return Ok(row);
        }
        self.readable(model).await?;
        // Restored between the two questions.
        self.catalog().model(model).await?.ok_or_else(|| Error::ModelNotFound(model.clone()))
    }

    /// Changes the description of a model.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`], [`Error::ModelTrashed`], and of the catalog.
    pub async fn describe_model(
        &self,
        caller: &Caller,
        model: &ModelRef,
        description: &Description,
    ) -> Result<ModelRow, Error> {
        let done = self.catalog().describe_model(model, description).await?;
        done.map_err(|refusal| Error::refused(refusal, model, None))?;
        self.model(caller, model).await
    }
}
