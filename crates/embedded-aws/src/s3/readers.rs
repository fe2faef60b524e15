//! Blobs that are being read: a deletion unlinks them when the last reader is done.

use crate::blob::{BlobId, Blobs};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts readers by blob.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    blobs: Blobs,
    open: Arc<Mutex<HashMap<BlobId, Open>>>,
}

#[derive(Debug, Default)]
struct Open {
    readers: usize,
    /// No record refers to it any more.
    doomed: bool,
}

/// Keeps the files of these blobs until it is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    readers: Readers,
    blobs: Vec<BlobId>,
}

impl Readers {
    pub(super) fn new(blobs: Blobs) -> Self {
        Self { blobs, open: Arc::default() }
    }

    /// Counts a reader in. The caller looks at the records again afterwards: a file may have gone just before.
    pub(super) fn begin(&self, blobs: Vec<BlobId>) -> Reading {
        let mut open = self.lock();
        for blob in &blobs {
            open.entry(*blob).or_default().readers += 1;
        }
        drop(open);
        Reading { readers: self.clone(), blobs }
    }

    /// Unlinks now what nobody reads, the rest later. Blocks.
    pub(super) fn unlink(&self, mut blobs: Vec<BlobId>) {
        let mut open = self.lock();
        blobs.retain(|blob| match open.get_mut(blob) {
            Some(being_read) => {
                being_read.doomed = true;
                false
            }
            None => true,
        });
        drop(open);
        self.blobs.unlink(&blobs);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut free = Vec::new();
        let mut open = self.readers.lock();
        for blob in &self.blobs {
            if let Some(being_read) = open.get_mut(blob) {
                being_read.readers -= 1;
                if being_read.readers == 0 {
                    free.extend(being_read.doomed.then_some(*blob));
                    open.remove(blob);
                }
            }
        }
        drop(open);
        self.readers.blobs.unlink(&free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{Binding, BlobWriter};
    use std::path::Path;

    fn files(dir: &Path) -> usize {
        let shards = std::fs::read_dir(dir.join("blobs")).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    #[test]
    fn a_deleted_blob_stays_until_its_last_reader_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let binding = Binding { bucket: "b", key: "k" };
        let writer = BlobWriter::create(&blobs, BlobId::random(), &[1; 32], binding).unwrap();
        let mut finished = writer.finish().unwrap();
        finished.publish().unwrap();
        let id = finished.id();
        finished.keep();

        let readers = Readers::new(blobs);
        let first = readers.begin(vec![id]);
        let second = readers.begin(vec![id]);
        readers.unlink(vec![id]);
        drop(first);
        assert_eq!(files(dir.path()), 1);
        drop(second);
        assert_eq!(files(dir.path()), 0);
    }
}
