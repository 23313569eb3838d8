//! The NetworkPolicy that a rule wants in one namespace: name resolution, the allowed destinations, nothing else.
//!
//! Two things are never left to the enforcer. A block with holes is written as the blocks that remain, not with `except`:
//! an `except` protects only its own block, and enforcers differ in what they make of it (aws/aws-network-policy-agent
//! #180). And what must not be reached ([`super::address::RESERVED`]) is cut out of every block here, so that metadata
//! stays closed however wide a CIDR somebody allows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sha2::{Digest, Sha256};

use super::address::AddressSet;
use super::port::Protocol;
use super::selector::NAMESPACE_NAME;
use crate::api;
use crate::domain::observed::ResolverPods;
use crate::domain::policy::{Destination, EgressTarget, PortRange};

/// Address of NodeLocal DNSCache, where a cluster has it (kubernetes.io, "Using NodeLocal DNSCache").
pub const NODE_LOCAL_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));
/// IPv4 address of the EKS Pod Identity agent: plain HTTP on port 80 by design, and only on the pod's own node.
pub const POD_IDENTITY_AGENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23));
/// IPv6 address of the EKS Pod Identity agent.
pub const POD_IDENTITY_AGENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));

/// Port of name resolution (RFC 1035).
pub const DNS_PORT: u16 = 53;

/// Where the pods resolve names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Pods, and the ports besides 53 that they listen on. None on EKS Auto Mode, where CoreDNS runs on the node.
    pub pods: BTreeMap<ResolverPods, BTreeSet<u16>>,
    /// Resolvers by address: [`NODE_LOCAL_DNS`] where it runs, the node's resolver on EKS Auto Mode.
    pub addresses: BTreeSet<IpAddr>,
    /// What this rests on.
    pub evidence: DnsEvidence,
}

/// What is known of how pods resolve names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DnsEvidence {
    /// A resolver was seen.
    #[default]
    Seen,
    /// None was seen; the usual is assumed.
    Assumed,
    /// Pods are told to ask these addresses, at which no resolver was seen.
    Elsewhere(BTreeSet<IpAddr>),
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            pods: BTreeMap::from([(ResolverPods::KubeDns, BTreeSet::new())]),
            addresses: BTreeSet::new(),
            evidence: DnsEvidence::Seen,
        }
    }
}

/// What a desired policy depends on besides its rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Name resolution.
    pub dns: Dns,
    /// The selected pods get their credentials from the EKS Pod Identity agent.
    pub pod_identity: bool,
    /// The cluster's pods have IPv6 addresses (alone or besides IPv4).
    pub ipv6: bool,
    /// Addresses of the AWS services that the rule allows, as far as they are known.
    pub services: BTreeMap<String, Vec<IpNet>>,
}

/// A destination of a rule, resolved: prefix lists and the like have become addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum Allowed {
    /// Addresses: one CIDR, or those of an AWS service's prefix list.
    Addresses {
        /// What the user wrote, for messages: `10.20.0.0/16`, `s3`.
        label: String,
        /// Never empty.
        cidrs: Vec<IpNet>,
        /// Never empty.
        ports: Vec<PortRange>,
    },
    /// Pods of this cluster.
    Pods {
        /// Their namespaces; empty = all.
        namespaces: LabelSelector,
        /// The pods; empty = all of those namespaces.
        pods: LabelSelector,
        /// Never empty.
        ports: Vec<PortRange>,
    },
}

impl Allowed {
    /// A destination, with the addresses that are known of it.
    fn of(destination: &Destination, facts: &Facts) -> Self {
        match destination {
            Destination::AwsService { service, ports } => Self::Addresses {
                label: service.clone(),
                cidrs: facts.services.get(service).cloned().unwrap_or_default(),
                ports: ports.clone(),
            },
            Destination::Cidr { cidr, ports } => Self::Addresses {
                label: cidr.to_string(),
                cidrs: vec![*cidr],
                ports: ports.clone(),
            },
            Destination::Pods {
                namespace_selector,
                pod_selector,
                ports,
            } => Self::Pods {
                namespaces: label_selector(namespace_selector),
                pods: label_selector(pod_selector),
                ports: ports.clone(),
            },
        }
    }
}

/// Identity of the object to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// See [`object_name`].
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Why no policy can be built. Building a narrower one silently would break the workload without a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Every address of a destination is link-local or an instance service.
    #[error("allow {label}: link-local and instance metadata addresses are never allowed; remove it")]
    OnlyReserved {
        /// The destination.
        label: String,
    },
    /// A prefix list without entries, or ports or addresses left out.
    #[error("allow {label}: {missing} unknown, and a rule without them would allow everything")]
    Incomplete {
        /// The destination.
        label: String,
        /// `addresses` or `ports`.
        missing: &'static str,
    },
    /// `::ffff:a.b.c.d` would say IPv4 in a spelling that enforcers read differently.
    #[error("allow {label}: an IPv4-mapped IPv6 address; write the IPv4 address")]
    Mapped {
        /// The destination.
        label: String,
    },
}

/// Name of the NetworkPolicy of a rule: `aidp-<policy>.<rule>`.
///
/// A rule's name has no dot, so no two pairs share a name. Names over the limit of 253 characters keep their end and
/// carry a hash of the whole; they start with `aidpx-`, which no short one does.
pub fn object_name(policy: &str, rule: &str) -> String {
    const LIMIT: usize = 253;
    let plain = format!("aidp-{policy}.{rule}");
    if plain.len() <= LIMIT {
        return plain;
    }
    let hash = Sha256::digest(&plain)
        .iter()
        .take(10)
        .fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    let rule: String = rule.chars().take(63).collect();
    let rule = rule.trim_matches(['-', '.']);
    let rule = if rule.is_empty() { "rule" } else { rule };
    format!("aidpx-{hash}.{rule}")
}

/// The policy of a rule.
///
/// # Errors
/// [`BuildError`]: a destination that must not or cannot be expressed.
pub fn network_policy(rule: &EgressTarget, facts: &Facts, identity: Identity) -> Result<NetworkPolicy, BuildError> {
    let allowed: Vec<Allowed> = rule.allow.iter().map(|d| Allowed::of(d, facts)).collect();
    network_policy_for(&label_selector(&rule.pod_selector), &allowed, facts, identity)
}

/// The policy of resolved destinations.
///
/// # Errors
/// [`BuildError`]: a destination that must not or cannot be expressed.
pub fn network_policy_for(
    pods: &LabelSelector,
    allowed: &[Allowed],
    facts: &Facts,
    identity: Identity,
) -> Result<NetworkPolicy, BuildError> {
    let mut egress = dns_rules(&facts.dns);
    if facts.pod_identity {
        egress.push(pod_identity_rule(facts.ipv6));
    }
    for destination in allowed {
        egress.push(allow_rule(destination)?);
    }
    Ok(NetworkPolicy {
        metadata: ObjectMeta {
            name: Some(identity.name),
            namespace: Some(identity.namespace),
            labels: Some(identity.labels).filter(|l| !l.is_empty()),
            annotations: Some(identity.annotations).filter(|a| !a.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods.clone()),
            policy_types: Some(vec!["Egress".to_owned()]),
            egress: Some(egress),
            ingress: None,
        }),
    })
}

fn dns_rules(dns: &Dns) -> Vec<NetworkPolicyEgressRule> {
    let on = |number| [port(Protocol::Udp, number, number), port(Protocol::Tcp, number, number)];
    let mut out = Vec::new();
    for (pods, ports) in &dns.pods {
        let (key, value) = pods.label();
        let ports: BTreeSet<u16> = ports.iter().copied().chain([DNS_PORT]).collect();
        out.push(NetworkPolicyEgressRule {
            // One entry: both selectors must match. Two entries would mean "or".
            to: Some(vec![NetworkPolicyPeer {
                namespace_selector: Some(label(NAMESPACE_NAME, pods.namespace())),
                pod_selector: Some(label(key, value)),
                ip_block: None,
            }]),
            ports: Some(ports.into_iter().flat_map(on).collect()),
        });
    }
    if !dns.addresses.is_empty() {
        out.push(NetworkPolicyEgressRule {
            to: Some(dns.addresses.iter().map(|a| block(IpNet::from(*a))).collect()),
            ports: Some(on(DNS_PORT).to_vec()),
        });
    }
    out
}

fn pod_identity_rule(ipv6: bool) -> NetworkPolicyEgressRule {
    let mut to = vec![block(IpNet::from(POD_IDENTITY_AGENT_V4))];
    if ipv6 {
        to.push(block(IpNet::from(POD_IDENTITY_AGENT_V6)));
    }
    NetworkPolicyEgressRule {
        to: Some(to),
        ports: Some(vec![port(Protocol::Tcp, 80, 80)]),
    }
}

fn allow_rule(destination: &Allowed) -> Result<NetworkPolicyEgressRule, BuildError> {
    let (to, ports, label) = match destination {
        Allowed::Addresses { label, cidrs, ports } => (addresses(label, cidrs)?, ports, label.clone()),
        Allowed::Pods {
            namespaces,
            pods,
            ports,
        } => {
            let peer = NetworkPolicyPeer {
                namespace_selector: Some(namespaces.clone()),
                pod_selector: Some(pods.clone()),
                ip_block: None,
            };
            (vec![peer], ports, "pods".to_owned())
        }
    };
    if ports.is_empty() {
        return Err(BuildError::Incomplete {
            label,
            missing: "ports",
        });
    }
    Ok(NetworkPolicyEgressRule {
        to: Some(to),
        ports: Some(ports.iter().map(|p| port(p.protocol.into(), p.first, p.last)).collect()),
    })
}

fn addresses(label: &str, cidrs: &[IpNet]) -> Result<Vec<NetworkPolicyPeer>, BuildError> {
    let label = || label.to_owned();
    if cidrs.is_empty() {
        return Err(BuildError::Incomplete {
            label: label(),
            missing: "addresses",
        });
    }
    let mapped =
        |net: &IpNet| matches!(net, IpNet::V6(n) if n.prefix_len() >= 96 && n.addr().to_ipv4_mapped().is_some());
    if cidrs.iter().any(mapped) {
        return Err(BuildError::Mapped { label: label() });
    }
    let open = cidrs
        .iter()
        .copied()
        .collect::<AddressSet>()
        .difference(&AddressSet::reserved());
    if open.is_empty() {
        return Err(BuildError::OnlyReserved { label: label() });
    }
    Ok(open.cidrs().into_iter().map(block).collect())
}

fn block(net: IpNet) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: net.to_string(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: Protocol, first: u16, last: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_string()),
        port: Some(IntOrString::Int(i32::from(first))),
        end_port: (last > first).then(|| i32::from(last)),
    }
}

fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        match_expressions: None,
    }
}

/// The policy's selector in the Kubernetes type.
pub fn label_selector(selector: &api::Selector) -> LabelSelector {
    let api::Selector {
        match_labels,
        match_expressions,
    } = selector;
    let labels: BTreeMap<_, _> = match_labels.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    let requirements: Vec<_> = match_expressions
        .iter()
        .map(|e| LabelSelectorRequirement {
            key: e.key.clone(),
            operator: match e.operator {
                api::SelectorOperator::In => "In",
                api::SelectorOperator::NotIn => "NotIn",
                api::SelectorOperator::Exists => "Exists",
                api::SelectorOperator::DoesNotExist => "DoesNotExist",
            }
            .to_owned(),
            values: Some(e.values.clone()).filter(|v| !v.is_empty()),
        })
        .collect();
    LabelSelector {
        match_labels: Some(labels).filter(|l| !l.is_empty()),
        match_expressions: Some(requirements).filter(|r| !r.is_empty()),
    }
}

impl From<api::Protocol> for Protocol {
    fn from(protocol: api::Protocol) -> Self {
        match protocol {
            api::Protocol::Tcp => Self::Tcp,
            api::Protocol::Udp => Self::Udp,
            api::Protocol::Sctp => Self::Sctp,
        }
    }
}

#[cfg(test)]
mod tests;
