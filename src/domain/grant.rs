//! Grants: a role on a namespace, a model or everything.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ModelRef, Namespace};

/// What a grant allows; each role allows what the one before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See and download.
    Reader,
    /// Fill drafts, publish and describe versions.
    Writer,
    /// Move aliases.
    Publisher,
    /// Delete, govern, protected aliases, and grants to others; on `*` everything.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Writer, Self::Publisher, Self::Admin];

    /// The form that is stored, and the name of its policy template.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Publisher => "publisher",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| InvalidGrant::Role(text.to_owned()))
    }
}

/// What a grant is on: `*`, a namespace, or a model as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantOn {
    /// The service, and everything in it.
    Everything,
    /// A namespace and its models.
    Namespace(Namespace),
    /// One model.
    Model(ModelRef),
}

/// Why a text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrant {
    /// No such role.
    #[error("a role is reader, writer, publisher or admin, not {0:?}")]
    Role(String),
    /// Names nothing.
    #[error("a grant is on `*`, a namespace, or a model as `namespace/name`, not {0:?}")]
    On(String),
    /// Names nobody.
    #[error(
        "a principal is `token:NAME`, `oidc:ISSUER:SUBJECT` or `group:ISSUER:GROUP`, of visible characters and at most \
         512 bytes, not {0:?}"
    )]
    Principal(String),
}

impl GrantOn {
    /// The namespace that it is or is in.
    pub fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Everything => None,
            Self::Namespace(namespace) => Some(namespace),
            Self::Model(model) => Some(&model.namespace),
        }
    }

    /// The form in which it is compared: names that differ only in case are the same.
    pub fn folded(&self) -> String {
        match self {
            Self::Everything => "*".to_owned(),
            Self::Namespace(namespace) => namespace.folded(),
            Self::Model(model) => format!("{}/{}", model.namespace.folded(), model.name.folded()),
        }
    }
}

impl fmt::Display for GrantOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Namespace(namespace) => namespace.fmt(f),
            Self::Model(model) => model.fmt(f),
        }
    }
}

impl FromStr for GrantOn {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let wrong = || InvalidGrant::On(text.chars().take(200).collect());
        if text == "*" {
            return Ok(Self::Everything);
        }
        let Some((namespace, name)) = text.split_once('/') else {
            return text.parse().map(Self::Namespace).map_err(|_| wrong());
        };
        match (namespace.parse(), name.parse()) {
            (Ok(namespace), Ok(name)) => Ok(Self::Model(ModelRef { namespace, name })),
            _ => Err(wrong()),
        }
    }
}

/// Whom a grant is given to: a principal, or everybody of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grantee(String);

impl Grantee {
    /// Everybody who presents a token of this name.
    pub fn token(name: &str) -> Self {
        Self(format!("token:{name}"))
    }

    /// As stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group, if it is one, without what marks it as one.
    pub fn group(&self) -> Option<&str> {
        self.0.strip_prefix("group:")
    }
}

impl FromStr for Grantee {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let visible = text.len() <= 512 && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        let named = match text.split_once(':') {
            Some(("token", name)) => !name.is_empty(),
            Some(("oidc" | "group", rest)) => {
                rest.split_once(':').is_some_and(|(issuer, name)| !issuer.is_empty() && !name.is_empty())
            }
            _ => false,
        };
        if visible && named {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGrant::Principal(text.chars().take(200).collect()))
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role on something; to whom is known from where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it allows.
    pub role: Role,
    /// On what.
    pub on: GrantOn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_as_they_are_written() {
        for text in ["*", "vision", "vision/resnet"] {
            assert_eq!(text.parse::<GrantOn>().unwrap().to_string(), text);
        }
        assert_eq!("Vision/ResNet".parse::<GrantOn>().unwrap().folded(), "vision/resnet");
        for text in ["", "/", "a/", "/b", "a/b/c", "**", "a b", "vision/*"] {
            assert!(text.parse::<GrantOn>().is_err(), "{text}");
        }
        for text in ["token:ci", "oidc:github:repo:acme/x:ref:refs/heads/main", "group:corp:ml"] {
            assert_eq!(text.parse::<Grantee>().unwrap().as_str(), text);
        }
        for text in ["", "ci", "token:", "oidc:github", "oidc::x", "group:corp:", "user:x", "token:a b", "token:a\n"] {
            assert!(text.parse::<Grantee>().is_err(), "{text}");
        }
        assert!("owner".parse::<Role>().is_err());
        assert!(Role::Reader < Role::Admin);
    }
}
