//! Who is calling, and what they may do.
//!
//! A caller presents an API token, or a token of an identity provider; without a valid one nobody gets as far as the
//! registry. What a caller may do is decided in one place, [`Subject::decide`], by policies: the roles that were granted
//! to the caller or to a group of theirs, and what the operator wrote. Nothing is allowed that no policy allows.

mod bootstrap;
mod decide;
mod nesting;
pub mod oidc;
mod policies;
mod seal;
mod token;

pub use bootstrap::{BootstrapError, admin_token};
pub use decide::{Action, Known, Resource, Subject, Verdict};
pub use policies::{POLICY_SCHEMA, Policies, PoliciesError};
pub use seal::Seal;
pub use token::Token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::oidc::{Identity, Issuers, Refused};
use crate::catalog::{self, Catalog, GrantRow, TokenRow};
use crate::domain::{Actor, Grantee, Origin, Timestamp};

/// How often the catalog is told that a token is in use.
const USE_NOTED: Duration = Duration::from_mins(1);
/// Most tokens whose use is remembered meanwhile.
const USES: usize = 10_000;

/// Who is calling: the first argument of every verb of the registry.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Stable name, recorded with what the caller makes: `token:{name}` or `oidc:{issuer}:{subject}`.
    pub principal: String,
    /// `{issuer}:{group}`.
    pub groups: Vec<String>,
    /// When what was presented stops being valid; none: never.
    pub expires_at: Option<Timestamp>,
    /// What was granted to the caller and to the caller's groups.
    pub grants: Vec<GrantRow>,
    /// Where the request came from.
    pub origin: Origin,
    subject: Arc<Subject>,
}

impl Caller {
    /// The caller as the audit log names them.
    pub fn actor(&self) -> Actor {
        Actor { principal: self.principal.clone(), origin: self.origin.clone() }
    }

    /// Decides, and says why.
    pub fn verdict(&self, action: Action, resource: Resource<'_>) -> Verdict {
        self.subject.decide(action, resource)
    }

    /// Whether the caller may do it.
    pub fn may(&self, action: Action, resource: Resource<'_>) -> bool {
        let verdict = self.verdict(action, resource);
        for error in &verdict.errors {
            tracing::warn!(error, %action, principal = self.principal, "a policy could not be evaluated, and counts for nothing");
        }
        verdict.allowed
    }
}

/// Why nobody knows who is calling.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The keys of the identity provider cannot be had now.
    #[error("the identity provider of this token cannot be asked now: try again")]
    IssuerAway,
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
}

/// Knows callers by what they present; cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticator {
    catalog: Catalog,
    policies: Policies,
    issuers: Issuers,
    /// When the catalog was told last that a token is in use.
    uses: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Authenticator {
    /// One that decides by these policies, and believes these identity providers.
    pub fn new(catalog: Catalog, policies: Policies, issuers: Issuers) -> Self {
        Self { catalog, policies, issuers, uses: Arc::default() }
    }

    /// What decides.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The caller who presents this text; none when it is not valid, was revoked, or its time is over.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub async fn authenticate(&self, presented: &str, origin: Origin) -> Result<Option<Caller>, AuthenticationError> {
        // The checksum in the token turns away typing errors and scanners without a look into the catalog.
        let Some(token) = Token::parse(presented) else { return self.identified(presented, origin).await };
        let Some(row) = self.catalog.token_by_digest(token.digest()).await? else { return Ok(None) };
        if !row.is_valid(Timestamp::now()) {
            return Ok(None);
        }
        self.note_use(&row);
        let principal = Grantee::token(&row.name);
        let known = Known { principal: principal.as_str().to_owned(), ..Known::default() };
        Ok(Some(self.caller(known, origin, row.expires_at).await?))
    }

    /// The caller whom an identity provider names; nothing is kept of him here but what was granted.
    async fn identified(&self, presented: &str, origin: Origin) -> Result<Option<Caller>, AuthenticationError> {
        let identity = match self.issuers.identify(presented).await {
            None => return Ok(None),
            Some(Ok(identity)) => identity,
            Some(Err(Refused::Invalid(reason))) => {
                tracing::debug!(reason, "a token of an identity provider is not believed");
                return Ok(None);
            }
            Some(Err(Refused::Unavailable)) => return Err(AuthenticationError::IssuerAway),
        };
        let Identity { issuer, principal, groups, claims, expires_at, .. } = identity;
        let known = Known { principal, groups, issuer: Some(issuer), claims, ..Known::default() };
        Ok(Some(self.caller(known, origin, Some(expires_at)).await?))
    }

    /// The caller of whom this is known, with what was granted to them.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn caller(
        &self,
        known: Known,
        origin: Origin,
        expires_at: Option<Timestamp>,
    ) -> Result<Caller, catalog::Error> {
        let grants = self.catalog.grants_of(&grantees(&known)).await?;
        let with_grants = grants.iter().map(|row| (row.id.clone(), row.principal.clone(), row.grant.clone()));
        let known = Known { grants: with_grants.collect(), address: origin.address, ..known };
        let (principal, groups) = (known.principal.clone(), known.groups.clone());
        let subject = Arc::new(Subject::new(&self.policies, known));
        Ok(Caller { principal, groups, expires_at, grants, origin, subject })
    }

    /// Not for each request: reading must not cost a write.
    fn note_use(&self, row: &TokenRow) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.get(&row.id).is_some_and(|noted| noted.elapsed() < USE_NOTED) {
            return;
        }
        if uses.len() >= USES {
            uses.retain(|_, noted| noted.elapsed() < USE_NOTED);
        }
        uses.insert(row.id.clone(), Instant::now());
        let (catalog, id) = (self.catalog.clone(), row.id.clone());
        tokio::spawn(async move {
            if let Err(error) = catalog.token_used(&id, Timestamp::now()).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the use of a token was not noted");
            }
        });
    }
}

/// Whom grants to a caller name.
fn grantees(known: &Known) -> Vec<Grantee> {
    let groups = known.groups.iter().map(|group| format!("group:{group}"));
    // A name that no grant can be given to has none.
    std::iter::once(known.principal.clone()).chain(groups).filter_map(|text| text.parse().ok()).collect()
}
