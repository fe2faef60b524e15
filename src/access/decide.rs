//! The one place where it is decided who may do what.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};

use super::Policies;
use crate::domain::{Alias, Grant, GrantOn, Grantee, Labels, ModelRef, Namespace, Timestamp};

/// What somebody asks to do; the policies know it by the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Names, descriptions, versions, lists of files, aliases.
    Read,
    /// Bytes, through the service or by presigned URLs.
    Download,
    /// Posture and metrics.
    Observe,
    /// Drafts: fill, see, discard.
    Draft,
    /// Make a version.
    Publish,
    /// Change what is said of a model or a version.
    Describe,
    /// An alias.
    MoveAlias,
    /// An alias that its namespace protects.
    MoveProtectedAlias,
    /// Delete and restore.
    Delete,
    /// Holds, retention rules, what a namespace demands.
    Govern,
    /// Grants to others.
    Grant,
    /// Tokens, outputs, overrides, the audit log.
    Operate,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Download,
        Self::Observe,
        Self::Draft,
        Self::Publish,
        Self::Describe,
        Self::MoveAlias,
        Self::MoveProtectedAlias,
        Self::Delete,
        Self::Govern,
        Self::Grant,
        Self::Operate,
    ];

    /// The smallest role that has it.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Read | Self::Download => "reader",
            Self::Draft | Self::Publish | Self::Describe => "writer",
            Self::MoveAlias => "publisher",
            Self::MoveProtectedAlias | Self::Delete | Self::Govern | Self::Grant => "admin",
            Self::Observe | Self::Operate => "admin of everything",
        }
    }

    /// The word of the policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Download => "download",
            Self::Observe => "observe",
            Self::Draft => "draft",
            Self::Publish => "publish",
            Self::Describe => "describe",
            Self::MoveAlias => "moveAlias",
            Self::MoveProtectedAlias => "moveProtectedAlias",
            Self::Delete => "delete",
            Self::Govern => "govern",
            Self::Grant => "grant",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(())
    }
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The service itself.
    System,
    /// A namespace, whether there is one or not.
    Namespace(&'a Namespace),
    /// A model, whether there is one or not, with its labels.
    Model(&'a ModelRef, &'a Labels),
    /// An alias of a model, whether there is one or not.
    Alias {
        /// The model.
        model: &'a ModelRef,
        /// Its labels.
        labels: &'a Labels,
        /// The alias.
        alias: &'a Alias,
        /// Whether the namespace protects it.
        protected: bool,
    },
}

/// Whether something is allowed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is.
    pub allowed: bool,
    /// The policies and grants that decided; none when nothing allows it.
    pub because: Vec<String>,
    /// What went wrong in policies, which then count for nothing.
    pub errors: Vec<String>,
}

/// Whoever asks: known, with everything that was granted.
#[derive(Clone)]
pub struct Subject {
    principal: EntityUid,
    entity: Entity,
    groups: Vec<Entity>,
    address: Option<IpAddr>,
    policies: PolicySet,
    house: Policies,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// What is known of whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// `token:{name}` or `oidc:{issuer}:{subject}`.
    pub principal: String,
    /// `{issuer}:{group}`.
    pub groups: Vec<String>,
    /// The configured name of the identity provider.
    pub issuer: Option<String>,
    /// Claims of the identity provider.
    pub claims: BTreeMap<String, String>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// What was granted to the principal and to its groups: id, to whom, what.
    pub grants: Vec<(String, Grantee, Grant)>,
}

impl Subject {
    /// A subject under these policies.
    pub fn new(house: &Policies, known: Known) -> Self {
        let principal = uid("Principal", &known.principal);
        let groups: Vec<Entity> =
            known.groups.iter().map(|group| Entity::new_no_attrs(uid("Group", group), [].into())).collect();
        let kind = if known.issuer.is_some() { "oidc" } else { "token" };
        let mut attributes = vec![("name".to_owned(), string(&known.principal)), ("kind".to_owned(), string(kind))];
        attributes.extend(known.issuer.as_deref().map(|issuer| ("issuer".to_owned(), string(issuer))));
        let parents = groups.iter().map(Entity::uid);
        let tags = known.claims.iter().map(|(name, value)| (name.clone(), string(value)));
        // Strings evaluate to themselves: there is nothing in them that could fail.
        let entity = Entity::new_with_tags(principal.clone(), attributes, parents, tags)
            .unwrap_or_else(|_| Entity::new_no_attrs(principal.clone(), [].into()));
        let grants = known.grants.iter().map(|(id, to, grant)| {
            let to = to.group().map_or_else(|| uid("Principal", to.as_str()), |group| uid("Group", group));
            (format!("grant:{id}"), grant.role, to, granted(&grant.on))
        });
        let policies = house.linked(grants);
        Self { principal, entity, groups, address: known.address, policies, house: house.clone() }
    }

    /// Decides. What no policy allows is not allowed.
    pub fn decide(&self, action: Action, resource: Resource<'_>) -> Verdict {
        match self.asked(action, resource) {
            Ok((request, entities)) => {
                let answer = Authorizer::new().is_authorized(&request, &self.policies, &entities);
                let mut because: Vec<String> = answer.diagnostics().reason().map(ToString::to_string).collect();
                because.sort();
                let errors = answer.diagnostics().errors().map(ToString::to_string).collect();
                Verdict { allowed: answer.decision() == Decision::Allow, because, errors }
            }
            // Only a question that the schema does not know, such as a download of the service itself.
            Err(problem) => Verdict { allowed: false, because: Vec::new(), errors: vec![problem] },
        }
    }

    fn asked(&self, action: Action, resource: Resource<'_>) -> Result<(Request, Entities), String> {
        // Whole seconds: Cedar knows no fraction but one of three digits.
        let now = Timestamp::from_millis(Timestamp::now().millis() / 1000 * 1000).to_string();
        let mut context = vec![("now".to_owned(), RestrictedExpression::new_datetime(now))];
        context.extend(
            self.address.map(|address| ("address".to_owned(), RestrictedExpression::new_ip(address.to_string()))),
        );
        let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
        let (resource, mut entities) = entities_of(resource)?;
        entities.push(self.entity.clone());
        entities.extend(self.groups.iter().cloned());
        let schema = self.house.schema();
        let action = uid("Action", action.as_str());
        let request = Request::new(self.principal.clone(), action, resource, context, Some(schema))
            .map_err(|error| error.to_string())?;
        let entities = Entities::from_entities(entities, Some(schema)).map_err(|error| error.to_string())?;
        Ok((request, entities))
    }
}

/// What a grant is on, as the policies know it.
fn granted(on: &GrantOn) -> EntityUid {
    match on {
        GrantOn::Everything => system(),
        GrantOn::Namespace(namespace) => of_namespace(namespace),
        GrantOn::Model(model) => of_model(model),
    }
}

/// A resource, and what it lies in.
fn entities_of(resource: Resource<'_>) -> Result<(EntityUid, Vec<Entity>), String> {
    let failed = |error: cedar_policy::EntityAttrEvaluationError| error.to_string();
    let mut all = vec![Entity::new_no_attrs(system(), [].into())];
    let (namespace, model, alias) = match resource {
        Resource::System => return Ok((system(), all)),
        Resource::Namespace(namespace) => (namespace, None, None),
        Resource::Model(model, labels) => (&model.namespace, Some((model, labels)), None),
        Resource::Alias { model, labels, alias, protected } => {
            (&model.namespace, Some((model, labels)), Some((alias, protected)))
        }
    };
    let mut found = of_namespace(namespace);
    let name = [("name".to_owned(), string(&namespace.folded()))];
    all.push(Entity::new_with_tags(found.clone(), name, [system()], []).map_err(failed)?);
    if let Some((model, labels)) = model {
        let parent = std::mem::replace(&mut found, of_model(model));
        let names = [
            ("namespace".to_owned(), string(&model.namespace.folded())),
            ("name".to_owned(), string(&model.name.folded())),
        ];
        let tags = labels.as_map().iter().map(|(name, value)| (name.clone(), string(value)));
        all.push(Entity::new_with_tags(found.clone(), names, [parent], tags).map_err(failed)?);
        if let Some((alias, protected)) = alias {
            let parent = std::mem::replace(&mut found, uid("Alias", &format!("{}:{alias}", folded(model))));
            let attributes = [
                ("name".to_owned(), string(alias.as_str())),
                ("protected".to_owned(), RestrictedExpression::new_bool(protected)),
            ];
            all.push(Entity::new_with_tags(found.clone(), attributes, [parent], []).map_err(failed)?);
        }
    }
    Ok((found, all))
}

fn system() -> EntityUid {
    uid("System", "strongroom")
}

/// Names that differ only in case are the same name, for grants too.
fn of_namespace(namespace: &Namespace) -> EntityUid {
    uid("Namespace", &namespace.folded())
}

fn of_model(model: &ModelRef) -> EntityUid {
    uid("Model", &folded(model))
}

fn folded(model: &ModelRef) -> String {
    format!("{}/{}", model.namespace.folded(), model.name.folded())
}

fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

/// The type is one of the schema's words, all of which are names.
fn uid(kind: &'static str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name(kind), EntityId::new(id))
}

#[expect(clippy::expect_used, reason = "the words are the schema's own, and tests name each")]
fn type_name(kind: &'static str) -> EntityTypeName {
    EntityTypeName::from_str(kind).expect("a word of the schema is a name")
}
