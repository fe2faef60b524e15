//! The data directory: who may use it, and where the running server's embedded endpoint is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long an endpoint on loopback may take to accept a connection.
const CONNECT: Duration = Duration::from_millis(500);

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("another strongroom is using {}: stop it, or choose another --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file system.
    #[error(
        "cannot write {}: the data directory must be writable, also for a command that only looks: when no server runs \
         it starts the embedded store, which writes there",
        path.display()
    )]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The data directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    /// The lock ends with the file.
    _lock: File,
}

/// Where the running server's embedded endpoint listens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EndpointRecord {
    pub(super) endpoint: String,
}

impl DataDir {
    /// Makes the directory if it is not there, and takes it for this process.
    ///
    /// What a server recorded that runs no more is forgotten.
    pub(super) fn lock(path: &Path) -> Result<Self, DataDirError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path))?;
        let file = path.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&file).map_err(io(&file))?;
        match lock.try_lock() {
            // The number is for people: who has the directory.
            Ok(()) => write_pid(&lock).map_err(io(&file))?,
            Err(TryLockError::WouldBlock) => return Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(&file)(source)),
        }
        forget_endpoint(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn admin_token(&self) -> PathBuf {
        self.path.join("admin-token")
    }

    /// Where the embedded store keeps what it has.
    pub(super) fn embedded(path: &Path) -> PathBuf {
        path.join("embedded")
    }

    pub(super) fn record_endpoint(&self, endpoint: &str) -> Result<(), DataDirError> {
        let record = EndpointRecord { endpoint: endpoint.to_owned() };
        // Renamed into place: whoever reads it sees one or the other.
        let (new, path) = (self.path.join("endpoint.json.new"), record_path(&self.path));
        let json = serde_json::to_vec(&record).map_err(|error| io(&path)(error.into()))?;
        std::fs::write(&new, json).and_then(|()| std::fs::rename(&new, &path)).map_err(io(&path))
    }
}

/// Whether a running server answers where it said that it is.
pub(super) async fn answering_endpoint(path: &Path) -> Option<String> {
    let endpoint = recorded_endpoint(path)?;
    let address = endpoint.strip_prefix("http://")?;
    let connected = tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await;
    // Whoever takes the directory forgets the record before it listens: a record that is still there is the server's.
    (connected.is_ok_and(|stream| stream.is_ok()) && recorded_endpoint(path).as_ref() == Some(&endpoint))
        .then_some(endpoint)
}

/// Where a running server said that its embedded endpoint is.
fn recorded_endpoint(path: &Path) -> Option<String> {
    let json = std::fs::read(record_path(path)).ok()?;
    serde_json::from_slice::<EndpointRecord>(&json).ok().map(|record| record.endpoint)
}

fn forget_endpoint(path: &Path) -> Result<(), DataDirError> {
    let record = record_path(path);
    match std::fs::remove_file(&record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(&record)(error)),
        _ => Ok(()),
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DataDirError {
    |source| DataDirError::Io { path: path.to_owned(), source }
}

fn write_pid(mut lock: &File) -> std::io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

fn record_path(path: &Path) -> PathBuf {
    path.join("endpoint.json")
}
