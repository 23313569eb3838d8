//! Sets of connections to addresses: which address can be reached on which port of which protocol, as exact set algebra.
//!
//! Kept per protocol as disjoint port ranges in ascending order, each with the addresses that it opens; neighbours with
//! the same addresses are joined, so equal sets are equal values.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use range_set_blaze::RangeSetBlaze;

use super::address::AddressSet;
use super::port::{ALL_PORTS, Ports, Protocol};

/// One range of ports and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The ports; all of them for [`Protocol::Other`], which has none.
    pub ports: RangeInclusive<u16>,
    /// Never empty.
    pub addresses: AddressSet,
}

/// A block of addresses and the ports that are open to all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The block.
    pub cidr: IpNet,
    /// The protocol.
    pub protocol: Protocol,
    /// Ascending, disjoint; empty never.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// A set of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    tcp: Vec<Segment>,
    udp: Vec<Segment>,
    sctp: Vec<Segment>,
    other: Vec<Segment>,
}

impl Flows {
    /// No connection.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every port of every protocol to these addresses.
    pub fn all_to(addresses: &AddressSet) -> Self {
        Self::new(&Ports::all(), addresses)
    }

    /// These ports to these addresses. Ports known by name only open nothing here: an address has no port names.
    pub fn new(ports: &Ports, addresses: &AddressSet) -> Self {
        let of = |protocol| -> Vec<Segment> {
            let ranges = if addresses.is_empty() {
                Vec::new()
            } else {
                ports.ranges(protocol)
            };
            let segment = |ports| Segment {
                ports,
                addresses: addresses.clone(),
            };
            ranges.into_iter().map(segment).collect()
        };
        Self {
            tcp: of(Protocol::Tcp),
            udp: of(Protocol::Udp),
            sctp: of(Protocol::Sctp),
            other: of(Protocol::Other),
        }
    }

    /// The port ranges of a protocol, ascending and disjoint.
    pub fn segments(&self, protocol: Protocol) -> &[Segment] {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Sctp => &self.sctp,
            Protocol::Other => &self.other,
        }
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, AddressSet::union)
    }

    /// What is in any of the sets. Halves are joined before wholes, so that many small sets stay cheap.
    pub fn union_of(sets: &[&Self]) -> Self {
        match sets {
            [] => Self::empty(),
            [one] => (*one).clone(),
            more => {
                let (left, right) = more.split_at(more.len() / 2);
                Self::union_of(left).union(&Self::union_of(right))
            }
        }
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, AddressSet::intersection)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, AddressSet::difference)
    }

    fn combine(&self, other: &Self, op: fn(&AddressSet, &AddressSet) -> AddressSet) -> Self {
        Self {
            tcp: combine(&self.tcp, &other.tcp, op),
            udp: combine(&self.udp, &other.udp, op),
            sctp: combine(&self.sctp, &other.sctp, op),
            other: combine(&self.other, &other.other, op),
        }
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        Protocol::ALL.iter().all(|p| self.segments(*p).is_empty())
    }

    /// Every connection of this set is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Is this connection in the set? The port of [`Protocol::Other`] does not matter.
    pub fn contains(&self, address: IpAddr, protocol: Protocol, port: u16) -> bool {
        self.at(protocol, port).is_some_and(|a| a.contains(address))
    }

    /// The addresses open on one port.
    pub fn at(&self, protocol: Protocol, port: u16) -> Option<&AddressSet> {
        let segments = self.segments(protocol);
        segments.iter().find(|s| s.ports.contains(&port)).map(|s| &s.addresses)
    }

    /// All addresses that are open on some port.
    pub fn addresses(&self) -> AddressSet {
        let segments = Protocol::ALL.iter().flat_map(|p| self.segments(*p));
        segments.fold(AddressSet::empty(), |all, s| all.union(&s.addresses))
    }

    /// All ports that are open to some address.
    pub fn ports(&self) -> Ports {
        self.ports_where(|_| true)
    }

    /// All ports that are open to every one of these addresses.
    pub fn ports_open_to_all(&self, addresses: &AddressSet) -> Ports {
        self.ports_where(|open| addresses.is_subset(open))
    }

    fn ports_where(&self, wanted: impl Fn(&AddressSet) -> bool) -> Ports {
        let mut out = Ports::none();
        for protocol in Protocol::ALL {
            for segment in self.segments(protocol).iter().filter(|s| wanted(&s.addresses)) {
                out.insert(protocol, segment.ports.clone());
            }
        }
        out
    }

    /// The set as blocks of addresses with their ports, by protocol, then address. Blocks of one protocol never overlap.
    pub fn reach(&self) -> Vec<Reach> {
        Protocol::ALL
            .iter()
            .flat_map(|p| reach(*p, self.segments(*p)))
            .collect()
    }
}

/// Both lists side by side, cut at every range boundary of either.
fn combine(a: &[Segment], b: &[Segment], op: fn(&AddressSet, &AddressSet) -> AddressSet) -> Vec<Segment> {
    let nothing = AddressSet::empty();
    let boundaries = |s: &Segment| [u32::from(*s.ports.start()), u32::from(*s.ports.end()) + 1];
    let mut cuts: Vec<u32> = a.iter().chain(b).flat_map(boundaries).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut out: Vec<Segment> = Vec::new();
    for (from, next) in cuts.iter().zip(cuts.iter().skip(1)) {
        // Both fit: cuts are ports, or one past a port.
        let (Ok(from), Ok(to)) = (u16::try_from(*from), u16::try_from(next - 1)) else {
            continue;
        };
        while a.next_if(|s| *s.ports.end() < from).is_some() {}
        while b.next_if(|s| *s.ports.end() < from).is_some() {}
        let ours = a
            .peek()
            .filter(|s| s.ports.contains(&from))
            .map_or(&nothing, |s| &s.addresses);
        let theirs = b
            .peek()
            .filter(|s| s.ports.contains(&from))
            .map_or(&nothing, |s| &s.addresses);
        let addresses = op(ours, theirs);
        if addresses.is_empty() {
            continue;
        }
        match out.last_mut() {
            Some(last) if *last.ports.end() == from.wrapping_sub(1) && last.addresses == addresses => {
                last.ports = *last.ports.start()..=to;
            }
            _ => out.push(Segment {
                ports: from..=to,
                addresses,
            }),
        }
    }
    out
}

/// Turns "ports, each with addresses" into "addresses, each with ports", in one sweep over the addresses of each family.
fn reach(protocol: Protocol, segments: &[Segment]) -> Vec<Reach> {
    let mut out = Vec::new();
    for v4 in [true, false] {
        // Where segments begin, and the number after the last of them.
        let mut edges: Vec<(u128, usize, bool)> = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            for (first, last) in segment.addresses.bounds(v4) {
                edges.push((first, i, true));
                edges.extend(last.checked_add(1).map(|end| (end, i, false)));
            }
        }
        edges.sort_unstable();
        let mut open: BTreeSet<usize> = BTreeSet::new();
        let mut stretch: Option<(u128, Vec<RangeInclusive<u16>>)> = None;
        for at_once in edges.chunk_by(|a, b| a.0 == b.0) {
            for (_, i, begins) in at_once {
                let _ = if *begins { open.insert(*i) } else { open.remove(i) };
            }
            let Some((at, _, _)) = at_once.first() else {
                continue;
            };
            let ports = joined(open.iter().filter_map(|i| segments.get(*i)).map(|s| s.ports.clone()));
            if stretch.as_ref().is_some_and(|(_, before)| *before == ports) {
                continue;
            }
            if let Some((first, before)) = stretch.replace((*at, ports)) {
                out.extend(blocks(protocol, v4, first, at - 1, &before));
            }
        }
        if let Some((first, ports)) = stretch {
            let last = if v4 { u32::MAX.into() } else { u128::MAX };
            out.extend(blocks(protocol, v4, first, last, &ports));
        }
    }
    out
}

/// Ascending ranges, neighbours joined.
fn joined(ranges: impl Iterator<Item = RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    ranges.collect::<RangeSetBlaze<u16>>().into_ranges().collect()
}

fn blocks(protocol: Protocol, v4: bool, first: u128, last: u128, ports: &[RangeInclusive<u16>]) -> Vec<Reach> {
    if ports.is_empty() {
        return Vec::new();
    }
    let cidrs = AddressSet::between(v4, first, last).cidrs();
    let block = |cidr| Reach {
        cidr,
        protocol,
        ports: ports.to_vec(),
    };
    cidrs.into_iter().map(block).collect()
}

impl Flows {
    /// One TCP port to these addresses.
    pub fn tcp(port: u16, addresses: &AddressSet) -> Self {
        let mut ports = Ports::none();
        if ALL_PORTS.contains(&port) {
            ports.insert(Protocol::Tcp, port..=port);
        }
        Self::new(&ports, addresses)
    }
}

#[cfg(test)]
mod tests;
