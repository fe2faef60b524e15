//! What a caller may not read looks as if it were not there: in lists, in errors, in deduplication, and in time.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::callers::{Callers, OURS, THEIRS, token};
use crate::support::service::{bytes, code, hex_sha256, problem};

/// The body of a refusal without what names the request, and with one name in the place of another.
async fn told(callers: &Callers, who: &str, method: Method, path: &str, name: &str) -> (u16, String) {
    let answer = callers.request(who, method, path).json(&json!({})).send().await.unwrap();
    let (status, mut body) = problem(answer).await;
    body.as_object_mut().unwrap().remove("request_id");
    (status.as_u16(), body.to_string().replace(name, "NAME"))
}

#[tokio::test]
async fn what_a_caller_may_not_read_is_told_exactly_as_what_is_not_there() {
    let callers = Callers::new().await;
    callers.service.published(&format!("{OURS}/secret"), "m.bin", b"one").await;
    let alias = format!("/v1/models/{OURS}/secret/aliases/production");
    let set = callers.service.request(Method::PUT, &alias).json(&json!({ "version": 1 })).send().await.unwrap();
    assert_eq!(set.status(), StatusCode::OK);
    let draft = callers.service.draft(&format!("{OURS}/secret"), json!({})).await;
    for (method, path) in [
        (Method::GET, "/v1/models/NS/NAME"),
        (Method::GET, "/v1/models/NS/NAME/versions"),
        (Method::GET, "/v1/models/NS/NAME/versions/1"),
        (Method::GET, "/v1/models/NS/NAME/versions/production"),
        (Method::GET, "/v1/models/NS/NAME/versions/1/files"),
        (Method::GET, "/v1/models/NS/NAME/versions/1/files/m.bin"),
        (Method::POST, "/v1/models/NS/NAME/versions/1/download-urls"),
        (Method::GET, "/v1/models/NS/NAME/aliases"),
        (Method::GET, "/v1/models/NS/NAME/aliases/production/history"),
        (Method::POST, "/v1/models/NS/NAME/drafts"),
        (Method::DELETE, "/v1/models/NS/NAME"),
        (Method::DELETE, "/v1/models/NS/NAME/versions/1"),
        (Method::POST, "/v1/models/NS/NAME/versions/1/restore"),
        (Method::GET, "/v1/models/NS/NAME/retention"),
    ] {
        let of = |name: &str| path.replace("NS", OURS).replace("NAME", name);
        let there = told(&callers, "other", method.clone(), &of("secret"), "secret").await;
        let nowhere = told(&callers, "other", method.clone(), &of("nowhere"), "nowhere").await;
        assert_eq!(there, nowhere, "{method} {path}");
        assert_eq!(there.0, 404, "{method} {path}");
    }
    for rest in ["", "/files/m.bin", "/uploads/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        let none = "01ARZ3NDEKTSV4RRFFQ69G5FAW";
        let method = if rest == "/files/m.bin" { Method::DELETE } else { Method::GET };
        let there = told(&callers, "other", method.clone(), &format!("/v1/drafts/{}{rest}", draft.id), &draft.id).await;
        let nowhere = told(&callers, "other", method, &format!("/v1/drafts/{none}{rest}"), none).await;
        assert_eq!(there, nowhere, "{rest}");
    }
}

#[tokio::test]
async fn lists_have_what_the_caller_may_read_and_all_of_it() {
    let callers = Callers::new().await;
    for number in 0..7 {
        for namespace in [OURS, THEIRS] {
            callers.service.published(&format!("{namespace}/m{number}"), "m.bin", b"one").await;
        }
    }
    let (_, one) = token(&callers.service, "one", &[("reader", "speech/m3"), ("reader", "vision/m5")]).await;
    let listed = async |token: &str| -> Vec<String> {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/models?limit=2{cursor}");
            let answer = callers.service.anonymous(Method::GET, &path).bearer_auth(token).send().await.unwrap();
            let page: Value = answer.json().await.unwrap();
            let name =
                |item: &Value| format!("{}/{}", item["namespace"].as_str().unwrap(), item["name"].as_str().unwrap());
            names.extend(page["items"].as_array().unwrap().iter().map(name));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return names,
            }
        }
    };
    assert_eq!(listed(&one).await, ["speech/m3", "vision/m5"]);
    let of = |who: &str| callers.all.iter().find(|(name, _)| *name == who).unwrap().1.clone().unwrap();
    let theirs: Vec<String> = (0..7).map(|number| format!("{THEIRS}/m{number}")).collect();
    assert_eq!(listed(&of("other")).await, theirs);
    assert_eq!(listed(&of("root")).await.len(), 14);
}

/// A writer of one model learns nothing from the bytes of another of the same namespace that it may not read.
#[tokio::test]
async fn deduplication_and_copies_tell_nothing_of_what_the_caller_may_not_download() {
    let callers = Callers::new().await;
    let weights = bytes(3, 1 << 20);
    callers.service.published(&format!("{OURS}/secret"), "m.bin", &weights).await;
    callers.service.published(&format!("{OURS}/shown"), "m.bin", b"x").await;
    let (_, writer) = token(&callers.service, "narrow", &[("writer", "vision/shown")]).await;
    let send = |method: Method, path: &str| callers.service.anonymous(method, path).bearer_auth(&writer);
    let begun = send(Method::POST, "/v1/models/vision/shown/drafts").json(&json!({})).send().await.unwrap();
    let id = begun.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let declare = async |path: &str| -> Value {
        let file = json!({ "path": path, "size": weights.len(), "sha256": hex_sha256(&weights) });
        let wish = json!({ "files": [file] });
        let answer = send(Method::POST, &format!("/v1/drafts/{id}/uploads")).json(&wish).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["files"][0].clone()
    };
    assert_eq!(declare("a.bin").await["state"], "upload");
    let grant = json!({ "principal": "token:narrow", "role": "reader", "on": "vision/secret" });
    let given = callers.service.request(Method::POST, "/v1/grants").json(&grant).send().await.unwrap();
    assert_eq!(given.status(), StatusCode::CREATED);
    assert_eq!(declare("b.bin").await["state"], "present", "it may be downloaded now, and so it may be copied");
    let base = json!({ "base": 1 });
    let based = send(Method::POST, "/v1/models/vision/shown/drafts").json(&base).send().await.unwrap();
    assert_eq!(based.status(), StatusCode::CREATED);
}

/// In turns, so that a busy machine is as slow for both.
#[tokio::test]
async fn refusing_what_is_there_takes_as_long_as_refusing_what_is_not() {
    const SAMPLES: usize = 100;
    let callers = Callers::new().await;
    callers.service.published(&format!("{OURS}/secret"), "m.bin", b"one").await;
    let (mut there, mut nowhere) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        for (times, name) in [(&mut there, "secret"), (&mut nowhere, "nowhere")] {
            let begun = Instant::now();
            let path = format!("/v1/models/{OURS}/{name}/versions/1");
            let answer = callers.request("other", Method::GET, &path).send().await.unwrap();
            times.push(begun.elapsed());
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[SAMPLES / 2].as_secs_f64()
    };
    let ratio = median(&mut there) / median(&mut nowhere);
    assert!((0.67..1.5).contains(&ratio), "what is there takes {ratio} times as long");
}

#[tokio::test]
async fn cursor_of_models_tells_no_name_and_is_for_nobody_else() {
    let callers = Callers::new().await;
    for name in ["one", "two", "three"] {
        callers.service.published(&format!("{OURS}/{name}"), "m.bin", name.as_bytes()).await;
    }
    let page = async |who: &str, query: &str| {
        callers.request(who, Method::GET, &format!("/v1/models?limit=1{query}")).send().await.unwrap()
    };
    let first: Value = page("reader", "").await.json().await.unwrap();
    let cursor = first["next_cursor"].as_str().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
    assert!(
        !bytes.windows(OURS.len()).any(|window| window == OURS.as_bytes()),
        "a cursor may lie where nobody may read"
    );
    let second: Value = page("reader", &format!("&cursor={cursor}")).await.json().await.unwrap();
    assert_eq!(second["items"][0]["name"], "three");
    assert_eq!(code(page("writer", &format!("&cursor={cursor}")).await, 400).await, "invalid_cursor");
    let made_up = URL_SAFE_NO_PAD.encode(format!("{OURS}/one"));
    assert_eq!(code(page("reader", &format!("&cursor={made_up}")).await, 400).await, "invalid_cursor");
}
