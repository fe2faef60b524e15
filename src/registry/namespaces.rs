//! Namespaces: what they hold, and what they demand.

use super::{Error, Registry};
use crate::access::{Action, Caller};
use crate::catalog::{NamespaceChange, NamespaceRow};
use crate::domain::Namespace;

impl Registry {
    /// A namespace.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`], and of the catalog.
    pub async fn namespace(&self, caller: &Caller, name: &Namespace) -> Result<NamespaceRow, Error> {
        self.admit_namespace(caller, Action::Read, name).await?;
        self.catalog().namespace(name).await?.ok_or_else(|| Error::NamespaceNotFound(name.clone()))
    }

    /// Changes what a namespace demands; `None` leaves it as it is.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`] when nothing is to be changed of one that is not there; of the catalog.
    pub async fn change_namespace(
        &self,
        caller: &Caller,
        name: &Namespace,
        change: &NamespaceChange,
    ) -> Result<NamespaceRow, Error> {
        self.admit_namespace(caller, Action::Govern, name).await?;
        if *change == NamespaceChange::default() {
            return self.namespace(caller, name).await;
        }
        let namespace = self.catalog().change_namespace(name, change, &caller.actor()).await?;
        if change.require_verified == Some(true) {
            self.verification.wake();
        }
        Ok(namespace)
    }
}
