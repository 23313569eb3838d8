//! The CRD as published: what a schema must be so that the API server takes it, GitOps tools see no false diff, and nobody
//! switches protection off by accident. What the API server makes of it is tested end to end.
#![cfg(test)]

use serde_json::{Value, json};

fn crd() -> Value {
    serde_json::to_value(aidp::api::crd().unwrap()).unwrap()
}

fn schema() -> Value {
    crd()
        .pointer("/spec/versions/0/schema/openAPIV3Schema")
        .unwrap()
        .clone()
}

/// A schema below `spec` or `status`, with its path.
struct Node {
    path: String,
    schema: Value,
    in_list: bool,
}

/// Every schema of spec and status.
fn nodes() -> Vec<Node> {
    let schema = schema();
    let mut out = Vec::new();
    for root in ["spec", "status"] {
        walk(root.to_owned(), &schema["properties"][root], false, &mut out);
    }
    out
}

fn walk(path: String, schema: &Value, in_list: bool, out: &mut Vec<Node>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(format!("{path}.{name}"), property, in_list, out);
    }
    if schema["items"].is_object() {
        walk(format!("{path}[]"), &schema["items"], true, out);
    }
    if schema["additionalProperties"].is_object() {
        walk(format!("{path}.*"), &schema["additionalProperties"], in_list, out);
    }
    out.push(Node {
        path,
        schema: schema.clone(),
        in_list,
    });
}

/// Paths of the nodes that a rule does not hold for.
fn offenders(rule: impl Fn(&Node) -> bool) -> Vec<String> {
    nodes().into_iter().filter(|n| !rule(n)).map(|n| n.path).collect()
}

fn kind(node: &Node) -> &str {
    node.schema["type"].as_str().unwrap_or_default()
}

#[test]
fn the_committed_file_is_what_the_code_says() {
    let committed = include_str!("../crds/aidp.dev_aidataprotectionpolicies.yaml");
    let committed: Value = serde_yaml::from_str(committed).unwrap();
    assert_eq!(committed, crd(), "run `make generate` and commit the result");
}

#[test]
fn nothing_is_nullable() {
    assert_eq!(offenders(|n| n.schema.get("nullable").is_none()), Vec::<String>::new());
    let with_null = |n: &Node| {
        n.schema["enum"]
            .as_array()
            .is_none_or(|values| !values.contains(&Value::Null))
    };
    assert_eq!(offenders(with_null), Vec::<String>::new());
}

#[test]
fn every_list_map_and_string_is_bounded() {
    let bounded = |n: &Node| match kind(n) {
        "array" => n.schema["maxItems"].is_u64(),
        "object" => n.schema["properties"].is_object() || n.schema["maxProperties"].is_u64(),
        "string" => {
            n.schema["maxLength"].is_u64() || n.schema["enum"].is_array() || n.schema["format"] == json!("date-time")
        }
        "integer" | "boolean" => true,
        _ => false,
    };
    assert_eq!(offenders(bounded), Vec::<String>::new());
}

#[test]
fn every_number_of_the_spec_has_a_range() {
    let ranged = |n: &Node| {
        kind(n) != "integer"
            || !n.path.starts_with("spec")
            || (n.schema["minimum"].is_number() && n.schema["maximum"].is_number())
    };
    assert_eq!(offenders(ranged), Vec::<String>::new());
}

#[test]
fn no_list_item_has_a_default() {
    // A default inside a list is a difference that every GitOps tool shows for ever.
    assert_eq!(
        offenders(|n| !n.in_list || n.schema.get("default").is_none()),
        Vec::<String>::new()
    );
}

#[test]
fn only_formats_that_kubernetes_knows() {
    let known = |n: &Node| {
        let format = n.schema["format"].as_str();
        format.is_none_or(|f| ["date-time", "int32", "int64"].contains(&f))
    };
    assert_eq!(offenders(known), Vec::<String>::new());
}

#[test]
fn there_is_no_boolean_in_the_spec() {
    // Kubernetes API conventions: a boolean can't grow a third value.
    assert_eq!(
        offenders(|n| !n.path.starts_with("spec") || kind(n) != "boolean"),
        Vec::<String>::new()
    );
}

#[test]
fn every_field_is_explained() {
    let explained = |n: &Node| {
        let is_field = !n.path.ends_with("[]") && !n.path.ends_with(".*") && n.path.contains('.');
        !is_field || n.schema["description"].as_str().is_some_and(|d| d.len() > 2)
    };
    assert_eq!(offenders(explained), Vec::<String>::new());
}

#[test]
fn lists_of_the_spec_that_have_names_are_keyed_by_them() {
    let schema = schema();
    let keys = |pointer: &str| schema.pointer(pointer).unwrap()["x-kubernetes-list-map-keys"].clone();
    assert_eq!(keys("/properties/spec/properties/buckets"), json!(["name"]));
    assert_eq!(keys("/properties/spec/properties/trainingRoles"), json!(["name"]));
    assert_eq!(keys("/properties/spec/properties/egress"), json!(["name"]));
    let of_role = "/properties/spec/properties/trainingRoles/items/properties";
    assert_eq!(
        keys(&format!("{of_role}/serviceAccounts")),
        json!(["namespace", "name"])
    );
    assert_eq!(keys(&format!("{of_role}/read")), json!(["bucket"]));
    let keys_of_kms = "/properties/spec/properties/bucketControls/properties/encryption/properties/kmsKeys";
    assert_eq!(keys(keys_of_kms), json!(["region"]));
    assert_eq!(keys("/properties/status/properties/conditions"), json!(["type"]));
}

#[test]
fn the_only_rule_at_the_root_is_the_length_of_the_name() {
    // Rules at the root are not ratcheted: a tightened one would keep old objects from losing their finalizer.
    let rules = schema()["x-kubernetes-validations"].clone();
    let rules: Vec<&str> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["self.metadata.name.size() <= 52"]);
}

#[test]
fn every_rule_says_what_to_do() {
    let say = |n: &Node| {
        let rules = n.schema["x-kubernetes-validations"].as_array();
        rules.is_none_or(|rules| {
            rules
                .iter()
                .all(|r| r["message"].as_str().is_some_and(|m| m.len() > 20))
        })
    };
    assert_eq!(offenders(say), Vec::<String>::new());
}

#[test]
fn a_fresh_object_has_a_status_that_has_seen_nothing() {
    let schema = schema();
    assert_eq!(schema["properties"]["status"]["default"], json!({}));
    assert_eq!(
        schema["properties"]["status"]["properties"]["observedGeneration"]["default"],
        json!(-1)
    );
}

#[test]
fn the_contract_of_names() {
    let crd = crd();
    let spec = &crd["spec"];
    assert_eq!(crd["metadata"]["name"], "aidataprotectionpolicies.aidp.dev");
    assert_eq!(
        (&spec["group"], &spec["scope"]),
        (&json!("aidp.dev"), &json!("Cluster"))
    );
    assert_eq!(
        spec["names"],
        json!({
            "categories": ["aidp"],
            "kind": "AIDataProtectionPolicy",
            "plural": "aidataprotectionpolicies",
            "shortNames": ["adpp"],
            "singular": "aidataprotectionpolicy",
        })
    );
    let version = &spec["versions"][0];
    assert_eq!(
        (&version["name"], &version["subresources"]),
        (&json!("v1alpha1"), &json!({"status": {}}))
    );
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let of_priority = |priority: i64| -> Vec<&str> {
        columns
            .iter()
            .filter(|c| c["priority"].as_i64().unwrap_or_default() == priority)
            .map(|c| c["name"].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        of_priority(0),
        [
            "Mode", "Ready", "Drifted", "Buckets", "Roles", "Egress", "Verified", "Age"
        ]
    );
    assert_eq!(of_priority(1), ["Account", "Reason"]);
}

#[test]
fn the_examples_are_policies_without_a_stray_field() {
    let mut seen = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let written: Value = serde_yaml::from_str(&text).unwrap();
        let policy: aidp::api::AIDataProtectionPolicy = serde_yaml::from_str(&text).unwrap();
        let read = serde_json::to_value(&policy.spec).unwrap();
        assert_eq!(
            missing(&written["spec"], &read, "spec"),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        seen += 1;
    }
    assert!(seen > 0);
}

/// What is in `written` and not in `read`.
fn missing(written: &Value, read: &Value, path: &str) -> Vec<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written
            .iter()
            .flat_map(|(key, value)| match read.get(key) {
                Some(read) => missing(value, read, &format!("{path}.{key}")),
                None => vec![format!("{path}.{key}")],
            })
            .collect(),
        (Value::Array(written), Value::Array(read)) if written.len() == read.len() => {
            let pairs = written.iter().zip(read).enumerate();
            pairs
                .flat_map(|(i, (w, r))| missing(w, r, &format!("{path}[{i}]")))
                .collect()
        }
        (written, read) if written == read => Vec::new(),
        (_, _) => vec![path.to_owned()],
    }
}
