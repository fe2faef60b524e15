//! `multipart/form-data`: a line of sizes of the pieces that arrive, then a body.
//!
//! The body is tried twice: as it is, and as the contents of files from which a good form is made.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use strongroom::domain::{FilePath, Metadata, Sha256Digest};
use strongroom::http::body::form;
use strongroom::http::digest::repr_digest;
use strongroom::registry::{Incoming, InputError};

use crate::input;

const BOUNDARY: &str = "XX";

/// What a form says, whatever pieces its bytes came in.
#[derive(Debug, Default, PartialEq)]
struct Said {
    metadata: Vec<Metadata>,
    files: Vec<(FilePath, Option<Sha256Digest>, Vec<u8>)>,
}

pub(crate) fn check(bytes: &[u8]) {
    let (sizes, body) = input::first_line(bytes);
    let sizes = if sizes.is_empty() { &[0][..] } else { sizes };
    let at_once = read(&[body]);
    let in_pieces = read(&input::pieces(body, sizes));
    match (&at_once, &in_pieces) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("at once {at_once:?}, in pieces {in_pieces:?}"),
    }
    if let Ok(said) = at_once {
        // Nothing is made up, and nothing that closes a part is in one.
        assert!(said.files.iter().map(|(_, _, content)| content.len()).sum::<usize>() <= body.len());
        assert!(contains(body, b"--XX--"), "a form without an end is whole");
        assert!(said.files.iter().all(|(_, _, content)| !contains(content, b"\r\n--XX")));
    }
    made(body, sizes);
}

/// A form that is made of these contents says just that.
fn made(body: &[u8], sizes: &[u8]) {
    let mut expected = Said::default();
    let mut form = Vec::new();
    for (number, content) in body.split(|byte| *byte == 0).enumerate().take(8) {
        if contains(content, b"\r\n--XX") || content.starts_with(b"--XX") {
            continue;
        }
        let path = format!("folder {number}/é.bin");
        let digest = (number % 2 == 0).then(|| Sha256Digest::of(content));
        form.extend_from_slice(b"--XX\r\nContent-Disposition: form-data; name=\"");
        form.extend_from_slice(path.as_bytes());
        form.extend_from_slice(b"\"; filename=\"x\"\r\nContent-Type: application/octet-stream\r\n");
        if let Some(digest) = digest {
            form.extend_from_slice(b"Repr-Digest: ");
            form.extend_from_slice(repr_digest(digest).as_bytes());
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"\r\n");
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
        expected.files.push((path.parse().unwrap(), digest, content.to_vec()));
    }
    if expected.files.is_empty() {
        return;
    }
    form.extend_from_slice(b"--XX--\r\n");
    assert_eq!(read(&input::pieces(&form, sizes)).unwrap(), expected);
    // Cut off anywhere before its end, it is never whole.
    let cut = body.len() % (form.len() - b"--\r\n".len());
    assert!(read(&input::pieces(&form[..cut], sizes)).is_err(), "cut at {cut}");
}

fn read(pieces: &[&[u8]]) -> Result<Said, String> {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let body = Body::from_stream(futures::stream::iter(pieces));
    crate::wire::block_on(async {
        let mut stream = form(body, BOUNDARY.to_owned());
        let mut said = Said::default();
        while let Some(incoming) = stream.next().await {
            match incoming.map_err(|error: InputError| error.to_string())? {
                Incoming::Metadata(metadata) => said.metadata.push(metadata),
                Incoming::File { path, sha256, size } => {
                    assert_eq!(size, None, "a form does not tell sizes");
                    said.files.push((path, sha256, Vec::new()));
                }
                Incoming::Chunk(chunk) => said.files.last_mut().unwrap().2.extend_from_slice(&chunk),
            }
        }
        Ok(said)
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
