//! KMS: keys that never leave, their aliases, and what they wrap.
//!
//! S3 calls [`Kms`] in process; clients speak awsJson1_1 to [`http`]. Every change is durable in the `kms_*` tables
//! before it is answered, and key material there is sealed with the root key. All keys are held in memory.
//! Keys past their deletion date are erased, and rotation gives new material, when a call first notices that the time
//! has come, and at start. Key policies are checked and kept but not evaluated: what a caller may do is decided by its
//! identity policy (`kms:Decrypt`, …), which is how an account works whose key policy delegates to IAM.
//! Not supported: asymmetric and HMAC keys, imported material, custom key stores, multi-Region keys, grants.

mod api;
mod error;
pub(crate) mod http;
mod keys;
mod policy_document;
mod record;
mod seal;
mod table;
#[cfg(test)]
mod tests;

pub use error::KmsError;
pub(crate) use table::holds_material;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aws_lc_rs::rand;
use redb::Database;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::root_key::RootKey;
use keys::{Arns, Keys, Names};
use record::{AliasRecord, Key, KeyRecord, KeyState, Manager, Millis};
use seal::Blob;
use table::Tables;

/// What a ciphertext is bound to besides its key; not secret.
pub(crate) type EncryptionContext = BTreeMap<String, String>;

/// The alias of the key that S3 uses when a request says `aws:kms` and names no key.
const AWS_S3_ALIAS: &str = "alias/aws/s3";

/// A fresh key and the blob that gives it back.
pub(crate) struct DataKey {
    /// ARN of the KMS key that wrapped it.
    pub(crate) key_arn: String,
    pub(crate) plaintext: Zeroizing<[u8; 32]>,
    pub(crate) wrapped: Vec<u8>,
}

/// The service; clones share it.
#[derive(Clone)]
pub(crate) struct Kms {
    shared: Arc<Shared>,
}

struct Shared {
    keys: RwLock<Keys>,
    tables: Tables,
    clock: fn() -> Millis,
}

/// Why the keys cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the stored key material cannot be unwrapped: this is not the root key it was wrapped with")]
    WrongRootKey,
    #[error("row {row:?} of {table} cannot be read")]
    Corrupt { table: &'static str, row: String, source: Option<serde_json::Error> },
    #[error("the key tables cannot be read")]
    Database(#[from] redb::Error),
    #[error("the keys cannot be brought up to date")]
    Upkeep(#[source] KmsError),
}

impl Kms {
    /// The key that encrypts SSE-S3 objects; no API shows it, and it is taken by this name only in process.
    pub(crate) const SSE_S3: &'static str = "sse-s3";

    /// Loads all keys, erases those whose deletion is due, rotates those whose period is over.
    pub(crate) fn open(db: Arc<Database>, root_key: RootKey, region: &str, account: &str) -> Result<Self, OpenError> {
        Self::open_with_clock(db, root_key, region, account, now)
    }

    fn open_with_clock(
        db: Arc<Database>,
        root_key: RootKey,
        region: &str,
        account: &str,
        clock: fn() -> Millis,
    ) -> Result<Self, OpenError> {
        let tables = Tables::new(db, root_key);
        let arns = Arns { region: region.to_owned(), account: account.to_owned() };
        let mut keys = Keys::new(arns, tables.load()?);
        if keys.get(Self::SSE_S3).is_none() {
            let record = new_record(Self::SSE_S3.to_owned(), Manager::Internal, clock(), account);
            keys.create(&tables, record).map_err(OpenError::Upkeep)?;
        }
        keys.upkeep(&tables, clock()).map_err(OpenError::Upkeep)?;
        Ok(Self { shared: Arc::new(Shared { keys: RwLock::new(keys), tables, clock }) })
    }

    /// Makes a data key under a key named by id, ARN, alias, alias ARN or [`SSE_S3`](Self::SSE_S3).
    pub(crate) fn generate_data_key(&self, key_id: &str, context: &EncryptionContext) -> Result<DataKey, KmsError> {
        let keys = self.read();
        let key = match keys.get(Self::SSE_S3) {
            Some(key) if key_id == Self::SSE_S3 => key,
            _ => keys.resolve(key_id, Names::All)?,
        };
        let mut plaintext = Zeroizing::new([0; 32]);
        rand::fill(plaintext.as_mut_slice()).map_err(KmsError::internal)?;
        let wrapped = encrypt(&keys, key, context, plaintext.as_slice())?;
        Ok(DataKey { key_arn: keys.arns.key(&key.record.id), plaintext, wrapped })
    }

    /// Gives a data key back; the context must be the one it was made with.
    pub(crate) fn unwrap_data_key(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey, KmsError> {
        let keys = self.read();
        let blob = Blob::parse(wrapped)?;
        let key = keys.get(blob.key_id).ok_or_else(|| no_such_key(&keys, blob.key_id))?;
        let bytes = decrypt(&keys, key, &blob, context)?;
        let plaintext = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KmsError::InvalidCiphertext)?;
        Ok(DataKey {
            key_arn: keys.arns.key(&key.record.id),
            plaintext: Zeroizing::new(plaintext),
            wrapped: wrapped.to_vec(),
        })
    }

    /// The ARN of a key named by id, ARN, alias or alias ARN.
    pub(crate) fn resolve_arn(&self, key_id: &str) -> Result<String, KmsError> {
        let keys = self.read();
        let key = keys.resolve(key_id, Names::All)?;
        Ok(keys.arns.key(&key.record.id))
    }

    /// The ARN of `alias/aws/s3`, whose key is made on first use.
    pub(crate) fn aws_managed_s3_key(&self) -> Result<String, KmsError> {
        let find = |keys: &Keys| keys.alias(AWS_S3_ALIAS).map(|alias| keys.arns.key(&alias.target));
        if let Some(arn) = find(&self.read()) {
            return Ok(arn);
        }
        let mut keys = self.write();
        // Another request may have been first between the two locks.
        if let Some(arn) = find(&keys) {
            return Ok(arn);
        }
        let created = self.now();
        // A crash between the two changes below leaves a key without its alias.
        let made = keys.visible().find(|key| key.record.manager == Manager::Aws).map(|key| key.record.id.clone());
        let id = if let Some(id) = made {
            id
        } else {
            let mut record = new_record(new_id()?, Manager::Aws, created, &keys.arns.account);
            "Default key that protects my S3 objects when no other key is defined".clone_into(&mut record.description);
            let id = record.id.clone();
            keys.create(&self.shared.tables, record)?;
            id
        };
        let alias = AliasRecord { target: id.clone(), created, updated: created };
        keys.put_alias(&self.shared.tables, AWS_S3_ALIAS, alias)?;
        Ok(keys.arns.key(&id))
    }

    fn now(&self) -> Millis {
        (self.shared.clock)()
    }

    fn tables(&self) -> &Tables {
        &self.shared.tables
    }

    /// The keys as they are now: what time has changed is changed first.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        let keys = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        if !keys.is_due(self.now()) {
            return keys;
        }
        drop(keys);
        drop(self.write());
        self.shared.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`read`](Self::read), to change them. A panic leaves nothing half done: memory follows the tables.
    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        if keys.is_due(now)
            && let Err(error) = keys.upkeep(&self.shared.tables, now)
        {
            // A full disk must not stop decryption. A key to be deleted stays unusable, the next call tries again.
            tracing::error!(%error, "keys cannot be rotated or deleted");
        }
        keys
    }
}

impl fmt::Debug for Kms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Kms")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DataKey").field("key_arn", &self.key_arn).finish_non_exhaustive()
    }
}

/// Encrypts under the newest material of a usable key.
fn encrypt(keys: &Keys, key: &Key, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
    keys.usable(key)?;
    let (version, material) = key
        .material
        .last_key_value()
        .ok_or_else(|| KmsError::NotFound(format!("Key '{}' has no material", keys.arns.key(&key.record.id))))?;
    seal::seal(&key.record.id, *version, material, context, plaintext)
}

/// Decrypts under the material that the blob names, of a usable key.
fn decrypt(
    keys: &Keys,
    key: &Key,
    blob: &Blob<'_>,
    context: &EncryptionContext,
) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    keys.usable(key)?;
    let material = key.material.get(&blob.version).ok_or(KmsError::InvalidCiphertext)?;
    blob.open(material, context)
}

fn no_such_key(keys: &Keys, id: &str) -> KmsError {
    KmsError::NotFound(format!("Key '{}' does not exist", keys.arns.key(id)))
}

fn new_record(id: String, manager: Manager, created: Millis, account: &str) -> KeyRecord {
    KeyRecord {
        id,
        manager,
        description: String::new(),
        created,
        state: KeyState::Enabled,
        policy: policy_document::default_policy(account),
        tags: BTreeMap::new(),
        rotation: None,
    }
}

/// A random UUID (version 4), the form that AWS's key ids have.
fn new_id() -> Result<String, KmsError> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(KmsError::internal)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hex::encode(bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

fn now() -> Millis {
    let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
    Millis::try_from(nanos / 1_000_000).unwrap_or(Millis::MAX)
}
