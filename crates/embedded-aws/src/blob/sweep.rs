//! Removing what a crash left behind: files that no record refers to.

use super::{BlobError, BlobId, Blobs};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

impl Blobs {
    /// Removes everything in `incoming/`, and blobs that `is_recorded` does not know; returns how many files went.
    ///
    /// Runs before the first request, so that nothing is being written. Directories are read entry by entry.
    pub(crate) fn sweep<E: From<BlobError>>(
        &self,
        mut is_recorded: impl FnMut(BlobId) -> Result<bool, E>,
    ) -> Result<u64, E> {
        let mut removed = each::<E>(&self.root.join("incoming"), |_| Ok(true))?;
        for shard in 0..=u8::MAX {
            let directory = self.root.join("blobs").join(hex::encode([shard]));
            removed += each::<E>(&directory, |name| match BlobId::parse(name) {
                Some(id) => Ok(!is_recorded(id)?),
                // Not ours: somebody put it there and may want it back.
                None => Ok(false),
            })?;
        }
        Ok(removed)
    }
}

fn each<E: From<BlobError>>(directory: &Path, mut is_garbage: impl FnMut(&str) -> Result<bool, E>) -> Result<u64, E> {
    let failed = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |source: io::Error| BlobError::Io { path, source }
    };
    let mut removed = 0;
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_garbage(name)? {
            fs::remove_file(&path).map_err(failed(&path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_without_a_record_go() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let (kept, garbage, half) = (BlobId::random(), BlobId::random(), BlobId::random());
        let foreign = dir.path().join("blobs/00/notes.txt");
        for path in [blobs.path(kept), blobs.path(garbage), blobs.incoming(half), foreign.clone()] {
            fs::write(path, "x").unwrap();
        }
        let removed = blobs.sweep(|id| Ok::<_, BlobError>(id == kept)).unwrap();
        assert_eq!(removed, 2);
        assert!(blobs.path(kept).exists() && foreign.exists());
        assert!(!blobs.path(garbage).exists() && !blobs.incoming(half).exists());
    }
}
