//! A service whose object store stands behind a proxy that spoils what it is told to.

use std::time::{Duration, Instant};

use reqwest::multipart::Part;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use strongroom::provision::{self, Mode, Wanted};

use super::faults::told;
use crate::support::account::{Account, REGION};
use crate::support::audit::audit;
use crate::support::fault_proxy::FaultProxy;
use crate::support::ledger::{Attempt, File, Ledger};
use crate::support::service::{Api, BackEnd, Service, form};

const BUCKET: &str = "hostile";

pub(super) struct Scene {
    pub(super) proxy: FaultProxy,
    pub(super) service: Service,
    pub(super) ledger: Ledger,
    account: Account,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there.
    Acknowledged,
    /// It has its number, and will be there.
    Underway,
    /// Status and code of a refusal.
    Refused(u16, String),
}

impl Scene {
    /// One whose store may take a second for a small request.
    pub(super) async fn new() -> Self {
        Self::with_patience(1).await
    }

    pub(super) async fn with_patience(seconds: u64) -> Self {
        let account = Account::new(None).await;
        // The service cannot do it: it would not make a bucket behind an endpoint without TLS, as this proxy is.
        let wanted = Wanted::new(BUCKET, REGION, provision::BackEnd::Embedded);
        provision::provision(&account.clients, &wanted, Mode::Create).await.unwrap();
        let proxy = FaultProxy::new(account.endpoint()).await;
        let at = proxy.endpoint();
        let settings = format!(
            "storage = 's3'\nbucket = '{BUCKET}'\ns3_endpoint = '{at}'\ns3_public_endpoint = '{at}'\n\
             kms_endpoint = '{at}'\nprovision = 'off'\nstorage_timeout_seconds = {seconds}\n\
             sweep_hours = 0\nsweep_age_hours = 0"
        );
        let service = Service::start_in(BackEnd::Elsewhere, &settings, account.environment()).await;
        proxy.heal();
        Self { proxy, service, ledger: Ledger::default(), account }
    }

    pub(super) fn api(&self) -> Api {
        self.service.way()
    }

    /// Publishes an attempt, and notes what was said of it; it must be said within this time.
    pub(super) async fn publish(&self, attempt: &Attempt, within: Duration) -> Outcome {
        let begun = Instant::now();
        let answer = tokio::time::timeout(within, fields(&self.api(), attempt).timeout(within * 2).send()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer within {within:?}")).expect("an answer");
        let outcome = outcome(&self.ledger, attempt, answer).await;
        println!("  {:?} after {:?}", outcome, begun.elapsed());
        outcome
    }

    /// A small version that nothing hinders; it also shows what waited for its turn.
    pub(super) async fn publish_undisturbed(&self, model: &str) {
        self.proxy.heal();
        let attempt = self.ledger.attempt(model, &[("small.bin", 1000)]);
        assert_eq!(self.publish(&attempt, Duration::from_secs(20)).await, Outcome::Acknowledged);
    }

    /// Starts the service again, which recovers, and asserts that it has what it must have and nothing else.
    pub(super) async fn proven_whole_by_a_restart(mut self, strays: bool) -> Self {
        self.proxy.heal();
        self.service = self.service.restart().await;
        self.is_whole(strays).await;
        self
    }

    /// Asserts the same of a service that goes on, after two sweeps: one sees what nobody needs, the next removes it.
    pub(super) async fn proven_whole_by_two_sweeps(&self) {
        self.proxy.heal();
        for _ in 0..2 {
            let swept = self.service.command(&["sweep"]).await;
            assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
        }
        self.is_whole(false).await;
    }

    async fn is_whole(&self, strays: bool) {
        self.ledger.settle(&self.api()).await;
        let strays = strays.then_some("models/");
        audit(&self.account.clients.s3, BUCKET, &self.service.data_dir(), strays).await;
        self.ledger.reads_right(&self.api()).await;
    }

    /// Keys of the versions and of the unfinished uploads that the bucket has of a model's files.
    pub(super) async fn stored(&self, model: &str) -> (Vec<String>, Vec<String>) {
        let (s3, prefix) = (&self.account.clients.s3, format!("models/{model}/"));
        let versions = s3.list_object_versions().bucket(BUCKET).prefix(&prefix).send().await.unwrap();
        let uploads = s3.list_multipart_uploads().bucket(BUCKET).prefix(&prefix).send().await.unwrap();
        let versions = versions.versions().iter().filter_map(|version| version.key()).map(str::to_owned);
        let uploads = uploads.uploads().iter().filter_map(|upload| upload.key()).map(str::to_owned);
        (versions.collect(), uploads.collect())
    }
}

/// The request that publishes an attempt as a form.
pub(super) fn fields(api: &Api, attempt: &Attempt) -> RequestBuilder {
    let part = |form: reqwest::multipart::Form, file: &File| form.part(file.path.clone(), Part::bytes(file.bytes()));
    let body = attempt.files.iter().fold(form(), part);
    api.request(Method::POST, &format!("/v1/models/{}/versions", attempt.model)).multipart(body)
}

/// What an answer says, noted in the ledger; a refusal has the form that it should have.
pub(super) async fn outcome(ledger: &Ledger, attempt: &Attempt, answer: Response) -> Outcome {
    let number = answer.headers().get("location").map(|location| {
        let location = location.to_str().unwrap();
        location.rsplit('/').next().unwrap().parse().unwrap()
    });
    match answer.status() {
        StatusCode::CREATED => {
            ledger.acknowledged(attempt, number.unwrap());
            Outcome::Acknowledged
        }
        StatusCode::ACCEPTED => Outcome::Underway,
        _ => {
            ledger.refused(attempt);
            let (status, code) = told(answer).await;
            Outcome::Refused(status, code)
        }
    }
}
