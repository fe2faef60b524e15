//! `strongroom bucket iam`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Ended, note};
use crate::app;
use crate::cli::{Settings, print, runtime, with_causes};
use crate::config::Config;
use crate::provision::iam::{self, NoPolicy, Role, Scope};
use crate::provision::{KeyWish, Wanted};

/// Print the IAM policies to grant for this configuration; documents on standard output, advice on standard error.
#[derive(Debug, Args)]
pub(in crate::cli) struct Iam {
    #[command(flatten)]
    settings: Settings,
    /// One role's policy, for `aws iam put-role-policy --policy-document file://…`; all of them by role without this.
    #[arg(long, value_enum)]
    role: Option<RoleName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Makes the bucket and the key, and changes their settings.
    Provisioner,
    /// Serves.
    Runtime,
    /// Removes versions that nobody refers to.
    Sweeper,
    /// Schedules the deletion of the key.
    Destroyer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Provisioner => Self::Provisioner,
            RoleName::Runtime => Self::Runtime,
            RoleName::Sweeper => Self::Sweeper,
            RoleName::Destroyer => Self::Destroyer,
        }
    }
}

impl Iam {
    pub(super) fn run(self) -> Ended {
        let config = super::prepare(&self.settings)?;
        let (wanted, key) = runtime()?.block_on(async {
            let wanted = app::desired::wanted(&config).await?;
            Ok::<_, Box<dyn std::error::Error>>((wanted, app::desired::key(&config).await))
        })?;
        let (key, no_key) = match key {
            Ok(key) => (key, None),
            Err(error) => (None, Some(with_causes(&error))),
        };
        let scope = Scope { wanted: &wanted, key: key.as_ref(), provision_role: app::desired::provision_role(&config) };
        let asked = self.role.map(Role::from);
        let mut policies = BTreeMap::new();
        for role in asked.map_or(Role::ALL.to_vec(), |role| vec![role]) {
            match iam::policy(role, &scope) {
                Ok(policy) => {
                    policies.insert(role.as_str(), policy);
                    advise(role, &config, &wanted);
                }
                Err(refused) => {
                    let why = match (&refused, &no_key) {
                        (NoPolicy::KeyUnknown { .. }, Some(why)) => format!("{refused}\n  because: {why}"),
                        _ => refused.to_string(),
                    };
                    // Asked for this one, the operator gets it or an error; asked for all, those that there are.
                    if asked.is_some() {
                        return Err(why.into());
                    }
                    note(&why);
                }
            }
        }
        let json = match asked {
            Some(role) => serde_json::to_string_pretty(&policies[role.as_str()])?,
            None => serde_json::to_string_pretty(&policies)?,
        };
        print(&(json + "\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What the document itself cannot say.
fn advise(role: Role, config: &Config, wanted: &Wanted) {
    match role {
        Role::Provisioner if matches!(wanted.key, KeyWish::Alias(_)) => note(
            "provisioner: KMS takes up to five minutes to honour the tags of a new key; if the first `bucket apply` \
             is denied an action on the key, run it again then",
        ),
        Role::Runtime if app::desired::provision_role(config).is_some() => note(
            "runtime: it may become the provisioner at any time, as STRONGROOM_PROVISION_ROLE_ARN asks; it need not \
             when `bucket apply` runs elsewhere and the service with STRONGROOM_PROVISION=verify",
        ),
        Role::Runtime if config.provision.changes() => note(
            "runtime: run the service with STRONGROOM_PROVISION=verify; with another mode its role needs the \
             provisioner's policy as well, or STRONGROOM_PROVISION_ROLE_ARN",
        ),
        Role::Sweeper => note("sweeper: the only role that can delete what is published; give it to no service"),
        Role::Provisioner | Role::Runtime | Role::Destroyer => {}
    }
}
