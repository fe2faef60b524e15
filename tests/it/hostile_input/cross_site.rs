//! Pages of other sites that make a browser send something, which adds the password that it remembers.

use reqwest::{Method, RequestBuilder};

use super::scene::Scene;
use crate::support::service::{Service, code, problem};

/// What browsers say of a request that a page of another origin caused: new ones, and old ones.
const OF_OTHERS: [(&str, &str); 5] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-site", "whatever comes next"),
    ("origin", "http://attacker.example"),
    ("origin", "null"),
];

/// As a browser would: the token is the password.
fn remembered(service: &Service, method: &Method, path: &str) -> RequestBuilder {
    service.anonymous(method.clone(), path).basic_auth("anybody", Some(&service.token))
}

/// A form that any page can have, and any browser sends without asking the service first.
fn form(request: RequestBuilder) -> RequestBuilder {
    let body = "--b\r\nContent-Disposition: form-data; name=\"x.bin\"\r\n\r\nx\r\n--b--\r\n";
    request.header("content-type", "multipart/form-data; boundary=b").body(body)
}

#[tokio::test]
async fn page_of_another_site_changes_nothing_with_the_password_of_the_browser() {
    let scene = Scene::new().await;
    let service = &scene.callers.service;
    for operation in &scene.operations {
        let (method, path) = operation.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        for (name, value) in OF_OTHERS {
            let answer = remembered(service, &method, path).header(name, value).send().await.unwrap();
            if method == Method::GET || method == Method::HEAD {
                assert_ne!(answer.status(), 403, "{operation}, {name}: {value}");
            } else {
                assert_eq!(code(answer, 403).await, "cross_site_request", "{operation}, {name}: {value}");
            }
        }
    }
    let versions = "/v1/models/web/form/versions";
    for (name, value) in OF_OTHERS {
        let answer = form(remembered(service, &Method::POST, versions).header(name, value)).send().await.unwrap();
        assert_eq!(code(answer, 403).await, "cross_site_request", "{name}: {value}");
    }
    assert_eq!(service.get("/v1/models/web/form").await.status(), 404);
}

#[tokio::test]
async fn programs_and_pages_of_the_service_itself_are_not_refused() {
    let scene = Scene::new().await;
    let service = &scene.callers.service;
    let versions = "/v1/models/web/form/versions";
    let host = service.api.split("://").nth(1).unwrap();
    let mut made = 0;
    for headers in [
        vec![],
        vec![("sec-fetch-site", "same-origin".to_owned()), ("origin", service.api.clone())],
        vec![("sec-fetch-site", "none".to_owned())],
        // A browser of before 2023, also behind a proxy that ends TLS and keeps the name.
        vec![("origin", service.api.clone())],
        vec![("origin", format!("https://{host}"))],
        // A proxy that names the service anew: what the browser says of the page is right all the same.
        vec![("sec-fetch-site", "same-origin".to_owned()), ("origin", "https://models.example".to_owned())],
    ] {
        let request = remembered(service, &Method::POST, versions);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let answer = form(request).send().await.unwrap();
        made += 1;
        assert_eq!(answer.status(), 201, "{headers:?}: {}", answer.text().await.unwrap());
    }
    // Nobody but who has a Bearer token can add it: the page of another site would have to know it.
    for (name, value) in OF_OTHERS {
        let answer = form(service.request(Method::POST, versions).header(name, value)).send().await.unwrap();
        made += 1;
        assert_eq!(answer.status(), 201, "{name}: {value}");
    }
    let all = service.json(&format!("{versions}?limit=200")).await;
    assert_eq!(all["items"].as_array().unwrap().len(), made);
    // Asked first, as browsers do for anything but a form: nobody is told that he may.
    let asked = service.anonymous(Method::OPTIONS, versions).header("origin", "http://attacker.example");
    let asked = asked.header("access-control-request-method", "POST").send().await.unwrap();
    assert!(asked.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{asked:?}");
    assert!(problem(asked).await.0.is_client_error());
}
