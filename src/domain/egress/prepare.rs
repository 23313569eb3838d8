//! A rule in one namespace, made ready: the facts that its NetworkPolicy depends on, and that policy, or why there is none.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::credentials::{Credentials, Need, Reachability, judge};
use super::desired::{Dns, Facts, Identity, label_selector, network_policy, object_name};
use super::plan::{LABEL_MANAGED_BY, LABEL_POLICY, LABEL_RULE};
use super::selector::Selector;
use crate::api::{FIELD_MANAGER, Gating, Severity};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    AccountObservation, ClusterObservation, EnforcerObservation, ErrorClass, NamespaceObservation, PodObservation,
    ResolverObservation,
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
}

/// What is known beside the cluster.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// Kubernetes.
    pub cluster: &'a ClusterObservation,
    /// AWS.
    pub account: &'a AccountObservation,
}

/// Makes a rule ready for a namespace; `pods` are those of the namespace.
pub(super) fn prepare(
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
    let refused = |finding| Prepared {
        facts: facts.clone(),
        wanted: None,
        findings: vec![finding],
    };
    if namespace.name == KUBE_SYSTEM || namespace.name == policy.settings.operator_namespace {
        return refused(
            human(Control::NetEgress, HumanReason::NamespaceRefused)
                .diff("namespaceSelector", "another namespace", namespace.name.as_str())
                .message(format!(
                    "namespace {} cannot be restricted; narrow the rule's namespaceSelector",
                    namespace.name
                )),
        );
    }
    let unknown = unknown_services(policy, rule.rule, around.account, &target);
    if !unknown.is_empty() {
        return Prepared {
            facts,
            wanted: None,
            findings: unknown,
        };
    }
    let desired = match network_policy(rule.rule, &facts, identity(policy, rule.rule, namespace)) {
        Ok(desired) => desired,
        Err(error) => {
            return refused(
                human(Control::NetEgress, HumanReason::WriteRefused)
                    .diff("allow", "destinations that can be allowed", "one that cannot")
                    .message(error.to_string()),
            );
        }
    };
    let needs = needs(policy, namespace, &selected, around, &desired, &facts);
    let blocked = |(need, reach): &(Need, Reachability)| match reach {
        Reachability::Blocked(why) => Some(
            human(Control::NetBlocksOwnCredentials, HumanReason::BlocksOwnCredentials)
                .diff("allow", format!("{need:?} reachable"), "blocked")
                .message(format!("{why}; nothing is applied until the rule allows it")),
        ),
        Reachability::Open | Reachability::NotJudged(_) => None,
    };
    let findings: Vec<Finding> = needs.iter().filter_map(blocked).collect();
    if !findings.is_empty() {
        return Prepared {
            facts,
            wanted: None,
            findings,
        };
    }
    let uncertain = |(need, reach): &(Need, Reachability)| match reach {
        Reachability::NotJudged(why) => Some(Finding {
            severity: Severity::Low,
            ..Finding::new(
                Control::NetBlocksOwnCredentials,
                target.clone(),
                Gating::ReportOnly,
                Disposition::Note,
            )
            .diff("allow", format!("{need:?} reachable"), "not judged")
            .message(*why)
        }),
        Reachability::Open | Reachability::Blocked(_) => None,
    };
    Prepared {
        findings: needs.iter().filter_map(uncertain).collect(),
        facts,
        wanted: Some(desired),
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

/// Where nothing shows how names are resolved, the usual is assumed: a rule for pods that do not exist opens nothing.
fn dns(seen: &ResolverObservation) -> Dns {
    let ResolverObservation {
        cluster_pods,
        node_local,
        service,
        ipv6: _,
    } = seen;
    let addresses: BTreeSet<_> = node_local.union(service).copied().collect();
    Dns {
        cluster_pods: *cluster_pods || addresses.is_empty(),
        addresses,
    }
}

/// Whether the pods can reach what they need before they can work at all. IRSA counts where a role of this policy trusts a
/// ServiceAccount of the namespace, or a pod shows it.
fn needs(
    policy: &ValidatedPolicy,
    namespace: &NamespaceObservation,
    selected: &[&PodObservation],
    around: Surroundings<'_>,
    desired: &NetworkPolicy,
    facts: &Facts,
) -> Vec<(Need, Reachability)> {
    let trusted = policy
        .roles
        .iter()
        .any(|r| r.service_accounts.iter().any(|sa| sa.namespace == namespace.name));
    let credentials = Credentials {
        irsa: trusted || selected.iter().any(|p| p.web_identity),
        cilium: is_cilium(&around.cluster.enforcer),
        prefix_list_addresses: facts.services.values().flatten().copied().collect(),
        ..Credentials::default()
    };
    // Not an error of the rule: what we built ourselves can be read.
    judge(desired, facts, &credentials).unwrap_or_default()
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
