//! What the process is told from outside: the only reader of the environment.
//!
//! A TOML file, `STRONGROOM_*` variables and flags, in that order of increasing precedence; all three use the same
//! keys (`s3_endpoint`, `STRONGROOM_S3_ENDPOINT`). Credentials and the region follow the standard `AWS_*` variables.
//! All problems are reported at once, and an unknown key is a problem.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::provision::{KeyArn, Mode};

const PREFIX: &str = "STRONGROOM_";
const MIB: u64 = 1024 * 1024;

/// Variables of the client commands; they say nothing to the service.
const CLIENT_VARIABLES: [&str; 2] = ["url", "token"];

/// Everything the service may be told. Built once, then immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `listen`, default `127.0.0.1:8080`. Another address than loopback needs `behind_tls_proxy`.
    pub listen: SocketAddr,
    /// `behind_tls_proxy`, default false: a proxy ends TLS in front of the API.
    pub behind_tls_proxy: bool,
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
    /// Bounds of what the service takes.
    pub limits: Limits,
    /// `log_format`, `text` (default) or `json`.
    pub log_format: LogFormat,
    /// `log`, a filter such as `debug` or `strongroom=debug,info`.
    pub log_filter: Option<String>,
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

struct Value {
    text: String,
    /// Where it was said, for the message.
    source: String,
}

/// Takes values out by key, and collects what is wrong.
#[derive(Default)]
struct Reader {
    values: BTreeMap<String, Value>,
    problems: Vec<Problem>,
}

impl Reader {
    fn add_file(&mut self, text: &str) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                self.problem(format!("the configuration file is not TOML: {error}"));
                return;
            }
        };
        for (key, value) in table {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(","),
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
                    self.problem(format!("`{key}` in the file is neither text, whole number, true/false nor list"));
                    continue;
                }
            };
            let source = format!("`{key}` in the file");
            self.values.insert(key, Value { text, source });
        }
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Problem(text));
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.values.remove(key).map(|value| value.text).filter(|text| !text.is_empty())
    }

    fn parsed<T>(&mut self, key: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.values.remove(key).filter(|value| !value.text.is_empty())?;
        let parsed = parse(&value.text);
        if parsed.is_none() {
            self.problem(format!("{} must be {what}, not {:?}", value.source, value.text));
        }
        parsed
    }

    fn number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> u64 {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(key, &what, |text| text.parse().ok().filter(|n| range.contains(n))).unwrap_or(default)
    }

    fn address(&mut self, key: &str, default: &str) -> SocketAddr {
        let parsed = self.parsed(key, "an address and a port, such as 127.0.0.1:8080", |text| text.parse().ok());
        parsed.unwrap_or_else(|| default.parse().expect("the defaults are addresses"))
    }

    fn url(&mut self, key: &str) -> Option<String> {
        self.parsed(key, "a URL that starts with http:// or https:// and has no path", |text| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
            let host = rest.trim_end_matches('/');
            (!host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']))
                .then(|| text.trim_end_matches('/').to_owned())
        })
    }

    fn finish(mut self) -> Result<Config, InvalidConfig> {
        let data_dir = PathBuf::from(self.text("data_dir").unwrap_or_else(|| "./strongroom-data".to_owned()));
        let listen = self.address("listen", "127.0.0.1:8080");
        let behind_tls_proxy = self.flag("behind_tls_proxy");
        if !listen.ip().is_loopback() && !behind_tls_proxy {
            self.problem(format!(
                "listening on {listen} would send tokens over the network in the clear: listen on 127.0.0.1, or say \
                 --behind-tls-proxy when a proxy ends TLS in front"
            ));
        }
        let is_s3 = self
            .parsed("storage", "embedded or s3", |text| match text {
                "embedded" => Some(false),
                "s3" => Some(true),
                _ => None,
            })
            .unwrap_or(false);
        let storage = if is_s3 { self.s3() } else { self.embedded() };
        let bucket = self.bucket(is_s3);
        let default = if is_s3 { Mode::Create } else { Mode::Repair };
        let provision =
            self.parsed("provision", "create, repair, verify or off", |text| text.parse().ok()).unwrap_or(default);
        let database_url =
            self.parsed("database_url", "sqlite:PATH", |text| text.starts_with("sqlite:").then(|| text.to_owned()));
        let kms_key_arn =
            self.parsed("kms_key_arn", "a full key ARN (arn:aws:kms:REGION:ACCOUNT:key/ID)", |text| text.parse().ok());
        let runtime_principals = self
            .parsed("runtime_principals", "IAM role or user ARNs, separated by commas", |text| {
                let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
                items.iter().all(|item| item.starts_with("arn:") && item.contains(":iam:")).then_some(items)
            })
            .unwrap_or_default();
        let limits = self.limits();
        let log_format = self
            .parsed("log_format", "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            })
            .unwrap_or(LogFormat::Text);
        let log_filter = self.text("log");
        let mut problems = self.problems;
        problems.extend(self.values.values().map(|value| {
            Problem(format!(
                "{} is not a setting of Strongroom with this storage; see docs/OPERATIONS.md",
                value.source
            ))
        }));
        if !problems.is_empty() {
            return Err(InvalidConfig(problems));
        }
        Ok(Config {
            listen,
            behind_tls_proxy,
            data_dir,
            database_url,
            storage,
            bucket,
            provision,
            kms_key_arn,
            runtime_principals,
            limits,
            log_format,
            log_filter,
        })
    }

    fn flag(&mut self, key: &str) -> bool {
        let parsed = self.parsed(key, "true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        });
        parsed.unwrap_or(false)
    }

    fn embedded(&mut self) -> Storage {
        let listen = self.address("embedded_listen", "127.0.0.1:8081");
        if !listen.ip().is_loopback() {
            self.problem(format!("the embedded store listens on a loopback address only, not on {listen}"));
        }
        let root_key_file = self.text("root_key_file").map(PathBuf::from);
        Storage::Embedded { listen, root_key_file, identities_file: self.text("identities_file").map(PathBuf::from) }
    }

    fn s3(&mut self) -> Storage {
        Storage::S3 {
            endpoint: self.url("s3_endpoint"),
            public_endpoint: self.url("s3_public_endpoint"),
            kms_endpoint: self.url("kms_endpoint"),
            ca_file: self.text("ca_file").map(PathBuf::from),
            provision_role_arn: self.parsed("provision_role_arn", "a role ARN", |text| {
                (text.starts_with("arn:") && text.contains(":role/")).then(|| text.to_owned())
            }),
        }
    }

    fn bucket(&mut self, is_s3: bool) -> String {
        let rule = "a bucket name: 3 to 63 of a-z 0-9 . -, starting and ending with a letter or digit";
        let given = self.values.contains_key("bucket");
        let bucket = self.parsed("bucket", rule, |text| {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let bytes = text.as_bytes();
            let ok = (3..=63).contains(&bytes.len())
                && bytes.iter().all(|b| allowed(*b))
                && edge(bytes.first().copied())
                && edge(bytes.last().copied())
                && !text.contains("..");
            ok.then(|| text.to_owned())
        });
        match bucket {
            Some(bucket) => bucket,
            None if is_s3 && !given => {
                self.problem("STRONGROOM_BUCKET (or --bucket) is required when the storage is s3".to_owned());
                String::new()
            }
            None => "strongroom".to_owned(),
        }
    }

    fn limits(&mut self) -> Limits {
        let seconds = Duration::from_secs;
        let limits = Limits {
            upload_memory: self.number("upload_memory_mib", 64..=65_536, 64) * MIB,
            file_bytes: self.number("max_file_mib", 1..=640_000, 640_000) * MIB,
            files: usize::try_from(self.number("max_files", 1..=100_000, 10_000)).unwrap_or(usize::MAX),
            uploads: usize::try_from(self.number("max_uploads", 1..=10_000, 64)).unwrap_or(usize::MAX),
            body_idle: seconds(self.number("body_idle_seconds", 1..=3_600, 60)),
            min_upload_rate: self.number("min_upload_kib_per_second", 0..=1_048_576, 16) * 1024,
            memory_wait: seconds(self.number("memory_wait_seconds", 1..=3_600, 60)),
            download_url_life: seconds(self.number("download_url_seconds", 60..=43_200, 900)),
            max_download_url_life: seconds(self.number("max_download_url_seconds", 60..=43_200, 43_200)),
        };
        if limits.download_url_life > limits.max_download_url_life {
            self.problem("download_url_seconds is larger than max_download_url_seconds".to_owned());
        }
        limits
    }
}

impl Config {
    /// Where the catalog is, as a URL.
    pub fn catalog_url(&self) -> String {
        let default = || format!("sqlite:{}", self.data_dir.join("catalog.sqlite").display());
        self.database_url.clone().unwrap_or_else(default)
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
