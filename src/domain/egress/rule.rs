//! A policy's egress rule, read: to whom, on which ports, with what effect. One form for NetworkPolicy and both admin
//! APIs.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;

use super::address::AddressSet;
use super::port::Ports;
use super::selector::Selector;

/// What a rule does with a connection it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets it through. (`Accept` in v1alpha2; every rule of a NetworkPolicy.)
    Allow,
    /// Drops it.
    Deny,
    /// Leaves it to the next tier.
    Pass,
}

/// A destination that is not given by address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Everything there is.
    Any,
    /// Pods of this cluster.
    Pods {
        /// Their namespaces.
        namespaces: Selector,
        /// The pods therein.
        pods: Selector,
    },
    /// Nodes of this cluster (admin tier only).
    Nodes(Selector),
    /// Names that an enforcer resolves (admin tier only).
    Domains(BTreeSet<String>),
    /// Pods whose address lies in one of these blocks. Only where a rule names ports by name: by number, the addresses
    /// say the same and say it exactly.
    Within(Vec<IpNet>),
}

impl Peer {
    /// Does this only stand for ports by name of what is given by address too?
    pub(super) fn is_by_address(&self) -> bool {
        match self {
            Self::Any | Self::Within(_) => true,
            Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) => false,
        }
    }

    /// The addresses that it may have, if `unknown` are those of pods, nodes and names.
    pub(super) fn somewhere(&self, unknown: &AddressSet) -> AddressSet {
        match self {
            Self::Within(blocks) => unknown.intersection(&blocks.iter().copied().collect()),
            Self::Any | Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) => unknown.clone(),
        }
    }

    /// Is everything that this peer stands for surely part of the other?
    pub fn is_subset(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Any) => true,
            (
                Self::Pods { namespaces, pods },
                Self::Pods {
                    namespaces: other_namespaces,
                    pods: other_pods,
                },
            ) => namespaces.is_subset(other_namespaces) && pods.is_subset(other_pods),
            (Self::Nodes(ours), Self::Nodes(theirs)) => ours.is_subset(theirs),
            (Self::Domains(ours), Self::Domains(theirs)) => ours.is_subset(theirs),
            (Self::Within(ours), Self::Within(theirs)) => {
                let set = |blocks: &[IpNet]| blocks.iter().copied().collect::<AddressSet>();
                set(ours).is_subset(&set(theirs))
            }
            (
                Self::Any | Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) | Self::Within(_),
                Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) | Self::Within(_),
            ) => false,
        }
    }

    /// Can something belong to both?
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Pods { namespaces, pods },
                Self::Pods {
                    namespaces: other_namespaces,
                    pods: other_pods,
                },
            ) => namespaces.meets(other_namespaces) && pods.meets(other_pods),
            (Self::Nodes(ours), Self::Nodes(theirs)) => ours.meets(theirs),
            // A name can resolve to anything, and hostNetwork pods have their node's address.
            (
                Self::Any | Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) | Self::Within(_),
                Self::Any | Self::Pods { .. } | Self::Nodes(_) | Self::Domains(_) | Self::Within(_),
            ) => true,
        }
    }
}

/// `pods in ml`, `pods app=db in namespaces team=x`, `nodes`, `names a.example`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Pods { namespaces, pods } => {
                f.write_str("pods")?;
                if !pods.is_everything() {
                    write!(f, " {pods}")?;
                }
                match namespaces.single_namespace() {
                    Some(name) => write!(f, " in {name}"),
                    None if namespaces.is_everything() => f.write_str(" in all namespaces"),
                    None => write!(f, " in namespaces {namespaces}"),
                }
            }
            Self::Nodes(nodes) if nodes.is_everything() => f.write_str("nodes"),
            Self::Nodes(nodes) => write!(f, "nodes {nodes}"),
            Self::Within(blocks) => {
                let texts: Vec<_> = blocks.iter().map(ToString::to_string).collect();
                write!(f, "{}", texts.join(", "))
            }
            Self::Domains(names) => write!(f, "names {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The destinations of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Given by address. Addresses of pods and nodes can be among them: whether an enforcer then applies the rule is not
    /// defined by the API, so an Allow is taken to apply and a claim never rests on it.
    pub addresses: AddressSet,
    /// Given otherwise.
    pub others: BTreeSet<Peer>,
}

impl Peers {
    /// All destinations: what an absent or empty `to` means.
    pub fn everything() -> Self {
        Self {
            addresses: AddressSet::all(),
            others: BTreeSet::from([Peer::Any]),
        }
    }

    /// Does the rule surely apply to all of `peer`? `unknown` are the addresses that pods, nodes and names may have.
    pub fn cover(&self, peer: &Peer, unknown: &AddressSet) -> bool {
        self.others.iter().any(|p| peer.is_subset(p)) || peer.somewhere(unknown).is_subset(&self.addresses)
    }

    /// Can the rule apply to part of `peer`?
    pub fn meet(&self, peer: &Peer, unknown: &AddressSet) -> bool {
        self.others.iter().any(|p| peer.meets(p)) || !peer.somewhere(unknown).intersection(&self.addresses).is_empty()
    }
}

/// One egress rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Position in the policy's `egress`.
    pub index: usize,
    /// Effect.
    pub action: Action,
    /// To whom.
    pub peers: Peers,
    /// On which ports.
    pub ports: Ports,
}

/// Why a policy can't be read. Such a policy must not be taken as absent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct PolicyError {
    /// Field, e.g. `spec.egress[0].to[1].ipBlock.cidr`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl PolicyError {
    pub(crate) fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
