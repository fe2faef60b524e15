//! The encryption of a blob: AES-256-GCM over 64 KiB frames, each sealed in its place.
//!
//! The nonce is the frame's number and a flag on the last frame (the STREAM construction), which is safe because a
//! data key seals one blob only. A frame that was moved, repeated, or cut off at the end does not open.
//! The associated data names bucket, key and blob, so that a whole file does not open in another's place either.

use super::{Binding, BlobId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

/// Plaintext bytes per frame; the last one may hold fewer, also none.
pub(super) const FRAME: usize = 64 * 1024;
/// Bytes that sealing adds to a frame.
pub(super) const TAG: usize = 16;
/// Ciphertext bytes of a full frame.
pub(super) const SEALED: usize = FRAME + TAG;

/// A frame did not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DoesNotOpen;

/// Seals and opens the frames of one blob.
pub(super) struct FrameCipher {
    key: LessSafeKey,
    associated: Vec<u8>,
}

impl fmt::Debug for FrameCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameCipher").finish_non_exhaustive()
    }
}

impl FrameCipher {
    pub(super) fn new(data_key: &[u8; 32], blob: BlobId, binding: Binding<'_>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, data_key).expect("32 bytes are an AES-256 key");
        let mut associated = b"embedded-aws blob 1\0".to_vec();
        associated.extend_from_slice(blob.as_bytes());
        // The length keeps "a" + "bc" apart from "ab" + "c".
        associated.extend_from_slice(&(binding.bucket.len() as u64).to_be_bytes());
        associated.extend_from_slice(binding.bucket.as_bytes());
        associated.extend_from_slice(binding.key.as_bytes());
        Self { key: LessSafeKey::new(key), associated }
    }

    /// Encrypts a frame in place and returns its tag.
    pub(super) fn seal(&self, number: u32, last: bool, frame: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(number, last), Aad::from(&self.associated), frame)
            .expect("a frame is far below AES-GCM's limit");
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Decrypts a frame and its tag in place; the plaintext is all but the last [`TAG`] bytes.
    pub(super) fn open(&self, number: u32, last: bool, frame: &mut [u8]) -> Result<(), DoesNotOpen> {
        self.key
            .open_in_place(nonce(number, last), Aad::from(&self.associated), frame)
            .map(|_| ())
            .map_err(|_| DoesNotOpen)
    }
}

/// How many frames hold `size` bytes; an empty blob has one, so that it too is authenticated.
pub(super) fn count(size: u64) -> u64 {
    size.div_ceil(FRAME as u64).max(1)
}

fn nonce(number: u32, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[7..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding<'static> = Binding { bucket: "b", key: "k" };

    fn sealed(cipher: &FrameCipher, number: u32, last: bool) -> Vec<u8> {
        let mut frame = b"weights".to_vec();
        let tag = cipher.seal(number, last, &mut frame);
        frame.extend_from_slice(&tag);
        frame
    }

    #[test]
    fn a_frame_opens_only_in_its_own_place() {
        let blob = BlobId::random();
        let cipher = FrameCipher::new(&[7; 32], blob, BINDING);
        let frame = sealed(&cipher, 3, false);
        let opens = |cipher: &FrameCipher, number, last| cipher.open(number, last, &mut frame.clone()).is_ok();
        assert!(opens(&cipher, 3, false));
        assert!(!opens(&cipher, 4, false));
        assert!(!opens(&cipher, 3, true));
        let other_key = Binding { bucket: "b", key: "k2" };
        let shifted = Binding { bucket: "bk", key: "" };
        assert!(!opens(&FrameCipher::new(&[7; 32], blob, other_key), 3, false));
        assert!(!opens(&FrameCipher::new(&[7; 32], blob, shifted), 3, false));
        assert!(!opens(&FrameCipher::new(&[7; 32], BlobId::random(), BINDING), 3, false));
        assert!(!opens(&FrameCipher::new(&[8; 32], blob, BINDING), 3, false));
    }

    #[test]
    fn a_changed_bit_does_not_open() {
        let cipher = FrameCipher::new(&[7; 32], BlobId::random(), BINDING);
        let frame = sealed(&cipher, 0, true);
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher.open(0, true, &mut changed), Err(DoesNotOpen));
        }
    }

    #[test]
    fn frames_are_counted_with_one_for_nothing() {
        for (size, frames) in [(0, 1), (1, 1), (65_536, 1), (65_537, 2), (131_072, 2)] {
            assert_eq!(count(size), frames);
        }
    }
}
