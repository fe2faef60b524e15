//! The body of every request: how slowly it may come, and how much of the caller's quota it takes.
//!
//! The registry judges the pace of uploads once more, because it does not know who reads for it; what is read here,
//! such as JSON, has no other judge.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use super::allowance::Quotas;
use crate::registry::InputError;

/// How slowly a body may come while it is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Longest silence, and the stretch over which the rate is measured.
    pub(super) idle: Duration,
    /// Bytes a second.
    pub(super) min_rate: u64,
}

/// Whose quota the bytes take.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) quotas: Arc<Quotas>,
    pub(super) principal: String,
}

/// Why a body was not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyRefused {
    #[error("no bytes came for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("the body came at less than {0} bytes a second")]
    Slow(u64),
    #[error("the quota is used up")]
    Quota(Duration),
}

impl BodyRefused {
    /// The refusal among the causes of an error of a body's reader.
    pub(super) fn among(error: &(dyn StdError + 'static)) -> Option<InputError> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(match *refused {
                    Self::Idle(idle) => InputError::Idle(idle),
                    Self::Slow(rate) => InputError::Slow(rate),
                    Self::Quota(wait) => InputError::Quota(wait),
                });
            }
            cause = error.source();
        }
        None
    }
}

/// A body that breaks off when it comes too slowly, or when the quota is used up.
#[derive(Debug)]
pub(super) struct PacedBody {
    body: Body,
    pace: Pace,
    meter: Option<Meter>,
    /// Since when the client is waited for.
    since: Option<Instant>,
    silence: Option<Pin<Box<Sleep>>>,
    waited: Duration,
    bytes: u64,
}

impl PacedBody {
    pub(super) fn new(body: Body, pace: Pace, meter: Option<Meter>) -> Self {
        Self { body, pace, meter, since: None, silence: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Nothing has come: whether that has been so for too long.
    fn waiting(&mut self, context: &mut Context<'_>) -> Poll<BodyRefused> {
        let idle = self.pace.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if self.since.is_none() {
            self.since = Some(Instant::now());
            silence.as_mut().reset(tokio::time::Instant::now() + idle);
        }
        silence.as_mut().poll(context).map(|()| BodyRefused::Idle(idle))
    }

    /// Bytes have come: whether there were enough for the time, and whether they may be taken.
    fn came(&mut self, bytes: usize) -> Result<(), BodyRefused> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited += self.since.take().map(|since| since.elapsed()).unwrap_or_default();
        if let Some(Meter { quotas, principal }) = &self.meter {
            quotas.take(principal, bytes as u64, OffsetDateTime::now_utc()).map_err(BodyRefused::Quota)?;
        }
        if self.waited >= self.pace.idle {
            if self.bytes < self.pace.min_rate.saturating_mul(self.waited.as_secs()) {
                return Err(BodyRefused::Slow(self.pace.min_rate));
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(())
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => self.waiting(context).map(|refused| Some(Err(axum::Error::new(refused)))),
            Poll::Ready(Some(Ok(frame))) => {
                let came = self.came(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(came.map(|()| frame).map_err(axum::Error::new)))
            }
            ended @ Poll::Ready(_) => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    fn paced(idle: u64, min_rate: u64, body: Body) -> axum::body::BodyDataStream {
        let pace = Pace { idle: Duration::from_millis(idle), min_rate };
        Body::new(PacedBody::new(body, pace, None)).into_data_stream()
    }

    fn drops(every: u64, bytes: usize, count: usize) -> Body {
        let drops = futures::stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(every)).await;
            Ok::<_, std::convert::Infallible>(vec![0; bytes])
        });
        Body::from_stream(drops)
    }

    async fn end(mut body: axum::body::BodyDataStream) -> Option<InputError> {
        while let Some(piece) = body.next().await {
            if let Err(error) = piece {
                return BodyRefused::among(&error);
            }
        }
        None
    }

    #[tokio::test]
    async fn silent_and_dripping_bodies_break_off_and_others_do_not() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>());
        assert!(matches!(end(paced(50, 0, silent)).await, Some(InputError::Idle(_))));
        assert!(matches!(end(paced(1_000, 1_000, drops(100, 10, 20))).await, Some(InputError::Slow(1_000))));
        assert!(end(paced(200, 0, drops(20, 1, 20))).await.is_none());
        assert!(end(paced(1_000, 10, drops(100, 100, 12))).await.is_none());
    }

    #[tokio::test]
    async fn bytes_take_the_quota_and_break_off_when_it_is_used_up() {
        let quotas = Arc::new(Quotas::new(25));
        let meter = Meter { quotas: Arc::clone(&quotas), principal: "a".to_owned() };
        let pace = Pace { idle: Duration::from_mins(1), min_rate: 0 };
        let body = Body::new(PacedBody::new(drops(1, 10, 3), pace, Some(meter)));
        assert!(matches!(end(body.into_data_stream()).await, Some(InputError::Quota(_))));
        assert!(quotas.take("a", 5, OffsetDateTime::now_utc()).is_ok());
    }
}
