//! A KMS that goes wrong while the service runs: it is asked by the watch, and S3 uses the key by itself.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use strongroom::provision::{self, Mode, Wanted};

use super::faults::{answer, refused, told};
use crate::support::account::{Account, REGION};
use crate::support::fault_proxy::{Fault, FaultProxy, Protocol, Rule};
use crate::support::service::{BackEnd, Service, bytes};

const BUCKET: &str = "hostile-kms";
/// What the watch asks KMS for at each look; `DescribeKey` also by the alias.
const ASKED: [&str; 4] = ["DescribeKey", "ListResourceTags", "GetKeyPolicy", "GetKeyRotationStatus"];

/// A service that looks at its bucket and key every second, the key through a proxy.
struct Watched {
    proxy: FaultProxy,
    service: Service,
    _account: Account,
}

impl Watched {
    async fn new() -> Self {
        let account = Account::new(None).await;
        let wanted = Wanted::new(BUCKET, REGION, provision::BackEnd::Embedded);
        provision::provision(&account.clients, &wanted, Mode::Create).await.unwrap();
        let proxy = FaultProxy::new(account.endpoint()).await;
        let settings = format!(
            "storage = 's3'\nbucket = '{BUCKET}'\ns3_endpoint = '{}'\nkms_endpoint = '{}'\n\
             provision = 'verify'\npolicy_profile = 'explicit'\nwatch_seconds = 1",
            account.endpoint(),
            proxy.endpoint()
        );
        let service = Service::start_in(BackEnd::Elsewhere, &settings, account.environment()).await;
        let watched = Self { proxy, service, _account: account };
        watched.takes_bytes().await;
        watched.proxy.heal();
        watched
    }

    /// A claim after a look that begins now.
    async fn fresh(&self, claim: &str) -> Value {
        let posture = self.service.json("/v1/posture?fresh=true").await;
        let found = posture["claims"].as_array().unwrap().iter().find(|found| found["id"] == claim).cloned();
        found.unwrap_or_else(|| panic!("no claim {claim} in {posture:#}"))
    }

    async fn readiness(&self) -> (StatusCode, Value) {
        let answer = self.service.anonymous(Method::GET, "/readyz").send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Uploads are taken and given out, and whoever sends requests here is told to go on.
    async fn takes_bytes(&self) {
        let begun = Instant::now();
        let version = self.service.published("hostile/kms", "m.bin", &bytes(1, 5000)).await;
        let (status, ready) = self.readiness().await;
        assert_eq!((status, &ready["writes"]), (StatusCode::OK, &Value::from("ok")), "{ready}");
        self.gives_out(&version["number"]).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    }

    async fn gives_out(&self, number: &Value) {
        let at = format!("/v1/models/hostile/kms/versions/{number}/files/m.bin?via=proxy");
        assert_eq!(self.service.get(&at).await.bytes().await.unwrap(), bytes(1, 5000));
    }

    /// Every question to KMS goes wrong: what was seen last counts, nobody waits, and it is seen again afterwards.
    async fn goes_on_without(&self, fault: Fault) {
        println!("KMS always {fault:?}");
        let cut_off = "posture: cannot look at key_usable";
        let before = self.service.log().matches(cut_off).count();
        self.proxy.inject(Rule::when(|asked| asked.protocol == Protocol::Kms).does(fault.clone()));
        let looking = self.fresh("key_usable");
        let meanwhile = async {
            for _ in 0..3 {
                self.takes_bytes().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let begun = Instant::now();
        let (usable, ()) = futures::future::join(looking, meanwhile).await;
        println!("  looked for {:?}", begun.elapsed());
        // A look ends within about a minute, and one may have been under way.
        assert!(begun.elapsed() < Duration::from_secs(130), "it took {:?}", begun.elapsed());
        assert!(self.proxy.faults() > 0);
        assert_eq!(usable["status"], "passed", "{fault:?}: {usable}");
        assert!(usable["observed"].as_str().unwrap().contains("cannot be looked at since"), "{fault:?}: {usable}");
        self.takes_bytes().await;
        let log = self.service.log();
        assert_eq!(log.matches(cut_off).count(), before + 1, "{log}");
        self.proxy.heal();
        self.is_seen_again("key_usable").await;
        self.takes_bytes().await;
    }

    /// Nobody asks for a look: the service finds out by itself.
    async fn is_seen_again(&self, claim: &str) {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let posture = self.service.json("/v1/posture").await;
            let found = posture["claims"].as_array().unwrap().iter().find(|found| found["id"] == claim).unwrap();
            if found["status"] == "passed" && !found["observed"].as_str().unwrap().contains("cannot be looked at") {
                return;
            }
            assert!(Instant::now() < deadline, "{found}\n{}", self.service.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn fault_at_kms_that_passes_changes_nothing() {
    let watched = Watched::new().await;
    for fault in [
        answer(500, "KMSInternalException"),
        answer(400, "ThrottlingException"),
        Fault::HangUpBefore,
        Fault::HangUpAfter,
        Fault::Truncate(5),
    ] {
        println!("KMS once {fault:?}");
        for operation in ASKED {
            watched.proxy.inject(Rule::on(operation).first(1).does(fault.clone()));
        }
        let usable = watched.fresh("key_usable").await;
        assert_eq!(usable["status"], "passed", "{fault:?}: {usable}");
        assert!(watched.proxy.faults() > 0, "{fault:?} did not happen");
        let (_, ready) = watched.readiness().await;
        assert_eq!(ready["writes"], "ok", "{fault:?}: {ready}");
        watched.proxy.heal();
    }
    watched.takes_bytes().await;
    let log = watched.service.log();
    assert!(!log.contains("posture: cannot look") && !log.contains(" failed: was "), "{log}");
}

#[tokio::test]
async fn kms_that_is_away_refuses_nothing_and_is_told_once() {
    // All at once: each is a minute of waiting.
    let denied = async { Watched::new().await.goes_on_without(answer(400, "AccessDeniedException")).await };
    let failing = async { Watched::new().await.goes_on_without(answer(500, "KMSInternalException")).await };
    let hanging_up = async { Watched::new().await.goes_on_without(Fault::HangUpBefore).await };
    let silent = async { Watched::new().await.goes_on_without(Fault::BlackHole).await };
    futures::join!(denied, failing, hanging_up, silent);
}

#[tokio::test]
async fn kms_that_says_the_key_is_gone_refuses_new_bytes_until_it_says_otherwise() {
    let watched = Watched::new().await;
    let service = &watched.service;
    let draft = service.draft("hostile/kms", serde_json::json!({})).await;
    draft.put("m.bin", &bytes(1, 5000)).await;
    watched.proxy.inject(Rule::on("DescribeKey").answers(400, "NotFoundException", "a fault"));
    let usable = watched.fresh("key_usable").await;
    assert_eq!((&usable["status"], &usable["observed"]), (&"failed".into(), &"there is no such key".into()));
    assert_eq!(told(service.upload("hostile/kms", "m.bin", b"new").await).await, refused(503, "writes_refused"));
    assert_eq!(told(draft.publish(serde_json::json!({})).await).await, refused(503, "writes_refused"));
    let (status, ready) = watched.readiness().await;
    assert_eq!((status, &ready["writes"], &ready["posture"]), (StatusCode::OK, &"refused".into(), &"failed".into()));
    watched.gives_out(&1.into()).await;

    watched.proxy.heal();
    watched.is_seen_again("key_usable").await;
    assert_eq!(draft.published().await["number"], 2);
    watched.takes_bytes().await;
}
