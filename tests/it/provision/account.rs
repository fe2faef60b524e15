//! An AWS account on loopback, and a process that dies in the middle of setting it up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_kms::types::KeyState;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use embedded_aws::EmbeddedAws;
use strongroom::provision::{self, Bare, Clients, KeyWish, Mode, Patience, ProvisionError, Provisioned, Wanted};
use tempfile::TempDir;

use super::REGION;

/// An account of its own: the embedded endpoint in a directory that ends with it.
pub(super) struct Account {
    endpoint: String,
    region: String,
    keys: Credentials,
    _server: EmbeddedAws,
    _dir: TempDir,
}

/// A process that dies at one of its changes.
#[derive(Debug, Clone)]
pub(super) struct Death {
    /// Changes that still go through.
    left: Arc<AtomicUsize>,
    /// From then on nothing is sent at all.
    dead: Arc<AtomicBool>,
    /// Whether the fatal change reaches the server, and only its answer is lost.
    after_sending: bool,
}

impl Account {
    pub(super) async fn new() -> Self {
        Self::in_region(REGION).await
    }

    pub(super) async fn in_region(region: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = embedded_aws::Config::new(dir.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        region.clone_into(&mut config.region);
        let server = EmbeddedAws::start(config).await.unwrap();
        let pair = server.credentials();
        let keys = Credentials::new(pair.access_key(), pair.secret_key(), None, None, "test");
        let (endpoint, region) = (format!("http://{}", server.addr()), region.to_owned());
        Self { endpoint, region, keys, _server: server, _dir: dir }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn clients(&self) -> Clients {
        self.clients_that(None)
    }

    pub(super) fn clients_that(&self, die: Option<Death>) -> Clients {
        let (mut s3, mut kms) = self.configurations(&self.endpoint);
        s3 = s3.retry_config(RetryConfig::disabled());
        kms = kms.retry_config(RetryConfig::disabled());
        if let Some(death) = die {
            s3 = s3.interceptor(death.clone());
            kms = kms.interceptor(death);
        }
        self.clients_at(&self.endpoint, s3, kms, Patience::default())
    }

    /// Clients of another endpoint that leads here; they retry as the service's do, and give up a call after five seconds.
    pub(super) fn clients_through(&self, endpoint: &str, patience: Patience) -> Clients {
        let retry = RetryConfig::standard().with_initial_backoff(Duration::from_millis(10));
        let limits = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(5))
            .build();
        let (s3, kms) = self.configurations(endpoint);
        self.clients_at(
            endpoint,
            s3.retry_config(retry.clone()).timeout_config(limits.clone()),
            kms.retry_config(retry).timeout_config(limits),
            patience,
        )
    }

    /// Plain HTTP: a client for TLS would read every certificate that this machine trusts.
    fn configurations(&self, endpoint: &str) -> (aws_sdk_s3::config::Builder, aws_sdk_kms::config::Builder) {
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .http_client(Builder::new().build_http())
            .credentials_provider(self.keys.clone());
        let kms = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Builder::new().build_http())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .credentials_provider(self.keys.clone());
        (s3, kms)
    }

    fn clients_at(
        &self,
        endpoint: &str,
        s3: aws_sdk_s3::config::Builder,
        kms: aws_sdk_kms::config::Builder,
        patience: Patience,
    ) -> Clients {
        // Made from nothing: a copy of the other would keep its credentials.
        let anonymous = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .http_client(Builder::new().build_http())
            .allow_no_auth();
        let connector = SharedHttpConnector::new(Connector::builder().build_http());
        Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
            anonymous: Some(aws_sdk_s3::Client::from_conf(anonymous.build())),
            bare: Some(Bare { connector, credentials: SharedCredentialsProvider::new(self.keys.clone()) }),
            patience,
        }
    }

    pub(super) async fn provision(&self, wanted: &Wanted, mode: Mode) -> Result<Provisioned, ProvisionError> {
        provision::provision(&self.clients(), wanted, mode).await
    }

    /// The keys that carry the alias of a bucket in their tags, by state.
    pub(super) async fn keys_made_for(&self, wanted: &Wanted) -> BTreeMap<String, KeyState> {
        let KeyWish::Alias(alias) = &wanted.key else { panic!("a key of our own") };
        let kms = self.clients().kms;
        let mut found = BTreeMap::new();
        let mut pages = kms.list_keys().into_paginator().send();
        while let Some(page) = pages.next().await {
            for key in page.unwrap().keys() {
                let id = key.key_id().unwrap();
                let tags = kms.list_resource_tags().key_id(id).send().await.unwrap();
                if tags.tags().iter().any(|tag| tag.tag_value() == alias) {
                    let described = kms.describe_key().key_id(id).send().await.unwrap();
                    let state = described.key_metadata().unwrap().key_state().unwrap().clone();
                    found.insert(key.key_arn().unwrap().to_owned(), state);
                }
            }
        }
        found
    }
}

impl Death {
    pub(super) fn after(changes: usize, after_sending: bool) -> Self {
        Self { left: Arc::new(AtomicUsize::new(changes)), dead: Arc::default(), after_sending }
    }

    /// Kills the process when this request is one change too many.
    fn before(&self, request: &HttpRequest) -> Result<(), BoxError> {
        self.answer()?;
        let reads = match request.headers().get("x-amz-target") {
            Some(target) => ["Describe", "List", "Get"].iter().any(|verb| target.contains(&format!(".{verb}"))),
            None => matches!(request.method(), "GET" | "HEAD"),
        };
        if !reads {
            match self.left.load(Ordering::SeqCst) {
                0 => self.dead.store(true, Ordering::SeqCst),
                left => self.left.store(left - 1, Ordering::SeqCst),
            }
        }
        if self.after_sending { Ok(()) } else { self.answer() }
    }

    fn answer(&self) -> Result<(), BoxError> {
        if self.dead.load(Ordering::SeqCst) { Err("the process is dead".into()) } else { Ok(()) }
    }
}

impl Intercept for Death {
    fn name(&self) -> &'static str {
        "Death"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.before(context.request())
    }

    fn read_after_transmit(
        &self,
        _: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.answer()
    }
}
