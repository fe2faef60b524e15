//! The blobs that KMS gives out: a header that names the key, and AES-256-GCM under it.
//!
//! Layout: format 1, length of the key id, key id, material version (4 bytes, big endian), salt (16), nonce (12),
//! ciphertext, tag (16). Each blob has a key of its own, HMAC-SHA256 of material and salt, so that no number of blobs
//! wears one AES-GCM key out. Header and encryption context are authenticated.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::record::Material;
use super::{EncryptionContext, KmsError};

const FORMAT: u8 = 1;
const SALT_LEN: usize = 16;

/// A blob taken apart, nothing of it verified yet.
pub(super) struct Blob<'a> {
    pub(super) key_id: &'a str,
    pub(super) version: u32,
    header: &'a [u8],
    salt: &'a [u8],
    nonce: &'a [u8],
    ciphertext: &'a [u8],
}

/// Encrypts under one version of a key's material.
pub(super) fn seal(
    key_id: &str,
    version: u32,
    material: &Material,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let mut random = [0; SALT_LEN + NONCE_LEN];
    rand::fill(&mut random).map_err(KmsError::internal)?;
    let (salt, nonce) = random.split_at(SALT_LEN);
    let mut blob = header(key_id, version);
    let aad = aad(&blob, context);
    let mut ciphertext = Zeroizing::new(plaintext.to_vec());
    let nonce_value = Nonce::try_assume_unique_for_key(nonce).map_err(KmsError::internal)?;
    blob_key(material, salt)
        .seal_in_place_append_tag(nonce_value, Aad::from(aad), &mut *ciphertext)
        .map_err(KmsError::internal)?;
    blob.extend_from_slice(&random);
    blob.extend_from_slice(&ciphertext);
    Ok(blob)
}

impl<'a> Blob<'a> {
    /// Takes a blob apart; anything that is not one is an invalid ciphertext.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, KmsError> {
        Self::split(bytes).ok_or(KmsError::InvalidCiphertext)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let [FORMAT, id_length, rest @ ..] = bytes else { return None };
        let (key_id, rest) = rest.split_at_checked(usize::from(*id_length))?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        let header = bytes.get(..bytes.len() - rest.len())?;
        let (salt, rest) = rest.split_at_checked(SALT_LEN)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN)?;
        let key_id = str::from_utf8(key_id).ok()?;
        Some(Self { key_id, version: u32::from_be_bytes(*version), header, salt, nonce, ciphertext })
    }

    /// Decrypts with the material that the header names.
    pub(super) fn open(
        &self,
        material: &Material,
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let invalid = |_| KmsError::InvalidCiphertext;
        let nonce = Nonce::try_assume_unique_for_key(self.nonce).map_err(invalid)?;
        let mut buffer = Zeroizing::new(self.ciphertext.to_vec());
        let length = blob_key(material, self.salt)
            .open_in_place(nonce, Aad::from(aad(self.header, context)), &mut buffer)
            .map_err(invalid)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn header(key_id: &str, version: u32) -> Vec<u8> {
    let length = u8::try_from(key_id.len()).expect("key ids are UUIDs or names of our own, under 256 bytes");
    [&[FORMAT, length], key_id.as_bytes(), &version.to_be_bytes()].concat()
}

/// The header and the sorted context, each text with its length, so that no two contexts read the same.
fn aad(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut aad = header.to_vec();
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        aad.extend_from_slice(&(text.len() as u64).to_be_bytes());
        aad.extend_from_slice(text.as_bytes());
    }
    aad
}

fn blob_key(material: &Material, salt: &[u8]) -> LessSafeKey {
    let mut input = b"kms blob key".to_vec();
    input.extend_from_slice(salt);
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, material.as_slice()), &input);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).expect("HMAC-SHA256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn blob_opens_only_unchanged_and_in_its_context() {
        let material = Zeroizing::new([7; 32]);
        let ours = context(&[("a", "b")]);
        let blob = seal("key", 3, &material, &ours, b"secret").unwrap();
        let parsed = Blob::parse(&blob).unwrap();
        assert_eq!((parsed.key_id, parsed.version), ("key", 3));
        assert_eq!(parsed.open(&material, &ours).unwrap().as_slice(), b"secret");
        for other in [context(&[]), context(&[("a", "c")]), context(&[("ab", "")]), context(&[("a", "b"), ("c", "d")])]
        {
            assert!(matches!(parsed.open(&material, &other), Err(KmsError::InvalidCiphertext)));
        }
        assert!(parsed.open(&Zeroizing::new([8; 32]), &ours).is_err());
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(Blob::parse(&changed).and_then(|blob| blob.open(&material, &ours)).is_err(), "byte {at}");
            assert!(Blob::parse(&blob[..at]).and_then(|blob| blob.open(&material, &ours)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn same_plaintext_never_gives_the_same_blob() {
        let material = Zeroizing::new([7; 32]);
        let seal = || seal("key", 1, &material, &EncryptionContext::new(), b"same").unwrap();
        assert_ne!(seal(), seal());
    }
}
