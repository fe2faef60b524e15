//! A whole service: the real binary, its data directory, and a look into its bucket and its catalog from outside.

mod api;
#[cfg(feature = "failpoints")]
mod kill;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::multipart::Form;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use sqlx::Row as _;
use strongroom::domain::Sha256Digest;
use tempfile::TempDir;

use super::account::administrator;
use super::outside::{Outside, seaweedfs_with_localstack};
use super::process::Guarded;
pub(crate) use api::Api;

/// How long a service may take to answer; a debug build on a busy machine needs a few seconds.
const START_LIMIT: Duration = Duration::from_mins(1);

/// What the service keeps its objects in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackEnd {
    /// S3 and KMS of the service itself.
    Embedded,
    /// SeaweedFS over TLS, with LocalStack as its KMS.
    SeaweedFs,
    /// What the settings and the environment say.
    Elsewhere,
}

/// Writes each test once for every back end.
macro_rules! on_every_back_end {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::support::service::Service::start(crate::support::service::BackEnd::Embedded).await).await;
            })+
        }
        mod seaweedfs {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::support::service::Service::start(crate::support::service::BackEnd::SeaweedFs).await).await;
            })+
        }
    };
}
pub(crate) use on_every_back_end;

/// A running service.
#[derive(Debug)]
pub(crate) struct Service {
    /// `http://127.0.0.1:PORT`.
    pub(crate) api: String,
    /// The bootstrap admin token.
    pub(crate) token: String,
    /// Name of the bucket.
    pub(crate) bucket: String,
    /// ARN of the key.
    pub(crate) key_arn: String,
    /// What it printed at start.
    pub(crate) greeting: String,
    pub(crate) back_end: BackEnd,
    http: reqwest::Client,
    settings: String,
    /// Beside what the back end needs, or instead of it.
    environment: Environment,
    program: Option<Guarded>,
    data: TempDir,
}

/// Environment variables of a service.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// What is in the bucket besides what the service always keeps there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Keys of all object versions and delete markers, but the claim and what tells where the audit log ends.
    pub(crate) versions: Vec<String>,
    /// Keys of unfinished multipart uploads.
    pub(crate) uploads: Vec<String>,
}

impl Service {
    pub(crate) async fn start(back_end: BackEnd) -> Self {
        Self::start_with(back_end, "").await
    }

    /// Starts a service with these lines added to its configuration file.
    pub(crate) async fn start_with(back_end: BackEnd, settings: &str) -> Self {
        Self::start_in(back_end, settings, Vec::new()).await
    }

    /// Starts a service with these lines in its configuration file and these variables in its environment.
    pub(crate) async fn start_in(back_end: BackEnd, settings: &str, environment: Environment) -> Self {
        Self::in_dir(back_end, settings, environment, tempfile::tempdir().unwrap()).await
    }

    /// Starts a service that refuses to, and gives what it said.
    pub(crate) async fn refused_first_start(back_end: BackEnd, settings: &str, environment: Environment) -> String {
        let data = tempfile::tempdir().unwrap();
        let config = write_config(back_end, settings, data.path()).await;
        refusal_of(&mut spawn(back_end, &config, &environment).await).await
    }

    /// Starts a service on a directory that has something already.
    pub(crate) async fn in_dir(back_end: BackEnd, settings: &str, environment: Environment, data: TempDir) -> Self {
        let config = write_config(back_end, settings, data.path()).await;
        let data_dir = data.path().join("data");
        let mut program = spawn(back_end, &config, &environment).await;
        let greeting = greeting_of(&mut program).await;
        let of = |name: &str| {
            let line = greeting.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no line {name:?} in {greeting}")).trim().to_owned()
        };
        let api = of("api ").split("/v1").next().unwrap().to_owned();
        Self {
            api,
            token: std::fs::read_to_string(data_dir.join("admin-token")).unwrap().trim().to_owned(),
            bucket: of("bucket "),
            key_arn: of("kms key "),
            greeting,
            back_end,
            http: reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap(),
            settings: settings.to_owned(),
            environment,
            program: Some(program),
            data,
        }
    }

    /// Ends the service with SIGTERM, and starts it again on the same data.
    pub(crate) async fn restart(mut self) -> Self {
        drop(self.program.take());
        Self::in_dir(self.back_end, &self.settings, self.environment, self.data).await
    }

    /// Ends the service, and starts it again on the same data with these variables in its environment.
    pub(crate) async fn restart_in(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self.restart().await
    }

    /// Ends the service with SIGKILL, and starts it again on the same data.
    pub(crate) async fn kill_and_restart(self) -> Self {
        let pid = std::fs::read_to_string(self.data_dir().join("lock")).unwrap();
        let killed = std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        assert!(killed.success());
        self.restart().await
    }

    /// Ends the service with SIGKILL in the middle of a multipart upload to `a/b`, and starts it again on the same data.
    pub(crate) async fn killed_in_an_upload(self) -> Self {
        let chunks = futures::stream::unfold(0, |sent| async move {
            if sent == 3 {
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
            Some((Ok::<_, std::io::Error>(bytes(sent, 9 << 20)), sent + 1))
        });
        let body = reqwest::Body::wrap_stream(chunks);
        let upload = tokio::spawn(self.request(Method::POST, "/v1/models/a/b/versions?path=m.bin").body(body).send());
        while self.in_bucket().await.uploads.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let restarted = self.kill_and_restart().await;
        upload.abort();
        restarted
    }

    /// Ends the service; its data stays for as long as the first value lives.
    pub(crate) fn stop(mut self) -> (TempDir, PathBuf) {
        drop(self.program.take());
        let dir = self.data_dir();
        (self.data, dir)
    }

    /// Ends the service; its data stays.
    pub(crate) fn stopped(mut self) -> Self {
        drop(self.program.take());
        self
    }

    /// Ends the service and removes its catalog.
    pub(crate) fn forget_catalog(mut self) -> Self {
        drop(self.program.take());
        for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
            let _ = std::fs::remove_file(self.data_dir().join(name));
        }
        self
    }

    /// Runs a command with the service's settings to its end, whether the service runs or not.
    pub(crate) async fn command(&self, arguments: &[&str]) -> std::process::Output {
        let config = self.data.path().join("strongroom.toml");
        command_in(self.back_end, &config, &self.environment, arguments).await
    }

    /// Ends the service if it runs, starts it once more and gives what it said when it refused to.
    pub(crate) async fn refused_start(mut self) -> String {
        drop(self.program.take());
        let config = self.data.path().join("strongroom.toml");
        refusal_of(&mut spawn(self.back_end, &config, &self.environment).await).await
    }

    /// Ends the service, and runs its embedded S3 and KMS alone.
    pub(crate) async fn embedded_alone(mut self) -> Self {
        drop(self.program.take());
        let config = self.data.path().join("strongroom.toml");
        let mut program = spawn_command("embedded", self.back_end, &config, &self.environment).await;
        let deadline = Instant::now() + START_LIMIT;
        while !program.log_tail().contains("For example") {
            assert!(program.ended().is_none() && Instant::now() < deadline, "{}", program.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.program = Some(program);
        self
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.path().join("data")
    }

    /// A request to the API as the administrator; redirects are not followed.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request without credentials.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api)).timeout(Duration::from_mins(2))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The JSON of a page that must be there.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// Publishes one file by a raw body.
    pub(crate) async fn upload(&self, model: &str, path: &str, bytes: &[u8]) -> Response {
        self.request(Method::POST, &format!("/v1/models/{model}/versions"))
            .query(&[("path", path)])
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap()
    }

    /// Publishes one file and gives the version.
    pub(crate) async fn published(&self, model: &str, path: &str, bytes: &[u8]) -> Value {
        let answer = self.upload(model, path, bytes).await;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    /// A client of the S3 behind the service, as an administrator of it.
    pub(crate) async fn s3(&self) -> aws_sdk_s3::Client {
        if self.back_end == BackEnd::SeaweedFs {
            return seaweedfs_with_localstack().await.s3();
        }
        administrator(&self.data_dir()).s3
    }

    /// A client of the KMS behind the service, as an administrator of it.
    pub(crate) async fn kms(&self) -> aws_sdk_kms::Client {
        if self.back_end == BackEnd::SeaweedFs {
            return seaweedfs_with_localstack().await.kms();
        }
        administrator(&self.data_dir()).kms
    }

    /// What is in the bucket now.
    pub(crate) async fn in_bucket(&self) -> Bucket {
        let s3 = self.s3().await;
        let mut bucket = Bucket::default();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = s3
                .list_object_versions()
                .bucket(&self.bucket)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .unwrap();
            bucket.versions.extend(page.versions().iter().filter_map(|v| v.key().map(str::to_owned)));
            bucket.versions.extend(page.delete_markers().iter().filter_map(|m| m.key().map(str::to_owned)));
            if page.is_truncated() != Some(true) {
                break;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
        bucket.versions.retain(|key| key != "strongroom-claim.json" && !key.starts_with("audit/"));
        let uploads = s3.list_multipart_uploads().bucket(&self.bucket).send().await.unwrap();
        bucket.uploads = uploads.uploads().iter().filter_map(|u| u.key().map(str::to_owned)).collect();
        bucket
    }

    /// How many rows a table of the catalog has.
    pub(crate) async fn rows(&self, table: &'static str) -> i64 {
        let url = format!("sqlite:{}?mode=ro", self.data_dir().join("catalog.sqlite").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let count = sqlx::query(sql).fetch_one(&pool).await.unwrap().get(0);
        pool.close().await;
        count
    }

    /// Asserts that a refused upload left nothing: no object, no multipart upload, no row.
    pub(crate) async fn assert_nothing_left(&self) {
        assert_eq!(self.in_bucket().await, Bucket::default());
        for table in ["drafts", "versions", "version_files", "objects", "models", "namespaces"] {
            assert_eq!(self.rows(table).await, 0, "rows of {table}");
        }
    }

    /// As [`Self::assert_nothing_left_soon`], where a draft has made the row of a model that has no version.
    pub(crate) async fn assert_nothing_left_but_a_model(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline
            && (self.rows("drafts").await > 0 || self.in_bucket().await != Bucket::default())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.in_bucket().await, Bucket::default());
        for table in ["drafts", "uploads", "draft_files", "versions", "version_files", "objects"] {
            assert_eq!(self.rows(table).await, 0, "rows of {table}");
        }
    }

    /// How many changes of a type the bucket's journal has, when it has all.
    pub(crate) async fn journalled(&self, kind: &str) -> usize {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.rows("outbox").await > 0 {
            assert!(Instant::now() < deadline, "the outbox is not drained");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (s3, kind) = (self.s3().await, format!("\"type\":\"{kind}\""));
        let mut count = 0;
        for key in self.in_bucket().await.versions.iter().filter(|key| key.starts_with("journal/")) {
            let object = s3.get_object().bucket(&self.bucket).key(key).send().await.unwrap();
            let text = String::from_utf8(object.body.collect().await.unwrap().to_vec()).unwrap();
            count += usize::from(text.contains(&kind));
        }
        count
    }

    /// Makes the catalog believe that a namespace has this many bytes.
    pub(crate) async fn fill_namespace(&self, namespace: &str, bytes: i64) {
        let url = format!("sqlite:{}", self.data_dir().join("catalog.sqlite").display());
        let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
        let filled = sqlx::query("update namespaces set bytes = $1 where name = $2").bind(bytes).bind(namespace);
        assert_eq!(filled.execute(&pool).await.unwrap().rows_affected(), 1);
        pool.close().await;
    }

    /// As [`Self::assert_nothing_left`], for work that the service ends by itself after the request.
    pub(crate) async fn assert_nothing_left_soon(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline
            && (self.rows("drafts").await > 0 || self.in_bucket().await != Bucket::default())
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.assert_nothing_left().await;
    }

    /// What the service has logged since it was started last.
    pub(crate) fn log(&self) -> String {
        self.program.as_ref().map(Guarded::log).unwrap_or_default()
    }
}

/// The status and the problem document of a refusal, whose form is checked.
pub(crate) async fn problem(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(content_type, "application/problem+json", "{body}");
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["request_id"], id.as_str());
    assert!(body["code"].as_str().is_some_and(|code| !code.is_empty()), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    for secret in ["arn:aws", "select ", "insert ", "s3://"] {
        assert!(!body.to_string().contains(secret), "{body}");
    }
    (status, body)
}

/// The code of a refusal with this status.
pub(crate) async fn code(answer: Response, expected: u16) -> String {
    let (status, body) = problem(answer).await;
    assert_eq!(status.as_u16(), expected, "{body}");
    body["code"].as_str().unwrap().to_owned()
}

/// An empty form whose field names are sent as they are, as browsers and curl do.
pub(crate) fn form() -> Form {
    Form::new().percent_encode_noop()
}

/// Bytes that follow from a seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*: fast, and no two windows alike.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// SHA-256 in hex.
pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    Sha256Digest::of(bytes).to_string()
}

/// A `Repr-Digest` header's value.
pub(crate) fn repr_digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", Sha256Digest::of(bytes).to_base64())
}

/// Runs a command with these settings to its end.
pub(crate) async fn command_in(
    back_end: BackEnd,
    config: &Path,
    environment: &Environment,
    arguments: &[&str],
) -> std::process::Output {
    let all = match back_end {
        BackEnd::Embedded | BackEnd::Elsewhere => Vec::new(),
        BackEnd::SeaweedFs => outside_environment(seaweedfs_with_localstack().await),
    };
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(arguments).arg("--config").arg(config).env_clear();
    command.envs(all.iter().chain(environment).map(|(key, value)| (key, value)));
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_mins(5), command.output()).await.unwrap().unwrap()
}

pub(crate) async fn write_config(back_end: BackEnd, settings: &str, data: &Path) -> PathBuf {
    let config = data.join("strongroom.toml");
    let storage = match back_end {
        BackEnd::Embedded => "storage = 'embedded'\nembedded_listen = '127.0.0.1:0'\n".to_owned(),
        BackEnd::SeaweedFs => outside_settings(seaweedfs_with_localstack().await, data),
        BackEnd::Elsewhere => String::new(),
    };
    let data_dir = data.join("data").display().to_string();
    let text = format!("listen = '127.0.0.1:0'\ndata_dir = '{data_dir}'\n{storage}{settings}\n");
    std::fs::write(&config, text).unwrap();
    config
}

async fn spawn(back_end: BackEnd, config: &Path, environment: &Environment) -> Guarded {
    spawn_command("serve", back_end, config, environment).await
}

pub(crate) async fn spawn_command(
    command: &str,
    back_end: BackEnd,
    config: &Path,
    environment: &Environment,
) -> Guarded {
    let mut all = match back_end {
        BackEnd::Embedded | BackEnd::Elsewhere => Vec::new(),
        BackEnd::SeaweedFs => outside_environment(seaweedfs_with_localstack().await),
    };
    // Of two values for one name the later counts.
    all.extend(environment.iter().cloned());
    let arguments = [command.to_owned(), "--config".to_owned(), config.display().to_string()];
    let program = Path::new(env!("CARGO_BIN_EXE_strongroom"));
    let run_dir = tempfile::tempdir().unwrap().keep();
    Guarded::start("strongroom", &run_dir, program, &arguments, &all, &[]).unwrap()
}

/// What a program says that ends instead of starting.
async fn refusal_of(program: &mut Guarded) -> String {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(status) = program.ended() {
            assert!(!status.success());
            return program.log_tail();
        }
        assert!(Instant::now() < deadline, "the service neither ended nor started\n{}", program.log_tail());
        assert!(!program.log_tail().contains("Publish a first version"), "it started\n{}", program.log_tail());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn greeting_of(program: &mut Guarded) -> String {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let log = program.log_tail();
        if log.contains("Publish a first version") && log.contains("/versions?path=") {
            return log;
        }
        assert!(program.ended().is_none(), "the service ended at start\n{log}");
        assert!(Instant::now() < deadline, "the service did not start in time\n{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn outside_settings(outside: &Outside, data: &Path) -> String {
    // The name of the data directory makes the bucket's: it stays the same across restarts.
    let unique = data.file_name().unwrap().to_str().unwrap().to_ascii_lowercase().replace(['.', '_'], "");
    format!(
        "storage = 's3'\nbucket = 'it-{unique}'\ns3_endpoint = '{}'\ns3_public_endpoint = '{}'\nkms_endpoint = '{}'\n\
         ca_file = '{}'\n",
        outside.s3_endpoint,
        outside.s3_endpoint,
        outside.kms_endpoint,
        outside.ca_file.display()
    )
}

pub(crate) fn outside_environment(outside: &Outside) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID", outside.access_key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", outside.secret_key.to_owned()),
        ("AWS_REGION", outside.region.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}
