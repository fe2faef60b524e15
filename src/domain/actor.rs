//! Who does something, and from where.

use std::net::IpAddr;

/// Where a request came from, for the audit log and for policies.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// The client's address, as far as it is believed.
    pub address: Option<IpAddr>,
    /// The id of the request; empty when there was none.
    pub request_id: String,
}

/// Who makes a change: a caller, an operator at the command line, or the service itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `token:{name}`, `oidc:{issuer}:{subject}`, `operator`, or `strongroom:{task}`.
    pub principal: String,
    /// From where.
    pub origin: Origin,
}

impl Actor {
    /// Whoever may run commands on the service's own machine.
    pub fn operator() -> Self {
        Self { principal: "operator".to_owned(), origin: Origin::default() }
    }

    /// A task of the service, which nobody asked for at this moment.
    pub fn service(task: &str) -> Self {
        Self { principal: format!("strongroom:{task}"), origin: Origin::default() }
    }
}
