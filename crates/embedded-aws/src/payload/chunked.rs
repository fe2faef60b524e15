//! The aws-chunked coding: checked, and its large unsigned chunks cut into small ones.
//!
//! `<hex size>[;chunk-signature=<64 hex>]CRLF data CRLF … 0[;…]CRLF [trailer lines] CRLF`.
//! A signed chunk must stay whole, because its signature covers it; so its size is limited.

use std::collections::VecDeque;

use axum::http::HeaderMap;
use bytes::{Bytes, BytesMut};

use super::BodyFault;

/// Largest signed chunk in bytes: it is held in memory until its signature is verified.
const MAX_SIGNED_CHUNK: u64 = 16 * 1024 * 1024;
/// Largest header line of a chunk in bytes.
const MAX_LINE: usize = 1024;
/// Largest trailer section in bytes.
const MAX_TRAILERS: usize = 16 * 1024;

/// The state of one body.
#[derive(Debug)]
pub(super) struct Chunked {
    signed: bool,
    /// `x-amz-decoded-content-length`; its absence is refused where the signature is checked.
    announced: Option<u64>,
    decoded: u64,
    /// Lower-case names of `x-amz-trailer`.
    trailers: Vec<String>,
    state: State,
    line: BytesMut,
}

#[derive(Debug)]
enum State {
    /// In the header line of a chunk.
    Header,
    Data {
        remaining: u64,
    },
    /// In the CRLF after the data.
    DataEnd,
    /// After the last chunk: trailers, up to the end of the body.
    Trailers,
}

impl Chunked {
    /// The coding that the headers announce; `None` for any other body.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let payload = headers.get("x-amz-content-sha256")?.to_str().ok()?;
        let signed = match payload {
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => false,
            payload if payload.starts_with("STREAMING-") => true,
            _ => return None,
        };
        let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let trailers = headers
            .get_all("x-amz-trailer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        Some(Self {
            signed,
            announced: number("x-amz-decoded-content-length"),
            decoded: 0,
            trailers,
            state: State::Header,
            line: BytesMut::new(),
        })
    }

    /// Takes bytes as they come and gives out those that may go on.
    pub(super) fn push(&mut self, mut bytes: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        while !bytes.is_empty() {
            match self.state {
                State::Header => self.take_header(&mut bytes, out)?,
                State::Data { remaining } => self.take_data(&mut bytes, remaining, out),
                State::DataEnd => self.take_data_end(&mut bytes, out)?,
                State::Trailers => {
                    self.line.extend_from_slice(&bytes);
                    bytes.clear();
                    if self.line.len() > MAX_TRAILERS {
                        return Err(BodyFault::Malformed("the trailers are too long"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that the body is whole, and gives out its trailers.
    pub(super) fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        if !matches!(self.state, State::Trailers) {
            return Err(BodyFault::Incomplete);
        }
        if self.announced.is_some_and(|announced| announced != self.decoded) {
            return Err(BodyFault::Incomplete);
        }
        let text = str::from_utf8(&self.line).map_err(|_| BodyFault::Malformed("the trailers are not text"))?;
        let mut sent = Vec::new();
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            let (name, _) = line.split_once(':').ok_or(BodyFault::Malformed("a trailer has no value"))?;
            sent.push(name.to_ascii_lowercase());
        }
        if self.trailers.iter().any(|name| !sent.contains(name)) {
            return Err(BodyFault::Malformed("an announced trailer is missing"));
        }
        if sent.iter().any(|name| name != "x-amz-trailer-signature" && !self.trailers.contains(name)) {
            return Err(BodyFault::Malformed("a trailer was not announced"));
        }
        if !self.line.is_empty() {
            out.push_back(self.line.split().freeze());
        }
        Ok(())
    }

    fn take_header(&mut self, bytes: &mut Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        self.line.extend_from_slice(&bytes.split_to(end));
        if self.line.len() > MAX_LINE {
            return Err(BodyFault::Malformed("the header of a chunk is too long"));
        }
        if !self.line.ends_with(b"\n") {
            return Ok(());
        }
        let line = self.line.split().freeze();
        let text = line.strip_suffix(b"\r\n").and_then(|text| str::from_utf8(text).ok());
        let text = text.ok_or(BodyFault::Malformed("the header of a chunk does not end in CRLF"))?;
        let (size, extension) = match text.split_once(';') {
            Some((size, extension)) => (size, Some(extension)),
            None => (text, None),
        };
        if extension.is_some() != self.signed {
            return Err(BodyFault::Malformed("chunks are signed exactly when the payload is"));
        }
        let digits = (1..=8).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = if digits { u64::from_str_radix(size, 16).ok() } else { None };
        let size = size.ok_or(BodyFault::Malformed("the size of a chunk is not a hex number"))?;
        if self.signed && size > MAX_SIGNED_CHUNK {
            return Err(BodyFault::ChunkTooLarge { size, limit: MAX_SIGNED_CHUNK });
        }
        self.decoded += size;
        if self.announced.is_some_and(|announced| self.decoded > announced) {
            return Err(BodyFault::Malformed("the body is longer than announced"));
        }
        // Unsigned chunks get a header for each piece that they arrive in.
        if self.signed || size == 0 {
            out.push_back(line);
        }
        self.state = if size == 0 { State::Trailers } else { State::Data { remaining: size } };
        Ok(())
    }

    fn take_data(&mut self, bytes: &mut Bytes, remaining: u64, out: &mut VecDeque<Bytes>) {
        let piece = bytes.split_to(usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len()));
        let remaining = remaining - piece.len() as u64;
        if self.signed {
            out.push_back(piece);
        } else {
            out.push_back(Bytes::from(format!("{:x}\r\n", piece.len())));
            out.push_back(piece);
            out.push_back(Bytes::from_static(b"\r\n"));
        }
        self.state = if remaining == 0 { State::DataEnd } else { State::Data { remaining } };
    }

    fn take_data_end(&mut self, bytes: &mut Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BodyFault> {
        let missing = 2 - self.line.len();
        self.line.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
        if !b"\r\n".starts_with(&self.line) {
            return Err(BodyFault::Malformed("a chunk is longer than its size"));
        }
        if self.line.len() == 2 {
            let end = self.line.split().freeze();
            if self.signed {
                out.push_back(end);
            }
            self.state = State::Header;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(payload: &'static str, length: &'static str, trailer: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-content-sha256", HeaderValue::from_static(payload));
        headers.insert("x-amz-decoded-content-length", HeaderValue::from_static(length));
        if let Some(trailer) = trailer {
            headers.insert("x-amz-trailer", HeaderValue::from_static(trailer));
        }
        headers
    }

    const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

    /// Feeds a body in pieces of `step` bytes.
    fn run(headers: &HeaderMap, body: &[u8], step: usize) -> Result<Vec<u8>, BodyFault> {
        let mut chunked = Chunked::of(headers).unwrap();
        let mut out = VecDeque::new();
        for piece in body.chunks(step) {
            chunked.push(Bytes::copy_from_slice(piece), &mut out)?;
        }
        chunked.finish(&mut out)?;
        Ok(out.into_iter().flatten().collect())
    }

    /// The data of an unsigned body, and what follows its last chunk.
    fn decode(mut body: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut data = Vec::new();
        loop {
            let end = body.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let size = usize::from_str_radix(str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
            body = &body[end + 2..];
            if size == 0 {
                return (data, body.to_vec());
            }
            data.extend_from_slice(&body[..size]);
            assert_eq!(&body[size..size + 2], b"\r\n");
            body = &body[size + 2..];
        }
    }

    #[test]
    fn other_bodies_are_left_alone() {
        assert!(Chunked::of(&HeaderMap::new()).is_none());
        assert!(Chunked::of(&headers("UNSIGNED-PAYLOAD", "0", None)).is_none());
    }

    #[test]
    fn unsigned_chunks_keep_their_data_in_whatever_pieces_they_arrive() {
        let headers = headers(UNSIGNED, "11", Some("x-amz-checksum-crc32"));
        let body = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
        for step in 1..=body.len() {
            let (data, trailers) = decode(&run(&headers, body, step).unwrap());
            assert_eq!(data, b"hello world", "step {step}");
            assert_eq!(trailers, b"x-amz-checksum-crc32:DUoRhQ==\r\n\r\n", "step {step}");
        }
    }

    #[test]
    fn signed_chunks_pass_byte_for_byte() {
        let signature = "a".repeat(64);
        let body = format!("3;chunk-signature={signature}\r\nabc\r\n0;chunk-signature={signature}\r\n\r\n");
        for step in 1..=body.len() {
            assert_eq!(run(&headers(SIGNED, "3", None), body.as_bytes(), step).unwrap(), body.as_bytes());
        }
    }

    #[test]
    fn every_truncation_is_noticed() {
        let headers = headers(UNSIGNED, "11", Some("x-amz-checksum-crc32"));
        let body = b"b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==";
        assert!(run(&headers, body, 7).is_ok());
        for end in 0..body.len() - b":DUoRhQ==".len() {
            assert!(run(&headers, &body[..end], 7).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn lies_about_length_and_trailers_are_refused() {
        let plain = b"3\r\nabc\r\n0\r\n\r\n";
        assert!(run(&headers(UNSIGNED, "3", None), plain, 100).is_ok());
        assert_eq!(run(&headers(UNSIGNED, "4", None), plain, 100), Err(BodyFault::Incomplete));
        assert!(matches!(run(&headers(UNSIGNED, "2", None), plain, 100), Err(BodyFault::Malformed(_))));
        let announced = headers(UNSIGNED, "3", Some("x-amz-checksum-sha256"));
        assert!(matches!(run(&announced, plain, 100), Err(BodyFault::Malformed(_))));
        let unannounced = b"3\r\nabc\r\n0\r\nx-amz-checksum-sha1:a\r\n\r\n";
        assert!(matches!(run(&headers(UNSIGNED, "3", None), unannounced, 100), Err(BodyFault::Malformed(_))));
    }

    #[test]
    fn malformed_framing_is_refused() {
        for body in [
            &b"x\r\nabc\r\n0\r\n\r\n"[..],
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabcX\r\n",
            b"3;chunk-signature=00\r\nabc\r\n0\r\n\r\n",
            b"123456789\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
        ] {
            let mut headers = headers(UNSIGNED, "3", None);
            headers.remove("x-amz-decoded-content-length");
            assert!(matches!(run(&headers, body, 100), Err(BodyFault::Malformed(_))), "{body:?}");
        }
        let long = [b'1'; 2000];
        assert!(matches!(run(&headers(UNSIGNED, "3", None), &long, 100), Err(BodyFault::Malformed(_))));
        assert!(matches!(run(&headers(SIGNED, "3", None), b"3\r\nabc\r\n", 100), Err(BodyFault::Malformed(_))));
    }

    #[test]
    fn signed_chunk_that_would_fill_the_memory_is_refused() {
        let header = format!("1000001;chunk-signature={}\r\n", "a".repeat(64));
        let refused = run(&headers(SIGNED, "16777217", None), header.as_bytes(), 100);
        assert!(matches!(refused, Err(BodyFault::ChunkTooLarge { .. })));
        let unsigned = run(&headers(UNSIGNED, "16777217", None), b"1000001\r\n", 100);
        assert_eq!(unsigned, Err(BodyFault::Incomplete));
    }
}
