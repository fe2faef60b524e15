//! The root key: 256 bits in a file that wrap all key material.
//!
//! Inside the data directory it protects against nothing but a copy of single files; kept outside (another disk, a
//! secret mounted by an orchestrator) it protects whatever is copied or lost with the data directory.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

const KEY_BYTES: usize = 32;

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    #[error("the root key file cannot be used")]
    File(#[from] SecretFileError),
    #[error("there is no root key file {0}")]
    Missing(PathBuf),
    #[error("root key file {path} holds neither 32 bytes nor 64 hex digits, but {size} bytes")]
    Form { path: PathBuf, size: usize },
    #[error("the system gives no random bytes")]
    Random,
}

/// The key itself; wiped from memory when dropped.
pub(crate) struct RootKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl RootKey {
    /// Reads the key: 32 raw bytes, or 64 hex digits and perhaps a line end. Never creates the file.
    pub(crate) fn read(path: &Path) -> Result<Self, RootKeyError> {
        let content = secret_file::read(path)?.ok_or_else(|| RootKeyError::Missing(path.to_owned()))?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let form = || RootKeyError::Form { path: path.to_owned(), size: content.len() };
        if content.len() == KEY_BYTES {
            bytes.copy_from_slice(&content);
        } else {
            hex::decode_to_slice(content.trim_ascii_end(), bytes.as_mut_slice()).map_err(|_| form())?;
        }
        Ok(Self { bytes })
    }

    /// Makes a new random key and its file, mode 0600, durable on return; an existing file is an error.
    pub(crate) fn create(path: &Path) -> Result<Self, RootKeyError> {
        let key = Self::random()?;
        secret_file::create(path, key.bytes.as_slice())?;
        Ok(key)
    }

    /// A key that is kept nowhere.
    pub(crate) fn random() -> Result<Self, RootKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| RootKeyError::Random)?;
        Ok(Self { bytes })
    }

    /// Encrypts a secret for `purpose`, which [`open`](Self::open) must name again: nonce, ciphertext, tag.
    pub(crate) fn seal(&self, purpose: &[u8], secret: &[u8]) -> Result<Vec<u8>, RootKeyError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| RootKeyError::Random)?;
        let mut sealed = secret.to_vec();
        let key = self.key();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .expect("AES-GCM seals anything shorter than 64 GiB");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`seal`](Self::seal) made; `None` when the key, the purpose or a bit is another.
    pub(crate) fn open(&self, purpose: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self.key().open_in_place(nonce, Aad::from(purpose), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }

    fn key(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes.as_slice()).expect("32 bytes are an AES-256 key");
        LessSafeKey::new(key)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RootKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_secret_opens_only_with_its_key_and_purpose_and_unchanged() {
        let key = RootKey::random().unwrap();
        let sealed = key.seal(b"a", b"secret").unwrap();
        assert_eq!(key.open(b"a", &sealed).unwrap().as_slice(), b"secret");
        assert!(key.open(b"b", &sealed).is_none());
        assert!(RootKey::random().unwrap().open(b"a", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(b"a", &changed).is_none(), "byte {at}");
        }
        assert!(key.open(b"a", &[]).is_none());
    }

    #[test]
    fn file_holds_raw_bytes_or_hex_digits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = RootKey::create(&path).unwrap();
        assert_eq!(RootKey::read(&path).unwrap().bytes, made.bytes);
        let hex_path = dir.path().join("hex");
        secret_file::create(&hex_path, format!("{}\n", hex::encode(made.bytes.as_slice())).as_bytes()).unwrap();
        assert_eq!(RootKey::read(&hex_path).unwrap().bytes, made.bytes);
        let short = dir.path().join("short");
        secret_file::create(&short, b"too short").unwrap();
        assert!(matches!(RootKey::read(&short), Err(RootKeyError::Form { size: 9, .. })));
        assert!(matches!(RootKey::read(&dir.path().join("none")), Err(RootKeyError::Missing(_))));
    }

    #[test]
    fn debug_shows_no_bytes() {
        assert_eq!(format!("{:?}", RootKey::random().unwrap()), "RootKey");
    }
}
