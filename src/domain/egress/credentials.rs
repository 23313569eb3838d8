//! `Net.BlocksOwnCredentials`: would a policy cut the training pods off from their own credentials or from DNS?
//!
//! Judged on the addresses that the built policy opens, together with all others that select the same pods:
//! * **DNS**: the policy must open port 53 somewhere.
//! * **IRSA** needs AWS STS on 443/TCP. Where the operator's configuration states the addresses of STS (an interface
//!   endpoint), all of one family must be open. Otherwise the policy must open 443 to everywhere to be sure. Some addresses
//!   on 443 may or may not include STS, which is said and not guessed; none at all is a block. No managed prefix list
//!   contains STS, so those of AWS services do not count.
//! * **Pod Identity** needs the agent on the node (`desired` opens it). Cilium gives the node's own addresses the identity
//!   `host`, which no `ipBlock` matches (cilium/cilium#34387): there, a NetworkPolicy alone blocks it.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::address::AddressSet;
use super::desired::{Dns, DnsEvidence, Facts, POD_IDENTITY_AGENT_V4};
use super::flows::Flows;
use super::network_policy::EgressPolicy;
use super::port::Protocol;
use super::rule::PolicyError;

/// What pods need before they can work at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Name resolution.
    Dns,
    /// AWS STS, for IRSA.
    Sts,
    /// The EKS Pod Identity agent.
    PodIdentityAgent,
}

/// Whether a policy leaves a need reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// It does.
    Open,
    /// It does not: such a policy must not be written.
    Blocked(&'static str),
    /// It can't be told from addresses; worth a report, no refusal.
    NotJudged(&'static str),
}

/// Where the pods' credentials come from, and what is known of the way there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Some of the pods' ServiceAccounts use IRSA.
    pub irsa: bool,
    /// Addresses of STS, if the operator's configuration states them.
    pub sts_addresses: Option<Vec<IpNet>>,
    /// Addresses that the policy opens for an AWS service's prefix list.
    pub prefix_list_addresses: Vec<IpNet>,
    /// The enforcer is Cilium.
    pub cilium: bool,
}

/// Judges every need of the pods, in a fixed order. `policies` are all that select each of the pods: they add up.
///
/// # Errors
/// One of them can't be read; never the case for one that `desired` built.
pub fn judge(
    policies: &[&NetworkPolicy],
    facts: &Facts,
    credentials: &Credentials,
) -> Result<Vec<(Need, Reachability)>, PolicyError> {
    let mut each: Vec<Flows> = Vec::new();
    for policy in policies {
        let rules = EgressPolicy::read(policy)?.egress.unwrap_or_default();
        each.extend(rules.iter().map(|r| Flows::new(&r.ports, &r.peers.addresses)));
    }
    let open = Flows::union_of(&each.iter().collect::<Vec<_>>());
    let mut out = vec![(Need::Dns, dns(facts, credentials, &open))];
    if credentials.irsa {
        out.push((Need::Sts, sts(credentials, &open)));
    }
    if facts.pod_identity {
        out.push((Need::PodIdentityAgent, pod_identity(credentials, &open)));
    }
    Ok(out)
}

fn dns(facts: &Facts, credentials: &Credentials, open: &Flows) -> Reachability {
    let resolver_open = |a: &IpAddr| open.contains(*a, Protocol::Udp, 53) && open.contains(*a, Protocol::Tcp, 53);
    let Dns {
        pods,
        addresses,
        evidence,
    } = &facts.dns;
    if pods.is_empty() && addresses.is_empty() {
        return Reachability::Blocked("no resolver of the cluster is known, so no name could be resolved");
    }
    if !addresses.iter().all(resolver_open) {
        return Reachability::Blocked("a resolver of the cluster is not open on port 53");
    }
    match evidence {
        DnsEvidence::Assumed => Reachability::NotJudged(
            "no resolver of the cluster shows, and pods k8s-app=kube-dns in kube-system are assumed: if names are resolved \
             elsewhere, allow that on port 53, UDP and TCP",
        ),
        DnsEvidence::Elsewhere(told) if !told.iter().any(resolver_open) => Reachability::NotJudged(
            "the kubelet tells pods to resolve names at an address where no resolver of the cluster shows: allow it on port \
             53, UDP and TCP",
        ),
        DnsEvidence::Seen | DnsEvidence::Elsewhere(_) if credentials.cilium && !addresses.is_empty() => {
            Reachability::NotJudged("the resolver runs on the node, which Cilium matches by entity and not by address")
        }
        DnsEvidence::Seen | DnsEvidence::Elsewhere(_) => Reachability::Open,
    }
}

fn sts(credentials: &Credentials, open: &Flows) -> Reachability {
    let nowhere = AddressSet::empty();
    let https = open.at(Protocol::Tcp, 443).unwrap_or(&nowhere);
    let family_open = |all: &AddressSet, v4: bool| {
        let wanted = all.intersection(&AddressSet::all_of(v4, !v4));
        !wanted.is_empty() && wanted.is_subset(https)
    };
    if let Some(declared) = &credentials.sts_addresses {
        let declared = declared.iter().copied().collect();
        return if family_open(&declared, true) || family_open(&declared, false) {
            Reachability::Open
        } else {
            Reachability::Blocked("the configured addresses of AWS STS are not allowed on 443/TCP, which IRSA needs")
        };
    }
    let everywhere = AddressSet::all().difference(&AddressSet::reserved());
    let prefix_lists = credentials.prefix_list_addresses.iter().copied().collect();
    if family_open(&everywhere, true) || family_open(&everywhere, false) {
        Reachability::Open
    } else if https.difference(&prefix_lists).is_empty() {
        Reachability::Blocked("nothing on 443/TCP can be AWS STS, which IRSA needs: allow its endpoint's addresses")
    } else {
        Reachability::NotJudged("whether the allowed addresses include AWS STS is unknown: state its addresses")
    }
}

fn pod_identity(credentials: &Credentials, open: &Flows) -> Reachability {
    if !open.contains(POD_IDENTITY_AGENT_V4, Protocol::Tcp, 80) {
        Reachability::Blocked("the EKS Pod Identity agent is not open")
    } else if credentials.cilium {
        Reachability::Blocked("Cilium does not match the EKS Pod Identity agent by address: use IRSA for these pods")
    } else {
        Reachability::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::egress::desired::{Allowed, Identity, NODE_LOCAL_DNS, network_policy_for};
    use crate::domain::policy::PortRange;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use std::collections::{BTreeMap, BTreeSet};

    fn policy(cidrs: &[&str], port: u16, facts: &Facts) -> NetworkPolicy {
        let ports = vec![PortRange {
            first: port,
            last: port,
            protocol: crate::api::Protocol::Tcp,
        }];
        let allowed: Vec<_> = cidrs
            .iter()
            .map(|c| Allowed::Addresses {
                label: (*c).into(),
                cidrs: vec![c.parse().unwrap()],
                ports: ports.clone(),
            })
            .collect();
        let identity = Identity {
            name: "p".into(),
            namespace: "ml".into(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        network_policy_for(&LabelSelector::default(), &allowed, facts, identity).unwrap()
    }

    fn irsa(cidrs: &[&str], port: u16, credentials: &Credentials) -> Reachability {
        let facts = Facts::default();
        let credentials = Credentials {
            irsa: true,
            ..credentials.clone()
        };
        judge(&[&policy(cidrs, port, &facts)], &facts, &credentials).unwrap()[1].1
    }

    fn nets(cidrs: &[&str]) -> Vec<IpNet> {
        cidrs.iter().map(|c| c.parse().unwrap()).collect()
    }

    fn blocked(reach: Reachability) -> bool {
        matches!(reach, Reachability::Blocked(_))
    }

    #[test]
    fn anywhere_on_443_reaches_sts() {
        assert_eq!(irsa(&["0.0.0.0/0"], 443, &Credentials::default()), Reachability::Open);
        assert_eq!(irsa(&["::/0"], 443, &Credentials::default()), Reachability::Open);
    }

    #[test]
    fn without_443_sts_is_blocked() {
        assert!(blocked(irsa(&["10.0.0.0/8"], 8443, &Credentials::default())));
    }

    #[test]
    fn some_addresses_on_443_are_not_judged() {
        let reach = irsa(&["10.0.0.0/8"], 443, &Credentials::default());
        assert!(matches!(reach, Reachability::NotJudged(_)), "{reach:?}");
    }

    #[test]
    fn a_prefix_list_is_never_sts() {
        let only_s3 = Credentials {
            prefix_list_addresses: nets(&["52.216.0.0/15"]),
            ..Credentials::default()
        };
        assert!(blocked(irsa(&["52.216.0.0/15"], 443, &only_s3)));
    }

    #[test]
    fn stated_sts_addresses_decide() {
        let stated = |list: &[&str]| Credentials {
            sts_addresses: Some(nets(list)),
            ..Credentials::default()
        };
        assert_eq!(
            irsa(&["10.20.0.0/16"], 443, &stated(&["10.20.1.5/32", "10.20.2.5/32"])),
            Reachability::Open
        );
        assert!(blocked(irsa(
            &["10.20.1.0/24"],
            443,
            &stated(&["10.20.1.5/32", "10.20.2.5/32"])
        )));
        assert!(blocked(irsa(&["0.0.0.0/0"], 443, &stated(&[]))));
        assert_eq!(
            irsa(&["10.20.0.0/16"], 443, &stated(&["10.20.1.5/32", "fd01::1/128"])),
            Reachability::Open
        );
    }

    #[test]
    fn the_agent_is_open_where_it_is_used_but_not_for_cilium() {
        let facts = Facts {
            pod_identity: true,
            ..Facts::default()
        };
        let built = policy(&["10.0.0.0/8"], 443, &facts);
        let judged = |cilium| {
            let credentials = Credentials {
                cilium,
                ..Credentials::default()
            };
            judge(&[&built], &facts, &credentials).unwrap()[1]
        };
        assert_eq!(judged(false), (Need::PodIdentityAgent, Reachability::Open));
        assert!(blocked(judged(true).1));
        let without = policy(&["10.0.0.0/8"], 443, &Facts::default());
        assert!(blocked(
            judge(&[&without], &facts, &Credentials::default()).unwrap()[1].1
        ));
    }

    #[test]
    fn without_any_resolver_dns_is_blocked() {
        let facts = Facts {
            dns: Dns {
                pods: BTreeMap::new(),
                addresses: BTreeSet::new(),
                evidence: DnsEvidence::Seen,
            },
            ..Facts::default()
        };
        let built = policy(&["0.0.0.0/0"], 443, &facts);
        let why = Reachability::Blocked("no resolver of the cluster is known, so no name could be resolved");
        assert_eq!(
            judge(&[&built], &facts, &Credentials::default()).unwrap(),
            [(Need::Dns, why)]
        );
    }

    #[test]
    fn policies_add_up() {
        let facts = Facts::default();
        let credentials = Credentials {
            irsa: true,
            sts_addresses: Some(nets(&["10.20.1.5/32", "10.20.2.5/32"])),
            ..Credentials::default()
        };
        let [one, two] = ["10.20.1.0/24", "10.20.2.0/24"].map(|cidr| policy(&[cidr], 443, &facts));
        assert!(blocked(judge(&[&one], &facts, &credentials).unwrap()[1].1));
        assert_eq!(
            judge(&[&one, &two], &facts, &credentials).unwrap()[1].1,
            Reachability::Open
        );
    }

    #[test]
    fn what_is_only_assumed_of_name_resolution_is_said() {
        let judged = |evidence: DnsEvidence, cidrs: &[&str], port: u16| {
            let facts = Facts {
                dns: Dns {
                    evidence,
                    ..Dns::default()
                },
                ..Facts::default()
            };
            judge(&[&policy(cidrs, port, &facts)], &facts, &Credentials::default()).unwrap()[0].1
        };
        let told = || DnsEvidence::Elsewhere(BTreeSet::from(["10.9.0.2".parse().unwrap()]));
        let said =
            |reach: Reachability, what: &str| matches!(reach, Reachability::NotJudged(why) if why.contains(what));
        assert!(said(judged(DnsEvidence::Assumed, &["0.0.0.0/0"], 443), "are assumed"));
        assert!(said(judged(told(), &["0.0.0.0/0"], 443), "the kubelet tells pods"));
        assert!(
            said(judged(told(), &["10.9.0.2/32"], 53), "the kubelet tells pods"),
            "TCP alone is not enough"
        );
        assert_eq!(judged(DnsEvidence::Seen, &["0.0.0.0/0"], 443), Reachability::Open);
    }

    #[test]
    fn a_node_local_resolver_counts_when_the_policy_opens_it() {
        let facts = Facts {
            dns: Dns {
                pods: BTreeMap::new(),
                addresses: BTreeSet::from([NODE_LOCAL_DNS]),
                evidence: DnsEvidence::Seen,
            },
            ..Facts::default()
        };
        let judged = |built: &NetworkPolicy| judge(&[built], &facts, &Credentials::default()).unwrap()[0].1;
        assert_eq!(judged(&policy(&["10.0.0.0/8"], 443, &facts)), Reachability::Open);
        assert!(blocked(judged(&policy(&["10.0.0.0/8"], 443, &Facts::default()))));
    }
}
