//! A place for the bucket commands: a configuration, an account without a bucket, and the real binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::account::{administrator, administrator_of};
use crate::support::outside::seaweedfs_with_localstack;
use crate::support::process::Guarded;
use crate::support::service::{outside_environment, outside_settings};

const LIMIT: Duration = Duration::from_mins(1);

/// A data directory, its configuration, and what runs on it.
pub(super) struct Place {
    data: TempDir,
    environment: Vec<(&'static str, String)>,
    program: Option<Guarded>,
    outside: bool,
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Place {
    /// An embedded store without a bucket, and `strongroom embedded` running on it.
    pub(super) async fn embedded() -> Self {
        Self::embedded_with("").await
    }

    /// The same with these lines in its configuration file.
    pub(super) async fn embedded_with(settings: &str) -> Self {
        let mut place = Self::nothing(settings);
        place.start("embedded", "For example").await;
        place
    }

    /// A configuration and no data directory.
    pub(super) fn nothing(settings: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let storage = "storage = 'embedded'\nlisten = '127.0.0.1:0'\nembedded_listen = '127.0.0.1:0'\n";
        configure(&data, &format!("{storage}{settings}\n"));
        Self { data, environment: Vec::new(), program: None, outside: false }
    }

    /// SeaweedFS and LocalStack, and a bucket's name that nobody else has there.
    pub(super) async fn outside() -> Self {
        let outside = seaweedfs_with_localstack().await;
        let data = tempfile::tempdir().unwrap();
        configure(&data, &outside_settings(outside, data.path()));
        Self { environment: outside_environment(outside), data, program: None, outside: true }
    }

    /// Starts a command that goes on, and waits until it says `ready`.
    pub(super) async fn start(&mut self, command: &str, ready: &str) {
        self.stop();
        let dir = tempfile::tempdir().unwrap().keep();
        let arguments = [command.to_owned(), "--config".to_owned(), self.config()];
        let binary = Path::new(env!("CARGO_BIN_EXE_strongroom"));
        let mut program = Guarded::start("strongroom", &dir, binary, &arguments, &self.environment, &[]).unwrap();
        let deadline = Instant::now() + LIMIT;
        while !program.log_tail().contains(ready) {
            assert!(program.ended().is_none() && Instant::now() < deadline, "{}", program.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.program = Some(program);
    }

    /// Ends what runs on it.
    pub(super) fn stop(&mut self) {
        drop(self.program.take());
    }

    /// What the program that runs on it has said.
    pub(super) fn log(&self) -> String {
        self.program.as_ref().map(Guarded::log_tail).unwrap_or_default()
    }

    /// Runs `strongroom bucket …` to its end.
    pub(super) fn bucket(&self, arguments: &[&str]) -> Said {
        said(self.spawn(arguments, &[]).wait_with_output().unwrap())
    }

    /// The same with more variables.
    pub(super) fn bucket_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        said(self.spawn(arguments, environment).wait_with_output().unwrap())
    }

    /// Runs it, asserts the exit status, and gives standard output.
    pub(super) fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.bucket(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {} {}", said.out, said.err);
        said.out
    }

    /// The same for JSON.
    pub(super) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let text = self.expect(code, arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Starts `strongroom bucket …`.
    pub(super) fn spawn(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
        let (command, flags) = arguments.split_first().unwrap();
        Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args(["bucket", command, "--config", &self.config()])
            .args(flags)
            .current_dir(self.data.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Name of the bucket.
    pub(super) fn name(&self) -> String {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("bucket = '"));
        line.map_or("strongroom", |rest| rest.trim_end_matches('\'')).to_owned()
    }

    /// A path beside the data directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    pub(super) async fn s3(&self) -> aws_sdk_s3::Client {
        if self.outside {
            return seaweedfs_with_localstack().await.s3();
        }
        administrator(&self.data_dir()).s3
    }

    pub(super) async fn kms(&self) -> aws_sdk_kms::Client {
        if self.outside {
            return seaweedfs_with_localstack().await.kms();
        }
        administrator(&self.data_dir()).kms
    }

    /// Secret key of the embedded administrator.
    pub(super) fn secret(&self) -> String {
        administrator_of(&self.data_dir()).2
    }

    /// Stores an object as the policy wants it, and gives its VersionId.
    pub(super) async fn put(&self, key: &str) -> String {
        self.put_bytes(key, b"x".to_vec()).await
    }

    /// The same with these bytes.
    pub(super) async fn put_bytes(&self, key: &str, bytes: Vec<u8>) -> String {
        let arn = self.json(0, &["outputs", "--format", "json"])["kms_key_arn"].as_str().unwrap().to_owned();
        let put = self.s3().await.put_object().bucket(self.name()).key(key).body(ByteStream::from(bytes));
        let put = put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(arn);
        put.send().await.unwrap().version_id.unwrap()
    }

    fn config(&self) -> String {
        self.path("strongroom.toml").display().to_string()
    }
}

fn configure(data: &TempDir, settings: &str) {
    let text = format!("data_dir = '{}'\n{settings}\n", data.path().join("data").display());
    std::fs::write(data.path().join("strongroom.toml"), text).unwrap();
}

pub(super) fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
