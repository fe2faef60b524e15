//! Bearer tokens of identity providers: CI jobs and service accounts need no stored secret.
//!
//! A token is a JWT of one of the configured issuers. The `iss` that it claims only selects the issuer; what it may be
//! signed with comes from the settings and from the issuer's published key, never from the token. In reading order:
//! `settings`, `presented` (what the token says, not yet believed), `key` and `ring` (the issuer's keys, and how long
//! they are believed), `source` (how they are fetched), `claims` (what a proven token says of its bearer).

mod claims;
mod key;
mod presented;
mod ring;
mod settings;
mod source;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

pub use key::UnusableKey;
pub use settings::{Algorithm, IssuerSettings, KeyPlace, Windows};
pub use source::{KeysError, may_be_asked};

use self::presented::Presented;
use self::ring::Ring;
use crate::domain::Timestamp;

/// The identity providers whose tokens are believed. Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Issuers(Arc<HashMap<String, Issuer>>);

struct Issuer {
    settings: IssuerSettings,
    ring: Arc<Ring>,
}

/// Who presents a token that was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Short name of the issuer, from the settings.
    pub issuer: String,
    /// The claim `sub`, 1 to 512 bytes.
    pub subject: String,
    /// `oidc:{issuer}:{principal claim}`; the name of an issuer has no colon, so no two issuers share one.
    pub principal: String,
    /// `{issuer}:{group}`, each once, in the token's order; at most 256.
    pub groups: Vec<String>,
    /// The claims that the settings list and the token has, by the name in the settings, as text.
    pub claims: BTreeMap<String, String>,
    /// The claim `exp`. It may have passed up to [`LEEWAY`] ago.
    pub expires_at: Timestamp,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is wrong, and stays so.
    #[error("{0}")]
    Invalid(
        /// Why, for the log of the service; nothing of the token.
        &'static str,
    ),
    /// The keys of its issuer cannot be had now: it may be right.
    #[error("the keys of the token's issuer cannot be had now")]
    Unavailable,
}

/// How far the clocks of an issuer and of this machine may differ, in seconds.
pub const LEEWAY: u64 = 30;

impl Issuers {
    /// Believes these issuers, each asked through its own client; nothing is fetched yet.
    ///
    /// Of two entries with the same issuer the later one counts; the configuration refuses them. A client that follows
    /// redirects is found out: then no key is had.
    pub fn new(issuers: Vec<(IssuerSettings, reqwest::Client)>, windows: Windows) -> Self {
        let entry = |(settings, client): (IssuerSettings, reqwest::Client)| {
            let ring = Ring::new(settings.clone(), client, windows);
            (settings.issuer.clone(), Issuer { settings, ring: Arc::new(ring) })
        };
        Self(Arc::new(issuers.into_iter().map(entry).collect()))
    }

    /// Who presents this text; none when it does not have the form of a JWT, and so is another kind of token.
    pub async fn identify(&self, presented: &str) -> Option<Result<Identity, Refused>> {
        if !presented::has_the_form(presented) {
            return None;
        }
        Some(self.believe(presented).await)
    }

    async fn believe(&self, text: &str) -> Result<Identity, Refused> {
        let presented = Presented::read(text)?;
        // Only configured issuers are ever asked: a stranger cannot send the service to an address of his choice.
        let issuer = self.0.get(&presented.issuer).ok_or(Refused::Invalid("its issuer is not configured"))?;
        let algorithm = Algorithm::parse(&presented.algorithm)
            .filter(|algorithm| issuer.settings.algorithms.contains(algorithm))
            .ok_or(Refused::Invalid("its algorithm is not allowed for its issuer"))?;
        let key = issuer.ring.key(presented.kid.as_deref(), algorithm).await?;
        let claims = claims::prove(text, &key, algorithm, &issuer.settings)?;
        claims::identity(&claims, &issuer.settings, Timestamp::now())
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
