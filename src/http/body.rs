//! Request bodies as the registry takes them: a raw file, or `multipart/form-data` with a file a field.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use multer::{Field, Multipart};

use super::digest;
use super::request_body::BodyRefused;
use crate::domain::{FilePath, Metadata, Sha256Digest};
use crate::registry::{Incoming, IncomingStream, InputError};

/// The field that holds JSON instead of a file.
const METADATA_FIELD: &str = "metadata";

/// Most bytes that the form parser may take without making a field or a piece of one of them.
const MAX_UNPARSED: u64 = 256 * 1024;

/// The body as the bytes of one file.
pub(super) fn raw(body: Body, path: FilePath, sha256: Option<Sha256Digest>) -> IncomingStream {
    let size = body.size_hint().exact();
    let file = stream::once(async move { Ok(Incoming::File { path, sha256, size }) });
    let chunks = body.into_data_stream().map(|chunk| match chunk {
        Ok(bytes) => Ok(Incoming::Chunk(bytes)),
        Err(error) => Err(BodyRefused::among(&error).unwrap_or(InputError::Incomplete)),
    });
    file.chain(chunks).boxed()
}

/// The body as a form: the name of a field is the path of its file.
pub fn form(body: Body, boundary: String) -> IncomingStream {
    let unparsed = Arc::new(AtomicU64::new(0));
    let stepwise = Stepwise { body: body.into_data_stream(), unparsed: Arc::clone(&unparsed), rest: false };
    let form = Form { multipart: Multipart::new(stepwise, boundary), field: None, unparsed };
    stream::try_unfold(form, |mut form| async move {
        let next = form.next().await?;
        Ok(next.map(|incoming| (incoming, form)))
    })
    .boxed()
}

struct Form {
    multipart: Multipart<'static>,
    field: Option<Field<'static>>,
    unparsed: Arc<AtomicU64>,
}

impl Form {
    async fn next(&mut self) -> Result<Option<Incoming>, InputError> {
        if let Some(field) = &mut self.field {
            let chunk = field.chunk().await.map_err(|error| input_error(&error))?;
            self.unparsed.store(0, Ordering::Relaxed);
            if let Some(bytes) = chunk {
                return Ok(Some(Incoming::Chunk(bytes)));
            }
            self.field = None;
        }
        let field = self.multipart.next_field().await.map_err(|error| input_error(&error))?;
        self.unparsed.store(0, Ordering::Relaxed);
        let Some(field) = field else { return Ok(None) };
        let name = field
            .name()
            .ok_or_else(|| malformed("a field of the form has no name: the name of a field is the path of its file"))?;
        if name == METADATA_FIELD {
            return self.metadata(field).await.map(Some);
        }
        let path = name.parse().map_err(|error: crate::domain::InvalidPath| InputError::Path(error.to_string()))?;
        let sha256 = digest::stated(field.headers()).map_err(|detail| malformed(&detail))?;
        self.field = Some(field);
        Ok(Some(Incoming::File { path, sha256, size: None }))
    }

    async fn metadata(&mut self, mut field: Field<'static>) -> Result<Incoming, InputError> {
        let mut json = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|error| input_error(&error))? {
            self.unparsed.store(0, Ordering::Relaxed);
            json.extend_from_slice(&chunk);
            if json.len() > Metadata::MAX_BYTES {
                break;
            }
        }
        Metadata::from_json(&json).map(Incoming::Metadata).map_err(|error| malformed(&error.to_string()))
    }
}

fn malformed(detail: &str) -> InputError {
    InputError::Malformed(detail.to_owned())
}

fn input_error(error: &multer::Error) -> InputError {
    match error {
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders
        | multer::Error::StreamReadFailed(_) => match error {
            multer::Error::StreamReadFailed(source) if source.is::<TooMuchUnparsed>() => {
                malformed("the form has too much between its fields: the boundary of the header is not in the body")
            }
            error => BodyRefused::among(error).unwrap_or(InputError::Incomplete),
        },
        other => malformed(&format!("the body is not the form that its Content-Type announces: {other}")),
    }
}

/// Gives the parser one piece of the body at a time.
///
/// The parser reads for as long as its source has something, and keeps all of it: a fast client would fill the memory.
/// So after each piece the source says once that it has nothing yet. What the parser keeps without making anything of
/// it is bounded too.
struct Stepwise {
    body: BodyDataStream,
    unparsed: Arc<AtomicU64>,
    rest: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("too many bytes without a field")]
struct TooMuchUnparsed;

impl Stream for Stepwise {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.rest = true;
            // A piece may itself be larger than the bound; only what came before it counts.
            if self.unparsed.fetch_add(bytes.len() as u64, Ordering::Relaxed) > MAX_UNPARSED {
                return Poll::Ready(Some(Err(Box::new(TooMuchUnparsed))));
            }
        }
        polled.map(|item| item.map(|piece| piece.map_err(Into::into)))
    }
}
