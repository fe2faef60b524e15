//! One file on its way in: hashed, cut into parts, and sent while the next part fills.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::budget::Permit;
use super::multipart::{Multipart, SentPart};
use super::{Error, Pending, Store};
use crate::domain::{MAX_PARTS, Sha256Digest, UploadToken, growing_part_bytes, max_streamed_bytes, part_bytes_for};
use crate::failpoint;

/// Parts of one file that are sent at the same time.
const PARALLEL_PARTS: usize = 3;

/// One file on its way in.
///
/// A file that ends within its first part is held in memory and written when it is committed; a larger one becomes a
/// multipart upload, which shows nothing until it is completed. Call [`Self::needs_memory`] and [`Self::take_memory`]
/// before reading on: bytes that nobody has room for stay in the connection.
#[derive(Debug)]
pub struct Intake {
    store: Store,
    key: String,
    token: UploadToken,
    declared_size: Option<u64>,
    hash: HashContext,
    size: u64,
    part: Option<Part>,
    parts: u64,
    multipart: Option<Multipart>,
    sending: JoinSet<Result<SentPart, Error>>,
}

struct HashContext(Context);

impl std::fmt::Debug for HashContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SHA-256 in progress")
    }
}

#[derive(Debug)]
struct Part {
    bytes: BytesMut,
    capacity: usize,
    permit: Permit,
}

impl Store {
    /// Begins a file that will be written to `key` and carry `token`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the declared size does not fit an upload.
    pub fn intake(&self, key: String, token: UploadToken, declared_size: Option<u64>) -> Result<Intake, Error> {
        if declared_size.is_some_and(|size| size > max_streamed_bytes(true)) {
            return Err(Error::TooLarge);
        }
        Ok(Intake {
            store: self.clone(),
            key,
            token,
            declared_size,
            hash: HashContext(Context::new(&SHA256)),
            size: 0,
            part: None,
            parts: 0,
            multipart: None,
            sending: JoinSet::new(),
        })
    }
}

impl Intake {
    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether there is no room for another byte.
    pub fn needs_memory(&self) -> bool {
        self.part.is_none()
    }

    /// Takes memory for the next part if it is free now.
    pub fn try_take_memory(&mut self) -> bool {
        let capacity = self.next_part_bytes();
        match self.store.inner.budget.try_take(capacity) {
            Some(permit) => {
                self.part = Some(self.new_part(capacity, permit));
                true
            }
            None => false,
        }
    }

    /// Waits for memory for the next part.
    ///
    /// # Errors
    /// [`Error::Busy`] when none came free in time.
    pub async fn take_memory(&mut self) -> Result<(), Error> {
        let capacity = self.next_part_bytes();
        let permit = self.store.inner.budget.take(capacity).await?;
        self.part = Some(self.new_part(capacity, permit));
        Ok(())
    }

    /// Takes bytes from the front of `chunk`, as many as there is room for; a full part is sent.
    ///
    /// # Errors
    /// Of S3, also of an earlier part; [`Error::TooLarge`] past the last part. Nothing is left that [`Self::abort`]
    /// does not remove.
    pub async fn take(&mut self, chunk: &mut Bytes) -> Result<(), Error> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let front = chunk.split_to(chunk.len().min(part.capacity - part.bytes.len()));
        part.bytes.extend_from_slice(&front);
        self.hash.0.update(&front);
        self.size += front.len() as u64;
        let is_full = part.bytes.len() == part.capacity;
        // A file of a known size that ends with this part is left for `finish`: it may be small enough to be held.
        if is_full && self.declared_size != Some(self.size) {
            self.send_part().await?;
        }
        Ok(())
    }

    /// Ends the file; what it returns is not visible to anybody yet.
    ///
    /// # Errors
    /// Of S3. Everything that was sent is removed then.
    pub async fn finish(mut self) -> Result<(Pending, Sha256Digest, u64), Error> {
        let sha256 = Sha256Digest::from_hash(self.hash.0.clone().finish().as_ref());
        let size = self.size;
        if self.multipart.is_none() {
            let (bytes, permit) = match self.part.take() {
                Some(part) => {
                    let (bytes, permit) = self.store.inner.budget.trim(part.bytes, part.permit);
                    (bytes, Some(permit))
                }
                None => (Bytes::new(), None),
            };
            let pending =
                Pending::held(self.store.clone(), self.key.clone(), self.token.clone(), bytes, permit, sha256);
            return Ok((pending, sha256, size));
        }
        let sent = async {
            if self.part.as_ref().is_some_and(|part| !part.bytes.is_empty()) {
                self.send_part().await?;
            }
            self.collect(0).await
        };
        if let Err(error) = sent.await {
            self.abort().await;
            return Err(error);
        }
        match self.multipart.take() {
            Some(multipart) => Ok((Pending::uploaded(self.store.clone(), multipart, size), sha256, size)),
            None => Err(Error::Unfaithful("an upload ended twice")),
        }
    }

    /// Removes everything that was sent.
    pub async fn abort(mut self) {
        self.sending.shutdown().await;
        if let Some(multipart) = self.multipart.take() {
            multipart.abort(&self.store).await;
        }
    }

    fn next_part_bytes(&self) -> u64 {
        match self.declared_size {
            Some(size) => part_bytes_for(size).min(size.saturating_sub(self.size).max(1)),
            None => growing_part_bytes(self.parts + 1),
        }
    }

    fn new_part(&self, capacity: u64, permit: Permit) -> Part {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Part { bytes: self.store.inner.budget.buffer(capacity), capacity, permit }
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let number = u32::try_from(self.parts + 1).map_err(|_| Error::TooLarge)?;
        if self.parts == MAX_PARTS {
            return Err(Error::TooLarge);
        }
        self.parts += 1;
        if self.multipart.is_none() {
            self.multipart = Some(Multipart::create(&self.store, &self.key, &self.token).await?);
            failpoint::reached("publish:after_create_upload").await;
        }
        self.collect(PARALLEL_PARTS - 1).await?;
        if let Some(multipart) = &self.multipart {
            self.sending.spawn(multipart.send(&self.store, number, part.bytes.freeze(), Some(part.permit)));
        }
        Ok(())
    }

    /// Waits until at most `left` parts are on their way.
    async fn collect(&mut self, left: usize) -> Result<(), Error> {
        while self.sending.len() > left {
            let sent = match self.sending.join_next().await {
                Some(Ok(sent)) => sent?,
                Some(Err(_)) => return Err(Error::Unfaithful("sending a part was interrupted")),
                None => return Ok(()),
            };
            if let Some(multipart) = &mut self.multipart {
                multipart.record(sent);
                failpoint::reached("publish:after_part").await;
            }
        }
        Ok(())
    }
}
