//! A client who fills a draft straight in S3, and makes a call once more when it is told to.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::faults::{Refused, told, unavailable};
use super::scene::Scene;
use crate::support::drafts::Draft;
use crate::support::ledger::{Attempt, File};

/// Every call ends within this time, whatever goes wrong.
const SOON: Duration = Duration::from_mins(1);
const MIB: usize = 1024 * 1024;

pub(super) struct Client<'a> {
    scene: &'a Scene,
    model: String,
    pub(super) draft: Draft<'a>,
    /// Calls that it made again.
    pub(super) repeats: usize,
    patient: bool,
}

impl<'a> Client<'a> {
    /// Begins a draft of a model.
    pub(super) async fn new(scene: &'a Scene, model: &str) -> Self {
        let draft = scene.service.draft(model, json!({})).await;
        Self { scene, model: model.to_owned(), draft, repeats: 0, patient: true }
    }

    /// One who gives up when a call is refused.
    pub(super) fn impatient(self) -> Self {
        Self { patient: false, ..self }
    }

    /// Declares the files of an attempt and brings all that are not there.
    pub(super) async fn fills(&mut self, attempt: &Attempt) -> Result<(), Refused> {
        let there = self.declares(&attempt.files).await?;
        self.brings(&attempt.files, &there).await
    }

    /// What is to be done for each of these files.
    pub(super) async fn declares(&mut self, files: &[File]) -> Result<Vec<Value>, Refused> {
        let declared = |file: &File| {
            let size = file.bytes().len();
            json!({ "path": file.path, "size": size, "part_size": 5 * MIB, "sha256": file.sha256() })
        };
        let files: Vec<Value> = files.iter().map(declared).collect();
        let there = self.asks("/uploads", json!({ "files": files })).await?;
        Ok(there["files"].as_array().unwrap().clone())
    }

    /// Sends and completes these files, as was said when they were declared.
    pub(super) async fn brings(&mut self, files: &[File], there: &[Value]) -> Result<(), Refused> {
        for (file, there) in files.iter().zip(there) {
            assert_eq!(there["path"], file.path);
            if there["state"] == "upload" {
                let count = usize::try_from(there["part_count"].as_u64().unwrap()).unwrap();
                self.draft.send_parts(there, &file.bytes(), 1..=count).await;
                self.completes(there).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn completes(&mut self, upload: &Value) -> Result<Value, Refused> {
        self.asks(&format!("/uploads/{}/complete", upload["upload_id"].as_str().unwrap()), json!({})).await
    }

    /// Publishes the draft, which becomes visible at once.
    pub(super) async fn publishes(&mut self, attempt: &Attempt) {
        self.scene.ledger.asked(attempt);
        let version = self.asks("/publish", json!({})).await.unwrap();
        assert_eq!(version["state"], "published", "{version}");
        self.scene.ledger.acknowledged(attempt, version["number"].as_i64().unwrap());
    }

    /// Takes a file out of the draft, or with an empty path the draft itself away.
    pub(super) async fn removes(&self, path: &str) -> Result<(), Refused> {
        let at = if path.is_empty() { self.draft.at("") } else { self.draft.at(&format!("/files/{path}")) };
        let asked = self.scene.service.request(Method::DELETE, &at).send();
        let answer = tokio::time::timeout(SOON, asked).await.expect("an answer in time").unwrap();
        if answer.status() == 204 { Ok(()) } else { Err(told(answer).await) }
    }

    /// A call, which is made once more where it may be and succeeds then.
    pub(super) async fn asks(&mut self, rest: &str, body: Value) -> Result<Value, Refused> {
        match self.call(rest, &body).await {
            Err(refused) if self.patient && refused == unavailable() => {
                self.repeats += 1;
                self.call(rest, &body).await
            }
            told => told,
        }
    }

    async fn call(&self, rest: &str, body: &Value) -> Result<Value, Refused> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(SOON, self.draft.post(rest, body.clone())).await;
        let answer = answer.unwrap_or_else(|_| panic!("{rest}: no answer within {SOON:?}"));
        let told =
            if answer.status().is_success() { Ok(answer.json().await.unwrap()) } else { Err(told(answer).await) };
        println!("  {} {rest} {:?} after {:?}", self.model, told.as_ref().map(|_| ()), begun.elapsed());
        told
    }
}
