//! A service with published versions, a reader who never stops reading them, and what operators look at.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::outside::seaweedfs_with_localstack;
use crate::support::service::{BackEnd, Bucket, Service, bytes, outside_environment, problem};

/// How long anything may take to be noticed; the watch looks every second, the machine may be busy.
const NOTICED: Duration = Duration::from_mins(1);

/// A service that is watched, and what it has published.
pub(super) struct Scene {
    pub(super) service: Service,
    reader: Reader,
    uploads: AtomicU64,
}

/// Reads everything that is published, again and again.
struct Reader {
    stop: Arc<AtomicBool>,
    right: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

/// A file that was published before anything broke.
#[derive(Debug, Clone, Copy)]
struct Published {
    model: &'static str,
    number: u32,
    path: &'static str,
    seed: u64,
    len: usize,
}

const PUBLISHED: [Published; 4] = [
    Published { model: "vision/resnet", number: 1, path: "weights/model.bin", seed: 1, len: 200_000 },
    Published { model: "vision/resnet", number: 2, path: "weights/model.bin", seed: 2, len: 200_001 },
    Published { model: "text/tiny", number: 1, path: "config.json", seed: 3, len: 40 },
    // Larger than one part: a multipart upload.
    Published { model: "text/tiny", number: 2, path: "large.bin", seed: 4, len: 9_000_000 },
];

impl Scene {
    pub(super) async fn new(back_end: BackEnd) -> Self {
        Self::with(back_end, "watch_seconds = 1").await
    }

    pub(super) async fn with(back_end: BackEnd, settings: &str) -> Self {
        let service = Service::start_with(back_end, settings).await;
        for file in PUBLISHED {
            let version = service.published(file.model, file.path, &bytes(file.seed, file.len)).await;
            assert_eq!(version["number"], file.number);
        }
        let reader = Reader::start(&service);
        let scene = Self { service, reader, uploads: AtomicU64::new(0) };
        scene.sees("objects_intact", "passed").await;
        scene.until("everything is read", async || (scene.reads().0 >= PUBLISHED.len() as u64).then_some(())).await;
        scene
    }

    /// Waits until the claim stands so; gives what is observed.
    pub(super) async fn sees(&self, claim: &str, status: &str) -> String {
        self.until(&format!("{claim} {status}"), async || {
            let posture = self.service.json("/v1/posture").await;
            let found = posture["claims"].as_array().unwrap().iter().find(|found| found["id"] == claim).cloned()?;
            (found["status"] == status).then(|| found["observed"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// Waits until every place where an operator looks shows that the claim failed.
    pub(super) async fn is_told_that_it_failed(&self, claim: &str) -> String {
        let observed = self.sees(claim, "failed").await;
        let ready = self.readiness().await;
        assert_eq!((&ready["status"], &ready["posture"]), (&json!("ready"), &json!("failed")));
        assert_eq!(ready["stale"], false);
        let metrics = self.metrics().await;
        let gauge = |value| {
            metrics.lines().any(|line| {
                line.starts_with(&format!("strongroom_posture_claim{{claim=\"{claim}\"")) && line.ends_with(value)
            })
        };
        assert!(gauge(" 0"), "{metrics}");
        assert!(!metrics.contains(&format!("posture_drift_total{{claim=\"{claim}\"}} 0")), "{metrics}");
        let line = format!("posture: {claim} failed: was ");
        self.until("the log line", async || self.service.log().contains(&line).then_some(())).await;
        observed
    }

    /// Uploads are refused in the right words, and leave nothing.
    pub(super) async fn refuses_uploads_naming(&self, claim: &str) {
        let before = self.kept().await;
        let answer = self.upload().await;
        let retry_after = answer.headers().get("retry-after").cloned();
        let (status, body) = problem(answer).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (503, Some("writes_refused")), "{body}");
        assert!(body["detail"].as_str().unwrap().contains(claim), "{body}");
        assert!(!body.to_string().contains(&self.service.bucket), "{body}");
        assert!(retry_after.is_some());
        assert_eq!(self.kept().await, before);
        assert_eq!(self.readiness().await["writes"], "refused");
        assert!(self.metrics().await.contains("strongroom_writes_refused 1"));
    }

    pub(super) async fn takes_uploads(&self) {
        self.until("an upload is taken", async || (self.upload().await.status() == 201).then_some(())).await;
        assert_eq!(self.readiness().await["writes"], "ok");
        assert!(self.metrics().await.contains("strongroom_writes_refused 0"));
    }

    /// Waits until the claim holds again and all is told.
    pub(super) async fn recovers(&self, claim: &str) {
        self.sees(claim, "passed").await;
        let line = format!("posture: {claim} passed: was ");
        self.until("the log line", async || self.service.log().contains(&line).then_some(())).await;
        self.takes_uploads().await;
        let log = self.service.log();
        let failures = log.matches(&format!("posture: {claim} failed: was ")).count();
        assert_eq!(failures, 1, "told once:\n{log}");
    }

    /// Ends the reader; everything is readable again, and was never wrong.
    pub(super) async fn ends_readable(self) -> Service {
        let before = self.reader.right.load(Ordering::SeqCst);
        self.until("everything is read again", async || {
            (self.reader.right.load(Ordering::SeqCst) > before + 2 * PUBLISHED.len() as u64).then_some(())
        })
        .await;
        self.reader.end().await;
        self.service
    }

    /// Ends the reader, who may have been refused at the end; nothing was ever wrong.
    pub(super) async fn ends(self) -> Service {
        self.reader.end().await;
        self.service
    }

    /// Reads that got the right bytes, and reads that were refused.
    pub(super) fn reads(&self) -> (u64, u64) {
        (self.reader.right.load(Ordering::SeqCst), self.reader.refused.load(Ordering::SeqCst))
    }

    pub(super) async fn upload(&self) -> reqwest::Response {
        let n = self.uploads.fetch_add(1, Ordering::SeqCst);
        self.service.upload("later/m", "m.bin", &bytes(100 + n, 1000)).await
    }

    /// What is in the bucket and in the catalog.
    pub(super) async fn kept(&self) -> (Bucket, [i64; 3]) {
        let bucket = if self.bucket_exists().await { self.service.in_bucket().await } else { Bucket::default() };
        let rows = [self.service.rows("drafts").await, self.service.rows("versions").await];
        (bucket, [rows[0], rows[1], self.service.rows("objects").await])
    }

    pub(super) async fn readiness(&self) -> Value {
        self.service.anonymous(Method::GET, "/readyz").send().await.unwrap().json().await.unwrap()
    }

    pub(super) async fn metrics(&self) -> String {
        self.service.get("/metrics").await.text().await.unwrap()
    }

    /// The S3 key of a published file.
    pub(super) async fn key_of(&self, model: &str, number: u32, path: &str) -> (String, String) {
        let files = self.service.json(&format!("/v1/models/{model}/versions/{number}/files")).await;
        let file = files["items"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap().clone();
        let version_id = file["s3_version_id"].as_str().unwrap().to_owned();
        let s3 = self.service.s3().await;
        let listed = s3.list_object_versions().bucket(&self.service.bucket).send().await.unwrap();
        let found = listed.versions().iter().find(|found| found.version_id() == Some(&version_id)).unwrap();
        (found.key().unwrap().to_owned(), version_id)
    }

    /// What an operator does about most failures.
    pub(super) async fn apply(&self) {
        let output = strongroom(&self.service, &["bucket", "apply", "--mode", "repair"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + NOTICED;
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(Instant::now() < deadline, "not in time: {what}\n{}", self.service.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn bucket_exists(&self) -> bool {
        self.service.s3().await.head_bucket().bucket(&self.service.bucket).send().await.is_ok()
    }
}

impl Reader {
    fn start(service: &Service) -> Self {
        let requests: Vec<_> = PUBLISHED
            .map(|Published { model, number, path, seed, len }| {
                let url = format!("/v1/models/{model}/versions/{number}/files/{path}?via=proxy");
                (service.request(Method::GET, &url), bytes(seed, len))
            })
            .into();
        let (stop, right, refused) = (Arc::default(), Arc::default(), Arc::default());
        let task = tokio::spawn(read_on(requests, Arc::clone(&stop), Arc::clone(&right), Arc::clone(&refused)));
        Self { stop, right, refused, task }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        assert!(self.right.load(Ordering::SeqCst) > 0);
    }
}

async fn read_on(
    requests: Vec<(reqwest::RequestBuilder, Vec<u8>)>,
    stop: Arc<AtomicBool>,
    right: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
) {
    while !stop.load(Ordering::SeqCst) {
        for (request, expected) in &requests {
            let answer = request.try_clone().unwrap().send().await.unwrap();
            let read = if answer.status() == 200 {
                // A body that ends early is a clear error too.
                answer.bytes().await.ok()
            } else {
                let (status, body) = problem(answer).await;
                assert!(status.is_server_error(), "{body}");
                None
            };
            match read {
                Some(bytes) => {
                    assert!(bytes == expected.as_slice(), "a published version gave wrong bytes");
                    right.fetch_add(1, Ordering::SeqCst);
                }
                None => _ = refused.fetch_add(1, Ordering::SeqCst),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs a command beside the service, with its configuration.
pub(super) async fn strongroom(service: &Service, arguments: &[&str]) -> Output {
    let environment = match service.back_end {
        BackEnd::Embedded | BackEnd::Elsewhere => Vec::new(),
        BackEnd::SeaweedFs => outside_environment(seaweedfs_with_localstack().await),
    };
    let config = service.data_dir().with_file_name("strongroom.toml");
    Command::new(env!("CARGO_BIN_EXE_strongroom"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}
