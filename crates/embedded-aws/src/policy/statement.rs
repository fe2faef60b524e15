//! One statement: whom, what and which objects it is about.

use super::action::{self, Level};
use super::condition::{self, Condition};
use super::json::Json;
use super::key::Context;
use super::pattern;
use super::{Caller, PolicyError};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// How a statement came to speak of a caller.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reach {
    /// Through the caller's account: an Allow then only counts together with an identity policy.
    Account,
    /// By name, or as one of everyone.
    Direct,
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    principals: Vec<Principal>,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

#[derive(Debug)]
enum Principal {
    Everyone,
    /// An account by its number or its root ARN: everybody in it.
    Account(String),
    Arn(String),
}

/// A list that is matched, or with `Not…` one that must not match.
#[derive(Debug)]
struct Patterns {
    list: Vec<String>,
    negated: bool,
    ignore_case: bool,
}

impl Statement {
    /// Parses one statement of the policy of `bucket`; `place` names it in errors.
    pub(crate) fn parse(place: &str, element: &Json, bucket: &str) -> Result<Self, PolicyError> {
        let members = element
            .members()
            .ok_or_else(|| PolicyError::WrongType { place: place.to_owned(), expected: "an object" })?;
        let known = ["Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        for (name, _) in members {
            if name == "NotPrincipal" {
                return Err(PolicyError::NotPrincipal);
            }
            if !known.contains(&name.as_str()) {
                return Err(PolicyError::UnknownElement { place: place.to_owned(), element: name.clone() });
            }
        }
        let find = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let demand = |element| find(element).ok_or(PolicyError::Missing { place: place.to_owned(), element });

        let sid = find("Sid").map(|sid| text(place, "Sid", sid)).transpose()?;
        let effect = match text(place, "Effect", demand("Effect")?)?.as_str() {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => return Err(PolicyError::Effect(other.to_owned())),
        };
        let principals = parse_principals(place, demand("Principal")?)?;
        let actions = Patterns::parse(place, "Action", find("Action"), find("NotAction"), true)?;
        for name in &actions.list {
            let spelled = name == "*" || name.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("s3:"));
            if !spelled || action::levels(name).is_empty() {
                return Err(PolicyError::Action(name.clone()));
            }
        }
        let resources = Patterns::parse(place, "Resource", find("Resource"), find("NotResource"), false)?;
        for name in &resources.list {
            if resource_level(name, bucket).is_none() {
                return Err(PolicyError::Resource(name.clone()));
            }
        }
        if !actions.negated && !resources.negated {
            every_action_has_a_resource(&actions.list, &resources.list, bucket)?;
        }
        let conditions = match find("Condition") {
            Some(element) => condition::parse(place, element)?,
            None => Vec::new(),
        };
        Ok(Self { sid, effect, principals, actions, resources, conditions })
    }

    /// Whether the statement speaks of this request, and how; `None` when it does not.
    pub(crate) fn reaches(&self, caller: &Caller, action: &str, resource: &str, context: &Context) -> Option<Reach> {
        let reach = self.principals.iter().filter_map(|principal| principal.reaches(caller)).max()?;
        (self.actions.matches(action)
            && self.resources.matches(resource)
            && self.conditions.iter().all(|condition| condition.holds(context)))
        .then_some(reach)
    }

    /// Whether this statement alone makes the bucket public.
    pub(crate) fn is_public(&self) -> bool {
        self.effect == Effect::Allow
            && self.principals.iter().any(|principal| matches!(principal, Principal::Everyone))
            && !self.conditions.iter().any(Condition::narrows)
    }
}

impl Principal {
    fn reaches(&self, caller: &Caller) -> Option<Reach> {
        match (self, caller) {
            (Self::Everyone, _) => Some(Reach::Direct),
            (_, Caller::Anonymous) => None,
            (Self::Account(wanted), Caller::Known { account, .. }) => (wanted == account).then_some(Reach::Account),
            (Self::Arn(wanted), Caller::Known { arn, .. }) => (wanted == arn).then_some(Reach::Direct),
        }
    }

    /// Parses an account number or an IAM ARN; wildcards are not allowed in it, as in S3.
    fn parse(name: &str) -> Result<Self, PolicyError> {
        let invalid = || PolicyError::Principal(name.to_owned());
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if name == "*" {
            return Ok(Self::Everyone);
        }
        if is_account(name) {
            return Ok(Self::Account(name.to_owned()));
        }
        if name.contains(['*', '?', '$']) {
            return Err(invalid());
        }
        let parts: Vec<&str> = name.splitn(6, ':').collect();
        let ["arn", "aws", service, "", account, who] = parts.as_slice() else { return Err(invalid()) };
        if !is_account(account) {
            return Err(invalid());
        }
        match (*service, who.split_once('/')) {
            ("iam", None) if *who == "root" => Ok(Self::Account((*account).to_owned())),
            ("iam", Some(("user" | "role", rest))) | ("sts", Some(("assumed-role" | "federated-user", rest)))
                if !rest.is_empty() =>
            {
                Ok(Self::Arn(name.to_owned()))
            }
            _ => Err(invalid()),
        }
    }
}

impl Patterns {
    fn parse(
        place: &str,
        element: &'static str,
        plain: Option<&Json>,
        negated: Option<&Json>,
        ignore_case: bool,
    ) -> Result<Self, PolicyError> {
        let (list, negated) = match (plain, negated) {
            (Some(_), Some(_)) => return Err(PolicyError::Both { place: place.to_owned(), element }),
            (Some(list), None) => (list, false),
            (None, Some(list)) => (list, true),
            (None, None) => return Err(PolicyError::Missing { place: place.to_owned(), element }),
        };
        let list = list.one_or_many().iter().map(|item| text(place, element, item)).collect::<Result<Vec<_>, _>>()?;
        if list.is_empty() {
            return Err(PolicyError::Empty { place: place.to_owned(), element });
        }
        Ok(Self { list, negated, ignore_case })
    }

    fn matches(&self, text: &str) -> bool {
        self.list.iter().any(|wanted| pattern::matches(wanted, text, self.ignore_case)) != self.negated
    }
}

fn parse_principals(place: &str, element: &Json) -> Result<Vec<Principal>, PolicyError> {
    let names = match element {
        Json::Text(name) if name == "*" => return Ok(vec![Principal::Everyone]),
        Json::Text(name) => return Err(PolicyError::Principal(name.clone())),
        Json::Object(members) => match members.as_slice() {
            [(kind, names)] if kind == "AWS" => names,
            [(kind, _), ..] if kind != "AWS" => return Err(PolicyError::Principal(kind.clone())),
            [_, (kind, _), ..] => return Err(PolicyError::Principal(kind.clone())),
            _ => return Err(PolicyError::Empty { place: place.to_owned(), element: "Principal" }),
        },
        _ => {
            return Err(PolicyError::WrongType {
                place: format!("{place}: Principal"),
                expected: "\"*\" or an object",
            });
        }
    };
    let principals = names
        .one_or_many()
        .iter()
        .map(|name| Principal::parse(&text(place, "Principal", name)?))
        .collect::<Result<Vec<_>, _>>()?;
    if principals.is_empty() {
        return Err(PolicyError::Empty { place: place.to_owned(), element: "Principal" });
    }
    Ok(principals)
}

fn text(place: &str, element: &'static str, value: &Json) -> Result<String, PolicyError> {
    let text = value
        .text()
        .ok_or_else(|| PolicyError::WrongType { place: format!("{place}: {element}"), expected: "a string" })?;
    if text.contains("${") {
        return Err(PolicyError::Variable(text.to_owned()));
    }
    Ok(text.to_owned())
}

/// What a resource of a policy of `bucket` names; `None` when it is malformed or reaches outside the bucket.
fn resource_level(resource: &str, bucket: &str) -> Option<Level> {
    let rest = resource.strip_prefix("arn:aws:s3:::")?.strip_prefix(bucket)?;
    match rest.strip_prefix('/') {
        None => rest.is_empty().then_some(Level::Bucket),
        Some(key) => (!key.is_empty()).then_some(Level::Object),
    }
}

fn every_action_has_a_resource(actions: &[String], resources: &[String], bucket: &str) -> Result<(), PolicyError> {
    let levels: Vec<Level> = resources.iter().filter_map(|resource| resource_level(resource, bucket)).collect();
    match actions.iter().find(|name| !action::levels(name).iter().any(|level| levels.contains(level))) {
        Some(name) => Err(PolicyError::ActionWithoutResource(name.clone())),
        None => Ok(()),
    }
}
