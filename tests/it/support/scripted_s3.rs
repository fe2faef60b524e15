//! An S3 that answers from a script: for what no real one does on demand, such as an object of 48 TiB or a lost answer.
//!
//! Each operation has its own list of replies, given in order; a request beyond them is answered with 400 `Unscripted`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use super::fault_proxy::Asked;

/// One answer, or none.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection ends.
    HangUp,
}

impl Reply {
    /// A body of XML with status 200.
    pub(crate) fn xml(body: impl Into<String>) -> Self {
        Self::Answer(200, Vec::new(), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", body.into()))
    }

    /// An error document.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
        Self::Answer(status, Vec::new(), body)
    }

    /// No body.
    pub(crate) fn empty(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }

    pub(crate) fn header(self, name: &'static str, value: impl ToString) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_string()));
                Self::Answer(status, headers, body)
            }
            Self::HangUp => self,
        }
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// The operation and the target.
    pub(crate) asked: Asked,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The server; it ends when it is dropped.
pub(crate) struct ScriptedS3 {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct State {
    script: HashMap<&'static str, VecDeque<Reply>>,
    received: Vec<Received>,
}

impl ScriptedS3 {
    /// A server that has nothing to say yet.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state))).abort_handle();
        Self { endpoint, state, accepting }
    }

    /// Adds the next replies to an operation, by its API name.
    pub(crate) fn reply(&self, operation: &'static str, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().script.entry(operation).or_default().extend(replies);
    }

    /// The requests of an operation so far.
    pub(crate) fn received(&self, operation: &str) -> Vec<Received> {
        let state = self.state.lock().unwrap();
        state.received.iter().filter(|received| received.asked.operation == operation).cloned().collect()
    }

    /// The operations of all requests so far, in their order.
    pub(crate) fn operations(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.received.iter().map(|received| received.asked.operation.clone()).collect()
    }
}

impl Drop for ScriptedS3 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    let serve = service_fn(|request| answer(Arc::clone(&state), request));
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

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked::of(&head);
    let reply = {
        let mut state = state.lock().unwrap();
        let reply = state.script.get_mut(asked.operation.as_str()).and_then(VecDeque::pop_front);
        let body = String::from_utf8_lossy(&body).into_owned();
        state.received.push(Received { asked, headers: head.headers, body });
        reply.unwrap_or_else(|| Reply::error(400, "Unscripted"))
    };
    let Reply::Answer(status, headers, body) = reply else { return Err(io::Error::other("hung up")) };
    let mut answer = Response::new(Full::new(Bytes::from(if head.method == "HEAD" { String::new() } else { body })));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(answer)
}
