//! The data directory: who may use it, and where the running server's embedded endpoint is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("another strongroom is using {}: stop it, or choose another --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file system.
    #[error("the data directory {} cannot be used", path.display())]
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
    pub(super) fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            // The number is for people: who has the directory.
            Ok(()) => write_pid(&lock).map(|()| Self { path: path.to_owned(), _lock: lock }).map_err(io),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
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
        let io = |source| DataDirError::Io { path: self.path.clone(), source };
        let record = EndpointRecord { endpoint: endpoint.to_owned() };
        let json = serde_json::to_vec(&record).map_err(|error| io(error.into()))?;
        // Renamed into place: whoever reads it sees one or the other.
        let (new, path) = (self.path.join("endpoint.json.new"), record_path(&self.path));
        std::fs::write(&new, json).and_then(|()| std::fs::rename(&new, &path)).map_err(io)
    }
}

/// Where a running server said that its embedded endpoint is.
pub(super) fn recorded_endpoint(path: &Path) -> Option<String> {
    let json = std::fs::read(record_path(path)).ok()?;
    serde_json::from_slice::<EndpointRecord>(&json).ok().map(|record| record.endpoint)
}

fn write_pid(mut lock: &File) -> std::io::Result<()> {
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())
}

fn record_path(path: &Path) -> PathBuf {
    path.join("endpoint.json")
}
