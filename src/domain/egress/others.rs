//! What else lets a rule's pods out: every other policy that selects them, judged together with the policies that the
//! rules want, and pods that no policy reaches.
//!
//! The policies that the rules want count as present: that one of them is missing or edited is a finding of its own, and is
//! repaired. Judged are the pods that are there, with their labels, and any pod that the rule may select next: for it those
//! policies count that select every such pod. What another policy would give to a pod with labels that no pod has is found
//! when one gets them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::AddressSet;
use super::enforcer::{FARGATE_PROFILE, leaves_out_standalone_pods};
use super::excess::Desired;
use super::network_policy::EgressPolicy;
use super::prepare::{Prepared, RuleView};
use super::rule::PolicyError;
use super::selector::Labels;
use super::union::{Effective, Pod, PolicyName, Source, Union};
use crate::api::Gating;
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    AdminObservation, CallError, ClusterObservation, ErrorClass, NamespaceObservation, PluginPolicy, PodObservation,
};

/// A rule by its position, in a namespace by name.
pub(super) type Place<'a> = (usize, &'a str);

/// Everything that lets pods out, of one cluster.
pub(super) struct Others<'a> {
    union: Union,
    rules: &'a [RuleView<'a>],
    prepared: &'a BTreeMap<Place<'a>, Prepared>,
    /// By namespace.
    pods: BTreeMap<&'a str, Vec<&'a PodObservation>>,
    /// What is wanted for pods that these rules select together.
    desired: BTreeMap<(Vec<usize>, Vec<bool>), Rc<Desired>>,
    /// NetworkPolicies that can't be read, by namespace.
    unread: BTreeMap<&'a str, Vec<(&'a str, PolicyError)>>,
    /// Policies of the network plugin's own API.
    plugin: &'a [PluginPolicy],
    /// The enforcer restricts no pod that nothing owns.
    leaves_out_standalone: bool,
    /// What keeps the whole from being judged: path, value, disposition, sentence.
    gaps: Vec<(String, String, Disposition, String)>,
}

impl<'a> Others<'a> {
    /// Takes in every policy. `prepared` are the rules' own NetworkPolicies, which replace their namesakes.
    pub fn new(
        cluster: &'a ClusterObservation,
        rules: &'a [RuleView<'a>],
        prepared: &'a BTreeMap<Place<'a>, Prepared>,
    ) -> Self {
        let mut union = Union::new(AddressSet::all());
        let mut unread: BTreeMap<&str, Vec<(&str, PolicyError)>> = BTreeMap::new();
        let wanted: BTreeMap<(&str, &str), &NetworkPolicy> = prepared
            .values()
            .filter_map(|p| p.wanted.as_ref())
            .filter_map(|object| Some((name_of(object)?, object)))
            .collect();
        let observed = cluster.network_policies.iter().filter_map(|o| Some((name_of(o)?, o)));
        let theirs = observed.filter(|(name, _)| !wanted.contains_key(name));
        for ((namespace, name), object) in theirs.chain(wanted.iter().map(|(name, object)| (*name, *object))) {
            match EgressPolicy::read(object) {
                Ok(policy) => union.add(policy),
                Err(error) => unread.entry(namespace).or_default().push((name, error)),
            }
        }
        let mut gaps = Vec::new();
        match &cluster.admin_policies {
            Ok(policies) => {
                for AdminObservation { kind, name, policy } in policies {
                    match policy {
                        Ok(policy) => union.add_admin(policy.clone()),
                        Err(error) => gaps.push(not_analysed(
                            format!("{kind}/{name}"),
                            error.path.clone(),
                            format!("what it lets out is not known: {error}"),
                        )),
                    }
                }
            }
            Err(error) => gaps.push(unreadable("admin policies", error)),
        }
        let plugin = match &cluster.plugin_policies {
            Ok(policies) => policies.as_slice(),
            Err(error) => {
                gaps.push(unreadable("the network plugin's own policies", error));
                &[]
            }
        };
        let mut pods: BTreeMap<&str, Vec<&PodObservation>> = BTreeMap::new();
        match &cluster.pods {
            Some(Ok(all)) => {
                for pod in all {
                    pods.entry(pod.namespace.as_str()).or_default().push(pod);
                }
            }
            Some(Err(error)) => gaps.push(unreadable("pods", error)),
            None => gaps.push(not_analysed(
                "pods".to_owned(),
                "not looked at".to_owned(),
                "which policies select the pods is not known".to_owned(),
            )),
        }
        Self {
            union,
            rules,
            prepared,
            pods,
            desired: BTreeMap::new(),
            unread,
            plugin,
            leaves_out_standalone: leaves_out_standalone_pods(&cluster.enforcer),
            gaps,
        }
    }

    /// What keeps any rule from being judged.
    pub fn gaps(&self, target: &Target) -> Vec<Finding> {
        let gap = |(path, have, disposition, message): &(String, String, Disposition, String)| {
            Finding::new(Control::NetUnion, target.clone(), Gating::Gating, *disposition)
                .diff(path, "readable", have)
                .message(message)
        };
        self.gaps.iter().map(gap).collect()
    }

    /// What lets the pods of the rule at `index` out of this namespace beyond what is wanted.
    pub fn findings(&mut self, index: usize, namespace: &NamespaceObservation, target: &Target) -> Vec<Finding> {
        let name = namespace.name.as_str();
        let Some(rule) = self.rules.get(index) else {
            return Vec::new();
        };
        let human = |reason| {
            Finding::new(
                Control::NetUnion,
                target.clone(),
                Gating::Gating,
                Disposition::NeedsHuman(reason),
            )
        };
        let mut out: Vec<Finding> = Vec::new();
        for (policy, error) in self.unread.get(name).into_iter().flatten() {
            out.push(
                human(HumanReason::NotAnalysed)
                    .diff(format!("NetworkPolicy/{policy}"), "readable", error.path.clone())
                    .message(format!("whom it selects and what it lets out is not known: {error}")),
            );
        }
        let here = |p: &&PluginPolicy| p.namespace.as_deref().is_none_or(|n| n == name);
        let mut plugin = self.plugin.iter().filter(here);
        if let Some(first) = plugin.next() {
            let (kind, policy, more) = (&first.kind, &first.name, plugin.count());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            out.push(
                human(HumanReason::NotAnalysed)
                    .diff(format!("{kind}/{policy}"), "no policy that NetworkPolicies don't bind", format!("{policy}{more}"))
                    .message(format!(
                        "{kind} {policy}{more} can let the pods out past NetworkPolicies and is not analysed; remove it \
                         where the rule's pods run, or say the same with NetworkPolicies"
                    )),
            );
        }
        let selected: Vec<&PodObservation> = self
            .pods
            .get(name)
            .into_iter()
            .flatten()
            .copied()
            .filter(|pod| rule.pods.matches(&pod.labels))
            .collect();
        if let Some(pod) = selected.iter().filter(|p| p.host_network).map(|p| &p.name).min() {
            out.push(
                human(HumanReason::EgressExceeded)
                    .diff("pods.hostNetwork", "false", pod.as_str())
                    .message(format!(
                        "pods such as {pod} share their node's network, where no NetworkPolicy applies, and reach \
                         everything; run them without hostNetwork"
                    )),
            );
        }
        let networked: Vec<&PodObservation> = selected.into_iter().filter(|p| !p.host_network).collect();
        out.extend(self.unrestricted(&networked, target));
        let mut seen: BTreeSet<(*const Effective, Vec<usize>)> = BTreeSet::new();
        let mut beyond: BTreeMap<Source, BTreeSet<String>> = BTreeMap::new();
        let mut doubts: BTreeSet<String> = BTreeSet::new();
        let each = self.union.effective_of_all(networked.iter().map(|pod| Pod {
            namespace: name,
            namespace_labels: &namespace.labels,
            labels: &pod.labels,
            host_network: false,
        }));
        let mut subjects: Vec<(Rc<Effective>, Vec<usize>)> = each
            .into_iter()
            .zip(&networked)
            .map(|(effective, pod)| (effective, self.rules_of(namespace, &pod.labels)))
            .collect();
        let next = self.union.effective_of_every(name, &namespace.labels, &rule.pods);
        subjects.push((Rc::new(next), self.rules_of_every(index, namespace)));
        for (effective, rules) in subjects {
            if !seen.insert((Rc::as_ptr(&effective), rules.clone())) {
                continue;
            }
            doubts.extend(effective.doubts.iter().cloned());
            let desired = self.desired(name, rules);
            for excess in self.union.excess(&effective, &desired) {
                beyond.entry(excess.source.clone()).or_default().insert(excess.reach());
            }
        }
        out.extend(beyond.into_iter().map(|(source, reach)| {
            let reach: Vec<String> = reach.into_iter().collect();
            human(HumanReason::EgressExceeded)
                .diff(path(&source), "no more than the rule allows", reach.join("; "))
                .message(
                    "policies add up: this one lets the rule's pods out further; narrow it, or let it select others",
                )
        }));
        out.extend(doubts.into_iter().map(|doubt| {
            human(HumanReason::NotAnalysed)
                .diff("policies", "one reading", doubt.clone())
                .message(format!("the API leaves open what this means: {doubt}"))
        }));
        out
    }

    /// Pods that NetworkPolicies select, and that something keeps them from holding.
    fn unrestricted(&self, pods: &[&PodObservation], target: &Target) -> Vec<Finding> {
        let first = |odd: fn(&PodObservation) -> bool| pods.iter().filter(|p| odd(p)).map(|p| &p.name).min();
        let human =
            |control, reason| Finding::new(control, target.clone(), Gating::Gating, Disposition::NeedsHuman(reason));
        let elsewhere = first(|p| p.other_networks).map(|pod| {
            human(Control::NetUnion, HumanReason::NotAnalysed)
                .diff("pods.networks", "the cluster's alone", pod.as_str())
                .message(format!(
                    "pods such as {pod} have other networks besides the cluster's, where NetworkPolicies do not apply; what \
                     they reach there is not known"
                ))
        });
        let standalone = first(|p| p.standalone)
            .filter(|_| self.leaves_out_standalone)
            .map(|pod| {
                human(Control::NetEnforcement, HumanReason::NotEnforced)
                .diff("pods.ownerReferences", "an owner", pod.as_str())
                .message(format!(
                    "VPC CNI restricts no pod that nothing owns, such as {pod}; run it from a Job or another workload"
                ))
            });
        let fargate = first(|p| p.labels.contains_key(FARGATE_PROFILE)).map(|pod| {
            human(Control::NetEnforcement, HumanReason::NotEnforced)
                .diff("pods.nodes", "nodes with the enforcer", pod.as_str())
                .message(format!(
                    "pods such as {pod} run on Fargate, where nothing enforces NetworkPolicy; run them on other nodes"
                ))
        });
        elsewhere.into_iter().chain(standalone).chain(fargate).collect()
    }

    /// The rules whose NetworkPolicies select a pod with these labels.
    fn rules_of(&self, namespace: &NamespaceObservation, labels: &Labels) -> Vec<usize> {
        self.applying(namespace, |rule| rule.pods.matches(labels))
    }

    /// The rules whose NetworkPolicies select whatever this one does.
    fn rules_of_every(&self, index: usize, namespace: &NamespaceObservation) -> Vec<usize> {
        let Some(this) = self.rules.get(index) else {
            return Vec::new();
        };
        self.applying(namespace, |rule| this.pods.is_subset(&rule.pods))
    }

    fn applying(&self, namespace: &NamespaceObservation, selects: impl Fn(&RuleView<'_>) -> bool) -> Vec<usize> {
        let rules = self.rules.iter().enumerate();
        rules
            .filter(|(index, rule)| {
                let place = (*index, namespace.name.as_str());
                selects(rule) && self.prepared.get(&place).is_some_and(|p| p.wanted.is_some())
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// What these rules want together. Of the namespace it depends on nothing but the facts about it.
    fn desired(&mut self, namespace: &str, rules: Vec<usize>) -> Rc<Desired> {
        let prepared: Vec<&Prepared> = rules
            .iter()
            .filter_map(|index| self.prepared.get(&(*index, namespace)))
            .collect();
        let key = (rules, prepared.iter().map(|p| p.facts.pod_identity).collect());
        if let Some(known) = self.desired.get(&key) {
            return Rc::clone(known);
        }
        // What we built ourselves can be read; if it could not, nothing would be wanted and everything would exceed.
        let wanted = prepared.iter().filter_map(|p| p.wanted.as_ref());
        let desired = Rc::new(Desired::of(wanted).unwrap_or_default());
        self.desired.insert(key, Rc::clone(&desired));
        desired
    }
}

fn name_of(object: &NetworkPolicy) -> Option<(&str, &str)> {
    Some((object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?))
}

/// `NetworkPolicy/debug.spec.egress[0]`.
fn path(source: &Source) -> String {
    match source {
        Source::Rule {
            policy: PolicyName::Network { namespace: _, name },
            rule,
        } => format!("NetworkPolicy/{name}.spec.egress[{rule}]"),
        Source::Rule {
            policy: PolicyName::Admin { kind, name },
            rule,
        } => format!("{kind}/{name}.spec.egress[{rule}]"),
        Source::Default => "no policy".to_owned(),
        Source::HostNetwork => "hostNetwork".to_owned(),
    }
}

fn not_analysed(path: String, have: String, message: String) -> (String, String, Disposition, String) {
    (path, have, Disposition::NeedsHuman(HumanReason::NotAnalysed), message)
}

fn unreadable(what: &str, error: &CallError) -> (String, String, Disposition, String) {
    let message = format!("whether other policies let the pods out is not known: {error}");
    match error.class {
        ErrorClass::AccessDenied | ErrorClass::Unsupported | ErrorClass::Terminal => {
            not_analysed(what.to_owned(), "not read".to_owned(), message)
        }
        ErrorClass::Credentials | ErrorClass::NotFound | ErrorClass::Throttled | ErrorClass::Transient => {
            (what.to_owned(), "not read".to_owned(), Disposition::Unobserved, message)
        }
    }
}
