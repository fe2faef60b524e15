//! The keys in memory: names, states, and what time does to them.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::KmsError;
use super::record::{AliasRecord, DAY, Key, KeyRecord, KeyState, Manager, Material, Millis};
use super::table::{Change, Stored, Tables};

/// What ARNs are made of.
#[derive(Clone, Debug)]
pub(super) struct Arns {
    pub(super) region: String,
    pub(super) account: String,
}

/// All keys and aliases; every change goes through [`Tables`] first.
pub(super) struct Keys {
    pub(super) arns: Arns,
    by_id: BTreeMap<String, Key>,
    aliases: BTreeMap<String, AliasRecord>,
    /// When [`upkeep`](Self::upkeep) has something to do.
    due: Option<Millis>,
}

/// Which names of a key an operation takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Names {
    /// Id, ARN, alias and alias ARN.
    All,
    /// Id and ARN: operations that change a key.
    IdOrArn,
}

impl Arns {
    pub(super) fn key(&self, id: &str) -> String {
        format!("arn:aws:kms:{}:{}:key/{id}", self.region, self.account)
    }

    /// The ARN of an alias, whose name begins with `alias/`.
    pub(super) fn alias(&self, name: &str) -> String {
        format!("arn:aws:kms:{}:{}:{name}", self.region, self.account)
    }

    /// What an ARN of this service, region and account names: `key/…` or `alias/…`.
    fn strip<'a>(&self, arn: &'a str) -> Result<&'a str, KmsError> {
        let not_found = || KmsError::NotFound(format!("Key '{arn}' does not exist"));
        match arn.splitn(6, ':').collect::<Vec<_>>()[..] {
            ["arn", _, "kms", region, account, name] if name.starts_with("key/") || name.starts_with("alias/") => {
                if region == self.region && account == self.account {
                    Ok(name)
                } else {
                    Err(not_found())
                }
            }
            _ => Err(KmsError::InvalidArn(format!("'{arn}' is not the ARN of a key or an alias"))),
        }
    }
}

impl Keys {
    pub(super) fn new(arns: Arns, stored: Stored) -> Self {
        let mut keys = Self { arns, by_id: stored.keys, aliases: stored.aliases, due: None };
        keys.find_due();
        keys
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.by_id.get(id)
    }

    /// Keys that the API shows, by id.
    pub(super) fn visible(&self) -> impl Iterator<Item = &Key> {
        self.by_id.values().filter(|key| key.record.manager != Manager::Internal)
    }

    /// Aliases by name.
    pub(super) fn aliases(&self) -> impl Iterator<Item = (&String, &AliasRecord)> {
        self.aliases.iter()
    }

    pub(super) fn alias(&self, name: &str) -> Option<&AliasRecord> {
        self.aliases.get(name)
    }

    /// Finds a key by what a request calls it; keys that no API shows are not found.
    pub(super) fn resolve(&self, name: &str, names: Names) -> Result<&Key, KmsError> {
        let local = if name.starts_with("arn:") { self.arns.strip(name)? } else { name };
        let id = if local.starts_with("alias/") {
            if names == Names::IdOrArn {
                return Err(KmsError::NotFound(format!("Invalid keyId '{name}'")));
            }
            let missing = || KmsError::NotFound(format!("Alias {} is not found.", self.arns.alias(local)));
            self.aliases.get(local).map(|alias| alias.target.as_str()).ok_or_else(missing)?
        } else {
            local.strip_prefix("key/").unwrap_or(local)
        };
        self.by_id
            .get(id)
            .filter(|key| key.record.manager != Manager::Internal)
            .ok_or_else(|| KmsError::NotFound(format!("Key '{}' does not exist", self.arns.key(id))))
    }

    /// Demands that a key can encrypt and decrypt now.
    pub(super) fn usable(&self, key: &Key) -> Result<(), KmsError> {
        match key.record.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(KmsError::Disabled(self.arns.key(&key.record.id))),
            KeyState::PendingDeletion { .. } => Err(self.pending_deletion(key)),
        }
    }

    /// Demands that a key is not waiting for its deletion.
    pub(super) fn not_pending(&self, key: &Key) -> Result<(), KmsError> {
        match key.record.state {
            KeyState::Enabled | KeyState::Disabled => Ok(()),
            KeyState::PendingDeletion { .. } => Err(self.pending_deletion(key)),
        }
    }

    fn pending_deletion(&self, key: &Key) -> KmsError {
        KmsError::InvalidState(format!("{} is pending deletion.", self.arns.key(&key.record.id)))
    }

    /// Makes a key with random material.
    pub(super) fn create(&mut self, tables: &Tables, record: KeyRecord) -> Result<(), KmsError> {
        let material = new_material()?;
        tables.commit(&[
            Change::PutKey(&record),
            Change::PutMaterial { key_id: &record.id, version: 1, material: &material },
        ])?;
        let id = record.id.clone();
        self.by_id.insert(id, Key { record, material: BTreeMap::from([(1, material)]) });
        self.find_due();
        Ok(())
    }

    /// Replaces the record of a key that exists.
    pub(super) fn update(&mut self, tables: &Tables, record: KeyRecord) -> Result<(), KmsError> {
        tables.commit(&[Change::PutKey(&record)])?;
        if let Some(key) = self.by_id.get_mut(&record.id) {
            key.record = record;
        }
        self.find_due();
        Ok(())
    }

    pub(super) fn put_alias(&mut self, tables: &Tables, name: &str, alias: AliasRecord) -> Result<(), KmsError> {
        tables.commit(&[Change::PutAlias(name, &alias)])?;
        self.aliases.insert(name.to_owned(), alias);
        Ok(())
    }

    pub(super) fn delete_alias(&mut self, tables: &Tables, name: &str) -> Result<(), KmsError> {
        tables.commit(&[Change::DeleteAlias(name)])?;
        self.aliases.remove(name);
        Ok(())
    }

    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Erases keys whose time has come, with their aliases, and gives keys new material whose period is over.
    pub(super) fn upkeep(&mut self, tables: &Tables, now: Millis) -> Result<(), KmsError> {
        let due: Vec<String> = self
            .by_id
            .iter()
            .filter(|(_, key)| key.due().is_some_and(|due| due <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            match self.by_id.get(&id).map(|key| key.record.state) {
                Some(KeyState::PendingDeletion { .. }) => self.erase(tables, &id)?,
                Some(_) => self.rotate(tables, &id, now)?,
                None => {}
            }
        }
        self.find_due();
        Ok(())
    }

    fn erase(&mut self, tables: &Tables, id: &str) -> Result<(), KmsError> {
        let Some(key) = self.by_id.get(id) else { return Ok(()) };
        let names: Vec<String> =
            self.aliases.iter().filter(|(_, alias)| alias.target == id).map(|(name, _)| name.clone()).collect();
        let mut changes = vec![Change::Erase(key)];
        changes.extend(names.iter().map(|name| Change::DeleteAlias(name)));
        tables.commit(&changes)?;
        self.by_id.remove(id);
        for name in names {
            self.aliases.remove(&name);
        }
        tracing::info!(key = id, "KMS key deleted: its waiting period is over");
        Ok(())
    }

    fn rotate(&mut self, tables: &Tables, id: &str, now: Millis) -> Result<(), KmsError> {
        let Some(key) = self.by_id.get_mut(id) else { return Ok(()) };
        let mut record = key.record.clone();
        let Some(rotation) = &mut record.rotation else { return Ok(()) };
        rotation.next = now + i64::from(rotation.period_days) * DAY;
        let version = key.material.keys().next_back().map_or(1, |newest| newest + 1);
        let material = new_material()?;
        tables.commit(&[Change::PutKey(&record), Change::PutMaterial { key_id: id, version, material: &material }])?;
        key.record = record;
        key.material.insert(version, material);
        tracing::info!(key = id, version, "KMS key rotated");
        Ok(())
    }

    fn find_due(&mut self) {
        self.due = self.by_id.values().filter_map(Key::due).min();
    }
}

fn new_material() -> Result<Material, KmsError> {
    let mut material = Zeroizing::new([0; 32]);
    rand::fill(material.as_mut_slice()).map_err(KmsError::internal)?;
    Ok(material)
}
