//! The way to a service's API, apart from the service: for clients that outlive it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::Service;

/// Longest exchange of a client that is not told otherwise.
const PATIENCE: Duration = Duration::from_mins(1);

/// Address, token and connections; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Service {
    /// The way to it, as the administrator.
    pub(crate) fn way(&self) -> Api {
        Api { base: self.api.clone(), token: self.token.clone(), http: self.http.clone() }
    }
}

impl Api {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token).timeout(PATIENCE)
    }

    /// Status and JSON of a page.
    ///
    /// # Errors
    /// When the service does not answer, or not to the end.
    pub(crate) async fn page(&self, path: &str) -> reqwest::Result<(StatusCode, Value)> {
        let answer = self.request(Method::GET, path).send().await?;
        let status = answer.status();
        Ok((status, answer.json().await?))
    }

    /// Numbers and digests of all versions of a model, newest first; none when there is no such model.
    ///
    /// # Errors
    /// When the service does not answer.
    pub(crate) async fn versions(&self, model: &str) -> reqwest::Result<Vec<(i64, String)>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.page(&format!("/v1/models/{model}/versions?limit=200{cursor}")).await?;
            if status == StatusCode::NOT_FOUND && page["code"] == "model_not_found" {
                return Ok(all);
            }
            assert_eq!(status, StatusCode::OK, "{page}");
            for item in page["items"].as_array().unwrap() {
                assert_eq!(item["state"], "published", "{item}");
                all.push((item["number"].as_i64().unwrap(), item["digest"].as_str().unwrap().to_owned()));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    /// The bytes of a file through the service.
    ///
    /// # Errors
    /// When the service does not answer, or not to the end.
    pub(crate) async fn bytes(&self, model: &str, number: i64, path: &str) -> reqwest::Result<(StatusCode, Vec<u8>)> {
        let path = format!("/v1/models/{model}/versions/{number}/files/{path}?via=proxy");
        let answer = self.request(Method::GET, &path).send().await?;
        let status = answer.status();
        Ok((status, answer.bytes().await?.to_vec()))
    }
}
