//! Requests that are sent again with the same Idempotency-Key.

use super::take_in::Pace;
use super::{Error, Incoming, IncomingStream, InputError, Published, Registry};
use crate::access::Caller;
use crate::catalog::{DraftRow, FirstAnswer, Once, Refusal};
use crate::domain::{FileEntry, FilePath, Metadata, ModelRef, Sha256Digest, Sha256Hasher, version_digest};

/// A key that a client chose for one creating call, so that sending it again does nothing twice: 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl IdempotencyKey {
    /// The key as the catalog knows it: another caller, and another call, have keys of their own.
    pub(super) fn of(self, caller: &Caller, call: &str, model: &ModelRef) -> Once {
        let (namespace, name) = (model.namespace.folded(), model.name.folded());
        Once { principal: caller.principal.clone(), route: format!("{call} {namespace}/{name}"), key: self.0 }
    }
}

/// A key that is bound to a call, and what came of the first one with it.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) once: Once,
    pub(super) first: Option<String>,
}

/// What one request asked for, in one digest.
pub(super) fn fingerprint(files: Sha256Digest, metadata: &Metadata, more: &str) -> Sha256Digest {
    let mut asked = serde_json::json!({ "files": files.to_string(), "metadata": metadata.as_map(), "more": more });
    // In whatever order a client says its members, equal requests have equal texts.
    asked.sort_all_objects();
    Sha256Digest::of(asked.to_string().as_bytes())
}

impl Registry {
    /// Binds a key to a call that can be made again without harm: it answers the same by itself, and another call with
    /// the key is refused.
    pub(super) async fn bind(
        &self,
        caller: &Caller,
        key: Option<IdempotencyKey>,
        call: &str,
        draft: &DraftRow,
        asked: &str,
    ) -> Result<Option<Bound>, Error> {
        let Some(key) = key else { return Ok(None) };
        let once = key.of(caller, &format!("{call} {}", draft.id), &draft.model);
        let first = self.catalog().bind_key(&once, Sha256Digest::of(asked.as_bytes())).await?;
        Ok(Some(Bound { once, first }))
    }

    /// Answers a publication that was asked for before, after a look at the body: it must be the same.
    pub(super) async fn replay(
        &self,
        model: &ModelRef,
        first: &FirstAnswer,
        more: &str,
        body: IncomingStream,
    ) -> Result<Published, Error> {
        let (files, metadata) = self.only_hashed(body).await?;
        if fingerprint(version_digest(&files), &metadata, more) != first.fingerprint {
            return Err(Error::Refused(Refusal::KeyReused));
        }
        let version = first.result.parse().map_err(|_| Error::Interrupted)?;
        let version = self.catalog().numbered(version).await?;
        self.finish(model, &version).await
    }

    /// What a body holds, read to its end and stored nowhere; a file whose size and digest are stated is not read.
    async fn only_hashed(&self, mut body: IncomingStream) -> Result<(Vec<FileEntry>, Metadata), Error> {
        let mut pace = Pace::default();
        let (mut files, mut metadata) = (Vec::new(), Metadata::default());
        let mut current: Option<(FilePath, Sha256Hasher, u64)> = None;
        let end = |(path, hash, size): (FilePath, Sha256Hasher, u64)| FileEntry { path, size, sha256: hash.finish() };
        while let Some(incoming) = pace.next(self.limits(), &mut body).await? {
            match incoming {
                Incoming::Metadata(said) => metadata = said,
                Incoming::File { path, sha256: Some(sha256), size: Some(size) } => {
                    return Ok((vec![FileEntry { path, size, sha256 }], metadata));
                }
                Incoming::File { path, .. } => {
                    files.extend(current.take().map(end));
                    if files.len() >= self.limits().files {
                        return Err(Error::TooManyFiles { max: self.limits().files });
                    }
                    current = Some((path, Sha256Hasher::default(), 0));
                }
                Incoming::Chunk(bytes) => {
                    let Some((_, hash, size)) = &mut current else {
                        return Err(InputError::Malformed("bytes before the first file".into()).into());
                    };
                    hash.update(&bytes);
                    *size += bytes.len() as u64;
                }
            }
        }
        files.extend(current.take().map(end));
        Ok((files, metadata))
    }
}
