//! Tokens and grants by command, with or without a running server: what the catalog says counts at once.

use std::path::Path;
use std::time::Duration;

use crate::access::{self, Policies, PoliciesError};
use crate::catalog::{self, Catalog, Page, Rotation};
pub use crate::catalog::{GrantRow, TokenRow};
use crate::config::Config;
use crate::domain::{Actor, Grant, GrantOn, Grantee, ModelName, Timestamp};

/// Who made what was made on the command line of the service's own machine.
const OPERATOR: &str = "operator";

/// Why a command about access did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No service ran here.
    #[error("there is no catalog at {0}: this is for a service that has run, and --data-dir names its place")]
    NoCatalog(String),
    /// The name has a valid token.
    #[error("there is a valid token of the name `{0}`: rotate it, or revoke it first")]
    TokenExists(String),
    /// Rotated again and again.
    #[error("the name `{0}` has 20 valid tokens: revoke old ones first")]
    TooManyTokens(String),
    /// A name that is none.
    #[error("the name of a token is 1 to 96 bytes of `A-Z a-z 0-9 . _ -`, not {0:?}")]
    TokenName(String),
    /// There is none.
    #[error("there is no token `{0}` that is valid")]
    TokenNotFound(String),
    /// There is none.
    #[error("there is no grant `{0}`")]
    GrantNotFound(String),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
}

/// The policies of the house, with those of the operator's directory.
///
/// # Errors
/// [`PoliciesError`] names the place.
pub(super) fn policies(directory: Option<&Path>) -> Result<Policies, PoliciesError> {
    directory.map_or_else(Policies::house, Policies::with_directory)
}

/// Makes a token with grants; gives what is kept of it, and its text.
///
/// # Errors
/// [`AccessError`].
pub async fn make_token(
    config: &Config,
    name: &str,
    grants: Vec<Grant>,
    life: Option<Duration>,
) -> Result<(TokenRow, access::Token), AccessError> {
    if name.parse::<ModelName>().is_err() {
        return Err(AccessError::TokenName(name.to_owned()));
    }
    on_catalog(config, async |catalog| {
        let row = TokenRow::new(name, OPERATOR, life.map(|life| Timestamp::now().plus(life)));
        let given = |grant| GrantRow::new(Grantee::token(name), grant, OPERATOR);
        let grants: Vec<GrantRow> = grants.into_iter().map(given).collect();
        let token = access::Token::generate();
        if !catalog.add_token(&row, token.digest(), &grants, &Actor::operator()).await? {
            return Err(AccessError::TokenExists(name.to_owned()));
        }
        Ok((row, token))
    })
    .await
}

/// Makes another token of the name of a valid one, which goes on for `overlap`.
///
/// # Errors
/// [`AccessError`].
pub async fn rotate_token(
    config: &Config,
    id: &str,
    life: Option<Duration>,
    overlap: Duration,
) -> Result<(TokenRow, access::Token), AccessError> {
    let none = || AccessError::TokenNotFound(id.to_owned());
    on_catalog(config, async |catalog| {
        let old = catalog.token(id).await?.ok_or_else(none)?;
        let expires_at = life.map(|life| Timestamp::now().plus(life)).or_else(|| old.next_expiry());
        let row = TokenRow::new(&old.name, OPERATOR, expires_at);
        let token = access::Token::generate();
        let until = row.created_at.plus(overlap);
        match catalog.rotate_token(id, until, &row, token.digest(), &Actor::operator()).await? {
            Rotation::Done => Ok((row, token)),
            Rotation::NotValid => Err(none()),
            Rotation::TooMany => Err(AccessError::TooManyTokens(old.name)),
        }
    })
    .await
}

/// A page of all tokens.
///
/// # Errors
/// [`AccessError`].
pub async fn tokens(config: &Config, after: Option<&str>) -> Result<Page<TokenRow, String>, AccessError> {
    on_catalog(config, async |catalog| Ok(catalog.tokens(None, after, 200).await?)).await
}

/// Revokes a token, or all of its name.
///
/// # Errors
/// [`AccessError`].
pub async fn revoke_token(config: &Config, id: &str, all: bool) -> Result<(), AccessError> {
    on_catalog(config, async |catalog| {
        if catalog.revoke_token(id, all, &Actor::operator()).await? {
            Ok(())
        } else {
            Err(AccessError::TokenNotFound(id.to_owned()))
        }
    })
    .await
}

/// Gives a role to somebody.
///
/// # Errors
/// [`AccessError`].
pub async fn give(config: &Config, to: Grantee, grant: Grant) -> Result<GrantRow, AccessError> {
    on_catalog(config, async |catalog| {
        Ok(catalog.give(&GrantRow::new(to, grant, OPERATOR), &Actor::operator()).await?)
    })
    .await
}

/// A page of grants.
///
/// # Errors
/// [`AccessError`].
pub async fn grants(
    config: &Config,
    to: Option<&Grantee>,
    on: Option<&GrantOn>,
    after: Option<&str>,
) -> Result<Page<GrantRow, String>, AccessError> {
    on_catalog(config, async |catalog| Ok(catalog.grants(to, on, after, 200).await?)).await
}

/// Takes a grant back.
///
/// # Errors
/// [`AccessError`].
pub async fn take_back(config: &Config, id: &str) -> Result<(), AccessError> {
    on_catalog(config, async |catalog| {
        if catalog.take_back(id, &Actor::operator()).await? {
            Ok(())
        } else {
            Err(AccessError::GrantNotFound(id.to_owned()))
        }
    })
    .await
}

async fn on_catalog<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Catalog) -> Result<T, AccessError>,
) -> Result<T, AccessError> {
    let catalog = Catalog::open_existing(&config.catalog_url()).await?;
    let catalog = catalog.ok_or_else(|| AccessError::NoCatalog(config.catalog_url()))?;
    let done = work(&catalog).await;
    catalog.close().await;
    done
}
