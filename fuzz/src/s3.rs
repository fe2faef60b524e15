//! The embedded endpoint, asked as S3: a request, signed as its headers ask for.
//!
//! Without `authorization` it is signed by the administrator, with `authorization: none` it is not, and any other
//! signature is the fuzzer's own. `$KEY` is a KMS key that is there, `$ACCESS` the administrator's access key.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, hmac};
use embedded_aws::{Config, EmbeddedAws};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::input;
use crate::wire::{self, Answer, Wish};

/// How many requests share an endpoint: what they do to it must not shut out all that follow.
const REQUESTS: u32 = 500;

/// An endpoint with a bucket `bucket`, an object `folder/object` in it and a key.
pub(crate) struct Endpoint {
    server: Option<EmbeddedAws>,
    folder: std::path::PathBuf,
    address: SocketAddr,
    access_key: String,
    secret_key: String,
    pub(crate) key: String,
    requests: u32,
}

static ENDPOINT: Mutex<Option<Endpoint>> = Mutex::new(None);

/// The endpoint that is used now.
pub(crate) struct Used(MutexGuard<'static, Option<Endpoint>>);

impl Used {
    pub(crate) fn get(&self) -> &Endpoint {
        self.0.as_ref().unwrap()
    }
}

pub(crate) fn endpoint() -> Used {
    let mut guard = ENDPOINT.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.as_ref().is_none_or(|endpoint| endpoint.requests >= REQUESTS) {
        if let Some(old) = guard.take() {
            wire::block_on(old.server.unwrap().stop());
            // What is left is removed at the end at the latest.
            let _ = std::fs::remove_dir_all(old.folder);
        }
        *guard = Some(Endpoint::start());
    }
    guard.as_mut().unwrap().requests += 1;
    Used(guard)
}

impl Endpoint {
    fn start() -> Self {
        let folder = wire::new_folder();
        let server = wire::block_on(EmbeddedAws::start(Config::new(&folder))).unwrap();
        let credentials = server.credentials();
        let mut endpoint = Self {
            address: server.addr(),
            access_key: credentials.access_key().to_owned(),
            secret_key: credentials.secret_key().to_owned(),
            folder,
            key: String::new(),
            requests: 0,
            server: Some(server),
        };
        for request in ["PUT /bucket", "PUT /bucket/folder/object\n\n0123456789"] {
            let answer = endpoint.s3(&Wish::read(request.as_bytes()).unwrap()).unwrap();
            assert_eq!(answer.status, 200, "{request}: {}", answer.text());
        }
        let created = endpoint.kms("CreateKey", b"{}").unwrap();
        let created: serde_json::Value = serde_json::from_slice(&created.body).unwrap();
        created["KeyMetadata"]["Arn"].as_str().unwrap().clone_into(&mut endpoint.key);
        endpoint
    }

    pub(crate) fn s3(&self, wish: &Wish) -> Option<Answer> {
        let mut wish = wish.clone();
        match wish.header("authorization") {
            Some("none") => wish.headers.retain(|(name, _)| name != "authorization"),
            Some(_) => {}
            None if wish.target.contains("X-Amz-Signature") => {}
            None => self.sign(&mut wish, "s3"),
        }
        wish.send(self.address)
    }

    pub(crate) fn kms(&self, operation: &str, body: &[u8]) -> Option<Answer> {
        let mut wish =
            Wish { method: "POST".to_owned(), target: "/".to_owned(), body: body.to_vec(), ..Wish::default() };
        wish.add("content-type", "application/x-amz-json-1.1");
        wish.add("x-amz-target", format!("TrentService.{operation}"));
        self.sign(&mut wish, "kms");
        wish.send(self.address)
    }

    pub(crate) fn unsigned(&self, wish: &Wish) -> Option<Answer> {
        wish.send(self.address)
    }

    /// Signature Version 4 over all headers; written down here once more, by the documentation.
    fn sign(&self, wish: &mut Wish, service: &str) {
        let now = OffsetDateTime::now_utc();
        let stamp = now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        wish.headers.retain(|(name, _)| name != "x-amz-date" && name != "host");
        wish.add("x-amz-date", stamp.clone());
        wish.add("host", self.address.to_string());
        let payload = wish.header("x-amz-content-sha256").map_or_else(|| sha256(&wish.body), str::to_owned);
        if service == "s3" && wish.header("x-amz-content-sha256").is_none() {
            wish.add("x-amz-content-sha256", payload.clone());
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &wish.headers {
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            match headers.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.extend([",", &value]),
                None => headers.push((name.clone(), value)),
            }
        }
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ":" + value + "\n");
        let (path, query) = wish.target.split_once('?').unwrap_or((&wish.target, ""));
        let mut query: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        query.sort();
        let canonical = format!("{}\n{path}\n{}\n{lines}\n{names}\n{payload}", wish.method, query.join("&"));
        let scope = format!("{}/us-east-1/{service}/aws4_request", &stamp[..8]);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in scope.split('/') {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        let signature = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
        let credential = format!("{}/{scope}", self.access_key);
        wish.add(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"),
        );
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// The dates of a signature that the input brings along.
///
/// s3s 0.14.1 takes `0` from each of their characters before it looks whether that is a digit: with a smaller one it
/// panics where overflow is checked, as in a debug build, and refuses it as malformed in a release.
fn dates(wish: &Wish) -> impl Iterator<Item = &str> {
    let credential = wish.header("authorization").and_then(|text| text.split_once("Credential="));
    let scope = credential.and_then(|(_, credential)| credential.split('/').nth(1));
    let query =
        wish.target.split(['?', '&']).filter_map(|pair| pair.split_once('=')).filter_map(|(name, value)| match name {
            "X-Amz-Date" => Some(value),
            "X-Amz-Credential" => Some(value.split_once("%2F").or(value.split_once('/'))?.1.split("%2F").next()?),
            _ => None,
        });
    wish.header("x-amz-date").into_iter().chain(scope).chain(query)
}

pub(crate) fn check(bytes: &[u8]) {
    let Some(wish) = Wish::read(bytes) else { return };
    let used = endpoint();
    let endpoint = used.get();
    let text = |text: &str| text.replace("$KEY", &endpoint.key).replace("$ACCESS", &endpoint.access_key);
    let wish = Wish {
        target: text(&wish.target),
        headers: wish.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        body: input::replace(&wish.body, b"$KEY", endpoint.key.as_bytes()),
        ..wish
    };
    if dates(&wish).any(|date| date.bytes().any(|byte| byte < b'0')) {
        return;
    }
    let Some(answer) = endpoint.s3(&wish) else {
        assert!(wish.frames_itself(), "no answer to {wish:?}");
        return;
    };
    let told = || format!("{wish:?}: {} {}", answer.status, answer.text());
    // 501 is what is not supported, 503 an operation that another one stands against.
    assert!(answer.status < 500 || matches!(answer.status, 501 | 503), "{}", told());
    let is_signed = wish.header("authorization").is_none() && !wish.target.contains("X-Amz-Signature");
    if answer.status < 300 && wish.method != "OPTIONS" {
        assert!(is_signed, "what nobody has signed is done: {}", told());
    }
    if answer.status >= 400 && !answer.body.is_empty() {
        let xml = answer.text();
        let is_kms = wish.header("x-amz-target").is_some();
        assert!(xml.contains("<Code>") && xml.contains("</Error>") || is_kms, "{}", told());
    }
    // What was taken is given out again.
    let is_plain = !wish.headers.iter().any(|(name, _)| name.starts_with("x-amz-copy") || name == "x-amz-target");
    let is_object = wish.target.split('/').nth(2).is_some_and(|key| !key.is_empty()) && !wish.target.contains('?');
    if wish.method == "PUT" && answer.status == 200 && is_object && is_plain {
        let get = Wish { method: "GET".to_owned(), target: wish.target.clone(), ..Wish::default() };
        let got = endpoint.s3(&get).unwrap();
        let streams = wish.header("x-amz-content-sha256").is_some_and(|hash| hash.starts_with("STREAMING"));
        if got.status == 200 && !streams && !wish.frames_itself() {
            assert_eq!(got.body, wish.body, "{}", told());
        }
    }
}
