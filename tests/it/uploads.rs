//! One request, one version: what is taken, what is refused, and what is left behind.

use std::time::Duration;

use reqwest::multipart::Part;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::service::{
    BackEnd, Bucket, Service, bytes, code, form, hex_sha256, on_every_back_end, problem, repr_digest,
};

const MIB: usize = 1024 * 1024;

on_every_back_end!(
    raw_body_becomes_version_one_with_its_digest_and_location,
    form_with_nested_paths_and_metadata_becomes_one_version,
    files_below_at_and_above_the_part_size_come_back_byte_for_byte,
    body_without_content_length_is_taken_in_parts,
    upload_with_wrong_digest_leaves_no_object_and_no_row,
    large_upload_with_wrong_digest_leaves_no_upload_and_no_row,
    form_with_one_bad_file_of_many_leaves_nothing,
    client_that_goes_away_leaves_nothing,
    objects_are_encrypted_with_the_key_and_carry_no_name_of_anybody,
    concurrent_uploads_to_one_model_get_numbers_without_gaps,
    second_version_has_number_two_and_the_first_stays,
);

async fn raw_body_becomes_version_one_with_its_digest_and_location(service: Service) {
    let body = b"weights of a small model";
    let answer = service.upload("vision/resnet", "model.bin", body).await;

    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], "/v1/models/vision/resnet/versions/1");
    let version: Value = answer.json().await.unwrap();
    let sha256 = hex_sha256(body);
    let canonical = format!(r#"[{{"path":"model.bin","sha256":"{sha256}","size":{}}}]"#, body.len());
    assert_eq!(version["number"], 1);
    assert_eq!(version["digest"], format!("sha256:{}", hex_sha256(canonical.as_bytes())));
    assert_eq!(version["integrity"], "verified");
    assert_eq!(version["state"], "published");
    assert_eq!(version["created_by"], "token:admin");
    assert_eq!(version["file_count"], 1);
    assert_eq!(version["total_size"], body.len());
    assert_eq!(version["files"][0]["path"], "model.bin");
    assert_eq!(version["files"][0]["sha256"], sha256);

    let in_bucket = service.in_bucket().await;
    let prefix = version["s3_uri"].as_str().unwrap().strip_prefix(&format!("s3://{}/", service.bucket)).unwrap();
    assert!(prefix.starts_with("models/vision/resnet/"), "{prefix}");
    let mut expected = vec!["manifests/vision/resnet/1.json".to_owned(), format!("{prefix}model.bin")];
    expected.sort();
    let mut versions = in_bucket.versions;
    versions.sort();
    assert_eq!(versions, expected);
    assert_eq!(in_bucket.uploads, Vec::<String>::new());
    assert_eq!(service.rows("drafts").await, 0);
}

#[tokio::test]
async fn upload_that_a_statement_of_somebody_else_denies_says_so_and_is_not_worth_a_retry() {
    let service = Service::start(BackEnd::Embedded).await;
    let s3 = service.s3().await;
    let policy = s3.get_bucket_policy().bucket(&service.bucket).send().await.unwrap().policy.unwrap();
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    policy["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{}/models/*", service.bucket),
    }));
    s3.put_bucket_policy().bucket(&service.bucket).policy(policy.to_string()).send().await.unwrap();

    let answer = service.upload("vision/resnet", "model.bin", b"weights").await;
    assert!(!answer.headers().contains_key("retry-after"));
    assert_eq!(code(answer, 502).await, "storage_denied");
    let log = service.log();
    for part in ["AccessDenied", "s3:PutObject, and kms:GenerateDataKey", "a statement of somebody else denies it"] {
        assert!(log.contains(part), "{part} in {log}");
    }
    service.assert_nothing_left_soon().await;
}

async fn form_with_nested_paths_and_metadata_becomes_one_version(service: Service) {
    let (weights, config) = (bytes(1, 300_000), b"{}".to_vec());
    let form = form()
        .part("metadata", Part::text(r#"{"framework":"torch","metric":{"accuracy":0.93}}"#))
        .part("weights/é model.safetensors", Part::bytes(weights.clone()).file_name("ignored.bin"))
        .part("config.json", Part::bytes(config.clone()))
        .part("empty", Part::bytes(Vec::new()));
    let answer = service.request(Method::POST, "/v1/models/nlp/bert/versions").multipart(form).send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::CREATED);
    let version: Value = answer.json().await.unwrap();
    assert_eq!(version["metadata"], json!({"framework": "torch", "metric": {"accuracy": 0.93}}));
    let files: Vec<_> = version["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(files, ["config.json", "empty", "weights/é model.safetensors"]);
    for (path, expected) in
        [("config.json", config), ("empty", Vec::new()), ("weights/%C3%A9%20model.safetensors", weights)]
    {
        let answer = service.get(&format!("/v1/models/nlp/bert/versions/1/files/{path}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.bytes().await.unwrap(), expected, "{path}");
    }
}

async fn files_below_at_and_above_the_part_size_come_back_byte_for_byte(service: Service) {
    for (number, len) in [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB].into_iter().enumerate() {
        let body = bytes(len as u64, len);
        let version = service.published("sizes/all", "m.bin", &body).await;
        assert_eq!(version["files"][0]["sha256"], hex_sha256(&body), "{len}");
        let path = format!("/v1/models/sizes/all/versions/{}/files/m.bin?via=proxy", number + 1);
        let answer = service.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.bytes().await.unwrap() == body, "{len} bytes came back changed");
    }
    assert_eq!(service.in_bucket().await.uploads, Vec::<String>::new());
}

async fn body_without_content_length_is_taken_in_parts(service: Service) {
    let body = bytes(7, 19 * MIB);
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> = body.chunks(100_000).map(|chunk| Ok(chunk.to_vec())).collect();
    let answer = service
        .request(Method::POST, "/v1/models/stream/m/versions?path=m.bin")
        .body(Body::wrap_stream(futures::stream::iter(chunks)))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let version: Value = answer.json().await.unwrap();
    assert_eq!(version["files"][0]["sha256"], hex_sha256(&body));
    assert_eq!(version["files"][0]["size"], body.len());
}

async fn upload_with_wrong_digest_leaves_no_object_and_no_row(service: Service) {
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .header("Repr-Digest", repr_digest(b"other bytes"))
        .body("these bytes")
        .send()
        .await
        .unwrap();
    let (status, body) = problem(answer).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["code"], "digest_mismatch");
    assert!(body["detail"].as_str().unwrap().contains(&hex_sha256(b"these bytes")));
    service.assert_nothing_left().await;
}

async fn large_upload_with_wrong_digest_leaves_no_upload_and_no_row(service: Service) {
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .header("Repr-Digest", repr_digest(b"other bytes"))
        .body(bytes(3, 20 * MIB))
        .send()
        .await
        .unwrap();
    assert_eq!(code(answer, 422).await, "digest_mismatch");
    service.assert_nothing_left().await;
}

async fn form_with_one_bad_file_of_many_leaves_nothing(service: Service) {
    let digest = |bytes: &[u8]| {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("Repr-Digest", repr_digest(bytes).parse().unwrap());
        headers
    };
    let large = bytes(5, 9 * MIB);
    let form = form()
        .part("a.bin", Part::bytes(b"good".to_vec()).headers(digest(b"good")))
        .part("large.bin", Part::bytes(large.clone()).headers(digest(&large)))
        .part("bad.bin", Part::bytes(b"bad".to_vec()).headers(digest(b"good")))
        .part("z.bin", Part::bytes(b"good".to_vec()));
    let answer = service.request(Method::POST, "/v1/models/a/b/versions").multipart(form).send().await.unwrap();
    let (status, body) = problem(answer).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (422, Some("digest_mismatch")));
    assert!(body["detail"].as_str().unwrap().contains("bad.bin"), "{body}");
    service.assert_nothing_left().await;
}

async fn client_that_goes_away_leaves_nothing(service: Service) {
    // Two parts reach S3, then the client breaks off.
    let chunks = futures::stream::unfold(0, |sent| async move {
        match sent {
            20 => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Some((Err(std::io::Error::other("gone")), 21))
            }
            21 => None,
            _ => Some((Ok(bytes(sent, MIB)), sent + 1)),
        }
    });
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .body(Body::wrap_stream(chunks))
        .send()
        .await;
    assert!(answer.is_err());
    service.assert_nothing_left_soon().await;
}

async fn objects_are_encrypted_with_the_key_and_carry_no_name_of_anybody(service: Service) {
    service.published("ns/small", "m.bin", b"small").await;
    service.published("ns/large", "m.bin", &bytes(1, 9 * MIB)).await;
    let s3 = service.s3().await;
    let keys = service.in_bucket().await.versions;
    assert_eq!(keys.len(), 4, "{keys:?}");
    for key in &keys {
        let head = s3.head_object().bucket(&service.bucket).key(key).send().await.unwrap();
        assert_eq!(
            head.server_side_encryption().map(aws_sdk_s3::types::ServerSideEncryption::as_str),
            Some("aws:kms"),
            "{key}"
        );
        assert_eq!(head.ssekms_key_id(), Some(service.key_arn.as_str()), "{key}");
        assert!(head.version_id().is_some_and(|id| id != "null"), "{key}");
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata.keys().collect::<Vec<_>>(), ["strongroom-token"], "{key}");
        assert!(metadata.values().all(|value| value.bytes().all(|b| b.is_ascii_hexdigit())), "{key}");
    }
}

async fn concurrent_uploads_to_one_model_get_numbers_without_gaps(service: Service) {
    let uploads = (0..12).map(|n| {
        let service = &service;
        async move { service.published("race/m", "m.bin", format!("content {n}").as_bytes()).await }
    });
    let versions = futures::future::join_all(uploads).await;
    let mut numbers: Vec<_> = versions.iter().map(|version| version["number"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let listed = service.json("/v1/models/race/m/versions").await;
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|v| v["number"].as_i64().unwrap()).collect();
    assert_eq!(listed, (1..=12).rev().collect::<Vec<_>>());
}

async fn second_version_has_number_two_and_the_first_stays(service: Service) {
    let first = service.published("two/m", "m.bin", b"first").await;
    let second = service.published("Two/M", "m.bin", b"second").await;
    assert_eq!((first["number"].as_i64(), second["number"].as_i64()), (Some(1), Some(2)));
    // The first spelling is kept.
    assert_eq!((second["namespace"].as_str(), second["name"].as_str()), (Some("two"), Some("m")));
    let body = service.get("/v1/models/two/m/versions/1/files/m.bin").await.bytes().await.unwrap();
    assert_eq!(body, "first");
    let body = service.get("/v1/models/TWO/M/versions/latest/files/m.bin").await.bytes().await.unwrap();
    assert_eq!(body, "second");
}

#[tokio::test]
async fn each_bad_request_says_which_rule_it_breaks_and_leaves_nothing() {
    let service = Service::start(BackEnd::Embedded).await;
    let post = |path: &str| service.request(Method::POST, path).body("x");
    let long = "x".repeat(97);
    for (path, status, expected) in [
        ("/v1/models/a/b/versions", 400, "path_required"),
        ("/v1/models/-a/b/versions?path=m", 400, "invalid_name"),
        ("/v1/models/a/b..c/versions?path=m", 400, "invalid_name"),
        ("/v1/models/a/b%2Fc/versions?path=m", 400, "invalid_name"),
        (&format!("/v1/models/a/{long}/versions?path=m"), 400, "invalid_name"),
        ("/v1/models/a/b/versions?path=", 400, "invalid_file_path"),
        ("/v1/models/a/b/versions?path=../m", 400, "invalid_file_path"),
        ("/v1/models/a/b/versions?path=a//m", 400, "invalid_file_path"),
        ("/v1/models/a/b/versions?path=a%5Cm", 400, "invalid_file_path"),
        ("/v1/models/a/b/versions?path=a%00m", 400, "invalid_file_path"),
        ("/v1/models/a/b/versions?path=a%FFm", 400, "invalid_query"),
        ("/v1/models/a/b/versions?path=m&alias=Latest", 400, "invalid_alias"),
        ("/v1/models/a/b/versions?path=m&path=n", 400, "invalid_query"),
    ] {
        assert_eq!(code(post(path).send().await.unwrap(), status).await, expected, "{path}");
    }
    let digest = post("/v1/models/a/b/versions?path=m").header("Repr-Digest", "md5=:AAAA:");
    assert_eq!(code(digest.send().await.unwrap(), 400).await, "invalid_digest");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn each_bad_form_says_what_is_wrong_and_leaves_nothing() {
    let service = Service::start(BackEnd::Embedded).await;
    let post = || service.request(Method::POST, "/v1/models/a/b/versions");
    let part = || Part::bytes(b"x".to_vec());
    for (form, status, expected) in [
        (form().part("metadata", Part::text("{}")), 400, "no_files"),
        (form().part("m", part()).part("m", part()), 400, "path_conflict"),
        (form().part("m", part()).part("m/n", part()), 400, "path_conflict"),
        (form().part("m/n", part()).part("m", part()), 400, "path_conflict"),
        (form().part("m", part()).part("../n", part()), 400, "invalid_file_path"),
        (form().part("m", part()).part("metadata", Part::text("[1]")), 400, "malformed_body"),
        (form().part("m", part()).part("metadata", Part::text("{")), 400, "malformed_body"),
        (
            form().part("metadata", Part::text("{}")).part("metadata", Part::text("{}")).part("m", part()),
            400,
            "malformed_body",
        ),
        (form().part("m", part()).part("metadata", Part::text("x".repeat(70_000))), 400, "malformed_body"),
    ] {
        let described = format!("{form:?}");
        let answer = post().multipart(form).send().await.unwrap();
        assert_eq!(code(answer, status).await, expected, "{described}");
    }
    let with_boundary = |boundary: &str, body: &str| {
        post().header("Content-Type", format!("multipart/form-data{boundary}")).body(body.to_owned())
    };
    for (boundary, body, expected) in [
        ("", "x", "malformed_body"),
        ("; boundary=b", "--b--\r\n", "no_files"),
        ("; boundary=b", "", "body_incomplete"),
        ("; boundary=b", "no boundary in here", "body_incomplete"),
        ("; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"m\"\r\n\r\nunfinished", "body_incomplete"),
        ("; boundary=b", "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "malformed_body"),
    ] {
        let answer = with_boundary(boundary, body).send().await.unwrap();
        assert_eq!(code(answer, 400).await, expected, "{boundary} {body}");
    }
    let endless = "x".repeat(2 * MIB);
    assert_eq!(code(with_boundary("; boundary=b", &endless).send().await.unwrap(), 400).await, "malformed_body");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn limits_refuse_too_large_and_too_many_files_and_leave_nothing() {
    let service = Service::start_with(BackEnd::Embedded, "max_file_mib = 9\nmax_files = 2").await;
    let answer = service.upload("a/b", "m.bin", &bytes(1, 9 * MIB + 1)).await;
    assert_eq!(code(answer, 413).await, "file_too_large");
    let chunks = futures::stream::iter((0..10).map(|n| Ok::<_, std::io::Error>(bytes(n, MIB))));
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .body(Body::wrap_stream(chunks))
        .send()
        .await
        .unwrap();
    assert_eq!(code(answer, 413).await, "file_too_large");
    let part = || Part::bytes(b"x".to_vec());
    let form = form().part("1", part()).part("2", part()).part("3", part());
    let answer = service.request(Method::POST, "/v1/models/a/b/versions").multipart(form).send().await.unwrap();
    assert_eq!(code(answer, 413).await, "too_many_files");
    service.assert_nothing_left().await;
    let version = service.published("a/b", "m.bin", &bytes(1, 9 * MIB)).await;
    assert_eq!(version["number"], 1);
}

#[tokio::test]
async fn silent_client_is_told_and_leaves_nothing() {
    let service = Service::start_with(BackEnd::Embedded, "body_idle_seconds = 1").await;
    let chunks = futures::stream::unfold(0, |sent| async move {
        if sent == 1 {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        Some((Ok::<_, std::io::Error>(bytes(sent, 9 * MIB)), sent + 1))
    });
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .body(Body::wrap_stream(chunks))
        .send()
        .await
        .unwrap();
    assert_eq!(code(answer, 408).await, "body_timeout");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn dripping_client_is_told_and_leaves_nothing() {
    let service = Service::start_with(BackEnd::Embedded, "body_idle_seconds = 2").await;
    let drops = futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Some((Ok::<_, std::io::Error>(vec![0; 100]), ()))
    });
    let answer = service
        .request(Method::POST, "/v1/models/a/b/versions?path=m.bin")
        .body(Body::wrap_stream(drops))
        .send()
        .await
        .unwrap();
    assert_eq!(code(answer, 408).await, "body_timeout");
    service.assert_nothing_left().await;
}

#[tokio::test]
async fn uploads_that_need_more_memory_than_there_is_take_turns_and_all_succeed() {
    let service = Service::start_with(BackEnd::Embedded, "upload_memory_mib = 64").await;
    let uploads = (0..12_u64).map(|n| {
        let service = &service;
        async move {
            let small = |m: u64| Part::bytes(bytes(n * 100 + m, 5 * MIB));
            let form = (0..3).fold(form(), |form, m| form.part(format!("s{m}"), small(m)));
            let form = form.part("large", Part::bytes(bytes(n, 17 * MIB)));
            let path = format!("/v1/models/turns/m{n}/versions");
            service.request(Method::POST, &path).multipart(form).send().await.unwrap().status()
        }
    });
    let statuses = futures::future::join_all(uploads).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::CREATED), "{statuses:?}");
    assert_eq!(service.in_bucket().await.uploads, Vec::<String>::new());
}

#[tokio::test]
async fn upload_that_a_kill_interrupts_is_gone_after_the_next_start() {
    let service = Service::start(BackEnd::Embedded).await;
    service.published("kept/m", "m.bin", b"acknowledged").await;
    let service = service.killed_in_an_upload().await;

    let in_bucket = service.in_bucket().await;
    assert_eq!(in_bucket.uploads, Vec::<String>::new());
    assert_eq!(in_bucket.versions.len(), 2, "{in_bucket:?}");
    assert_eq!(service.rows("drafts").await, 0);
    let body = service.get("/v1/models/kept/m/versions/1/files/m.bin").await.bytes().await.unwrap();
    assert_eq!(body, "acknowledged");
    assert_ne!(in_bucket, Bucket::default());
}
