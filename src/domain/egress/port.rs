//! Protocols and sets of ports, by number and by name.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use range_set_blaze::RangeSetBlaze;

/// All port numbers a connection can go to.
pub const ALL_PORTS: RangeInclusive<u16> = 1..=u16::MAX;

/// What a policy tells apart by port, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Everything without ports, such as ICMP. Only rules that name no port at all let it through.
    Other,
}

impl Protocol {
    /// All of them, in output order.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Other];
    /// Those that have ports.
    pub const WITH_PORTS: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Reads the API's spelling; absent is TCP.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Other => "other",
        })
    }
}

/// A port that is only known by its name; its number is whatever the destination pod says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The protocol; absent where the API asks for a name only (admin tier), which then stands for all of them.
    pub protocol: Option<Protocol>,
    /// The container port's name.
    pub name: String,
}

/// A set of ports, each with its protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    tcp: RangeSetBlaze<u16>,
    udp: RangeSetBlaze<u16>,
    sctp: RangeSetBlaze<u16>,
    other: bool,
    named: BTreeSet<NamedPort>,
}

impl Ports {
    /// No port.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every port of every protocol, and the protocols without ports.
    pub fn all() -> Self {
        let every = RangeSetBlaze::from_iter([ALL_PORTS]);
        Self {
            tcp: every.clone(),
            udp: every.clone(),
            sctp: every,
            other: true,
            named: BTreeSet::new(),
        }
    }

    /// The ports known by name only.
    pub(super) fn without_numbers(&self) -> Self {
        Self {
            named: self.named.clone(),
            ..Self::none()
        }
    }

    /// The ports known by number only.
    pub(super) fn without_names(&self) -> Self {
        Self {
            named: BTreeSet::new(),
            ..self.clone()
        }
    }

    /// The ranges and names of this set of which at least a part is in the other.
    #[must_use]
    pub(super) fn touching(&self, other: &Self) -> Self {
        let touched = |range: &RangeInclusive<u16>, theirs: &[RangeInclusive<u16>]| {
            theirs
                .iter()
                .any(|t| t.start() <= range.end() && range.start() <= t.end())
        };
        let mut out = Self::none();
        for protocol in Protocol::ALL {
            let theirs = other.ranges(protocol);
            for range in self.ranges(protocol).into_iter().filter(|r| touched(r, &theirs)) {
                out.insert(protocol, range);
            }
        }
        out.named = self.named.iter().filter(|n| other.covers_named(n)).cloned().collect();
        out
    }

    /// Adds a range of numbers. `Other` has no numbers: it is added as a whole.
    pub fn insert(&mut self, protocol: Protocol, range: RangeInclusive<u16>) {
        match protocol {
            Protocol::Tcp => drop(self.tcp.ranges_insert(range)),
            Protocol::Udp => drop(self.udp.ranges_insert(range)),
            Protocol::Sctp => drop(self.sctp.ranges_insert(range)),
            Protocol::Other => self.other = true,
        }
    }

    /// Adds a port by name.
    pub fn insert_named(&mut self, port: NamedPort) {
        self.named.insert(port);
    }

    /// The number ranges of a protocol, ascending and disjoint. `Other` counts as one range.
    pub fn ranges(&self, protocol: Protocol) -> Vec<RangeInclusive<u16>> {
        match protocol {
            Protocol::Tcp => self.tcp.ranges().collect(),
            Protocol::Udp => self.udp.ranges().collect(),
            Protocol::Sctp => self.sctp.ranges().collect(),
            Protocol::Other if self.other => vec![ALL_PORTS],
            Protocol::Other => Vec::new(),
        }
    }

    /// The ports known by name only.
    pub fn named(&self) -> &BTreeSet<NamedPort> {
        &self.named
    }

    /// Is every port and protocol in it?
    pub fn is_all(&self) -> bool {
        self.other && Protocol::WITH_PORTS.iter().all(|p| self.has_all(*p))
    }

    fn has_all(&self, protocol: Protocol) -> bool {
        self.ranges(protocol) == [ALL_PORTS]
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && self.sctp.is_empty() && !self.other && self.named.is_empty()
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            tcp: &self.tcp | &other.tcp,
            udp: &self.udp | &other.udp,
            sctp: &self.sctp | &other.sctp,
            other: self.other || other.other,
            named: self.named.union(&other.named).cloned().collect(),
        }
    }

    /// What is surely in both sets: a name is only equal to itself, or to all numbers of its protocol.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let ours = self.named.iter().filter(|n| other.covers_named(n));
        let theirs = other.named.iter().filter(|n| self.covers_named(n));
        Self {
            tcp: &self.tcp & &other.tcp,
            udp: &self.udp & &other.udp,
            sctp: &self.sctp & &other.sctp,
            other: self.other && other.other,
            named: ours.chain(theirs).cloned().collect(),
        }
    }

    /// What is in this set and not surely in the other. A name goes when the other has the same name, or all numbers of
    /// its protocol; a number never goes because of a name.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            tcp: &self.tcp - &other.tcp,
            udp: &self.udp - &other.udp,
            sctp: &self.sctp - &other.sctp,
            other: self.other && !other.other,
            named: self.named.iter().filter(|n| !other.covers_named(n)).cloned().collect(),
        }
    }

    fn covers_named(&self, port: &NamedPort) -> bool {
        let by_number = match port.protocol {
            Some(protocol) => self.has_all(protocol),
            None => Protocol::WITH_PORTS.iter().all(|p| self.has_all(*p)),
        };
        let any_protocol = NamedPort {
            protocol: None,
            name: port.name.clone(),
        };
        by_number || self.named.contains(port) || self.named.contains(&any_protocol)
    }
}

/// `all`, or a list such as `TCP/443, UDP/53, TCP/8000-8100, TCP/<named web>`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let mut parts = Vec::new();
        for protocol in Protocol::ALL {
            for range in self.ranges(protocol) {
                parts.push(match (protocol, *range.start(), *range.end()) {
                    (Protocol::Other, _, _) => "other protocols".to_owned(),
                    (_, 1, u16::MAX) => format!("{protocol}/all"),
                    (_, from, to) if from == to => format!("{protocol}/{from}"),
                    (_, from, to) => format!("{protocol}/{from}-{to}"),
                });
            }
        }
        for port in &self.named {
            parts.push(match port.protocol {
                Some(protocol) => format!("{protocol}/<named {}>", port.name),
                None => format!("<named {}>", port.name),
            });
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(ranges: &[RangeInclusive<u16>]) -> Ports {
        let mut out = Ports::none();
        for range in ranges {
            out.insert(Protocol::Tcp, range.clone());
        }
        out
    }

    fn named(protocol: Option<Protocol>, name: &str) -> Ports {
        let mut out = Ports::none();
        out.insert_named(NamedPort {
            protocol,
            name: name.into(),
        });
        out
    }

    #[test]
    fn ranges_join_and_split() {
        assert_eq!(tcp(&[1..=100, 101..=200]).to_string(), "TCP/1-200");
        assert_eq!(
            tcp(&[1..=200]).difference(&tcp(&[80..=80])).to_string(),
            "TCP/1-79, TCP/81-200"
        );
        assert_eq!(
            Ports::all().difference(&tcp(&[ALL_PORTS])).to_string(),
            "UDP/all, SCTP/all, other protocols"
        );
    }

    #[test]
    fn a_named_port_is_only_covered_by_its_name_or_by_all_numbers() {
        let web = named(Some(Protocol::Tcp), "web");
        assert_eq!(web.difference(&tcp(&[1..=65534])), web);
        assert_eq!(web.difference(&named(Some(Protocol::Udp), "web")), web);
        assert_eq!(web.difference(&tcp(&[ALL_PORTS])), Ports::none());
        assert_eq!(web.difference(&named(None, "web")), Ports::none());
        assert_eq!(named(None, "web").difference(&tcp(&[ALL_PORTS])), named(None, "web"));
        assert_eq!(named(None, "web").difference(&Ports::all()), Ports::none());
        assert_eq!(tcp(&[80..=80]).difference(&web), tcp(&[80..=80]));
        assert_eq!(web.intersection(&Ports::all()), web);
        assert_eq!(Ports::all().intersection(&web), web);
    }

    #[test]
    fn an_absent_protocol_is_tcp_and_an_unknown_one_is_refused() {
        assert_eq!(Protocol::parse(None), Some(Protocol::Tcp));
        assert_eq!(Protocol::parse(Some("SCTP")), Some(Protocol::Sctp));
        assert_eq!(Protocol::parse(Some("tcp")), None);
        assert_eq!(Protocol::parse(Some("ICMP")), None);
    }

    #[test]
    fn all_is_all_and_nothing_less() {
        assert!(Ports::all().is_all());
        assert!(!tcp(&[ALL_PORTS]).is_all());
        assert!(Ports::none().is_empty());
        assert_eq!(Ports::all().to_string(), "all");
    }
}
