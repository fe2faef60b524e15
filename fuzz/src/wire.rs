//! HTTP as a client speaks it: requests from bytes, over a connection of their own, and answers.
//!
//! What is sent is always well-formed HTTP, because the parser of that is hyper's and not ours.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::input;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(8);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Directories that are there until somebody cleans up.
static FOLDERS: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());

pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A new directory, until [`clean_up`].
pub(crate) fn new_folder() -> PathBuf {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    path
}

/// The directory for files of the only one who asks.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(new_folder);
    &FOLDER
}

/// Removes what targets have written; none of them may be tried after that.
pub fn clean_up() {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) method: String,
    /// `/path?query`.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Wish {
    /// `METHOD /target`, headers a line each, an empty line, a body; what cannot be part of a request is left away.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (line, mut rest) = input::first_line(bytes);
        let (method, target) = input::split_once(line, b' ')?;
        let method = String::from_utf8(method.to_ascii_uppercase()).ok()?;
        let is_method = (1..=16).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
        if !is_method || method == "PRI" || method == "CONNECT" || !target.starts_with(b"/") {
            return None;
        }
        let mut wish = Self { method, target: visible(target), ..Self::default() };
        while !rest.is_empty() {
            let (line, after) = input::first_line(rest);
            rest = after;
            if line.trim_ascii().is_empty() {
                break;
            }
            if let Some((name, value)) = input::header(line)
                && let Ok(value) = value.to_str()
            {
                wish.headers.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
        wish.body = rest.to_vec();
        Some(wish)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Whether it tells of its length itself, rightly or not.
    pub(crate) fn frames_itself(&self) -> bool {
        ["content-length", "transfer-encoding", "expect", "upgrade", "connection"]
            .iter()
            .any(|name| self.header(name).is_some())
    }

    /// The answer, if there is one before the connection ends.
    pub(crate) fn send(&self, to: SocketAddr) -> Option<Answer> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if self.header("host").is_none() {
            write!(head, "host: {to}\r\n").unwrap();
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.header("connection").is_none() {
            head.push_str("connection: close\r\n");
        }
        if !self.frames_itself() {
            write!(head, "content-length: {}\r\n", self.body.len()).unwrap();
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        // The other side may answer and hang up before it has read everything.
        let _ = stream.write_all(&[head.as_bytes(), &self.body].concat());
        // Who announces more than comes, says so by ending; of a whole request that would be a hang-up.
        if self.frames_itself() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("no whole answer within {PATIENCE:?}: {self:?}")
            }
            _ => {}
        }
        Answer::read(&answer)
    }
}

/// The bytes of a target, escaped where no client could send them.
fn visible(target: &[u8]) -> String {
    let mut text = String::new();
    for byte in target {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
    }
    text
}

impl Answer {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
            let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
            bytes = &bytes[end + 4..];
            let mut lines = head.split("\r\n");
            let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
            if status < 200 {
                continue;
            }
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut answer = Self { status, headers, body: Vec::new() };
            answer.body = match answer.header("transfer-encoding") {
                Some(_) => unchunked(bytes),
                None => bytes.to_vec(),
            };
            return Some(answer);
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The data of a chunked body, as far as it came.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some((line, rest)) = input::split_once(bytes, b'\n') {
        let size = std::str::from_utf8(line).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size @ 1..) = size else { break };
        let size = size.min(rest.len());
        data.extend_from_slice(&rest[..size]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    data
}
