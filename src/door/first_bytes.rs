//! Which protocol a connection without TLS speaks: its first bytes say so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::OverTcp;

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until the bytes are the preface of HTTP/2, or cannot become it.
///
/// # Errors
/// When the connection breaks, or ends before it said anything.
pub(super) async fn read<IO: AsyncRead + Unpin>(mut io: IO) -> io::Result<(Rewound<IO>, bool)> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let missing = (PREFACE.len() - first.len()) as u64;
        if (&mut io).take(missing).read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let http2 = &first[..] == PREFACE;
    Ok((Rewound { first: first.freeze(), io }, http2))
}

/// A connection that gives the bytes again that were read from it.
#[derive(Debug)]
pub(super) struct Rewound<IO> {
    first: Bytes,
    io: IO,
}

impl OverTcp for Rewound<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewound<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let taken = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..taken]);
        self.first.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewound<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn preface_is_known_and_every_byte_is_given_again() {
        let more = [PREFACE, b"frames"].concat();
        for (said, expected) in
            [(&more[..], true), (b"POST / HTTP/1.1\r\n", false), (b"GET", false), (b"PRI * HTTP/1.1\r\n", false)]
        {
            let (mut io, http2) = read(said).await.unwrap();
            assert_eq!(http2, expected);
            let mut again = Vec::new();
            io.read_to_end(&mut again).await.unwrap();
            assert_eq!(again, said);
        }
        assert!(read(&b""[..]).await.is_err());
        assert!(read(&b"PRI"[..]).await.is_err());
    }
}
