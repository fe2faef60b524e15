//! Namespaces: what they hold, and what they demand.

use super::{Error, Registry};
use crate::access::Caller;
use crate::catalog::NamespaceRow;
use crate::domain::Namespace;

impl Registry {
    /// A namespace.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`], and of the catalog.
    pub async fn namespace(&self, _caller: &Caller, name: &Namespace) -> Result<NamespaceRow, Error> {
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
        require_verified: Option<bool>,
    ) -> Result<NamespaceRow, Error> {
        let Some(demanded) = require_verified else { return self.namespace(caller, name).await };
        let namespace = self.catalog().demand_verification(name, demanded).await?;
        tracing::info!(audit = true, by = caller.principal, namespace = %namespace.name, demanded, "verification demanded");
        if demanded {
            self.verification.wake();
        }
        Ok(namespace)
    }
}
