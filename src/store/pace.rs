//! How fast S3 must give the bytes of an object.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

/// What a body must bring in a second that it is waited for; half of what a slow modem had.
const BYTES_PER_SECOND: u64 = 4 * 1024;

/// Guards one body against silence and against a drip.
///
/// Only the time spent waiting for S3 counts: a client that reads slowly is no fault of S3.
#[derive(Debug)]
pub(super) struct Pace {
    stretch: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Silence may last for `stretch`, and each stretch must bring its bytes.
    pub(super) fn new(stretch: Duration) -> Self {
        Self { stretch, waited: Duration::ZERO, bytes: 0 }
    }

    /// The next piece of the body; none after the last.
    ///
    /// # Errors
    /// When it broke off, fell silent or dripped.
    pub(super) async fn next(&mut self, body: &mut ByteStream) -> std::io::Result<Option<Bytes>> {
        let late = |what| std::io::Error::new(std::io::ErrorKind::TimedOut, what);
        let began = Instant::now();
        let next = tokio::time::timeout(self.stretch, body.try_next())
            .await
            .map_err(|_| late("the object store fell silent"))?
            .map_err(std::io::Error::other)?;
        self.waited += began.elapsed();
        self.bytes += next.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.waited >= self.stretch {
            if next.is_some() && self.bytes < BYTES_PER_SECOND.saturating_mul(self.waited.as_secs()) {
                return Err(late("the object store gives bytes too slowly"));
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        Ok(next)
    }
}
