//! Policies from files: several documents a file, other kinds passed over, and errors that name file, document and field.

use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use crate::api::{self, AIDataProtectionPolicy, GROUP};

/// Largest file, bytes: several times what the API server takes as one object.
const MAX_FILE: u64 = 16 << 20;
/// Longest name of a policy (a CEL rule of the CRD).
const MAX_NAME: usize = 52;
/// Most problems named in one document.
const MAX_PROBLEMS: usize = 20;

/// A policy and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PolicyDocument {
    /// "policy.yaml, document 2 (fraud-model)".
    pub place: String,
    /// The object.
    pub policy: AIDataProtectionPolicy,
}

/// The text of a file, or of standard input.
pub(super) fn load(file: &str) -> Result<String, Vec<String>> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().take(MAX_FILE + 1).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_string(&mut text)),
    };
    match read {
        Ok(bytes) if bytes as u64 > MAX_FILE => Err(vec![format!("{file}: larger than {MAX_FILE} bytes")]),
        Ok(_) => Ok(text),
        Err(error) => Err(vec![format!("{file}: {error}")]),
    }
}

/// The policies in a text. A `List` counts as its items.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<PolicyDocument>, Vec<String>> {
    let schema = schema().map_err(|e| vec![e])?;
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    for (n, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = format!("{file}, document {}", n + 1);
        let value = match Value::deserialize(document) {
            Ok(value) => value,
            Err(error) => {
                // The rest of the stream cannot be told apart after a syntax error.
                problems.push(format!("{place}: {error}"));
                break;
            }
        };
        for object in objects(value) {
            match policy(&place, object, &schema) {
                Ok(found) => policies.extend(found),
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

fn schema() -> Result<Value, String> {
    let crd = api::crd().and_then(serde_json::to_value).map_err(|e| e.to_string())?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned();
    schema.ok_or_else(|| "the CRD has no schema".to_owned())
}

fn objects(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut object) if object.get("kind").and_then(Value::as_str) == Some("List") => {
            match object.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// The policy in an object; None if it is of another kind.
fn policy(place: &str, object: Value, schema: &Value) -> Result<Option<PolicyDocument>, Vec<String>> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    if kind != "AIDataProtectionPolicy" || version.split('/').next() != Some(GROUP) {
        return match object.as_object() {
            Some(_) => Ok(None),
            None => Err(vec![format!("{place}: not a Kubernetes object")]),
        };
    }
    let place = format!("{place} ({name})");
    let at = |problem: String| format!("{place}: {problem}");
    if version != "aidp.dev/v1alpha1" {
        return Err(vec![at(format!(
            "apiVersion: {version:?} is unknown; expected aidp.dev/v1alpha1"
        ))]);
    }
    let mut problems = Vec::new();
    if name.is_empty() || name.chars().count() > MAX_NAME {
        problems.push(format!("metadata.name: expected 1 to {MAX_NAME} characters"));
    }
    strays(&object, schema, "", &mut problems);
    match serde_path_to_error::deserialize::<_, AIDataProtectionPolicy>(object) {
        Ok(policy) if problems.is_empty() => Ok(Some(PolicyDocument { place, policy })),
        Ok(_) => Err(problems.into_iter().map(at).collect()),
        Err(error) => {
            let path = error.path().to_string();
            problems.push(format!("{path}: {}", error.into_inner()));
            Err(problems.into_iter().map(at).collect())
        }
    }
}

/// What the API server, or `kubectl`, would drop or refuse and a deserializer would pass over: fields that the schema does
/// not know, and null, which must never quietly switch a control off.
fn strays(value: &Value, schema: &Value, path: &str, problems: &mut Vec<String>) {
    match value {
        _ if problems.len() >= MAX_PROBLEMS => {}
        Value::Null => problems.push(format!(
            "{path}: null means nothing here; leave the field out or give it a value"
        )),
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let any = schema.get("additionalProperties").filter(|s| s.is_object());
            for (key, value) in object {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match properties.and_then(|p| p.get(key)).or(any) {
                    Some(schema) => strays(value, schema, &path, problems),
                    // What the schema leaves open (metadata) is the API server's business.
                    None if properties.is_none() => {}
                    None if path == "apiVersion" || path == "kind" || path == "metadata" => {}
                    None if problems.len() >= MAX_PROBLEMS => return,
                    None => problems.push(format!("{path}: unknown field; known are {}", names(properties))),
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            for (i, item) in items.iter().enumerate() {
                strays(item, schema, &format!("{path}[{i}]"), problems);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn names(properties: Option<&serde_json::Map<String, Value>>) -> String {
    let mut names: Vec<&str> = properties
        .into_iter()
        .flat_map(|p| p.keys().map(String::as_str))
        .collect();
    names.sort_unstable();
    names.join(", ")
}
