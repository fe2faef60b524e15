//! Request bodies on their way in: stalls, truncation and chunks too large to hold are stopped here.
//!
//! The S3 protocol crate verifies signatures and the hash of a signed body. It takes an aws-chunked body that ends
//! early for a whole one, does not compare its length with the announced one, does not ask for the announced trailers,
//! and holds each chunk in memory before it passes it on. [`guard`] closes those gaps in front of it. A body that ends
//! without an error has been checked.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep};

mod chunked;

use chunked::Chunked;

/// How long a client may send nothing in the middle of a body.
pub const MAX_STALL: Duration = Duration::from_mins(1);

/// How long the rest of a refused body is read and thrown away.
const MAX_DRAIN: Duration = Duration::from_mins(1);

/// What is wrong with a body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyFault {
    #[error("the body stalled for {} seconds", MAX_STALL.as_secs())]
    Stalled,
    #[error("the body ended before its announced end")]
    Incomplete,
    #[error("a signed chunk has {size} bytes, more than the {limit} that are held at once")]
    ChunkTooLarge { size: u64, limit: u64 },
    #[error("the aws-chunked body is malformed: {0}")]
    Malformed(&'static str),
}

/// Where a fault is noted for whoever turns it into an answer: errors lose their type on the way there.
#[derive(Debug, Default)]
pub struct BodyFailure(OnceLock<BodyFault>);

impl BodyFailure {
    /// What went wrong, once something has.
    pub fn get(&self) -> Option<&BodyFault> {
        self.0.get()
    }
}

/// Wraps the body of an S3 request, and gives the place where its fault will be noted.
///
/// Large unsigned chunks of an aws-chunked body are cut into small ones on the way.
pub fn guard<B>(headers: &HeaderMap, body: B) -> (Body, Arc<BodyFailure>)
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let failure = Arc::new(BodyFailure::default());
    if body.is_end_stream() {
        // Keeps its exact size of zero, which a stream would lose.
        return (Body::empty(), failure);
    }
    let guarded = Guarded {
        inner: Some(Body::new(body).into_data_stream()),
        unasked: headers.contains_key(header::EXPECT),
        framing: Chunked::of(headers),
        ready: VecDeque::new(),
        ended: false,
        stall: None,
        failure: Arc::clone(&failure),
    };
    (Body::from_stream(guarded), failure)
}

struct Guarded {
    /// Until it has ended or broken.
    inner: Option<BodyDataStream>,
    /// The client waits to be told to send it, which the first read does.
    unasked: bool,
    framing: Option<Chunked>,
    ready: VecDeque<Bytes>,
    ended: bool,
    /// Runs while the client is waited for.
    stall: Option<Pin<Box<Sleep>>>,
    failure: Arc<BodyFailure>,
}

impl Guarded {
    fn fail(&mut self, fault: BodyFault) -> BodyFault {
        self.ended = true;
        self.ready.clear();
        self.failure.0.get_or_init(|| fault).clone()
    }
}

/// Reads on what nobody wants any more.
///
/// Closing the connection instead would break the client's write, and the answer that says why would never be read.
/// A body that was not asked for is not sent either: what comes next is another request, so there it is closed.
impl Drop for Guarded {
    fn drop(&mut self) {
        if self.unasked {
            return;
        }
        if let (Some(mut rest), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(MAX_DRAIN, async move { while let Some(Ok(_)) = rest.next().await {} }));
        }
    }
}

impl Stream for Guarded {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let Some(inner) = this.inner.as_mut().filter(|_| !this.ended) else { return Poll::Ready(None) };
            this.unasked = false;
            let next = match inner.poll_next_unpin(context) {
                Poll::Ready(next) => {
                    this.stall = None;
                    if !matches!(next, Some(Ok(_))) {
                        this.inner = None;
                    }
                    next
                }
                Poll::Pending => {
                    let stall = this
                        .stall
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + MAX_STALL)));
                    ready!(stall.as_mut().poll(context));
                    this.inner = None;
                    return Poll::Ready(Some(Err(this.fail(BodyFault::Stalled))));
                }
            };
            let pushed = match (next, &mut this.framing) {
                (Some(Ok(bytes)), None) => {
                    this.ready.push_back(bytes);
                    Ok(())
                }
                (Some(Ok(bytes)), Some(framing)) => framing.push(bytes, &mut this.ready),
                // The connection broke, or its framing did.
                (Some(Err(_)), _) => Err(BodyFault::Incomplete),
                (None, framing) => {
                    this.ended = true;
                    framing.as_mut().map_or(Ok(()), |framing| framing.finish(&mut this.ready))
                }
            };
            if let Err(fault) = pushed {
                return Poll::Ready(Some(Err(this.fail(fault))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(body: Body) -> Result<Vec<u8>, String> {
        let mut collected = Vec::new();
        let mut stream = body.into_data_stream();
        while let Some(bytes) = stream.next().await {
            collected.extend_from_slice(&bytes.map_err(|error| error.to_string())?);
        }
        Ok(collected)
    }

    #[tokio::test]
    async fn plain_body_passes_unchanged() {
        let (body, failure) = guard(&HeaderMap::new(), Body::from("hello"));
        assert_eq!(collect(body).await.unwrap(), b"hello");
        assert_eq!(failure.get(), None);
    }

    #[tokio::test]
    async fn empty_body_stays_exactly_empty() {
        let (body, _) = guard(&HeaderMap::new(), Body::empty());
        assert_eq!(body.size_hint().exact(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_body_is_given_up() {
        let endless = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a"))])
            .chain(futures::stream::pending());
        let (body, failure) = guard(&HeaderMap::new(), Body::from_stream(endless));
        assert!(collect(body).await.is_err());
        assert_eq!(failure.get(), Some(&BodyFault::Stalled));
    }

    #[tokio::test]
    async fn broken_connection_is_an_incomplete_body() {
        let broken = futures::stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("reset"))]);
        let (body, failure) = guard(&HeaderMap::new(), Body::from_stream(broken));
        assert!(collect(body).await.is_err());
        assert_eq!(failure.get(), Some(&BodyFault::Incomplete));
    }
}
