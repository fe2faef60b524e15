//! Taking in the files of one request, without showing any of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::{Error, InputError, Registry};
use crate::catalog::DraftRow;
use crate::config::Limits;
use crate::domain::{DraftId, FilePath, Metadata, ModelRef, ObjectKey, PathSet, Sha256Digest, UploadToken};
use crate::store::{Intake, Pending};

/// What a request body is made of, in the order in which it arrives.
#[derive(Debug)]
pub enum Incoming {
    /// What the publisher says of the version.
    Metadata(Metadata),
    /// A file begins; its bytes follow.
    File {
        /// Where it lies in the version.
        path: FilePath,
        /// What the client says its digest is.
        sha256: Option<Sha256Digest>,
        /// Its size, where the protocol tells it beforehand.
        size: Option<u64>,
    },
    /// The next bytes of the file that began last.
    Chunk(Bytes),
}

/// A request body.
pub type IncomingStream = BoxStream<'static, Result<Incoming, InputError>>;

/// A file that was taken in whole.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) path: FilePath,
    pub(super) sha256: Sha256Digest,
    pub(super) size: u64,
    pub(super) pending: Pending,
}

/// Where the files of a request go, and the mark that their objects carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) model: &'a ModelRef,
    pub(super) prefix: DraftId,
    pub(super) token: &'a UploadToken,
}

impl<'a> Destination<'a> {
    /// The prefix of a draft of one request.
    pub(super) fn of(draft: &'a DraftRow) -> Self {
        Self { model: &draft.model, prefix: draft.prefix, token: &draft.token }
    }
}

/// The file that is arriving.
struct Current {
    path: FilePath,
    declared: Option<Sha256Digest>,
    intake: Intake,
}

/// Everything that one request brought.
#[derive(Default)]
pub(super) struct TakeIn {
    pub(super) taken: Vec<Taken>,
    pub(super) metadata: Option<Metadata>,
    current: Option<Current>,
    paths: PathSet,
    pace: Pace,
}

/// How fast the body comes: who holds memory must fill it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// The next piece of the body.
    ///
    /// Only the time spent waiting for the client counts: after each stretch of `body_idle` the bytes that came in it
    /// must have come at the minimum rate.
    pub(super) async fn next(
        &mut self,
        limits: &Limits,
        body: &mut IncomingStream,
    ) -> Result<Option<Incoming>, InputError> {
        let began = Instant::now();
        let next = tokio::time::timeout(limits.body_idle, body.next()).await;
        let next = next.map_err(|_| InputError::Idle(limits.body_idle))?.transpose()?;
        self.waited += began.elapsed();
        if let Some(Incoming::Chunk(bytes)) = &next {
            self.bytes += bytes.len() as u64;
        }
        if self.waited >= limits.body_idle {
            if self.bytes < limits.min_upload_rate.saturating_mul(self.waited.as_secs()) {
                return Err(InputError::Slow(limits.min_upload_rate));
            }
            *self = Self::default();
        }
        Ok(next)
    }
}

impl std::fmt::Debug for TakeIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakeIn").field("taken", &self.taken.len()).finish_non_exhaustive()
    }
}

impl TakeIn {
    /// Reads the whole body.
    ///
    /// # Errors
    /// The first thing that is wrong; call [`Self::abort`] then.
    pub(super) async fn read(
        &mut self,
        registry: &Registry,
        to: &Destination<'_>,
        mut body: IncomingStream,
    ) -> Result<(), Error> {
        loop {
            // Memory first, then bytes: what nobody has room for stays in the connection.
            self.make_room().await?;
            match self.pace.next(registry.limits(), &mut body).await? {
                Some(Incoming::Metadata(metadata)) => {
                    if self.metadata.replace(metadata).is_some() {
                        return Err(InputError::Malformed("the field `metadata` is there twice".into()).into());
                    }
                }
                Some(Incoming::File { path, sha256, size }) => {
                    self.end_file().await?;
                    self.begin_file(registry, to, path, sha256, size)?;
                }
                Some(Incoming::Chunk(bytes)) => self.chunk(registry, bytes).await?,
                None => break,
            }
        }
        self.end_file().await?;
        if self.taken.is_empty() { Err(Error::NoFiles) } else { Ok(()) }
    }

    /// Removes what S3 has of it.
    pub(super) async fn abort(mut self) {
        if let Some(current) = self.current {
            current.intake.abort().await;
        }
        // What is only in memory gives it back before anything waits for S3.
        self.taken.retain(|taken| !taken.pending.is_held());
        for taken in self.taken {
            taken.pending.abort().await;
        }
    }

    fn begin_file(
        &mut self,
        registry: &Registry,
        to: &Destination<'_>,
        path: FilePath,
        declared: Option<Sha256Digest>,
        size: Option<u64>,
    ) -> Result<(), Error> {
        let limits = registry.limits();
        if self.taken.len() >= limits.files {
            return Err(Error::TooManyFiles { max: limits.files });
        }
        self.paths.insert(&path).map_err(Error::PathConflict)?;
        if size.is_some_and(|size| size > limits.file_bytes) {
            return Err(Error::FileTooLarge { path, max: limits.file_bytes });
        }
        let key = ObjectKey::File { model: to.model, draft: &to.prefix, path: &path }.to_string();
        let intake = registry.store().intake(key, to.token.clone(), size)?;
        self.current = Some(Current { path, declared, intake });
        Ok(())
    }

    /// Takes memory for the next bytes of the current file.
    ///
    /// Whoever has to wait first sends away the small files that it holds, so that nobody waits for memory that only
    /// it could give back.
    async fn make_room(&mut self) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if !current.intake.needs_memory() || current.intake.try_take_memory() {
            return Ok(());
        }
        for taken in self.taken.iter_mut().filter(|taken| taken.pending.is_held()) {
            taken.pending.send_away().await?;
        }
        Ok(current.intake.take_memory().await?)
    }

    async fn chunk(&mut self, registry: &Registry, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.make_room().await?;
            let Some(current) = &mut self.current else {
                return Err(InputError::Malformed("bytes before the first file".into()).into());
            };
            current.intake.take(&mut bytes).await?;
            let max = registry.limits().file_bytes;
            if current.intake.size() > max {
                return Err(Error::FileTooLarge { path: current.path.clone(), max });
            }
        }
        Ok(())
    }

    async fn end_file(&mut self) -> Result<(), Error> {
        let Some(Current { path, declared, intake }) = self.current.take() else { return Ok(()) };
        let (pending, actual, size) = intake.finish().await?;
        self.taken.push(Taken { path: path.clone(), sha256: actual, size, pending });
        match declared {
            Some(declared) if declared != actual => Err(Error::DigestMismatch { path, declared, actual }),
            _ => Ok(()),
        }
    }
}
