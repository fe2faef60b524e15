//! Whether a caller may do what is asked: the first thing that every verb finds out.
//!
//! What a caller may not read is not there for them, and looks exactly as if it were not: the decision comes before
//! the first look at the rows, so that it takes as long, too.

use super::{Error, Registry};
use crate::access::{Action, Caller, Resource};
use crate::domain::{AliasChange, Deed, Labels, ModelRef, Namespace, Subject};

impl Registry {
    /// Lets a caller go on who may do this with a model.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] for who may not even read it, else [`Error::Forbidden`]; of the catalog.
    pub(super) async fn admit(&self, caller: &Caller, action: Action, model: &ModelRef) -> Result<(), Error> {
        let admitted = self.decide(caller, action, model).await;
        self.noting_refusal(caller, action, Subject::model(model), admitted).await
    }

    /// As [`Self::admit`], and a refusal is not noted: for what would take longer then than what is not there.
    pub(super) async fn decide(&self, caller: &Caller, action: Action, model: &ModelRef) -> Result<(), Error> {
        let labels = self.labels_for_policies(model).await?;
        let resource = Resource::Model(model, &labels);
        if caller.may(action, resource) {
            return Ok(());
        }
        if action != Action::Read && caller.may(Action::Read, resource) {
            return Err(Error::Forbidden { action, on: format!("the model `{model}`") });
        }
        Err(Error::ModelNotFound(model.clone()))
    }

    /// Lets a caller go on who may move all of these aliases of a model.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub(super) async fn admit_aliases(
        &self,
        caller: &Caller,
        model: &ModelRef,
        changes: &[AliasChange],
    ) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let labels = self.labels_for_policies(model).await?;
        let protection = self.catalog().protected_aliases(&model.namespace).await?;
        for AliasChange { alias, .. } in changes {
            let protected = protection.iter().any(|pattern| pattern.matches(alias));
            let action = if protected { Action::MoveProtectedAlias } else { Action::MoveAlias };
            if caller.may(action, Resource::Alias { model, labels: &labels, alias, protected }) {
                continue;
            }
            let refused = if caller.may(Action::Read, Resource::Model(model, &labels)) {
                let kind = if protected { "protected alias" } else { "alias" };
                Error::Forbidden { action, on: format!("the {kind} `{alias}` of the model `{model}`") }
            } else {
                Error::ModelNotFound(model.clone())
            };
            return self.noting_refusal(caller, action, Subject::alias(model, alias), Err(refused)).await;
        }
        Ok(())
    }

    /// The labels of a model as policies see them: they are not looked up where no policy could ask for them.
    pub(super) async fn labels_for_policies(&self, model: &ModelRef) -> Result<Labels, Error> {
        if self.inner.authenticator.policies().custom() == 0 {
            return Ok(Labels::default());
        }
        Ok(self.catalog().labels(model).await?)
    }

    /// Lets a caller go on who may do this with a namespace.
    ///
    /// # Errors
    /// [`Error::NamespaceNotFound`] for who may not even read it, else [`Error::Forbidden`].
    pub(super) async fn admit_namespace(
        &self,
        caller: &Caller,
        action: Action,
        namespace: &Namespace,
    ) -> Result<(), Error> {
        let admitted = decide_on_namespace(caller, action, namespace);
        self.noting_refusal(caller, action, Subject::namespace(namespace), admitted).await
    }

    /// Lets a caller go on who may do this with the service itself, which everybody knows to be there.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub(super) async fn admit_system(&self, caller: &Caller, action: Action) -> Result<(), Error> {
        let admitted = decide_on_system(caller, action);
        self.noting_refusal(caller, action, Subject::service(), admitted).await
    }

    /// Writes a refusal into the audit log, unless it was only of reading.
    async fn noting_refusal(
        &self,
        caller: &Caller,
        action: Action,
        on: Subject,
        admitted: Result<(), Error>,
    ) -> Result<(), Error> {
        let is_refusal =
            matches!(admitted, Err(Error::Forbidden { .. } | Error::ModelNotFound(_) | Error::NamespaceNotFound(_)));
        if is_refusal && !matches!(action, Action::Read | Action::Download | Action::Observe) {
            // What is logged when that fails tells the rest: the caller is refused either way.
            let _unwritten = self.append(caller.actor(), Deed::refused(action.as_str(), on)).await;
        }
        admitted
    }
}

/// As [`Registry::admit_namespace`], without a note.
pub(super) fn decide_on_namespace(caller: &Caller, action: Action, namespace: &Namespace) -> Result<(), Error> {
    let resource = Resource::Namespace(namespace);
    if caller.may(action, resource) {
        return Ok(());
    }
    if action != Action::Read && caller.may(Action::Read, resource) {
        return Err(Error::Forbidden { action, on: format!("the namespace `{namespace}`") });
    }
    Err(Error::NamespaceNotFound(namespace.clone()))
}

/// As [`Registry::admit_system`], without a note.
pub(super) fn decide_on_system(caller: &Caller, action: Action) -> Result<(), Error> {
    if caller.may(action, Resource::System) {
        return Ok(());
    }
    Err(Error::Forbidden { action, on: "this service".to_owned() })
}
