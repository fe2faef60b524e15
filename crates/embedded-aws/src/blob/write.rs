//! Writing a blob: seal as bytes arrive, then fsync, rename, fsync of the directory.

use super::{
    Binding, BlobError, BlobId, Blobs,
    frame::{FRAME, FrameCipher, SEALED, TAG},
    sync_directory,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    thread::{self, JoinHandle},
};

/// Sealed bytes are written to the file in runs of this many frames.
const RUN: usize = 8;
/// After so many bytes the disk begins to write, so that the fsync at the end finds little left to do.
const WRITE_BACK: u64 = 32 * 1024 * 1024;

/// A blob that is being written; dropped, it leaves no file. All calls block.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    file: File,
    leftover: Leftover,
    cipher: FrameCipher,
    /// Sealed frames, then at most one frame of plaintext from `open_at` on.
    buffer: Vec<u8>,
    open_at: usize,
    frames: u32,
    size: u64,
    /// Bytes of the file since the last write-back began.
    dirty: u64,
    write_back: Option<JoinHandle<io::Result<()>>>,
}

/// A blob whose bytes are durable under a temporary name; dropped, it leaves no file.
#[derive(Debug)]
pub(crate) struct Finished {
    leftover: Leftover,
    size: u64,
}

/// The file that has to go unless a record refers to it.
#[derive(Debug)]
struct Leftover {
    blobs: Blobs,
    id: BlobId,
    path: PathBuf,
    kept: bool,
}

impl BlobWriter {
    /// Begins a blob; `data_key` must never have sealed another.
    pub(crate) fn create(
        blobs: &Blobs,
        id: BlobId,
        data_key: &[u8; 32],
        binding: Binding<'_>,
    ) -> Result<Self, BlobError> {
        let path = blobs.incoming(id);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| BlobError::Io { path: path.clone(), source })?;
        Ok(Self {
            file,
            leftover: Leftover { blobs: blobs.clone(), id, path, kept: false },
            cipher: FrameCipher::new(data_key, id, binding),
            buffer: Vec::new(),
            open_at: 0,
            frames: 0,
            size: 0,
            dirty: 0,
            write_back: None,
        })
    }

    /// Takes more plaintext.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), BlobError> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let open = self.buffer.len() - self.open_at;
            if open == FRAME {
                // A full frame is sealed only when more follows: the last one carries the flag.
                self.seal(false);
                if self.buffer.len() >= RUN * SEALED {
                    self.flush()?;
                }
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(FRAME - open));
            self.buffer.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    /// Seals the last frame and makes the bytes durable.
    pub(crate) fn finish(mut self) -> Result<Finished, BlobError> {
        self.seal(true);
        self.flush()?;
        self.end_write_back()?;
        self.file.sync_all().map_err(|source| self.leftover.error(source))?;
        Ok(Finished { leftover: self.leftover, size: self.size })
    }

    fn seal(&mut self, last: bool) {
        let tag = self.cipher.seal(self.frames, last, &mut self.buffer[self.open_at..]);
        self.buffer.extend_from_slice(&tag);
        self.open_at = self.buffer.len();
        self.frames += 1;
        self.buffer.reserve(FRAME + TAG);
    }

    fn flush(&mut self) -> Result<(), BlobError> {
        self.file.write_all(&self.buffer).map_err(|source| self.leftover.error(source))?;
        self.dirty += self.buffer.len() as u64;
        self.buffer.clear();
        self.open_at = 0;
        if self.dirty >= WRITE_BACK && self.write_back.as_ref().is_none_or(JoinHandle::is_finished) {
            self.end_write_back()?;
            self.begin_write_back()?;
        }
        Ok(())
    }

    fn begin_write_back(&mut self) -> Result<(), BlobError> {
        let begin = || {
            let file = self.file.try_clone()?;
            thread::Builder::new().name("blob-write-back".to_owned()).spawn(move || file.sync_data())
        };
        self.write_back = Some(begin().map_err(|source| self.leftover.error(source))?);
        self.dirty = 0;
        Ok(())
    }

    /// A failed write-back must fail the blob: the system tells of it once, and the last fsync may succeed.
    fn end_write_back(&mut self) -> Result<(), BlobError> {
        let Some(write_back) = self.write_back.take() else { return Ok(()) };
        let outcome = write_back.join().unwrap_or_else(|_| Err(io::Error::other("the write-back panicked")));
        outcome.map_err(|source| self.leftover.error(source))
    }
}

impl Finished {
    pub(crate) fn id(&self) -> BlobId {
        self.leftover.id
    }

    /// Plaintext bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Moves the file to its lasting name, durably; still removed on drop until [`Finished::keep`].
    pub(crate) fn publish(&mut self) -> Result<(), BlobError> {
        let target = self.leftover.blobs.path(self.leftover.id);
        fs::rename(&self.leftover.path, &target).map_err(|source| self.leftover.error(source))?;
        let shard = target.parent().expect("a blob lies in a directory").to_owned();
        self.leftover.path = target;
        sync_directory(&shard)
    }

    /// A committed record refers to the blob now.
    pub(crate) fn keep(mut self) {
        self.leftover.kept = true;
    }
}

impl Leftover {
    fn error(&self, source: io::Error) -> BlobError {
        BlobError::Io { path: self.path.clone(), source }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(blob = %self.id, %error, "unfinished blob could not be removed");
        }
    }
}
