//! Tokens: shown once, rotated without downtime, revoked at once, and never a way to more rights than their maker has.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::callers::{Callers, OURS, token};
use crate::support::rows::Rows;
use crate::support::service::code;

async fn whoami(callers: &Callers, token: &str) -> StatusCode {
    callers.service.anonymous(Method::GET, "/v1/whoami").bearer_auth(token).send().await.unwrap().status()
}

#[tokio::test]
async fn token_is_shown_once_and_kept_as_a_digest_only() {
    let callers = Callers::new().await;
    let (id, text) = token(&callers.service, "ci", &[("reader", OURS)]).await;
    assert_eq!(whoami(&callers, &text).await, StatusCode::OK);
    let listed = callers.service.json("/v1/tokens?limit=200").await;
    let row = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == id.as_str()).unwrap();
    assert_eq!((&row["name"], &row["created_by"]), (&json!("ci"), &json!("token:admin")));
    assert!(row["expires_at"].is_string() && row.get("token").is_none(), "{row}");
    let secret = &text[3..67];
    assert!(!listed.to_string().contains(secret) && !callers.service.log().contains(secret));
    let rows = Rows::of(&callers.service).await;
    let stored = rows.texts(format!("select sha256 from tokens where id = '{id}'")).await;
    assert_eq!(stored, [crate::support::service::hex_sha256(text.as_bytes())]);
    for _ in 0..100 {
        if rows.number(format!("select coalesce(last_used_at, 0) from tokens where id = '{id}'")).await > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("its use was not noted");
}

#[tokio::test]
async fn rotated_token_goes_on_beside_the_new_one_and_a_revoked_one_ends_at_once() {
    let callers = Callers::new().await;
    let (id, old) = token(&callers.service, "ci", &[("writer", OURS)]).await;
    let rotate = format!("/v1/tokens/{id}/rotate");
    let answer = callers.service.request(Method::POST, &rotate).json(&json!({ "overlap": 3600 })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let made: Value = answer.json().await.unwrap();
    let (new_id, new) = (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned());
    for text in [&old, &new] {
        assert_eq!(whoami(&callers, text).await, StatusCode::OK);
    }
    let revoke = async |id: &str| {
        let path = format!("/v1/tokens/{id}");
        callers.service.request(Method::DELETE, &path).send().await.unwrap().status()
    };
    assert_eq!(revoke(&id).await, StatusCode::NO_CONTENT);
    assert_eq!(revoke(&id).await, StatusCode::NO_CONTENT, "revoking it again changes nothing");
    assert_eq!(
        (whoami(&callers, &old).await, whoami(&callers, &new).await),
        (StatusCode::UNAUTHORIZED, StatusCode::OK)
    );
    let grants = callers.service.json("/v1/grants?principal=token:ci").await;
    assert_eq!(grants["items"].as_array().unwrap().len(), 1, "the name has a valid token still");
    assert_eq!(revoke(&new_id).await, StatusCode::NO_CONTENT);
    let grants = callers.service.json("/v1/grants?principal=token:ci").await;
    assert_eq!(grants["items"], json!([]), "who takes the name next has nothing of it");
}

#[tokio::test]
async fn admin_of_a_namespace_makes_tokens_for_it_and_gets_no_further_by_them() {
    let callers = Callers::new().await;
    let make = async |who: &str, name: &str, role: &str, on: &str| {
        let wish = json!({ "name": name, "grants": [{ "role": role, "on": on }] });
        callers.request(who, Method::POST, "/v1/tokens").json(&wish).send().await.unwrap()
    };
    let made = make("admin", "vision.ci", "admin", OURS).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let id = made.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    // Policies may speak of tokens by name: a namespace has names of its own.
    assert_eq!(code(make("admin", "ci", "reader", OURS).await, 400).await, "invalid_name");
    assert_eq!(code(make("admin", "vision.x", "reader", "speech").await, 404).await, "namespace_not_found");
    assert_eq!(code(make("admin", "vision.x", "reader", "*").await, 403).await, "forbidden");
    assert_eq!(code(make("admin", "vision.ci", "reader", OURS).await, 409).await, "token_exists");
    assert_eq!(code(make("publisher", "vision.x", "reader", OURS).await, 403).await, "forbidden");
    // Somebody gives the token more than its maker has: the maker does not get at it by rotating.
    let grant = json!({ "principal": "token:vision.ci", "role": "admin", "on": "*" });
    let given = callers.service.request(Method::POST, "/v1/grants").json(&grant).send().await.unwrap();
    assert_eq!(given.status(), StatusCode::CREATED);
    let rotate = format!("/v1/tokens/{id}/rotate");
    let rotated = callers.request("admin", Method::POST, &rotate).json(&json!({})).send().await.unwrap();
    assert_eq!(code(rotated, 403).await, "forbidden");
    let gone = callers.request("admin", Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT, "revoking it gives nobody anything");
}

#[tokio::test]
async fn revoked_admin_token_is_not_made_again_and_the_command_line_makes_another() {
    let callers = Callers::new().await;
    let service = callers.service;
    let listed = service.json("/v1/tokens?limit=200").await;
    let items = listed["items"].as_array().unwrap();
    let id = items.iter().find(|item| item["name"] == "admin").unwrap()["id"].as_str().unwrap().to_owned();
    let gone = service.request(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let service = service.restart().await;
    let old = service.request(Method::GET, "/v1/whoami").send().await.unwrap();
    assert_eq!(code(old, 401).await, "unauthorized");
    let data_dir = service.data_dir().display().to_string();
    let made = service.command(&["token", "create", "rescue", "--grant", "admin:*", "--data-dir", &data_dir]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let request = service.anonymous(Method::GET, "/v1/outputs").bearer_auth(&text);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let given = service.command(&["grant", "add", "group:corp:ml", "reader", OURS, "--data-dir", &data_dir]).await;
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
    let listed = service.command(&["grant", "list", "--on", OURS, "--data-dir", &data_dir]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("group:corp:ml is reader of vision"), "{listed:?}");
    let wrong = service.command(&["token", "create", "a b", "--data-dir", &data_dir]).await;
    assert_eq!(wrong.status.code(), Some(1));
}

#[tokio::test]
async fn who_only_presents_a_token_gets_none_that_outlives_it_and_all_of_a_name_end_together() {
    let callers = Callers::new().await;
    let wish = json!({ "name": "short", "grants": [{ "role": "reader", "on": OURS }], "expires_in": 600 });
    let made = callers.service.request(Method::POST, "/v1/tokens").json(&wish).send().await.unwrap();
    let first: Value = made.json().await.unwrap();
    let (id, text) = (first["id"].as_str().unwrap(), first["token"].as_str().unwrap());
    let path = format!("/v1/tokens/{id}/rotate");
    let rotate = async |bearer: &str, body: Value| {
        callers.service.anonymous(Method::POST, &path).bearer_auth(bearer).json(&body).send().await.unwrap()
    };
    let second: Value = rotate(text, json!({})).await.json().await.unwrap();
    assert_eq!(second["expires_at"], first["expires_at"], "an end is an end");
    assert_eq!(code(rotate(text, json!({ "expires_in": 3600 })).await, 400).await, "invalid_expiry");
    let by_its_maker: Value = rotate(&callers.service.token, json!({})).await.json().await.unwrap();
    let at = |token: &Value| token["expires_at"].as_str().unwrap().parse::<strongroom::domain::Timestamp>().unwrap();
    let later = at(&by_its_maker).since(at(&first));
    assert!(later < std::time::Duration::from_mins(5), "as long as the old one, from now on: {later:?}");
    for _ in 0..17 {
        assert_eq!(rotate(text, json!({})).await.status(), StatusCode::CREATED);
    }
    assert_eq!(code(rotate(text, json!({})).await, 409).await, "too_many_tokens");

    let all = format!("/v1/tokens/{id}?all=true");
    assert_eq!(callers.service.request(Method::DELETE, &all).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    for token in [&first, &second, &by_its_maker] {
        assert_eq!(whoami(&callers, token["token"].as_str().unwrap()).await, StatusCode::UNAUTHORIZED);
    }
    let grants = callers.service.json("/v1/grants?principal=token:short").await;
    assert_eq!(grants["items"], json!([]));
}
