//! Why a bucket policy was not accepted.

/// The reason, as the message of S3's `MalformedPolicy` says it.
///
/// Whatever this module cannot evaluate is here: nothing in an accepted policy is ignored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy has {size} bytes, more than the {limit} allowed")]
    TooLarge { size: usize, limit: usize },
    #[error("the policy is not valid JSON: {0}")]
    NotJson(String),
    #[error("{place} must be {expected}")]
    WrongType { place: String, expected: &'static str },
    #[error("{place} has an unsupported element {element:?}")]
    UnknownElement { place: String, element: String },
    #[error("{place} lacks {element}")]
    Missing { place: String, element: &'static str },
    #[error("{place} has both {element} and Not{element}")]
    Both { place: String, element: &'static str },
    #[error("{place}: {element} is empty")]
    Empty { place: String, element: &'static str },
    #[error("version {0:?} is neither 2012-10-17 nor 2008-10-17")]
    Version(String),
    #[error("effect {0:?} is neither Allow nor Deny")]
    Effect(String),
    #[error("Sid {0:?} is used twice")]
    RepeatedSid(String),
    #[error("NotPrincipal is not supported; use a condition on aws:PrincipalArn")]
    NotPrincipal,
    #[error("invalid principal {0:?}")]
    Principal(String),
    #[error("invalid action {0:?}")]
    Action(String),
    #[error("invalid resource {0:?}: it must be the bucket's ARN or lie under it")]
    Resource(String),
    #[error("action {0:?} does not apply to any resource of its statement")]
    ActionWithoutResource(String),
    #[error("policy variables are not supported: {0:?}")]
    Variable(String),
    #[error("condition operator {0:?} is not supported")]
    Operator(String),
    #[error("condition key {0:?} is not supported")]
    ConditionKey(String),
    #[error("condition operator {operator} cannot take the value {value:?}")]
    ConditionValue { operator: String, value: String },
}
