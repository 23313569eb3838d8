//! The plan for one egress rule: the NetworkPolicy in every matching namespace, what enforces it, and what else lets the
//! same pods out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::assurance::Enforcement;
use super::compare::{Difference, differences};
use super::others::{Others, Place};
use super::ownership::{is_ours, rule_of};
use super::prepare::{Prepared, RuleView, Surroundings, dns_note, prepare_all};
use crate::api::{DeletionPolicy, FIELD_MANAGER, Gating, Severity, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    AccountObservation, CallError, ClusterObservation, ErrorClass, NamespaceObservation, PodObservation, Read,
};
use crate::domain::policy::{EgressTarget, ValidatedPolicy};
use crate::domain::target_plan::{TargetFacts, TargetPlan};

/// Judges every rule of the policy, and those that have left it. Of the account it matters which ServiceAccounts use EKS
/// Pod Identity, and where AWS services are. Actions are in the order of namespaces.
pub fn plan_rules(
    policy: &ValidatedPolicy,
    cluster: &Read<ClusterObservation>,
    account: &AccountObservation,
) -> Vec<TargetPlan> {
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => return unreadable_rules(policy, error),
    };
    let named: BTreeSet<&str> = policy.egress.iter().map(|r| r.name.as_str()).collect();
    let orphans = rules_in(policy, cluster)
        .filter(|rule| !named.contains(rule))
        .collect::<BTreeSet<_>>();
    let around = Surroundings { cluster, account };
    let mut plans = plan_named(policy, around);
    plans.extend(
        orphans
            .into_iter()
            .map(|rule| plan_leave(policy, rule, cluster, "the rule has left the policy")),
    );
    plans
}

/// What is wrong with a rule in these namespaces, whatever else there is: for a look without a cluster.
pub fn rule_alone(policy: &ValidatedPolicy, rule: &EgressTarget, namespaces: &[NamespaceObservation]) -> Vec<Finding> {
    let (cluster, account) = (ClusterObservation::default(), AccountObservation::default());
    let around = Surroundings {
        cluster: &cluster,
        account: &account,
    };
    let rules: Vec<RuleView<'_>> = policy.egress.iter().filter_map(RuleView::of).collect();
    let of_rule = |(index, prepared): (usize, Prepared)| {
        let same = rules.get(index).is_some_and(|r| r.rule.name == rule.name);
        same.then_some(prepared.findings)
    };
    let each = namespaces
        .iter()
        .flat_map(|n| prepare_all(policy, &rules, n, &[], around));
    each.filter_map(of_rule).flatten().collect()
}

fn plan_named(policy: &ValidatedPolicy, around: Surroundings<'_>) -> Vec<TargetPlan> {
    let Surroundings { cluster, .. } = around;
    let rules: Vec<RuleView<'_>> = policy.egress.iter().filter_map(RuleView::of).collect();
    let in_namespace = by_namespace(cluster);
    let pods = pods_by_namespace(cluster);
    // In a namespace that is being deleted nothing can be created, and nothing is left to protect.
    let living: Vec<&NamespaceObservation> = cluster.namespaces.iter().filter(|n| !n.terminating).collect();
    let mut prepared: BTreeMap<Place<'_>, Prepared> = BTreeMap::new();
    for namespace in &living {
        let own = pods.get(namespace.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let ready = prepare_all(policy, &rules, namespace, own, around);
        prepared.extend(
            ready
                .into_iter()
                .map(|(index, p)| ((index, namespace.name.as_str()), p)),
        );
    }
    let mut others = Others::new(cluster, &rules, &prepared);
    let mut plans = Vec::with_capacity(rules.len());
    for (index, view) in rules.iter().enumerate() {
        let RuleView { rule, namespaces, .. } = view;
        let (mut findings, mut actions) = (Vec::new(), Vec::new());
        for namespace in &living {
            let Some(Prepared {
                wanted, findings: said, ..
            }) = prepared.get(&(index, namespace.name.as_str()))
            else {
                continue;
            };
            findings.extend(said.iter().cloned());
            let Some(wanted) = wanted else { continue };
            let target = Target::Egress {
                rule: rule.name.clone(),
                namespace: Some(namespace.name.clone()),
            };
            let seen = in_namespace
                .get(namespace.name.as_str())
                .map(Vec::as_slice)
                .unwrap_or_default();
            findings.extend(others.findings(index, namespace, &target));
            plan_namespace(rule, &target, wanted, seen, &mut findings, &mut actions);
        }
        findings.extend(outliving(policy, view, cluster, &pods));
        if prepared.keys().any(|(of, _)| *of == index) {
            findings.extend(others.gaps(&whole(&rule.name)));
        } else {
            findings.push(nowhere(rule));
        }
        let of_rule = |(place, p): (&Place<'_>, &Prepared)| p.dns_doubt.filter(|_| place.0 == index);
        let dns_doubts: BTreeSet<&str> = prepared.iter().filter_map(of_rule).collect();
        findings.extend(dns_doubts.into_iter().map(|why| dns_note(why, &whole(&rule.name))));
        for (object, namespace) in ours(policy, &rule.name, cluster) {
            let matches = |n: &NamespaceObservation| n.name == namespace && namespaces.matches(&n.labels);
            if !cluster.namespaces.iter().any(matches) {
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
        findings.extend(enforcement.findings(rule, &whole(&rule.name)));
        plans.push(TargetPlan {
            target: whole(&rule.name),
            state: state(&findings),
            findings,
            actions,
            facts: TargetFacts {
                enforcer: enforcement.enforcer.map(str::to_owned),
                rung: enforcement.rung.map(|r| r.reason().to_owned()),
                evidence: enforcement.evidence.map(str::to_owned),
                ..TargetFacts::default()
            },
        });
    }
    plans
}

/// The rule restricts nobody: no error, since namespaces may be yet to come, and nothing to claim.
fn nowhere(rule: &EgressTarget) -> Finding {
    let mut note = Finding::new(Control::NetEgress, whole(&rule.name), Gating::Gating, Disposition::Note)
        .diff("namespaceSelector", "at least one namespace", "none")
        .message("the rule matches no namespace, so that it restricts nothing; mind a mistyped label");
    note.severity = Severity::Low;
    note
}

/// Pods of the rule that run on without it. Nothing can be created in a namespace that is being deleted, and its pods may
/// take as long as they like to end.
fn outliving(
    policy: &ValidatedPolicy,
    view: &RuleView<'_>,
    cluster: &ClusterObservation,
    pods: &BTreeMap<&str, Vec<&PodObservation>>,
) -> Vec<Finding> {
    let RuleView {
        rule,
        namespaces,
        pods: selector,
    } = view;
    let kept: BTreeSet<&str> = ours(policy, &rule.name, cluster)
        .map(|(_, namespace)| namespace)
        .collect();
    let dying = cluster
        .namespaces
        .iter()
        .filter(|n| n.terminating && namespaces.matches(&n.labels));
    let left = dying
        .filter(|n| !kept.contains(n.name.as_str()))
        .filter_map(|namespace| {
            let name = namespace.name.as_str();
            let selected = pods.get(name)?.iter().filter(|pod| selector.matches(&pod.labels));
            let pod = selected.map(|pod| pod.name.as_str()).min()?;
            let target = Target::Egress {
                rule: rule.name.clone(),
                namespace: Some(name.to_owned()),
            };
            let exceeded = Disposition::NeedsHuman(HumanReason::EgressExceeded);
            let finding = Finding::new(Control::NetUnion, target, Gating::Gating, exceeded);
            Some(finding.diff("pods", "none without their NetworkPolicy", pod).message(format!(
            "namespace {name} is being deleted, its NetworkPolicy is gone, and pods such as {pod} still run: end them"
        )))
        });
    left.collect()
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

fn pods_by_namespace(cluster: &ClusterObservation) -> BTreeMap<&str, Vec<&PodObservation>> {
    let mut out: BTreeMap<&str, Vec<&PodObservation>> = BTreeMap::new();
    if let Some(Ok(pods)) = &cluster.pods {
        for pod in pods {
            out.entry(pod.namespace.as_str()).or_default().push(pod);
        }
    }
    out
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

/// The NetworkPolicy of a rule in one namespace, against what is there.
fn plan_namespace(
    rule: &EgressTarget,
    target: &Target,
    desired: &NetworkPolicy,
    seen: &[&NetworkPolicy],
    findings: &mut Vec<Finding>,
    actions: &mut Vec<PlannedAction>,
) {
    let name = desired.metadata.name.as_deref();
    let current = seen.iter().find(|o| o.metadata.name.as_deref() == name);
    let drift = match current {
        None => vec![Difference {
            path: "networkpolicy".into(),
            want: "present".into(),
            have: "absent".into(),
        }],
        Some(current) => differences(current, desired),
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
        object: Box::new(desired.clone()),
    };
    actions.push(PlannedAction { action, repairs });
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
        // What does not apply is no proof.
        Disposition::Unobserved | Disposition::Note => true,
        Disposition::Repair => false,
    };
    if gating.all(unknown) {
        TargetState::Unknown
    } else {
        TargetState::Drifted
    }
}

#[cfg(test)]
mod tests;
