//! The engine against a brute-force judge of single packets that shares no code with it: policies are drawn at random in
//! a form of their own, written out as manifests for the engine, and judged packet by packet from that form.

use proptest::prelude::*;

use super::*;
use crate::domain::egress::desired::{Allowed, Facts, Identity, network_policy_for};
use crate::domain::egress::excess::Desired;
use crate::domain::policy::PortRange;

const BLOCKS: [(&str, u32, u32); 5] = [
    ("0.0.0.0/0", 0, u32::MAX),
    ("10.0.0.0/8", 0x0A00_0000, 0x0AFF_FFFF),
    ("10.128.0.0/9", 0x0A80_0000, 0x0AFF_FFFF),
    ("10.200.0.0/16", 0x0AC8_0000, 0x0AC8_FFFF),
    ("192.168.1.1/32", 0xC0A8_0101, 0xC0A8_0101),
];
const HOSTS: [u32; 6] = [
    0x0101_0101,
    0x0A00_0001,
    0x0A80_0001,
    0x0AC8_0001,
    0xC0A8_0101,
    0xC0A8_0102,
];
const PORTS: [u16; 7] = [1, 79, 80, 81, 443, 8080, 65535];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const OWN_NAMESPACE: &str = "ml";

/// Labels are one key with one of three values, or none.
type Label = Option<usize>;

#[derive(Clone, Debug)]
enum Select {
    All,
    Is(usize),
    Not(usize),
    Present,
    Absent,
}

impl Select {
    fn matches(&self, label: Label) -> bool {
        match self {
            Self::All => true,
            Self::Is(v) => label == Some(*v),
            Self::Not(v) => label != Some(*v),
            Self::Present => label.is_some(),
            Self::Absent => label.is_none(),
        }
    }

    fn json(&self) -> Value {
        let expression =
            |op: &str, values: Value| json!({"matchExpressions": [{"key": "k", "operator": op, "values": values}]});
        match self {
            Self::All => json!({}),
            Self::Is(v) => json!({"matchLabels": {"k": v.to_string()}}),
            Self::Not(v) => expression("NotIn", json!([v.to_string()])),
            Self::Present => expression("Exists", Value::Null),
            Self::Absent => expression("DoesNotExist", Value::Null),
        }
    }
}

#[derive(Clone, Debug)]
enum To {
    Block {
        block: usize,
        except: Option<usize>,
    },
    Pods {
        namespaces: Option<Select>,
        pods: Option<Select>,
    },
}

#[derive(Clone, Debug)]
struct On {
    protocol: usize,
    /// None: every port of the protocol.
    range: Option<(u16, u16)>,
}

#[derive(Clone, Debug)]
struct Policy {
    pods: Select,
    rules: Vec<(Vec<To>, Vec<On>)>,
}

#[derive(Clone, Debug)]
struct Admin {
    priority: i32,
    namespaces: Select,
    rules: Vec<(&'static str, Vec<To>, Vec<On>)>,
}

/// Where a packet goes: an address outside, or a pod with its address.
#[derive(Clone, Debug)]
struct Packet {
    address: u32,
    /// Labels of its namespace and its own.
    pod: Option<(Label, Label)>,
    protocol: usize,
    port: u16,
}

#[derive(Clone, Debug)]
struct World {
    namespace: Label,
    pod: Label,
    network: Vec<Policy>,
    admin: Vec<Admin>,
    baseline: Option<Admin>,
}

fn label_map(label: Label) -> Labels {
    label.map(|v| ("k".to_owned(), v.to_string())).into_iter().collect()
}

fn in_block(block: usize, address: u32) -> bool {
    let (_, first, last) = BLOCKS[block];
    (first..=last).contains(&address)
}

/// `lenient`: an ipBlock matches pods by their address, as with Calico; else it never does, as with Cilium. The API leaves
/// it open for NetworkPolicy and asks for the first in the admin tiers.
fn to_matches(to: &To, packet: &Packet, own_namespace: Label, lenient: bool) -> bool {
    match to {
        To::Block { block, except } => {
            (packet.pod.is_none() || lenient)
                && in_block(*block, packet.address)
                && !except.is_some_and(|e| in_block(e, packet.address))
        }
        To::Pods { namespaces, pods } => packet.pod.is_some_and(|(namespace, pod)| {
            let namespace_matches = match namespaces {
                Some(select) => select.matches(namespace),
                // Namespaces with the labels of ours count as ours.
                None => namespace == own_namespace,
            };
            namespace_matches && pods.as_ref().is_none_or(|s| s.matches(pod))
        }),
    }
}

fn on_matches(on: &[On], packet: &Packet) -> bool {
    let one = |o: &On| o.protocol == packet.protocol && o.range.is_none_or(|(a, b)| (a..=b).contains(&packet.port));
    on.is_empty() || on.iter().any(one)
}

fn admin_decides(tier: &[&Admin], world: &World, packet: &Packet) -> Option<&'static str> {
    let applying = tier.iter().filter(|a| a.namespaces.matches(world.namespace));
    applying
        .flat_map(|a| &a.rules)
        .find(|(_, to, on)| to.iter().any(|t| to_matches(t, packet, None, true)) && on_matches(on, packet))
        .map(|(action, _, _)| *action)
}

fn judge(world: &World, tier: &[&Admin], packet: &Packet, lenient: bool) -> bool {
    match admin_decides(tier, world, packet) {
        Some("Allow") => return true,
        Some("Deny") => return false,
        _ => {}
    }
    let isolating: Vec<_> = world.network.iter().filter(|p| p.pods.matches(world.pod)).collect();
    if isolating.is_empty() {
        let baseline: Vec<&Admin> = world.baseline.iter().collect();
        return admin_decides(&baseline, world, packet) != Some("Deny");
    }
    isolating.iter().flat_map(|p| &p.rules).any(|(to, on)| {
        let peer = to.is_empty() || to.iter().any(|t| to_matches(t, packet, world.namespace, lenient));
        peer && on_matches(on, packet)
    })
}

fn to_json(to: &To) -> Value {
    match to {
        To::Block { block, except } => {
            let except: Vec<_> = except.iter().map(|e| BLOCKS[*e].0).collect();
            json!({"ipBlock": {"cidr": BLOCKS[*block].0, "except": except}})
        }
        To::Pods { namespaces, pods } => {
            let mut out = json!({});
            if let Some(s) = namespaces {
                out["namespaceSelector"] = s.json();
            }
            if let Some(s) = pods {
                out["podSelector"] = s.json();
            }
            out
        }
    }
}

fn on_json(on: &On) -> Value {
    let mut out = json!({"protocol": PROTOCOLS[on.protocol]});
    if let Some((first, last)) = on.range {
        out["port"] = first.into();
        if last > first {
            out["endPort"] = last.into();
        }
    }
    out
}

fn network_object(index: usize, policy: &Policy) -> NetworkPolicy {
    let rule = |(to, on): &(Vec<To>, Vec<On>)| {
        let (to, on): (Vec<_>, Vec<_>) = (to.iter().map(to_json).collect(), on.iter().map(on_json).collect());
        json!({"to": to, "ports": on})
    };
    let egress: Vec<_> = policy.rules.iter().map(rule).collect();
    let object = json!({
        "metadata": {"name": format!("n{index}"), "namespace": OWN_NAMESPACE},
        "spec": {"podSelector": policy.pods.json(), "policyTypes": ["Egress"], "egress": egress},
    });
    serde_json::from_value(object).unwrap()
}

fn admin_object(kind: AdminKind, name: &str, policy: &Admin) -> AdminPolicy {
    let peer = |to: &To| match to {
        To::Block { block, .. } => json!({"networks": [BLOCKS[*block].0]}),
        To::Pods { namespaces, pods } => {
            let namespaces = namespaces.clone().unwrap_or(Select::All).json();
            match pods {
                None => json!({"namespaces": namespaces}),
                Some(s) => json!({"pods": {"namespaceSelector": namespaces, "podSelector": s.json()}}),
            }
        }
    };
    let port = |on: &On| {
        let (start, end) = on.range.unwrap_or((1, u16::MAX));
        json!({"portRange": {"protocol": PROTOCOLS[on.protocol], "start": start, "end": end}})
    };
    let rule = |(action, to, on): &(&str, Vec<To>, Vec<On>)| {
        let ports = if on.is_empty() {
            Value::Null
        } else {
            on.iter().map(port).collect()
        };
        json!({"action": action, "to": to.iter().map(peer).collect::<Vec<_>>(), "ports": ports})
    };
    let spec = json!({
        "priority": policy.priority,
        "subject": {"namespaces": policy.namespaces.json()},
        "egress": policy.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    AdminPolicy::read(kind, &json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn engine(world: &World) -> (Union, Effective) {
    let mut union = Union::new(AddressSet::all_of(true, false));
    for (i, policy) in world.network.iter().enumerate() {
        union.add_network_policy(&network_object(i, policy)).unwrap();
    }
    for (i, policy) in world.admin.iter().enumerate() {
        union.add_admin(admin_object(AdminKind::AdminNetworkPolicy, &format!("a{i}"), policy));
    }
    if let Some(policy) = &world.baseline {
        union.add_admin(admin_object(AdminKind::BaselineAdminNetworkPolicy, "default", policy));
    }
    let effective = union.effective(&Pod {
        namespace: OWN_NAMESPACE,
        namespace_labels: &label_map(world.namespace),
        labels: &label_map(world.pod),
        host_network: false,
    });
    (union, effective)
}

/// Does the engine let the packet through?
fn engine_lets(effective: &Effective, world: &World, packet: &Packet) -> bool {
    let address = IpAddr::V4(packet.address.into());
    let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp][packet.protocol];
    if effective.flows().contains(address, protocol, packet.port) {
        return true;
    }
    let Some((namespace, pod)) = packet.pod else {
        return false;
    };
    let name = if namespace == world.namespace {
        OWN_NAMESPACE
    } else {
        "other"
    };
    let mut namespace_labels = label_map(namespace);
    namespace_labels.insert(NAMESPACE_NAME.into(), name.into());
    effective.grants.iter().flat_map(|g| &g.peers).any(|(peer, ports)| {
        let selected = match peer {
            Peer::Any => true,
            Peer::Pods { namespaces, pods } => namespaces.matches(&namespace_labels) && pods.matches(&label_map(pod)),
            Peer::Within(blocks) => blocks.iter().any(|b| b.contains(&address)),
            Peer::Nodes(_) | Peer::Domains(_) => false,
        };
        selected && ports.ranges(protocol).iter().any(|r| r.contains(&packet.port))
    })
}

fn any_label() -> impl Strategy<Value = Label> {
    prop::option::of(0_usize..3)
}

fn any_select() -> impl Strategy<Value = Select> {
    prop_oneof![
        Just(Select::All),
        (0_usize..3).prop_map(Select::Is),
        (0_usize..3).prop_map(Select::Not),
        Just(Select::Present),
        Just(Select::Absent),
    ]
}

fn any_to() -> impl Strategy<Value = To> {
    prop_oneof![
        (0_usize..5, any::<bool>()).prop_map(|(block, hole)| To::Block {
            block,
            // Each of the first three blocks holds the next one.
            except: (hole && block < 3).then_some(block + 1),
        }),
        (prop::option::of(any_select()), any_select()).prop_map(|(namespaces, pods)| To::Pods {
            namespaces,
            pods: Some(pods)
        }),
        any_select().prop_map(|namespaces| To::Pods {
            namespaces: Some(namespaces),
            pods: None
        }),
    ]
}

fn any_on() -> impl Strategy<Value = On> {
    let range = (0_usize..7, 0_usize..7).prop_map(|(a, b)| (PORTS[a.min(b)], PORTS[a.max(b)]));
    (0_usize..3, prop::option::of(range)).prop_map(|(protocol, range)| On { protocol, range })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let rule = (
        prop::collection::vec(any_to(), 0..3),
        prop::collection::vec(any_on(), 0..3),
    );
    (any_select(), prop::collection::vec(rule, 0..3)).prop_map(|(pods, rules)| Policy { pods, rules })
}

fn any_admin(actions: &'static [&'static str]) -> impl Strategy<Value = Admin> {
    // Admin peers have no except, and their namespaces are always given.
    let to = any_to().prop_map(|to| match to {
        To::Block { block, .. } => To::Block { block, except: None },
        To::Pods { namespaces, pods } => To::Pods {
            namespaces: Some(namespaces.unwrap_or(Select::All)),
            pods,
        },
    });
    let rule = (
        prop::sample::select(actions),
        prop::collection::vec(to, 1..3),
        prop::collection::vec(any_on(), 0..3),
    );
    (0_i32..4, any_select(), prop::collection::vec(rule, 0..4)).prop_map(|(priority, namespaces, rules)| Admin {
        priority,
        namespaces,
        rules,
    })
}

fn any_world() -> impl Strategy<Value = World> {
    (
        any_label(),
        any_label(),
        prop::collection::vec(any_policy(), 0..4),
        prop::collection::vec(any_admin(&["Allow", "Deny", "Pass"]), 0..3),
        prop::option::of(any_admin(&["Allow", "Deny"])),
    )
        .prop_map(|(namespace, pod, network, admin, baseline)| World {
            namespace,
            pod,
            network,
            admin,
            baseline,
        })
}

fn packets() -> Vec<Packet> {
    let labels = [None, Some(0), Some(1), Some(2)];
    let pods = labels
        .iter()
        .flat_map(|ns| labels.iter().map(move |pod| Some((*ns, *pod))));
    let mut out = Vec::new();
    for pod in std::iter::once(None).chain(pods) {
        for address in HOSTS {
            // One address is enough for pods; all of them would only take longer.
            if pod.is_some() && address != HOSTS[2] {
                continue;
            }
            for protocol in 0..3 {
                out.extend(PORTS.map(|port| Packet {
                    address,
                    pod,
                    protocol,
                    port,
                }));
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn the_engine_agrees_with_packets(world in any_world()) {
        let (_, effective) = engine(&world);
        let mut tier: Vec<&Admin> = world.admin.iter().collect();
        tier.sort_by_key(|a| a.priority);
        let distinct = tier.windows(2).all(|w| w[0].priority != w[1].priority);
        let mut reversed: Vec<&Admin> = world.admin.iter().rev().collect();
        reversed.sort_by_key(|a| a.priority);
        for packet in packets() {
            let lets = engine_lets(&effective, &world, &packet);
            for order in [&tier, &reversed] {
                for lenient in [false, true] {
                    let allowed = judge(&world, order, &packet, lenient);
                    prop_assert!(!allowed || lets, "closed for the engine, open for the judge: {packet:?}");
                    if packet.pod.is_none() && distinct {
                        prop_assert_eq!(lets, allowed, "{:?}", packet);
                    }
                }
            }
        }
    }

    #[test]
    fn adding_a_network_policy_never_shrinks_an_isolated_pod(mut world in any_world(), more in any_policy()) {
        world.network.push(Policy {
            pods: Select::All,
            rules: vec![],
        });
        let (_, before) = engine(&world);
        let mut wider = world.clone();
        wider.network.push(more);
        let (_, after) = engine(&wider);
        prop_assert!(before.flows().is_subset(&after.flows()));
        for packet in packets() {
            prop_assert!(!engine_lets(&before, &world, &packet) || engine_lets(&after, &wider, &packet));
        }
    }

    #[test]
    fn excess_is_what_is_allowed_and_not_wanted(world in any_world(), ours in any_policy()) {
        let (union, effective) = engine(&world);
        let desired = Desired::of([&network_object(99, &ours)]).unwrap();
        let excess = union.excess(&effective, &desired);
        let mut only_ours = world.clone();
        only_ours.network = vec![Policy { pods: Select::All, ..ours }];
        (only_ours.admin, only_ours.baseline) = (vec![], None);
        let (_, wanted) = engine(&only_ours);
        let flows: Vec<_> = excess.iter().map(|e| &e.flows).collect();
        prop_assert_eq!(Flows::union_of(&flows), effective.flows().difference(&wanted.flows()));
        if excess.is_empty() {
            for packet in packets() {
                let lets = engine_lets(&effective, &world, &packet);
                prop_assert!(!lets || engine_lets(&wanted, &only_ours, &packet), "{:?}", packet);
            }
        }
    }

    #[test]
    fn a_desired_policy_alone_exceeds_nothing(
        blocks in prop::collection::vec(0_usize..5, 1..4),
        ports in prop::collection::vec((1_u16..=u16::MAX, 0_u16..100), 1..3),
        pod_identity: bool,
    ) {
        let ports: Vec<_> = ports
            .iter()
            .map(|(first, more)| PortRange {
                first: *first,
                last: first.saturating_add(*more),
                protocol: crate::api::Protocol::Tcp,
            })
            .collect();
        let allowed: Vec<_> = blocks
            .iter()
            .map(|b| Allowed::Addresses {
                label: "x".into(),
                cidrs: vec![BLOCKS[*b].0.parse().unwrap()],
                ports: ports.clone(),
            })
            .collect();
        let identity = Identity {
            name: "aidp".into(),
            namespace: OWN_NAMESPACE.into(),
            labels: Labels::new(),
            annotations: Labels::new(),
        };
        let facts = Facts {
            pod_identity,
            ..Facts::default()
        };
        let built = network_policy_for(&<_>::default(), &allowed, &facts, identity).unwrap();
        let mut union = Union::new(AddressSet::all());
        union.add_network_policy(&built).unwrap();
        let effective = union.effective(&Pod {
            namespace: OWN_NAMESPACE,
            namespace_labels: &Labels::new(),
            labels: &Labels::new(),
            host_network: false,
        });
        prop_assert_eq!(union.excess(&effective, &Desired::of([&built]).unwrap()), vec![]);
    }
}
