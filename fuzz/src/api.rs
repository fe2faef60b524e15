//! The whole service over its API: a request, with a token unless it brings one.
//!
//! `$DRAFT` and `$UPLOAD` in its target are a draft and an upload that are there.

use std::net::SocketAddr;
use std::sync::LazyLock;

use serde_json::Value;
use strongroom::app::Service;
use strongroom::config::from_sources;

use crate::input;
use crate::wire::{self, Answer, Wish};

struct Api {
    address: SocketAddr,
    token: String,
    draft: String,
    upload: String,
}

static API: LazyLock<Api> = LazyLock::new(Api::start);

impl Api {
    fn start() -> Self {
        let folder = wire::new_folder();
        let settings = format!(
            "listen = '127.0.0.1:0'\nembedded_listen = '127.0.0.1:0'\ndata_dir = '{}'\nrequests_per_second = 0\n\
             auth_failures_per_minute = 0\nwatch_seconds = 86400\nsweep_hours = 0\nmax_drafts = 1000000\n",
            folder.display()
        );
        let config = from_sources(Some(&settings), std::iter::empty(), &[]).unwrap();
        let service = wire::block_on(Service::start(&config)).unwrap();
        let address = service.address;
        let token = std::fs::read_to_string(folder.join("admin-token")).unwrap().trim().to_owned();
        wire::runtime().spawn(service.run(std::future::pending()));

        let mut api = Self { address, token, draft: String::new(), upload: String::new() };
        api.must("POST /v1/models/vision/resnet/versions?path=a/b.bin\n\n0123456789");
        api.must("POST /v1/models/vision/resnet/versions?path=a/b.bin\n\n9876543210");
        api.must("PUT /v1/models/vision/resnet/aliases/production\ncontent-type: application/json\n\n{\"version\":1}");
        let json = "content-type: application/json\n\n";
        let draft = api.must(&format!("POST /v1/models/vision/resnet/drafts\n{json}{{}}"));
        draft["id"].as_str().unwrap().clone_into(&mut api.draft);
        let files = r#"{"files":[{"path":"weights.bin","size":6000000}]}"#;
        let declared = api.must(&format!("POST /v1/drafts/$DRAFT/uploads\n{json}{files}"));
        let upload = declared.pointer("/files/0/upload/id").or_else(|| declared.pointer("/files/0/upload_id"));
        upload.and_then(Value::as_str).expect("an upload").clone_into(&mut api.upload);
        api
    }

    fn must(&self, request: &str) -> Value {
        let answer = self.ask(&Wish::read(request.as_bytes()).unwrap()).unwrap();
        assert!(answer.status < 300, "{request}: {} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn ask(&self, wish: &Wish) -> Option<Answer> {
        let mut wish = wish.clone();
        wish.target = wish.target.replace("$DRAFT", &self.draft).replace("$UPLOAD", &self.upload);
        if wish.header("authorization").is_none() {
            wish.add("authorization", format!("Bearer {}", self.token));
        }
        wish.send(self.address)
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let Some(wish) = Wish::read(bytes) else { return };
    let Some(answer) = API.ask(&wish) else {
        assert!(wish.frames_itself(), "no answer to {wish:?}");
        return;
    };
    let told = || format!("{wish:?}: {} {}", answer.status, answer.text());
    assert!(answer.status < 500 || answer.status == 503, "{}", told());

    let path = wish.target.split(['?', '#']).next().unwrap_or_default();
    let is_open = ["/healthz", "/readyz", "/openapi.json", "/docs"].contains(&path) || path.starts_with("/docs/");
    // A refusal of hyper's own, before anything of ours was asked.
    let is_of_hyper = matches!(answer.status, 400 | 408 | 414 | 431) && answer.body.is_empty();
    if wish.header("authorization").is_some() && !is_open && !is_of_hyper {
        assert_eq!(answer.status, 401, "{}", told());
    } else if !is_of_hyper {
        assert!(answer.status != 401, "{}", told());
    }
    if is_of_hyper || path.starts_with("/docs") {
        return;
    }
    if answer.status >= 400 && wish.method != "HEAD" {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", told());
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", told()));
        assert_eq!(problem["status"], answer.status, "{}", told());
        assert!(problem["code"].is_string(), "{}", told());
    }
    if let Some("application/json") = answer.header("content-type")
        && wish.method != "HEAD"
    {
        assert!(serde_json::from_slice::<Value>(&answer.body).is_ok(), "{}", told());
    }
    // The bytes of the two files that are always there, unless somebody has put others beside them.
    if wish.method == "GET" && path == "/v1/models/vision/resnet/versions/1/files/a/b.bin" {
        let whole = b"0123456789";
        assert!(answer.status >= 300 || contains(whole, &answer.body), "{}", told());
        if answer.status == 206 {
            let range = answer.header("content-range").and_then(|range| range.strip_prefix("bytes "));
            let (first, last) = range.and_then(|range| range.strip_suffix("/10")).unwrap().split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            assert_eq!(answer.body, whole[first..=last], "{}", told());
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || input::replace(bytes, part, b"") != bytes
}
