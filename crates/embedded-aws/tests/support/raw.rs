//! Requests that no SDK would send: signed by hand, changed after signing, or not signed at all.

use aws_lc_rs::{digest, hmac};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Raw {
    pub method: String,
    /// `/bucket/key?query`.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

/// Whose signature, where and when it is valid.
#[derive(Clone, Debug)]
pub struct Signer {
    pub access_key: String,
    pub secret_key: String,
    pub region: String,
    pub service: String,
    pub time: OffsetDateTime,
}

impl Raw {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Of a URL on this endpoint.
    pub fn of_url(method: &str, url: &str) -> Self {
        let (_, rest) = url.split_once("://").unwrap();
        Self::new(method, &rest[rest.find('/').unwrap()..])
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Signs all headers that are there so far, with the hash of the body.
    pub fn sign(self, address: std::net::SocketAddr, signer: &Signer) -> Self {
        let hash = sha256_hex(&self.body);
        self.sign_payload(address, signer, &hash)
    }

    /// As [`sign`](Self::sign), with a payload hash of the caller's choice.
    pub fn sign_payload(mut self, address: std::net::SocketAddr, signer: &Signer, payload: &str) -> Self {
        let stamp = signer.time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        self = self.header("x-amz-date", &stamp);
        if signer.service == "s3" {
            self = self.header("x-amz-content-sha256", payload);
        }
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), address.to_string()));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ":" + value + "\n");
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{payload}", self.method);
        let scope = format!("{}/{}/{}/aws4_request", &stamp[..8], signer.region, signer.service);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let mut key = format!("AWS4{}", signer.secret_key).into_bytes();
        for part in scope.split('/') {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        let signature = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes()));
        self.header(
            "authorization",
            &format!(
                "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
                signer.access_key
            ),
        )
    }

    pub async fn send(&self, address: std::net::SocketAddr) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.extend(["content-length: ", &self.body.len().to_string(), "\r\n\r\n"]);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(&self.body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.get(9..12).and_then(|status| status.parse().ok()).expect("an HTTP answer");
        Answer { status, text }
    }
}

impl Answer {
    /// Whether the answer is an error with this status and code.
    pub fn is(&self, status: u16, code: &str) -> bool {
        self.status == status
            && (self.text.contains(&format!("<Code>{code}</Code>"))
                || self.text.contains(&format!("\"__type\":\"{code}\"")))
    }
}

impl Signer {
    pub fn new(access_key: &str, secret_key: &str, service: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
            time: OffsetDateTime::now_utc(),
        }
    }
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
