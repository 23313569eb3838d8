//! Egress without a cluster: what is wrong with a rule wherever it is applied, and what can only be seen there.

use std::collections::BTreeMap;

use crate::api::{Selector, SelectorOperator};
use crate::domain::egress::desired::object_name;
use crate::domain::egress::plan::rule_alone;
use crate::domain::egress::selector::NAMESPACE_NAME;
use crate::domain::finding::{Disposition, Finding};
use crate::domain::observed::NamespaceObservation;
use crate::domain::policy::{EgressTarget, ValidatedPolicy};

/// What follows from a missing cluster id.
pub(super) const NO_CLUSTER_ID: &str = "The cluster's id: statements, tags and names that carry it are shown for the id \"not-given\", and what the operator \
     of your cluster made counts as somebody else's. Give --cluster-id, by default the uid of namespace kube-system: \
     kubectl get namespace kube-system -o jsonpath={.metadata.uid}";

/// What a look without the cluster leaves out, one sentence each.
pub(super) fn left_out(policy: &ValidatedPolicy) -> Vec<String> {
    let roles = policy.roles.iter().map(|role| {
        format!(
            "role/{}: the cluster was not asked. Whether its ServiceAccounts point at it, whether others do, and which \
             credentials their pods use is not known here.",
            role.name,
        )
    });
    let egress = policy
        .egress
        .iter()
        .map(|rule| {
            format!(
                "egress/{}: the cluster was not asked. The operator would keep NetworkPolicy {} in every namespace with {}; \
                 whether it is there, what other policies allow, and what enforces them is not known here.",
                rule.name,
                object_name(&policy.name, &rule.name),
                selected(&rule.namespace_selector),
            )
        });
    roles.chain(egress).collect()
}

/// What is wrong with the rules in the namespaces that they name outright.
pub(super) fn egress_findings(policy: &ValidatedPolicy) -> Vec<Finding> {
    let rules = policy.egress.iter();
    rules
        .flat_map(|rule| rule_alone(policy, rule, &named_namespaces(rule)))
        .filter(is_certain)
        .collect()
}

/// Whether a finding holds whatever is in the cluster.
fn is_certain(finding: &Finding) -> bool {
    match finding.disposition {
        Disposition::NeedsHuman(_) => true,
        Disposition::Repair | Disposition::Unobserved | Disposition::Note => false,
    }
}

/// The namespaces that a selector names by the label that every namespace has.
fn named_namespaces(rule: &EgressTarget) -> Vec<NamespaceObservation> {
    let Selector {
        match_labels,
        match_expressions,
    } = &rule.namespace_selector;
    let by_label = match_labels.get(NAMESPACE_NAME).map(|v| v.0.clone());
    let by_expression = match_expressions
        .iter()
        .filter(|e| e.key == NAMESPACE_NAME && e.operator == SelectorOperator::In)
        .flat_map(|e| e.values.iter().cloned());
    by_label
        .into_iter()
        .chain(by_expression)
        .map(|name| {
            let mut labels: BTreeMap<String, String> =
                match_labels.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
            labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
            NamespaceObservation {
                name,
                labels,
                terminating: false,
            }
        })
        .collect()
}

/// A selector as `kubectl` prints it.
fn selected(selector: &Selector) -> String {
    let Selector {
        match_labels,
        match_expressions,
    } = selector;
    let labels = match_labels.iter().map(|(k, v)| format!("{k}={}", v.0));
    let expressions = match_expressions.iter().map(|e| match e.operator {
        SelectorOperator::In => format!("{} in ({})", e.key, e.values.join(",")),
        SelectorOperator::NotIn => format!("{} notin ({})", e.key, e.values.join(",")),
        SelectorOperator::Exists => e.key.clone(),
        SelectorOperator::DoesNotExist => format!("!{}", e.key),
    });
    labels.chain(expressions).collect::<Vec<_>>().join(",")
}
