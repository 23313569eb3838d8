//! The plan for one egress rule: the NetworkPolicy in every matching namespace, what enforces it, and what else lets the
//! same pods out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::compare::{Difference, differences};
use super::credentials::{Credentials, Need, blocks_own_credentials};
use super::desired::{Facts, Identity, label_selector, network_policy, object_name};
use super::selector::Selector;
use crate::api::{Assurance, DeletionPolicy, FIELD_MANAGER, Gating, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    CallError, ClusterObservation, EnforcerObservation, ErrorClass, NamespaceObservation, Read,
};
use crate::domain::plan::{TargetFacts, TargetPlan};
use crate::domain::policy::{Destination, EgressTarget, ValidatedPolicy};

/// Label on every NetworkPolicy of ours, with value [`FIELD_MANAGER`] (kubernetes.io, "Recommended labels").
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: name of the AIDataProtectionPolicy.
pub const LABEL_POLICY: &str = "aidp.dev/policy";
/// Label: name of the egress rule.
pub const LABEL_RULE: &str = "aidp.dev/rule";
/// Namespace that carries the cluster itself and is never restricted.
const KUBE_SYSTEM: &str = "kube-system";

/// Judges one rule. Actions are in the order of namespaces.
pub fn plan_rule(policy: &ValidatedPolicy, rule: &EgressTarget, cluster: &ClusterObservation) -> TargetPlan {
    let mut findings = Vec::new();
    let mut actions = Vec::new();
    let in_namespace = by_namespace(cluster);
    // In a namespace that is being deleted nothing can be created, and nothing is left to protect.
    for namespace in matching(rule, cluster).filter(|n| !n.terminating) {
        let seen = in_namespace
            .get(namespace.name.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        plan_namespace(policy, rule, namespace, seen, &mut findings, &mut actions);
    }
    for (object, namespace) in ours(policy, &rule.name, cluster) {
        if !matching(rule, cluster).any(|n| n.name == namespace) {
            let left = format!("namespace {namespace} no longer matches the rule");
            leave(
                policy,
                &rule.name,
                object,
                namespace,
                &left,
                &mut findings,
                &mut actions,
            );
        }
    }
    let enforcement = Enforcement::of(rule, &cluster.enforcer);
    findings.extend(enforcement.finding(rule));
    TargetPlan {
        target: whole(&rule.name),
        state: state(&findings),
        findings,
        actions,
        facts: TargetFacts {
            enforcer: enforcement.enforcer,
            rung: enforcement.rung.map(|r| r.reason().to_owned()),
            evidence: enforcement.evidence,
            ..TargetFacts::default()
        },
    }
}

/// Judges every rule of the policy, and those that have left it.
pub fn plan_rules(policy: &ValidatedPolicy, cluster: &Read<ClusterObservation>) -> Vec<TargetPlan> {
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => return unreadable_rules(policy, error),
    };
    let named: BTreeSet<&str> = policy.egress.iter().map(|r| r.name.as_str()).collect();
    let orphans = rules_in(policy, cluster)
        .filter(|rule| !named.contains(rule))
        .collect::<BTreeSet<_>>();
    let mut plans: Vec<TargetPlan> = policy
        .egress
        .iter()
        .map(|rule| plan_rule(policy, rule, cluster))
        .collect();
    plans.extend(
        orphans
            .into_iter()
            .map(|rule| plan_leave(policy, rule, cluster, "the rule has left the policy")),
    );
    plans
}

/// The plan for a policy that is being deleted with `deletionPolicy: Revert`: every NetworkPolicy of ours goes.
pub fn revert(policy: &ValidatedPolicy, cluster: &Read<ClusterObservation>) -> Vec<TargetPlan> {
    match cluster {
        Ok(cluster) => {
            let rules: BTreeSet<&str> = rules_in(policy, cluster).collect();
            rules
                .into_iter()
                .map(|rule| plan_leave(policy, rule, cluster, "the policy is being deleted"))
                .collect()
        }
        Err(error) => unreadable_rules(policy, error),
    }
}

fn plan_leave(policy: &ValidatedPolicy, rule: &str, cluster: &ClusterObservation, why: &str) -> TargetPlan {
    let (mut findings, mut actions) = (Vec::new(), Vec::new());
    for (object, namespace) in ours(policy, rule, cluster) {
        leave(policy, rule, object, namespace, why, &mut findings, &mut actions);
    }
    TargetPlan {
        target: whole(rule),
        state: TargetState::Orphaned,
        findings,
        actions,
        facts: TargetFacts::default(),
    }
}

/// Every rule that the policy names or has claimed.
fn unreadable_rules(policy: &ValidatedPolicy, error: &CallError) -> Vec<TargetPlan> {
    let named = policy.egress.iter().map(|rule| rule.name.as_str());
    let rules: BTreeSet<&str> = named.chain(claimed(policy)).collect();
    rules.into_iter().map(|rule| unreadable(rule, error)).collect()
}

fn claimed(policy: &ValidatedPolicy) -> impl Iterator<Item = &str> {
    policy.inventory.egress.iter().map(|rule| rule.name.as_str())
}

/// Kubernetes could not be read: nothing is said about the rule, and nothing done.
fn unreadable(rule: &str, error: &CallError) -> TargetPlan {
    let disposition = match error.class {
        ErrorClass::AccessDenied => Disposition::NeedsHuman(HumanReason::AccessDenied),
        ErrorClass::Credentials
        | ErrorClass::NotFound
        | ErrorClass::Throttled
        | ErrorClass::Transient
        | ErrorClass::Unsupported
        | ErrorClass::Terminal => Disposition::Unobserved,
    };
    let finding = Finding::new(Control::NetEgress, whole(rule), Gating::Gating, disposition)
        .diff("networkpolicy", "readable", "not read")
        .message(error.to_string());
    TargetPlan {
        target: whole(rule),
        state: TargetState::Unknown,
        findings: vec![finding],
        actions: Vec::new(),
        facts: TargetFacts::default(),
    }
}

/// The rules with NetworkPolicies of ours, and those that the inventory holds: without any left, one of the latter is done
/// with.
fn rules_in<'a>(policy: &'a ValidatedPolicy, cluster: &'a ClusterObservation) -> impl Iterator<Item = &'a str> {
    cluster
        .network_policies
        .iter()
        .filter(|object| is_ours(policy, object))
        .filter_map(rule_of)
        .chain(claimed(policy))
}

fn whole(rule: &str) -> Target {
    Target::Egress {
        rule: rule.to_owned(),
        namespace: None,
    }
}

fn by_namespace(cluster: &ClusterObservation) -> BTreeMap<&str, Vec<&NetworkPolicy>> {
    let mut out: BTreeMap<&str, Vec<&NetworkPolicy>> = BTreeMap::new();
    for object in &cluster.network_policies {
        out.entry(object.metadata.namespace.as_deref().unwrap_or_default())
            .or_default()
            .push(object);
    }
    out
}

fn matching<'a>(
    rule: &'a EgressTarget,
    cluster: &'a ClusterObservation,
) -> impl Iterator<Item = &'a NamespaceObservation> {
    // A selector that is none was refused by validation; here it selects nothing rather than everything.
    let selector = Selector::parse(&label_selector(&rule.namespace_selector)).ok();
    cluster
        .namespaces
        .iter()
        .filter(move |n| selector.as_ref().is_some_and(|s| s.matches(&n.labels)))
}

fn label<'a>(object: &'a NetworkPolicy, key: &str) -> Option<&'a str> {
    object.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn is_ours(policy: &ValidatedPolicy, object: &NetworkPolicy) -> bool {
    label(object, LABEL_MANAGED_BY) == Some(FIELD_MANAGER) && label(object, LABEL_POLICY) == Some(policy.name.as_str())
}

fn rule_of(object: &NetworkPolicy) -> Option<&str> {
    label(object, LABEL_RULE)
}

fn ours<'a>(
    policy: &'a ValidatedPolicy,
    rule: &'a str,
    cluster: &'a ClusterObservation,
) -> impl Iterator<Item = (&'a NetworkPolicy, &'a str)> {
    let of_rule = move |object: &&NetworkPolicy| is_ours(policy, object) && rule_of(object) == Some(rule);
    let all = cluster.network_policies.iter().filter(of_rule);
    all.filter_map(|object| Some((object, object.metadata.namespace.as_deref()?)))
}

fn plan_namespace(
    policy: &ValidatedPolicy,
    rule: &EgressTarget,
    namespace: &NamespaceObservation,
    seen: &[&NetworkPolicy],
    findings: &mut Vec<Finding>,
    actions: &mut Vec<PlannedAction>,
) {
    let target = Target::Egress {
        rule: rule.name.clone(),
        namespace: Some(namespace.name.clone()),
    };
    let human =
        |control, reason| Finding::new(control, target.clone(), Gating::Gating, Disposition::NeedsHuman(reason));
    if namespace.name == KUBE_SYSTEM || namespace.name == policy.settings.operator_namespace {
        findings.push(
            human(Control::NetEgress, HumanReason::NamespaceRefused)
                .diff("namespaceSelector", "another namespace", namespace.name.as_str())
                .message(format!(
                    "namespace {} cannot be restricted; narrow the rule's namespaceSelector",
                    namespace.name
                )),
        );
        return;
    }
    let facts = Facts::default();
    let desired = match network_policy(rule, &facts, identity(policy, rule, namespace)) {
        Ok(desired) => desired,
        Err(error) => {
            findings.push(
                human(Control::NetEgress, HumanReason::WriteRefused)
                    .diff("allow", "destinations that can be allowed", "one that cannot")
                    .message(error.to_string()),
            );
            return;
        }
    };
    let blocked = blocked_needs(policy, namespace, &desired, &facts);
    if !blocked.is_empty() {
        findings.extend(blocked.into_iter().map(|(need, why)| {
            human(Control::NetBlocksOwnCredentials, HumanReason::BlocksOwnCredentials)
                .diff("allow", format!("{need:?} reachable"), "blocked")
                .message(format!("{why}; nothing is applied until the rule allows it"))
        }));
        return;
    }
    findings.extend(other_policies(policy, rule, seen).map(|other| {
        human(Control::NetUnion, HumanReason::NotAnalysed)
            .diff(
                format!("networkpolicy/{other}"),
                "no other policy selects the pods",
                "selects them",
            )
            .message("NetworkPolicies add up, and what this one lets out was not analysed")
    }));
    let name = desired.metadata.name.as_deref();
    let current = seen.iter().find(|o| o.metadata.name.as_deref() == name);
    let drift = match current {
        None => vec![Difference {
            path: "networkpolicy".into(),
            want: "present".into(),
            have: "absent".into(),
        }],
        Some(current) => differences(current, &desired),
    };
    if drift.is_empty() {
        return;
    }
    let actor = current.and_then(|c| last_foreign_manager(c));
    let mut repairs = Vec::with_capacity(drift.len());
    for Difference { path, want, have } in drift {
        let mut finding = Finding::new(Control::NetEgress, target.clone(), Gating::Gating, Disposition::Repair)
            .diff(path, want, have)
            .message("the NetworkPolicy of the rule is not as it must be");
        finding.actor.clone_from(&actor);
        repairs.push(finding.key());
        findings.push(finding);
    }
    let action = Action::ApplyNetworkPolicy {
        rule: rule.name.clone(),
        object: Box::new(desired),
    };
    actions.push(PlannedAction { action, repairs });
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

/// What the pods of this namespace would be cut off from. IRSA counts where a role of this policy trusts a ServiceAccount
/// of the namespace.
fn blocked_needs(
    policy: &ValidatedPolicy,
    namespace: &NamespaceObservation,
    desired: &NetworkPolicy,
    facts: &Facts,
) -> Vec<(Need, &'static str)> {
    let irsa = policy
        .roles
        .iter()
        .any(|r| r.service_accounts.iter().any(|sa| sa.namespace == namespace.name));
    let credentials = Credentials {
        irsa,
        ..Credentials::default()
    };
    // Not an error of the rule: what we built ourselves can be read.
    blocks_own_credentials(desired, facts, &credentials).unwrap_or_default()
}

/// NetworkPolicies for egress, not of this policy, that can select the same pods.
fn other_policies<'a>(
    policy: &'a ValidatedPolicy,
    rule: &EgressTarget,
    seen: &'a [&NetworkPolicy],
) -> impl Iterator<Item = &'a str> {
    let pods = Selector::parse(&label_selector(&rule.pod_selector)).ok();
    let selects = move |object: &&&NetworkPolicy| {
        let Some(spec) = &object.spec else { return false };
        let egress = match &spec.policy_types {
            Some(types) => types.iter().any(|t| t == "Egress"),
            None => spec.egress.is_some(),
        };
        let theirs = Selector::parse(&spec.pod_selector.clone().unwrap_or_default());
        // A selector that can't be read may select anything.
        egress
            && pods
                .as_ref()
                .is_none_or(|pods| theirs.is_ok_and(|theirs| theirs.meets(pods)))
    };
    seen.iter()
        .filter(|o| !is_ours(policy, o))
        .filter(selects)
        .filter_map(|o| o.metadata.name.as_deref())
}

/// Who wrote the object last, if it was not us (`metadata.managedFields`).
fn last_foreign_manager(object: &NetworkPolicy) -> Option<String> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let last = entries.max_by_key(|e| e.time.as_ref().map(|t| t.0))?;
    last.manager.clone().filter(|manager| manager != FIELD_MANAGER)
}

fn leave(
    policy: &ValidatedPolicy,
    rule: &str,
    object: &NetworkPolicy,
    namespace: &str,
    why: &str,
    findings: &mut Vec<Finding>,
    actions: &mut Vec<PlannedAction>,
) {
    let target = Target::Egress {
        rule: rule.to_owned(),
        namespace: Some(namespace.to_owned()),
    };
    let retain = policy.deletion_policy == DeletionPolicy::Retain;
    let (gating, disposition, fix) = if retain {
        (
            Gating::ReportOnly,
            Disposition::NeedsHuman(HumanReason::Orphaned),
            "it stays (deletionPolicy Retain); delete it by hand",
        )
    } else {
        (
            Gating::Gating,
            Disposition::Repair,
            "it is removed (deletionPolicy Revert)",
        )
    };
    let finding = Finding::new(Control::NetEgress, target, gating, disposition)
        .diff("networkpolicy", "absent", "present")
        .message(format!("{why}; {fix}"));
    if !retain && let Some(action) = delete(rule, object, namespace) {
        actions.push(PlannedAction {
            action,
            repairs: vec![finding.key()],
        });
    }
    findings.push(finding);
}

fn delete(rule: &str, object: &NetworkPolicy, namespace: &str) -> Option<Action> {
    Some(Action::DeleteNetworkPolicy {
        rule: rule.to_owned(),
        namespace: namespace.to_owned(),
        name: object.metadata.name.clone()?,
        uid: object.metadata.uid.clone(),
    })
}

/// How far egress is restricted; the words of condition `EgressRestricted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Only the allowed ports; what is spoken on them is not known.
    PortRestricted,
    /// Only the allowed destinations.
    DestinationRestricted,
    /// Only TLS.
    TlsRequired,
}

impl Rung {
    /// As a condition reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::PortRestricted => "PortRestricted",
            Self::DestinationRestricted => "DestinationRestricted",
            Self::TlsRequired => "TLSRequired",
        }
    }

    /// The rung that an assurance asks for.
    pub const fn asked(assurance: Assurance) -> Self {
        match assurance {
            Assurance::Port => Self::PortRestricted,
            Assurance::Destination => Self::DestinationRestricted,
            Assurance::Tls => Self::TlsRequired,
        }
    }
}

struct Enforcement {
    enforcer: Option<String>,
    evidence: Option<String>,
    rung: Option<Rung>,
    reason: HumanReason,
}

impl Enforcement {
    fn of(rule: &EgressTarget, enforcer: &EnforcerObservation) -> Self {
        match enforcer {
            EnforcerObservation::Found { name, evidence } => Self {
                enforcer: Some(name.clone()),
                evidence: Some(evidence.clone()),
                rung: Some(reached(rule)),
                reason: HumanReason::NotEnforced,
            },
            EnforcerObservation::NotEnforcing { name, evidence } => Self {
                enforcer: Some(name.clone()),
                evidence: Some(evidence.clone()),
                rung: None,
                reason: HumanReason::NotEnforced,
            },
            EnforcerObservation::Unknown => Self {
                enforcer: None,
                evidence: None,
                rung: None,
                reason: HumanReason::EnforcerUnknown,
            },
        }
    }

    fn finding(&self, rule: &EgressTarget) -> Option<Finding> {
        let asked = Rung::asked(rule.assurance);
        if self.rung.is_some_and(|reached| reached >= asked) {
            return None;
        }
        let name = self.enforcer.as_deref().unwrap_or("nothing known");
        let have = self
            .rung
            .map_or_else(|| name.to_owned(), |r| format!("{} ({name})", r.reason()));
        let message = match (self.reason, self.rung) {
            (_, Some(_)) => "a NetworkPolicy of this rule can't give more; narrow allow, or lower the assurance",
            (HumanReason::EnforcerUnknown, None) => {
                "it is not known what enforces NetworkPolicy in this cluster; name it with networkEnforcer"
            }
            (_, None) => "the network plugin does not enforce NetworkPolicy: the pods are not restricted",
        };
        Some(
            Finding::new(
                Control::NetEnforcement,
                whole(&rule.name),
                Gating::Gating,
                Disposition::NeedsHuman(self.reason),
            )
            .diff("assurance", asked.reason(), have)
            .message(message),
        )
    }
}

/// What plain NetworkPolicies of this rule give: the destinations, unless one of them is "anywhere"; never TLS, since a
/// port says nothing about what is spoken on it.
fn reached(rule: &EgressTarget) -> Rung {
    let anywhere = |d: &Destination| match d {
        Destination::Cidr { cidr, ports: _ } => cidr.prefix_len() == 0,
        Destination::Pods { .. } => false,
    };
    if rule.allow.iter().any(anywhere) {
        Rung::PortRestricted
    } else {
        Rung::DestinationRestricted
    }
}

fn state(findings: &[Finding]) -> TargetState {
    let mut gating = findings
        .iter()
        .filter(|f| f.gating == Gating::Gating)
        .map(|f| f.disposition)
        .peekable();
    if gating.peek().is_none() {
        return TargetState::Compliant;
    }
    let unknown = |d: Disposition| match d {
        Disposition::NeedsHuman(reason) => reason.is_unknown(),
        Disposition::Unobserved => true,
        Disposition::Repair | Disposition::Note => false,
    };
    if gating.all(unknown) {
        TargetState::Unknown
    } else {
        TargetState::Drifted
    }
}

#[cfg(test)]
mod tests;
