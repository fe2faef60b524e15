//! JSON of request bodies, and what a publisher says of a version.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use strongroom::domain::{Metadata, check_json};

pub(crate) fn check(bytes: &[u8]) {
    let strict = check_json(bytes).is_ok();
    let plain = serde_json::from_slice::<Value>(bytes).is_ok();
    let looked = serde_json::from_slice::<Repeats>(bytes);
    let repeats = looked.as_ref().is_ok_and(|Repeats(repeats)| *repeats);
    // The check passes just what is JSON and says no name twice; what it passes means the same to every reader.
    assert_eq!(strict, looked.is_ok() && !repeats, "strict {strict}, repeats {repeats}");
    assert!(plain || !strict, "passed, and not read");

    let Ok(metadata) = Metadata::from_json(bytes) else { return };
    assert!(strict && bytes.len() <= Metadata::MAX_BYTES);
    assert!(metadata.as_map().values().all(|value| depth(value) < 16));
    let written = metadata.to_json();
    let again = Metadata::from_json(written.as_bytes());
    // Written out, a number may be longer than it came.
    if written.len() <= Metadata::MAX_BYTES {
        assert_eq!(again.unwrap(), metadata, "what is written is read as something else");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether an object says a name twice or a reserved one, found in another way than the check does: by sorting.
struct Repeats(bool);

impl<'de> Deserialize<'de> for Repeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Looker).map(Self)
    }
}

struct Looker;

impl<'de> Visitor<'de> for Looker {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut repeats = false;
        while let Some(Repeats(found)) = items.next_element()? {
            repeats |= found;
        }
        Ok(repeats)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let (mut repeats, mut names) = (false, Vec::new());
        while let Some((name, Repeats(found))) = members.next_entry::<String, _>()? {
            repeats |= found || name.starts_with("$serde_json::private::");
            names.push(name);
        }
        names.sort();
        Ok(repeats || names.windows(2).any(|pair| pair[0] == pair[1]))
    }
}
