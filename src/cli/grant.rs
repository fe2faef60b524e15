//! `strongroom grant`.

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Settings, print, runtime};
use crate::app::access::{self as app, GrantRow};
use crate::domain::{self, GrantOn, Grantee, Role};

/// Give, list and take back roles; a running service knows of it at once.
#[derive(Debug, Subcommand)]
pub(super) enum Grant {
    /// Give a role to a principal or a group.
    Add {
        /// `token:NAME`, `oidc:ISSUER:SUBJECT` or `group:ISSUER:GROUP`.
        principal: Grantee,
        /// reader, writer, publisher or admin.
        role: Role,
        /// `*`, a namespace, or a model as `namespace/name`.
        on: GrantOn,
        #[command(flatten)]
        settings: Settings,
    },
    /// List grants.
    List {
        /// Only those to this principal or group.
        #[arg(long, value_name = "PRINCIPAL")]
        principal: Option<Grantee>,
        /// Only those on exactly this.
        #[arg(long, value_name = "ON")]
        on: Option<GrantOn>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Take a grant back, at once.
    Remove {
        /// The grant.
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
}

impl Grant {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let runtime = runtime()?;
        match self {
            Self::Add { principal, role, on, settings } => {
                let grant = domain::Grant { role, on };
                print(&line(&runtime.block_on(app::give(&settings.load(&[])?, principal, grant))?))?;
            }
            Self::List { principal, on, settings } => {
                let (config, mut after) = (settings.load(&[])?, None);
                loop {
                    let page = app::grants(&config, principal.as_ref(), on.as_ref(), after.as_deref());
                    let page = runtime.block_on(page)?;
                    print(&page.items.iter().map(line).collect::<String>())?;
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
            Self::Remove { id, settings } => {
                runtime.block_on(app::take_back(&settings.load(&[])?, &id))?;
                print(&format!("{id} is taken back\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(row: &GrantRow) -> String {
    let GrantRow { id, principal, grant, created_at, created_by } = row;
    format!("{id}  {principal} is {} of {}, since {created_at} by {created_by}\n", grant.role, grant.on)
}
