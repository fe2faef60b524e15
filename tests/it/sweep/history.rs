//! Random histories, with sweeps, publishing and accidents at the same time: nothing that a row names is ever removed,
//! and in the end nothing is left that no row names.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::scene::{NOW, Scene, command, sweep_of};
use crate::support::service::{BackEnd, Service, bytes};

/// Steps of one history.
const STEPS: u64 = 40;
const MODELS: [&str; 3] = ["a/b", "a/c", "z/m"];

/// The same histories in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// What the test knows of the versions that it published.
type Published = BTreeMap<(String, i64), Vec<u8>>;

struct History {
    scene: Scene,
    random: Random,
    published: Published,
    made: u64,
}

impl History {
    async fn new(seed: u64) -> Self {
        let settings = "sweep_hours = 0\nsweep_age_hours = 0\ntrash_days = 0\nwatch_seconds = 86400";
        let scene = Scene::of(Service::start_with(BackEnd::Embedded, settings).await).await;
        Self {
            scene,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            published: BTreeMap::new(),
            made: 0,
        }
    }

    /// One step; sweeps and publishing are often under way at the same time.
    async fn step(&mut self) {
        match self.random.below(13) {
            0..=2 => self.publish_beside_a_sweep().await,
            3 => self.on_a_version(Method::DELETE, "").await,
            4 => self.on_a_version(Method::POST, "/restore").await,
            5 => self.hold_or_name().await,
            6 => self.accident().await,
            7 => self.share().await,
            8 => self.on_a_model().await,
            9 => self.scene.rows.flush().await,
            10 => self.draft().await,
            11 => self.killed_sweep().await,
            _ => self.sweep().await,
        }
    }

    async fn publish_beside_a_sweep(&mut self) {
        let count = 1 + self.random.below(4);
        let uploads: Vec<_> = (0..count)
            .map(|_| {
                self.made += 1;
                let model = MODELS[self.random.below(3)];
                // Now and then more than one part, so that a multipart upload is under way.
                let len = if self.random.below(6) == 0 { 9 << 20 } else { 1000 };
                (model, bytes(self.made, len))
            })
            .collect();
        let sweep = self.random.below(2) == 0;
        let service = &self.scene.service;
        let publishing = futures::future::join_all(uploads.into_iter().map(|(model, bytes)| async move {
            let path = format!("/v1/models/{model}/versions?path=m.bin");
            let sent = service.request(Method::POST, &path).body(bytes.clone()).send().await;
            // A large body that is refused before it is read breaks off.
            let Ok(answer) = sent else {
                return (model, bytes, StatusCode::CONFLICT, json!({"code": "model_deleted"}));
            };
            let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
            (model, bytes, status, body)
        }));
        let sweeping = async { if sweep { Some(command(service, NOW, &["--force"]).await) } else { None } };
        let (done, swept) = futures::future::join(publishing, sweeping).await;
        assert!(swept.is_none_or(|output| output.status.success()));
        for (model, bytes, status, body) in done {
            match status {
                StatusCode::CREATED => {
                    self.published.insert((model.to_owned(), body["number"].as_i64().unwrap()), bytes);
                }
                // The model is in the trash.
                StatusCode::CONFLICT => assert_eq!(body["code"], "model_deleted"),
                other => panic!("{other}: {body}"),
            }
        }
    }

    fn some_version(&mut self) -> Option<(String, i64)> {
        let count = self.published.len();
        (count > 0).then(|| self.published.keys().nth(self.random.below(count)).unwrap().clone())
    }

    async fn on_a_version(&mut self, method: Method, end: &str) {
        let Some((model, number)) = self.some_version() else { return };
        let status = self.scene.call(method, &format!("/v1/models/{model}/versions/{number}{end}")).await;
        assert!([200, 404, 409, 410].contains(&status), "{status}");
    }

    async fn on_a_model(&mut self) {
        let model = MODELS[self.random.below(3)];
        let (method, end) = if self.random.below(3) == 0 { (Method::DELETE, "") } else { (Method::POST, "/restore") };
        let status = self.scene.call(method, &format!("/v1/models/{model}{end}")).await;
        assert!([200, 404, 409, 410].contains(&status), "{status}");
    }

    async fn hold_or_name(&mut self) {
        let Some((model, number)) = self.some_version() else { return };
        let path = format!("/v1/models/{model}/versions/{number}/hold");
        let (namespace, name) = model.split_once('/').unwrap();
        match self.random.below(4) {
            0 => {
                let held = self.scene.service.request(Method::PUT, &path).json(&json!({"reason": "case"}));
                assert!([204, 404, 409, 410].contains(&held.send().await.unwrap().status().as_u16()));
            }
            1 => _ = self.scene.call(Method::DELETE, &path).await,
            2 => {
                let sql = format!(
                    "insert or replace into aliases select m.id, 'name', v.number, 0, 'test' from versions v \
                     join models m on m.id = v.model_id join namespaces n on n.id = m.namespace_id \
                     where n.name = '{namespace}' and m.name = '{name}' and v.number = {number} \
                     and v.state = 'published' and m.deleted_at is null"
                );
                self.scene.rows.execute(sql).await;
            }
            _ => _ = self.scene.rows.execute("delete from aliases").await,
        }
    }

    /// What others, crashes and retries leave in the bucket.
    async fn accident(&mut self) {
        let listed = self.scene.listed().await;
        let some = if listed.is_empty() {
            "models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/x".to_owned()
        } else {
            listed[self.random.below(listed.len())].0.clone()
        };
        match self.random.below(4) {
            0 => _ = self.scene.put(&some).await,
            1 => _ = self.scene.hide(&some).await,
            2 => _ = self.scene.begin_upload(&some).await,
            _ => _ = self.scene.put(&format!("models/a/b/01ARZ3NDEKTSV4RRFFQ69G5FAV/{}", self.made)).await,
        }
    }

    /// A published version shares the object of another one of its model, as after a copy on write.
    async fn share(&mut self) {
        let sql = "insert or ignore into version_files select v.id, 'shared.bin', f.object_id from versions v \
                   join versions w on w.model_id = v.model_id join version_files f on f.version_id = w.id \
                   join objects o on o.id = f.object_id where v.state = 'published' and w.state in ('published', 'trashed') \
                   and o.state = 'live' and v.id <> w.id limit 2";
        self.scene.rows.execute(sql).await;
    }

    /// A client's draft with a file and an upload under way, which has expired or not.
    async fn draft(&mut self) {
        if self.scene.rows.number("select count(*) from models").await == 0 {
            return;
        }
        self.made += 1;
        let id = format!("01ARZ3NDEKTSV4RRFFQ69G{:04}", self.made);
        let expires_at = if self.random.below(2) == 0 { 1 } else { super::scene::NEVER };
        let prefix = self.scene.client_draft(&id, expires_at, 0).await;
        let key = format!("{prefix}half");
        let upload = self.scene.begin_upload(&key).await;
        self.scene.upload_row(&id, &key, Some(&upload), super::scene::NEVER).await;
        let key = format!("{prefix}whole");
        let version = self.scene.put(&key).await;
        let sql = format!(
            "insert into objects (model_id, vault_id, s3_key, s3_version_id, kms_key_arn, size, sha256, integrity, \
             created_at) select min(id), 1, '{key}', '{version}', 'k', 15, 'd', 'declared', 0 from models"
        );
        self.scene.rows.execute(sql).await;
        let sql = format!(
            "insert into draft_files (draft_id, path, object_id, created_at) select d.id, 'whole', o.id, 0 from drafts d, objects o where d.id = '{id}' and o.s3_key = '{key}'"
        );
        // The draft may have been swept at its end already; then the row is one that nothing refers to.
        self.scene.rows.execute(sql).await;
    }

    async fn sweep(&self) {
        let output = command(&self.scene.service, NOW, &["--force"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// A sweep that dies at any moment; whoever comes next waits for its lease, or takes it away as this does.
    async fn killed_sweep(&mut self) {
        let mut sweep = sweep_of(&self.scene.service.data_dir(), &["--force"])
            .envs(NOW.iter().copied())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(self.random.below(400) as u64)).await;
        sweep.kill().await.unwrap();
        self.scene.rows.execute("delete from leases where name = 'sweep'").await;
    }

    /// Everything that a row names is there.
    async fn nothing_is_missing(&self) {
        // Rows first: what they name by then has been there, and only a purge takes it away, after the row's last file.
        let sql = "select o.s3_key || char(10) || o.s3_version_id from objects o where o.state = 'live'";
        let named: BTreeSet<String> = self.scene.rows.texts(sql).await.into_iter().collect();
        let listed: BTreeSet<String> =
            self.scene.listed().await.into_iter().map(|(key, id)| format!("{key}\n{id}")).collect();
        let missing: Vec<_> = named.difference(&listed).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Every version that can be read gives the bytes that were published.
    async fn everything_is_readable(&self) -> usize {
        let mut read = 0;
        for ((model, number), bytes) in &self.published {
            let path = format!("/v1/models/{model}/versions/{number}/files/m.bin?via=proxy");
            let answer = self.scene.service.get(&path).await;
            match answer.status().as_u16() {
                200 => {
                    assert!(answer.bytes().await.unwrap() == bytes.as_slice(), "{model} {number}");
                    read += 1;
                }
                404 | 410 => {}
                other => panic!("{model} {number}: {other}"),
            }
        }
        read
    }

    async fn kill(self) -> Self {
        let service = self.scene.service.kill_and_restart().await;
        Self { scene: Scene::of(service).await, ..self }
    }

    /// The trash is emptied, and everything that waited is done.
    async fn end(self) {
        for sql in ["delete from aliases", "update versions set hold = null", "update drafts set expires_at = 1"] {
            self.scene.rows.execute(sql).await;
        }
        for _ in 0..3 {
            self.sweep().await;
            self.scene.rows.flush().await;
        }
        self.sweep().await;
        self.nothing_is_missing().await;
        assert_eq!(self.scene.listed().await, self.scene.named().await, "nothing is left that no row names");
        let bucket = self.scene.service.in_bucket().await;
        assert_eq!(bucket.uploads, Vec::<String>::new());
        assert_eq!(self.scene.rows.number("select count(*) from objects where state = 'condemned'").await, 0);
        let gone = "select count(*) from versions where state in ('trashed', 'purging')";
        assert_eq!(self.scene.rows.number(gone).await, 0);
        let manifests = bucket.versions.iter().filter(|key| key.starts_with("manifests/")).count() as i64;
        let left = self.scene.rows.number("select count(*) from versions where state = 'published'").await;
        assert_eq!(manifests, left);
        assert_eq!(self.everything_is_readable().await as i64, left);
    }
}

async fn history(seed: u64) {
    let mut history = History::new(seed).await;
    for step in 0..STEPS {
        history.step().await;
        history.nothing_is_missing().await;
        if step % 10 == 9 {
            history.everything_is_readable().await;
        }
        if step % 20 == 19 {
            history = history.kill().await;
        }
    }
    history.end().await;
}

#[tokio::test]
async fn a_random_history_loses_nothing_and_leaves_nothing() {
    for seed in [1, 2, 3] {
        history(seed).await;
    }
}

/// The service dies in the middle of uploads, and a sweep comes right after it.
#[tokio::test]
async fn what_a_kill_leaves_is_swept_and_what_was_published_stays() {
    let mut history = History::new(4).await;
    history.publish_beside_a_sweep().await;
    let scene = Scene::of(history.scene.service.killed_in_an_upload().await).await;
    history = History { scene, ..history };
    history.accident().await;
    history.end().await;
}
