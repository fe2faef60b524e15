//! The object store and KMS: inside this process, in a running server, or elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aws_config::Region;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use embedded_aws::EmbeddedAws;

use super::aws::{self, Common};
use super::data_dir::{self, DataDir, DataDirError};
use crate::config::{Config, Storage};
pub use crate::provision::Outputs;
use crate::provision::{self, BackEnd as Kind, Bare, Clients, KeyWish, Mode, Patience, ProvisionError, Wanted};
use crate::store::Reach;

/// Why there is no object store to talk to.
#[derive(Debug, thiserror::Error)]
pub enum BackEndError {
    /// The embedded store.
    #[error("the embedded store did not start{}", hint(.0))]
    Embedded(#[source] Box<embedded_aws::StartError>),
    /// Its credentials.
    #[error("the credentials of the embedded store cannot be read")]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The identity that the service is to use.
    #[error("embedded_identity cannot be used: it must be the access key of one of identities_file")]
    Identity(#[source] Box<embedded_aws::IdentityError>),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A certificate file.
    #[error("cannot read the certificates in {}", path.display())]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificates.
    #[error("the certificates to trust cannot be used")]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A command for the embedded store.
    #[error("the storage is not the embedded one: its S3 and KMS run elsewhere")]
    NotEmbedded,
    /// No region.
    #[error("no AWS region is set: set AWS_REGION")]
    Region,
    /// No credentials.
    #[error("no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role")]
    NoCredentials,
    /// Provisioning.
    #[error("the bucket's key was not found")]
    Provision(#[source] Box<ProvisionError>),
}

/// The object store and KMS, and how to talk to them.
#[derive(Debug)]
pub(super) struct BackEnd {
    embedded: Option<EmbeddedAws>,
    pub(super) common: Common,
    provisioning: Common,
    pub(super) direct: SharedHttpConnector,
    kind: Kind,
    /// Whether clients of ours may be on another machine and still reach the endpoint.
    public: Public,
}

#[derive(Debug)]
enum Public {
    Aws,
    At(String),
    Loopback(u16),
    No,
}

/// How long a look at a bucket that is in use waits for a throttled answer; the next look comes soon.
const LOOKING: Patience = Patience::of(Duration::from_secs(20));

/// How long a command waits for others that have the embedded store, each for a moment.
const TAKING: Duration = Duration::from_mins(1);
const TAKING_PAUSE: Duration = Duration::from_millis(200);

pub(super) const EMBEDDED_REGION: &str = "us-east-1";
/// Who the credentials of the embedded store are.
const EMBEDDED_ADMINISTRATOR: &str = "arn:aws:iam::000000000000:root";

impl BackEnd {
    /// Starts or reaches the back end for a service that holds the data directory.
    pub(super) async fn start(config: &Config, data_dir: &DataDir) -> Result<Self, BackEndError> {
        match &config.storage {
            Storage::Embedded { listen, .. } => {
                let started = Self::start_embedded(config, *listen).await?;
                if let Some(endpoint) = &started.common.s3_endpoint {
                    data_dir.record_endpoint(endpoint)?;
                }
                Ok(started)
            }
            Storage::S3 { .. } => Self::elsewhere(config).await,
        }
    }

    /// For a command beside the service: with a running server its endpoint is used, else one is started.
    ///
    /// The data directory stays locked for as long as the second value lives, when this process started the endpoint.
    /// Commands take turns: each that has the directory is waited for, for up to a minute.
    pub(super) async fn reach(config: &Config) -> Result<(Self, Option<DataDir>), BackEndError> {
        if matches!(config.storage, Storage::S3 { .. }) {
            return Ok((Self::elsewhere(config).await?, None));
        }
        let deadline = Instant::now() + TAKING;
        loop {
            let refused = match DataDir::lock(&config.data_dir) {
                // Nobody else is told of the endpoint, so that any port will do.
                Ok(data_dir) => {
                    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    return Ok((Self::start_embedded(config, listen).await?, Some(data_dir)));
                }
                Err(refused) => refused,
            };
            if let Some(endpoint) = data_dir::answering_endpoint(&config.data_dir).await {
                let credentials = embedded_aws::Credentials::read(&DataDir::embedded(&config.data_dir))
                    .map_err(|error| BackEndError::Credentials(error.into()))?;
                return Ok((Self::embedded(config, None, &endpoint, &credentials)?, None));
            }
            if !matches!(refused, DataDirError::InUse(_)) || Instant::now() >= deadline {
                return Err(refused.into());
            }
            tokio::time::sleep(TAKING_PAUSE).await;
        }
    }

    /// For a command that has the data directory to itself for as long as it runs: no server is reached.
    pub(super) async fn alone(config: &Config) -> Result<Self, BackEndError> {
        match &config.storage {
            // Nobody else is told of the endpoint, so that any port will do.
            Storage::Embedded { .. } => Self::start_embedded(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await,
            Storage::S3 { .. } => Self::elsewhere(config).await,
        }
    }

    async fn start_embedded(config: &Config, listen: SocketAddr) -> Result<Self, BackEndError> {
        let mut settings = embedded_aws::Config::new(DataDir::embedded(&config.data_dir));
        EMBEDDED_REGION.clone_into(&mut settings.region);
        settings.listen = listen;
        if let Storage::Embedded { root_key_file, identities_file, .. } = &config.storage {
            settings.root_key_file.clone_from(root_key_file);
            settings.identities_file.clone_from(identities_file);
        }
        let embedded = EmbeddedAws::start(settings).await.map_err(|error| BackEndError::Embedded(Box::new(error)))?;
        let endpoint = format!("http://{}", embedded.addr());
        let credentials = embedded.credentials().clone();
        Self::embedded(config, Some(embedded), &endpoint, &credentials)
    }

    /// Provisioning is done by the administrator, also when the service itself has an identity of its own.
    fn embedded(
        config: &Config,
        embedded: Option<EmbeddedAws>,
        endpoint: &str,
        administrator: &embedded_aws::Credentials,
    ) -> Result<Self, BackEndError> {
        let (http, direct) = aws::http_client(None)?;
        let port = endpoint.rsplit(':').next().and_then(|port| port.parse().ok());
        let keys = |pair: &embedded_aws::Credentials| {
            let keys = Credentials::new(pair.access_key(), pair.secret_key(), None, None, "embedded");
            SharedCredentialsProvider::new(keys)
        };
        let provisioning = Common {
            region: EMBEDDED_REGION.to_owned(),
            credentials: keys(administrator),
            http,
            s3_endpoint: Some(endpoint.to_owned()),
            kms_endpoint: Some(endpoint.to_owned()),
            patience: config.storage_timeout,
        };
        let mut common = provisioning.clone();
        if let Storage::Embedded { identity: Some(access_key), identities_file: Some(file), .. } = &config.storage {
            let own = embedded_aws::Credentials::of(file, access_key);
            common.credentials = keys(&own.map_err(|error| BackEndError::Identity(Box::new(error)))?);
        }
        let public = port.map_or(Public::No, Public::Loopback);
        Ok(Self { embedded, provisioning, common, direct, kind: Kind::Embedded, public })
    }

    async fn elsewhere(config: &Config) -> Result<Self, BackEndError> {
        let Storage::S3 { endpoint, public_endpoint, kms_endpoint, ca_file, provision_role_arn } = &config.storage
        else {
            return Err(BackEndError::NoCredentials);
        };
        let (http, direct) = aws::http_client(ca_file.as_deref())?;
        let sdk = aws_config::defaults(aws::behavior()).http_client(http.clone()).load().await;
        let region = sdk.region().ok_or(BackEndError::Region)?.to_string();
        let common = Common {
            region: region.clone(),
            credentials: sdk.credentials_provider().ok_or(BackEndError::NoCredentials)?,
            http,
            s3_endpoint: endpoint.clone(),
            kms_endpoint: kms_endpoint.clone(),
            patience: config.storage_timeout,
        };
        let mut provisioning = common.clone();
        if let Some(role) = provision_role_arn {
            let assumed = AssumeRoleProvider::builder(role)
                .session_name("strongroom-provision")
                .region(Region::new(region))
                .configure(&sdk)
                .build()
                .await;
            provisioning.credentials = SharedCredentialsProvider::new(assumed);
        }
        let kind = kind_of(endpoint.as_deref(), kms_endpoint.as_deref());
        let public = match (public_endpoint, endpoint) {
            (Some(url), _) => Public::At(url.clone()),
            (None, None) => Public::Aws,
            (None, Some(_)) => Public::No,
        };
        Ok(Self { embedded: None, common, provisioning, direct, kind, public })
    }

    /// Endpoint and region of the store inside this process.
    pub(super) fn embedded_endpoint(&self) -> Option<(String, String)> {
        self.embedded.as_ref()?;
        Some((self.common.s3_endpoint.clone()?, self.common.region.clone()))
    }

    /// What the bucket is to be.
    pub(super) fn wanted(&self, config: &Config) -> Wanted {
        wanted(config, self.kind, self.common.region.clone(), self.common.s3_endpoint.as_deref())
    }

    pub(super) fn provisioning_clients(&self) -> Clients {
        Clients {
            s3: self.provisioning.control_client(),
            kms: self.provisioning.kms_client(),
            anonymous: Some(self.provisioning.anonymous_client()),
            bare: Some(self.bare(&self.provisioning)),
            patience: Patience::default(),
        }
    }

    /// What the service itself sees and may do, with the role that serves: for the watch, and for the writes that must
    /// be refused, which prove nothing when IAM alone refuses them.
    pub(super) fn serving_clients(&self) -> Clients {
        Clients {
            s3: self.common.control_client(),
            kms: self.common.kms_client(),
            anonymous: Some(self.common.anonymous_client()),
            bare: Some(self.bare(&self.common)),
            patience: LOOKING,
        }
    }

    fn bare(&self, common: &Common) -> Bare {
        Bare { connector: self.direct.clone(), credentials: common.credentials.clone() }
    }

    pub(super) fn reach_of_clients(&self) -> Reach {
        match &self.public {
            Public::Aws => Reach::Everyone(self.common.signing_client(None)),
            Public::At(url) => Reach::Everyone(self.common.signing_client(Some(url))),
            Public::Loopback(port) => Reach::Loopback {
                by_address: self.common.signing_client(Some(&format!("http://127.0.0.1:{port}"))),
                by_name: self.common.signing_client(Some(&format!("http://localhost:{port}"))),
            },
            Public::No => Reach::Nobody,
        }
    }

    pub(super) async fn outputs(&self, config: &Config) -> Result<Outputs, BackEndError> {
        let provisioned = provision::provision(&self.provisioning_clients(), &self.wanted(config), Mode::Off).await;
        provisioned.map(|done| done.outputs).map_err(|error| BackEndError::Provision(Box::new(error)))
    }

    pub(super) async fn stop(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// What to do about an embedded store that did not start.
fn hint(error: &embedded_aws::StartError) -> &'static str {
    match error {
        embedded_aws::StartError::Listen { .. } => " (--embedded-listen takes another address, if its port is in use)",
        _ => ": it must be able to write its files, also for a command that only looks, unless a server runs",
    }
}

/// The kind of an S3 that is not embedded.
pub(super) fn kind_of(s3_endpoint: Option<&str>, kms_endpoint: Option<&str>) -> Kind {
    if s3_endpoint.is_none() && kms_endpoint.is_none() { Kind::Aws } else { Kind::Compatible }
}

/// What the bucket is to be, as configured.
pub(super) fn wanted(config: &Config, kind: Kind, region: String, s3_endpoint: Option<&str>) -> Wanted {
    let mut wanted = Wanted::new(config.bucket.clone(), region, kind);
    if let Some(arn) = &config.kms_key_arn {
        wanted.key = KeyWish::Brought(arn.clone());
    }
    wanted.runtime_principals.clone_from(&config.runtime_principals);
    wanted.profile = config.secured.profile.unwrap_or(wanted.profile);
    wanted.administrators.clone_from(&config.secured.administrators);
    if let Storage::S3 { provision_role_arn: Some(role), .. } = &config.storage
        && !wanted.administrators.is_empty()
    {
        wanted.administrators.push(role.clone());
    }
    // It provisions, and no perimeter may keep it out.
    if kind == Kind::Embedded && !wanted.administrators.iter().any(|arn| arn == EMBEDDED_ADMINISTRATOR) {
        wanted.administrators.push(EMBEDDED_ADMINISTRATOR.to_owned());
    }
    wanted.rotation_days = config.secured.rotation_days;
    wanted.options.clone_from(&config.secured.options);
    wanted.max_url_life = config.limits.max_download_url_life;
    // No network is crossed on loopback of the embedded store.
    wanted.secure_transport = kind == Kind::Embedded || s3_endpoint.is_none_or(|url| url.starts_with("https://"));
    wanted
}
