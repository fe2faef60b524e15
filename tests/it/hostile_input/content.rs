//! What is stored never runs in a browser: the headers of every answer, whichever way the bytes take.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::json;

use super::payloads::encoded;
use super::scene::Scene;
use crate::support::outside::seaweedfs_with_localstack;
use crate::support::service::{BackEnd, Service, code, on_every_back_end};

/// Files that browsers run, under names that break out of headers, or hide what they are.
const FILES: [(&str, &[u8]); 11] = [
    ("x.html", b"<script>document.title = 'run'</script>"),
    ("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.title = 'run'</script></svg>"),
    ("x.js", b"document.title = 'run'"),
    (
        "x.xml",
        b"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>document.title = 'run'</x:script>",
    ),
    ("x.pdf", b"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj"),
    ("quote\";x=\".html", b"<script>1</script>"),
    ("semi;colon, comma 'and' space.html", b"<script>2</script>"),
    ("\u{202e}lmth.gpj", b"<script>3</script>"),
    ("ü ✓ \u{2028}.svg", b"<svg/>"),
    ("100%25%22.html", b"<script>4</script>"),
    ("inline; filename=x.html", b"<script>5</script>"),
];

on_every_back_end!(
    stored_content_comes_as_an_attachment_of_no_type_whichever_way_it_takes,
    holder_of_a_presigned_url_changes_neither_type_nor_disposition,
);

/// What a client without a token gets from a URL.
async fn open(service: &Service, method: Method, url: &str, headers: &[(&'static str, &str)]) -> Response {
    let mut client = reqwest::Client::builder().no_proxy();
    if service.back_end == BackEnd::SeaweedFs {
        let pem = std::fs::read(&seaweedfs_with_localstack().await.ca_file).unwrap();
        client = client.add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
    }
    let request = client.build().unwrap().request(method, url);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name} in {headers:?}");
    values[0].to_str().unwrap()
}

/// The directives of the policy of an answer.
fn policy(headers: &HeaderMap) -> BTreeSet<&str> {
    value(headers, "content-security-policy").split(';').map(str::trim).collect()
}

/// Asserts that a browser saves the bytes under the name of the file, and takes them for nothing.
fn assert_saved(headers: &HeaderMap, file: &str) {
    assert_eq!(value(headers, "content-type"), "application/octet-stream");
    let disposition = value(headers, "content-disposition");
    let name = disposition.strip_prefix("attachment; filename=\"").unwrap_or_else(|| panic!("{disposition}"));
    let (plain, rest) = name.split_once('"').unwrap();
    assert!(plain.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !plain.contains(['\\', '%']), "{disposition}");
    let extended = rest.strip_prefix("; filename*=UTF-8''").unwrap_or_else(|| panic!("{disposition}"));
    assert!(extended.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{disposition}");
    assert_eq!(percent_decode_str(extended).decode_utf8().unwrap(), file);
}

/// Asserts what every answer of the API says to browsers.
fn assert_inert(headers: &HeaderMap) {
    assert_eq!(value(headers, "x-content-type-options"), "nosniff");
    assert_eq!(value(headers, "referrer-policy"), "no-referrer");
    assert_eq!(value(headers, "cross-origin-resource-policy"), "same-origin");
    let policy = policy(headers);
    for directive in ["base-uri 'none'", "default-src 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(directive), "{policy:?}");
    }
    assert!(!policy.iter().any(|directive| directive.contains("script")), "{policy:?}");
}

async fn stored_content_comes_as_an_attachment_of_no_type_whichever_way_it_takes(service: Service) {
    let draft = service.draft("web/pages", json!({})).await;
    let escaped = |name: &str| String::from_utf8(encoded(name.as_bytes(), |b| !b.is_ascii_alphanumeric())).unwrap();
    for (name, content) in FILES {
        assert_eq!(draft.put(&escaped(name), content).await.status(), 200, "{name}");
    }
    draft.published().await;
    let direct = service.request(Method::POST, "/v1/models/web/pages/versions/1/download-urls").json(&json!({}));
    let direct: serde_json::Value = direct.send().await.unwrap().json().await.unwrap();
    assert_eq!(direct["items"].as_array().unwrap().len(), FILES.len());
    for (name, content) in FILES {
        let at = format!("/v1/models/web/pages/versions/1/files/{}", escaped(name));
        let ask = async |method: Method, query: &str, header: Option<(&str, &str)>| {
            let request = service.request(method, &format!("{at}{query}"));
            header.into_iter().fold(request, |request, (name, value)| request.header(name, value)).send().await.unwrap()
        };
        let whole = ask(Method::GET, "?via=proxy", None).await;
        let etag = value(whole.headers(), "etag").to_owned();
        for (answer, status) in [
            (whole, 200),
            (ask(Method::GET, "", None).await, 200),
            (ask(Method::HEAD, "", None).await, 200),
            (ask(Method::GET, "?via=proxy", Some(("range", "bytes=0-3"))).await, 206),
            (ask(Method::GET, "?via=proxy", Some(("if-none-match", &etag))).await, 304),
            (ask(Method::GET, "?via=redirect", None).await, 307),
        ] {
            assert_eq!(answer.status().as_u16(), status, "{name}");
            assert_inert(answer.headers());
            assert!(policy(answer.headers()).contains("sandbox"), "{answer:?}");
            if status != 304 {
                assert_saved(answer.headers(), name);
            }
        }
        let beyond = ask(Method::GET, "?via=proxy", Some(("range", "bytes=9999-"))).await;
        assert_inert(beyond.headers());
        assert_eq!(code(beyond, 416).await, "range_not_satisfiable");

        let redirect = ask(Method::GET, "?via=redirect", None).await;
        let listed = direct["items"].as_array().unwrap().iter().find(|item| item["path"] == name).unwrap();
        for url in [value(redirect.headers(), "location"), listed["url"].as_str().unwrap()] {
            let whole = open(&service, Method::GET, url, &[]).await;
            assert_eq!(whole.status(), 200, "{name}");
            assert_saved(whole.headers(), name);
            assert_eq!(whole.bytes().await.unwrap(), content, "{name}");
            let part = open(&service, Method::GET, url, &[("range", "bytes=0-3")]).await;
            assert_eq!(part.status(), 206, "{name}");
            assert_saved(part.headers(), name);
        }
    }
}

async fn holder_of_a_presigned_url_changes_neither_type_nor_disposition(service: Service) {
    service.published("web/page", "x.html", FILES[0].1).await;
    let answer = service.get("/v1/models/web/page/versions/1/files/x.html?via=redirect").await;
    let url = value(answer.headers(), "location").to_owned();
    let (address, query) = url.split_once('?').unwrap();
    // With another value of a parameter, or without it.
    let with = |name: &str, other: Option<&str>| {
        assert!(query.contains(&format!("{name}=")), "{name} is not in the URL");
        let pairs = query.split('&').filter_map(|pair| match (pair.split('=').next() == Some(name), other) {
            (false, _) => Some(pair.to_owned()),
            (true, other) => other.map(|other| format!("{name}={other}")),
        });
        format!("{address}?{}", pairs.collect::<Vec<_>>().join("&"))
    };
    let instead = |name: &str, other: &str| with(name, Some(other));
    let without = |name: &str| with(name, None);
    for changed in [
        instead("response-content-type", "text%2Fhtml"),
        instead("response-content-type", ""),
        instead("response-content-disposition", "inline"),
        without("response-content-type"),
        without("response-content-disposition"),
        format!("{url}&response-content-type=text%2Fhtml"),
        format!("{address}?response-content-type=text%2Fhtml&{query}"),
        format!("{url}&response-content-disposition=inline"),
        format!("{url}&response-content-encoding=gzip"),
        format!("{url}&response-cache-control=public"),
        url.replace("response-content-type", "Response-Content-Type"),
        url.replace("response-content-type", "response-content-typ%65").replace("octet-stream", "xhtml%2Bxml"),
        instead("X-Amz-SignedHeaders", "host%3Bx-other"),
    ] {
        let answer = open(&service, Method::GET, &changed, &[]).await;
        let shown = changed.replace(address, "");
        assert_eq!(answer.status(), 403, "{shown}");
        assert_ne!(answer.bytes().await.unwrap(), FILES[0].1, "{shown}");
    }
    // Nor by headers, nor by asking in another way.
    let unsigned = open(&service, Method::GET, &url, &[("x-amz-response-content-type", "text/html")]).await;
    assert_eq!(unsigned.status(), 403);
    for header in ["response-content-type", "accept", "content-type"] {
        let answer = open(&service, Method::GET, &url, &[(header, "text/html")]).await;
        assert_eq!(answer.status(), 200, "{header}");
        assert_saved(answer.headers(), "x.html");
    }
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        let answer = open(&service, method.clone(), &url, &[]).await;
        assert!(answer.status().is_client_error(), "{method}: {}", answer.status());
    }
    let again = open(&service, Method::GET, &url, &[]).await;
    assert_eq!(again.bytes().await.unwrap(), FILES[0].1);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_run_nothing() {
    let scene = Scene::new().await;
    let service = &scene.callers.service;
    for operation in &scene.operations {
        let (method, path) = operation.split_once(' ').unwrap();
        for answer in [
            service.anonymous(method.parse().unwrap(), path).send().await.unwrap(),
            service.request(method.parse().unwrap(), path).send().await.unwrap(),
        ] {
            assert_inert(answer.headers());
            let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
            assert!(!kind.is_some_and(|kind| kind.contains("html") || kind.contains("xml")), "{operation}");
        }
    }
    for path in ["/", "/nowhere", "/v1/models/web/%ff", "/openapi.json", "/robots.txt"] {
        let answer = service.get(path).await;
        assert_inert(answer.headers());
    }
    // The documentation is the one page: what it needs comes from here, and nobody else frames it.
    for path in ["/docs", "/docs/", "/docs/index.html", "/docs/swagger-ui.css", "/docs/nowhere"] {
        let answer = service.anonymous(Method::GET, path).send().await.unwrap();
        let policy = policy(answer.headers());
        for directive in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(directive), "{path}: {policy:?}");
        }
        assert_eq!(value(answer.headers(), "x-content-type-options"), "nosniff");
    }
    let scene = scene.callers.service.get("/v1/models/web/none/versions/1/files/x.html").await;
    assert_inert(scene.headers());
}
