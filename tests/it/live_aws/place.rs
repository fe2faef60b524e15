//! Where the questions are asked: an account, a bucket's name that nobody has, and the broom.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use embedded_aws::EmbeddedAws;
use strongroom::provision::check::Bare;
use strongroom::provision::{BackEnd, Clients, Patience, Wanted};
use tempfile::TempDir;

use crate::support::process::source;

const EMBEDDED_REGION: &str = "us-east-1";
/// The shortest that KMS allows.
const DELETION_DAYS: i32 = 7;
/// Rounds of removing what is listed; each takes up to a thousand versions.
const ROUNDS: usize = 20;

/// An account to ask in.
pub(super) struct Place {
    pub(super) clients: Clients,
    pub(super) http: reqwest::Client,
    pub(super) region: String,
    pub(super) bucket: String,
    pub(super) live: bool,
    back_end: BackEnd,
    _server: Option<(EmbeddedAws, TempDir)>,
}

impl Place {
    pub(super) async fn embedded() -> Self {
        let dir = TempDir::new().unwrap();
        let identities = dir.path().join("identities.json");
        let identity = serde_json::json!([{
            "access_key": "LIVE",
            "secret_key": "a-long-secret",
            "arn": "arn:aws:iam::000000000000:user/live",
            "actions": documented_actions(),
        }]);
        std::fs::write(&identities, identity.to_string()).unwrap();
        std::fs::set_permissions(&identities, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = embedded_aws::Config::new(dir.path().join("store"));
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.identities_file = Some(identities);
        EMBEDDED_REGION.clone_into(&mut config.region);
        let server = EmbeddedAws::start(config).await.unwrap();
        let keys = Credentials::new("LIVE", "a-long-secret", None, None, "test");
        let endpoint = format!("http://{}", server.addr());
        Self {
            clients: clients(EMBEDDED_REGION, &SharedCredentialsProvider::new(keys), Some(&endpoint)),
            _server: Some((server, dir)),
            ..Self::at(EMBEDDED_REGION, BackEnd::Embedded)
        }
    }

    /// The account of the credentials that every AWS program would find here.
    pub(super) async fn aws() -> Self {
        let sdk = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let region = sdk.region().expect("AWS_REGION is needed").to_string();
        let keys = sdk.credentials_provider().expect("AWS credentials are needed");
        Self { clients: clients(&region, &keys, None), live: true, ..Self::at(&region, BackEnd::Aws) }
    }

    fn at(region: &str, back_end: BackEnd) -> Self {
        let nobody = SharedCredentialsProvider::new(Credentials::new("", "", None, None, "replaced"));
        Self {
            clients: clients(region, &nobody, None),
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap(),
            region: region.to_owned(),
            bucket: format!("strongroom-live-{}", ulid::Ulid::generate().to_string().to_ascii_lowercase()),
            live: false,
            back_end,
            _server: None,
        }
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted::new(&self.bucket, &self.region, self.back_end)
    }

    /// Waits until a policy that was just put is in force everywhere.
    pub(super) async fn settle(&self) {
        if self.live {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }

    /// How long an expected answer may take to come.
    pub(super) fn settling(&self) -> Duration {
        if self.live { Duration::from_mins(1) } else { Duration::ZERO }
    }

    /// A key that is not the bucket's.
    pub(super) async fn another_key(&self) -> String {
        let tag =
            aws_sdk_kms::types::Tag::builder().tag_key("strongroom-live").tag_value(&self.bucket).build().unwrap();
        let made = self.clients.kms.create_key().description("strongroom live test").tags(tag).send().await.unwrap();
        made.key_metadata().unwrap().arn().unwrap().to_owned()
    }

    /// Removes everything that was made here, as far as it goes, and says what is left.
    pub(super) async fn leave(&self) -> Vec<String> {
        // What was made a moment ago is listed after a while.
        self.settle().await;
        let mut left = Vec::new();
        if let Err(error) = self.remove_bucket().await {
            left.push(format!("bucket {}: {error}", self.bucket));
        }
        for key in self.keys().await.unwrap_or_else(|error| {
            left.push(format!("keys tagged with {}: {error}", self.bucket));
            BTreeSet::new()
        }) {
            if let Err(error) = self.end_key(&key).await {
                left.push(format!("key {key}: {error}"));
            }
        }
        left
    }

    async fn remove_bucket(&self) -> Result<(), String> {
        let s3 = &self.clients.s3;
        let bucket = &self.bucket;
        if let Err(error) = s3.head_bucket().bucket(bucket).send().await {
            let absent = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404);
            return if absent { Ok(()) } else { Err(told(&error)) };
        }
        // Whatever its policy was left at, it must let the broom in.
        s3.delete_bucket_policy().bucket(bucket).send().await.map_err(|error| told(&error))?;
        let uploads = s3.list_multipart_uploads().bucket(bucket).send().await.map_err(|error| told(&error))?;
        for upload in uploads.uploads() {
            let abort = s3.abort_multipart_upload().bucket(bucket);
            let abort =
                abort.set_key(upload.key().map(str::to_owned)).set_upload_id(upload.upload_id().map(str::to_owned));
            abort.send().await.map_err(|error| told(&error))?;
        }
        for _ in 0..ROUNDS {
            let listed = s3.list_object_versions().bucket(bucket).send().await.map_err(|error| told(&error))?;
            let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            let all: Vec<_> = versions.chain(markers).collect();
            if all.is_empty() {
                break;
            }
            for (key, version) in all {
                let delete = s3.delete_object().bucket(bucket).set_key(key.map(str::to_owned));
                let delete = delete.set_version_id(version.map(str::to_owned));
                delete.send().await.map_err(|error| told(&error))?;
            }
        }
        s3.delete_bucket().bucket(bucket).send().await.map(drop).map_err(|error| told(&error))
    }

    /// The keys that carry the bucket's name in their tags, or its alias.
    async fn keys(&self) -> Result<BTreeSet<String>, String> {
        let kms = &self.clients.kms;
        let alias = format!("alias/{}", self.bucket);
        let mut ours = BTreeSet::new();
        let mut pages = kms.list_keys().into_paginator().send();
        while let Some(page) = pages.next().await {
            for key in page.map_err(|error| told(&error))?.keys().iter().filter_map(|key| key.key_id()) {
                // Other keys of the account may be none of our business.
                let Ok(tags) = kms.list_resource_tags().key_id(key).send().await else { continue };
                if tags.tags().iter().any(|tag| tag.tag_value() == self.bucket || tag.tag_value() == alias) {
                    ours.insert(key.to_owned());
                }
            }
        }
        Ok(ours)
    }

    async fn end_key(&self, key: &str) -> Result<(), String> {
        let kms = &self.clients.kms;
        let described = kms.describe_key().key_id(key).send().await.map_err(|error| told(&error))?;
        if described.key_metadata().and_then(|key| key.deletion_date()).is_some() {
            return Ok(());
        }
        let aliases = kms.list_aliases().key_id(key).send().await.map_err(|error| told(&error))?;
        for name in aliases.aliases().iter().filter_map(|alias| alias.alias_name()) {
            kms.delete_alias().alias_name(name).send().await.map_err(|error| told(&error))?;
        }
        let end = kms.schedule_key_deletion().key_id(key).pending_window_in_days(DELETION_DAYS);
        end.send().await.map(drop).map_err(|error| told(&error))
    }
}

/// What docs/OPERATIONS.md asks the account for.
fn documented_actions() -> Vec<String> {
    let text = std::fs::read_to_string(source("docs/OPERATIONS.md")).unwrap();
    let (_, section) = text.split_once("## Trying real AWS").unwrap();
    let (_, policy) = section.split_once("```json").unwrap();
    let (policy, _) = policy.split_once("```").unwrap();
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// Status and code of an error that came as an answer, else what went wrong.
pub(super) fn told<E>(error: &aws_sdk_s3::error::SdkError<E, aws_smithy_runtime_api::http::Response>) -> String
where
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.raw_response() {
        Some(answer) => {
            let code = aws_sdk_s3::error::ProvideErrorMetadata::code(error).unwrap_or("without a code");
            format!("{} {code}", answer.status().as_u16())
        }
        None => aws_sdk_s3::error::DisplayErrorContext(error).to_string(),
    }
}

fn clients(region: &str, keys: &SharedCredentialsProvider, endpoint: Option<&str>) -> Clients {
    let limits = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_mins(1))
        .build();
    let s3 = || {
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .force_path_style(endpoint.is_some())
            .timeout_config(limits.clone());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        config
    };
    let mut kms = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .timeout_config(limits.clone())
        .credentials_provider(keys.clone());
    kms.set_endpoint_url(endpoint.map(str::to_owned));
    let trust = TlsContext::builder().with_trust_store(TrustStore::empty().with_native_roots(true)).build().unwrap();
    let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(trust).build();
    Clients {
        s3: aws_sdk_s3::Client::from_conf(s3().credentials_provider(keys.clone()).build()),
        kms: aws_sdk_kms::Client::from_conf(kms.build()),
        anonymous: Some(aws_sdk_s3::Client::from_conf(s3().allow_no_auth().build())),
        bare: Some(Bare { connector: SharedHttpConnector::new(connector), credentials: keys.clone() }),
        patience: Patience::default(),
    }
}
