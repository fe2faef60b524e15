//! A service without a schedule of its own, its rows, its bucket, and the command.

use std::path::Path;
use std::process::{Output, Stdio};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::support::outside::seaweedfs_with_localstack;
use crate::support::rows::Rows;
use crate::support::service::{BackEnd, Service, outside_environment};

pub(crate) struct Scene {
    pub(crate) service: Service,
    pub(crate) rows: Rows,
    pub(crate) s3: aws_sdk_s3::Client,
}

/// What the sweeper of a test says beside the settings.
pub(crate) const NOW: &[(&str, &str)] = &[("STRONGROOM_SWEEP_AGE_HOURS", "0")];
/// As [`NOW`], but what nothing refers to waits for its two days.
pub(crate) const LATER: &[(&str, &str)] = &[];

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    pub(crate) async fn with(settings: &str) -> Self {
        Self::of(Service::start_with(BackEnd::Embedded, &format!("sweep_hours = 0\n{settings}")).await).await
    }

    pub(crate) async fn of(service: Service) -> Self {
        let (rows, s3) = (Rows::of(&service).await, service.s3().await);
        // The journal has nothing before the test says so.
        rows.hold_journal().await;
        Self { service, rows, s3 }
    }

    /// Sweeps, and gives the report of a sweep that went through.
    pub(crate) async fn sweep(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Value {
        let (output, report) = self.swept(environment, arguments).await;
        assert!(output.status.success(), "{report:#}\n{}", String::from_utf8_lossy(&output.stderr));
        report
    }

    /// Sweeps, and gives why nothing was removed.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> String {
        let (output, report) = self.swept(NOW, arguments).await;
        assert!(!output.status.success(), "{report:#}");
        assert_eq!(report["removed"]["versions"], 0);
        report["refused"].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned()
    }

    pub(crate) async fn swept(&self, environment: &[(&str, &str)], arguments: &[&str]) -> (Output, Value) {
        let output = command(&self.service, environment, arguments).await;
        let report = serde_json::from_slice(&output.stdout);
        (output.clone(), report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
    }

    pub(crate) async fn call(&self, method: Method, path: &str) -> u16 {
        self.service.request(method, path).send().await.unwrap().status().as_u16()
    }

    /// Stores something that no row knows of, as somebody else would.
    pub(crate) async fn put(&self, key: &str) -> String {
        let put = self
            .s3
            .put_object()
            .bucket(&self.service.bucket)
            .key(key)
            .body(ByteStream::from_static(b"somebody else's"))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.service.key_arn);
        put.send().await.unwrap().version_id.unwrap()
    }

    /// Begins a multipart upload that nobody will end.
    pub(crate) async fn begin_upload(&self, key: &str) -> String {
        let begun = self
            .s3
            .create_multipart_upload()
            .bucket(&self.service.bucket)
            .key(key)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.service.key_arn);
        begun.send().await.unwrap().upload_id.unwrap()
    }

    /// Hides a key; gives the delete marker's id.
    pub(crate) async fn hide(&self, key: &str) -> String {
        let hidden = self.s3.delete_object().bucket(&self.service.bucket).key(key).send().await.unwrap();
        hidden.version_id.unwrap()
    }

    /// Every version and delete marker below `models/`, as key and VersionId.
    pub(crate) async fn listed(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .s3
                .list_object_versions()
                .bucket(&self.service.bucket)
                .prefix("models/")
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .unwrap();
            let of = |key: Option<&str>, id: Option<&str>| (key.unwrap().to_owned(), id.unwrap().to_owned());
            all.extend(page.versions().iter().map(|found| of(found.key(), found.version_id())));
            all.extend(page.delete_markers().iter().map(|found| of(found.key(), found.version_id())));
            if page.is_truncated() != Some(true) {
                all.sort();
                return all;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
    }

    /// What rows name, as [`Self::listed`].
    pub(crate) async fn named(&self) -> Vec<(String, String)> {
        let texts = self.rows.texts("select s3_key || char(10) || s3_version_id from objects").await;
        let mut all: Vec<_> = texts
            .iter()
            .map(|text| text.split_once('\n').map(|(key, id)| (key.to_owned(), id.to_owned())).unwrap())
            .collect();
        all.sort();
        all
    }

    /// The key of the only file of a version.
    pub(crate) async fn key_of(&self, number: i64) -> String {
        let sql = format!(
            "select o.s3_key from objects o join version_files f on f.object_id = o.id join versions v \
             on v.id = f.version_id where v.number = {number}"
        );
        self.rows.texts(sql).await.remove(0)
    }

    /// Makes a draft of a client by rows alone; gives what its keys begin with.
    pub(crate) async fn client_draft(&self, id: &str, expires_at: i64, keep: i64) -> String {
        self.draft(id, "client", expires_at, keep).await
    }

    pub(crate) async fn draft(&self, id: &str, kind: &str, expires_at: i64, keep: i64) -> String {
        self.rows
            .execute(format!(
                "insert into drafts (id, model_namespace, model_name, vault_id, token, created_at, created_by, kind, \
                 prefix, keep, expires_at) values ('{id}', 'a', 'b', 1, 'token', 0, 'test', '{kind}', '{id}', {keep}, \
                 {expires_at})"
            ))
            .await;
        format!("models/a/b/{id}/")
    }

    /// A file on its way into a draft, by a row alone.
    pub(crate) async fn upload_row(&self, draft: &str, key: &str, s3_id: Option<&str>, expires_at: i64) {
        let s3_id = s3_id.map_or("null".to_owned(), |id| format!("'{id}'"));
        self.rows
            .execute(format!(
                "insert into uploads (id, draft_id, kind, path, s3_key, s3_upload_id, token, created_at, created_by, \
                 expires_at) values ('u-{key}', '{draft}', 'presigned', 'x', '{key}', {s3_id}, 'token', 0, 'test', \
                 {expires_at})"
            ))
            .await;
    }
}

/// Runs `strongroom sweep` with the service's configuration, beside it or without it.
pub(crate) async fn command(service: &Service, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let outside = match service.back_end {
        BackEnd::Embedded | BackEnd::Elsewhere => Vec::new(),
        BackEnd::SeaweedFs => outside_environment(seaweedfs_with_localstack().await),
    };
    sweep_of(&service.data_dir(), arguments).envs(outside).envs(environment.iter().copied()).output().await.unwrap()
}

/// `strongroom sweep` for the service with this data directory; it ends with whoever waits for it.
pub(crate) fn sweep_of(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command
        .args(["sweep", "--format", "json"])
        .args(arguments)
        .arg("--config")
        .arg(data_dir.with_file_name("strongroom.toml"))
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Far in the future, in milliseconds.
pub(crate) const NEVER: i64 = 99_999_999_999_999;
