//! What the process is told from outside: the only reader of the environment.
//!
//! A TOML file, `STRONGROOM_*` variables and flags, in that order of increasing precedence; all three use the same
//! keys (`s3_endpoint`, `STRONGROOM_S3_ENDPOINT`). Credentials and the region follow the standard `AWS_*` variables.
//! All problems are reported at once, and an unknown key is a problem.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::oidc::IssuerSettings;
use crate::provision::{KeyArn, Mode, ObjectLock, Options, Profile, Retention};

mod bucket_options;
mod door;
mod oidc;
mod reader;

pub use self::door::{Connections, Door, ForwardedHeader, Requests, TlsFiles};
use self::reader::{Reader, Value};

const PREFIX: &str = "STRONGROOM_";
const MIB: u64 = 1024 * 1024;

/// Variables of the client commands; they say nothing to the service.
const CLIENT_VARIABLES: [&str; 2] = ["url", "token"];

/// Everything the service may be told. Built once, then immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `listen`, default `127.0.0.1:8080`. Another address than loopback needs TLS or `behind_tls_proxy`.
    pub listen: SocketAddr,
    /// How connections and requests are let in, and how many.
    pub door: Door,
    /// `data_dir`, default `./strongroom-data`.
    pub data_dir: PathBuf,
    /// `database_url`, default `sqlite:` and `catalog.sqlite` in the data directory.
    pub database_url: Option<String>,
    /// `storage`, `embedded` (default) or `s3`.
    pub storage: Storage,
    /// `bucket`; default `strongroom` on the embedded store, required on S3.
    pub bucket: String,
    /// `provision`; default `repair` on the embedded store, `create` on S3.
    pub provision: Mode,
    /// `kms_key_arn`: a key of the operator's own. Full ARN: an alias can be pointed elsewhere.
    pub kms_key_arn: Option<KeyArn>,
    /// `runtime_principals`: ARNs, separated by commas, that the key policy lets use the key.
    pub runtime_principals: Vec<String>,
    /// `policies_dir`: a directory with `*.cedar` files that allow and forbid beyond the grants.
    pub policies_dir: Option<PathBuf>,
    /// What the bucket and its key are to have beyond that.
    pub secured: Secured,
    /// `watch_seconds`, 1 to 86,400, default 300: how often the running service looks at the bucket again.
    pub watch: Duration,
    /// `audit_head_seconds`, 1 to 86,400, default 300: how often the bucket is told where the audit log ends.
    pub audit_head: Duration,
    /// `storage_timeout_seconds`, 1 to 600, default 15: how long the object store may take for a small request; what
    /// takes longer by its nature gets a multiple.
    pub storage_timeout: Duration,
    /// Bounds of what the service takes.
    pub limits: Limits,
    /// How the sweeper works.
    pub sweeping: Sweeping,
    /// `oidc`, default none: at most 32 identity providers whose bearer tokens are believed.
    pub oidc: Vec<IssuerSettings>,
    /// `log_format`, `text` (default) or `json`.
    pub log_format: LogFormat,
    /// `log`, a filter such as `debug` or `strongroom=debug,info`.
    pub log_filter: Option<String>,
    /// Where a test wants the process to stop.
    #[cfg(feature = "failpoints")]
    pub failpoint: Option<crate::failpoint::Armed>,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// S3 and KMS inside this process.
    Embedded {
        /// `embedded_listen`, default `127.0.0.1:8081`; always loopback.
        listen: SocketAddr,
        /// `root_key_file`: the root key comes from outside instead of from the data directory.
        root_key_file: Option<PathBuf>,
        /// `identities_file`: more callers of the embedded S3 and KMS than its administrator.
        identities_file: Option<PathBuf>,
        /// `embedded_identity`: access key of the one among these that the service itself uses, instead of the
        /// administrator; provisioning stays with the administrator.
        identity: Option<String>,
    },
    /// S3 and KMS somewhere else.
    S3 {
        /// `s3_endpoint`: another S3 than AWS; addressed in path style.
        endpoint: Option<String>,
        /// `s3_public_endpoint`: the name under which clients reach the same S3.
        public_endpoint: Option<String>,
        /// `kms_endpoint`: another KMS than AWS.
        kms_endpoint: Option<String>,
        /// `ca_file`: PEM certificates to trust besides the system's.
        ca_file: Option<PathBuf>,
        /// `provision_role_arn`: assumed for provisioning only.
        provision_role_arn: Option<String>,
    },
}

/// What the operator decides about the bucket and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// `policy_profile`, `explicit` or `default_ok`; the back end decides when it is not set.
    pub profile: Option<Profile>,
    /// `admin_principals`: ARNs, separated by commas, that change the bucket or come in an emergency.
    pub administrators: Vec<String>,
    /// `key_rotation_days`, 90 to 2,560, default 365.
    pub rotation_days: i32,
    /// `perimeter`, `vpc_endpoint`, `object_lock_mode` and `object_lock_days`, `access_log_bucket` and
    /// `access_log_prefix`, `event_bridge`, `cors_origins`, `intelligent_tiering`.
    pub options: Options,
}

/// The form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Bounds of what the service takes and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `upload_memory_mib`, 64 to 65,536 MiB, default 64: shared by all uploads; a part of an upload is at most 64 MiB.
    pub upload_memory: u64,
    /// `max_file_mib`, default 640,000 MiB: what one file sent through the service may have.
    pub file_bytes: u64,
    /// `max_files`, 1 to 100,000, default 10,000: files of one version.
    pub files: usize,
    /// `max_drafts`, 1 to 1,000,000, default 1,000: drafts that one caller may have.
    pub drafts: u64,
    /// `draft_days`, 1 to 3,650, default 14: how long a draft that is not kept lives after the last change of it.
    pub draft_life: Duration,
    /// `max_namespace_gib`, 1 to 1,000,000,000 GiB, default 1,000,000,000: bytes of all objects of a namespace.
    pub namespace_bytes: u64,
    /// `max_uploads`, 1 to 10,000, default 64: requests whose bodies are read at the same time; more wait their turn.
    pub uploads: usize,
    /// `body_idle_seconds`, 1 to 3,600, default 60: how long a request body may be silent.
    pub body_idle: Duration,
    /// `min_upload_kib_per_second`, 0 to 1,048,576, default 16: bytes a second that a body must bring while it is
    /// waited for, measured over each stretch of `body_idle_seconds`.
    pub min_upload_rate: u64,
    /// `memory_wait_seconds`, 1 to 3,600, default 60: how long an upload waits for memory before it is told to retry.
    pub memory_wait: Duration,
    /// `download_url_seconds`, 60 to 43,200, default 900: life of a presigned URL unless asked otherwise.
    pub download_url_life: Duration,
    /// `max_download_url_seconds`, 60 to 43,200, default 43,200: longest life that may be asked for.
    pub max_download_url_life: Duration,
    /// `verify_parallel`, 0 to 64, default 2: files that are read at the same time to verify what clients declared; with
    /// 0 none is.
    pub verify_parallel: usize,
    /// `trash_days`, 0 to 3,650, default 30: how long what was deleted can be restored.
    pub trash: Duration,
}

/// How the sweeper works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweeping {
    /// `sweep_hours`, 0 to 8,760, default 6: how often the running service sweeps; 0: never.
    pub every: Option<Duration>,
    /// `sweep_age_hours`, 0 to 8,760, default 48: how long ago the sweeper must have seen first what nothing refers to.
    pub age: Duration,
    /// `sweep_max_deletions`, 1 to 10,000,000, default 10,000: what one run removes at most.
    pub max_deletions: u64,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} problem(s):{}", .0.len(), listed(.0))]
pub struct InvalidConfig(pub Vec<Problem>);

fn listed(problems: &[Problem]) -> String {
    problems.iter().flat_map(|Problem(text)| ["\n  - ", text]).collect()
}

/// Reads `file` if given, the process's environment, and the flags that were set.
///
/// # Errors
/// All problems at once: an operator should not have to start once per typo.
#[expect(clippy::disallowed_methods, reason = "this module is the one reader of the environment")]
pub fn load(file: Option<&Path>, flags: &[(&str, String)]) -> Result<Config, InvalidConfig> {
    let text = match file.map(std::fs::read_to_string).transpose() {
        Ok(text) => text,
        Err(error) => {
            let path = file.unwrap_or(Path::new("")).display();
            return Err(InvalidConfig(vec![Problem(format!("cannot read the configuration file {path}: {error}"))]));
        }
    };
    from_sources(text.as_deref(), std::env::vars(), flags)
}

/// The whole of [`load`] without the outside world.
///
/// # Errors
/// All problems at once.
pub fn from_sources(
    file: Option<&str>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> Result<Config, InvalidConfig> {
    let mut reader = Reader::default();
    if let Some(text) = file {
        reader.add_file(text);
    }
    for (name, value) in environment {
        if let Some(key) = name.strip_prefix(PREFIX) {
            let key = key.to_ascii_lowercase();
            if !CLIENT_VARIABLES.contains(&key.as_str()) {
                reader.values.insert(key, Value { text: value, source: name });
            }
        }
    }
    for (key, value) in flags {
        let source = format!("--{}", key.replace('_', "-"));
        reader.values.insert((*key).to_owned(), Value { text: value.clone(), source });
    }
    reader.finish()
}

impl Config {
    /// Where the catalog is, as a URL.
    pub fn catalog_url(&self) -> String {
        let default = || format!("sqlite:{}", self.data_dir.join("catalog.sqlite").display());
        self.database_url.clone().unwrap_or_else(default)
    }

    /// What is allowed, and may be regretted.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(ObjectLock { mode: Retention::Compliance, days }) = self.secured.options.object_lock {
            warnings.push(format!(
                "object_lock_mode = compliance: nobody, the account's root included, can delete a version, or what the \
                 canary writes at each start and each `bucket check`, before {days} days have passed"
            ));
        }
        if self.door.behind_tls_proxy && self.door.trusted_proxies.is_empty() {
            warnings.push(
                "behind_tls_proxy without trusted_proxies: all clients count as the one address of the proxy, in the log \
                 and for max_connections_per_address and auth_failures_per_minute"
                    .to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        from_sources(Some(file), environment, &flags)
    }

    #[test]
    fn nothing_said_means_the_embedded_store_on_loopback() {
        let config = read("", &[], &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.provision, Mode::Repair);
        assert_eq!(config.bucket, "strongroom");
        assert!(matches!(config.storage, Storage::Embedded { listen, .. } if listen.port() == 8081));
    }

    #[test]
    fn flags_beat_the_environment_and_the_environment_beats_the_file() {
        let file = "listen = '127.0.0.1:1'\nbucket = 'from-file'\ndata_dir = 'a'";
        let environment = [("STRONGROOM_LISTEN", "127.0.0.1:2"), ("STRONGROOM_BUCKET", "from-env"), ("HOME", "x")];
        let config = read(file, &environment, &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.bucket, "from-env");
        assert_eq!(config.data_dir, PathBuf::from("a"));
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_source() {
        let file = "lisen = 'x'\nmax_files = 0\nbucket = 'Bad_Name'";
        let environment = [("STRONGROOM_STORAGE", "tape"), ("STRONGROOM_LISTEN", "0.0.0.0:80")];
        let text = read(file, &environment, &[]).unwrap_err().to_string();
        for part in
            ["`lisen` in the file", "`max_files` in the file", "`bucket`", "STRONGROOM_STORAGE", "--behind-tls-proxy"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("5 problem"), "{text}");
    }

    #[test]
    fn s3_needs_a_bucket_and_creates_only() {
        let text = read("storage = 's3'", &[], &[]).unwrap_err().to_string();
        assert!(text.contains("STRONGROOM_BUCKET"), "{text}");
        let config = read("storage = 's3'\nbucket = 'models-1'", &[], &[]).unwrap();
        assert_eq!(config.provision, Mode::Create);
    }

    #[test]
    fn a_setting_of_the_other_storage_is_a_problem() {
        let text = read("s3_endpoint = 'http://x'", &[], &[]).unwrap_err().to_string();
        assert!(text.contains("`s3_endpoint` in the file is not a setting"), "{text}");
    }
}
