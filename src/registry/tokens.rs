//! API tokens: made, listed, rotated, revoked.

use std::time::Duration;

use super::{Error, Registry};
use crate::access::{Action, Caller, Resource, Token};
use crate::catalog::{GrantRow, Page, Rotation, TokenRow};
use crate::domain::{Grant, Grantee, Namespace, Timestamp};

/// The shortest and the longest life of a token.
const LIFE: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24 * 3660);
/// How long the old token goes on when a new one takes its place, unless it is said.
const OVERLAP: Duration = Duration::from_hours(24);

/// A token to be made.
#[derive(Debug, Clone)]
pub struct TokenWish {
    /// The principal will be `token:{name}`.
    pub name: String,
    /// What it may do from the start.
    pub grants: Vec<Grant>,
    /// How long it is valid; none: until it is revoked.
    pub life: Option<Duration>,
}

/// A token that was made; its text is shown this once.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What is kept of it.
    pub row: TokenRow,
    /// The text.
    pub token: Token,
}

impl Registry {
    /// Makes a token of a new name.
    ///
    /// Who may give grants on something may make tokens for it; one without grants is for who operates the service.
    ///
    /// # Errors
    /// [`Error::TokenName`], [`Error::TokenLife`], [`Error::TokenExists`], [`Error::Forbidden`]; of the catalog.
    pub async fn make_token(&self, caller: &Caller, wish: TokenWish) -> Result<NewToken, Error> {
        if wish.grants.is_empty() {
            self.admit_system(caller, Action::Operate).await?;
        }
        for grant in &wish.grants {
            self.admit_grant(caller, &grant.on).await?;
        }
        check_name(&wish.name)?;
        // Policies name tokens: nobody takes a name that somebody else's policy may speak of.
        if !caller.may(Action::Operate, Resource::System) {
            for grant in &wish.grants {
                let namespace = grant.on.namespace().map(Namespace::folded).unwrap_or_default();
                if !wish.name.to_ascii_lowercase().starts_with(&format!("{namespace}.")) {
                    return Err(Error::TokenOfNamespace(namespace));
                }
            }
        }
        let row = TokenRow::new(&wish.name, &caller.principal, expiry(wish.life)?);
        let principal = Grantee::token(&wish.name);
        let given = |grant| GrantRow::new(principal.clone(), grant, &caller.principal);
        let grants: Vec<GrantRow> = wish.grants.into_iter().map(given).collect();
        let token = Token::generate();
        if !self.catalog().add_token(&row, token.digest(), &grants, &caller.actor()).await? {
            return Err(Error::TokenExists(row.name));
        }
        Ok(NewToken { row, token })
    }

    /// Makes another token of the name of a valid one, which goes on for `overlap`: nobody is locked out meanwhile.
    ///
    /// It lives as long as the old one did unless `life` is said. Who only presents the old one gets none that outlives it:
    /// an end is an end, also for who stole it.
    ///
    /// # Errors
    /// [`Error::TokenNotFound`], [`Error::TokenLife`], [`Error::TokenOutlives`], [`Error::TooManyTokens`]; of the catalog.
    pub async fn rotate_token(
        &self,
        caller: &Caller,
        id: &str,
        life: Option<Duration>,
        overlap: Option<Duration>,
    ) -> Result<NewToken, Error> {
        let old = self.own_token(caller, id).await?;
        let principal = Grantee::token(&old.name);
        if principal.as_str() != caller.principal {
            // Whoever gets the new text may do what the principal may by now, which is perhaps more than its maker may.
            for row in self.catalog().grants_of(&[principal]).await? {
                self.admit_grant(caller, &row.grant.on).await?;
            }
        }
        if overlap.is_some_and(|overlap| overlap > *LIFE.end()) {
            return Err(Error::TokenLife);
        }
        let is_holder = Grantee::token(&old.name).as_str() == caller.principal;
        let mut row = TokenRow::new(&old.name, &caller.principal, expiry(life)?);
        if life.is_none() {
            row.expires_at = old.next_expiry();
        }
        if let Some(end) = old.expires_at.filter(|_| is_holder && !caller.may(Action::Operate, Resource::System))
            && row.expires_at.is_none_or(|at| at > end)
        {
            if life.is_some() {
                return Err(Error::TokenOutlives(end));
            }
            row.expires_at = Some(end);
        }
        let token = Token::generate();
        let until = row.created_at.plus(overlap.unwrap_or(OVERLAP));
        match self.catalog().rotate_token(id, until, &row, token.digest(), &caller.actor()).await? {
            Rotation::Done => Ok(NewToken { row, token }),
            Rotation::NotValid => Err(Error::TokenNotFound(id.to_owned())),
            Rotation::TooMany => Err(Error::TooManyTokens(old.name)),
        }
    }

    /// Tokens by id, valid or not: all of them for who operates the service, else those that the caller made.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn tokens(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<TokenRow, String>, Error> {
        let all = caller.may(Action::Operate, Resource::System);
        Ok(self.catalog().tokens((!all).then_some(&*caller.principal), after, limit).await?)
    }

    /// Revokes a token, or all of its name, at once; revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::TokenNotFound`]; of the catalog.
    pub async fn revoke_token(&self, caller: &Caller, id: &str, all: bool) -> Result<(), Error> {
        self.own_token(caller, id).await?;
        self.catalog().revoke_token(id, all, &caller.actor()).await?;
        Ok(())
    }

    /// A token that the caller may see: who operates the service, who made it, and whoever presents one of its name.
    async fn own_token(&self, caller: &Caller, id: &str) -> Result<TokenRow, Error> {
        let row = self.catalog().token(id).await?;
        let is_own = |row: &TokenRow| {
            caller.may(Action::Operate, Resource::System)
                || row.created_by == caller.principal
                || Grantee::token(&row.name).as_str() == caller.principal
        };
        row.filter(is_own).ok_or_else(|| Error::TokenNotFound(id.to_owned()))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    // The same rule as for the names of models, and for the same reason: it stands in logs and in grants.
    let valid = name.parse::<crate::domain::ModelName>().is_ok();
    if valid { Ok(()) } else { Err(Error::TokenName(name.chars().take(100).collect())) }
}

fn expiry(life: Option<Duration>) -> Result<Option<Timestamp>, Error> {
    match life {
        None => Ok(None),
        Some(life) if LIFE.contains(&life) => Ok(Some(Timestamp::now().plus(life))),
        Some(_) => Err(Error::TokenLife),
    }
}
