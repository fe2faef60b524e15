//! Reading objects, always by their S3 VersionId.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use futures::Stream;

use super::attempts::within;
use super::pace::Pace;
use super::{Error, Store};
use crate::domain::Sha256Digest;

/// Bytes of an object, as they arrive.
#[derive(Debug)]
pub struct Bytes {
    body: ByteStream,
    /// Of the whole object, when the whole object is read.
    expected: Option<Sha256Digest>,
    left: u64,
    pace: Pace,
}

impl Store {
    /// Opens an object, or a range of it that lies within its size.
    ///
    /// With `sha256`, the whole is hashed on the way, and the stream fails before its last bytes when it differs.
    ///
    /// # Errors
    /// Of S3.
    pub async fn open(
        &self,
        key: &str,
        version_id: &str,
        range: Range<u64>,
        whole: Option<Sha256Digest>,
    ) -> Result<Bytes, Error> {
        let header = whole.is_none().then(|| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let object = self
            .s3()
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .version_id(version_id)
            .set_range(header)
            // The SDK then checks a whole object's checksum too, where S3 has one.
            .checksum_mode(ChecksumMode::Enabled)
            .set_expected_bucket_owner(self.owner())
            .customize()
            .config_override(within(self.until_first_byte()))
            .send()
            .await
            .map_err(Error::during("GetObject"))?;
        Ok(Bytes { body: object.body, expected: whole, left: range.end - range.start, pace: self.pace() })
    }
}

impl Bytes {
    /// All bytes of a small object.
    pub(super) async fn collect(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        loop {
            let next = self.pace.next(&mut self.body).await;
            match next.map_err(|error| Error::Unavailable { operation: "GetObject", source: error.into() })? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => return Ok(all),
            }
        }
    }

    /// The bytes as a stream; it holds one chunk back until the digest is known to be right.
    pub fn into_stream(self) -> impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
        let hash = Context::new(&SHA256);
        futures::stream::try_unfold((self, hash, None::<bytes::Bytes>), |(mut bytes, mut hash, held)| async move {
            loop {
                match bytes.pace.next(&mut bytes.body).await? {
                    Some(chunk) if chunk.is_empty() => {}
                    Some(chunk) => {
                        let len = chunk.len() as u64;
                        if len > bytes.left {
                            return Err(std::io::Error::other("the object store sent more bytes than the file has"));
                        }
                        bytes.left -= len;
                        if bytes.expected.is_some() {
                            hash.update(&chunk);
                        }
                        match held {
                            Some(held) => return Ok(Some((held, (bytes, hash, Some(chunk))))),
                            None => return Ok(Some((bytes::Bytes::new(), (bytes, hash, Some(chunk))))),
                        }
                    }
                    None => {
                        if bytes.left > 0 {
                            return Err(std::io::Error::other("the object store sent fewer bytes than the file has"));
                        }
                        if let Some(expected) = bytes.expected.take()
                            && Sha256Digest::from_hash(hash.clone().finish().as_ref()) != expected
                        {
                            return Err(std::io::Error::other("the stored bytes do not have the file's digest"));
                        }
                        return Ok(held.map(|held| (held, (bytes, hash, None))));
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    /// What a client has received when the stream ends, and whether it ended well.
    async fn received(stored: &'static [u8], expected: Option<Sha256Digest>, left: u64) -> (Vec<u8>, bool) {
        let pace = Pace::new(std::time::Duration::from_secs(1));
        let bytes = Bytes { body: ByteStream::from_static(stored), expected, left, pace };
        let mut stream = Box::pin(bytes.into_stream());
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(_) => return (all, false),
            }
        }
        (all, true)
    }

    #[tokio::test]
    async fn right_bytes_pass_and_a_range_needs_no_digest() {
        let digest = Sha256Digest::of(b"stored");
        assert_eq!(received(b"stored", Some(digest), 6).await, (b"stored".to_vec(), true));
        assert_eq!(received(b"tore", None, 4).await, (b"tore".to_vec(), true));
        assert_eq!(received(b"", Some(Sha256Digest::of(b"")), 0).await, (Vec::new(), true));
    }

    #[tokio::test]
    async fn wrong_bytes_break_the_stream_before_its_last_piece() {
        let digest = Sha256Digest::of(b"stored");
        assert_eq!(received(b"st0red", Some(digest), 6).await, (Vec::new(), false));
    }

    #[tokio::test]
    async fn too_few_and_too_many_bytes_break_the_stream() {
        assert_eq!(received(b"store", None, 6).await, (Vec::new(), false));
        assert_eq!(received(b"stored!", None, 6).await, (Vec::new(), false));
    }
}
