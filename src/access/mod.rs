//! Who is calling, and what they may do.
//!
//! A caller is known by an API token. The one role so far is that of the administrator, whose token is made at the
//! first start; a caller without a valid token does not get as far as the registry.

mod bootstrap;
pub mod oidc;
mod token;

pub use bootstrap::{BootstrapError, admin_token};
pub use token::Token;

use crate::catalog::{self, Catalog};
use crate::domain::ModelRef;

/// Who is calling: the first argument of every verb of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Stable name, recorded with what the caller makes.
    pub principal: String,
    /// What the caller may do.
    pub role: Role,
}

impl Caller {
    /// Whether the caller may read a model.
    pub fn may_read(&self, _model: &ModelRef) -> bool {
        match self.role {
            Role::Admin => true,
        }
    }
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
}

impl Role {
    /// The form that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        (text == "admin").then_some(Self::Admin)
    }
}

/// The caller who presents this text as a token; none when there is no such token.
///
/// # Errors
/// Of the catalog.
pub async fn authenticate(catalog: &Catalog, presented: &str) -> Result<Option<Caller>, catalog::Error> {
    // The checksum in the token turns away typing errors and scanners without a look into the catalog.
    let Some(token) = Token::parse(presented) else { return Ok(None) };
    let row = catalog.token_by_digest(token.digest()).await?;
    Ok(row.and_then(|row| Role::parse(&row.role).map(|role| Caller { principal: format!("token:{}", row.name), role })))
}
