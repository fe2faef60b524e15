//! Requests as bytes: clients of HTTP tidy up what they send, and whoever attacks does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that is made again when the service has closed it.
pub(super) struct Wire {
    address: String,
    stream: Option<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// To `host:port`.
    pub(super) fn to(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    /// Sends a request and gives its answer.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        target: &[u8],
        headers: &[(String, String)],
        body: &[u8],
    ) -> Answer {
        let mut request = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n"].concat();
        for (name, value) in headers {
            request.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        request.extend(format!("host: {}\r\ncontent-length: {}\r\n\r\n", self.address, body.len()).into_bytes());
        request.extend(body);
        let exchange = async {
            // The connection of the last answer may have been closed meanwhile.
            if self.stream.is_some()
                && let Some(answer) = self.exchange(&request, method == "HEAD").await
            {
                return answer;
            }
            self.stream = Some(TcpStream::connect(&self.address).await.unwrap());
            let answer = self.exchange(&request, method == "HEAD").await;
            answer.unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(&request)))
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer comes")
    }

    /// None when the connection ended before an answer began.
    async fn exchange(&mut self, request: &[u8], without_body: bool) -> Option<Answer> {
        let mut stream = self.stream.take()?;
        // Whoever does not read to the end may have answered all the same.
        let _sent = stream.write_all(request).await;
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return None;
            }
        };
        let mut body = read.split_off(head + 4);
        let head = String::from_utf8_lossy(&read).into_owned();
        let status: u16 = head[9..12].parse().unwrap();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let without_body = without_body || matches!(status, 204 | 304);
        let length = answer.header("content-length").map(|length| length.parse().unwrap());
        let chunked = answer.header("transfer-encoding").is_some();
        let done = |body: &[u8]| match length {
            _ if without_body => true,
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        let mut closed = false;
        while !done(&body) && !closed {
            closed = stream.read_buf(&mut body).await.unwrap_or(0) == 0;
        }
        answer.body = body;
        if !closed && answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Some(answer)
    }
}
