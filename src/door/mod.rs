//! The front door: from a listening socket to requests, with a bound on everything that a client can hold on to.
//!
//! Connections are counted in all and by address, the handshake and the head of a request have a deadline, and so has
//! whoever says nothing between two requests or takes nothing of an answer; how fast a request body comes is judged
//! where it is read. When the service ends, what has begun gets a grace period. The door knows the settings and a
//! router, and nothing of what is behind it.

mod activity;
mod certificate;
mod connections;
mod first_bytes;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::activity::{Activity, Answer, OverTcp, Overdue};
pub use self::connections::{Closed, Counts, Full};
use self::connections::{Place, Places};
use self::first_bytes::Rewound;
pub use self::tls::{Tls, TlsError};
use crate::config::Connections;
use crate::domain::Network;

/// How often a connection is looked at: what is overdue is closed that much later at most.
const LOOK: Duration = Duration::from_millis(250);

/// How long to wait when the system has no more file descriptors.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_secs(1);

/// Streams of one HTTP/2 connection at the same time.
const MAX_STREAMS: u32 = 100;

/// What the head of a request may have, in bytes and in fields.
const MAX_HEAD: u32 = 32 * 1024;
const MAX_FIELDS: usize = 100;

/// Bytes of an HTTP/1 connection's buffers, each way, and of one HTTP/2 stream's way out.
const BUFFER: usize = 128 * 1024;

/// How often an HTTP/2 client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

/// Bytes that wait in the system's buffer of a connection and are not on their way: without this bound the system says
/// nothing for minutes while a slow client takes megabytes, and slow could not be told from silent.
const UNSENT: u32 = 512 * 1024;

/// Where connections come in, and what is asked of them.
#[derive(Debug)]
pub struct Door {
    /// Where to listen.
    pub listener: TcpListener,
    /// What answers; it finds the peer as `ConnectInfo<SocketAddr>`.
    pub router: Router,
    /// The bounds.
    pub limits: Connections,
    /// The API's own TLS.
    pub tls: Option<Tls>,
    /// Proxies that bring the connections of many: not counted by address.
    pub exempt: Vec<Network>,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// Cancelled when no more requests are to be taken.
    pub ending: CancellationToken,
}

/// What every connection needs.
struct Shared {
    router: Router,
    limits: Connections,
    tls: Option<tokio_rustls::TlsAcceptor>,
    counts: Arc<Counts>,
    ending: CancellationToken,
}

impl Door {
    /// Answers until `ending` is cancelled, then until every connection is closed or the grace period is over.
    pub async fn serve(self) {
        let Self { listener, router, limits, tls, exempt, counts, ending } = self;
        let acceptor = tls.as_ref().map(Tls::acceptor);
        let places = Arc::new(Places::new(limits, exempt, Arc::clone(&counts)));
        if let Some(tls) = tls {
            tokio::spawn(ending.clone().run_until_cancelled_owned(tls.keep_fresh(Arc::clone(&counts))));
        }
        let shared = Arc::new(Shared { router, limits, tls: acceptor, counts, ending: ending.clone() });
        let (open, cut) = (TaskTracker::new(), CancellationToken::new());
        while let Some(accepted) = ending.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    // Who finds no place is closed at once: an answer would cost what the bound is to save.
                    let Ok(place) = places.take(peer.ip()) else { continue };
                    let attended = attend(stream, peer, Arc::clone(&shared), place);
                    open.spawn(cut.clone().run_until_cancelled_owned(attended));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted; trying again");
                    ending.run_until_cancelled(tokio::time::sleep(AFTER_FAILED_ACCEPT)).await;
                }
            }
        }
        drop(listener);
        open.close();
        if tokio::time::timeout(limits.grace, open.wait()).await.is_err() {
            tracing::warn!(connections = open.len(), "the grace period is over: what goes on is cut");
            cut.cancel();
            open.wait().await;
        }
    }
}

/// The client was gone before it was let in.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection from its first byte to its last.
async fn attend(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, _place: Place) {
    let socket = socket2::SockRef::from(&stream);
    // A system without one of them is no reason to refuse a client.
    let _set = socket.set_tcp_nodelay(true);
    let _set = socket.set_tcp_notsent_lowat(UNSENT);
    let within = shared.limits.header_timeout;
    let opened = async {
        if let Some(tls) = &shared.tls {
            let stream = tls.accept(stream).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            return Ok(Opened::Tls(Box::new(stream), http2));
        }
        first_bytes::read(stream).await.map(|(stream, http2)| Opened::Plain(stream, http2))
    };
    let opened = tokio::select! {
        opened = tokio::time::timeout(within, opened) => opened,
        () = shared.ending.cancelled() => return,
    };
    match opened {
        Ok(Ok(Opened::Tls(stream, http2))) => converse(stream, http2, peer, &shared).await,
        Ok(Ok(Opened::Plain(stream, http2))) => converse(stream, http2, peer, &shared).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its first request"),
        Err(_late) => shared.counts.closed(Closed::Opening),
    }
}

enum Opened {
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>, bool),
    Plain(Rewound<TcpStream>, bool),
}

/// Requests and answers over a connection whose protocol is known.
async fn converse(
    io: impl OverTcp + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    peer: SocketAddr,
    shared: &Shared,
) {
    let activity = Arc::new(Activity::new(shared.limits, http2));
    let io = TokioIo::new(activity::Noticed::new(io, Arc::clone(&activity)));
    let (router, asked) = (shared.router.clone(), Arc::clone(&activity));
    let service = service_fn(move |request: Request<Incoming>| {
        let asking = Activity::begin(&asked);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = router.clone();
        async move {
            let answer = router.oneshot(request).await?;
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, asking)))
        }
    });
    let limits = &shared.limits;
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .max_send_buf_size(BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(limits.header_timeout);
        drive(builder.serve_connection(io, service), &activity, shared).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The activity is the judge, and tells a first head from one after a pause; this is the second line.
            .header_read_timeout(limits.idle_timeout + limits.header_timeout)
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD as usize)
            .max_buf_size(BUFFER);
        drive(builder.serve_connection(io, service), &activity, shared).await;
    }
}

/// Lets a connection go on until it ends, is overdue, or the service ends.
async fn drive<C>(connection: C, activity: &Activity, shared: &Shared)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = std::pin::pin!(connection);
    let mut look = tokio::time::interval(LOOK);
    let mut told = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = shared.ending.cancelled(), if !told => {
                told = true;
                activity.end();
                connection.as_mut().graceful_shutdown();
            }
            _ = look.tick() => match activity.overdue() {
                None => {}
                // A polite end first: a client that is just sending the next request learns that it was not taken.
                Some(Overdue::Idle) if !told => {
                    told = true;
                    activity.end();
                    connection.as_mut().graceful_shutdown();
                    shared.counts.closed(Closed::Idle);
                }
                Some(Overdue::Idle | Overdue::Ended) => return,
                Some(Overdue::Head) => return shared.counts.closed(Closed::Head),
                Some(Overdue::Answer) => {
                    activity.reset();
                    return shared.counts.closed(Closed::Answer);
                }
            },
        }
    }
}
