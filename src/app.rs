//! The only place that builds things: configuration, clients, bucket, store, catalog, registry, router.

pub mod access;
pub mod audit;
mod aws;
mod back_end;
pub mod bucket;
mod credentials;
mod data_dir;
pub mod desired;
mod intact;
mod look;
mod maintenance;
mod oidc;
pub mod rebuild;
mod secure;
pub mod sweep;
mod tools;
pub mod verify;
mod watch;

pub use back_end::{BackEndError, Outputs};
pub use data_dir::DataDirError;
pub use oidc::{OidcError, issuers};
pub use secure::SecureError;
pub use tools::ToolError;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::back_end::BackEnd;
use self::data_dir::DataDir;
use self::look::Looker;
use self::watch::Watch;
use crate::access::oidc::{Issuers, Windows};
use crate::access::{Authenticator, BootstrapError, Policies, PoliciesError, Seal, admin_token};
use crate::catalog::{self, Catalog};
use crate::config::{self, Config, Limits};
use crate::door::{Counts, Door, Tls, TlsError};
use crate::http;
use crate::provision::{ClaimId, Mode, Status};
use crate::registry::{self, Registry};
use crate::store::MemoryBudget;

/// How long uploads may take to end, or to remove what they left, after the last connection is closed.
const DRAIN: Duration = Duration::from_secs(30);

/// Why the service did not start; the message tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The object store or KMS.
    #[error(transparent)]
    BackEnd(#[from] BackEndError),
    /// The bucket could not be secured.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// The catalog.
    #[error("the catalog cannot be used")]
    Catalog(#[from] catalog::Error),
    /// A rebuild was not through.
    #[error("the catalog is half rebuilt: run `strongroom rebuild` again, it begins anew")]
    HalfRebuilt,
    /// The operator's policies.
    #[error(transparent)]
    Policies(#[from] PoliciesError),
    /// The first token.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// An identity provider.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The crypto library.
    #[error("the crypto library gives no random key, or has no AES-256-GCM")]
    Seal,
    /// What a crash left could not be ended.
    #[error("could not end what the last run left")]
    Recover(#[source] registry::Error),
    /// The API's own TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {address}; another program may use it, --listen takes another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address that was taken is not known.
    #[error("the HTTP server failed")]
    Serve(#[source] std::io::Error),
}

/// What the settings name, read from its files.
struct Files {
    policies: Policies,
    issuers: Issuers,
    tls: Option<Tls>,
}

impl Files {
    async fn read(config: &Config) -> Result<Self, StartError> {
        let policies = access::policies(config.policies_dir.as_deref())?;
        let issuers = issuers(&config.oidc, Windows::default())?;
        let tls = match config.door.tls.clone() {
            Some(files) => Some(Tls::open(files).await?),
            None => None,
        };
        Ok(Self { policies, issuers, tls })
    }
}

/// Reads the files that the settings name, as a start would, and touches nothing.
///
/// # Errors
/// [`StartError`] says what is wrong with one of them.
pub async fn check_files(config: &Config) -> Result<(), StartError> {
    Files::read(config).await.map(drop)
}

/// A service that is ready to answer.
#[derive(Debug)]
pub struct Service {
    /// Where the API listens.
    pub address: SocketAddr,
    /// Where things are.
    pub outputs: Outputs,
    /// What provisioning changed, for the operator.
    pub changes: Vec<String>,
    /// Claims that did not pass, for the operator.
    pub remarks: Vec<String>,
    /// The admin token's file, when this start made it.
    pub new_admin_token: Option<PathBuf>,
    listener: TcpListener,
    tls: Option<Tls>,
    door: config::Door,
    limits: Limits,
    registry: Registry,
    catalog: Catalog,
    back_end: BackEnd,
    stop: CancellationToken,
    journal: JoinHandle<()>,
    data_dir: DataDir,
}

impl Service {
    /// Secures the bucket and opens everything; answers from [`Self::run`] on.
    ///
    /// # Errors
    /// [`StartError`]; no bytes were taken.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        // Before anything is touched: with a wrong policy nobody knows who may do what.
        let Files { policies, issuers, tls } = Files::read(config).await?;
        let data_dir = DataDir::lock(&config.data_dir)?;
        // Taken first: a port in use should not cost the operator a provisioning run.
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen { address: config.listen, source })?;
        let address = listener.local_addr().map_err(StartError::Serve)?;
        let back_end = BackEnd::start(config, &data_dir).await?;
        let catalog = Catalog::open(&config.catalog_url()).await?;
        if catalog.is_half_rebuilt().await? {
            return Err(StartError::HalfRebuilt);
        }
        let budget = MemoryBudget::new(config.limits.upload_memory, config.limits.memory_wait);
        let secured = secure::secure(config, &back_end, &catalog, budget).await?;
        let vault = {
            let outputs = &secured.outputs;
            catalog.vault(&outputs.bucket, &outputs.region, outputs.key_arn.as_str()).await?
        };
        let made_token = admin_token(&catalog, data_dir.path()).await?;
        let sweeps = registry::Sweeps::default();
        let key = catalog.cursor_key(Seal::new_key().ok_or(StartError::Seal)?).await?;
        let seal = Seal::new(&key).ok_or(StartError::Seal)?;
        let registry = Registry::new(registry::Parts {
            authenticator: Authenticator::new(catalog.clone(), policies, issuers),
            catalog: catalog.clone(),
            store: secured.store.clone(),
            vault,
            posture: secured.posture.clone(),
            limits: config.limits,
            outputs: secured.outputs.clone(),
            sweeps: sweeps.clone(),
            seal,
        });
        let recovered = registry.recover().await.map_err(StartError::Recover)?;
        if recovered != registry::Recovered::default() {
            tracing::info!(?recovered, "ended what the last run left");
        }
        let stop = CancellationToken::new();
        let sweeping_store = secured.store.clone();
        let looker = (config.provision != Mode::Off).then(|| {
            let ours = secured.posture.status_of(ClaimId::BucketOurs) == Some(Status::Passed);
            let catalog = Some((catalog.clone(), vault));
            let (clients, wanted) = (back_end.serving_clients(), back_end.wanted(config));
            let looker = Looker::new(clients, wanted, secured.spec.clone(), secured.store.clone(), catalog);
            looker.after_start(secured.looked, ours)
        });
        let watch = Watch {
            posture: secured.posture,
            catalog: catalog.clone(),
            store: secured.store,
            spec: secured.spec,
            clients: back_end.serving_clients(),
            every: config.watch,
            state: watch::State::default(),
        };
        let journal = maintenance::spawn(registry.clone(), watch, looker, config.audit_head, stop.clone());
        if let Some(every) = config.sweeping.every {
            let sweeper = registry::Sweeper::new(catalog.clone(), sweeping_store);
            let sweeping = sweep::again_and_again(sweeper, sweep::options(config), every, sweeps);
            tokio::spawn(stop.clone().run_until_cancelled_owned(sweeping));
        }
        registry.begin_verifying(&stop);
        Ok(Self {
            address,
            outputs: secured.outputs,
            changes: secured.changes,
            remarks: secured.remarks,
            new_admin_token: made_token.then(|| data_dir.admin_token()),
            listener,
            tls,
            door: config.door.clone(),
            limits: config.limits,
            registry,
            catalog,
            back_end,
            stop,
            journal,
            data_dir,
        })
    }

    /// Answers until `end` is ready, then finishes what was begun within the grace period.
    pub async fn run(self, end: impl Future<Output = ()> + Send + 'static) {
        let counts = Arc::new(Counts::default());
        let ending = CancellationToken::new();
        let entrance = http::Entrance {
            door: self.door.clone(),
            body_idle: self.limits.body_idle,
            min_upload_rate: self.limits.min_upload_rate,
            connections: Arc::clone(&counts),
            ending: ending.clone(),
        };
        let (router, _) = http::api(self.registry.clone(), entrance);
        let told = ending.clone();
        tokio::spawn(async move {
            end.await;
            told.cancel();
        });
        let door = Door {
            listener: self.listener,
            router,
            limits: self.door.connections,
            tls: self.tls,
            exempt: self.door.trusted_proxies,
            counts,
            ending,
        };
        door.serve().await;
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.registry.drain()).await.is_err() {
            tracing::warn!("uploads did not end in time; the next start removes what they left");
        }
        maintenance::end_journal(&self.registry, self.journal).await;
        self.catalog.close().await;
        self.back_end.stop().await;
        drop(self.data_dir);
    }
}

/// The embedded S3 and KMS without the service.
#[derive(Debug)]
pub struct Embedded {
    /// `http://…`, for both.
    pub endpoint: String,
    /// The region to sign for.
    pub region: String,
    /// The file with the administrator's credentials.
    pub credentials: PathBuf,
    back_end: BackEnd,
    data_dir: DataDir,
}

impl Embedded {
    /// Takes the data directory and starts the endpoint; nothing is provisioned.
    ///
    /// # Errors
    /// [`StartError`], also when the storage is not the embedded one.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let data_dir = DataDir::lock(&config.data_dir)?;
        let back_end = BackEnd::start(config, &data_dir).await?;
        let (endpoint, region) = back_end.embedded_endpoint().ok_or(BackEndError::NotEmbedded)?;
        let credentials = DataDir::embedded(&config.data_dir).join("credentials.json");
        Ok(Self { endpoint, region, credentials, back_end, data_dir })
    }

    /// Ends it, after the requests that have begun.
    pub async fn stop(self) {
        self.back_end.stop().await;
        drop(self.data_dir);
    }
}
