use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use crate::domain::egress::Protocol;

mod against_packets;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn network(name: &str, egress: &Value) -> NetworkPolicy {
    let object = json!({
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
    });
    serde_json::from_value(object).unwrap()
}

fn admin(name: &str, priority: i32, egress: &Value) -> AdminPolicy {
    let spec = json!({"priority": priority, "subject": {"namespaces": {}}, "egress": egress});
    AdminPolicy::read(
        AdminKind::AdminNetworkPolicy,
        &json!({"metadata": {"name": name}, "spec": spec}),
    )
    .unwrap()
}

fn baseline(egress: &Value) -> AdminPolicy {
    let object = json!({"metadata": {"name": "default"}, "spec": {"subject": {"namespaces": {}}, "egress": egress}});
    AdminPolicy::read(AdminKind::BaselineAdminNetworkPolicy, &object).unwrap()
}

fn all_on(action: &str, port: u16) -> Value {
    json!({"action": action, "to": [{"networks": ["0.0.0.0/0"]}], "ports": [{"portNumber": {"port": port}}]})
}

fn effective(network: &[NetworkPolicy], admin: &[AdminPolicy]) -> Effective {
    let mut union = Union::new(AddressSet::all_of(true, false));
    for policy in network {
        union.add_network_policy(policy).unwrap();
    }
    for policy in admin {
        union.add_admin(policy.clone());
    }
    union.effective(&Pod {
        namespace: "ml",
        namespace_labels: &Labels::new(),
        labels: &labels(&[("app", "train")]),
        host_network: false,
    })
}

fn tcp(effective: &Effective, port: u16) -> bool {
    let somewhere: IpAddr = "1.1.1.1".parse().unwrap();
    effective.flows().contains(somewhere, Protocol::Tcp, port)
}

#[test]
fn policies_add_up_and_an_empty_one_takes_nothing_away() {
    let open = network("a", &json!([{"ports": [{"port": 443}]}]));
    let both = effective(&[open.clone(), network("b", &json!([]))], &[]);
    assert_eq!(both.isolation, Isolation::Isolated);
    assert_eq!(both.flows(), effective(&[open], &[]).flows());
    assert_eq!(both.grants.len(), 1);
}

#[test]
fn an_admin_allow_beats_our_policy() {
    let ours = network("aidp", &json!([{"ports": [{"port": 443}]}]));
    let out = effective(&[ours], &[admin("open", 10, &json!([all_on("Allow", 80)]))]);
    assert!(tcp(&out, 80) && tcp(&out, 443) && !tcp(&out, 22));
    let source = Source::Rule {
        policy: PolicyName::Admin {
            kind: AdminKind::AdminNetworkPolicy,
            name: "open".into(),
        },
        rule: 0,
    };
    assert_eq!(out.grants[0].source, source);
}

#[test]
fn an_admin_deny_cannot_be_widened() {
    let open = network("open", &json!([{}]));
    let out = effective(&[open], &[admin("deny", 10, &json!([all_on("Deny", 80)]))]);
    assert!(!tcp(&out, 80) && tcp(&out, 443));
}

#[test]
fn the_lower_priority_number_decides() {
    let deny = |p| admin("deny", p, &json!([all_on("Deny", 80)]));
    let allow = |p| admin("allow", p, &json!([all_on("Allow", 80)]));
    let isolated = [network("none", &json!([]))];
    assert!(tcp(&effective(&isolated, &[deny(20), allow(10)]), 80));
    assert!(!tcp(&effective(&isolated, &[deny(10), allow(20)]), 80));
}

#[test]
fn the_first_rule_of_a_policy_decides() {
    let first = |a, b| admin("p", 1, &json!([all_on(a, 80), all_on(b, 80)]));
    assert!(tcp(&effective(&[], &[first("Allow", "Deny")]), 80));
    assert!(!tcp(&effective(&[], &[first("Deny", "Allow")]), 80));
}

#[test]
fn a_pass_skips_the_rest_of_the_tier() {
    let tier = [
        admin("pass", 1, &json!([all_on("Pass", 80)])),
        admin("deny", 2, &json!([all_on("Deny", 80)])),
    ];
    assert!(tcp(&effective(&[network("n", &json!([{}]))], &tier), 80));
    assert!(!tcp(&effective(&[network("n", &json!([]))], &tier), 80));
}

#[test]
fn the_baseline_counts_only_for_pods_that_nothing_isolates() {
    let base = baseline(&json!([all_on("Deny", 80)]));
    let alone = effective(&[], std::slice::from_ref(&base));
    assert!(!tcp(&alone, 80) && tcp(&alone, 443));
    assert_eq!(alone.isolation, Isolation::NotIsolated);
    assert!(tcp(&effective(&[network("n", &json!([{}]))], &[base]), 80));
}

#[test]
fn policies_of_one_priority_that_contradict_are_a_doubt_and_count_as_open() {
    let tier = [
        admin("a", 5, &json!([all_on("Deny", 80)])),
        admin("b", 5, &json!([all_on("Allow", 80)])),
    ];
    let out = effective(&[network("n", &json!([]))], &tier);
    assert!(tcp(&out, 80));
    assert_eq!(
        out.doubts,
        ["AdminNetworkPolicy/b: another policy of priority 5 decides otherwise"]
    );
}

#[test]
fn a_deny_counts_against_pods_only_if_it_covers_them_all() {
    let db = json!([{"to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}]);
    let deny = |to: Value| admin("deny", 1, &json!([{"action": "Deny", "to": to}]));
    let left = |to: Value| {
        let out = effective(&[network("n", &db)], &[deny(to)]);
        out.grants.iter().any(|g| !g.peers.is_empty())
    };
    assert!(!left(json!([{"namespaces": {}}])));
    assert!(!left(
        json!([{"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}}])
    ));
    assert!(!left(json!([{"networks": ["0.0.0.0/0"]}])));
    assert!(left(
        json!([{"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db", "x": "y"}}}}])
    ));
    assert!(left(json!([{"networks": ["10.0.0.0/8"]}])));
}

#[test]
fn the_namespace_name_is_a_label_that_need_not_be_given() {
    let spec = json!({"priority": 1, "egress": [all_on("Deny", 80)],
        "subject": {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "ml"}}}});
    let object = json!({"metadata": {"name": "p"}, "spec": spec});
    let policy = AdminPolicy::read(AdminKind::AdminNetworkPolicy, &object).unwrap();
    assert!(!tcp(&effective(&[], &[policy]), 80));
}

#[test]
fn an_unknown_peer_is_a_doubt() {
    let object = json!({"metadata": {"name": "p"}, "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}},
        "egress": [{"action": "Deny", "to": [{"services": {}}]}]}});
    let policy = AdminPolicy::read(AdminKind::ClusterNetworkPolicy, &object).unwrap();
    let out = effective(&[], &[policy]);
    assert!(out.flows().is_empty());
    assert_eq!(
        out.doubts,
        ["ClusterNetworkPolicy/p spec.egress[0].to[0]: a peer of an unknown kind [\"services\"]"]
    );
}

#[test]
fn an_allow_of_pods_after_a_deny_of_the_same_pods_lets_nothing_out() {
    let rule = |action: &str| json!({"action": action, "to": [{"namespaces": {"matchLabels": {"team": "x"}}}]});
    let isolated = [network("n", &json!([]))];
    let lets = |tier: &[AdminPolicy]| !effective(&isolated, tier).grants.is_empty();
    assert!(!lets(&[admin("p", 1, &json!([rule("Deny"), rule("Allow")]))]));
    assert!(!lets(&[
        admin("a", 1, &json!([rule("Deny")])),
        admin("b", 2, &json!([rule("Allow")]))
    ]));
    assert!(lets(&[admin("p", 1, &json!([rule("Allow"), rule("Deny")]))]));
}
