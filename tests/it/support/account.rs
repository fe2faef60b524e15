//! An empty AWS account on loopback: the embedded endpoint in a directory that ends with it.

use std::path::Path;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use embedded_aws::EmbeddedAws;
use serde_json::Value;
use strongroom::provision::{Clients, Patience};
use tempfile::TempDir;

pub(crate) const REGION: &str = "us-east-1";

/// The account.
pub(crate) struct Account {
    /// Of its administrator.
    pub(crate) clients: Clients,
    endpoint: String,
    server: EmbeddedAws,
    _dir: TempDir,
}

impl Account {
    /// One with these further identities, if any.
    pub(crate) async fn new(identities: Option<&Path>) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = embedded_aws::Config::new(dir.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        REGION.clone_into(&mut config.region);
        config.identities_file = identities.map(Path::to_owned);
        let server = EmbeddedAws::start(config).await.unwrap();
        let endpoint = format!("http://{}", server.addr());
        let pair = server.credentials();
        let clients = clients(&endpoint, pair.access_key(), pair.secret_key());
        Self { clients, endpoint, server, _dir: dir }
    }

    /// Those of its administrator.
    pub(crate) fn credentials(&self) -> Credentials {
        let pair = self.server.credentials();
        Credentials::new(pair.access_key(), pair.secret_key(), None, None, "test")
    }

    /// Where S3 and KMS are.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The variables that make a service its administrator.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let pair = self.server.credentials();
        vec![
            ("AWS_ACCESS_KEY_ID", pair.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", pair.secret_key().to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Clients of one of the further identities.
    pub(crate) fn clients_of(&self, access_key: &str, secret_key: &str) -> Clients {
        clients(&self.endpoint, access_key, secret_key)
    }
}

/// Clients of the administrator of a service's embedded endpoint, found in its data directory.
pub(crate) fn administrator(data_dir: &Path) -> Clients {
    let (endpoint, access_key, secret_key) = administrator_of(data_dir);
    clients(&endpoint, &access_key, &secret_key)
}

/// Where a service's embedded endpoint is, and the access key and the secret key of its administrator.
pub(crate) fn administrator_of(data_dir: &Path) -> (String, String, String) {
    let read = |path: &str, name: &str| {
        let value: Value = serde_json::from_slice(&std::fs::read(data_dir.join(path)).unwrap()).unwrap();
        value[name].as_str().unwrap().to_owned()
    };
    let pair = "embedded/credentials.json";
    (read("endpoint.json", "endpoint"), read(pair, "access_key"), read(pair, "secret_key"))
}

/// Clients of an embedded endpoint.
pub(crate) fn clients(endpoint: &str, access_key: &str, secret_key: &str) -> Clients {
    let keys = Credentials::new(access_key, secret_key, None, None, "test");
    let s3 = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(keys.clone())
        .build();
    let kms = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(keys)
        .build();
    Clients {
        s3: aws_sdk_s3::Client::from_conf(s3),
        kms: aws_sdk_kms::Client::from_conf(kms),
        anonymous: None,
        bare: None,
        patience: Patience::default(),
    }
}
