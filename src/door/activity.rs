//! What goes on in one connection, and since when: who does nothing for too long is overdue.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::config::Connections;

/// How long a connection without a request stays after it was told that there will be no more.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The head of a request is not complete, or never began.
    Head,
    /// No request came after the last one.
    Idle,
    /// The client takes nothing of an answer.
    Answer,
    /// It was told that there will be no more.
    Ended,
}

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    limits: Connections,
    http2: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when there is no request.
    since: Instant,
    /// Whether there was one.
    served: bool,
    /// When the first byte of the next head came. HTTP/1 only: in HTTP/2 bytes come that belong to no request.
    head: Option<Instant>,
    /// Requests that are not answered to the end.
    requests: usize,
    /// Answers of which the client has something to take, by number, and since when.
    offered: HashMap<u64, Instant>,
    next: u64,
    told: Option<Instant>,
    /// What the client has not taken is thrown away.
    reset: bool,
}

impl Activity {
    pub(super) fn new(limits: Connections, http2: bool) -> Self {
        let state = State {
            since: Instant::now(),
            served: false,
            head: None,
            requests: 0,
            offered: HashMap::new(),
            next: 0,
            told: None,
            reset: false,
        };
        Self { limits, http2, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There will be no more requests.
    pub(super) fn end(&self) {
        self.state().told.get_or_insert_with(Instant::now);
    }

    /// What the client has not taken is thrown away when the connection is closed: else the system would go on offering
    /// it for minutes to a client that takes nothing.
    pub(super) fn reset(&self) {
        self.state().reset = true;
    }

    /// Why the connection is to be closed, if it is.
    pub(super) fn overdue(&self) -> Option<Overdue> {
        let state = self.state();
        let late = |since: Instant, bound: Duration| since.elapsed() >= bound;
        if state.offered.values().any(|since| late(*since, self.limits.answer_idle)) {
            return Some(Overdue::Answer);
        }
        if state.requests > 0 {
            return None;
        }
        if let Some(told) = state.told {
            // What still goes on after the last request is the end of its answer, in buffers on its way to the client.
            let (bound, why) = if state.served && state.head.is_none() {
                (self.limits.answer_idle, Overdue::Answer)
            } else {
                (FAREWELL, Overdue::Ended)
            };
            return late(told.max(state.since), bound).then_some(why);
        }
        let head = state.head.or((!state.served).then_some(state.since));
        if head.is_some_and(|since| late(since, self.limits.header_timeout)) {
            return Some(Overdue::Head);
        }
        // A head that has begun has its own bound, which began later.
        (state.head.is_none() && late(state.since, self.limits.idle_timeout)).then_some(Overdue::Idle)
    }

    /// A request begins; it ends when what is returned is dropped.
    pub(super) fn begin(activity: &Arc<Self>) -> Asking {
        let mut state = activity.state();
        state.requests += 1;
        state.served = true;
        state.head = None;
        state.next += 1;
        Asking { activity: Arc::clone(activity), number: state.next }
    }

    fn bytes_came(&self) {
        if self.http2 {
            return;
        }
        let mut state = self.state();
        if state.requests == 0 {
            state.head.get_or_insert_with(Instant::now);
        }
    }
}

/// A request that is not answered to the end.
#[derive(Debug)]
pub(super) struct Asking {
    activity: Arc<Activity>,
    number: u64,
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.offered.remove(&self.number);
        state.requests = state.requests.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// The body of an answer, and when the client took something of it last.
///
/// The server asks for the next piece when there is room for it: the time between two such questions is the client's.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    asking: Asking,
}

impl Answer {
    pub(super) fn new(body: Body, asking: Asking) -> Self {
        // Also one of which nothing was asked for yet: its head may have to wait for the answers before it.
        asking.activity.state().offered.insert(asking.number, Instant::now());
        Self { body, asking }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Asking { activity, number } = &self.asking;
        let mut state = activity.state();
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            state.offered.insert(*number, Instant::now());
        } else {
            state.offered.remove(number);
        }
        drop(state);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What goes over a TCP connection.
pub(super) trait OverTcp {
    fn tcp(&self) -> &TcpStream;
}

/// A connection that tells the clock when bytes come.
#[derive(Debug)]
pub(super) struct Noticed<IO: OverTcp> {
    io: IO,
    activity: Arc<Activity>,
}

impl<IO: OverTcp> Noticed<IO> {
    pub(super) fn new(io: IO, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }
}

impl<IO: OverTcp> Drop for Noticed<IO> {
    fn drop(&mut self) {
        if self.activity.state().reset {
            let _set = socket2::SockRef::from(self.io.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl<IO: OverTcp + AsyncRead + Unpin> AsyncRead for Noticed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        polled
    }
}

impl<IO: OverTcp + AsyncWrite + Unpin> AsyncWrite for Noticed<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_hours(1);

    fn activity(header_timeout: Duration, idle_timeout: Duration, answer_idle: Duration) -> Arc<Activity> {
        let (total, per_address, grace) = (1, 1, LONG);
        let limits = Connections { total, per_address, header_timeout, idle_timeout, answer_idle, grace };
        Arc::new(Activity::new(limits, false))
    }

    fn pass() {
        std::thread::sleep(SHORT * 2);
    }

    #[test]
    fn first_head_and_every_later_one_have_the_header_timeout() {
        let activity = activity(SHORT, LONG, LONG);
        assert_eq!(activity.overdue(), None);
        pass();
        assert_eq!(activity.overdue(), Some(Overdue::Head));
        let asking = Activity::begin(&activity);
        pass();
        assert_eq!(activity.overdue(), None, "a request that is answered has no bound here");
        drop(asking);
        pass();
        assert_eq!(activity.overdue(), None, "a pause after a request is not a head");
        activity.bytes_came();
        pass();
        assert_eq!(activity.overdue(), Some(Overdue::Head));
    }

    #[test]
    fn pause_after_a_request_has_the_idle_timeout_and_a_head_that_begins_at_its_end_has_its_own() {
        let activity = activity(LONG, SHORT, LONG);
        drop(Activity::begin(&activity));
        pass();
        assert_eq!(activity.overdue(), Some(Overdue::Idle));
        activity.bytes_came();
        assert_eq!(activity.overdue(), None);
    }

    #[tokio::test]
    async fn answer_of_which_nothing_is_taken_is_overdue_and_one_that_waits_for_us_is_not() {
        use futures::StreamExt as _;
        let activity = activity(LONG, LONG, SHORT);
        let pieces = futures::stream::iter([Ok::<_, std::convert::Infallible>("piece")]);
        let body = Body::from_stream(pieces.chain(futures::stream::pending()));
        let mut answer = Answer::new(body, Activity::begin(&activity));
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut answer).poll_frame(&mut context).is_ready());
        pass();
        assert_eq!(activity.overdue(), Some(Overdue::Answer));
        assert!(Pin::new(&mut answer).poll_frame(&mut context).is_pending());
        pass();
        assert_eq!(activity.overdue(), None);
    }
}
