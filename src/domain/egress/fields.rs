//! Fields of an object that its type, as known here, does not have: misspelt, or of a later version.

use serde::Serialize;
use serde_json::Value;

/// The first field in `given` that is not in `known`, which was read from it: `spec.egress[0].prots`. `path` is where `given`
/// stands.
pub fn unknown_field(path: &str, given: &Value, known: &impl Serialize) -> Option<String> {
    lost(path, given, &serde_json::to_value(known).ok()?)
}

fn lost(path: &str, given: &Value, known: &Value) -> Option<String> {
    use Value::{Array, Null, Object};
    match (given, known) {
        (Object(given), Object(known)) => given.iter().find_map(|(key, value)| match (value, known.get(key)) {
            // Written out as absent.
            (Null, None) => None,
            (Array(items), None) if items.is_empty() => None,
            (Object(fields), None) if fields.is_empty() => None,
            (_, None) => Some(format!("{path}.{key}")),
            (value, Some(kept)) => lost(&format!("{path}.{key}"), value, kept),
        }),
        (Array(given), Array(known)) => {
            let pairs = given.iter().zip(known).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (g, k))| lost(&format!("{path}[{i}]"), g, k))
        }
        _ => None,
    }
}
