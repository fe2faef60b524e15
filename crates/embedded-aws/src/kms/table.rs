//! The `kms_*` tables: every change is durable before it is visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use zeroize::Zeroizing;

use super::record::{AliasRecord, Key, KeyRecord, Material};
use super::{KmsError, OpenError};
use crate::root_key::RootKey;

/// Key id → [`KeyRecord`] as JSON.
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kms_keys");
/// Key id and material version → material sealed with the root key.
const MATERIAL: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("kms_material");
/// Alias name with `alias/` → [`AliasRecord`] as JSON.
const ALIASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kms_aliases");

#[derive(Debug)]
pub(super) struct Tables {
    db: Arc<Database>,
    root_key: RootKey,
}

/// Everything that was stored, material unwrapped.
pub(super) struct Stored {
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) aliases: BTreeMap<String, AliasRecord>,
}

/// One durable change.
pub(super) enum Change<'a> {
    PutKey(&'a KeyRecord),
    PutMaterial {
        key_id: &'a str,
        version: u32,
        material: &'a Material,
    },
    /// Removes the record and all material. Freed pages of the file hold the wrapped bytes until they are reused.
    Erase(&'a Key),
    PutAlias(&'a str, &'a AliasRecord),
    DeleteAlias(&'a str),
}

/// Whether a database holds key material, without needing the root key.
pub(crate) fn holds_material(db: &Database) -> Result<bool, redb::Error> {
    let read = db.begin_read()?;
    match read.open_table(MATERIAL) {
        Ok(table) => Ok(table.first()?.is_some()),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Tables {
    pub(super) fn new(db: Arc<Database>, root_key: RootKey) -> Self {
        Self { db, root_key }
    }

    /// Reads everything; fails when any material does not open with the root key.
    pub(super) fn load(&self) -> Result<Stored, OpenError> {
        let create = || -> Result<(), redb::Error> {
            let write = self.db.begin_write()?;
            write.open_table(KEYS)?;
            write.open_table(MATERIAL)?;
            write.open_table(ALIASES)?;
            write.commit()?;
            Ok(())
        };
        create()?;
        let read = self.db.begin_read().map_err(redb::Error::from)?;
        let mut keys = BTreeMap::new();
        for row in read.open_table(KEYS).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
            let (id, record) = row.map_err(redb::Error::from)?;
            let record: KeyRecord = parse("kms_keys", id.value(), record.value())?;
            keys.insert(id.value().to_owned(), Key { record, material: BTreeMap::new() });
        }
        for row in read.open_table(MATERIAL).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
            let (place, sealed) = row.map_err(redb::Error::from)?;
            let (id, version) = place.value();
            let material = self
                .root_key
                .open(&purpose(id, version), sealed.value())
                .and_then(|bytes| Some(Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?)))
                .ok_or(OpenError::WrongRootKey)?;
            let corrupt = || OpenError::Corrupt { table: "kms_material", row: id.to_owned(), source: None };
            keys.get_mut(id).ok_or_else(corrupt)?.material.insert(version, material);
        }
        let mut aliases = BTreeMap::new();
        for row in read.open_table(ALIASES).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
            let (name, record) = row.map_err(redb::Error::from)?;
            aliases.insert(name.value().to_owned(), parse("kms_aliases", name.value(), record.value())?);
        }
        if let Some((id, _)) = keys.iter().find(|(_, key)| key.material.is_empty()) {
            return Err(OpenError::Corrupt { table: "kms_keys", row: id.clone(), source: None });
        }
        Ok(Stored { keys, aliases })
    }

    /// Makes changes durable, all or none.
    pub(super) fn commit(&self, changes: &[Change<'_>]) -> Result<(), KmsError> {
        let write = self.db.begin_write().map_err(KmsError::internal)?;
        for change in changes {
            self.apply(&write, change)?;
        }
        write.commit().map_err(KmsError::internal)
    }

    fn apply(&self, write: &WriteTransaction, change: &Change<'_>) -> Result<(), KmsError> {
        match *change {
            Change::PutKey(record) => {
                let json = serde_json::to_vec(record).map_err(KmsError::internal)?;
                let mut keys = write.open_table(KEYS).map_err(KmsError::internal)?;
                keys.insert(record.id.as_str(), json.as_slice()).map_err(KmsError::internal)?;
            }
            Change::PutMaterial { key_id, version, material } => {
                let sealed =
                    self.root_key.seal(&purpose(key_id, version), material.as_slice()).map_err(KmsError::internal)?;
                let mut rows = write.open_table(MATERIAL).map_err(KmsError::internal)?;
                rows.insert((key_id, version), sealed.as_slice()).map_err(KmsError::internal)?;
            }
            Change::Erase(key) => {
                let id = key.record.id.as_str();
                write.open_table(KEYS).map_err(KmsError::internal)?.remove(id).map_err(KmsError::internal)?;
                let mut rows = write.open_table(MATERIAL).map_err(KmsError::internal)?;
                for version in key.material.keys() {
                    rows.remove((id, *version)).map_err(KmsError::internal)?;
                }
            }
            Change::PutAlias(name, record) => {
                let json = serde_json::to_vec(record).map_err(KmsError::internal)?;
                let mut aliases = write.open_table(ALIASES).map_err(KmsError::internal)?;
                aliases.insert(name, json.as_slice()).map_err(KmsError::internal)?;
            }
            Change::DeleteAlias(name) => {
                write.open_table(ALIASES).map_err(KmsError::internal)?.remove(name).map_err(KmsError::internal)?;
            }
        }
        Ok(())
    }
}

/// Binds sealed material to its key and version, so that rows cannot be swapped.
fn purpose(key_id: &str, version: u32) -> Vec<u8> {
    [b"kms material\0", key_id.as_bytes(), b"\0", &version.to_be_bytes()].concat()
}

fn parse<T: serde::de::DeserializeOwned>(table: &'static str, row: &str, json: &[u8]) -> Result<T, OpenError> {
    serde_json::from_slice(json).map_err(|source| OpenError::Corrupt {
        table,
        row: row.to_owned(),
        source: Some(source),
    })
}
