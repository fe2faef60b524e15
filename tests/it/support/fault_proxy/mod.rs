//! A network and a cloud that go wrong: a proxy between SDK clients and an S3 or KMS endpoint.
//!
//! It passes on every byte as it is, `Host` and path included, so that signatures hold, and streams both ways with the
//! back pressure of the slower side. What its rules say goes wrong; what came and what became of it is kept.
//! It forwards on a connection of its own per request: nothing of a broken exchange is left for the next one.

mod operation;
mod rule;
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, BodyStream, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

pub(crate) use self::operation::{Asked, Protocol};
pub(crate) use self::rule::{Fault, Rule};

type Body = BoxBody<Bytes, io::Error>;

/// What a duplicated request, or an answer that is kept, may measure.
const KEPT: usize = 16 * 1024 * 1024;

/// The proxy; it ends, with every connection, when it is dropped.
pub(crate) struct FaultProxy {
    endpoint: String,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// A request that came, and what happened to it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) asked: Asked,
    pub(crate) fault: Option<Fault>,
    /// What the server answered; none when it was not asked, or did not answer.
    pub(crate) status: Option<u16>,
}

struct Shared {
    upstream: Upstream,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    kept: HashMap<(String, String), (StatusCode, axum::http::HeaderMap, Bytes)>,
}

struct Upstream {
    authority: String,
    tls: Option<TlsConnector>,
}

impl FaultProxy {
    /// A proxy in front of `endpoint` (`http://host:port`), without any fault yet.
    pub(crate) async fn new(endpoint: &str) -> Self {
        Self::in_front_of(endpoint, None).await
    }

    /// A proxy in front of a server that speaks TLS with a certificate of this authority; towards clients it does not.
    pub(crate) async fn before_tls(endpoint: &str, ca_file: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Self::in_front_of(endpoint, Some(TlsConnector::from(Arc::new(config)))).await
    }

    async fn in_front_of(endpoint: &str, tls: Option<TlsConnector>) -> Self {
        let (scheme, authority) = endpoint.split_once("://").unwrap();
        assert_eq!(scheme == "https", tls.is_some(), "{endpoint}");
        let upstream = Upstream { authority: authority.trim_end_matches('/').to_owned(), tls };
        let shared = Arc::new(Shared { upstream, state: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { endpoint, shared, accepting }
    }

    /// Where clients find it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Adds a rule; of those that strike, the first one added counts.
    pub(crate) fn inject(&self, rule: Rule) {
        self.shared.state.lock().unwrap().rules.push(rule);
    }

    /// From now on nothing goes wrong; what was seen is forgotten, too.
    pub(crate) fn heal(&self) {
        *self.shared.state.lock().unwrap() = State::default();
    }

    /// Every request so far, in the order they came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.state.lock().unwrap().seen.clone()
    }

    /// How many requests of an operation came.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.shared.state.lock().unwrap().seen.iter().filter(|seen| seen.asked.operation == operation).count()
    }

    /// How many requests went wrong.
    pub(crate) fn faults(&self) -> usize {
        self.shared.state.lock().unwrap().seen.iter().filter(|seen| seen.fault.is_some()).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let serve = service_fn(|request| exchange(Arc::clone(&shared), request));
                    // An error here is a connection that was meant to end, or a client that went away.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request; an error ends the connection without an answer.
async fn exchange(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let asked = Asked::of(&head);
    let (fault, number) = {
        let mut state = shared.state.lock().unwrap();
        let fault = state.rules.iter_mut().find_map(|rule| rule.judge(&asked));
        state.seen.push(Seen { asked: asked.clone(), fault: fault.clone(), status: None });
        (fault, state.seen.len() - 1)
    };
    let line = (asked.operation.clone(), asked.target.clone());
    let request = Request::from_parts(head, body.map_err(io::Error::other).boxed());
    let answer = match &fault {
        None | Some(Fault::HangUpAfter | Fault::Truncate(_) | Fault::Corrupt(_) | Fault::Drip(..)) => {
            forward(&shared, request).await?
        }
        Some(Fault::CutSent(length)) => forward(&shared, request.map(|body| truncated(body, *length))).await?,
        Some(Fault::SpoilSent(place)) => forward(&shared, request.map(|body| corrupted(body, *place))).await?,
        Some(Fault::Answer { status, code, message, headers }) => {
            // The body is read: a client that still sends would take the end of the connection for the answer.
            drain(request.into_body()).await;
            return Ok(error(&asked, *status, code, message, headers));
        }
        Some(Fault::HangUpBefore) => return Err(io::Error::other("hung up before the request was passed on")),
        Some(Fault::BlackHole) => {
            drain(request.into_body()).await;
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(*time).await;
            forward(&shared, request).await?
        }
        Some(Fault::Duplicate) => {
            let (head, body) = request.into_parts();
            let Ok(body) = Limited::new(body, KEPT).collect().await else {
                return Ok(error(&asked, 413, "EntityTooLarge", "too large to be sent twice", &[]));
            };
            let body = body.to_bytes();
            let again = || Request::from_parts(head.clone(), full(body.clone()));
            drain(forward(&shared, again()).await?.into_body()).await;
            forward(&shared, again()).await?
        }
        Some(Fault::Stale) => {
            let kept = shared.state.lock().unwrap().kept.get(&line).cloned();
            if let Some(kept) = kept {
                drain(request.into_body()).await;
                return Ok(rebuilt(kept));
            }
            let (head, body) = forward(&shared, request).await?.into_parts();
            let body = Limited::new(body, KEPT).collect().await.map_err(io::Error::other)?.to_bytes();
            let kept = (head.status, head.headers, body);
            shared.state.lock().unwrap().kept.insert(line, kept.clone());
            rebuilt(kept)
        }
    };
    if let Some(seen) = shared.state.lock().unwrap().seen.get_mut(number) {
        seen.status = Some(answer.status().as_u16());
    }
    match fault {
        Some(Fault::HangUpAfter) => {
            drain(answer.into_body()).await;
            Err(io::Error::other("hung up when the server had answered"))
        }
        Some(Fault::Truncate(length)) => Ok(answer.map(|body| truncated(body, length))),
        Some(Fault::Corrupt(place)) => Ok(answer.map(|body| corrupted(body, place))),
        Some(Fault::Drip(size, pause)) => Ok(answer.map(|body| dripping(body, size, pause))),
        _ => Ok(answer),
    }
}

async fn forward(shared: &Shared, request: Request<Body>) -> Result<Response<Body>, io::Error> {
    let stream = TcpStream::connect(&shared.upstream.authority).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &shared.upstream.tls else { return ask(stream, request).await };
    let host = shared.upstream.authority.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
    ask(tls.connect(ServerName::try_from(host).map_err(io::Error::other)?, stream).await?, request).await
}

/// Sends one request on a connection of its own, which lives until the answer's body has been read.
async fn ask<S>(stream: S, mut request: Request<Body>) -> Result<Response<Body>, io::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends by itself: with the answer's body, or with the sender that a dropped exchange takes along.
    tokio::spawn(connection);
    let mut answer = sender.send_request(request).await.map_err(io::Error::other)?;
    answer.headers_mut().remove(header::CONNECTION);
    Ok(answer.map(|body| body.map_err(io::Error::other).boxed()))
}

/// Reads a body to its end and forgets it.
async fn drain(body: Body) {
    let mut frames = BodyStream::new(body);
    while let Some(Ok(_)) = frames.next().await {}
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed()
}

fn rebuilt((status, headers, body): (StatusCode, axum::http::HeaderMap, Bytes)) -> Response<Body> {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

fn error(
    asked: &Asked,
    status: u16,
    code: &str,
    message: &str,
    headers: &[(&'static str, &'static str)],
) -> Response<Body> {
    let (form, text) = match asked.protocol {
        Protocol::S3 => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                 <RequestId>FAULT</RequestId></Error>"
            ),
        ),
        Protocol::Kms => {
            ("application/x-amz-json-1.1", serde_json::json!({ "__type": code, "message": message }).to_string())
        }
    };
    let text = if asked.method == "HEAD" { String::new() } else { text };
    let mut answer = Response::builder().status(status).header(header::CONTENT_TYPE, form);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(full(text.into())).unwrap()
}

/// Ends with an error, which ends the connection, after so many bytes.
fn truncated(body: Body, length: usize) -> Body {
    let mut left = length;
    let frames = BodyStream::new(body).and_then(move |frame| {
        let Ok(mut data) = frame.into_data() else { return futures::future::ready(Err(io::Error::other("truncated"))) };
        let cut = data.len() > left;
        data.truncate(left);
        left -= data.len();
        futures::future::ready(if cut && data.is_empty() {
            Err(io::Error::other("truncated"))
        } else {
            Ok(Frame::data(data))
        })
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn corrupted(body: Body, place: usize) -> Body {
    let mut left = Some(place);
    BodyExt::boxed(body.map_frame(move |frame| match (frame.into_data(), left) {
        (Ok(data), Some(place)) if place < data.len() => {
            left = None;
            let mut data = data.to_vec();
            data[place] ^= 1;
            Frame::data(data.into())
        }
        (Ok(data), Some(place)) => {
            left = Some(place - data.len());
            Frame::data(data)
        }
        (Ok(data), None) => Frame::data(data),
        (Err(trailers), _) => trailers,
    }))
}

fn dripping(body: Body, size: usize, pause: Duration) -> Body {
    let drops = BodyStream::new(body).map_ok(move |frame| {
        let data = frame.into_data().unwrap_or_default();
        let starts = (0..data.len()).step_by(size).collect::<Vec<_>>();
        futures::stream::iter(starts).then(move |start| {
            let drop = data.slice(start..(start + size).min(data.len()));
            async move {
                tokio::time::sleep(pause).await;
                Ok::<_, io::Error>(Frame::data(drop))
            }
        })
    });
    BodyExt::boxed(StreamBody::new(drops.try_flatten()))
}
