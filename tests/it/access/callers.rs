//! Callers of every kind, at one service.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::rows::Rows;
use crate::support::service::{BackEnd, Service};

/// The namespace that the roles are on.
pub(crate) const OURS: &str = "vision";
/// The namespace of the other writer.
pub(crate) const THEIRS: &str = "speech";

pub(crate) struct Callers {
    pub(crate) service: Service,
    /// Name and token of each; nobody has none.
    pub(crate) all: Vec<(&'static str, Option<String>)>,
}

impl Callers {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    pub(crate) async fn with(settings: &str) -> Self {
        // Nobody and wrong tokens come more often here than from any client.
        let settings = format!("auth_failures_per_minute = 0\n{settings}");
        let service = Service::start_with(BackEnd::Embedded, &settings).await;
        let mut wrong = service.token.clone();
        // The form is right, and the checksum: it is only no token.
        wrong.replace_range(3..67, &"0".repeat(64));
        let check = crate::support::service::hex_sha256("0".repeat(64).as_bytes());
        wrong.replace_range(67..75, &check[..8]);
        let mut all = vec![("nobody", None), ("wrong", Some(wrong))];
        let (id, expired) = token(&service, "expired", &[("admin", "*")]).await;
        let rows = Rows::of(&service).await;
        assert_eq!(rows.execute(format!("update tokens set expires_at = 1 where id = '{id}'")).await, 1);
        let (id, revoked) = token(&service, "revoked", &[("admin", "*")]).await;
        let gone = service.request(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap();
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
        all.extend([("expired", Some(expired)), ("revoked", Some(revoked))]);
        for role in ["reader", "writer", "publisher", "admin"] {
            all.push((role, Some(token(&service, role_name(role), &[(role, OURS)]).await.1)));
        }
        all.push(("other", Some(token(&service, "other", &[("writer", THEIRS)]).await.1)));
        all.push(("root", Some(service.token.clone())));
        Self { service, all }
    }

    /// A request of one of them.
    pub(crate) fn request(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
        let (_, token) = self.all.iter().find(|(name, _)| *name == who).unwrap();
        let request = self.service.anonymous(method, path);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// `admin` is the name of the first token.
fn role_name(role: &str) -> &str {
    if role == "admin" { "vision.admin" } else { role }
}

/// Makes a token as the administrator; gives its id and its text.
pub(crate) async fn token(service: &Service, name: &str, grants: &[(&str, &str)]) -> (String, String) {
    let grants: Vec<Value> = grants.iter().map(|(role, on)| json!({ "role": role, "on": on })).collect();
    let wish = json!({ "name": name, "grants": grants, "expires_in": 3600 });
    let answer = service.request(Method::POST, "/v1/tokens").json(&wish).send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{body}");
    (body["id"].as_str().unwrap().to_owned(), body["token"].as_str().unwrap().to_owned())
}
