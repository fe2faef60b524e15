//! What is configured about an issuer.

use std::path::PathBuf;
use std::time::Duration;

/// One identity provider whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Short name, of `a-z 0-9 -`: part of principals, so it is never changed.
    pub name: String,
    /// The exact `iss` of its tokens, a URL.
    pub issuer: String,
    /// A token is for us when its `aud` has one of these; not empty.
    pub audiences: Vec<String>,
    /// The claim that names the principal; by default `sub`.
    pub principal_claim: String,
    /// The claim with the groups, a text or a list of texts.
    pub groups_claim: Option<String>,
    /// Claims that are kept for policies, when they are a text, a number or true/false.
    pub claims: Vec<String>,
    /// What its tokens may be signed with; by default each [`Algorithm`].
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: KeyPlace,
    /// PEM certificates that are trusted for it instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// Where the discovery document says, whose URL this is.
    Discovery(String),
    /// At this URL, without discovery.
    Url {
        /// The URL of the key set.
        url: String,
        /// A file with a bearer token to present there, read at each fetch. Sent nowhere else.
        token_file: Option<PathBuf>,
    },
    /// In this file, read again as often as a URL would be.
    File(PathBuf),
}

impl KeyPlace {
    /// The place for an issuer of which nothing more is known, as OpenID Connect Discovery 1.0 §4 says.
    pub fn of_issuer(issuer: &str) -> Self {
        Self::Discovery(format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))
    }
}

/// A signature algorithm of RFC 7518 and 8037. Asymmetric ones only: a public key must never do as a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The one of this registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    pub(super) const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::RS384 => jsonwebtoken::Algorithm::RS384,
            Self::RS512 => jsonwebtoken::Algorithm::RS512,
            Self::PS256 => jsonwebtoken::Algorithm::PS256,
            Self::PS384 => jsonwebtoken::Algorithm::PS384,
            Self::PS512 => jsonwebtoken::Algorithm::PS512,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::ES384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// How long keys are believed, and how often an issuer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// After this time keys are fetched again before the next token is believed: how long a withdrawn key goes on.
    pub fresh: Duration,
    /// An issuer is asked once in this time at most, whatever tokens come.
    pub pause: Duration,
    /// For this time after they were fetched, keys are believed while their issuer cannot be asked.
    pub last_good: Duration,
    /// For this time a key id that the issuer did not have is not asked for again.
    pub unknown: Duration,
    /// How long a fetch may take, discovery included.
    pub fetch: Duration,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            fresh: Duration::from_mins(10),
            pause: Duration::from_secs(10),
            last_good: Duration::from_hours(24),
            unknown: Duration::from_mins(2),
            fetch: Duration::from_secs(5),
        }
    }
}
