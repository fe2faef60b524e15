//! S3 clients that people use: boto3, the AWS command line and rclone, run in a clean environment; and S3's
//! conformance tests.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::process::Command;

use super::process::{SYSTEM_PATH, installed, source};

/// Longest run of one client.
const LIMIT: Duration = Duration::from_mins(2);

/// One run of a client program, in an empty home directory, with nothing of this process's environment.
#[must_use = "nothing runs until its output is asked for"]
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    // Removed after the run.
    _home: TempDir,
}

/// Where a client finds S3, and who it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) s3_endpoint: &'a str,
    pub(crate) region: &'a str,
    pub(crate) access_key: &'a str,
    pub(crate) secret_key: &'a str,
    /// PEM of a private CA that signed the endpoint's certificate.
    pub(crate) ca_file: Option<&'a Path>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A Python program, as its text, that finds boto3.
pub(crate) fn python(script: &str) -> Run {
    Run::new("clients/bin/python").args(["-c", script])
}

/// The AWS command line.
pub(crate) fn aws<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    Run::new("clients/bin/aws").args(arguments)
}

/// rclone; the [`Target`]'s S3 is its remote `s3:`.
pub(crate) fn rclone<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    Run::new("clients/bin/rclone").args(arguments)
}

/// The conformance tests that come with the crate `s3s`.
pub(crate) fn s3s_e2e<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    Run::new("s3s-e2e/bin/s3s-e2e").args(arguments)
}

impl Run {
    fn new(program: &str) -> Self {
        let program = installed(program);
        let programs = program.parent().expect("programs are in directories").to_owned();
        let home = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{}:{SYSTEM_PATH}", programs.display()))
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("LANG", "C.UTF-8")
            // None of them may look for credentials or news beyond this machine.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
            // They start twice as fast when they need not compile themselves.
            .env("PYTHONPYCACHEPREFIX", source("target/tools/clients/pycache"))
            .env("RCLONE_CONFIG", home.path().join("rclone.conf"))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Self { command, _home: home }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds one variable to its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Tells the client where S3 is, each in its own way.
    pub(crate) fn at(self, target: Target<'_>) -> Self {
        let mut run = self
            .env("AWS_ACCESS_KEY_ID", target.access_key)
            .env("AWS_SECRET_ACCESS_KEY", target.secret_key)
            .env("AWS_DEFAULT_REGION", target.region)
            .env("AWS_ENDPOINT_URL_S3", target.s3_endpoint)
            .env("RCLONE_CONFIG_S3_TYPE", "s3")
            .env("RCLONE_CONFIG_S3_PROVIDER", "Other")
            .env("RCLONE_CONFIG_S3_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_S3_REGION", target.region)
            .env("RCLONE_CONFIG_S3_ENDPOINT", target.s3_endpoint);
        if let Some(ca_file) = target.ca_file {
            run = run.env("AWS_CA_BUNDLE", ca_file).env("RCLONE_CA_CERT", ca_file);
        }
        run
    }

    /// What it printed.
    ///
    /// # Panics
    /// When it fails or takes longer than two minutes, with what it complained of.
    pub(crate) async fn stdout(self) -> String {
        let what = format!("{:?}", self.command.as_std().get_program());
        let ended = self.ended().await;
        assert!(ended.success, "{what} failed\n{}\n{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// How it ended, also when it failed.
    ///
    /// # Panics
    /// When it cannot be started, or takes longer than two minutes.
    pub(crate) async fn ended(mut self) -> Ended {
        let output = tokio::time::timeout(LIMIT, self.command.output())
            .await
            .unwrap_or_else(|_| panic!("{:?} ran longer than {:?}", self.command, LIMIT))
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Ended {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
