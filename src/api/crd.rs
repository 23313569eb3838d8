//! The CRD as published: what the derive makes of the types, put right where it falls short.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use super::AIDataProtectionPolicy;

/// The CustomResourceDefinition of `aidp.dev/v1alpha1`.
///
/// # Errors
/// Only if the derived schema is not what this code expects, which a unit test rules out.
pub fn crd() -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut crd = serde_json::to_value(AIDataProtectionPolicy::crd())?;
    if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
        // A fresh object must read as "in progress" to kstatus, not as current: status exists and has seen nothing.
        insert(schema, "/properties/status", "default", json!({}));
        insert(
            schema,
            "/properties/status/properties/observedGeneration",
            "default",
            json!(-1),
        );
        let condition = "/properties/status/properties/conditions/items/properties";
        for (property, max) in [("type", 316), ("reason", 1024), ("message", 32_768), ("status", 8)] {
            insert(schema, &format!("{condition}/{property}"), "maxLength", json!(max));
        }
    }
    serde_json::from_value(crd)
}

fn insert(schema: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(Value::Object(target)) = schema.pointer_mut(pointer) {
        target.insert(key.to_owned(), value);
    }
}

/// Removes what the derive adds and the API server or the contract does not want: `nullable` (a null control must not
/// switch protection off), `null` among enum values, and number formats that Kubernetes does not know.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            tidy_object(object);
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn tidy_object(object: &mut Map<String, Value>) {
    if object.get("nullable") == Some(&Value::Bool(true)) {
        object.remove("nullable");
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|v| !v.is_null());
    }
    if object
        .get("format")
        .and_then(Value::as_str)
        .is_some_and(|f| f.starts_with("uint"))
    {
        object.remove("format");
    }
}
