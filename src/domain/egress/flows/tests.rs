use proptest::prelude::*;

use super::*;
use crate::domain::egress::address::parse_cidr;

fn addresses(cidrs: &[&str]) -> AddressSet {
    cidrs.iter().map(|c| parse_cidr(c).unwrap()).collect()
}

fn tcp(range: RangeInclusive<u16>, cidrs: &[&str]) -> Flows {
    let mut ports = Ports::none();
    ports.insert(Protocol::Tcp, range);
    Flows::new(&ports, &addresses(cidrs))
}

fn text(flows: &Flows) -> Vec<String> {
    let line = |r: &Reach| format!("{} {} {:?}", r.cidr, r.protocol, r.ports);
    flows.reach().iter().map(line).collect()
}

#[test]
fn a_wider_rule_swallows_a_narrower_one() {
    let both = tcp(443..=443, &["10.0.0.0/8"]).union(&tcp(1..=65535, &["0.0.0.0/0"]));
    assert_eq!(both, tcp(1..=65535, &["0.0.0.0/0"]));
}

#[test]
fn reach_says_each_block_once_with_all_its_ports() {
    let both = tcp(443..=443, &["10.0.0.0/8"]).union(&tcp(80..=80, &["10.0.0.0/9"]));
    assert_eq!(
        text(&both),
        ["10.0.0.0/9 TCP [80..=80, 443..=443]", "10.128.0.0/9 TCP [443..=443]"]
    );
}

#[test]
fn blocks_with_the_same_ports_are_joined_before_they_are_cut_into_cidrs() {
    let halves = tcp(80..=80, &["10.0.0.0/9"]).union(&tcp(80..=80, &["10.128.0.0/9"]));
    assert_eq!(text(&halves), ["10.0.0.0/8 TCP [80..=80]"]);
}

#[test]
fn everything_minus_one_port_keeps_every_other_protocol() {
    let rest = Flows::all_to(&addresses(&["0.0.0.0/0"])).difference(&tcp(443..=443, &["0.0.0.0/0"]));
    assert_eq!(
        text(&rest),
        [
            "0.0.0.0/0 TCP [1..=442, 444..=65535]",
            "0.0.0.0/0 UDP [1..=65535]",
            "0.0.0.0/0 SCTP [1..=65535]",
            "0.0.0.0/0 other [1..=65535]",
        ]
    );
}

#[test]
fn ports_open_to_all_needs_every_address() {
    let flows = tcp(80..=80, &["10.0.0.0/9"]).union(&tcp(443..=443, &["10.0.0.0/8"]));
    assert_eq!(
        flows.ports_open_to_all(&addresses(&["10.0.0.0/8"])).to_string(),
        "TCP/443"
    );
    assert_eq!(flows.ports().to_string(), "TCP/80, TCP/443");
}

fn any_flows() -> impl Strategy<Value = Flows> {
    let cidr = prop::sample::select(vec![
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.128.0.0/9",
        "10.0.0.0/31",
        "::/0",
        "2001:db8::/32",
    ]);
    let protocol = prop::sample::select(Protocol::ALL.to_vec());
    let one = (
        prop::collection::vec(cidr, 1..3),
        protocol,
        1_u16..8,
        0_u16..4,
        any::<bool>(),
    )
        .prop_map(|(cidrs, protocol, from, more, high)| {
            let mut ports = Ports::none();
            let from = if high { u16::MAX - from - more + 1 } else { from };
            ports.insert(protocol, from..=from + more);
            Flows::new(&ports, &addresses(&cidrs))
        });
    prop::collection::vec(one, 0..5).prop_map(|all| Flows::union_of(&all.iter().collect::<Vec<_>>()))
}

fn samples() -> Vec<(IpAddr, Protocol, u16)> {
    let mut out = Vec::new();
    for address in ["10.0.0.1", "10.0.0.2", "10.128.0.0", "11.0.0.0", "2001:db8::1", "::1"] {
        for protocol in Protocol::ALL {
            for port in (1..12).chain(65524..=65535) {
                out.push((address.parse().unwrap(), protocol, port));
            }
        }
    }
    out
}

fn has(flows: &Flows, (address, protocol, port): (IpAddr, Protocol, u16)) -> bool {
    // Protocols without ports are one connection, whatever the port says.
    let port = if protocol == Protocol::Other { 1 } else { port };
    flows.contains(address, protocol, port)
}

proptest! {
    #[test]
    fn algebra_agrees_with_membership(a in any_flows(), b in any_flows()) {
        let (union, both, only) = (a.union(&b), a.intersection(&b), a.difference(&b));
        for s in samples() {
            prop_assert_eq!(has(&union, s), has(&a, s) || has(&b, s), "{:?}", s);
            prop_assert_eq!(has(&both, s), has(&a, s) && has(&b, s), "{:?}", s);
            prop_assert_eq!(has(&only, s), has(&a, s) && !has(&b, s), "{:?}", s);
        }
        prop_assert_eq!(only.union(&both), a.clone());
        prop_assert_eq!(a.is_subset(&b), only.is_empty());
    }

    #[test]
    fn reach_is_the_same_set_in_disjoint_blocks(a in any_flows()) {
        let blocks = a.reach();
        let mut back = Flows::empty();
        for (i, block) in blocks.iter().enumerate() {
            let mut ports = Ports::none();
            for range in &block.ports {
                ports.insert(block.protocol, range.clone());
            }
            let flows = Flows::new(&ports, &block.cidr.into());
            back = back.union(&flows);
            for other in &blocks[i + 1..] {
                prop_assert!(other.protocol != block.protocol
                    || (!other.cidr.contains(&block.cidr) && !block.cidr.contains(&other.cidr)));
            }
        }
        prop_assert_eq!(back, a);
    }
}
