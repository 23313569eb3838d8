//! Sets of IPv4 and IPv6 addresses: what a list of CIDRs covers, exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use range_set_blaze::RangeSetBlaze;

/// Ranges that no policy of ours ever opens, whatever CIDR somebody allows. All of them are answered by the node itself
/// or by the hypervisor, and instance metadata hands out the node's credentials there.
///
/// * `169.254.0.0/16`: link-local (RFC 3927), with the instance metadata service on `169.254.169.254`;
/// * `fe80::/10`: link-local (RFC 4291);
/// * `fd00:ec2::/32`: the addresses of the AWS instance services, metadata on `fd00:ec2::254`.
pub const RESERVED: [&str; 3] = ["169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];

/// Why a text is not a CIDR.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not an address, or no prefix length that fits it.
    #[error("{text:?} is not a CIDR: expected an address and a prefix length, such as 10.0.0.0/8 or 2001:db8::/32")]
    Malformed {
        /// What stands there.
        text: String,
    },
    /// An IPv4 address in the clothes of an IPv6 one: enforcers differ in which of the two they take it for (KEP-4858).
    #[error("{text:?} can be read as IPv4 and as IPv6: write the IPv4 address as such")]
    Mapped {
        /// What stands there.
        text: String,
    },
}

/// Reads a CIDR as the Kubernetes API does: host bits are dropped, leading zeros mean nothing (`ParseCIDRSloppy`).
///
/// # Errors
/// It is none, or one that can be read in two ways.
pub fn parse_cidr(text: &str) -> Result<IpNet, CidrError> {
    let short = || text.chars().take(64).collect();
    let net = text
        .parse::<IpNet>()
        .map_err(|_| CidrError::Malformed { text: short() })?;
    match net.trunc() {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err(CidrError::Mapped { text: short() }),
        net @ (IpNet::V4(_) | IpNet::V6(_)) => Ok(net),
    }
}

/// A set of addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: RangeSetBlaze<Ipv4Addr>,
    v6: RangeSetBlaze<Ipv6Addr>,
}

impl AddressSet {
    /// No address.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every address of both families.
    pub fn all() -> Self {
        Self::all_of(true, true)
    }

    /// Every address of the families named.
    pub fn all_of(v4: bool, v6: bool) -> Self {
        let mut out = Self::default();
        if v4 {
            out.v4.ranges_insert(Ipv4Addr::UNSPECIFIED..=Ipv4Addr::BROADCAST);
        }
        if v6 {
            out.v6
                .ranges_insert(Ipv6Addr::UNSPECIFIED..=Ipv6Addr::from_bits(u128::MAX));
        }
        out
    }

    /// The addresses of [`RESERVED`].
    pub fn reserved() -> Self {
        RESERVED.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect()
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: &self.v4 | &other.v4,
            v6: &self.v6 | &other.v6,
        }
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: &self.v4 & &other.v4,
            v6: &self.v6 & &other.v6,
        }
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self {
            v4: &self.v4 - &other.v4,
            v6: &self.v6 - &other.v6,
        }
    }

    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Every address of this set is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.v4.is_subset(&other.v4) && self.v6.is_subset(&other.v6)
    }

    /// Is the address in the set?
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.v4.contains(a),
            IpAddr::V6(a) => self.v6.contains(a),
        }
    }

    /// The fewest CIDRs that cover exactly this set, IPv4 first, ascending.
    pub fn cidrs(&self) -> Vec<IpNet> {
        let v4 = self
            .v4
            .ranges()
            .flat_map(|r| Ipv4Subnets::new(*r.start(), *r.end(), 0).map(IpNet::V4));
        let v6 = self
            .v6
            .ranges()
            .flat_map(|r| Ipv6Subnets::new(*r.start(), *r.end(), 0).map(IpNet::V6));
        v4.chain(v6).collect()
    }

    /// The smallest block around the whole set, if it is of one family and not empty.
    pub fn enclosing(&self) -> Option<IpNet> {
        let (first, last) = match (self.v4.first(), self.v4.last(), self.v6.first(), self.v6.last()) {
            (Some(first), Some(last), None, None) => (IpNet::from(IpAddr::V4(first)), IpAddr::V4(last)),
            (None, None, Some(first), Some(last)) => (IpNet::from(IpAddr::V6(first)), IpAddr::V6(last)),
            _ => return None,
        };
        std::iter::successors(Some(first), IpNet::supernet).find(|net| net.contains(&last))
    }

    fn from_v4_range(range: RangeInclusive<Ipv4Addr>) -> Self {
        let mut out = Self::default();
        out.v4.ranges_insert(range);
        out
    }

    fn from_v6_range(range: RangeInclusive<Ipv6Addr>) -> Self {
        let mut out = Self::default();
        out.v6.ranges_insert(range);
        out
    }
}

impl AddressSet {
    /// The disjoint ranges of one family as numbers, ascending, first and last address included.
    pub(super) fn bounds(&self, v4: bool) -> Vec<(u128, u128)> {
        if v4 {
            let ranges = self.v4.ranges();
            ranges
                .map(|r| (r.start().to_bits().into(), r.end().to_bits().into()))
                .collect()
        } else {
            self.v6
                .ranges()
                .map(|r| (r.start().to_bits(), r.end().to_bits()))
                .collect()
        }
    }

    /// The range of one family between two numbers; empty if they are none of its addresses.
    pub(super) fn between(v4: bool, first: u128, last: u128) -> Self {
        if !v4 {
            return Self::from_v6_range(Ipv6Addr::from_bits(first)..=Ipv6Addr::from_bits(last));
        }
        match (u32::try_from(first), u32::try_from(last)) {
            (Ok(first), Ok(last)) => Self::from_v4_range(Ipv4Addr::from_bits(first)..=Ipv4Addr::from_bits(last)),
            _ => Self::empty(),
        }
    }
}

impl FromIterator<Self> for AddressSet {
    fn from_iter<T: IntoIterator<Item = Self>>(sets: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend(set.v4.ranges());
            v6.extend(set.v6.ranges());
        }
        Self {
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
        }
    }
}

impl From<IpNet> for AddressSet {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(net) => Self::from_v4_range(range_v4(net)),
            IpNet::V6(net) => Self::from_v6_range(range_v6(net)),
        }
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<T: IntoIterator<Item = IpNet>>(nets: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push(range_v4(net)),
                IpNet::V6(net) => v6.push(range_v6(net)),
            }
        }
        Self {
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
        }
    }
}

fn range_v4(net: Ipv4Net) -> RangeInclusive<Ipv4Addr> {
    net.network()..=net.broadcast()
}

fn range_v6(net: Ipv6Net) -> RangeInclusive<Ipv6Addr> {
    net.network()..=net.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(cidrs: &[&str]) -> AddressSet {
        cidrs.iter().map(|c| parse_cidr(c).unwrap()).collect()
    }

    fn texts(set: &AddressSet) -> Vec<String> {
        set.cidrs().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_without_link_local_is_sixteen_blocks() {
        let anywhere = set(&["0.0.0.0/0"]).difference(&AddressSet::reserved());
        assert_eq!(
            texts(&anywhere),
            [
                "0.0.0.0/1",
                "128.0.0.0/3",
                "160.0.0.0/5",
                "168.0.0.0/8",
                "169.0.0.0/9",
                "169.128.0.0/10",
                "169.192.0.0/11",
                "169.224.0.0/12",
                "169.240.0.0/13",
                "169.248.0.0/14",
                "169.252.0.0/15",
                "169.255.0.0/16",
                "170.0.0.0/7",
                "172.0.0.0/6",
                "176.0.0.0/4",
                "192.0.0.0/2",
            ]
        );
    }

    #[test]
    fn overlapping_and_adjacent_cidrs_become_one() {
        let joined = set(&[
            "10.0.0.0/9",
            "10.128.0.0/9",
            "10.1.0.0/16",
            "2001:db8::/33",
            "2001:db8:8000::/33",
        ]);
        assert_eq!(texts(&joined), ["10.0.0.0/8", "2001:db8::/32"]);
    }

    #[test]
    fn the_whole_of_both_families_is_one_cidr_each() {
        assert_eq!(texts(&AddressSet::all()), ["0.0.0.0/0", "::/0"]);
        assert_eq!(texts(&AddressSet::all_of(true, false)), ["0.0.0.0/0"]);
        assert_eq!(texts(&AddressSet::empty()), [""; 0]);
    }

    #[test]
    fn the_enclosing_block_is_the_smallest_around_everything() {
        assert_eq!(
            set(&["10.0.0.0/9", "10.255.0.0/16"]).enclosing().unwrap().to_string(),
            "10.0.0.0/8"
        );
        assert_eq!(set(&["10.0.0.0/9"]).enclosing().unwrap().to_string(), "10.0.0.0/9");
        assert_eq!(
            set(&["1.0.0.0/8", "200.0.0.0/8"]).enclosing().unwrap().to_string(),
            "0.0.0.0/0"
        );
        assert_eq!(
            set(&["2001:db8::/33"]).enclosing().unwrap().to_string(),
            "2001:db8::/33"
        );
        assert_eq!(set(&["10.0.0.0/8", "::/0"]).enclosing(), None);
        assert_eq!(AddressSet::empty().enclosing(), None);
    }

    #[test]
    fn metadata_addresses_are_reserved_in_both_families() {
        let reserved = AddressSet::reserved();
        for address in [
            "169.254.169.254",
            "169.254.170.23",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fe80::1",
        ] {
            assert!(reserved.contains(address.parse().unwrap()), "{address}");
        }
        assert!(!reserved.contains("169.253.255.255".parse().unwrap()));
        assert_eq!(reserved.cidrs().len(), RESERVED.len());
    }

    #[test]
    fn host_bits_are_dropped_and_odd_cidrs_refused() {
        assert_eq!(parse_cidr("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_cidr("010.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        for odd in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0/8",
            "",
            "::/129",
            "a/8",
            "10.0.0.0/8 ",
        ] {
            assert!(parse_cidr(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_refused_since_it_may_be_either() {
        for odd in ["::ffff:0.0.0.0/96", "::ffff:169.254.169.254/128", "::ffff:a00:1/104"] {
            assert_eq!(
                parse_cidr(odd).unwrap_err().to_string(),
                format!("{odd:?} can be read as IPv4 and as IPv6: write the IPv4 address as such")
            );
        }
        assert_eq!(parse_cidr("::/0").unwrap().to_string(), "::/0");
        assert_eq!(parse_cidr("::ffff:1.2.3.4/64").unwrap().to_string(), "::/64");
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            // Few distinct leading bits, so that nets overlap and touch often.
            (0_u32..16, 0_u8..=32).prop_map(|(bits, len)| {
                IpNet::V4(
                    Ipv4Net::new(Ipv4Addr::from_bits(bits << 28 | bits), len)
                        .unwrap()
                        .trunc(),
                )
            }),
            (0_u128..16, 0_u8..=128).prop_map(|(bits, len)| {
                IpNet::V6(
                    Ipv6Net::new(Ipv6Addr::from_bits(bits << 124 | bits), len)
                        .unwrap()
                        .trunc(),
                )
            }),
        ]
    }

    fn any_set() -> impl Strategy<Value = AddressSet> {
        prop::collection::vec(any_net(), 0..6).prop_map(AddressSet::from_iter)
    }

    proptest! {
        #[test]
        fn cidrs_say_exactly_the_set_and_never_overlap(a in any_set()) {
            let cidrs = a.cidrs();
            prop_assert_eq!(&cidrs.iter().copied().collect::<AddressSet>(), &a);
            for (i, x) in cidrs.iter().enumerate() {
                for y in &cidrs[i + 1..] {
                    prop_assert!(!x.contains(y) && !y.contains(x));
                }
            }
        }

        #[test]
        fn difference_and_intersection_split_a_set(a in any_set(), b in any_set()) {
            let (only, both) = (a.difference(&b), a.intersection(&b));
            prop_assert_eq!(only.union(&both), a.clone());
            prop_assert!(only.intersection(&b).is_empty());
            prop_assert_eq!(a.is_subset(&b), only.is_empty());
        }

        #[test]
        fn union_is_membership_in_either(a in any_set(), b in any_set(), bits: u32) {
            let address = IpAddr::V4(Ipv4Addr::from_bits(bits & 0xF000_000F));
            prop_assert_eq!(a.union(&b).contains(address), a.contains(address) || b.contains(address));
        }

        #[test]
        fn any_text_is_a_cidr_or_an_error(text in "\\PC{0,50}") {
            drop(parse_cidr(&text));
        }
    }
}
