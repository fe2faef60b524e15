//! The rest of a body that nobody wants, read for a moment.
//!
//! A client that is refused while it sends looks for the answer when it has sent everything. When the connection ends
//! before that, the client sees a broken pipe in place of the reason.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// How long the rest is read.
const TIME: Duration = Duration::from_secs(2);
/// How much of it is read.
const BYTES: usize = 8 * 1024 * 1024;

/// A body whose rest is read and thrown away, within bounds, when it is dropped before its end.
#[derive(Debug)]
pub(super) struct Lingering {
    body: Body,
    /// Whether the client sends it without being asked to, or was asked.
    is_sent: bool,
    is_over: bool,
}

impl Lingering {
    /// `waits`: the client sends nothing before somebody reads (`Expect: 100-continue`).
    pub(super) fn new(body: Body, waits: bool) -> Self {
        Self { body, is_sent: !waits, is_over: false }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_sent = true;
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.is_over |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.is_over || !self.is_sent || self.body.is_end_stream() {
            return;
        }
        let body = std::mem::take(&mut self.body);
        // Outside of the runtime nobody waits for an answer.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(TIME, discard(body)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut left = BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A body of pieces of a mebibyte, and how many of them were taken.
    fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&taken);
        let stream = futures::stream::iter((0..count).map(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![0; 1024 * 1024]))
        }));
        (Body::from_stream(stream), taken)
    }

    #[tokio::test]
    async fn rest_of_a_dropped_body_is_read_within_bounds_and_never_before_the_client_was_asked_for_it() {
        for (count, waits, read) in [(3, false, 3), (100, false, 9), (3, true, 0)] {
            let (body, taken) = pieces(count);
            drop(Lingering::new(body, waits));
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(taken.load(Ordering::Relaxed), read, "{count} {waits}");
        }
        let (body, taken) = pieces(3);
        let mut asked = Lingering::new(body, true);
        assert!(asked.frame().await.is_some());
        drop(asked);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(taken.load(Ordering::Relaxed), 3);
    }
}
