//! When an annotation was set, from the API server's own books (`metadata.managedFields`): whoever sets it cannot say so
//! wrongly, and it outlives the operator.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// When annotation `key` was set: the oldest of the times at which those who set it last changed something of theirs. Where
/// the books do not know, when the object was created: what is on record of nobody is as old as it can be.
pub fn annotated_at(metadata: &ObjectMeta, key: &str) -> Option<Timestamp> {
    let path = format!(
        "/f:metadata/f:annotations/f:{}",
        key.replace('~', "~0").replace('/', "~1")
    );
    let entries = metadata.managed_fields.iter().flatten();
    let owners = entries.filter(|entry| entry.fields_v1.as_ref().is_some_and(|f| f.0.pointer(&path).is_some()));
    let set = owners.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).min();
    set.or_else(|| metadata.creation_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::SUSPEND_UNTIL;

    fn metadata(managed_fields: &Value) -> ObjectMeta {
        let text = json!({"creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": managed_fields});
        serde_json::from_value(text).unwrap()
    }

    fn entry(time: &str, annotation: &str) -> Value {
        json!({
            "manager": "kubectl-annotate", "operation": "Update", "time": time, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, (format!("f:{annotation}")): {}}}},
        })
    }

    fn at(managed_fields: &Value) -> Option<String> {
        annotated_at(&metadata(managed_fields), SUSPEND_UNTIL).map(|time| time.to_string())
    }

    #[test]
    fn an_annotation_is_as_old_as_the_entry_of_whoever_set_it() {
        let other = entry("2026-06-03T00:00:00Z", "aidp.dev/reconcile-requested-at");
        let set = entry("2026-06-01T00:00:00Z", SUSPEND_UNTIL);
        assert_eq!(at(&json!([other, set])).as_deref(), Some("2026-06-01T00:00:00Z"));
    }

    #[test]
    fn of_several_who_set_the_same_value_the_first_counts() {
        let (first, second) = (
            entry("2026-06-01T00:00:00Z", SUSPEND_UNTIL),
            entry("2026-06-02T00:00:00Z", SUSPEND_UNTIL),
        );
        assert_eq!(at(&json!([second, first])).as_deref(), Some("2026-06-01T00:00:00Z"));
    }

    #[test]
    fn what_nobody_is_on_record_for_is_as_old_as_the_object() {
        for books in [
            Value::Null,
            json!([]),
            json!([{"manager": "x", "fieldsV1": {"f:metadata": 1}, "time": "2026-06-01T00:00:00Z"}]),
            json!([{"manager": "x"}]),
        ] {
            assert_eq!(at(&books).as_deref(), Some("2026-01-01T00:00:00Z"), "{books}");
        }
        assert_eq!(annotated_at(&ObjectMeta::default(), SUSPEND_UNTIL), None);
    }
}
