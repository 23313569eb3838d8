//! Is an observed NetworkPolicy the desired one? Compared by meaning: what the API server fills in, and the order of rules,
//! peers and ports, is no drift. Additional labels and annotations are somebody else's business.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Map, Value, json};

use super::address::parse_cidr;

/// One place where an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Field, e.g. `spec.egress[1].ports[0].port`. Indices are those of the observed object, or of the desired one for
    /// what is missing.
    pub path: String,
    /// Wanted, as compact JSON; `absent` if the field should not be there.
    pub want: String,
    /// Found, as compact JSON; `absent` if the field is not there.
    pub have: String,
}

/// The most differences reported; one is enough to write, a handful to understand.
pub const MAX_DIFFERENCES: usize = 10;

/// Where `observed` differs from `desired`, at most [`MAX_DIFFERENCES`]; empty if it is the same in meaning.
pub fn differences(observed: &NetworkPolicy, desired: &NetworkPolicy) -> Vec<Difference> {
    let mut out = Vec::new();
    for (field, want, have) in [
        ("labels", &desired.metadata.labels, &observed.metadata.labels),
        (
            "annotations",
            &desired.metadata.annotations,
            &observed.metadata.annotations,
        ),
    ] {
        for (key, want) in want.iter().flatten() {
            let have = have.as_ref().and_then(|h| h.get(key));
            if have != Some(want) {
                out.push(Difference {
                    path: format!("metadata.{field}[{key}]"),
                    want: want.clone(),
                    have: have.cloned().unwrap_or_else(|| "absent".to_owned()),
                });
            }
        }
    }
    diff(
        "spec",
        Some(&normal_spec(desired)),
        Some(&normal_spec(observed)),
        &mut out,
    );
    out.truncate(MAX_DIFFERENCES);
    out
}

/// The spec with every default filled in and every empty list left out.
fn normal_spec(policy: &NetworkPolicy) -> Value {
    let mut spec = serde_json::to_value(&policy.spec).unwrap_or_default();
    let Value::Object(fields) = &mut spec else {
        return json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    };
    let has_egress = fields
        .get("egress")
        .and_then(Value::as_array)
        .is_some_and(|e| !e.is_empty());
    let untyped = fields
        .get("policyTypes")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    if untyped {
        let types = if has_egress {
            json!(["Ingress", "Egress"])
        } else {
            json!(["Ingress"])
        };
        fields.insert("policyTypes".into(), types);
    }
    fields.entry("podSelector").or_insert_with(|| json!({}));
    normalise(&mut spec);
    spec
}

fn normalise(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(normalise);
            fields.retain(|key, v| match v {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                // An empty selector selects everything and an absent one nothing; an empty map of labels is nothing.
                Value::Object(map) => !map.is_empty() || key != "matchLabels",
                Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            });
            if let Some(Value::Array(ports)) = fields.get_mut("ports") {
                ports
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(normalise_port);
            }
            if let Some(Value::String(cidr)) = fields.get_mut("cidr")
                && let Ok(net) = parse_cidr(cidr)
            {
                *cidr = net.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn normalise_port(port: &mut Map<String, Value>) {
    port.entry("protocol").or_insert_with(|| "TCP".into());
    if port.get("endPort").is_some() && port.get("endPort") == port.get("port") {
        port.remove("endPort");
    }
}

fn diff(path: &str, want: Option<&Value>, have: Option<&Value>, out: &mut Vec<Difference>) {
    match (want, have) {
        (Some(Value::Object(want)), Some(Value::Object(have))) => {
            for (key, value) in want {
                diff(&format!("{path}.{key}"), Some(value), have.get(key), out);
            }
            for (key, value) in have.iter().filter(|(key, _)| !want.contains_key(*key)) {
                diff(&format!("{path}.{key}"), None, Some(value), out);
            }
        }
        (Some(Value::Array(want)), Some(Value::Array(have))) => diff_lists(path, want, have, out),
        (want, have) if want == have => {}
        (want, have) => {
            let text = |v: Option<&Value>| match v {
                None => "absent".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            out.push(Difference {
                path: path.to_owned(),
                want: text(want),
                have: text(have),
            });
        }
    }
}

/// All lists of a NetworkPolicy are sets. What both have is taken out; the rest is paired in order.
fn diff_lists(path: &str, want: &[Value], have: &[Value], out: &mut Vec<Difference>) {
    let mut found: Vec<(usize, &Value)> = have.iter().enumerate().collect();
    let mut missing: Vec<(usize, &Value)> = Vec::new();
    for (i, value) in want.iter().enumerate() {
        match found.iter().position(|(_, f)| same(value, f)) {
            Some(at) => drop(found.remove(at)),
            None => missing.push((i, value)),
        }
    }
    let pairs = missing.len().max(found.len());
    for i in 0..pairs {
        let (want, have) = (missing.get(i), found.get(i));
        let index = have.or(want).map_or(0, |(index, _)| *index);
        diff(&format!("{path}[{index}]"), want.map(|w| w.1), have.map(|h| h.1), out);
    }
}

fn same(want: &Value, have: &Value) -> bool {
    let mut out = Vec::new();
    diff("", Some(want), Some(have), &mut out);
    out.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(spec: &Value) -> NetworkPolicy {
        let object = json!({
            "metadata": {"name": "p", "namespace": "ml", "labels": {"aidp.dev/policy": "fraud"}},
            "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn desired() -> NetworkPolicy {
        policy(&json!({
            "podSelector": {"matchLabels": {"workload": "training"}},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443, "protocol": "TCP"}]},
                {"to": [{"podSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            ],
        }))
    }

    fn edited(edit: impl Fn(&mut Value)) -> Vec<(String, String, String)> {
        let mut value = serde_json::to_value(desired()).unwrap();
        edit(&mut value);
        let observed = serde_json::from_value(value).unwrap();
        let all = differences(&observed, &desired());
        all.into_iter().map(|d| (d.path, d.want, d.have)).collect()
    }

    fn one(path: &str, want: &str, have: &str) -> Vec<(String, String, String)> {
        vec![(path.into(), want.into(), have.into())]
    }

    #[test]
    fn what_the_server_fills_in_is_no_drift() {
        let nothing = edited(|v| {
            v["metadata"]["uid"] = json!("u");
            v["metadata"]["labels"]["team"] = json!("x");
            v["metadata"]["annotations"] = json!({"a": "b"});
            v["spec"]["ingress"] = json!([]);
            v["spec"]["egress"][0]["ports"] = json!([{"port": 443, "endPort": 443}]);
            v["spec"]["egress"][0]["to"] = json!([{"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}]);
            v["spec"]["podSelector"]["matchExpressions"] = json!([]);
        });
        assert_eq!(nothing, []);
    }

    #[test]
    fn order_is_no_drift() {
        let nothing = edited(|v| {
            v["spec"]["egress"].as_array_mut().unwrap().reverse();
            v["spec"]["egress"][0]["ports"].as_array_mut().unwrap().reverse();
        });
        assert_eq!(nothing, []);
    }

    #[test]
    fn each_edit_is_named_with_path_want_and_have() {
        assert_eq!(
            edited(|v| v["spec"]["egress"][0]["ports"][0]["port"] = json!(80)),
            one("spec.egress[0].ports[0].port", "443", "80")
        );
        assert_eq!(
            edited(|v| v["spec"]["egress"][0]["to"][0]["ipBlock"]["cidr"] = json!("0.0.0.0/0")),
            one("spec.egress[0].to[0].ipBlock.cidr", "10.0.0.0/8", "0.0.0.0/0")
        );
        assert_eq!(
            edited(|v| v["spec"]["egress"].as_array_mut().unwrap().insert(0, json!({}))),
            one("spec.egress[0]", "absent", "{}")
        );
        assert_eq!(
            edited(|v| drop(v["spec"]["egress"].as_array_mut().unwrap().pop())),
            one(
                "spec.egress[1]",
                r#"{"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}],"to":[{"podSelector":{}}]}"#,
                "absent"
            )
        );
        assert_eq!(
            edited(|v| v["spec"]["policyTypes"] = json!(["Ingress", "Egress"])),
            one("spec.policyTypes[0]", "absent", "Ingress")
        );
        assert_eq!(
            edited(|v| v["spec"]["podSelector"]["matchLabels"]["workload"] = json!("other")),
            one("spec.podSelector.matchLabels.workload", "training", "other")
        );
        assert_eq!(
            edited(|v| v["metadata"]["labels"] = json!({})),
            one("metadata.labels[aidp.dev/policy]", "fraud", "absent")
        );
    }

    #[test]
    fn lifting_a_peer_or_port_list_is_drift() {
        // An empty list means "all", so it must never compare as "nothing changed".
        assert_eq!(
            edited(|v| v["spec"]["egress"][0]["to"] = json!([])),
            one("spec.egress[0].to", r#"[{"ipBlock":{"cidr":"10.0.0.0/8"}}]"#, "absent")
        );
        assert_eq!(
            edited(|v| v["spec"]["egress"][1]["to"][0] = json!({"podSelector": {}, "namespaceSelector": {}})),
            one("spec.egress[1].to[0].namespaceSelector", "absent", "{}")
        );
    }

    #[test]
    fn differences_are_bounded() {
        let many = edited(|v| v["spec"]["egress"] = Value::Array(vec![json!({"ports": [{"port": 1}]}); 500]));
        assert_eq!(many.len(), MAX_DIFFERENCES);
    }
}
