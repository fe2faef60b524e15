//! JSON in which no object says a name twice: of two values a reader would take either.
//!
//! Nor does it say a name that `serde_json` keeps for itself. Reading into a `Value`, it takes the text beside
//! `$serde_json::private::RawValue` for JSON and puts that in the place of the object, unchecked.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Checks JSON from outside: well-formed, one value, nested no deeper than serde allows, no name twice or reserved.
///
/// # Errors
/// What is wrong, and where.
pub fn check_json(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Checked.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// How the names begin by which `serde_json` marks what is not an object.
const RESERVED: &str = "$serde_json::private::";

/// Reads a value and keeps nothing of it.
struct Checked;

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.starts_with(RESERVED) {
                return Err(A::Error::custom(format_args!("no object says a name that begins with {RESERVED:?}")));
            }
            if names.contains(&name) {
                let shown: String = name.chars().take(100).collect();
                return Err(A::Error::custom(format_args!("an object says {shown:?} twice")));
            }
            names.insert(name);
            members.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_is_said_twice_is_refused_at_any_depth_and_named() {
        for text in ["1", r#"{"a":1,"b":[{"a":null},{"a":-1.5}]}"#, r#"{"":{"":{}}}"#, "[true,\"x\"]"] {
            assert!(check_json(text.as_bytes()).is_ok(), "{text}");
        }
        // An escape is the same name.
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = check_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(r#"an object says "a" twice"#), "{error}");
        }
        for name in ["$serde_json::private::RawValue", "$serde_json::private::Number", "\\u0024serde_json::private::x"]
        {
            let text = format!(r#"[{{"a":{{"{name}":"{{\"x\":1,\"x\":2}}"}}}}]"#);
            let error = check_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("no object says a name that begins with"), "{text}: {error}");
        }
        for text in ["", "{", "1 2", "{\"a\":}", &"[".repeat(100_000)] {
            assert!(check_json(text.as_bytes()).is_err(), "{text:.20}");
        }
    }
}
