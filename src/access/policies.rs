//! The policies: the roles of the house, and those that the operator keeps in a directory.
//!
//! All are checked against the schema when the service starts, and a service with a wrong one does not start: a policy
//! that can never hold, or asks for what is not there, decides nothing, and nobody would notice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, Schema, SlotId, Template, ValidationMode, Validator};

use super::nesting::{MAX_BRACKETS, MAX_IFS, too_deep};
use crate::domain::Role;

/// The Cedar schema that policies are checked against.
pub const POLICY_SCHEMA: &str = include_str!("policy/strongroom.cedarschema");
const ROLES: &str = include_str!("policy/roles.cedar");
/// Largest file of policies, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Most files of policies.
const MAX_FILES: usize = 1_000;

/// The policies that hold for everybody, and the schema that they were checked against; cheap to clone.
#[derive(Debug, Clone)]
pub struct Policies {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    schema: Schema,
    /// The roles as templates, and the operator's policies.
    base: PolicySet,
    custom: usize,
}

/// Why a directory of policies cannot be used; the message names the place.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// The directory or a file.
    #[error("cannot read the policies in {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Too much of it.
    #[error("{} is too large: a file of policies has at most 1 MiB, a directory at most 1,000 files", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Not Cedar, or not by the schema.
    #[error("{place}: {problem}")]
    Wrong {
        /// File, line and column.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The house's own policies.
    #[error("the policies of the house are broken: {0}")]
    House(String),
}

impl Policies {
    /// The roles of the house alone.
    ///
    /// # Errors
    /// [`PoliciesError::House`] when they are broken.
    pub fn house() -> Result<Self, PoliciesError> {
        let broken = |error: &dyn std::fmt::Display| PoliciesError::House(error.to_string());
        let (schema, _) = Schema::from_cedarschema_str(POLICY_SCHEMA).map_err(|error| broken(&error))?;
        let written: PolicySet = ROLES.parse().map_err(|error: cedar_policy::ParseErrors| broken(&error))?;
        let mut base = PolicySet::new();
        for template in written.templates() {
            let name = template.annotation("id").unwrap_or_default().to_owned();
            base.add_template(template.new_id(PolicyId::new(name))).map_err(|error| broken(&error))?;
        }
        for role in Role::ALL {
            if base.template(&PolicyId::new(role.as_str())).is_none() {
                return Err(PoliciesError::House(format!("there is no template {role}")));
            }
        }
        let result = Validator::new(schema.clone()).validate(&base, ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            return Err(broken(error));
        }
        Ok(Self { inner: Arc::new(Inner { schema, base, custom: 0 }) })
    }

    /// The roles of the house, and every `*.cedar` file of a directory, in the order of their names.
    ///
    /// # Errors
    /// [`PoliciesError`] of the first thing that is wrong.
    pub fn with_directory(directory: &Path) -> Result<Self, PoliciesError> {
        let mut policies = Self::house()?;
        for path in files(directory)? {
            let text = read(&path)?;
            policies = policies.with_file(&path, &text)?;
        }
        Ok(policies)
    }

    /// These policies, and those of one file that says `text`.
    ///
    /// # Errors
    /// [`PoliciesError::Wrong`] with the place of the first thing that is wrong.
    pub fn with_file(mut self, path: &Path, text: &str) -> Result<Self, PoliciesError> {
        let inner = Arc::make_mut(&mut self.inner);
        for policy in parse(path, text, &inner.schema)? {
            inner.base.add(policy).map_err(|error| PoliciesError::House(error.to_string()))?;
            inner.custom += 1;
        }
        Ok(self)
    }

    /// How many policies the operator has added.
    pub fn custom(&self) -> usize {
        self.inner.custom
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// The policies with these grants: role, whom it is given to, what it is on.
    ///
    /// One that cannot be linked is left out: it would allow, and nothing else does.
    pub(super) fn linked(&self, grants: impl Iterator<Item = (String, Role, EntityUid, EntityUid)>) -> PolicySet {
        let mut policies = self.inner.base.clone();
        for (id, role, principal, resource) in grants {
            let values = [(SlotId::principal(), principal), (SlotId::resource(), resource)].into_iter().collect();
            if let Err(error) = policies.link(PolicyId::new(role.as_str()), PolicyId::new(id), values) {
                tracing::error!(error = &error as &dyn std::error::Error, "a grant could not be linked");
            }
        }
        policies
    }
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, PoliciesError> {
    let fail = |source| PoliciesError::Read { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(PoliciesError::TooLarge { path: directory.to_owned() });
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, PoliciesError> {
    let fail = |source| PoliciesError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > MAX_FILE_BYTES {
        return Err(PoliciesError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(fail)
}

/// The policies of one file, each known by the file's name and its number there, or by its `@id`.
fn parse(path: &Path, text: &str, schema: &Schema) -> Result<Vec<Policy>, PoliciesError> {
    if let Some(offset) = too_deep(text) {
        let problem = format!(
            "it is nested too deeply: at most {MAX_BRACKETS} brackets within each other, and {MAX_IFS} `if` in a policy"
        );
        return Err(PoliciesError::Wrong { place: place(path, text, offset), problem });
    }
    let written: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        let offset = errors.iter().next().and_then(offset_of).unwrap_or_default();
        PoliciesError::Wrong { place: place(path, text, offset), problem: errors.to_string() }
    })?;
    if let Some(template) = written.templates().next() {
        let problem = format!("a policy with a slot ({}) is for grants, and those are the house's", slots(template));
        return Err(PoliciesError::Wrong { place: place(path, text, 0), problem });
    }
    let result = Validator::new(schema.clone()).validate(&written, ValidationMode::Strict);
    if let Some(error) = result.validation_errors().next() {
        let offset = offset_of(error).unwrap_or_default();
        return Err(PoliciesError::Wrong { place: place(path, text, offset), problem: error.to_string() });
    }
    // That a policy can never hold is only a warning of the validator, and a mistake here.
    if let Some(warning) = result.validation_warnings().next() {
        let offset = offset_of(warning).unwrap_or_default();
        return Err(PoliciesError::Wrong { place: place(path, text, offset), problem: warning.to_string() });
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named = |policy: &Policy| {
        let own = policy.annotation("id").filter(|id| !id.is_empty());
        let id = format!("{file}:{}", own.map_or_else(|| policy.id().to_string(), str::to_owned));
        policy.new_id(PolicyId::new(id))
    };
    let mut policies: Vec<Policy> = written.policies().map(named).collect();
    policies.sort_by(|a, b| a.id().cmp(b.id()));
    if let Some(pair) = policies.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
        let problem = format!("two policies have the id {}", pair[0].id());
        return Err(PoliciesError::Wrong { place: place(path, text, 0), problem });
    }
    Ok(policies)
}

fn slots(template: &Template) -> String {
    template.slots().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where in the text an error is about.
fn offset_of(error: &(impl miette::Diagnostic + ?Sized)) -> Option<usize> {
    Some(error.labels()?.next()?.offset())
}

/// `file:line:column`, from 1, counted in characters.
fn place(path: &Path, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", path.display())
}
