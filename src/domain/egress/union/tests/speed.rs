//! The size that the operator must manage: 500 namespaces × 20 pods × 5 policies.

use std::time::{Duration, Instant};

use super::*;
use crate::domain::egress::excess::Desired;

#[test]
fn ten_thousand_pods_under_two_and_a_half_thousand_policies_are_analysed_in_time() {
    let policy = |namespace: &str, i: usize| -> NetworkPolicy {
        let object = json!({
            "metadata": {"name": format!("p{i}"), "namespace": namespace},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "shard", "operator": "NotIn", "values": [i.to_string()]}]},
                "policyTypes": ["Egress"],
                "egress": [
                    {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}], "ports": [{"port": 443}]},
                    {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "db"}}}],
                     "ports": [{"port": 5432}, {"port": 8000, "endPort": 8100}]},
                    {"ports": [{"port": 9000 + i}]},
                ],
            },
        });
        serde_json::from_value(object).unwrap()
    };
    let namespaces: Vec<String> = (0..500).map(|n| format!("ns-{n}")).collect();
    let pod = |p: i32| {
        labels(&[
            ("app", "train"),
            ("shard", &(p % 7).to_string()),
            ("pod", &p.to_string()),
        ])
    };
    let pods: Vec<Labels> = (0..20).map(pod).collect();
    let policies: Vec<NetworkPolicy> = namespaces
        .iter()
        .flat_map(|ns| (0..5).map(move |i| policy(ns, i)))
        .collect();
    let none = Labels::new();
    let desired = Desired::of(policies.first()).unwrap();

    let start = Instant::now();
    let mut union = Union::new(AddressSet::all());
    for policy in &policies {
        union.add_network_policy(policy).unwrap();
    }
    let all = namespaces.iter().flat_map(|namespace| {
        pods.iter().map(|labels| Pod {
            namespace,
            namespace_labels: &none,
            labels,
            host_network: false,
        })
    });
    let effective = union.effective_of_all(all);
    let distinct: HashMap<*const Effective, &Effective> = effective.iter().map(|e| (Rc::as_ptr(e), &**e)).collect();
    let exceeding: usize = distinct.values().map(|e| union.excess(e, &desired).len()).sum();
    let took = start.elapsed();

    // Six selections a namespace (shards 5 and 6 look the same to every policy), and rule 2 exceeds in all but policy 0.
    assert_eq!((effective.len(), distinct.len()), (10_000, 3_000));
    assert_eq!(exceeding, 500 * (4 + 3 * 4 + 4));
    eprintln!("analysed 10000 pods under 2500 policies in {took:?}");
    // One second is the aim of a release build; a debug build on a busy machine gets more.
    let bound = if cfg!(debug_assertions) { 30 } else { 1 };
    assert!(took < Duration::from_secs(bound), "{took:?}");
}
