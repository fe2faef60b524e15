//! The SDK's clients: time limits, connections, trust.

use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Region, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;

use super::BackEndError;
use crate::provision::journal::Listener;

/// Below the idle time of S3's own connections, so that no request goes into one that the other side has closed.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Defaults of the SDK are pinned: a new release must not change retries or time limits silently.
pub(super) fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// The region that the environment or the profile says; the machine itself is not asked, which takes a network.
pub(super) async fn configured_region() -> Option<String> {
    let said = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    said.or_else(ProfileFileRegionProvider::new()).region().await.map(|region| region.to_string())
}

/// What clients of one account and place have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) region: String,
    pub(super) credentials: SharedCredentialsProvider,
    pub(super) http: SharedHttpClient,
    pub(super) s3_endpoint: Option<String>,
    pub(super) kms_endpoint: Option<String>,
    /// How long S3 may take for a small request to the data.
    pub(super) patience: Duration,
}

/// Connections and the certificates that they trust.
pub(super) fn http_client(ca: Option<&Path>) -> Result<(SharedHttpClient, SharedHttpConnector), BackEndError> {
    let provider = || tls::Provider::Rustls(CryptoMode::AwsLc);
    let trust = trust(ca)?;
    let pooled =
        Builder::new().pool_idle_timeout(POOL_IDLE).tls_provider(provider()).tls_context(trust.clone()).build_https();
    let direct = Connector::builder().tls_provider(provider()).tls_context(trust).build();
    Ok((pooled, SharedHttpConnector::new(direct)))
}

fn trust(ca: Option<&Path>) -> Result<TlsContext, BackEndError> {
    let mut store = TrustStore::empty().with_native_roots(true);
    if let Some(path) = ca {
        let pem = std::fs::read(path).map_err(|source| BackEndError::CaFile { path: path.to_owned(), source })?;
        store = store.with_pem_certificate(pem);
    }
    TlsContext::builder().with_trust_store(store).build().map_err(|error| BackEndError::Trust(error.into()))
}

impl Common {
    /// For objects: bodies may take long, so their progress is guarded where they are read, not here.
    pub(super) fn data_client(&self) -> aws_sdk_s3::Client {
        // For small requests; the store states longer limits where bytes go in or S3 works by itself.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(self.patience)
            .operation_timeout(self.patience * 4)
            .build();
        let config = self
            .s3_config(self.s3_endpoint.as_deref())
            .timeout_config(timeouts)
            .interceptor(Listener)
            // A slow reader of a download is no fault of S3.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// For the settings of the bucket.
    pub(super) fn control_client(&self) -> aws_sdk_s3::Client {
        let config = self.s3_config(self.s3_endpoint.as_deref()).timeout_config(control_timeouts()).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Signs nothing: what anybody may do.
    pub(super) fn anonymous_client(&self) -> aws_sdk_s3::Client {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(behavior())
            .region(Region::new(self.region.clone()))
            .http_client(self.http.clone());
        config.set_endpoint_url(self.s3_endpoint.clone());
        let config = config
            .force_path_style(self.s3_endpoint.is_some())
            .timeout_config(control_timeouts())
            .allow_no_auth()
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Signs for this endpoint and never calls it.
    pub(super) fn signing_client(&self, endpoint: Option<&str>) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::from_conf(self.s3_config(endpoint).build())
    }

    pub(super) fn kms_client(&self) -> aws_sdk_kms::Client {
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(behavior())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone());
        config.set_endpoint_url(self.kms_endpoint.clone());
        let config = config.timeout_config(control_timeouts()).retry_config(RetryConfig::standard()).build();
        aws_sdk_kms::Client::from_conf(config)
    }

    fn s3_config(&self, endpoint: Option<&str>) -> aws_sdk_s3::config::Builder {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(behavior())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .force_path_style(endpoint.is_some())
            .retry_config(RetryConfig::standard());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config
    }
}

fn control_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(Duration::from_secs(15))
        .operation_timeout(Duration::from_mins(1))
        .build()
}
