//! Listing versions and getting their bytes.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::outside::seaweedfs_with_localstack;
use crate::support::service::{BackEnd, Service, bytes, code, form, hex_sha256, on_every_back_end, repr_digest};

const MIB: usize = 1024 * 1024;

on_every_back_end!(
    small_file_comes_with_every_header_that_describes_it,
    large_file_is_a_redirect_to_the_exact_object_version,
    redirect_can_be_asked_for_and_refused,
    ranges_are_cut_exactly_also_across_parts,
    conditional_requests_are_answered_without_bytes,
    request_that_depends_on_the_etag_is_not_sent_where_the_etag_is_another,
    head_never_redirects,
    download_urls_open_the_files_without_a_token,
    versions_survive_a_restart,
    overwrite_behind_the_services_back_changes_no_version,
);

/// Follows a redirect as a client would: without the token.
async fn fetch(service: &Service, url: &str) -> Response {
    let mut client = reqwest::Client::builder().no_proxy();
    if service.back_end == BackEnd::SeaweedFs {
        let pem = std::fs::read(&seaweedfs_with_localstack().await.ca_file).unwrap();
        client = client.add_root_certificate(reqwest::Certificate::from_pem(&pem).unwrap());
    }
    client.build().unwrap().get(url).send().await.unwrap()
}

async fn small_file_comes_with_every_header_that_describes_it(service: Service) {
    let body = b"small";
    let version = service.published("h/m", "dir/a \"b\".bin", body).await;
    let answer = service.get("/v1/models/h/m/versions/latest/files/dir/a%20%22b%22.bin").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("etag"), format!("\"sha256:{}\"", hex_sha256(body)));
    assert_eq!(header("repr-digest"), repr_digest(body));
    assert_eq!(header("strongroom-version"), "1");
    assert_eq!(header("strongroom-version-digest"), version["digest"].as_str().unwrap());
    assert_eq!(header("content-length"), "5");
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-disposition").starts_with("attachment; filename=\"a _b_.bin\""));
    assert_eq!(header("accept-ranges"), "bytes");
    assert_eq!(answer.bytes().await.unwrap().as_ref(), body);
}

async fn large_file_is_a_redirect_to_the_exact_object_version(service: Service) {
    let body = bytes(9, 9 * MIB);
    let version = service.published("l/m", "m.bin", &body).await;
    let answer = service.get("/v1/models/l/m/versions/1/files/m.bin").await;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["repr-digest"], repr_digest(&body).as_str());
    let url = answer.headers()["location"].to_str().unwrap().to_owned();
    let s3_version = version["files"][0]["s3_version_id"].as_str().unwrap();
    assert!(url.contains(&format!("versionId={s3_version}")), "the URL names the object version");
    if service.back_end == BackEnd::Embedded {
        // The API was called by address: a client drops its token on the way to another host name.
        assert!(url.starts_with("http://localhost:"), "{}", url.split('?').next().unwrap());
    }
    let fetched = fetch(&service, &url).await;
    assert_eq!(fetched.status(), StatusCode::OK);
    assert_eq!(fetched.headers()["content-type"], "application/octet-stream");
    assert!(fetched.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert!(fetched.bytes().await.unwrap() == body);
    let log = service.log();
    assert!(!log.contains("X-Amz-Signature") && !log.contains(&service.token), "{log}");
}

async fn redirect_can_be_asked_for_and_refused(service: Service) {
    service.published("v/small", "m", b"small").await;
    service.published("v/large", "m", &bytes(1, 9 * MIB)).await;
    let status = |path: &'static str| {
        let service = &service;
        async move { service.get(path).await.status().as_u16() }
    };
    assert_eq!(status("/v1/models/v/small/versions/1/files/m?via=redirect").await, 307);
    assert_eq!(status("/v1/models/v/large/versions/1/files/m?via=proxy").await, 200);
    assert_eq!(status("/v1/models/v/large/versions/1/files/m?via=carrier-pigeon").await, 400);
}

async fn ranges_are_cut_exactly_also_across_parts(service: Service) {
    let body = bytes(4, 17 * MIB);
    service.published("r/m", "m.bin", &body).await;
    let get = |range: String| {
        let request = service.request(Method::GET, "/v1/models/r/m/versions/1/files/m.bin?via=proxy");
        async move { request.header("Range", range).send().await.unwrap() }
    };
    let size = body.len();
    for (range, expected) in [
        ("bytes=0-0".to_owned(), 0..1),
        (format!("bytes={}-{}", 8 * MIB - 3, 8 * MIB + 3), 8 * MIB - 3..8 * MIB + 4),
        ("bytes=-5".to_owned(), size - 5..size),
        (format!("bytes={}-", size - 1), size - 1..size),
        (format!("bytes=65535-{}", 16 * MIB + 7), 65_535..16 * MIB + 8),
    ] {
        let answer = get(range.clone()).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(answer.headers()["content-range"], content_range.as_str());
        assert!(answer.bytes().await.unwrap() == body[expected], "{range}");
    }
    let answer = get(format!("bytes={size}-")).await;
    assert_eq!(answer.headers()["content-range"], format!("bytes */{size}").as_str());
    assert_eq!(code(answer, 416).await, "range_not_satisfiable");
}

async fn request_that_depends_on_the_etag_is_not_sent_where_the_etag_is_another(service: Service) {
    let (first, second) = (bytes(1, 9 * MIB), bytes(2, 9 * MIB));
    service.published("etag/m", "m.bin", &first).await;
    service.published("etag/m", "m.bin", &second).await;
    let etag = |bytes: &[u8]| format!("\"sha256:{}\"", hex_sha256(bytes));
    let get = |name: &'static str, tag: String| {
        let path = "/v1/models/etag/m/versions/latest/files/m.bin";
        service.request(Method::GET, path).header("Range", "bytes=1000000-").header(name, tag).send()
    };
    // A download of the first version that goes on with the second must begin anew.
    let answer = get("If-Range", etag(&first)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.bytes().await.unwrap() == second);
    for name in ["If-Range", "If-Match"] {
        let answer = get(name, etag(&second)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{name}");
        assert!(answer.bytes().await.unwrap() == second[1_000_000..]);
    }
}

async fn conditional_requests_are_answered_without_bytes(service: Service) {
    service.published("c/m", "m", b"bytes").await;
    let etag = format!("\"sha256:{}\"", hex_sha256(b"bytes"));
    let get = |name: &'static str, value: &str| {
        service.request(Method::GET, "/v1/models/c/m/versions/1/files/m").header(name, value).send()
    };
    let answer = get("If-None-Match", &etag).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answer.headers()["etag"], etag.as_str());
    assert_eq!(get("If-None-Match", "\"other\"").await.unwrap().status(), StatusCode::OK);
    assert_eq!(code(get("If-Match", "\"other\"").await.unwrap(), 412).await, "precondition_failed");
}

async fn head_never_redirects(service: Service) {
    let body = bytes(2, 9 * MIB);
    service.published("head/m", "m.bin", &body).await;
    let path = "/v1/models/head/m/versions/1/files/m.bin";
    let answer = service.request(Method::HEAD, path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-length"], body.len().to_string().as_str());
    assert_eq!(answer.headers()["repr-digest"], repr_digest(&body).as_str());
    let missing = service.request(Method::HEAD, "/v1/models/head/m/versions/1/files/other").send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

async fn download_urls_open_the_files_without_a_token(service: Service) {
    let form = ["a", "b/c", "d"]
        .into_iter()
        .fold(form(), |form, path| form.part(path, reqwest::multipart::Part::bytes(path.as_bytes().to_vec())));
    let answer = service.request(Method::POST, "/v1/models/u/m/versions").multipart(form).send().await.unwrap();
    let version: Value = answer.json().await.unwrap();
    let post = |body: Value| {
        let request = service.request(Method::POST, "/v1/models/u/m/versions/latest/download-urls").json(&body);
        async move { request.send().await.unwrap() }
    };

    let page: Value = post(json!({"limit": 2, "expires_in": 60})).await.json().await.unwrap();
    assert_eq!((page["number"].as_i64(), &page["digest"]), (Some(1), &version["digest"]));
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let rest: Value = post(json!({"cursor": page["next_cursor"]})).await.json().await.unwrap();
    assert_eq!(rest["next_cursor"], Value::Null);
    for (item, path) in
        page["items"].as_array().unwrap().iter().chain(rest["items"].as_array().unwrap()).zip(["a", "b/c", "d"])
    {
        assert_eq!(item["path"], path);
        assert_eq!(item["sha256"], hex_sha256(path.as_bytes()));
        let fetched = fetch(&service, item["url"].as_str().unwrap()).await;
        assert_eq!(fetched.bytes().await.unwrap(), path);
    }
    let some: Value = post(json!({"paths": ["d"]})).await.json().await.unwrap();
    assert_eq!(some["items"].as_array().unwrap().len(), 1);
    assert_eq!(code(post(json!({"paths": ["x"]})).await, 404).await, "file_not_found");
    assert_eq!(code(post(json!({"expires_in": 50_000})).await, 400).await, "invalid_expiry");
    assert_eq!(code(post(json!({"path": "d"})).await, 422).await, "invalid_json");
}

async fn versions_survive_a_restart(service: Service) {
    let body = bytes(6, 9 * MIB);
    let before = service.published("s/m", "m.bin", &body).await;
    let token = service.token.clone();
    let service = service.restart().await;
    assert_eq!(service.token, token, "no new token is made");
    assert!(service.greeting.contains("as before"), "{}", service.greeting);
    assert!(!service.greeting.contains("secured:"), "nothing is changed: {}", service.greeting);
    assert_eq!(service.json("/v1/models/s/m/versions/1").await, before);
    let again = service.get("/v1/models/s/m/versions/1/files/m.bin?via=proxy").await.bytes().await.unwrap();
    assert!(again == body);
}

async fn overwrite_behind_the_services_back_changes_no_version(service: Service) {
    service.published("o/m", "m.bin", b"original").await;
    let key = service.in_bucket().await.versions.into_iter().find(|key| key.starts_with("models/")).unwrap();
    let s3 = service.s3().await;
    s3.put_object()
        .bucket(&service.bucket)
        .key(&key)
        .server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms)
        .ssekms_key_id(&service.key_arn)
        .body(aws_sdk_s3::primitives::ByteStream::from_static(b"tampered"))
        .send()
        .await
        .unwrap();
    let path = "/v1/models/o/m/versions/1/files/m.bin";
    assert_eq!(service.get(path).await.bytes().await.unwrap(), "original");
    s3.delete_object().bucket(&service.bucket).key(&key).send().await.unwrap();
    assert_eq!(service.get(path).await.bytes().await.unwrap(), "original");
}

#[tokio::test]
async fn versions_are_listed_newest_first_in_pages() {
    let service = Service::start(BackEnd::Embedded).await;
    for n in 1..=5 {
        service.published("p/m", "m", format!("{n}").as_bytes()).await;
    }
    let numbers = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|v| v["number"].as_i64().unwrap()).collect()
    };
    let first = service.json("/v1/models/p/m/versions?limit=2").await;
    assert_eq!(numbers(&first), [5, 4]);
    // A version that is published in between does not shift the pages.
    service.published("p/m", "m", b"6").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.json(&format!("/v1/models/p/m/versions?limit=2&cursor={cursor}")).await;
    assert_eq!(numbers(&second), [3, 2]);
    let cursor = second["next_cursor"].as_str().unwrap();
    let last = service.json(&format!("/v1/models/p/m/versions?limit=2&cursor={cursor}")).await;
    assert_eq!((numbers(&last), &last["next_cursor"]), (vec![1], &Value::Null));
    for (query, expected) in [
        ("limit=0", "invalid_limit"),
        ("limit=201", "invalid_limit"),
        ("cursor=!", "invalid_cursor"),
        ("page=2", "invalid_query"),
        ("limit=x", "invalid_query"),
    ] {
        assert_eq!(
            code(service.get(&format!("/v1/models/p/m/versions?{query}")).await, 400).await,
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn files_of_a_version_are_listed_by_path_in_pages() {
    let service = Service::start(BackEnd::Embedded).await;
    let form = ["b", "a/z", "c"]
        .into_iter()
        .fold(form(), |form, path| form.part(path, reqwest::multipart::Part::bytes(path.as_bytes().to_vec())));
    service.request(Method::POST, "/v1/models/f/m/versions").multipart(form).send().await.unwrap();
    let first = service.json("/v1/models/f/m/versions/1/files?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let last = service.json(&format!("/v1/models/f/m/versions/1/files?limit=2&cursor={cursor}")).await;
    let paths: Vec<_> = [&first, &last]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["a/z", "b", "c"]);
    assert_eq!(last["next_cursor"], Value::Null);
}

#[tokio::test]
async fn version_is_found_by_number_latest_and_digest() {
    let service = Service::start(BackEnd::Embedded).await;
    let first = service.published("ref/m", "m", b"same").await;
    service.published("ref/m", "m", b"other").await;
    let third = service.published("ref/m", "m", b"same").await;
    assert_eq!(first["digest"], third["digest"]);
    let number = |path: String| {
        let service = &service;
        async move { service.json(&path).await["number"].as_i64().unwrap() }
    };
    let digest = first["digest"].as_str().unwrap();
    assert_eq!(number("/v1/models/ref/m/versions/2".into()).await, 2);
    assert_eq!(number("/v1/models/ref/m/versions/latest".into()).await, 3);
    assert_eq!(number(format!("/v1/models/ref/m/versions/{digest}")).await, 3);
    for (reference, status, expected) in [
        ("4", 404, "version_not_found"),
        ("production", 404, "version_not_found"),
        ("0", 400, "invalid_ref"),
        ("sha256:abc", 400, "invalid_ref"),
        ("Latest", 400, "invalid_ref"),
    ] {
        let answer = service.get(&format!("/v1/models/ref/m/versions/{reference}")).await;
        assert_eq!(code(answer, status).await, expected, "{reference}");
    }
    assert_eq!(code(service.get("/v1/models/ref/none/versions").await, 404).await, "model_not_found");
    assert_eq!(code(service.get("/v1/models/ref/none/versions/1").await, 404).await, "model_not_found");
    assert_eq!(code(service.get("/v1/models/ref/m/versions/1/files/x").await, 404).await, "file_not_found");
}

#[tokio::test]
async fn client_that_cannot_reach_the_embedded_store_gets_the_bytes() {
    let service = Service::start(BackEnd::Embedded).await;
    let body = bytes(8, 9 * MIB);
    service.published("far/m", "m.bin", &body).await;
    let path = "/v1/models/far/m/versions/1/files/m.bin";
    for (name, value) in [("X-Forwarded-For", "203.0.113.9"), ("Host", "models.example.com")] {
        let answer = service.request(Method::GET, path).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        assert!(answer.bytes().await.unwrap() == body);
        let urls = service.request(Method::POST, "/v1/models/far/m/versions/1/download-urls").header(name, value);
        assert_eq!(code(urls.json(&json!({})).send().await.unwrap(), 409).await, "urls_unreachable", "{name}");
    }
}
