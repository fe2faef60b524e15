//! `strongroom token`.

use std::error::Error as StdError;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{Settings, print, runtime, stretch};
use crate::access;
use crate::app::access::{self as app, TokenRow};
use crate::domain::{Grant, Timestamp};

/// Make, list, rotate and revoke API tokens; a running service knows of it at once.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token and print its text, this once.
    Create {
        /// The principal will be `token:NAME`.
        name: String,
        /// What it may do: reader, writer, publisher or admin, on `*`, a namespace or a model; repeat it for more.
        #[arg(long = "grant", value_name = "ROLE:ON", value_parser = grant)]
        grants: Vec<Grant>,
        /// How long it is valid (30m, 12h, 90d); until it is revoked unless it is said.
        #[arg(long, value_name = "TIME", value_parser = life)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make another token of the same name, and let the old one go on for a while.
    Rotate {
        /// The old token.
        id: String,
        /// How long the new one is valid; as long as the old one was unless it is said.
        #[arg(long, value_name = "TIME", value_parser = life)]
        expires_in: Option<Duration>,
        /// How long the old one goes on.
        #[arg(long, value_name = "TIME", value_parser = overlap, default_value = "1d")]
        overlap: Duration,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all tokens.
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Revoke a token, at once.
    Revoke {
        /// The token.
        id: String,
        /// Revoke all tokens of its name: for one that was stolen, and may have been rotated.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        settings: Settings,
    },
}

impl Token {
    pub(super) fn run(self) -> Result<ExitCode, Box<dyn StdError>> {
        let runtime = runtime()?;
        match self {
            Self::Create { name, grants, expires_in, settings } => {
                let config = settings.load(&[])?;
                show(&runtime.block_on(app::make_token(&config, &name, grants, expires_in))?)?;
            }
            Self::Rotate { id, expires_in, overlap, settings } => {
                show(&runtime.block_on(app::rotate_token(&settings.load(&[])?, &id, expires_in, overlap))?)?;
            }
            Self::List { settings } => {
                let (config, mut after) = (settings.load(&[])?, None);
                loop {
                    let page = runtime.block_on(app::tokens(&config, after.as_deref()))?;
                    print(&page.items.iter().map(line).collect::<String>())?;
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
            Self::Revoke { id, all, settings } => {
                runtime.block_on(app::revoke_token(&settings.load(&[])?, &id, all))?;
                print(&format!("{id} is revoked\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The text alone on standard output, for a pipe into a secret store; the rest for who looks on.
fn show((row, token): &(TokenRow, access::Token)) -> std::io::Result<()> {
    use std::io::Write as _;
    let _told = writeln!(std::io::stderr(), "token {} of {}; its text is shown this once:", row.id, row.name);
    print(&format!("{}\n", token.expose()))
}

fn line(row: &TokenRow) -> String {
    let now = Timestamp::now();
    let state = match (&row.revoked, row.expires_at) {
        (Some((at, by)), _) => format!("revoked {at} by {by}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("expires {at}"),
        (None, None) => "valid".to_owned(),
    };
    let used = row.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
    format!("{}  {}  {state}, {used}, made {} by {}\n", row.id, row.name, row.created_at, row.created_by)
}

/// `ROLE:ON`.
fn grant(text: &str) -> Result<Grant, String> {
    let (role, on) = text.split_once(':').ok_or("a grant is ROLE:ON, such as reader:vision or admin:*")?;
    let role = role.parse().map_err(|error: crate::domain::InvalidGrant| error.to_string())?;
    Ok(Grant { role, on: on.parse().map_err(|error: crate::domain::InvalidGrant| error.to_string())? })
}

/// A stretch of time of at most ten years.
/// The bounds of the API's.
fn life(text: &str) -> Result<Duration, String> {
    let life = overlap(text)?;
    if life < Duration::from_mins(1) { Err("a token is valid for a minute at least".to_owned()) } else { Ok(life) }
}

fn overlap(text: &str) -> Result<Duration, String> {
    let bounded = stretch(text).filter(|stretch| *stretch <= Duration::from_hours(3660 * 24));
    bounded.ok_or_else(|| format!("`{text}` is no stretch of time such as 30m, 12h or 90d, of at most ten years"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_and_stretches_are_read() {
        assert_eq!(grant("reader:vision/resnet").unwrap().on.to_string(), "vision/resnet");
        assert_eq!(grant("admin:*").unwrap().role, crate::domain::Role::Admin);
        for text in ["reader", "owner:*", "reader:", "reader:a/b/c"] {
            assert!(grant(text).is_err(), "{text}");
        }
        assert_eq!(life("90d"), Ok(Duration::from_hours(90 * 24)));
        for text in ["", "d", "90", "90w", "-1d", "4000d", "ä"] {
            assert!(life(text).is_err(), "{text}");
        }
    }
}
