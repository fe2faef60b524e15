//! Encrypted bytes on disk: one file per blob, under a data key that is never used twice.
//!
//! A blob is written to `incoming/`, made durable, renamed into `blobs/`, and only then recorded.
//! Files without a record are therefore garbage of a crash, and [`Blobs::open`] removes them.

mod frame;
mod read;
mod sweep;
mod write;

pub(crate) use read::{BlobReader, Source};
pub(crate) use write::{BlobWriter, Finished};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// The random name of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlobId([u8; 16]);

/// What a blob belongs to; bound into every frame, so that files cannot be swapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
}

#[derive(Debug, Error)]
pub(crate) enum BlobError {
    #[error("blob file {path}")]
    Io { path: PathBuf, source: io::Error },
    /// The file was changed, cut, or belongs to something else.
    #[error("blob {0} is damaged")]
    Damaged(BlobId),
}

/// The directories that hold blobs.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: Arc<Path>,
}

impl Blobs {
    /// Makes the directories that are missing.
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        let blobs = Self { root: root.into() };
        let create = |path: PathBuf| fs::create_dir_all(&path).map_err(|source| BlobError::Io { path, source });
        create(root.join("incoming"))?;
        for shard in 0..=u8::MAX {
            create(root.join("blobs").join(hex::encode([shard])))?;
        }
        sync_directory(&root.join("blobs"))?;
        sync_directory(root)?;
        Ok(blobs)
    }

    /// Unlinks blobs that no record refers to any more.
    ///
    /// A failure is logged only: the next start tries again.
    pub(crate) fn unlink(&self, ids: &[BlobId]) {
        for id in ids {
            if let Err(error) = fs::remove_file(self.path(*id)) {
                tracing::warn!(blob = %id, %error, "blob file could not be removed");
            }
        }
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    fn incoming(&self, id: BlobId) -> PathBuf {
        self.root.join("incoming").join(id.to_string())
    }
}

impl BlobId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes, or the library aborts");
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn parse(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(name, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BlobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| D::Error::custom("not a blob id"))
    }
}

/// Makes renames and new files in a directory durable.
fn sync_directory(path: &Path) -> Result<(), BlobError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| BlobError::Io { path: path.to_owned(), source })
}
