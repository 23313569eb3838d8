//! A rule in one namespace, made ready: the facts that its NetworkPolicy depends on, and that policy, or why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::credentials::{Credentials, Need, Reachability, judge};
use super::desired::{Dns, DnsEvidence, Facts, Identity, label_selector, network_policy, object_name};
use super::network_policy::EgressPolicy;
use super::ownership::{LABEL_MANAGED_BY, LABEL_POLICY, LABEL_RULE, is_ours};
use super::selector::Selector;
use crate::api::{FIELD_MANAGER, Gating, Severity};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    AccountObservation, ClusterObservation, EnforcerObservation, ErrorClass, NamespaceObservation, PodObservation,
    ResolverObservation, ResolverPods,
};
use crate::domain::policy::{Destination, EgressTarget, ValidatedPolicy};

/// Namespace that carries the cluster itself and is never restricted.
const KUBE_SYSTEM: &str = "kube-system";

/// A rule with its selectors read.
pub(super) struct RuleView<'a> {
    /// The rule.
    pub rule: &'a EgressTarget,
    /// Its namespaces.
    pub namespaces: Selector,
    /// Its pods.
    pub pods: Selector,
}

impl<'a> RuleView<'a> {
    /// None for a selector that is none: validation refuses it, and here it selects nothing rather than everything.
    pub fn of(rule: &'a EgressTarget) -> Option<Self> {
        Some(Self {
            rule,
            namespaces: Selector::parse(&label_selector(&rule.namespace_selector)).ok()?,
            pods: Selector::parse(&label_selector(&rule.pod_selector)).ok()?,
        })
    }
}

/// What a rule comes to in one namespace.
pub(super) struct Prepared {
    /// What its NetworkPolicy depends on.
    pub facts: Facts,
    /// The NetworkPolicy; None where none may be written.
    pub wanted: Option<NetworkPolicy>,
    /// Why not, and what else is to be said about it.
    pub findings: Vec<Finding>,
    /// What is not certain of how its pods resolve names.
    pub dns_doubt: Option<&'static str>,
}

/// What is known beside the cluster.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Kubernetes.
    pub cluster: &'a ClusterObservation,
    /// AWS.
    pub account: &'a AccountObservation,
}

/// Makes every rule that selects the namespace ready for it, by position; `pods` are those of the namespace.
///
/// Whether pods are cut off from what they need is judged on all policies that select them. A rule that is refused for that
/// opens nothing for the others, so they are judged again without it, until no more is refused.
pub(super) fn prepare_all(
    policy: &ValidatedPolicy,
    rules: &[RuleView<'_>],
    namespace: &NamespaceObservation,
    pods: &[&PodObservation],
    around: Surroundings<'_>,
) -> BTreeMap<usize, Prepared> {
    let selecting = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.namespaces.matches(&namespace.labels));
    let mut out: BTreeMap<usize, Prepared> = selecting
        .map(|(index, rule)| (index, draft(policy, rule, namespace, pods, around)))
        .collect();
    let others: Vec<(EgressPolicy, &NetworkPolicy)> = others(policy, namespace, around.cluster).collect();
    loop {
        let mut judged = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let Some(own) = out.get(&index).and_then(|p| p.wanted.as_ref()) else {
                continue;
            };
            let siblings = rules
                .iter()
                .enumerate()
                .filter(|(i, sibling)| *i != index && rule.pods.is_subset(&sibling.pods));
            let beside: Vec<&Prepared> = siblings.filter_map(|(i, _)| out.get(&i)).collect();
            let foreign = others
                .iter()
                .filter(|(read, _)| read.egress.is_some() && rule.pods.is_subset(&read.pods));
            let together: Vec<&NetworkPolicy> = [own]
                .into_iter()
                .chain(beside.iter().filter_map(|p| p.wanted.as_ref()))
                .chain(foreign.map(|(_, object)| *object))
                .collect();
            let selected: Vec<&PodObservation> =
                pods.iter().copied().filter(|p| rule.pods.matches(&p.labels)).collect();
            let facts: Vec<&Facts> = out.get(&index).into_iter().chain(beside).map(|p| &p.facts).collect();
            judged.push((index, needs(policy, namespace, &selected, around, &together, &facts)));
        }
        let mut refused = false;
        for (index, needs) in judged {
            let Some(prepared) = out.get_mut(&index) else { continue };
            let target = target(rules, index, namespace);
            prepared.findings = needs
                .iter()
                .filter_map(|(need, reach)| blocked(*need, *reach, &target))
                .collect();
            if prepared.findings.is_empty() {
                prepared.findings = needs
                    .iter()
                    .filter_map(|(need, reach)| uncertain(*need, *reach, &target))
                    .collect();
                prepared.dns_doubt = needs.iter().find_map(|(need, reach)| match (need, reach) {
                    (Need::Dns, Reachability::NotJudged(why)) => Some(*why),
                    (Need::Dns | Need::Sts | Need::PodIdentityAgent, _) => None,
                });
            } else {
                prepared.wanted = None;
                refused = true;
            }
        }
        if !refused {
            return out;
        }
    }
}

/// The NetworkPolicies that the namespace has besides the policy's own. One that can't be read opens nothing here; it is
/// said elsewhere.
fn others<'a>(
    policy: &'a ValidatedPolicy,
    namespace: &'a NamespaceObservation,
    cluster: &'a ClusterObservation,
) -> impl Iterator<Item = (EgressPolicy, &'a NetworkPolicy)> {
    let here = |object: &&NetworkPolicy| object.metadata.namespace.as_deref() == Some(namespace.name.as_str());
    let all = cluster.network_policies.iter().filter(here);
    all.filter(|object| !is_ours(policy, object))
        .filter_map(|object| Some((EgressPolicy::read(object).ok()?, object)))
}

fn target(rules: &[RuleView<'_>], index: usize, namespace: &NamespaceObservation) -> Target {
    Target::Egress {
        rule: rules.get(index).map(|r| r.rule.name.clone()).unwrap_or_default(),
        namespace: Some(namespace.name.clone()),
    }
}

fn blocked(need: Need, reach: Reachability, target: &Target) -> Option<Finding> {
    let refused = Disposition::NeedsHuman(HumanReason::BlocksOwnCredentials);
    match reach {
        Reachability::Blocked(why) => Some(
            Finding::new(
                Control::NetBlocksOwnCredentials,
                target.clone(),
                Gating::Gating,
                refused,
            )
            .diff("allow", format!("{need:?} reachable"), "blocked")
            .message(format!("{why}; nothing is applied until the rule allows it")),
        ),
        Reachability::Open | Reachability::NotJudged(_) => None,
    }
}

/// Of name resolution it is said once a rule, not once a namespace: [`dns_note`].
fn uncertain(need: Need, reach: Reachability, target: &Target) -> Option<Finding> {
    match (need, reach) {
        (Need::Sts | Need::PodIdentityAgent, Reachability::NotJudged(why)) => Some(note(need, why, target)),
        (Need::Dns, Reachability::NotJudged(_)) | (_, Reachability::Open | Reachability::Blocked(_)) => None,
    }
}

/// What is not certain of how a rule's pods resolve names.
pub(super) fn dns_note(why: &str, target: &Target) -> Finding {
    note(Need::Dns, why, target)
}

fn note(need: Need, why: &str, target: &Target) -> Finding {
    Finding {
        severity: Severity::Low,
        ..Finding::new(
            Control::NetBlocksOwnCredentials,
            target.clone(),
            Gating::ReportOnly,
            Disposition::Note,
        )
        .diff("allow", format!("{need:?} reachable"), "not judged")
        .message(why)
    }
}

/// The NetworkPolicy of a rule, before it is judged what it cuts its pods off from.
fn draft(
    policy: &ValidatedPolicy,
    rule: &RuleView<'_>,
    namespace: &NamespaceObservation,
    pods: &[&PodObservation],
    around: Surroundings<'_>,
) -> Prepared {
    let target = Target::Egress {
        rule: rule.rule.name.clone(),
        namespace: Some(namespace.name.clone()),
    };
    let human =
        |control, reason| Finding::new(control, target.clone(), Gating::Gating, Disposition::NeedsHuman(reason));
    let selected: Vec<&PodObservation> = pods.iter().copied().filter(|p| rule.pods.matches(&p.labels)).collect();
    let facts = facts(rule.rule, namespace, &selected, around);
    let refused = |findings| Prepared {
        facts: facts.clone(),
        wanted: None,
        findings,
        dns_doubt: None,
    };
    if namespace.name == KUBE_SYSTEM || namespace.name == policy.settings.operator_namespace {
        return refused(vec![
            human(Control::NetEgress, HumanReason::NamespaceRefused)
                .diff("namespaceSelector", "another namespace", namespace.name.as_str())
                .message(format!(
                    "namespace {} cannot be restricted; narrow the rule's namespaceSelector",
                    namespace.name
                )),
        ]);
    }
    let unknown = unknown_services(policy, rule.rule, around.account, &target);
    if !unknown.is_empty() {
        return refused(unknown);
    }
    match network_policy(rule.rule, &facts, identity(policy, rule.rule, namespace)) {
        Ok(desired) => Prepared {
            wanted: Some(desired),
            ..refused(Vec::new())
        },
        Err(error) => refused(vec![
            human(Control::NetEgress, HumanReason::WriteRefused)
                .diff("allow", "destinations that can be allowed", "one that cannot")
                .message(error.to_string()),
        ]),
    }
}

/// The services whose addresses are not known: nothing is written then, and what is there stays.
fn unknown_services(
    policy: &ValidatedPolicy,
    rule: &EgressTarget,
    account: &AccountObservation,
    target: &Target,
) -> Vec<Finding> {
    let unread = |service: &str| -> Option<Finding> {
        let (disposition, message) = match account.prefix_lists.get(service) {
            Some(Ok(_)) => return None,
            Some(Err(error)) => {
                let disposition = match error.class {
                    ErrorClass::AccessDenied => Disposition::NeedsHuman(HumanReason::AccessDenied),
                    ErrorClass::NotFound | ErrorClass::Unsupported | ErrorClass::Terminal => {
                        Disposition::NeedsHuman(HumanReason::WriteRefused)
                    }
                    ErrorClass::Credentials | ErrorClass::Throttled | ErrorClass::Transient => Disposition::Unobserved,
                };
                (disposition, error.to_string())
            }
            None => (Disposition::Unobserved, "not read".to_owned()),
        };
        Some(
            Finding::new(Control::NetEgress, target.clone(), Gating::Gating, disposition)
                .diff(
                    format!("allow[{service}]"),
                    format!("prefix list com.amazonaws.{}.{service}", policy.region),
                    "not known",
                )
                .message(format!(
                    "where {service} is, is not known, and nothing is applied: {message}"
                )),
        )
    };
    let services: BTreeSet<&str> = rule.allow.iter().filter_map(Destination::aws_service).collect();
    services.into_iter().filter_map(unread).collect()
}

fn facts(
    rule: &EgressTarget,
    namespace: &NamespaceObservation,
    selected: &[&PodObservation],
    around: Surroundings<'_>,
) -> Facts {
    let Surroundings { cluster, account } = around;
    let associations = account.pod_identity_associations.as_ref().and_then(|r| r.as_ref().ok());
    let associated = associations.is_some_and(|all| all.iter().any(|a| a.namespace == namespace.name));
    let services = rule.allow.iter().filter_map(|destination| {
        let service = destination.aws_service()?;
        let cidrs = account.prefix_lists.get(service)?.as_ref().ok()?;
        Some((service.to_owned(), cidrs.clone()))
    });
    Facts {
        dns: dns(&cluster.resolvers),
        pod_identity: associated || selected.iter().any(|p| p.pod_identity),
        ipv6: cluster.resolvers.ipv6,
        services: services.collect(),
    }
}

/// Where nothing shows how names are resolved, the usual is assumed, and that is said: a rule for pods that do not exist
/// opens nothing.
fn dns(seen: &ResolverObservation) -> Dns {
    let ResolverObservation {
        pods,
        node_local,
        service,
        told,
        ipv6: _,
    } = seen;
    // With pods behind it, a Service's address is judged as theirs by most enforcers, and never needed.
    let of_node = if pods.is_empty() {
        service.clone()
    } else {
        BTreeSet::new()
    };
    let addresses: BTreeSet<IpAddr> = node_local.union(&of_node).copied().collect();
    let nothing = pods.is_empty() && addresses.is_empty();
    // Which address OpenShift's Service has is not read.
    let known =
        |a: &IpAddr| node_local.contains(a) || service.contains(a) || pods.contains_key(&ResolverPods::OpenShift);
    let evidence = if told.iter().any(known) {
        DnsEvidence::Seen
    } else if !told.is_empty() {
        DnsEvidence::Elsewhere(told.clone())
    } else if nothing {
        DnsEvidence::Assumed
    } else {
        DnsEvidence::Seen
    };
    let pods = if nothing { Dns::default().pods } else { pods.clone() };
    Dns {
        pods,
        addresses,
        evidence,
    }
}

/// Whether the pods can reach what they need before they can work at all, under all these policies. IRSA counts where a
/// role of this policy trusts a ServiceAccount of the namespace, or a pod shows it. `facts` are those of the rule, then of
/// the others that select its pods.
fn needs(
    policy: &ValidatedPolicy,
    namespace: &NamespaceObservation,
    selected: &[&PodObservation],
    around: Surroundings<'_>,
    together: &[&NetworkPolicy],
    facts: &[&Facts],
) -> Vec<(Need, Reachability)> {
    let trusted = policy
        .roles
        .iter()
        .any(|r| r.service_accounts.iter().any(|sa| sa.namespace == namespace.name));
    let prefix_lists = facts.iter().flat_map(|f| f.services.values());
    let credentials = Credentials {
        irsa: trusted || selected.iter().any(|p| p.web_identity),
        cilium: is_cilium(&around.cluster.enforcer),
        prefix_list_addresses: prefix_lists.flatten().copied().collect(),
        ..Credentials::default()
    };
    // Not an error of the rule: what we built ourselves can be read, and the others were.
    let own = facts.first().copied();
    own.and_then(|own| judge(together, own, &credentials).ok())
        .unwrap_or_default()
}

fn is_cilium(enforcer: &EnforcerObservation) -> bool {
    match enforcer {
        EnforcerObservation::Found { name, .. } => name.to_ascii_lowercase().contains("cilium"),
        EnforcerObservation::NotEnforcing { .. } | EnforcerObservation::Unknown => false,
    }
}

fn identity(policy: &ValidatedPolicy, rule: &EgressTarget, namespace: &NamespaceObservation) -> Identity {
    let labels = [
        (LABEL_MANAGED_BY, FIELD_MANAGER),
        (LABEL_POLICY, &policy.name),
        (LABEL_RULE, &rule.name),
    ];
    Identity {
        name: object_name(&policy.name, &rule.name),
        namespace: namespace.name.clone(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        annotations: BTreeMap::new(),
    }
}
