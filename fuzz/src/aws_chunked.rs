//! The aws-chunked coding: a line of sizes of the pieces that arrive, headers up to an empty line, then a body.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use embedded_aws::payload::{BodyFault, guard};
use futures::StreamExt as _;

use crate::input;

pub(crate) fn check(bytes: &[u8]) {
    let (sizes, rest) = input::first_line(bytes);
    let end = rest.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((rest, &b""[..]), |at| (&rest[..at], &rest[at + 2..]));
    let headers = input::headers(head);
    let at_once = read(&headers, &[body]);
    let in_pieces = read(&headers, &input::pieces(body, sizes));
    assert_eq!(
        at_once.as_ref().map(|read| decoded(&headers, read)),
        in_pieces.as_ref().map(|read| decoded(&headers, read))
    );
    let Ok(read) = at_once else { return };
    match decoded(&headers, &read) {
        None => assert_eq!(read, body, "a plain body is changed"),
        Some((data, _)) => {
            let announced = headers.get("x-amz-decoded-content-length").and_then(|value| value.to_str().ok());
            if let Some(announced) = announced.and_then(|text| text.trim().parse::<usize>().ok()) {
                assert_eq!(data.len(), announced, "another length than was announced");
            }
            assert!(data.len() <= body.len());
        }
    }
}

/// What may go on, or what is wrong.
fn read(headers: &HeaderMap, pieces: &[&[u8]]) -> Result<Vec<u8>, BodyFault> {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    crate::wire::block_on(async {
        let (body, failure) = guard(headers, Body::from_stream(futures::stream::iter(pieces)));
        let mut read = Vec::new();
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => read.extend_from_slice(&piece),
                Err(_) => return Err(failure.get().unwrap().clone()),
            }
        }
        assert_eq!(failure.get(), None, "a body with a fault is whole");
        Ok(read)
    })
}

/// Data and trailers of a chunked body that was let through; none when it is not chunked.
///
/// It was checked, so that whatever reads it next need not be careful: this does not forgive anything.
fn decoded(headers: &HeaderMap, mut read: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let payload = headers.get("x-amz-content-sha256")?.to_str().ok()?;
    let signed = match payload {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => false,
        payload if payload.starts_with("STREAMING-") => true,
        _ => return None,
    };
    let mut data = Vec::new();
    loop {
        let end = read.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let line = std::str::from_utf8(&read[..end]).unwrap();
        let size = line.split(';').next().unwrap();
        assert_eq!(signed, line.contains(';'));
        let size = usize::from_str_radix(size, 16).unwrap();
        read = &read[end + 2..];
        if size == 0 {
            return Some((data, read.to_vec()));
        }
        data.extend_from_slice(&read[..size]);
        assert_eq!(&read[size..size + 2], b"\r\n");
        read = &read[size + 2..];
    }
}
