//! Data keys, encryption and decryption for clients.

use aws_lc_rs::rand;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{customer_managed, from_base64, no_dry_run, no_grant_tokens, parse, to_base64};
use crate::identity::Identity;
use crate::kms::keys::Names;
use crate::kms::record::Manager;
use crate::kms::seal::Blob;
use crate::kms::{EncryptionContext, Kms, KmsError, decrypt, encrypt};

/// Largest plaintext of Encrypt in bytes.
const MAX_PLAINTEXT: usize = 4096;
/// Largest ciphertext of Decrypt in bytes.
const MAX_CIPHERTEXT: usize = 6144;
/// Largest encryption context in bytes, names and values together.
const MAX_CONTEXT: usize = 8192;

const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GenerateDataKeyRequest {
    key_id: String,
    encryption_context: Option<EncryptionContext>,
    key_spec: Option<String>,
    number_of_bytes: Option<i64>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EncryptRequest {
    key_id: String,
    plaintext: Zeroizing<String>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DecryptRequest {
    ciphertext_blob: String,
    key_id: Option<String>,
    encryption_context: Option<EncryptionContext>,
    encryption_algorithm: Option<String>,
    grant_tokens: Option<Vec<String>>,
    dry_run: Option<bool>,
}

impl Kms {
    pub(super) fn generate_data_key_for(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let (plaintext, mut answer) = self.data_key(identity, body, "GenerateDataKey")?;
        answer["Plaintext"] = json!(to_base64(&plaintext));
        Ok(answer)
    }

    pub(super) fn generate_data_key_without_plaintext(
        &self,
        identity: &Identity,
        body: &[u8],
    ) -> Result<Value, KmsError> {
        Ok(self.data_key(identity, body, "GenerateDataKeyWithoutPlaintext")?.1)
    }

    fn data_key(
        &self,
        identity: &Identity,
        body: &[u8],
        operation: &str,
    ) -> Result<(Zeroizing<Vec<u8>>, Value), KmsError> {
        let request: GenerateDataKeyRequest = parse(body)?;
        no_grant_tokens(request.grant_tokens.as_deref())?;
        no_dry_run(request.dry_run)?;
        let size = match (request.key_spec.as_deref(), request.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(bytes)) => {
                usize::try_from(bytes).ok().filter(|bytes| (1..=1024).contains(bytes)).ok_or_else(|| {
                    KmsError::Validation(format!(
                        "1 validation error detected: Value '{bytes}' at 'numberOfBytes' failed to satisfy \
                         constraint: Member must have value between 1 and 1024"
                    ))
                })?
            }
            (Some(other), None) => return Err(KmsError::Validation(format!("KeySpec {other:?} is not valid"))),
            (Some(_), Some(_)) | (None, None) => {
                return Err(KmsError::Validation("Please specify either number of bytes or key spec.".to_owned()));
            }
        };
        let context = checked_context(request.encryption_context)?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::All)?;
        customer_managed(&keys, key, identity, operation)?;
        let mut plaintext = Zeroizing::new(vec![0; size]);
        rand::fill(&mut plaintext).map_err(KmsError::internal)?;
        let blob = encrypt(&keys, key, &context, &plaintext)?;
        let answer = json!({ "CiphertextBlob": to_base64(&blob), "KeyId": keys.arns.key(&key.record.id) });
        Ok((plaintext, answer))
    }

    pub(super) fn encrypt_for(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: EncryptRequest = parse(body)?;
        no_grant_tokens(request.grant_tokens.as_deref())?;
        no_dry_run(request.dry_run)?;
        only_symmetric(request.encryption_algorithm.as_deref())?;
        let plaintext = Zeroizing::new(from_base64("Plaintext", &request.plaintext)?);
        if !(1..=MAX_PLAINTEXT).contains(&plaintext.len()) {
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have \
                 length between 1 and {MAX_PLAINTEXT}"
            )));
        }
        let context = checked_context(request.encryption_context)?;
        let keys = self.read();
        let key = keys.resolve(&request.key_id, Names::All)?;
        customer_managed(&keys, key, identity, "Encrypt")?;
        let blob = encrypt(&keys, key, &context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": to_base64(&blob),
            "KeyId": keys.arns.key(&key.record.id),
            "EncryptionAlgorithm": ALGORITHM,
        }))
    }

    pub(super) fn decrypt_for(&self, identity: &Identity, body: &[u8]) -> Result<Value, KmsError> {
        let request: DecryptRequest = parse(body)?;
        no_grant_tokens(request.grant_tokens.as_deref())?;
        no_dry_run(request.dry_run)?;
        only_symmetric(request.encryption_algorithm.as_deref())?;
        let ciphertext = from_base64("CiphertextBlob", &request.ciphertext_blob)?;
        if !(1..=MAX_CIPHERTEXT).contains(&ciphertext.len()) {
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: Member must \
                 have length between 1 and {MAX_CIPHERTEXT}"
            )));
        }
        let context = checked_context(request.encryption_context)?;
        let keys = self.read();
        let wanted = request.key_id.as_deref().map(|name| keys.resolve(name, Names::All)).transpose()?;
        let blob = Blob::parse(&ciphertext)?;
        let key = keys.get(blob.key_id).filter(|key| key.record.manager != Manager::Internal);
        let key = key.ok_or_else(|| {
            KmsError::AccessDenied(
                "The ciphertext refers to a customer master key that does not exist, does not exist in this region, \
                 or you are not allowed to access."
                    .to_owned(),
            )
        })?;
        if wanted.is_some_and(|wanted| wanted.record.id != key.record.id) {
            return Err(KmsError::IncorrectKey);
        }
        customer_managed(&keys, key, identity, "Decrypt")?;
        let plaintext = decrypt(&keys, key, &blob, &context)?;
        Ok(json!({
            "KeyId": keys.arns.key(&key.record.id),
            "Plaintext": to_base64(&plaintext),
            "EncryptionAlgorithm": ALGORITHM,
        }))
    }
}

fn only_symmetric(algorithm: Option<&str>) -> Result<(), KmsError> {
    match algorithm {
        None | Some(ALGORITHM) => Ok(()),
        Some(other) => Err(KmsError::Unsupported(format!("EncryptionAlgorithm {other} is not supported"))),
    }
}

fn checked_context(context: Option<EncryptionContext>) -> Result<EncryptionContext, KmsError> {
    let context = context.unwrap_or_default();
    let size: usize = context.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_CONTEXT {
        return Err(KmsError::Validation(format!("the encryption context has more than {MAX_CONTEXT} bytes")));
    }
    Ok(context)
}
