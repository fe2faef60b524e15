//! Grants: given, listed, taken back, and decisions explained.

use super::admit::{decide_on_namespace, decide_on_system};
use super::{Error, Registry};
use crate::access::{Action, Caller, Known, Resource, Verdict};
use crate::catalog::{GrantRow, Page};
use crate::domain::{Alias, Grant, GrantOn, Grantee, ModelRef, Namespace};

/// A question about somebody else's rights.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who would ask, with groups and claims as an identity provider would state them; their address.
    pub of: Known,
    /// To do what.
    pub action: Action,
    /// On what: nothing named is the service itself.
    pub on: Place,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The service itself.
    System,
    /// A namespace.
    Namespace(Namespace),
    /// A model.
    Model(ModelRef),
    /// An alias of a model.
    Alias(ModelRef, Alias),
}

impl Registry {
    /// Gives a role to somebody; giving it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] and not found, as the caller may see; of the catalog.
    pub async fn give_grant(&self, caller: &Caller, to: Grantee, grant: Grant) -> Result<GrantRow, Error> {
        self.admit_grant(caller, &grant.on).await?;
        let given = self.catalog().give(&GrantRow::new(to, grant, &caller.principal), &caller.actor()).await?;
        Ok(given)
    }

    /// Grants on something that the caller may give grants on, by id; on anything for who may on everything.
    ///
    /// # Errors
    /// As [`Self::give_grant`].
    pub async fn grants(
        &self,
        caller: &Caller,
        to: Option<&Grantee>,
        on: Option<&GrantOn>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<GrantRow, String>, Error> {
        self.admit_grant(caller, on.unwrap_or(&GrantOn::Everything)).await?;
        Ok(self.catalog().grants(to, on, after, limit).await?)
    }

    /// Takes a grant back, at once.
    ///
    /// # Errors
    /// [`Error::GrantNotFound`], also for who may not see it; of the catalog.
    pub async fn take_grant_back(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let none = || Error::GrantNotFound(id.to_owned());
        let row = self.catalog().grant(id).await?.ok_or_else(none)?;
        match self.decide_grant(caller, &row.grant.on).await {
            Err(Error::Forbidden { .. } | Error::ModelNotFound(_) | Error::NamespaceNotFound(_)) => return Err(none()),
            admitted => admitted?,
        }
        if !self.catalog().take_back(id, &caller.actor()).await? {
            return Err(none());
        }
        Ok(())
    }

    /// Decides for somebody else, and says why; what was granted to them is looked up.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; of the catalog.
    pub async fn explain(&self, caller: &Caller, question: Question) -> Result<Verdict, Error> {
        self.admit_system(caller, Action::Operate).await?;
        let origin = crate::domain::Origin { address: question.of.address, request_id: String::new() };
        let other = self.inner.authenticator.caller(question.of, origin, None).await?;
        let action = question.action;
        Ok(match &question.on {
            Place::System => other.verdict(action, Resource::System),
            Place::Namespace(namespace) => other.verdict(action, Resource::Namespace(namespace)),
            Place::Model(model) => {
                let labels = self.labels_for_policies(model).await?;
                other.verdict(action, Resource::Model(model, &labels))
            }
            Place::Alias(model, alias) => {
                let labels = self.labels_for_policies(model).await?;
                let protection = self.catalog().protected_aliases(&model.namespace).await?;
                let protected = protection.iter().any(|pattern| pattern.matches(alias));
                other.verdict(action, Resource::Alias { model, labels: &labels, alias, protected })
            }
        })
    }

    /// Lets a caller go on who may give grants on something.
    pub(super) async fn admit_grant(&self, caller: &Caller, on: &GrantOn) -> Result<(), Error> {
        match on {
            GrantOn::Everything => self.admit_system(caller, Action::Grant).await,
            GrantOn::Namespace(namespace) => self.admit_namespace(caller, Action::Grant, namespace).await,
            GrantOn::Model(model) => self.admit(caller, Action::Grant, model).await,
        }
    }

    /// As [`Self::admit_grant`], without a note.
    async fn decide_grant(&self, caller: &Caller, on: &GrantOn) -> Result<(), Error> {
        match on {
            GrantOn::Everything => decide_on_system(caller, Action::Grant),
            GrantOn::Namespace(namespace) => decide_on_namespace(caller, Action::Grant, namespace),
            GrantOn::Model(model) => self.decide(caller, Action::Grant, model).await,
        }
    }
}
