use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::egress::Flows;
use crate::domain::egress::network_policy::EgressPolicy;

fn identity() -> Identity {
    Identity {
        name: object_name("fraud-model", "training"),
        namespace: "ml".into(),
        labels: BTreeMap::from([("aidp.dev/policy".into(), "fraud-model".into())]),
        annotations: BTreeMap::new(),
    }
}

fn tcp(first: u16, last: u16) -> Vec<PortRange> {
    vec![PortRange {
        first,
        last,
        protocol: api::Protocol::Tcp,
    }]
}

fn cidr(text: &str) -> Allowed {
    Allowed::Addresses {
        label: text.into(),
        cidrs: vec![text.parse().unwrap()],
        ports: tcp(443, 443),
    }
}

fn build(allowed: &[Allowed], facts: &Facts) -> Result<NetworkPolicy, BuildError> {
    network_policy_for(&label("workload", "training"), allowed, facts, identity())
}

fn flows(policy: &NetworkPolicy) -> Flows {
    let rules = EgressPolicy::read(policy).unwrap().egress.unwrap();
    let each: Vec<_> = rules.iter().map(|r| Flows::new(&r.ports, &r.peers.addresses)).collect();
    Flows::union_of(&each.iter().collect::<Vec<_>>())
}

#[test]
fn a_policy_is_dns_and_the_allowed_ports_and_nothing_else() {
    let allowed = [
        cidr("10.20.0.0/16"),
        Allowed::Pods {
            namespaces: LabelSelector::default(),
            pods: label("app", "tracking"),
            ports: tcp(29500, 29510),
        },
    ];
    let built = serde_json::to_value(build(&allowed, &Facts::default()).unwrap()).unwrap();
    assert_eq!(
        built,
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "aidp-fraud-model.training",
                "namespace": "ml",
                "labels": {"aidp.dev/policy": "fraud-model"},
            },
            "spec": {
                "podSelector": {"matchLabels": {"workload": "training"}},
                "policyTypes": ["Egress"],
                "egress": [
                    {
                        "to": [{
                            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
                        }],
                        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
                    },
                    {
                        "to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}],
                        "ports": [{"protocol": "TCP", "port": 443}],
                    },
                    {
                        "to": [{
                            "namespaceSelector": {},
                            "podSelector": {"matchLabels": {"app": "tracking"}},
                        }],
                        "ports": [{"protocol": "TCP", "port": 29500, "endPort": 29510}],
                    },
                ],
            },
        })
    );
}

#[test]
fn node_local_dns_is_opened_where_it_runs() {
    let facts = Facts {
        dns: Dns {
            addresses: BTreeSet::from([NODE_LOCAL_DNS]),
            ..Dns::default()
        },
        ..Facts::default()
    };
    let open = flows(&build(&[cidr("10.0.0.0/8")], &facts).unwrap());
    assert!(open.contains(NODE_LOCAL_DNS, Protocol::Udp, 53));
    assert!(open.contains(NODE_LOCAL_DNS, Protocol::Tcp, 53));
    assert!(!open.contains(NODE_LOCAL_DNS, Protocol::Tcp, 443));
}

#[test]
fn auto_mode_resolves_on_the_node_and_not_in_pods() {
    let facts = Facts {
        dns: Dns {
            pods: BTreeMap::new(),
            addresses: BTreeSet::from([NODE_LOCAL_DNS]),
            ..Dns::default()
        },
        ..Facts::default()
    };
    let built = build(&[cidr("10.0.0.0/8")], &facts).unwrap();
    let rules = EgressPolicy::read(&built).unwrap().egress.unwrap();
    assert!(rules.iter().all(|r| r.peers.others.is_empty()));
    assert!(flows(&built).contains(NODE_LOCAL_DNS, Protocol::Udp, 53));
}

#[test]
fn the_pod_identity_agent_is_opened_only_where_it_is_used() {
    let with = |pod_identity, ipv6| {
        let facts = Facts {
            pod_identity,
            ipv6,
            ..Facts::default()
        };
        let open = flows(&build(&[cidr("0.0.0.0/0"), cidr("::/0")], &facts).unwrap());
        [POD_IDENTITY_AGENT_V4, POD_IDENTITY_AGENT_V6].map(|a| open.contains(a, Protocol::Tcp, 80))
    };
    assert_eq!(with(false, true), [false, false]);
    assert_eq!(with(true, false), [true, false]);
    assert_eq!(with(true, true), [true, true]);
}

#[test]
fn anywhere_is_written_as_blocks_without_except() {
    let built = build(&[cidr("0.0.0.0/0")], &Facts::default()).unwrap();
    let text = serde_json::to_string(&built).unwrap();
    assert!(!text.contains("except"), "{text}");
    let open = flows(&built);
    assert!(open.contains("1.1.1.1".parse().unwrap(), Protocol::Tcp, 443));
    assert!(!open.contains("1.1.1.1".parse().unwrap(), Protocol::Tcp, 80));
    assert!(!open.contains("169.254.169.254".parse().unwrap(), Protocol::Tcp, 443));
}

#[test]
fn destinations_that_cannot_be_expressed_are_refused() {
    let refused = |a: Allowed| build(&[a], &Facts::default()).unwrap_err().to_string();
    assert_eq!(
        refused(cidr("169.254.169.254/32")),
        "allow 169.254.169.254/32: link-local and instance metadata addresses are never allowed; remove it"
    );
    assert_eq!(
        refused(cidr("::ffff:169.254.169.254/128")),
        "allow ::ffff:169.254.169.254/128: an IPv4-mapped IPv6 address; write the IPv4 address"
    );
    let empty_list = Allowed::Addresses {
        label: "s3".into(),
        cidrs: vec![],
        ports: tcp(443, 443),
    };
    assert_eq!(
        refused(empty_list),
        "allow s3: addresses unknown, and a rule without them would allow everything"
    );
    let no_ports = Allowed::Pods {
        namespaces: LabelSelector::default(),
        pods: LabelSelector::default(),
        ports: vec![],
    };
    assert_eq!(
        refused(no_ports),
        "allow pods: ports unknown, and a rule without them would allow everything"
    );
}

#[test]
fn names_never_collide_and_fit() {
    assert_eq!(object_name("fraud-model", "training"), "aidp-fraud-model.training");
    assert_ne!(object_name("a-b", "c"), object_name("a", "b-c"));
    assert_ne!(object_name("a.b", "c"), object_name("a", "b"));
    let long = "p".repeat(253);
    let name = object_name(&long, &"r".repeat(63));
    assert!(name.len() <= 253 && name.starts_with("aidpx-"), "{name}");
    assert_ne!(name, object_name(&format!("{}q", &long[1..]), &"r".repeat(63)));
}

proptest! {
    #[test]
    fn names_are_valid_subdomains_and_injective(
        a in ("[a-z0-9]([a-z0-9-]{0,120}[a-z0-9])?(\\.[a-z0-9]{1,30}){0,5}", "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
        b in ("[a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?(\\.[a-z0-9]{1,2}){0,2}", "[a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?"),
    ) {
        let names = [object_name(&a.0, &a.1), object_name(&b.0, &b.1)];
        for name in &names {
            prop_assert!(name.len() <= 253);
            for part in name.split('.') {
                let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
                prop_assert!(part.starts_with(ends) && part.ends_with(ends), "{}", name);
            }
        }
        prop_assert_eq!(names[0] == names[1], a == b);
    }

    #[test]
    fn whatever_is_allowed_metadata_stays_closed_and_no_rule_is_open_ended(
        nets in prop::collection::vec((any::<u32>(), 0_u8..=32), 1..5),
        nets6 in prop::collection::vec((any::<u128>(), 0_u8..=64), 0..3),
        first in 1_u16..=65535,
    ) {
        let v4 = nets.iter().map(|(a, l)| IpNet::new(Ipv4Addr::from_bits(*a).into(), *l).unwrap().trunc());
        let v6 = nets6.iter().map(|(a, l)| IpNet::new(Ipv6Addr::from_bits(*a).into(), *l).unwrap().trunc());
        let allowed: Vec<_> = v4.chain(v6)
            .map(|n| Allowed::Addresses { label: n.to_string(), cidrs: vec![n], ports: tcp(first, u16::MAX) })
            .collect();
        if let Ok(built) = build(&allowed, &Facts { ipv6: true, ..Facts::default() }) {
            let open = flows(&built);
            prop_assert!(open.addresses().intersection(&AddressSet::reserved()).is_empty());
            prop_assert_eq!(open.addresses(), allowed.iter().fold(AddressSet::empty(), |all, a| match a {
                Allowed::Addresses { cidrs, .. } => all.union(&cidrs.iter().copied().collect()),
                Allowed::Pods { .. } => all,
            }).difference(&AddressSet::reserved()));
            for rule in built.spec.unwrap().egress.unwrap() {
                prop_assert!(!rule.to.unwrap().is_empty() && !rule.ports.unwrap().is_empty());
            }
        }
    }
}
