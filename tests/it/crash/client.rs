//! A client of the random crash test: it does what chance says, and notes in the ledger what it was told.
//!
//! What needs several requests it goes on with when the service is back, as a client of that kind would.

use std::sync::Arc;

use reqwest::multipart::Part;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::storm::Life;
use crate::support::dice::Dice;
use crate::support::drafts::PartUrl;
use crate::support::ledger::{Attempt, Fate, File, Ledger};
use crate::support::service::{Api, form, hex_sha256, repr_digest};
use crate::sweep::scene::{NOW, sweep_of};

pub(super) const MODELS: [&str; 3] = ["storm/a", "storm/b", "gale/a"];
/// Aliases that every client moves.
pub(super) const SHARED: [&str; 2] = ["production", "candidate"];
const MIB: usize = 1024 * 1024;

/// What a client does next, and how often.
const ACTIONS: &[(u64, Action)] = &[
    (8, Action::PublishRaw),
    (6, Action::PublishForm),
    (1, Action::PublishLarge),
    (4, Action::PublishWithKey),
    (2, Action::Refused),
    (8, Action::Draft),
    (5, Action::OwnAlias),
    (3, Action::SharedAlias),
    (4, Action::Delete),
    (3, Action::Restore),
    (5, Action::Read),
    (4, Action::List),
    (1, Action::Sweep),
];

#[derive(Debug, Clone, Copy)]
enum Action {
    /// One small file.
    PublishRaw,
    /// Some small files, and now and then an alias with them.
    PublishForm,
    /// A file of two parts, and a small one.
    PublishLarge,
    /// One small file, sent again with the same key when nobody knows what came of it.
    PublishWithKey,
    /// One that does not have the digest that it is said to have.
    Refused,
    /// Files sent straight to S3 and through the service, published or discarded in the end.
    Draft,
    /// An alias that nobody else moves.
    OwnAlias,
    /// One that everybody moves.
    SharedAlias,
    /// A version of this client goes to the trash.
    Delete,
    /// It comes back, unless a sweep was faster.
    Restore,
    /// A version that was acknowledged.
    Read,
    /// All versions of a model.
    List,
    /// The command, which dies with the service.
    Sweep,
}

pub(super) struct Client {
    dice: Dice,
    ledger: Arc<Ledger>,
    /// Versions that nobody else deletes or restores.
    mine: Vec<Attempt>,
    draft: Option<Draft>,
    /// What was sent with an idempotency key and not answered.
    unanswered: Option<(Attempt, String)>,
    alias: Own,
    keys: u64,
}

/// A draft that is being filled.
struct Draft {
    id: String,
    attempt: Attempt,
    /// Discarding has been asked for.
    discarded: bool,
}

/// An alias that only one client moves.
struct Own {
    model: &'static str,
    name: String,
    at: Option<i64>,
    /// Where it may be instead, when nobody answered.
    perhaps: Option<Goal>,
}

enum Goal {
    At(Option<i64>),
    /// At the version that this became, if it became one.
    With(Attempt),
}

type Told = watch::Receiver<Option<Life>>;

impl Client {
    pub(super) fn new(number: u64, dice: Dice, ledger: Arc<Ledger>) -> Self {
        let model = MODELS[usize::try_from(number).unwrap() % MODELS.len()];
        let alias = Own { model, name: format!("client/{number}"), at: None, perhaps: None };
        Self { dice, ledger, mine: Vec::new(), draft: None, unanswered: None, alias, keys: number << 32 }
    }

    /// One thing; an error: there was no answer.
    pub(super) async fn act(&mut self, life: &Life, told: &mut Told) -> reqwest::Result<()> {
        let api = &life.api;
        self.where_is_the_alias(api).await?;
        let model = self.dice.pick(&MODELS);
        match any_action(&mut self.dice) {
            Action::PublishRaw => {
                let size = self.size(40_000);
                let attempt = self.ledger.attempt(model, &[("model.bin", size)]);
                self.publish(&attempt, raw(api, &attempt)).await
            }
            Action::PublishForm => self.publish_form(api, model).await,
            Action::PublishLarge => {
                let files = [("config.json", 100), ("large.bin", 8 * MIB + self.size(MIB))];
                let attempt = self.ledger.attempt(model, &files);
                self.publish(&attempt, fields(api, &attempt)).await
            }
            Action::PublishWithKey => self.publish_with_key(api, model).await,
            Action::Refused => {
                let size = self.size(40_000);
                let attempt = self.ledger.attempt(model, &[("model.bin", size)]);
                self.ledger.refused(&attempt);
                let answer = raw(api, &attempt).header("Repr-Digest", repr_digest(b"others")).send().await?;
                assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
                Ok(())
            }
            Action::Draft => self.go_on_with_the_draft(api, model).await,
            Action::OwnAlias => self.move_own_alias(api).await,
            Action::SharedAlias => self.move_shared_alias(api).await,
            Action::Delete => self.delete(api).await,
            Action::Restore => self.restore(api).await,
            Action::Read => self.read(api).await,
            Action::List => {
                let known = self.ledger.known();
                let listed = api.versions(model).await?;
                self.ledger.may_be_seen(model, &known, &listed);
                Ok(())
            }
            Action::Sweep => {
                sweep(life, told).await;
                Ok(())
            }
        }
    }

    /// From one to this.
    fn size(&mut self, most: usize) -> usize {
        1 + usize::try_from(self.dice.roll(most as u64)).unwrap()
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.size(of.len()) - 1].clone())
    }

    /// Sends it, and notes what was answered.
    async fn publish(&mut self, attempt: &Attempt, request: RequestBuilder) -> reqwest::Result<()> {
        self.is_published(attempt, request.send().await?).await.map(|_| ())
    }

    /// The number that an answer says; the status is the acknowledgement, also when the rest of the answer is lost.
    async fn is_published(&mut self, attempt: &Attempt, answer: Response) -> reqwest::Result<i64> {
        let (status, location) = (answer.status(), answer.headers().get("location").cloned());
        assert_eq!(status, StatusCode::CREATED, "{}", answer.text().await.unwrap_or_default());
        let location = location.unwrap().to_str().unwrap().to_owned();
        let number = location.rsplit('/').next().unwrap().parse().unwrap();
        self.ledger.acknowledged(attempt, number);
        if !self.mine.iter().any(|mine| self.ledger.number(mine) == Some(number) && mine.model == attempt.model) {
            self.mine.push(attempt.clone());
        }
        Ok(number)
    }

    async fn publish_form(&mut self, api: &Api, model: &str) -> reqwest::Result<()> {
        let with_alias = self.dice.roll(3) == 0;
        let model = if with_alias { self.alias.model } else { model };
        let count = 1 + self.size(2);
        let all = [("config.json", self.size(500)), ("a/b.bin", self.size(60_000)), ("a/c.bin", self.size(9_000))];
        let attempt = self.ledger.attempt(model, &all[..count]);
        let mut request = fields(api, &attempt);
        if with_alias {
            request = request.query(&[("alias", &self.alias.name)]);
            self.alias.perhaps = Some(Goal::With(attempt.clone()));
        }
        let answer = request.send().await?;
        let number = self.is_published(&attempt, answer).await?;
        if with_alias {
            self.alias.is_at(Some(number));
        }
        Ok(())
    }

    async fn publish_with_key(&mut self, api: &Api, model: &str) -> reqwest::Result<()> {
        let (attempt, key) = self.unanswered.take().unwrap_or_else(|| {
            self.keys += 1;
            let size = self.size(40_000);
            let attempt = self.ledger.attempt(model, &[("model.bin", size)]);
            (attempt, format!("key-{}", self.keys))
        });
        self.unanswered = Some((attempt.clone(), key.clone()));
        self.ledger.asked(&attempt);
        let answer = raw(api, &attempt).header("Idempotency-Key", key).send().await?;
        self.is_published(&attempt, answer).await?;
        self.unanswered = None;
        Ok(())
    }

    async fn go_on_with_the_draft(&mut self, api: &Api, model: &'static str) -> reqwest::Result<()> {
        if self.draft.is_none() {
            self.draft = Some(self.begin_a_draft(api, model).await?);
        }
        let dice = self.dice.roll(8);
        let Some(Draft { id, attempt, discarded }) = &mut self.draft else { return Ok(()) };
        let (at, attempt) = (format!("/v1/drafts/{id}"), attempt.clone());
        *discarded |= dice == 0 && self.ledger.fate(&attempt) == Fate::Withheld;
        if *discarded {
            let answer = api.request(Method::DELETE, &at).send().await?;
            assert!([StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&answer.status()));
            self.ledger.refused(&attempt);
            self.draft = None;
            return Ok(());
        }
        let (status, there) = api.page(&at).await?;
        assert_eq!(status, StatusCode::OK, "{there}");
        if there["state"] == "open" {
            for file in &attempt.files {
                self.add(api, &at, file).await?;
            }
            if self.dice.roll(4) == 0 {
                // Somebody removes a file and adds it again.
                let file = self.any(&attempt.files).unwrap();
                let answer = api.request(Method::DELETE, &format!("{at}/files/{}", file.path)).send().await?;
                assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{}", answer.text().await?);
                self.add(api, &at, &file).await?;
            }
        } else {
            // It was published, and nobody was told.
            assert_eq!(self.ledger.number(&attempt), there["number"].as_i64(), "{there}");
        }
        let with_alias = attempt.model == self.alias.model && self.dice.coin();
        let mut wish = json!({});
        if with_alias && there["state"] == "open" {
            wish = json!({ "aliases": [{ "name": self.alias.name }] });
            self.alias.perhaps = Some(Goal::With(attempt.clone()));
        }
        self.ledger.asked(&attempt);
        let answer = api.request(Method::POST, &format!("{at}/publish")).json(&wish).send().await?;
        let number = self.is_published(&attempt, answer).await?;
        if wish["aliases"].is_array() {
            self.alias.is_at(Some(number));
        }
        self.draft = None;
        Ok(())
    }

    async fn begin_a_draft(&mut self, api: &Api, model: &'static str) -> reqwest::Result<Draft> {
        let request = api.request(Method::POST, &format!("/v1/models/{model}/drafts")).json(&json!({}));
        let answer = request.send().await?;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let id = answer.json::<Value>().await?["id"].as_str().unwrap().to_owned();
        let large = if self.dice.roll(6) == 0 { 5 * MIB } else { 0 };
        let files = [("config.json", self.size(500)), ("b.bin", self.size(60_000) + large)];
        // Bytes that a version of the model has, whoever deletes it meanwhile.
        let others: Vec<File> = self.ledger.present().into_iter().flat_map(|(other, _)| other.files).collect();
        let shared = self.any(&others).map(|file| file.at("shared.bin"));
        let shared: Vec<File> = shared.into_iter().filter(|_| self.dice.coin()).collect();
        let attempt = self.ledger.withheld(model, &files, &shared);
        Ok(Draft { id, attempt, discarded: false })
    }

    /// Puts a file into a draft, which may have it already.
    async fn add(&self, api: &Api, draft: &str, file: &File) -> reqwest::Result<()> {
        let bytes = file.bytes();
        // One way for one file: an upload that was begun holds the draft up until it is completed or aborted.
        if bytes.len() < MIB && bytes.len().is_multiple_of(2) {
            let request = api.request(Method::PUT, &format!("{draft}/files/{}", file.path)).body(bytes);
            assert_eq!(request.send().await?.status(), StatusCode::OK);
            return Ok(());
        }
        let posted = async |at: &str, body: Value| -> reqwest::Result<Value> {
            let answer = api.request(Method::POST, &format!("{draft}{at}")).json(&body).send().await?;
            let (status, body) = (answer.status(), answer.json().await?);
            assert_eq!(status, StatusCode::OK, "{at}: {body}");
            Ok(body)
        };
        let size = 5 * MIB;
        let wish = json!({ "path": file.path, "size": bytes.len(), "sha256": file.sha256(), "part_size": size });
        let declared = posted("/uploads", json!({ "files": [wish] })).await?["files"][0].clone();
        if declared["state"] == "present" {
            return Ok(());
        }
        let upload = format!("/uploads/{}", declared["upload_id"].as_str().unwrap());
        for (place, part) in bytes.chunks(size).enumerate() {
            let wish = json!({ "part": place + 1, "size": part.len(), "sha256": hex_sha256(part) });
            let urls = posted(&format!("{upload}/part-urls"), json!({ "parts": [wish] })).await?;
            let answer = PartUrl::of(&urls["parts"][0]).try_put(part, &[]).await?;
            assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await?);
        }
        posted(&format!("{upload}/complete"), json!({})).await?;
        Ok(())
    }

    /// Looks where the own alias is, when that was left open.
    async fn where_is_the_alias(&mut self, api: &Api) -> reqwest::Result<()> {
        let Some(goal) = &self.alias.perhaps else { return Ok(()) };
        let Own { model, name, at, .. } = &self.alias;
        let there = alias(api, model, name).await?;
        match goal {
            Goal::At(goal) => assert!(there == *at || there == *goal, "{name} is at {there:?}, not {at:?} or {goal:?}"),
            // It comes with the version, or neither does.
            Goal::With(attempt) => assert_eq!(there, self.ledger.number(attempt).or(*at), "{name}, with {attempt:?}"),
        }
        self.alias.is_at(there);
        is_a_chain(api, self.alias.model, &self.alias.name).await
    }

    async fn move_own_alias(&mut self, api: &Api) -> reqwest::Result<()> {
        let model = self.alias.model;
        let there: Vec<i64> =
            self.mine.iter().filter(|mine| mine.model == model).filter_map(|mine| self.is_there(mine)).collect();
        let to = self.any(&there).filter(|_| self.dice.roll(5) > 0);
        let at = self.alias.at;
        if to.is_none() && at.is_none() {
            return Ok(());
        }
        let path = format!("/v1/models/{model}/aliases/{}", self.alias.name.replace('/', "%2F"));
        if self.dice.roll(4) == 0 {
            // Somebody who is wrong about where it is moves nothing.
            let wrong = json!({ "version": to.or(at), "expected": at.unwrap_or(0) + 1 });
            let answer = api.request(Method::PUT, &path).json(&wrong).send().await?;
            let unchanged = to.or(at) == at && answer.status() == StatusCode::OK;
            assert!(unchanged || answer.status() == StatusCode::PRECONDITION_FAILED, "{}", answer.text().await?);
            return Ok(());
        }
        let request = match to {
            Some(to) => api.request(Method::PUT, &path).json(&json!({ "version": to, "expected": at })),
            None => api.request(Method::DELETE, &path).query(&[("expected", at)]),
        };
        self.alias.perhaps = Some(Goal::At(to));
        let answer = request.send().await?;
        assert!(answer.status().is_success(), "from {at:?} to {to:?}: {}", answer.text().await?);
        self.alias.is_at(to);
        Ok(())
    }

    async fn move_shared_alias(&mut self, api: &Api) -> reqwest::Result<()> {
        let Some((attempt, number)) = self.any(&self.ledger.present()) else { return Ok(()) };
        let path = format!("/v1/models/{}/aliases/{}", attempt.model, self.dice.pick(&SHARED));
        let answer = if self.dice.roll(3) == 0 {
            api.request(Method::DELETE, &path).send().await?
        } else {
            api.request(Method::PUT, &path).json(&json!({ "version": number, "reason": "storm" })).send().await?
        };
        // There may be none, and the version may be deleted meanwhile.
        let may_be = [StatusCode::OK, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND, StatusCode::GONE];
        assert!(may_be.contains(&answer.status()), "{}", answer.text().await?);
        Ok(())
    }

    /// The number of a version that can be read.
    fn is_there(&self, attempt: &Attempt) -> Option<i64> {
        match self.ledger.fate(attempt) {
            Fate::Present(number) => Some(number),
            _ => None,
        }
    }

    async fn delete(&mut self, api: &Api) -> reqwest::Result<()> {
        let there: Vec<Attempt> = self.mine.iter().filter(|mine| self.is_there(mine).is_some()).cloned().collect();
        let Some(attempt) = self.any(&there) else { return Ok(()) };
        let at = format!("/v1/models/{}/versions/{}", attempt.model, self.ledger.number(&attempt).unwrap());
        self.ledger.wavers(&attempt);
        let answer = api.request(Method::DELETE, &at).send().await?;
        match answer.status() {
            StatusCode::OK => self.ledger.went(&attempt),
            // An alias names it.
            StatusCode::CONFLICT => self.ledger.stays(&attempt),
            other => panic!("{other}: {}", answer.text().await?),
        }
        Ok(())
    }

    async fn restore(&mut self, api: &Api) -> reqwest::Result<()> {
        let gone = |mine: &&Attempt| matches!(self.ledger.fate(mine), Fate::Trashed(_));
        let gone: Vec<Attempt> = self.mine.iter().filter(gone).cloned().collect();
        let Some(attempt) = self.any(&gone) else { return Ok(()) };
        let number = self.ledger.number(&attempt).unwrap();
        let at = format!("/v1/models/{}/versions/{number}/restore", attempt.model);
        self.ledger.wavers(&attempt);
        let answer = api.request(Method::POST, &at).send().await?;
        match answer.status() {
            StatusCode::OK => {
                self.ledger.stays(&attempt);
                attempt.reads_right(api, number).await
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.ledger.went(&attempt);
                Ok(())
            }
            other => panic!("{other}: {}", answer.text().await?),
        }
    }

    async fn read(&mut self, api: &Api) -> reqwest::Result<()> {
        let known = self.ledger.known();
        let Some((attempt, number)) = self.any(&self.ledger.present()) else { return Ok(()) };
        if !attempt.is_read(api, number).await? {
            assert!(!self.ledger.is_as_then(&attempt, &known), "version {number} of {} is lost", attempt.model);
        }
        Ok(())
    }
}

impl Own {
    fn is_at(&mut self, at: Option<i64>) {
        self.at = at;
        self.perhaps = None;
    }
}

/// Runs the command, until it ends or the service is killed.
async fn sweep(life: &Life, told: &mut Told) {
    let mut command = sweep_of(&life.data_dir, &["--force"]);
    let sweeping = command.envs(NOW.iter().copied()).output();
    let gone = told.wait_for(Option::is_none);
    let swept = tokio::select! {
        swept = sweeping => swept.unwrap(),
        _ = gone => return,
    };
    let says = [swept.stdout, swept.stderr].map(|output| String::from_utf8_lossy(&output).into_owned()).concat();
    let busy = says.contains("another sweep");
    assert!(swept.status.success() || busy || told.borrow().is_none(), "{says}");
}

/// Where an alias is.
async fn alias(api: &Api, model: &str, name: &str) -> reqwest::Result<Option<i64>> {
    let (status, found) = api.page(&format!("/v1/models/{model}/aliases/{}", name.replace('/', "%2F"))).await?;
    assert!([StatusCode::OK, StatusCode::NOT_FOUND].contains(&status), "{found}");
    Ok(found["version"].as_i64())
}

/// Asserts that each move of an alias began where the last one ended, and that it is where the newest one ended.
pub(super) async fn is_a_chain(api: &Api, model: &str, name: &str) -> reqwest::Result<()> {
    let at = format!("/v1/models/{model}/aliases/{}/history?limit=200", name.replace('/', "%2F"));
    let mut next = alias(api, model, name).await?;
    let mut cursor = String::new();
    loop {
        let (status, page) = api.page(&format!("{at}{cursor}")).await?;
        if status == StatusCode::NOT_FOUND {
            assert_eq!(next, None, "{name} of {model} has no history");
            return Ok(());
        }
        for made in page["items"].as_array().unwrap() {
            assert_eq!(made["to"].as_i64(), next, "{name} of {model}: {page:#}");
            next = made["from"].as_i64();
        }
        match page["next_cursor"].as_str() {
            Some(more) => cursor = format!("&cursor={more}"),
            None => break,
        }
    }
    assert_eq!(next, None, "the history of {name} of {model} has no beginning");
    Ok(())
}

fn any_action(dice: &mut Dice) -> Action {
    let mut left = dice.roll(ACTIONS.iter().map(|(weight, _)| weight).sum());
    for (weight, action) in ACTIONS {
        if left < *weight {
            return *action;
        }
        left -= weight;
    }
    unreachable!("the throw is below the sum")
}

fn raw(api: &Api, attempt: &Attempt) -> RequestBuilder {
    let file = &attempt.files[0];
    let request = api.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model));
    request.query(&[("path", &file.path)]).body(file.bytes())
}

fn fields(api: &Api, attempt: &Attempt) -> RequestBuilder {
    let part = |form: reqwest::multipart::Form, file: &File| form.part(file.path.clone(), Part::bytes(file.bytes()));
    let body = attempt.files.iter().fold(form(), part);
    api.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model)).multipart(body)
}
