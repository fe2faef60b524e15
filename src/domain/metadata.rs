//! What a publisher says of a version.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::strict_json::check_json;

/// A JSON object that travels with a version; at most 64 KiB in canonical form, at most 16 levels deep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

/// Why a text is no metadata.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMetadata {
    /// Not JSON, or not an object.
    #[error("metadata is a JSON object, such as {{\"framework\":\"torch\"}}: {0}")]
    NotAnObject(String),
    /// Too many bytes.
    #[error("metadata is at most {max} bytes of JSON, this has {len}")]
    TooLarge {
        /// Its size.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Nested too deeply.
    #[error("metadata is nested at most 16 levels deep")]
    TooDeep,
}

impl Metadata {
    /// Largest metadata, in bytes of JSON.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Reads JSON from outside.
    ///
    /// # Errors
    /// [`InvalidMetadata`] says which rule it breaks.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidMetadata> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(InvalidMetadata::TooLarge { len: bytes.len(), max: Self::MAX_BYTES });
        }
        let not_an_object = |error: serde_json::Error| InvalidMetadata::NotAnObject(error.to_string());
        check_json(bytes).map_err(not_an_object)?;
        let map: Map<String, Value> = serde_json::from_slice(bytes).map_err(not_an_object)?;
        if map.values().any(|value| depth(value) >= 16) {
            return Err(InvalidMetadata::TooDeep);
        }
        Ok(Self(map))
    }

    /// The stored form.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// The object itself.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_object_is_metadata() {
        assert!(Metadata::from_json(br#"{"a":{"b":[1,2]}}"#).is_ok());
        assert!(matches!(Metadata::from_json(b"[1]"), Err(InvalidMetadata::NotAnObject(_))));
        assert!(matches!(Metadata::from_json(b"{"), Err(InvalidMetadata::NotAnObject(_))));
        assert!(matches!(Metadata::from_json(br#"{"a":1,"a":2}"#), Err(InvalidMetadata::NotAnObject(_))));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000));
        assert!(matches!(Metadata::from_json(long.as_bytes()), Err(InvalidMetadata::TooLarge { .. })));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(17), "]".repeat(17));
        assert!(matches!(Metadata::from_json(deep.as_bytes()), Err(InvalidMetadata::TooDeep)));
    }
}
