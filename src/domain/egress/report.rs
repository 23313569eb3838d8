//! The answer of the offline analysis: what each workload can reach outside the cluster, or how far that exceeds a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;

use super::address::AddressSet;
use super::excess::{Desired, Excess};
use super::flows::{Flows, Reach};
use super::manifest::{Manifests, PodShape, WorkloadName, set_later};
use super::network_policy::EgressPolicy;
use super::port::{Ports, Protocol};
use super::rule::{Peer, PolicyError};
use super::selector::{Known, NAMESPACE_NAME, Selector};
use super::union::{Effective, Isolation, Pod, Source, Union};

/// A workload and what it can reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkloadReport {
    /// Namespace.
    pub namespace: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// NetworkPolicies isolate all of its pods for egress.
    pub isolated: bool,
    /// Addresses outside; blocks of one protocol never overlap.
    pub egress: Vec<Reachable>,
    /// With a policy to compare with: destinations inside the cluster beyond it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<ReachablePeer>,
}

/// A block of addresses and its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reachable {
    /// Addresses, IPv4 or IPv6.
    pub cidr: IpNet,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// First and last port of each range, ascending.
    pub ports: Vec<(u16, u16)>,
    /// The policies that let it out, e.g. `NetworkPolicy/ml/web`; empty if none forbids it.
    pub policies: BTreeSet<String>,
}

/// A destination that is not given by address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReachablePeer {
    /// E.g. `pods app=db in ml`.
    pub to: String,
    /// E.g. `TCP/5432`.
    pub ports: String,
    /// The policies that let it out.
    pub policies: BTreeSet<String>,
}

/// One rule of a policy to compare with.
#[derive(Clone, Debug)]
pub struct WantedRule {
    /// Name.
    pub name: String,
    /// Namespaces.
    pub namespaces: Selector,
    /// Pods.
    pub pods: Selector,
    /// What is wanted for them; its own selector and namespace do not matter.
    pub policy: NetworkPolicy,
}

/// The analysis of a set of manifests.
pub struct Analysis<'a> {
    manifests: &'a Manifests,
    union: Union,
    /// Things that keep the answer from being certain.
    pub doubts: BTreeSet<String>,
}

impl<'a> Analysis<'a> {
    /// Prepares the analysis. `assumed` are NetworkPolicies that count as present besides those in the manifests.
    pub fn new(manifests: &'a Manifests, assumed: Vec<EgressPolicy>) -> Self {
        let mut union = Union::new(AddressSet::all());
        for policy in manifests.network_policies.iter().cloned().chain(assumed) {
            union.add(policy);
        }
        for policy in &manifests.admin_policies {
            union.add_admin(policy.clone());
        }
        Self {
            manifests,
            union,
            doubts: BTreeSet::new(),
        }
    }

    /// What every workload can reach outside the cluster, by namespace, kind and name.
    pub fn reachable(&mut self) -> Vec<WorkloadReport> {
        let manifests = self.manifests;
        let each = manifests.workloads.iter().map(|(name, shapes)| {
            let all: Vec<Effective> = shapes.iter().map(|s| self.effective(name, s)).collect();
            self.doubts.extend(all.iter().flat_map(|e| names_reached(name, e)));
            let grants = all
                .iter()
                .flat_map(|e| &e.grants)
                .map(|g| (&g.source, &g.flows))
                .collect::<Vec<_>>();
            report(name, &all, outside(&grants), BTreeSet::new())
        });
        each.collect()
    }

    /// What keeps the comparison with these rules from meaning anything: they select nothing, or what they may select was
    /// not analysed whole. To be asked after [`Self::exceeding`].
    pub fn gaps(&self, rules: &[WantedRule]) -> Vec<String> {
        let manifests = self.manifests;
        let concerned = |namespace: &str| -> Vec<&WantedRule> {
            let labels = manifests.namespace_labels(namespace);
            rules.iter().filter(|r| r.namespaces.matches(&labels)).collect()
        };
        let selected = manifests.workloads.iter().any(|(name, shapes)| {
            let rules = concerned(&name.namespace);
            rules.iter().any(|r| shapes.iter().any(|s| r.pods.matches(&s.labels)))
        });
        let nothing = (!selected).then(|| "the policy's rules select none of the workloads".to_owned());
        let hanging = manifests.workloads.iter().flat_map(|(name, shapes)| {
            let each = move |rule: &WantedRule| shapes.iter().find_map(|s| self.hangs(rule, name, s));
            rules.iter().filter_map(each)
        });
        let hanging: BTreeSet<String> = hanging.collect();
        let unread = manifests.unread.iter().filter(|unread| match &unread.namespace {
            Some(namespace) => !concerned(namespace).is_empty(),
            None => true,
        });
        let unread: BTreeSet<String> = unread.map(|u| format!("{} is not analysed", u.kind)).collect();
        nothing
            .into_iter()
            .chain(hanging)
            .chain(unread)
            .chain(self.doubts.iter().cloned())
            .collect()
    }

    /// How far workloads that a rule selects exceed it; those that don't are left out, as are those that no rule selects.
    ///
    /// # Errors
    /// A wanted policy can't be read.
    pub fn exceeding(&mut self, rules: &[WantedRule]) -> Result<Vec<WorkloadReport>, PolicyError> {
        let manifests = self.manifests;
        let mut out = Vec::new();
        for (name, shapes) in &manifests.workloads {
            let mut all = Vec::new();
            let mut excess: Vec<Excess> = Vec::new();
            for shape in shapes {
                let namespace = manifests.namespace_labels(&name.namespace);
                let selecting = rules
                    .iter()
                    .filter(|r| r.namespaces.matches(&namespace) && r.pods.matches(&shape.labels));
                let wanted: Vec<&NetworkPolicy> = selecting.map(|r| &r.policy).collect();
                if wanted.is_empty() {
                    continue;
                }
                let effective = self.effective(name, shape);
                excess.extend(self.union.excess(&effective, &Desired::of(wanted)?));
                all.push(effective);
            }
            let flows = excess.iter().map(|e| (&e.source, &e.flows)).collect::<Vec<_>>();
            let peers = excess
                .iter()
                .flat_map(|e| e.peers.iter().map(|(to, ports)| peer(&e.source, to, ports)));
            let found = report(name, &all, outside(&flows), peers.collect());
            if !excess.is_empty() {
                out.push(found);
            }
        }
        Ok(out)
    }

    fn effective(&mut self, name: &WorkloadName, shape: &PodShape) -> Effective {
        let effective = self.union.effective(&Pod {
            namespace: &name.namespace,
            namespace_labels: &self.manifests.namespace_labels(&name.namespace),
            labels: &shape.labels,
            host_network: shape.host_network,
        });
        self.doubts.extend(effective.doubts.iter().cloned());
        let WorkloadName {
            namespace,
            kind,
            name: own_name,
        } = name;
        if shape.host_network {
            let doubt = format!("{kind} {namespace}/{own_name}: no policy applies to hostNetwork pods");
            self.doubts.insert(doubt);
            return effective;
        }
        if shape.other_networks {
            self.doubts.insert(format!(
                "{kind} {namespace}/{own_name}: has other networks besides the cluster's, where NetworkPolicies do not apply"
            ));
        }
        self.doubts.extend(self.unsettled(name, shape));
        effective
    }

    /// Policies of which it can't be told whether they select a pod.
    fn unsettled(&self, name: &WorkloadName, shape: &PodShape) -> Vec<String> {
        let mut out = Vec::new();
        for policy in &self.manifests.admin_policies {
            let namespaces = self.selects_namespace(&policy.subject.namespaces, &name.namespace);
            let pods = selects_pod(&policy.subject.pods, shape);
            if let (false, Some(why)) = (policy.rules.is_empty(), unknown(namespaces, pods, name)) {
                out.push(format!(
                    "whether {}/{} applies hangs on {why}",
                    policy.kind, policy.name
                ));
            }
        }
        if !shape.labels.values().any(|value| set_later(value)) {
            return out;
        }
        let here = self
            .manifests
            .network_policies
            .iter()
            .filter(|p| p.namespace == name.namespace);
        for policy in here.filter(|p| p.egress.is_some()) {
            if let Some(why) = unknown(Some(true), selects_pod(&policy.pods, shape), name) {
                let (namespace, name) = (&policy.namespace, &policy.name);
                out.push(format!(
                    "whether NetworkPolicy/{namespace}/{name} applies hangs on {why}"
                ));
            }
        }
        out
    }

    /// Why it can't be told whether a rule selects a pod; None if it can.
    fn hangs(&self, rule: &WantedRule, name: &WorkloadName, shape: &PodShape) -> Option<String> {
        let namespaces = self.selects_namespace(&rule.namespaces, &name.namespace);
        let why = unknown(namespaces, selects_pod(&rule.pods, shape), name)?;
        Some(format!("whether the rule {} applies hangs on {why}", rule.name))
    }

    /// Of a namespace that is not among the manifests, no more is known than its name.
    fn selects_namespace(&self, selector: &Selector, namespace: &str) -> Option<bool> {
        let given = self.manifests.namespaces.contains_key(namespace);
        let known = |key: &str| {
            if given || key == NAMESPACE_NAME {
                Known::Exactly
            } else {
                Known::Nothing
            }
        };
        selector.decides(&self.manifests.namespace_labels(namespace), known)
    }
}

fn selects_pod(selector: &Selector, shape: &PodShape) -> Option<bool> {
    let known = |key: &str| match shape.labels.get(key) {
        Some(value) if set_later(value) => Known::Presence,
        Some(_) | None => Known::Exactly,
    };
    selector.decides(&shape.labels, known)
}

/// What it hangs on whether a pod is selected, if that is not known.
fn unknown(namespaces: Option<bool>, pods: Option<bool>, name: &WorkloadName) -> Option<String> {
    let WorkloadName { namespace, kind, name } = name;
    match (namespaces, pods) {
        (Some(false), _) | (_, Some(false)) | (Some(true), Some(true)) => None,
        (None, _) => Some(format!(
            "the labels of the namespace {namespace}, which is not among the manifests"
        )),
        (Some(true), None) => Some(format!(
            "labels that the pods of {kind} {namespace}/{name} get only when they are made"
        )),
    }
}

/// Destinations outside that have no address here.
fn names_reached(name: &WorkloadName, effective: &Effective) -> Vec<String> {
    let WorkloadName { namespace, kind, name } = name;
    let peers = effective
        .grants
        .iter()
        .flat_map(|g| g.peers.iter().map(move |p| (&g.source, p)));
    let reached = peers.filter_map(|(source, (peer, ports))| match peer {
        Peer::Domains(_) => {
            let by = policy_of(source).unwrap_or_default();
            Some(format!(
                "{kind} {namespace}/{name}: can also reach {peer}, {ports}, by {by}; which addresses those are is not known"
            ))
        }
        Peer::Any | Peer::Pods { .. } | Peer::Nodes(_) | Peer::Within(_) => None,
    });
    reached.collect()
}

fn report(
    name: &WorkloadName,
    all: &[Effective],
    egress: Vec<Reachable>,
    peers: BTreeSet<ReachablePeer>,
) -> WorkloadReport {
    let WorkloadName { namespace, kind, name } = name.clone();
    WorkloadReport {
        namespace,
        kind,
        name,
        isolated: all.iter().all(|e| e.isolation == Isolation::Isolated),
        egress,
        peers: peers.into_iter().collect(),
    }
}

fn peer(source: &Source, to: &Peer, ports: &Ports) -> ReachablePeer {
    ReachablePeer {
        to: to.to_string(),
        ports: ports.to_string(),
        policies: policy_of(source).into_iter().collect(),
    }
}

fn policy_of(source: &Source) -> Option<String> {
    match source {
        Source::Rule { policy, .. } => Some(policy.to_string()),
        Source::Default | Source::HostNetwork => None,
    }
}

/// All flows together, in blocks, each with the policies that have a part in it.
fn outside(sources: &[(&Source, &Flows)]) -> Vec<Reachable> {
    let all = Flows::union_of(&sources.iter().map(|(_, f)| *f).collect::<Vec<_>>());
    let reach = all.reach();
    let mut out = Vec::new();
    for protocol in Protocol::WITH_PORTS {
        let block = |r: &Reach| Reachable {
            cidr: r.cidr,
            protocol: protocol.to_string(),
            ports: r.ports.iter().map(|p| (*p.start(), *p.end())).collect(),
            policies: BTreeSet::new(),
        };
        let mut found: Vec<Reachable> = reach.iter().filter(|r| r.protocol == protocol).map(block).collect();
        credit(&mut found, sources, protocol);
        out.extend(found);
    }
    out.sort_by_key(|r| (matches!(r.cidr.addr(), IpAddr::V6(_)), r.cidr, r.protocol.clone()));
    out
}

/// Adds to every block the policies that open part of it. The blocks are disjoint and ascend within their family.
fn credit(blocks: &mut [Reachable], sources: &[(&Source, &Flows)], protocol: Protocol) {
    let mut parts: BTreeMap<String, Vec<AddressSet>> = BTreeMap::new();
    for (source, flows) in sources {
        if let Some(policy) = policy_of(source) {
            let addresses = flows.segments(protocol).iter().map(|s| s.addresses.clone());
            parts.entry(policy).or_default().extend(addresses);
        }
    }
    for v4 in [true, false] {
        let of_family = |(i, b): (usize, &Reachable)| {
            let bounds = AddressSet::from(b.cidr).bounds(v4).first().copied();
            bounds.map(|(first, last)| (first, last, i))
        };
        let ordered: Vec<(u128, u128, usize)> = blocks.iter().enumerate().filter_map(of_family).collect();
        for (policy, sets) in &parts {
            let addresses: AddressSet = sets.iter().cloned().collect();
            for (first, last) in addresses.bounds(v4) {
                let from = ordered.partition_point(|(_, block_last, _)| *block_last < first);
                let touched = ordered
                    .iter()
                    .skip(from)
                    .take_while(|(block_first, _, _)| *block_first <= last);
                for (_, _, i) in touched {
                    if let Some(block) = blocks.get_mut(*i) {
                        block.policies.insert(policy.clone());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
