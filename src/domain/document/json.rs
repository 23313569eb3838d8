//! JSON read strictly: a repeated key, a number that cannot be written back and an oversized text are errors.
//!
//! A lenient reader keeps the last of two equal keys without a word. For a policy that means judging, and writing back, a
//! document that is not the one AWS holds.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::parse::{ParseError, shorten};

/// Longest text that is read, in bytes. AWS's longest policy is a 32 KiB key policy; white space, which IAM doesn't count,
/// gets the rest.
pub const MAX_BYTES: usize = 256 * 1024;

/// Above this an `f64` no longer holds every integer, so the digits that were read might not be the digits written back.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads one JSON value. Nesting is bounded by the reader (128 levels).
pub(super) fn read(text: &str) -> Result<Value, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(ParseError::TooLarge { bytes: text.len() });
    }
    let Strict(value) = serde_json::from_str(text).map_err(|e| ParseError::Json(e.to_string()))?;
    match numbers(text).find(|number| !is_kept(number)) {
        None => Ok(value),
        Some(number) => Err(ParseError::Json(format!(
            "number {} would be written back in other digits; quote it",
            shorten(number)
        ))),
    }
}

/// The numbers in a JSON text, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let (mut in_string, mut escaped) = (false, false);
    let outside_strings = move |c: char| {
        let is_content = in_string;
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
        is_content || !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')
    };
    // What is left of `true` and `false` outside of strings is an `e`.
    text.split(outside_strings)
        .filter(|part| !part.is_empty() && *part != "e")
}

/// Whether a number that is read and written back has the same digits: `1.20` becomes `1.2`, which is another text where AWS
/// compares texts.
fn is_kept(number: &str) -> bool {
    let written = serde_json::from_str(number).map(|value: Value| value.to_string());
    written.is_ok_and(|written| written == number)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        match Number::from_f64(v) {
            Some(n) if v.abs() < MAX_EXACT => Ok(Value::Number(n)),
            Some(_) | None => Err(E::custom("number too large to be kept exactly; quote it")),
        }
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let Strict(value) = access.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key {:?}", shorten(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
