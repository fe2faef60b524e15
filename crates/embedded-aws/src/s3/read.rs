//! Giving an object's bytes out: its segments are opened one after the other, a run ahead of the client.
//!
//! About 1 MiB is held per stream, and no thread waits for a slow client. Bytes that do not open end the stream
//! with an error, which aborts the connection: a client never takes them for the object.

use super::{Inner, Store, blocking, encryption, error, readers::Reading};
use crate::{
    blob::{Binding, BlobError, BlobId, BlobReader, Source},
    meta::{
        MetaError, lookup,
        objects::Place,
        record::{Encryption, Segment, Version},
        table::Snapshot,
    },
};
use bytes::Bytes;
use futures::Stream;
use s3s::{S3Error, S3Result, s3_error};
use std::{collections::VecDeque, ops::Range, sync::Arc};
use tokio::task::JoinHandle;

/// Segments of a version that a range touches, with the range inside each.
#[derive(Debug)]
pub(super) struct Reader {
    inner: Arc<Inner>,
    place: Place,
    encryption: Encryption,
    segments: VecDeque<(Segment, Range<u64>)>,
    /// Decrypted, not yet given out.
    ready: VecDeque<Bytes>,
    next: Option<JoinHandle<S3Result<Progress>>>,
    _reading: Reading,
}

/// What a blocking step brings back.
type Progress = (Option<BlobReader>, Vec<Bytes>);

impl Store {
    /// Opens a range of a version; a key that cannot be used, or a damaged first blob, is an error here already.
    ///
    /// `NoSuchKey` when the version was deleted since it was looked up.
    pub(super) async fn read(
        &self,
        place: &Place,
        version: &Version,
        encryption: &Encryption,
        range: Range<u64>,
    ) -> S3Result<Reader> {
        let snapshot = self.snapshot()?;
        let wanted = range.clone();
        let sequence = version.sequence;
        let segments = blocking(move || Ok(segments(&snapshot, sequence, &wanted)?)).await?;
        let blobs: Vec<BlobId> = segments.iter().map(|(segment, _)| segment.blob).collect();
        let reading = self.inner.readers.begin(blobs);
        // Counted in now: if the version is still there, its files stay until the last reader is done.
        let fresh = self.snapshot()?;
        if lookup::version(&fresh.versions, place.bucket_id, place.key.as_bytes(), sequence)?.is_none() {
            return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
        }
        let mut reader = Reader {
            inner: Arc::clone(&self.inner),
            place: place.clone(),
            encryption: encryption.clone(),
            segments,
            ready: VecDeque::new(),
            next: None,
            _reading: reading,
        };
        reader.advance(None);
        reader.wait().await?;
        Ok(reader)
    }
}

impl Reader {
    /// The bytes as a stream.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, S3Error>> + Send + Sync + 'static {
        futures::stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            loop {
                if let Some(bytes) = reader.ready.pop_front() {
                    return Some((Ok(bytes), Some(reader)));
                }
                match reader.wait().await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(failed) => return Some((Err(failed), None)),
                }
            }
        })
    }

    /// Waits for the step under way and starts the next; false at the end.
    async fn wait(&mut self) -> S3Result<bool> {
        let Some(next) = self.next.take() else { return Ok(false) };
        let (reader, bytes) = next.await.map_err(|failed| error::internal(&failed))??;
        self.ready.extend(bytes);
        self.advance(reader);
        Ok(true)
    }

    fn advance(&mut self, reader: Option<BlobReader>) {
        let opened = match reader {
            Some(reader) => Ok(reader),
            None => match self.segments.pop_front() {
                Some(segment) => Err(segment),
                None => return,
            },
        };
        let (inner, place, encryption) = (Arc::clone(&self.inner), self.place.clone(), self.encryption.clone());
        self.next = Some(tokio::task::spawn_blocking(move || {
            let mut reader = match opened {
                Ok(reader) => reader,
                Err((segment, range)) => open_segment(&inner, &place, &encryption, &segment, range)?,
            };
            let bytes = reader.next_run()?;
            Ok((reader.has_more().then_some(reader), bytes))
        }));
    }
}

fn open_segment(
    inner: &Inner,
    place: &Place,
    encryption: &Encryption,
    segment: &Segment,
    range: Range<u64>,
) -> S3Result<BlobReader> {
    let context = encryption::kms_context(encryption, &place.bucket, &place.key);
    let key = inner.kms.unwrap_data_key(&segment.wrapped_key, &context).map_err(|failure| error::kms(&failure))?;
    let source = Source { id: segment.blob, size: segment.size };
    let binding = Binding { bucket: &place.bucket, key: &place.key };
    let opened: Result<_, BlobError> = BlobReader::open(&inner.blobs, source, &key.plaintext, binding, range);
    Ok(opened?)
}

/// The segments that hold a range, in order, each with its share.
pub(super) fn segments(
    snapshot: &Snapshot,
    version: u64,
    range: &Range<u64>,
) -> Result<VecDeque<(Segment, Range<u64>)>, MetaError> {
    // The segment that holds the first byte begins at or before it.
    let mut before = snapshot.segments.range((version, 0, 0)..=(version, range.start, u16::MAX))?;
    let first = before.next_back().transpose()?.map_or(0, |(place, _)| place.value().1);
    let mut found = VecDeque::new();
    for entry in snapshot.segments.range((version, first, 0)..(version, range.end, 0))? {
        let (place, record) = entry?;
        let offset = place.value().1;
        let segment: Segment = lookup::parse(record.value())?;
        let share = range.start.max(offset) - offset..range.end.min(offset + segment.size).saturating_sub(offset);
        if !share.is_empty() {
            found.push_back((segment, share));
        }
    }
    Ok(found)
}
