//! Whose word about a client's address is believed, and where the service listens without TLS.

use reqwest::Method;

use crate::support::service::{BackEnd, Service, code};

async fn logged_client(settings: &str, headers: &[(&str, &str)]) -> String {
    let service = Service::start_with(BackEnd::Embedded, &format!("log_format = 'json'\n{settings}")).await;
    let mut request = service.anonymous(Method::GET, "/v1/nothing");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(code(answer, 401).await, "unauthorized");
    let log = service.log();
    let line = log.lines().find(|line| line.contains(&id)).unwrap_or_else(|| panic!("{log}"));
    line.split("\"client\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn forwarded_headers_are_believed_only_from_configured_proxies_and_only_the_configured_one() {
    let both = [("X-Forwarded-For", "198.51.100.1, 203.0.113.5"), ("Forwarded", "for=192.0.2.7")];
    let trusted = "trusted_proxies = '127.0.0.1'";
    let (nobody, proxy, other, beyond) = tokio::join!(
        logged_client("", &both),
        logged_client(trusted, &both),
        logged_client("trusted_proxies = '127.0.0.0/8'\nforwarded_header = 'forwarded'", &both),
        logged_client("trusted_proxies = '10.0.0.0/8'", &both),
    );
    assert_eq!(nobody, "127.0.0.1");
    // The right-most that is no proxy of ours: what stands before it is what that client said.
    assert_eq!(proxy, "203.0.113.5");
    assert_eq!(other, "192.0.2.7");
    assert_eq!(beyond, "127.0.0.1");
}

#[tokio::test]
async fn other_addresses_than_loopback_are_refused_without_tls_and_the_message_says_what_to_do() {
    let listen = |address: &str| vec![("STRONGROOM_LISTEN", address.to_owned())];
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refusal = Service::refused_first_start(BackEnd::Embedded, "", listen(address)).await;
        for part in ["in the clear", "--behind-tls-proxy", "tls_cert_file"] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }
    let settings = "behind_tls_proxy = true";
    let service = Service::start_in(BackEnd::Embedded, settings, listen("0.0.0.0:0")).await;
    assert_eq!(service.json("/v1/whoami").await["principal"], "token:admin");
    assert!(service.log().contains("behind_tls_proxy without trusted_proxies"), "{}", service.log());
}
