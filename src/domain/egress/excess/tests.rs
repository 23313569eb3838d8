use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::egress::admin::{AdminKind, AdminPolicy};
use crate::domain::egress::selector::Labels;
use crate::domain::egress::union::{Isolation, Pod};

const GOLDEN: &str = include_str!("../../../../tests/golden/netpol-egress-union.json");

fn policy(name: &str, egress: &Value) -> NetworkPolicy {
    let object = json!({
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
    });
    serde_json::from_value(object).unwrap()
}

/// What `foreign` adds, in an IPv4 cluster, to our policy with `ours`.
fn added(ours: &Value, foreign: &Value) -> Vec<String> {
    let (ours, foreign) = (policy("aidp", ours), policy("f", foreign));
    let mut union = Union::new(AddressSet::all_of(true, false));
    union.add_network_policy(&ours).unwrap();
    union.add_network_policy(&foreign).unwrap();
    let effective = union.effective(&Pod {
        namespace: "ml",
        namespace_labels: &Labels::new(),
        labels: &Labels::new(),
        host_network: false,
    });
    let desired = Desired::of([&ours]).unwrap();
    union
        .excess(&effective, &desired)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn https_anywhere() -> Value {
    json!([{
        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}],
        "ports": [{"port": 443}],
    }])
}

fn https_to_ten() -> Value {
    json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}])
}

/// The cases are written by hand: "all ports" is "all", and what stands in brackets explains.
fn plain(text: &str) -> String {
    let text = text.split(" (").next().unwrap_or(text);
    text.replace("all ports", "all").replace("all to any", "all")
}

#[test]
fn the_golden_cases_hold() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert!(cases.len() >= 10);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let ipv6 = case.to_string().contains("::");
        let mut union = Union::new(AddressSet::all_of(true, ipv6));
        let mut ours = Vec::new();
        for object in case["policies"].as_array().unwrap() {
            let word = |key: &str| object[key].as_str().unwrap_or_default();
            if let Some(kind) = AdminKind::of(word("apiVersion"), word("kind")) {
                union.add_admin(AdminPolicy::read(kind, object).unwrap());
                continue;
            }
            let policy: NetworkPolicy = serde_json::from_value(object.clone()).unwrap();
            union.add_network_policy(&policy).unwrap();
            if policy.metadata.name.as_deref() == Some("aidp") {
                ours.push(policy);
            }
        }
        let labels: BTreeMap<String, String> = serde_json::from_value(case["pod"]["labels"].clone()).unwrap();
        let effective = union.effective(&Pod {
            namespace: case["pod"]["namespace"].as_str().unwrap(),
            namespace_labels: &Labels::new(),
            labels: &labels,
            host_network: case["pod"]["hostNetwork"].as_bool().unwrap(),
        });
        let expected = &case["expectedEgress"];
        let excess = union.excess(&effective, &Desired::of(&ours).unwrap());
        let have: Vec<String> = excess.iter().map(|e| plain(&e.to_string())).collect();
        let want: Vec<String> = expected["widening"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| plain(w.as_str().unwrap()))
            .collect();
        assert_eq!(have, want, "{name}");
        if let Some(isolated) = expected["isolated"].as_bool() {
            assert_eq!(effective.isolation == Isolation::Isolated, isolated, "{name}");
        }
        if let Some(allowed) = expected["allowed"].as_array() {
            let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
            assert_eq!(effective.flows().ports().to_string(), allowed.join(", "), "{name}");
        }
    }
}

#[test]
fn a_second_policy_lifts_what_ours_leaves_out() {
    assert_eq!(
        added(&https_anywhere(), &json!([{"ports": [{"port": 443}]}])),
        ["f: TCP/443 to 169.254.0.0/16 (our except is lifted by the union)"]
    );
}

#[test]
fn another_policy_of_the_same_reach_adds_nothing() {
    assert_eq!(added(&https_anywhere(), &https_anywhere()), [""; 0]);
    assert_eq!(added(&https_anywhere(), &https_to_ten()), [""; 0]);
    assert_eq!(added(&https_to_ten(), &json!([])), [""; 0]);
}

#[test]
fn only_the_ports_that_lead_further_are_named() {
    let foreign = json!([{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 443}, {"port": 8000, "endPort": 8100}],
        "to": [{"ipBlock": {"cidr": "10.0.0.0/9"}}]}]);
    assert_eq!(
        added(&https_to_ten(), &foreign),
        ["f: TCP/8000-8100, UDP/53 to 10.0.0.0/9"]
    );
}

#[test]
fn each_rule_is_an_entry_of_its_own() {
    let foreign = json!([{"ports": [{"port": 80}]}, {"ports": [{"port": 443}]}, {"ports": [{"port": 25}]}]);
    assert_eq!(
        added(&https_to_ten(), &foreign),
        [
            "f: TCP/80 to any",
            "f: TCP/443 to 0.0.0.0/0 except 10.0.0.0/8 (our except is lifted by the union)",
            "f: TCP/25 to any"
        ]
    );
}

#[test]
fn pods_exceed_unless_the_same_pods_or_every_address_are_wanted() {
    let pods = json!([{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 443}]}]);
    let all_pods = json!([{"to": [{"namespaceSelector": {}}], "ports": [{"port": 443}]}]);
    assert_eq!(added(&https_to_ten(), &pods), ["f: TCP/443 to pods app=db in ml"]);
    assert_eq!(
        added(&https_to_ten(), &all_pods),
        ["f: TCP/443 to pods in all namespaces"]
    );
    assert_eq!(added(&https_anywhere(), &all_pods), [""; 0]);
    assert_eq!(added(&all_pods, &pods), [""; 0]);
    assert_eq!(added(&pods, &all_pods), ["f: TCP/443 to pods in all namespaces"]);
}

#[test]
fn a_port_by_name_always_exceeds_numbers() {
    let named = |to: Value| json!([{"to": to, "ports": [{"port": "web"}]}]);
    let block = named(json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]));
    assert_eq!(
        added(&https_anywhere(), &named(json!([]))),
        ["f: TCP/<named web> to any"]
    );
    assert_eq!(added(&https_anywhere(), &block), ["f: TCP/<named web> to 10.0.0.0/8"]);
    assert_eq!(added(&block, &block), [""; 0]);
    let all_tcp = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP"}]}]);
    assert_eq!(added(&all_tcp, &block), [""; 0]);
    assert_eq!(added(&all_tcp, &named(json!([]))), ["f: TCP/<named web> to any"]);
}

#[test]
fn long_lists_of_blocks_are_cut() {
    let blocks: Vec<Value> = (0..40)
        .map(|i| json!({"ipBlock": {"cidr": format!("{}.0.0.0/16", 2 * i + 11)}}))
        .collect();
    let foreign = json!([{"to": blocks, "ports": [{"port": 80}]}]);
    let text = added(&https_to_ten(), &foreign).remove(0);
    assert!(text.len() < 256 && text.ends_with("32 more blocks"), "{text}");
}

#[test]
fn a_host_network_pod_reaches_everything() {
    let ours = policy("aidp", &https_anywhere());
    let mut union = Union::new(AddressSet::all());
    union.add_network_policy(&ours).unwrap();
    let effective = union.effective(&Pod {
        namespace: "ml",
        namespace_labels: &Labels::new(),
        labels: &Labels::new(),
        host_network: true,
    });
    let excess = union.excess(&effective, &Desired::of([&ours]).unwrap());
    assert_eq!(effective.isolation, Isolation::HostNetwork);
    assert_eq!(excess[0].to_string(), "everything (hostNetwork: no policy applies)");
}
