//! The listener: one loopback port, KMS looked at first, everything else is S3.
//!
//! Plain HTTP on loopback counts as secure transport, because no network is crossed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use redb::Database;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::config::{Config, ConfigError};
use crate::identity::{Credentials, Identities, IdentityError};
use crate::kms::{self, Kms, OpenError};
use crate::payload::MAX_STALL;
use crate::root_key::{RootKey, RootKeyError};
use crate::s3::Store;
use crate::s3::access::Transport;
use crate::s3::protocol::S3;
use crate::stall::WriteTimeout;

/// How long requests in progress may take to end after [`EmbeddedAws::stop`].
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Records kept in memory, in bytes; redb's own default is 1 GiB.
const META_CACHE: usize = 32 * 1024 * 1024;
/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long a connection may be idle or take for the headers of a request: longer than clients keep theirs.
const MAX_HEADER_WAIT: Duration = Duration::from_mins(2);

/// A running endpoint. Dropped without [`stop`](Self::stop), it ends at once and cuts requests off.
#[derive(Debug)]
pub struct EmbeddedAws {
    address: SocketAddr,
    credentials: Credentials,
    stop: Option<oneshot::Sender<()>>,
    accepting: Option<JoinHandle<()>>,
    database: Option<Arc<Database>>,
    /// Held until everything else has ended.
    _lock: File,
}

/// Why the endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("{dir} is in use by another process; only one may open it at a time")]
    Locked { dir: PathBuf },
    #[error("{path} cannot be prepared")]
    Directory { path: PathBuf, source: io::Error },
    #[error("the callers' credentials cannot be loaded")]
    Identity(#[from] IdentityError),
    #[error("the root key cannot be loaded")]
    RootKey(#[from] RootKeyError),
    #[error("{dir} holds keys, but their root key file {path} is gone; put it back, a new one cannot replace it")]
    RootKeyLost { dir: PathBuf, path: PathBuf },
    #[error("the metadata database {path} cannot be opened")]
    Database { path: PathBuf, source: Box<redb::Error> },
    #[error("the KMS keys cannot be opened")]
    Kms(#[source] OpenError),
    #[error("the object store cannot be opened")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{address} cannot be listened on")]
    Listen { address: SocketAddr, source: io::Error },
}

/// What every request needs.
struct Services {
    kms: Kms,
    identities: Arc<Identities>,
    s3: S3,
}

impl EmbeddedAws {
    /// Opens the directory, recovers what a crash left, and listens.
    ///
    /// Returns when requests are answered. Needs a tokio runtime with time and I/O.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let listen = config.listen;
        let opening = tokio::task::spawn_blocking(move || open(&config));
        let opened = opening.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?;
        let Opened { services, credentials, database, lock } = opened;
        let failed = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let accepting = tokio::spawn(accept(listener, Arc::new(services), stopped));
        tracing::info!(%address, "embedded S3 and KMS are listening");
        Ok(Self {
            address,
            credentials,
            stop: Some(stop),
            accepting: Some(accepting),
            database: Some(database),
            _lock: lock,
        })
    }

    /// Where it listens; the port that was taken when 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's pair, made at first start.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Accepts no more, lets requests in progress end for 5 seconds, cuts off the rest, and closes the files.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + STOP_LIMIT + Duration::from_secs(1);
        if let Some(stop) = self.stop.take() {
            // The other end is gone only when accepting has ended already.
            let _ = stop.send(());
        }
        if let Some(accepting) = self.accepting.take() {
            let abort = accepting.abort_handle();
            if tokio::time::timeout_at(deadline, accepting).await.is_err() {
                abort.abort();
            }
        }
        // Work on blocking threads cannot be cut off; the database must be closed before the directory is free.
        while let Some(database) = self.database.take() {
            if let Err(database) = Arc::try_unwrap(database) {
                if Instant::now() > deadline {
                    tracing::warn!("the embedded store still writes; its files close when that has ended");
                    return;
                }
                self.database = Some(database);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

impl Drop for EmbeddedAws {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

struct Opened {
    services: Services,
    credentials: Credentials,
    database: Arc<Database>,
    lock: File,
}

fn open(config: &Config) -> Result<Opened, StartError> {
    let dir = config.dir.as_path();
    make_private_dir(dir).map_err(|source| StartError::Directory { path: dir.to_owned(), source })?;
    let lock = lock(dir)?;
    let credentials = Credentials::open_or_create(&dir.join("credentials.json"))?;
    let identities = Identities::open(&credentials, &config.account_id, config.identities_file.as_deref())?;
    let identities = Arc::new(identities);

    let path = dir.join("meta.redb");
    let failed = |source: redb::Error| StartError::Database { path: path.clone(), source: Box::new(source) };
    let database =
        Arc::new(Database::builder().set_cache_size(META_CACHE).create(&path).map_err(|error| failed(error.into()))?);
    let has_material = kms::holds_material(&database).map_err(failed)?;
    let root_key = root_key(config, has_material)?;
    let kms =
        Kms::open(Arc::clone(&database), root_key, &config.region, &config.account_id).map_err(StartError::Kms)?;
    let store = Store::open(Arc::clone(&database), dir, kms.clone(), &config.account_id, &config.region)
        .map_err(|error| StartError::Store(Box::new(error)))?;
    let s3 = S3::new(store, Arc::clone(&identities), config.region.clone());
    Ok(Opened { services: Services { kms, identities, s3 }, credentials, database, lock })
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn lock(dir: &Path) -> Result<File, StartError> {
    let path = dir.join("lock");
    let failed = |source| StartError::Directory { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Reads the root key; makes one only inside the directory, and only when nothing was wrapped with another yet.
fn root_key(config: &Config, has_material: bool) -> Result<RootKey, StartError> {
    if let Some(outside) = &config.root_key_file {
        return Ok(RootKey::read(outside)?);
    }
    let path = config.dir.join("root-key");
    match RootKey::read(&path) {
        Err(RootKeyError::Missing(_)) if has_material => Err(StartError::RootKeyLost { dir: config.dir.clone(), path }),
        Err(RootKeyError::Missing(_)) => Ok(RootKey::create(&path)?),
        other => Ok(other?),
    }
}

/// Accepts until told to stop, then waits for the requests in progress.
async fn accept(listener: TcpListener, services: Arc<Services>, mut stopped: oneshot::Receiver<()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    // Dropped with this task: the connections end with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = &mut stopped => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Arc::clone(&services));
                let watched = graceful.watch(connection);
                connections.spawn(async move {
                    let _place = place;
                    if let Err(error) = watched.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: those of ending connections come back.
                tracing::warn!(%error, "connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if timeout(STOP_LIMIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that did not end in time were cut off");
    }
    connections.shutdown().await;
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    services: Arc<Services>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Small answers go out at once; failing to ask for it costs time only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(Arc::clone(&services), peer, request));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_HEADER_WAIT)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, MAX_STALL)), service)
}

async fn respond(
    services: Arc<Services>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let id = request_id();
    // Asked for an empty body, the HTTP server has nothing to say "100 Continue" about. botocore then takes this
    // answer's status for that of the connection's next one, and hangs: there must be no next one.
    let ends = request.headers().contains_key(header::EXPECT) && request.body().is_end_stream();
    let answer = AssertUnwindSafe(route(&services, peer, request)).catch_unwind().await;
    let mut answer = answer.unwrap_or_else(|_| {
        tracing::error!(request = ?id, "a request ended in a panic");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    });
    if let Some(id) = id {
        // S3 and KMS have different names for it; clients look for the one they know.
        answer.headers_mut().insert("x-amzn-requestid", id.clone());
        answer.headers_mut().insert("x-amz-request-id", id);
    }
    if ends {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// What a client and the log call one request; `None` when the system has no random bytes.
fn request_id() -> Option<HeaderValue> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    HeaderValue::from_str(&hex::encode_upper(random)).ok()
}

async fn route(services: &Services, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    if kms::http::is_for_kms(request.headers()) {
        let (head, body) = request.into_parts();
        let body = match kms::http::read_body(Body::new(body), MAX_STALL).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let kms = services.kms.clone();
        return kms::http::handle(kms, &services.identities, &head.method, &head.uri, &head.headers, body).await;
    }
    let transport = Transport { peer: peer.ip(), secure: true, tls_version: "1.3" };
    services.s3.respond(transport, request).await
}
