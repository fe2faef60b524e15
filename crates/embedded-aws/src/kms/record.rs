//! What is remembered of a key and of an alias.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Milliseconds of a day.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1000;

/// Milliseconds since 1970, UTC.
pub(super) type Millis = i64;

/// A key without its material, as stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeyRecord {
    pub(super) id: String,
    pub(super) manager: Manager,
    pub(super) description: String,
    pub(super) created: Millis,
    pub(super) state: KeyState,
    pub(super) policy: String,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) rotation: Option<Rotation>,
}

/// Who manages a key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Manager {
    Customer,
    /// `alias/aws/s3`: used through S3 only, cannot be changed.
    Aws,
    /// Encrypts SSE-S3 objects: no API shows it.
    Internal,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    /// Unusable, and erased at `at`.
    PendingDeletion {
        at: Millis,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Rotation {
    pub(super) period_days: u16,
    pub(super) next: Millis,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct AliasRecord {
    pub(super) target: String,
    pub(super) created: Millis,
    pub(super) updated: Millis,
}

/// A key as it is used: its record and every version of its material, the newest of which encrypts.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) record: KeyRecord,
    /// Versions count from 1.
    pub(super) material: BTreeMap<u32, Material>,
}

/// 256 bits that never leave the service.
pub(super) type Material = Zeroizing<[u8; 32]>;

impl Key {
    /// When time alone changes the key next: it is erased or gets new material.
    pub(super) fn due(&self) -> Option<Millis> {
        match (self.record.state, self.record.rotation) {
            (KeyState::PendingDeletion { at }, _) => Some(at),
            (KeyState::Enabled, Some(rotation)) => Some(rotation.next),
            _ => None,
        }
    }
}
