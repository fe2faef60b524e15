//! A client of drafts: declares files, sends parts by presigned URLs as any client would, completes and publishes.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::service::{Service, hex_sha256};

/// A draft of a running service.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) service: &'a Service,
    pub(crate) id: String,
}

/// Where a part goes, and how.
#[derive(Debug, Clone)]
pub(crate) struct PartUrl {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Service {
    /// Begins a draft of a model.
    pub(crate) async fn draft(&self, model: &str, wish: Value) -> Draft<'_> {
        let answer =
            self.request(Method::POST, &format!("/v1/models/{model}/drafts")).json(&wish).send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::CREATED, "{body}");
        Draft { service: self, id: body["id"].as_str().unwrap().to_owned() }
    }
}

impl Draft<'_> {
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("/v1/drafts/{}{rest}", self.id)
    }

    pub(crate) async fn post(&self, rest: &str, body: Value) -> Response {
        self.service.request(Method::POST, &self.at(rest)).json(&body).send().await.unwrap()
    }

    pub(crate) async fn posted(&self, rest: &str, body: Value) -> Value {
        let answer = self.post(rest, body).await;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{rest}: {body}");
        body
    }

    /// What the service says of it.
    pub(crate) async fn look(&self) -> Value {
        self.service.json(&self.at("")).await
    }

    /// Streams a file through the service.
    pub(crate) async fn put(&self, path: &str, bytes: &[u8]) -> Response {
        let at = self.at(&format!("/files/{path}"));
        self.service.request(Method::PUT, &at).body(bytes.to_vec()).send().await.unwrap()
    }

    /// Declares one file and gives what is to be done for it.
    pub(crate) async fn declare(&self, file: Value) -> Value {
        self.posted("/uploads", json!({ "files": [file] })).await["files"][0].clone()
    }

    /// A URL for one part with these bytes.
    pub(crate) async fn part_url(&self, upload: &str, part: usize, bytes: &[u8]) -> PartUrl {
        let wish = json!({ "parts": [{ "part": part, "size": bytes.len(), "sha256": hex_sha256(bytes) }] });
        let answer = self.posted(&format!("/uploads/{upload}/part-urls"), wish).await;
        PartUrl::of(&answer["parts"][0])
    }

    /// Sends the parts with these numbers of an upload.
    pub(crate) async fn send_parts(&self, upload: &Value, bytes: &[u8], numbers: impl Iterator<Item = usize>) {
        let size = usize::try_from(upload["part_size"].as_u64().unwrap()).unwrap();
        for number in numbers {
            let start = (number - 1) * size;
            let part = &bytes[start..bytes.len().min(start + size)];
            let url = self.part_url(upload["upload_id"].as_str().unwrap(), number, part).await;
            let answer = url.put(part).await;
            let status = answer.status();
            assert_eq!(status, StatusCode::OK, "{}", answer.text().await.unwrap());
        }
    }

    /// Sends a whole file straight to S3, and gives what completing it answered.
    pub(crate) async fn upload(&self, path: &str, bytes: &[u8], stated: &str) -> Response {
        let file = json!({ "path": path, "size": bytes.len(), "part_size": 5 << 20 });
        let upload = self.declare(file).await;
        let count = usize::try_from(upload["part_count"].as_u64().unwrap()).unwrap();
        self.send_parts(&upload, bytes, 1..=count).await;
        let id = upload["upload_id"].as_str().unwrap();
        self.post(&format!("/uploads/{id}/complete"), json!({ "sha256": stated })).await
    }

    /// Sends a whole file straight to S3 with its right digest.
    pub(crate) async fn uploaded(&self, path: &str, bytes: &[u8]) -> Value {
        let answer = self.upload(path, bytes, &hex_sha256(bytes)).await;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn publish(&self, wish: Value) -> Response {
        self.post("/publish", wish).await
    }

    pub(crate) async fn published(&self) -> Value {
        let answer = self.publish(json!({})).await;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    pub(crate) async fn discard(&self) -> Response {
        self.service.request(Method::DELETE, &self.at("")).send().await.unwrap()
    }
}

impl PartUrl {
    pub(crate) fn of(part: &Value) -> Self {
        let headers = part["headers"].as_object().unwrap().iter();
        Self {
            url: part["url"].as_str().unwrap().to_owned(),
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        }
    }

    /// Sends bytes as a client that knows nothing of the service: the URL and its headers.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Response {
        self.put_with(bytes, &[]).await
    }

    /// As [`Self::put`], with more headers.
    pub(crate) async fn put_with(&self, bytes: &[u8], more: &[(&str, &str)]) -> Response {
        self.try_put(bytes, more).await.unwrap()
    }

    /// As [`Self::put_with`], where S3 may go away.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub(crate) async fn try_put(&self, bytes: &[u8], more: &[(&str, &str)]) -> reqwest::Result<Response> {
        // A certificate of the tests' own authority signs the outside S3.
        let client = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap();
        let mut request = client.put(&self.url).body(bytes.to_vec());
        for (name, value) in &self.headers {
            // The length is the body's; the client counts it itself, unless there is nothing to count.
            if name != "content-length" || bytes.is_empty() {
                request = request.header(name, value);
            }
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request.send().await
    }
}
