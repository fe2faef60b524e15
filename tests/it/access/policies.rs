//! Policies of the operator: they allow and forbid beyond the grants, and a wrong one keeps the service from starting.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::callers::{Callers, OURS, token};
use crate::support::service::{BackEnd, Service, code};

fn directory(policies: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("site.cedar"), policies).unwrap();
    let setting = format!("policies_dir = '{}'", dir.path().display());
    (dir, setting)
}

async fn move_to_one(callers: &Callers, who: &str, alias: &str) -> StatusCode {
    let path = format!("/v1/models/{OURS}/m/aliases/{alias}");
    callers.request(who, Method::PUT, &path).json(&json!({ "version": 1 })).send().await.unwrap().status()
}

#[tokio::test]
async fn protected_alias_is_moved_by_admins_only_also_with_a_publication_and_a_draft() {
    let callers = Callers::new().await;
    callers.service.published(&format!("{OURS}/m"), "m.bin", b"one").await;
    let protect = json!({ "protected_aliases": ["production", "release/*"] });
    let namespace = callers.request("admin", Method::PATCH, &format!("/v1/namespaces/{OURS}")).json(&protect);
    assert_eq!(namespace.send().await.unwrap().status(), StatusCode::OK);
    for (who, alias, expected) in [
        ("publisher", "candidate", StatusCode::OK),
        ("publisher", "production", StatusCode::FORBIDDEN),
        ("publisher", "release%2F1", StatusCode::FORBIDDEN),
        ("writer", "candidate", StatusCode::FORBIDDEN),
        ("admin", "production", StatusCode::OK),
        ("admin", "release%2F1", StatusCode::OK),
    ] {
        assert_eq!(move_to_one(&callers, who, alias).await, expected, "{who} {alias}");
    }
    let versions = format!("/v1/models/{OURS}/m/versions?path=m.bin&alias=");
    for (who, alias) in [("publisher", "production"), ("writer", "candidate")] {
        let request = callers.request(who, Method::POST, &format!("{versions}{alias}")).body("two");
        assert_eq!(code(request.send().await.unwrap(), 403).await, "forbidden", "{who} {alias}");
    }
    let draft = callers.service.draft(&format!("{OURS}/m"), json!({})).await;
    draft.put("m.bin", b"three").await;
    let publish = callers.request("publisher", Method::POST, &draft.at("/publish"));
    let publish = publish.json(&json!({ "aliases": [{ "name": "production" }] })).send().await.unwrap();
    assert_eq!(code(publish, 403).await, "forbidden");
    let listed = callers.service.json(&format!("/v1/models/{OURS}/m/versions")).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "nothing was published");
    let production = callers.service.json(&format!("/v1/models/{OURS}/m/aliases/production")).await;
    assert_eq!(production["version"], 1);
}

#[tokio::test]
async fn policies_decide_by_alias_label_address_time_and_caller() {
    let (_dir, setting) = directory(
        r#"
        // Only CI may move production, whatever was granted.
        @id("only-ci")
        forbid (principal, action in [Action::"moveAlias", Action::"moveProtectedAlias"], resource)
        when { resource.name == "production" } unless { principal == Principal::"token:ci" };

        @id("public-models")
        permit (principal, action in [Action::"read", Action::"download"], resource is Model)
        when { resource.hasTag("visibility") && resource.getTag("visibility") == "everybody" };

        @id("not-from-there")
        forbid (principal == Principal::"token:reader", action, resource)
        when { context has address && !context.address.isLoopback() };

        @id("office-hours")
        forbid (principal == Principal::"token:late", action, resource)
        when { context.now > datetime("2020-01-01") };
        "#,
    );
    let callers = Callers::with(&setting).await;
    callers.service.published(&format!("{OURS}/m"), "m.bin", b"one").await;
    let (_, ci) = token(&callers.service, "ci", &[("publisher", OURS)]).await;
    let (_, late) = token(&callers.service, "late", &[("admin", "*")]).await;
    for who in ["root", "admin", "publisher"] {
        assert_eq!(move_to_one(&callers, who, "production").await, StatusCode::FORBIDDEN, "{who}");
    }
    assert_eq!(move_to_one(&callers, "publisher", "candidate").await, StatusCode::OK);
    let path = format!("/v1/models/{OURS}/m/aliases/production");
    let moved = callers.service.anonymous(Method::PUT, &path).bearer_auth(&ci).json(&json!({ "version": 1 }));
    assert_eq!(moved.send().await.unwrap().status(), StatusCode::OK);
    let outputs = callers.service.anonymous(Method::GET, "/v1/outputs").bearer_auth(&late).send().await.unwrap();
    assert_eq!(outputs.status(), StatusCode::FORBIDDEN);

    let model = format!("/v1/models/{OURS}/m");
    assert_eq!(callers.request("other", Method::GET, &model).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let labels = json!({ "labels": { "visibility": "everybody" } });
    let wrong = callers.request("writer", Method::PATCH, &model).json(&labels).send().await.unwrap();
    assert_eq!(code(wrong, 403).await, "forbidden");
    let labelled = callers.request("admin", Method::PATCH, &model).json(&labels).send().await.unwrap();
    assert_eq!(labelled.json::<Value>().await.unwrap()["labels"], labels["labels"]);
    for path in [model.clone(), format!("{model}/versions/1/files/m.bin")] {
        assert_eq!(callers.request("other", Method::GET, &path).send().await.unwrap().status(), StatusCode::OK);
    }
    let publish = callers.request("other", Method::POST, &format!("{model}/versions?path=x")).body("x");
    assert_eq!(publish.send().await.unwrap().status(), StatusCode::FORBIDDEN);

    let ask = async |wish: Value| -> Value {
        let asked = callers.service.request(Method::POST, "/v1/authorize").json(&wish).send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::OK);
        asked.json().await.unwrap()
    };
    let on = format!("{OURS}/m");
    let why = ask(json!({ "principal": "token:ci", "action": "moveAlias", "on": on, "alias": "production" })).await;
    assert_eq!((&why["allowed"], why["because"].as_array().unwrap().len()), (&json!(true), 1), "{why}");
    let wish = json!({ "principal": "token:publisher", "action": "moveAlias", "on": on, "alias": "production" });
    assert_eq!(ask(wish).await, json!({ "allowed": false, "because": ["site.cedar:only-ci"], "errors": [] }));
    let about_none = json!({ "principal": "token:ci", "action": "moveAlias", "on": on });
    let refused = callers.service.request(Method::POST, "/v1/authorize").json(&about_none).send().await.unwrap();
    assert_eq!(code(refused, 400).await, "invalid_alias");
    let from = |address: &str| json!({ "principal": "token:reader", "action": "read", "on": OURS, "address": address });
    assert_eq!(ask(from("127.0.0.1")).await["allowed"], true);
    assert_eq!(ask(from("203.0.113.9")).await["because"], json!(["site.cedar:not-from-there"]));
}

#[tokio::test]
async fn wrong_policy_keeps_the_service_from_starting_and_is_named_with_its_place() {
    for (policies, place, problem) in [
        ("permit (principal, action, resource)", "site.cedar:1:", "unexpected"),
        ("\n  permit (principal, action == Action::\"fly\", resource);", "site.cedar:2:", "fly"),
        (
            "permit (principal, action == Action::\"read\", resource)\nwhen { principal.shoeSize == 7 };",
            "site.cedar:2:",
            "shoeSize",
        ),
        ("permit (principal == ?principal, action, resource);", "site.cedar:1:", "slot"),
        ("permit (principal, action == Action::\"read\", resource) when { false };", "site.cedar:1:", ""),
    ] {
        let (_dir, setting) = directory(policies);
        let said = Service::refused_first_start(BackEnd::Embedded, &setting, Vec::new()).await;
        assert!(said.contains(place) && said.contains(problem), "{policies}: {said}");
    }
    let said = Service::refused_first_start(BackEnd::Embedded, "policies_dir = '/nowhere'", Vec::new()).await;
    assert!(said.contains("/nowhere"), "{said}");
}

#[test]
fn policies_of_the_documentation_hold_against_the_schema() {
    let text = include_str!("../../../docs/ACCESS.md");
    let block = text.split("```cedar").nth(1).unwrap().split("```").next().unwrap();
    let (dir, _) = directory(block);
    assert_eq!(strongroom::access::Policies::with_directory(dir.path()).unwrap().custom(), 3);
}

#[test]
fn policy_that_is_nested_too_deeply_is_refused_where_it_is_and_the_process_goes_on() {
    let house = strongroom::access::Policies::house().unwrap();
    let read = |condition: &str| {
        let text = format!(
            "permit (principal, action == Action::\"read\", resource is Model)\nwhen {{ principal.kind == \"oidc\" && {condition} }};"
        );
        house.clone().with_file(std::path::Path::new("deep.cedar"), &text).map(|policies| policies.custom())
    };
    let brackets = |n: usize| format!("{}principal.hasTag(\"a\"){}", "(".repeat(n), ")".repeat(n));
    let branch = "if principal.hasTag(\"a\") then false else ";
    let branches = |n: usize| format!("{}true{}", format!("({branch}").repeat(n), ")".repeat(n));
    for good in [brackets(38), branches(38), format!("({}true)", branch.repeat(199))] {
        assert_eq!(read(&good).unwrap(), 1, "{good}");
    }
    for deep in [brackets(1_000), branches(10_000), format!("({}true)", branch.repeat(10_000)), "[".repeat(100_000)] {
        let said = read(&deep).unwrap_err().to_string();
        assert!(said.starts_with("deep.cedar:2:") && said.contains("nested too deeply"), "{said}");
    }
}
