//! Taking a body in: hash, encrypt and write it while it streams, then compare it with what was claimed.
//!
//! The runtime's threads only gather; hashing, sealing and writing run on blocking threads, a run at a time,
//! with the next run gathering meanwhile. About 1 MiB is held per stream, and no thread waits for a slow client.

use super::{
    Store, blocking,
    checksum::{Claim, Hasher},
    encryption, error,
};
use crate::{
    blob::{Binding, BlobId, BlobWriter, Finished},
    kms::DataKey,
    meta::{
        objects::Place,
        record::{Algorithm, Encryption, Segment},
    },
};
use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use md5::{Digest, Md5};
use s3s::{S3Error, S3Result, TrailingHeaders, dto::StreamingBlob, s3_error};
use tokio::task::JoinHandle;

/// Plaintext that goes to a blocking thread at once.
const RUN: usize = 256 * 1024;
/// The largest single PUT, part or copy, in bytes.
pub(super) const MAX_SIZE: u64 = 5 * 1024 * 1024 * 1024;

/// What the client says about its body.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) checksum: Option<Claim>,
    /// Filled in by the time the body has ended.
    pub(super) trailers: Option<TrailingHeaders>,
    pub(super) md5: Option<[u8; 16]>,
}

/// Durable bytes that no record refers to yet.
#[derive(Debug)]
pub(super) struct Ingested {
    pub(super) blob: Finished,
    pub(super) wrapped_key: Vec<u8>,
    /// MD5 for SSE-S3, random for SSE-KMS, as on AWS; hex.
    pub(super) etag: String,
    checksums: Vec<(Algorithm, String)>,
}

impl Ingested {
    /// The value of a checksum that was asked for.
    pub(super) fn checksum(&self, algorithm: Algorithm) -> Option<&str> {
        self.checksums.iter().find(|(computed, _)| *computed == algorithm).map(|(_, value)| value.as_str())
    }

    /// As the one segment of an object.
    pub(super) fn segment(&self) -> Segment {
        Segment { blob: self.blob.id(), wrapped_key: self.wrapped_key.clone(), size: self.blob.size(), checksum: None }
    }
}

/// The state that travels between blocking threads.
struct Worker {
    writer: BlobWriter,
    checksums: Vec<Hasher>,
    md5: Option<Md5>,
    etag_is_md5: bool,
}

/// Writes a body as a new blob under a fresh data key; `algorithms` are computed besides the claimed one.
pub(super) async fn ingest(
    store: &Store,
    place: &Place,
    encrypted: &Encryption,
    mut body: impl Stream<Item = S3Result<Bytes>> + Unpin,
    claims: Claims,
    algorithms: &[Algorithm],
) -> S3Result<Ingested> {
    let context = encryption::kms_context(encrypted, &place.bucket, &place.key);
    let data_key = store
        .inner
        .kms
        .generate_data_key(encryption::kms_key_id(encrypted), &context)
        .map_err(|failure| error::kms(&failure))?;
    let wrapped_key = data_key.wrapped.clone();
    let mut hashed = algorithms.to_vec();
    hashed.extend(claims.checksum.as_ref().map(Claim::algorithm));
    hashed.sort_by_key(|algorithm| algorithm.name());
    hashed.dedup();
    let etag_is_md5 = encrypted.kms_key.is_none();
    let claims_md5 = claims.md5.is_some();
    let begin = {
        let (store, place) = (store.clone(), place.clone());
        move || Worker::begin(&store, &place, &data_key, &hashed, (etag_is_md5, claims_md5))
    };

    let (mut run, mut ended) = gather(&mut body).await?;
    let mut size = length(&run);
    if ended {
        // Small objects, the common case: one hop.
        return blocking(move || begin()?.step(&run)?.finish(&claims, wrapped_key)).await;
    }
    let mut working: JoinHandle<S3Result<Worker>> = tokio::task::spawn_blocking(move || begin()?.step(&run));
    loop {
        (run, ended) = gather(&mut body).await?;
        size += length(&run);
        if size > MAX_SIZE {
            return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
        }
        let worker = working.await.map_err(|failed| error::internal(&failed))??;
        if ended {
            return blocking(move || worker.step(&run)?.finish(&claims, wrapped_key)).await;
        }
        working = tokio::task::spawn_blocking(move || worker.step(&run));
    }
}

/// The body of a request, with failures told as AWS does.
pub(super) fn request_body(
    body: Option<StreamingBlob>,
    extensions: axum::http::Extensions,
) -> impl Stream<Item = S3Result<Bytes>> + Unpin {
    futures::stream::iter(body)
        .flatten()
        .map(move |chunk| chunk.map_err(|failure| super::access::body_error(&extensions, &*failure)))
}

/// Reads `Content-MD5`.
pub(super) fn content_md5(header: Option<&str>) -> S3Result<Option<[u8; 16]>> {
    let Some(header) = header else { return Ok(None) };
    let digest = STANDARD.decode(header).ok().and_then(|bytes| bytes.try_into().ok());
    digest.map(Some).ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."))
}

/// Collects about a run; true at the end of the body.
async fn gather(body: &mut (impl Stream<Item = S3Result<Bytes>> + Unpin)) -> S3Result<(Vec<Bytes>, bool)> {
    let (mut run, mut size) = (Vec::new(), 0);
    while size < RUN {
        match body.next().await {
            Some(chunk) => {
                let chunk = chunk?;
                size += chunk.len();
                run.push(chunk);
            }
            None => return Ok((run, true)),
        }
    }
    Ok((run, false))
}

fn length(run: &[Bytes]) -> u64 {
    run.iter().map(|chunk| chunk.len() as u64).sum()
}

impl Worker {
    fn begin(
        store: &Store,
        place: &Place,
        data_key: &DataKey,
        hashed: &[Algorithm],
        (etag_is_md5, claims_md5): (bool, bool),
    ) -> Result<Self, S3Error> {
        let binding = Binding { bucket: &place.bucket, key: &place.key };
        Ok(Self {
            writer: BlobWriter::create(&store.inner.blobs, BlobId::random(), &data_key.plaintext, binding)?,
            checksums: hashed.iter().map(|algorithm| Hasher::new(*algorithm)).collect(),
            // MD5 is slower than all the rest together: only where the ETag or the client wants it.
            md5: (etag_is_md5 || claims_md5).then(Md5::new),
            etag_is_md5,
        })
    }

    fn step(mut self, run: &[Bytes]) -> S3Result<Self> {
        for chunk in run {
            for hasher in &mut self.checksums {
                hasher.update(chunk);
            }
            if let Some(md5) = &mut self.md5 {
                md5.update(chunk);
            }
            self.writer.write(chunk)?;
        }
        Ok(self)
    }

    /// Compares first: a body that is refused needs no fsync.
    fn finish(self, claims: &Claims, wrapped_key: Vec<u8>) -> S3Result<Ingested> {
        let checksums: Vec<_> = self.checksums.into_iter().map(Hasher::finish).collect();
        if let Some(claim) = &claims.checksum {
            let computed = checksums.iter().find(|(algorithm, _)| *algorithm == claim.algorithm());
            let computed = computed.map(|(_, value)| value.as_str()).unwrap_or_default();
            claim.check(computed, claims.trailers.as_ref())?;
        }
        let md5: Option<[u8; 16]> = self.md5.map(|md5| md5.finalize().into());
        if claims.md5.is_some() && claims.md5 != md5 {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let etag = match md5 {
            Some(md5) if self.etag_is_md5 => hex::encode(md5),
            _ => random_etag(),
        };
        Ok(Ingested { blob: self.writer.finish()?, wrapped_key, etag, checksums })
    }
}

/// An `ETag` that is no digest, for SSE-KMS.
pub(super) fn random_etag() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the operating system gives random bytes, or the library aborts");
    hex::encode(bytes)
}
