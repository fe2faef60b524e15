//! How much is taken on: requests in flight, requests and bytes of one principal, failed authentications of one address.
//!
//! Whoever is refused gets a problem document that says when to come again. `/healthz` answers always.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::RETRY_AFTER;
use super::allowance::{Quotas, Rates};
use super::client_address::ClientAddress;
use super::problem::ApiError;
use super::request_body::{Meter, Pace, PacedBody};
use crate::access::Caller;
use crate::config::Requests;
use crate::domain::counted_as;

/// How long a client is asked to wait while the service ends: another one, or the same again, will be there.
const ENDING_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The bounds, and who is how far; one for all requests.
#[derive(Debug)]
pub(super) struct Gate {
    ending: CancellationToken,
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
    requests: Option<Rates<String>>,
    failures: Option<Rates<IpAddr>>,
    quotas: Option<Arc<Quotas>>,
    pace: Pace,
    refused: Refused,
}

/// Requests that were refused, by reason.
#[derive(Debug, Default)]
struct Refused {
    ending: AtomicU64,
    overload: AtomicU64,
    rate: AtomicU64,
    quota: AtomicU64,
    failures: AtomicU64,
}

impl Gate {
    pub(super) fn new(limits: &Requests, pace: Pace, ending: CancellationToken) -> Self {
        let failures = limits.auth_failures_per_minute.map(f64::from);
        Self {
            ending,
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
            max_in_flight: limits.in_flight,
            requests: limits.per_second.map(|rate| Rates::new(f64::from(rate), f64::from(limits.burst))),
            failures: failures.map(|a_minute| Rates::new(a_minute / 60.0, a_minute)),
            quotas: limits.upload_bytes_per_day.map(|bytes| Arc::new(Quotas::new(bytes))),
            pace,
            refused: Refused::default(),
        }
    }

    /// Requests that are in flight now.
    pub(super) fn in_flight(&self) -> usize {
        self.max_in_flight.saturating_sub(self.in_flight.available_permits())
    }

    /// Requests that were refused, by reason.
    pub(super) fn all_refused(&self) -> [(&'static str, u64); 5] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("ending", of(&self.refused.ending)),
            ("overload", of(&self.refused.overload)),
            ("rate", of(&self.refused.rate)),
            ("quota", of(&self.refused.quota)),
            ("failures", of(&self.refused.failures)),
        ]
    }

    /// A place for a request, or the refusal.
    fn admitted(&self, version: Version) -> Result<OwnedSemaphorePermit, ApiError> {
        if self.ending.is_cancelled() {
            self.refused.ending.fetch_add(1, Ordering::Relaxed);
            let detail = "the service is ending and takes no new requests: send it again";
            let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", detail);
            let error = error.retry_after(ENDING_RETRY_AFTER);
            let close = HeaderValue::from_static("close");
            // HTTP/2 has a frame for it, which the connection sends.
            let old = version < Version::HTTP_2;
            return Err(if old { error.with_header(header::CONNECTION, close) } else { error });
        }
        Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| {
            self.refused.overload.fetch_add(1, Ordering::Relaxed);
            let detail = "the service has as many requests as it can take: send it again a little later";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(RETRY_AFTER)
        })
    }

    fn too_many_failures(&self, wait: Duration) -> ApiError {
        self.refused.failures.fetch_add(1, Ordering::Relaxed);
        let detail = "too many failed authentications from this address: the token was not looked at";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).retry_after(wait)
    }

    /// Whether a caller may send this request now.
    fn allowed(&self, principal: &str, size: Option<u64>) -> Result<(), ApiError> {
        if let Some(Err(wait)) = self.requests.as_ref().map(|rates| rates.take(&principal.to_owned(), Instant::now())) {
            self.refused.rate.fetch_add(1, Ordering::Relaxed);
            let detail = "more requests than this caller may send: wait as long as Retry-After says";
            return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry_after(wait));
        }
        let (Some(quotas), Some(size)) = (&self.quotas, size) else { return Ok(()) };
        quotas.look(principal, size, OffsetDateTime::now_utc()).map_err(|wait| {
            self.refused.quota.fetch_add(1, Ordering::Relaxed);
            ApiError::quota_exceeded(wait)
        })
    }
}

/// Before the caller is known: takes a place for the request, for as long as its answer lasts.
pub(super) async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let place = match gate.admitted(request.version()) {
        Ok(place) => place,
        Err(error) => return error.into_response(),
    };
    // Many clients ask without credentials first, to be told which are wanted: that is no failure.
    let presents = request.headers().contains_key(header::AUTHORIZATION);
    let address = request.extensions().get::<ClientAddress>().map(|client| counted_as(client.0));
    let tries = gate.failures.as_ref().zip(address).filter(|_| presents);
    if let Some((failures, address)) = &tries
        && let Err(wait) = failures.look(address, Instant::now())
    {
        return gate.too_many_failures(wait).into_response();
    }
    let answer = next.run(request).await;
    if let Some((failures, address)) = &tries
        && answer.status() == StatusCode::UNAUTHORIZED
    {
        // Whoever has none left was let in by a race, and owes nothing more for it.
        let _none_left = failures.take(address, Instant::now());
    }
    answer.map(|body| Body::new(Held { body, _place: place }))
}

/// Once the caller is known: counts requests and bytes, and bounds how slowly the body may come.
pub(super) async fn bound_caller(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    // What needs no caller reads no body.
    let Some(caller) = request.extensions().get::<Caller>() else { return next.run(request).await };
    let principal = caller.principal.clone();
    if let Err(error) = gate.allowed(&principal, request.body().size_hint().exact()) {
        return error.into_response();
    }
    let meter = gate.quotas.as_ref().map(|quotas| Meter { quotas: Arc::clone(quotas), principal });
    next.run(request.map(|body| Body::new(PacedBody::new(body, gate.pace, meter)))).await
}

/// The body of an answer, with the place of its request.
#[derive(Debug)]
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
