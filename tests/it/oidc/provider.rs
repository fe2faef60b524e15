//! A small identity provider on loopback that counts what it is asked, and fails when it is told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::serve::Listener;
use serde_json::{Value, json};
use strongroom::access::oidc::{Algorithm, Identity, IssuerSettings, Issuers, KeyPlace, Refused, Windows};
use strongroom::app;
use strongroom::domain::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::signer::Key;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Answers after this time.
    Slow(Duration),
    /// The key set has this status.
    Status(StatusCode),
    /// A document that is right, and far too large.
    HugeDocument,
    /// A key set that is right, and far too large.
    HugeSet,
    /// The document is another issuer's.
    OtherIssuer,
    /// The document leads to where [`Provider::lead_to`] says.
    KeysElsewhere,
    /// The document is elsewhere.
    RedirectedDocument,
    /// The key set is elsewhere, where it is right.
    RedirectedSet,
    /// A page for people.
    Html,
}

#[derive(Debug)]
struct Told {
    url: String,
    keys: Mutex<Vec<Value>>,
    fault: Mutex<Fault>,
    documents: AtomicUsize,
    sets: AtomicUsize,
    presented: Mutex<Option<String>>,
    led_to: Mutex<String>,
}

/// A provider that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Provider {
    told: Arc<Told>,
    server: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Provider {
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, url, keys)
    }

    /// Answers under this URL.
    pub(crate) fn serve<L>(listener: L, url: String, keys: &[&Key]) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let told = Arc::new(Told {
            url,
            keys: Mutex::new(keys.iter().map(|key| key.jwk()).collect()),
            fault: Mutex::new(Fault::None),
            documents: AtomicUsize::new(0),
            sets: AtomicUsize::new(0),
            presented: Mutex::default(),
            led_to: Mutex::new("http://issuer.example/keys".to_owned()),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(set))
            .route("/elsewhere", get(elsewhere))
            .with_state(Arc::clone(&told));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { told, server }
    }

    pub(crate) fn url(&self) -> &str {
        &self.told.url
    }

    pub(crate) fn keys_url(&self) -> String {
        format!("{}/keys", self.told.url)
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        self.publish_json(keys.iter().map(|key| key.jwk()).collect());
    }

    pub(crate) fn publish_json(&self, keys: Vec<Value>) {
        *self.told.keys.lock().unwrap() = keys;
    }

    pub(crate) fn fail(&self, fault: Fault) {
        *self.told.fault.lock().unwrap() = fault;
    }

    pub(crate) fn lead_to(&self, url: String) {
        *self.told.led_to.lock().unwrap() = url;
    }

    /// How often the key set was asked for.
    pub(crate) fn sets(&self) -> usize {
        self.told.sets.load(Ordering::SeqCst)
    }

    /// How often anything was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.sets() + self.told.documents.load(Ordering::SeqCst)
    }

    /// The last `Authorization` that came.
    pub(crate) fn presented(&self) -> Option<String> {
        self.told.presented.lock().unwrap().clone()
    }

    /// Claims of a token that is right.
    pub(crate) fn claims(&self) -> Value {
        let now = now();
        json!({"iss": self.url(), "aud": "strongroom", "sub": "job", "iat": now, "nbf": now, "exp": now + 300})
    }

    /// These claims, with changes; a null removes.
    pub(crate) fn claims_but(&self, changes: Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    pub(crate) fn settings(&self, name: &str) -> IssuerSettings {
        IssuerSettings {
            name: name.to_owned(),
            issuer: self.url().to_owned(),
            audiences: vec!["strongroom".to_owned(), "https://strongroom.example".to_owned()],
            principal_claim: "sub".to_owned(),
            groups_claim: Some("groups".to_owned()),
            claims: vec!["ref".to_owned()],
            algorithms: Algorithm::ALL.to_vec(),
            keys: KeyPlace::of_issuer(self.url()),
            ca_file: None,
        }
    }

    /// This provider alone, with the name `ci`.
    pub(crate) fn issuers(&self, windows: Windows) -> Issuers {
        app::issuers(&[self.settings("ci")], windows).unwrap()
    }
}

pub(crate) fn now() -> i64 {
    Timestamp::now().millis() / 1000
}

const LONG: Duration = Duration::from_hours(1);

/// Keys are fetched once, and never again in a test.
pub(crate) fn calm() -> Windows {
    Windows { fresh: LONG, pause: LONG, last_good: LONG, unknown: LONG, fetch: Duration::from_secs(20) }
}

/// The issuer is asked for every token.
pub(crate) fn eager() -> Windows {
    Windows { fresh: Duration::ZERO, pause: Duration::ZERO, ..calm() }
}

/// The issuer is asked at once for a key that it did not have, and otherwise not again.
pub(crate) fn curious() -> Windows {
    Windows { pause: Duration::ZERO, ..calm() }
}

pub(crate) async fn accepted(issuers: &Issuers, token: &str) -> Identity {
    issuers.identify(token).await.expect("it has the form of a token").expect("it is right")
}

pub(crate) async fn refused(issuers: &Issuers, token: &str) -> Refused {
    issuers.identify(token).await.expect("it has the form of a token").expect_err("it is wrong")
}

/// Why it is not believed.
pub(crate) async fn reason(issuers: &Issuers, token: &str) -> &'static str {
    match refused(issuers, token).await {
        Refused::Invalid(reason) => reason,
        Refused::Unavailable => panic!("the issuer was away"),
    }
}

impl Told {
    async fn fault(&self) -> Fault {
        let fault = *self.fault.lock().unwrap();
        if let Fault::Slow(time) = fault {
            tokio::time::sleep(time).await;
        }
        fault
    }

    fn set(&self) -> Response {
        json_of(&json!({ "keys": *self.keys.lock().unwrap() }))
    }
}

async fn document(State(told): State<Arc<Told>>) -> Response {
    told.documents.fetch_add(1, Ordering::SeqCst);
    let url = &told.url;
    match told.fault().await {
        Fault::HugeDocument => huge(&json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
        Fault::RedirectedDocument => Redirect::temporary("/elsewhere").into_response(),
        Fault::Html => ([(header::CONTENT_TYPE, "text/html")], "<html>down for maintenance</html>").into_response(),
        Fault::OtherIssuer => json_of(&json!({"issuer": format!("{url}/"), "jwks_uri": format!("{url}/keys")})),
        Fault::KeysElsewhere => json_of(&json!({"issuer": url, "jwks_uri": *told.led_to.lock().unwrap()})),
        _ => json_of(&json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
    }
}

async fn set(State(told): State<Arc<Told>>, headers: HeaderMap) -> Response {
    told.sets.fetch_add(1, Ordering::SeqCst);
    let presented = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    *told.presented.lock().unwrap() = presented;
    match told.fault().await {
        Fault::Status(status) => status.into_response(),
        Fault::HugeSet => huge(&json!({ "keys": *told.keys.lock().unwrap() })),
        Fault::RedirectedSet => Redirect::temporary("/elsewhere").into_response(),
        _ => told.set(),
    }
}

/// Where a redirect leads: everything would be right here.
async fn elsewhere(State(told): State<Arc<Told>>) -> Response {
    match *told.fault.lock().unwrap() {
        Fault::RedirectedDocument => json_of(&json!({"issuer": told.url, "jwks_uri": format!("{}/keys", told.url)})),
        _ => told.set(),
    }
}

fn json_of(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// The right answer after 1 MiB of white space, which would be read if it were not for its size.
fn huge(value: &Value) -> Response {
    format!("{}{value}", " ".repeat(1 << 20)).into_response()
}
