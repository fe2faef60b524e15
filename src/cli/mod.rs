//! The commands, one file each.

mod audit;
mod bucket;
mod check_config;
mod embedded;
mod grant;
mod openapi;
mod policy_schema;
mod rebuild;
mod report;
mod serve;
mod sweep;
mod token;
mod verify;

use std::error::Error as StdError;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, InvalidConfig};

/// Keeps machine-learning model artifacts in a secured S3 bucket and gives them out over HTTP.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Secure the bucket and answer requests.
    Serve(serve::Serve),
    /// Secure the bucket, prove it, and say what it is.
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    /// Make, list, rotate and revoke API tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Give, list and take back roles.
    #[command(subcommand)]
    Grant(grant::Grant),
    /// Remove what nothing refers to, and purge the trash; exit 1 when it was refused or ended early.
    Sweep(sweep::Sweep),
    /// Look again at everything that is stored, and read it; exit 1 when something is wrong.
    Verify(verify::Verify),
    /// Read the audit log again, and find what was altered, removed or moved in it; exit 1 then.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Run the embedded S3 and KMS alone, for repairs with other clients when the service does not start.
    Embedded(Settings),
    /// Make the catalog anew from the bucket alone, into an empty database; exit 1 when anything was lost.
    Rebuild(rebuild::Rebuild),
    /// Check the configuration, and say everything that is wrong with it.
    CheckConfig(Settings),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the Cedar schema that policies are checked against.
    PolicySchema,
}

/// Where the configuration comes from; a flag beats a `STRONGROOM_*` variable, which beats the file.
#[derive(Debug, Args)]
struct Settings {
    /// A TOML file with settings; docs/OPERATIONS.md lists them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the catalog, the admin token and the embedded store are kept [default: ./strongroom-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where objects are kept: embedded or s3 [default: embedded].
    #[arg(long, value_name = "KIND")]
    storage: Option<String>,
    /// Name of the bucket [default on the embedded store: strongroom].
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
}

impl Settings {
    fn flags(&self) -> Vec<(&'static str, String)> {
        let flags = [("data_dir", &self.data_dir), ("storage", &self.storage), ("bucket", &self.bucket)];
        flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }

    fn load(&self, more: &[(&'static str, String)]) -> Result<Config, InvalidConfig> {
        let flags = [self.flags(), more.to_vec()].concat();
        let config = config::load(self.config.as_deref(), &flags)?;
        #[cfg(feature = "failpoints")]
        if let Some(place) = &config.failpoint {
            crate::failpoint::arm(place.clone());
        }
        Ok(config)
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Nobody may be there to read it. Not clap's own status for a wrong flag, 2: that is a plan with changes.
            let _told = told.print();
            return if told.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let done = |()| ExitCode::SUCCESS;
    let outcome = match cli.command {
        Command::Serve(serve) => serve.run().map(done),
        Command::Bucket(bucket) => bucket.run(),
        Command::Token(token) => token.run(),
        Command::Grant(grant) => grant.run(),
        Command::Audit(audit) => audit.run(),
        Command::Sweep(sweep) => sweep.run(),
        Command::Verify(verify) => verify.run(),
        Command::Embedded(settings) => embedded::run(&settings).map(done),
        Command::Rebuild(rebuild) => rebuild.run(),
        Command::CheckConfig(settings) => check_config::run(&settings).map(done),
        Command::Openapi => openapi::run().map(done),
        Command::PolicySchema => policy_schema::run().map(done),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _told = writeln!(std::io::stderr(), "strongroom: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn StdError>>;

/// An error and its causes, one a line.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let line = cause.to_string();
        if !text.contains(&line) {
            text.push_str("\n  because: ");
            text.push_str(&line);
        }
        source = cause.source();
    }
    text
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A number of days, hours, minutes or seconds, such as `90d`, `12h`, `30m` or `45s`.
fn stretch(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    Some(Duration::from_secs(u64::from(count) * seconds))
}

/// Prints to standard output.
fn print(text: &str) -> std::io::Result<()> {
    write(std::io::stdout().lock(), text)
}

/// Writes all of it; a closed pipe is the reader's choice.
fn write(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
