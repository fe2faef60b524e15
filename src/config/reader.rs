//! Values taken out of the sources by key, and everything that is wrong with them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, InvalidConfig, Limits, LogFormat, MIB, Problem, Storage, Sweeping};
use crate::provision::Mode;

pub(super) struct Value {
    pub(super) text: String,
    /// Where it was said, for the message.
    pub(super) source: String,
}

/// Takes values out by key, and collects what is wrong.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) values: BTreeMap<String, Value>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn add_file(&mut self, text: &str) {
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
                toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                    // Tables are read as the JSON that a variable would have.
                    serde_json::to_string(&items).unwrap_or_default()
                }
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

    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(Problem(text));
    }

    /// Whether a value for it is still to be read.
    fn says(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.text.is_empty())
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.values.remove(key).map(|value| value.text).filter(|text| !text.is_empty())
    }

    pub(super) fn parsed<T>(&mut self, key: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.values.remove(key).filter(|value| !value.text.is_empty())?;
        let parsed = parse(&value.text);
        if parsed.is_none() {
            self.problem(format!("{} must be {what}, not {:?}", value.source, value.text));
        }
        parsed
    }

    /// The same, for a value that is too long to be repeated, or may have a secret in it.
    pub(super) fn parsed_shortly<T>(&mut self, key: &str, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.values.remove(key).filter(|value| !value.text.is_empty())?;
        let parsed = parse(&value.text);
        if parsed.is_none() {
            self.problem(format!("{} must be {what}; see docs/OPERATIONS.md", value.source));
        }
        parsed
    }

    pub(super) fn number(&mut self, key: &str, range: std::ops::RangeInclusive<u64>, default: u64) -> u64 {
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

    pub(super) fn finish(mut self) -> Result<Config, InvalidConfig> {
        let data_dir = PathBuf::from(self.text("data_dir").unwrap_or_else(|| "./strongroom-data".to_owned()));
        let listen = self.address("listen", "127.0.0.1:8080");
        let door = self.door(listen);
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
        if kms_key_arn.is_some() && self.says("key_rotation_days") {
            self.problem(
                "key_rotation_days is for strongroom's own key: the one that kms_key_arn names is never changed, set its \
                 rotation yourself"
                    .to_owned(),
            );
        }
        let runtime_principals = self.principals("runtime_principals");
        let policies_dir = self.text("policies_dir").map(PathBuf::from);
        let secured = self.secured(&runtime_principals, is_s3);
        let watch = Duration::from_secs(self.number("watch_seconds", 1..=86_400, 300));
        let audit_head = Duration::from_secs(self.number("audit_head_seconds", 1..=86_400, 300));
        let storage_timeout = Duration::from_secs(self.number("storage_timeout_seconds", 1..=600, 15));
        let limits = self.limits();
        let sweeping = self.sweeping();
        let oidc = self.issuers();
        let log_format = self
            .parsed("log_format", "text or json", |text| match text {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            })
            .unwrap_or(LogFormat::Text);
        let log_filter = self.text("log");
        #[cfg(feature = "failpoints")]
        let failpoint = self.parsed(crate::failpoint::SETTING, "NAME or NAME:K", |text| text.parse().ok());
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
            door,
            data_dir,
            database_url,
            storage,
            bucket,
            provision,
            kms_key_arn,
            runtime_principals,
            policies_dir,
            secured,
            watch,
            audit_head,
            storage_timeout,
            limits,
            sweeping,
            oidc,
            log_format,
            log_filter,
            #[cfg(feature = "failpoints")]
            failpoint,
        })
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
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
        let identities_file = self.text("identities_file").map(PathBuf::from);
        let identity = self.text("embedded_identity");
        if identity.is_some() && identities_file.is_none() {
            self.problem("embedded_identity names one of identities_file, which is not set".to_owned());
        }
        Storage::Embedded { listen, root_key_file, identities_file, identity }
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
            drafts: self.number("max_drafts", 1..=1_000_000, 1_000),
            draft_life: Duration::from_hours(24 * self.number("draft_days", 1..=3_650, 14)),
            namespace_bytes: self.number("max_namespace_gib", 1..=1_000_000_000, 1_000_000_000) * 1024 * MIB,
            uploads: usize::try_from(self.number("max_uploads", 1..=10_000, 64)).unwrap_or(usize::MAX),
            body_idle: seconds(self.number("body_idle_seconds", 1..=3_600, 60)),
            min_upload_rate: self.number("min_upload_kib_per_second", 0..=1_048_576, 16) * 1024,
            memory_wait: seconds(self.number("memory_wait_seconds", 1..=3_600, 60)),
            download_url_life: seconds(self.number("download_url_seconds", 60..=43_200, 900)),
            max_download_url_life: seconds(self.number("max_download_url_seconds", 60..=43_200, 43_200)),
            trash: seconds(self.number("trash_days", 0..=3_650, 30) * 86_400),
            verify_parallel: usize::try_from(self.number("verify_parallel", 0..=64, 2)).unwrap_or(usize::MAX),
        };
        if limits.download_url_life > limits.max_download_url_life {
            self.problem("download_url_seconds is larger than max_download_url_seconds".to_owned());
        }
        limits
    }

    fn sweeping(&mut self) -> Sweeping {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let every = self.number("sweep_hours", 0..=8_760, 6);
        Sweeping {
            every: (every > 0).then(|| hours(every)),
            age: hours(self.number("sweep_age_hours", 0..=8_760, 48)),
            max_deletions: self.number("sweep_max_deletions", 1..=10_000_000, 10_000),
        }
    }
}
