//! Workloads that present a token of an identity provider and keep no secret of the service.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::oidc::provider::Provider;
use crate::oidc::signer::Key;
use crate::support::service::{BackEnd, Service, code};

#[tokio::test]
async fn job_with_a_token_of_its_provider_may_what_was_granted_to_it_or_to_its_group() {
    let key = Key::p256("k");
    let provider = Provider::start(&[&key]).await;
    let setting = json!([{
        "name": "corp", "issuer": provider.url(), "audiences": ["strongroom"], "groups_claim": "groups",
        "claims": ["ref"],
    }]);
    let policies = tempfile::tempdir().unwrap();
    let only_main = r#"
        forbid (principal, action == Action::"publish", resource)
        when { principal.hasTag("ref") && principal.getTag("ref") != "main" };
    "#;
    std::fs::write(policies.path().join("ref.cedar"), only_main).unwrap();
    let settings = format!("policies_dir = '{}'", policies.path().display());
    let environment = vec![("STRONGROOM_OIDC", setting.to_string())];
    let service = Service::start_in(BackEnd::Embedded, &settings, environment).await;
    for (principal, role, on) in [("group:corp:ml", "reader", "vision"), ("oidc:corp:job", "writer", "vision/m")] {
        let grant = json!({ "principal": principal, "role": role, "on": on });
        let given = service.request(Method::POST, "/v1/grants").json(&grant).send().await.unwrap();
        assert_eq!(given.status(), StatusCode::CREATED);
    }
    service.published("vision/other", "m.bin", b"one").await;
    let token = |changes: Value| key.token(&provider.claims_but(changes));
    let send = |token: &str, method: Method, path: &str| service.anonymous(method, path).bearer_auth(token);

    let job = token(json!({ "groups": ["ml"], "ref": "main" }));
    let who: Value = send(&job, Method::GET, "/v1/whoami").send().await.unwrap().json().await.unwrap();
    assert_eq!((&who["principal"], &who["groups"]), (&json!("oidc:corp:job"), &json!(["corp:ml"])));
    assert!(who["expires_at"].is_string() && who["grants"].as_array().unwrap().len() == 2, "{who}");
    let publish = "/v1/models/vision/m/versions?path=m.bin";
    let published = send(&job, Method::POST, publish).body("two").send().await.unwrap();
    assert_eq!(published.status(), StatusCode::CREATED);
    assert_eq!(published.json::<Value>().await.unwrap()["created_by"], "oidc:corp:job");
    let read = send(&job, Method::GET, "/v1/models/vision/other/versions/1").send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK, "by its group");

    let branch = token(json!({ "groups": ["ml"], "ref": "branch" }));
    assert_eq!(code(send(&branch, Method::POST, publish).body("x").send().await.unwrap(), 403).await, "forbidden");
    let stranger = token(json!({ "sub": "somebody", "ref": "main" }));
    let hidden = send(&stranger, Method::GET, "/v1/models/vision/m").send().await.unwrap();
    assert_eq!(code(hidden, 404).await, "model_not_found");
    for wrong in [token(json!({ "aud": "another" })), token(json!({ "exp": 1, "iat": null, "nbf": null }))] {
        assert_eq!(code(send(&wrong, Method::GET, "/v1/whoami").send().await.unwrap(), 401).await, "unauthorized");
    }
    assert!(!service.log().contains(job.rsplit('.').next().unwrap()), "no token is in the log");
}
