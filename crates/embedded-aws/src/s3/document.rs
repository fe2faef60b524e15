//! XML documents as S3 writes them, where the protocol crate writes them otherwise.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use std::io::Write;

const ATTRIBUTES: &[u8] = b"<GetObjectAttributesResponse";
const QUOTED: (&[u8], &[u8]) = (b"<ETag>\"", b"\"</ETag>");
const BARE: (&[u8], &[u8]) = (b"<ETag>", b"</ETag>");

/// What the protocol crate's own errors leave unsaid; clients show "Unknown" instead.
const MESSAGES: [(&str, &str); 8] = [
    ("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long"),
    ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    ("NotImplemented", "A header or query you provided implies functionality that is not implemented."),
    (
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    ),
];

/// Rewrites an answer that is a document of the protocol crate; those are whole in memory, objects are streams.
pub(super) fn rewritten(response: Response<s3s::Body>) -> Response<Body> {
    let is_xml = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) == Some(b"application/xml");
    let document = if is_xml { response.body().bytes() } else { None };
    let Some(document) = document.and_then(|document| explained(&document).or_else(|| rewrite(&document))) else {
        return response.map(Body::new);
    };
    let mut response = response.map(|_| Body::from(document));
    // The server measures the new one.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

/// The document of an error that has a code only, with its message.
fn explained(document: &[u8]) -> Option<Vec<u8>> {
    let document = str::from_utf8(document).ok()?;
    // An error is the whole document, not a line of a list.
    let (head, rest) = document.split_once("<Error><Code>").filter(|(head, _)| !head.contains("?><"))?;
    let (code, rest) = rest.split_once("</Code>")?;
    let (_, message) = MESSAGES.iter().find(|(known, _)| *known == code && !rest.contains("<Message>"))?;
    Some(format!("{head}<Error><Code>{code}</Code><Message>{message}</Message>{rest}").into_bytes())
}

/// What S3 would send instead, `None` when it is the same.
///
/// Parsers take a bare carriage return for a line feed, so that a key would come out as another; S3 writes control
/// characters as references. In this one document, S3 writes the ETag without quotes.
fn rewrite(document: &[u8]) -> Option<Vec<u8>> {
    let quoted = document.windows(ATTRIBUTES.len()).take(128).any(|window| window == ATTRIBUTES);
    if !quoted && !document.iter().any(|byte| is_control(*byte)) {
        return None;
    }
    let mut written = Vec::with_capacity(document.len() + 64);
    for byte in document {
        if is_control(*byte) {
            // Writing into memory cannot fail.
            let _ = write!(written, "&#x{byte:x};");
        } else {
            written.push(*byte);
        }
    }
    if quoted {
        for (from, to) in [(QUOTED.0, BARE.0), (QUOTED.1, BARE.1)] {
            if let Some(start) = written.windows(from.len()).position(|window| window == from) {
                written.splice(start..start + from.len(), to.iter().copied());
            }
        }
    }
    Some(written)
}

/// Characters that do not survive in a document; tabs and line feeds do.
fn is_control(byte: u8) -> bool {
    byte < 0x20 && byte != b'\t' && byte != b'\n'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(document: &str) -> Option<String> {
        rewrite(document.as_bytes()).map(|written| String::from_utf8(written).unwrap())
    }

    #[test]
    fn control_characters_become_references() {
        assert_eq!(text("<Key>a\rb\u{1}\t\n</Key>").unwrap(), "<Key>a&#xd;b&#x1;\t\n</Key>");
        assert_eq!(text("<Key>a\tb\nü</Key><ETag>\"1\"</ETag>"), None);
    }

    #[test]
    fn errors_without_a_message_get_theirs() {
        let explain = |document: &str| explained(document.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        let bare = "<?xml version=\"1.0\"?><Error><Code>InvalidURI</Code><RequestId>1</RequestId></Error>";
        let expected = "<?xml version=\"1.0\"?><Error><Code>InvalidURI</Code>\
                        <Message>Couldn't parse the specified URI.</Message><RequestId>1</RequestId></Error>";
        assert_eq!(explain(bare).unwrap(), expected);
        assert_eq!(explain(expected), None);
        assert_eq!(explain("<Error><Code>NoSuchKey</Code></Error>"), None);
    }

    #[test]
    fn attributes_have_an_etag_without_quotes() {
        let document =
            "<?xml version=\"1.0\"?><GetObjectAttributesResponse xmlns=\"x\"><ETag>\"ab-2\"</ETag><ObjectSize>1";
        let expected = "<?xml version=\"1.0\"?><GetObjectAttributesResponse xmlns=\"x\"><ETag>ab-2</ETag><ObjectSize>1";
        assert_eq!(text(document).unwrap(), expected);
    }
}
