//! The union engine: what a pod may reach under *all* policies of a cluster together, and which rule lets it.
//!
//! Order (KEP-2091, network-policy-api): the admin tier by priority, the first matching rule decides; then the
//! NetworkPolicies, which add up; then, only for pods that no NetworkPolicy isolates, the baseline tier; then Kubernetes'
//! default, which lets everything out.
//!
//! Addresses are exact. Destinations that are no addresses (pods, nodes, names) are followed from the rule that allows
//! them, and a Deny counts against one only if it surely covers all of it: what is said to be closed is closed, what is
//! said to be open may be less open.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::address::AddressSet;
use super::admin::{AdminKind, AdminPolicy, Tier};
use super::flows::Flows;
use super::network_policy::EgressPolicy;
use super::port::Ports;
use super::rule::{Action, Peer, PolicyError, Rule};
use super::selector::{Labels, NAMESPACE_NAME, Selector};

/// What selects a pod, or not.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Labels of the namespace. The label with its name is implied.
    pub namespace_labels: &'a Labels,
    /// Labels of the pod.
    pub labels: &'a Labels,
    /// It shares its node's network, where no policy applies.
    pub host_network: bool,
}

/// Whether NetworkPolicies isolate a pod for egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// At least one selects it.
    Isolated,
    /// None selects it.
    NotIsolated,
    /// None can: it is a hostNetwork pod.
    HostNetwork,
}

/// A policy, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyName {
    /// A NetworkPolicy.
    Network {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A cluster-wide policy.
    Admin {
        /// Its kind.
        kind: AdminKind,
        /// Its name.
        name: String,
    },
}

/// `NetworkPolicy/ml/web`, `AdminNetworkPolicy/deny-all`.
impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { namespace, name } => write!(f, "NetworkPolicy/{namespace}/{name}"),
            Self::Admin { kind, name } => write!(f, "{kind}/{name}"),
        }
    }
}

/// What lets something out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A rule of a policy.
    Rule {
        /// The policy.
        policy: PolicyName,
        /// Position in its `egress`.
        rule: usize,
    },
    /// No policy: Kubernetes lets everything out that nothing forbids.
    Default,
    /// No policy applies to hostNetwork pods.
    HostNetwork,
}

/// What one source lets out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The source.
    pub source: Source,
    /// By address.
    pub flows: Flows,
    /// By anything else.
    pub peers: Vec<(Peer, Ports)>,
    /// The ports of the rule as written, for messages.
    pub ports: Ports,
}

/// What a pod may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Whether NetworkPolicies isolate it.
    pub isolation: Isolation,
    /// What lets what out. Grants may overlap.
    pub grants: Vec<Grant>,
    /// What keeps this from being certain, e.g. two admin policies of one priority that contradict each other. Such a
    /// policy counts with the more open of its readings where both are known.
    pub doubts: Vec<String>,
}

impl Effective {
    /// All addresses and ports that can be reached.
    pub fn flows(&self) -> Flows {
        Flows::union_of(&self.grants.iter().map(|g| &g.flows).collect::<Vec<_>>())
    }
}

/// The policies that select a pod. Pods with the same selection reach the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Selection {
    host_network: bool,
    network: Vec<usize>,
    admin: Vec<usize>,
    baseline: Vec<usize>,
}

/// All policies of a cluster.
#[derive(Clone, Debug)]
pub struct Union {
    space: AddressSet,
    network: Vec<EgressPolicy>,
    by_namespace: BTreeMap<String, Vec<usize>>,
    /// By priority, then name.
    admin: Vec<AdminPolicy>,
    baseline: Vec<AdminPolicy>,
}

impl Union {
    /// No policies yet. `space` are the addresses that pods of this cluster can send to at all: all of the families that
    /// it uses.
    pub fn new(space: AddressSet) -> Self {
        Self {
            space,
            network: Vec::new(),
            by_namespace: BTreeMap::new(),
            admin: Vec::new(),
            baseline: Vec::new(),
        }
    }

    /// Adds a NetworkPolicy.
    ///
    /// # Errors
    /// It can't be read. It is not added then, and what the union says would be wrong without it.
    pub fn add_network_policy(&mut self, policy: &NetworkPolicy) -> Result<(), PolicyError> {
        self.add(EgressPolicy::read(policy)?);
        Ok(())
    }

    /// Adds a NetworkPolicy that is read already.
    pub fn add(&mut self, policy: EgressPolicy) {
        if policy.egress.is_some() {
            self.by_namespace
                .entry(policy.namespace.clone())
                .or_default()
                .push(self.network.len());
            self.network.push(policy);
        }
    }

    /// Adds a cluster-wide policy.
    pub fn add_admin(&mut self, policy: AdminPolicy) {
        let tier = match policy.tier {
            Tier::Admin => &mut self.admin,
            Tier::Baseline => &mut self.baseline,
        };
        let at = tier.partition_point(|p| (p.priority, &p.name) <= (policy.priority, &policy.name));
        tier.insert(at, policy);
    }

    /// The addresses that pods can send to at all.
    pub fn space(&self) -> &AddressSet {
        &self.space
    }

    /// The addresses that pods, nodes and names may have: nobody knows better here.
    pub(super) fn unknown(&self) -> AddressSet {
        self.space.difference(&AddressSet::reserved())
    }

    /// What one pod may reach.
    pub fn effective(&self, pod: &Pod<'_>) -> Effective {
        self.evaluate(&self.select(pod))
    }

    /// What each of the pods may reach, in their order. Pods that the same policies select are analysed once.
    pub fn effective_of_all<'a>(&self, pods: impl IntoIterator<Item = Pod<'a>>) -> Vec<Rc<Effective>> {
        let mut known: HashMap<Selection, Rc<Effective>> = HashMap::new();
        pods.into_iter()
            .map(|pod| {
                let selection = self.select(&pod);
                if let Some(effective) = known.get(&selection) {
                    return Rc::clone(effective);
                }
                let effective = Rc::new(self.evaluate(&selection));
                known.insert(selection, Rc::clone(&effective));
                effective
            })
            .collect()
    }

    /// What every pod of a namespace that `pods` selects may reach at least, whatever other labels it has: those policies
    /// count that surely select them all.
    pub fn effective_of_every(&self, namespace: &str, namespace_labels: &Labels, pods: &Selector) -> Effective {
        let mut named = namespace_labels.clone();
        named.insert(NAMESPACE_NAME.to_owned(), namespace.to_owned());
        let in_namespace = self.by_namespace.get(namespace).into_iter().flatten().copied();
        let selects = |i: &usize| self.network.get(*i).is_some_and(|p| pods.is_subset(&p.pods));
        let applying = |tier: &[AdminPolicy]| -> Vec<usize> {
            let applies = |(i, p): (usize, &AdminPolicy)| p.applies_to_every(&named, pods).then_some(i);
            tier.iter().enumerate().filter_map(applies).collect()
        };
        self.evaluate(&Selection {
            host_network: false,
            network: in_namespace.filter(selects).collect(),
            admin: applying(&self.admin),
            baseline: applying(&self.baseline),
        })
    }

    fn select(&self, pod: &Pod<'_>) -> Selection {
        let mut named = pod.namespace_labels.clone();
        if !self.admin.is_empty() || !self.baseline.is_empty() {
            named.insert(NAMESPACE_NAME.to_owned(), pod.namespace.to_owned());
        }
        let in_namespace = self.by_namespace.get(pod.namespace).into_iter().flatten().copied();
        let selects = |i: &usize| {
            self.network
                .get(*i)
                .is_some_and(|p| p.isolates(pod.namespace, pod.labels))
        };
        let applying = |tier: &[AdminPolicy]| -> Vec<usize> {
            let applies = |(i, p): (usize, &AdminPolicy)| p.applies(&named, pod.labels).then_some(i);
            tier.iter().enumerate().filter_map(applies).collect()
        };
        if pod.host_network {
            return Selection {
                host_network: true,
                network: Vec::new(),
                admin: Vec::new(),
                baseline: Vec::new(),
            };
        }
        Selection {
            host_network: false,
            network: in_namespace.filter(selects).collect(),
            admin: applying(&self.admin),
            baseline: applying(&self.baseline),
        }
    }

    fn evaluate(&self, selection: &Selection) -> Effective {
        let everything = |source| Grant {
            source,
            flows: Flows::all_to(&self.space),
            peers: Vec::new(),
            ports: Ports::all(),
        };
        if selection.host_network {
            return Effective {
                isolation: Isolation::HostNetwork,
                grants: vec![everything(Source::HostNetwork)],
                doubts: Vec::new(),
            };
        }
        let unknown = self.unknown();
        let admin = TierView::new(&self.admin, &selection.admin, &unknown);
        let mut doubts = Vec::new();
        let mut grants = Vec::new();
        let below = admin.decide(Flows::all_to(&self.space), &Left::of, &mut grants, &mut doubts);
        let below_admin = |peer: &Peer, ports: &Ports| admin.leave(peer, Left::of(peer, ports));
        let isolation = if selection.network.is_empty() {
            let baseline = TierView::new(&self.baseline, &selection.baseline, &unknown);
            let flows = baseline.decide(below, &below_admin, &mut grants, &mut doubts);
            let all = everything(Source::Default);
            let beside = baseline.leave(&Peer::Any, below_admin(&Peer::Any, &all.ports)).beside;
            grants.push(Grant {
                flows,
                peers: vec![(Peer::Any, beside)],
                ..all
            });
            Isolation::NotIsolated
        } else {
            for policy in selection.network.iter().filter_map(|i| self.network.get(*i)) {
                let name = PolicyName::Network {
                    namespace: policy.namespace.clone(),
                    name: policy.name.clone(),
                };
                for rule in policy.egress.iter().flatten() {
                    let wanted = Flows::new(&rule.ports, &rule.peers.addresses.intersection(&self.space));
                    grants.push(Grant {
                        source: Source::Rule {
                            policy: name.clone(),
                            rule: rule.index,
                        },
                        flows: if admin.is_empty() {
                            wanted
                        } else {
                            wanted.intersection(&below)
                        },
                        peers: granted_peers(rule, |peer| below_admin(peer, &rule.ports)),
                        ports: rule.ports.clone(),
                    });
                }
            }
            Isolation::Isolated
        };
        for grant in &mut grants {
            grant.peers.retain(|(_, ports)| !ports.is_empty());
        }
        grants.retain(|g| !g.flows.is_empty() || !g.peers.is_empty());
        Effective {
            isolation,
            grants,
            doubts,
        }
    }
}

/// What a rule opens besides its addresses.
fn granted_peers(rule: &Rule, left: impl Fn(&Peer) -> Left) -> Vec<(Peer, Ports)> {
    let mut peers: Vec<Peer> = rule.peers.others.iter().cloned().collect();
    if !rule.peers.addresses.is_empty() && !rule.peers.others.contains(&Peer::Any) {
        peers.push(Peer::Within(rule.peers.addresses.cidrs()));
    }
    peers
        .into_iter()
        .map(|peer| (peer.clone(), left(&peer).beside))
        .collect()
}

/// The ports to a peer that nobody has decided yet.
///
/// What is given by address is followed exactly as flows. But a pod has an address *and* labels: passed on by its labels,
/// it escapes a later Deny of its address, and only then must its address be followed as a peer too.
#[derive(Clone)]
struct Left {
    /// Followed as flows.
    by_address: Ports,
    /// Not, or no longer, followed as flows.
    beside: Ports,
}

impl Left {
    fn of(peer: &Peer, ports: &Ports) -> Self {
        if !peer.is_by_address() {
            return Self {
                by_address: Ports::none(),
                beside: ports.clone(),
            };
        }
        // An address has no port names, so names are never flows.
        Self {
            by_address: ports.without_names(),
            beside: ports.without_numbers(),
        }
    }

    fn none() -> Self {
        Self {
            by_address: Ports::none(),
            beside: Ports::none(),
        }
    }

    fn union(&self, other: &Self) -> Self {
        Self {
            by_address: self.by_address.union(&other.by_address),
            beside: self.beside.union(&other.beside),
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        Self {
            by_address: self.by_address.intersection(&other.by_address),
            beside: self.beside.intersection(&other.beside),
        }
    }

    fn without(&self, ports: &Ports) -> Self {
        Self {
            by_address: self.by_address.difference(ports),
            beside: self.beside.difference(ports),
        }
    }

    fn within(&self, ports: &Ports) -> Self {
        Self {
            by_address: self.by_address.intersection(ports),
            beside: self.beside.intersection(ports),
        }
    }

    /// The same, none of it followed as flows any more.
    fn set_aside(self) -> Self {
        Self {
            beside: self.beside.union(&self.by_address),
            by_address: Ports::none(),
        }
    }
}

/// The policies of one tier that select one pod: groups of the same priority, in order.
struct TierView<'a> {
    groups: Vec<Vec<&'a AdminPolicy>>,
    unknown: &'a AddressSet,
}

impl<'a> TierView<'a> {
    fn new(tier: &'a [AdminPolicy], selected: &[usize], unknown: &'a AddressSet) -> Self {
        let policies: Vec<&AdminPolicy> = selected.iter().filter_map(|i| tier.get(*i)).collect();
        let groups = policies
            .chunk_by(|a, b| a.priority == b.priority)
            .map(<[_]>::to_vec)
            .collect();
        Self { groups, unknown }
    }

    fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Decides by address: adds what is allowed to `grants`, and gives back what is left for the next tier.
    ///
    /// Which of several policies of one priority decides is undefined: each is taken as the first one for what it allows,
    /// and a contradiction is a doubt.
    ///
    /// `entering` says which ports to a peer reach this tier at all.
    fn decide(
        &self,
        input: Flows,
        entering: &impl Fn(&Peer, &Ports) -> Left,
        grants: &mut Vec<Grant>,
        doubts: &mut Vec<String>,
    ) -> Flows {
        let mut undecided = input;
        let mut passed = Flows::empty();
        for (position, group) in self.groups.iter().enumerate() {
            let mut outcomes: Vec<[Flows; 3]> = Vec::with_capacity(group.len());
            for policy in group {
                let outcome = self.decide_one(position, policy, &undecided, entering, grants);
                doubts.extend(
                    policy
                        .unknown
                        .iter()
                        .map(|e| format!("{}/{} {e}", policy.kind, policy.name)),
                );
                if outcomes.iter().any(|o| contradict(o, &outcome)) {
                    let (priority, name) = (policy.priority, &policy.name);
                    doubts.push(format!(
                        "{}/{name}: another policy of priority {priority} decides otherwise",
                        policy.kind
                    ));
                }
                outcomes.push(outcome);
            }
            for [allowed, denied, passes] in &outcomes {
                passed = passed.union(passes);
                undecided = undecided.difference(allowed).difference(denied).difference(passes);
            }
        }
        undecided.union(&passed)
    }

    /// What one policy allows, denies and passes of what nobody has decided yet.
    fn decide_one(
        &self,
        position: usize,
        policy: &AdminPolicy,
        undecided: &Flows,
        entering: &impl Fn(&Peer, &Ports) -> Left,
        grants: &mut Vec<Grant>,
    ) -> [Flows; 3] {
        let mut rest = undecided.clone();
        let [mut allowed, mut denied, mut passed] = [Flows::empty(), Flows::empty(), Flows::empty()];
        for (i, rule) in policy.rules.iter().enumerate() {
            let wanted = Flows::new(&rule.ports, &rule.peers.addresses);
            let matched = rest.intersection(&wanted);
            rest = rest.difference(&wanted);
            match rule.action {
                Action::Deny => denied = denied.union(&matched),
                Action::Pass => passed = passed.union(&matched),
                Action::Allow => {
                    allowed = allowed.union(&matched);
                    let earlier = policy.rules.get(..i).unwrap_or_default();
                    let before = self.groups.get(..position).unwrap_or_default();
                    let left = |peer: &Peer| {
                        let at_group = self.walk(before, peer, entering(peer, &rule.ports)).0;
                        self.walk_rules(earlier, peer, &at_group).0
                    };
                    grants.push(Grant {
                        source: Source::Rule {
                            policy: PolicyName::Admin {
                                kind: policy.kind,
                                name: policy.name.clone(),
                            },
                            rule: rule.index,
                        },
                        flows: matched,
                        peers: granted_peers(rule, left),
                        ports: rule.ports.clone(),
                    });
                }
            }
        }
        [allowed, denied, passed]
    }

    /// What this tier leaves of the ports to `peer` for the next one, at most.
    fn leave(&self, peer: &Peer, ports: Left) -> Left {
        let (left, passed) = self.walk(&self.groups, peer, ports);
        left.union(&passed)
    }

    /// What the groups leave undecided, and what they pass on.
    fn walk(&self, groups: &[Vec<&AdminPolicy>], peer: &Peer, ports: Left) -> (Left, Left) {
        let (mut left, mut passed) = (ports, Left::none());
        for group in groups {
            let mut after = left.clone();
            for policy in group {
                let (rest, passed_on) = self.walk_rules(&policy.rules, peer, &left);
                after = after.intersection(&rest);
                passed = passed.union(&passed_on);
            }
            left = after;
        }
        (left, passed)
    }

    /// What the rules leave undecided, and what they pass on.
    fn walk_rules(&self, rules: &[Rule], peer: &Peer, ports: &Left) -> (Left, Left) {
        let (mut left, mut passed) = (ports.clone(), Left::none());
        for rule in rules {
            let covered = rule.peers.cover(peer, self.unknown);
            if rule.action == Action::Pass {
                let matched = left.within(&rule.ports);
                if rule.peers.others.iter().any(|p| peer.meets(p)) {
                    passed = passed.union(&matched.clone().set_aside());
                }
                if covered || rule.peers.meet(peer, self.unknown) {
                    passed = passed.union(&matched);
                }
            }
            if covered {
                left = left.without(&rule.ports);
            }
        }
        (left, passed)
    }
}

/// Do two policies decide the same connection differently?
fn contradict(a: &[Flows; 3], b: &[Flows; 3]) -> bool {
    let pairs = a
        .iter()
        .enumerate()
        .flat_map(|(i, x)| b.iter().enumerate().map(move |(j, y)| (i != j, x, y)));
    pairs
        .into_iter()
        .any(|(differ, x, y)| differ && !x.intersection(y).is_empty())
}

#[cfg(test)]
mod tests;
