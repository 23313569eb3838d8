//! The way from a pod to the role: whether the listed ServiceAccounts get the credentials of this role and of no other, who
//! else points at the role, and whether the pods can talk out past the policy's egress rules.
//!
//! Nothing here is written: the command that puts a ServiceAccount right is printed, and a human or a pipeline runs it. It
//! comes first in a message, since a report cuts what is long.

mod associations;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::api::{Gating, Severity, WorkloadIdentity};
use crate::domain::control::Control;
use crate::domain::egress::desired::label_selector;
use crate::domain::egress::selector::Selector;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{
    CallError, ClusterObservation, ErrorClass, Observed, PodObservation, ServiceAccountObservation,
};
use crate::domain::policy::{RoleTarget, ServiceAccount, ValidatedPolicy};

/// Annotation by which a ServiceAccount gets a role (IAM roles for service accounts, EKS User Guide).
pub const ROLE_ARN_ANNOTATION: &str = "eks.amazonaws.com/role-arn";

/// What is wrong on the way to `role`, whose ARN is `arn`.
///
/// Only what shows that the workloads use *other* credentials, or other ways out, holds Ready back: a ServiceAccount that
/// is not there yet, or points nowhere yet, is reported.
pub fn findings(policy: &ValidatedPolicy, role: &RoleTarget, arn: &str, observed: &Observed) -> Vec<Finding> {
    let Ok(cluster) = &observed.cluster else {
        // Said where the cluster's own findings are.
        return Vec::new();
    };
    let chain = Chain {
        policy,
        role,
        arn,
        target: Target::Role(role.name.clone()),
    };
    let mut out = Vec::new();
    match &cluster.service_accounts {
        None => {}
        Some(Ok(accounts)) => chain.service_accounts(accounts, &mut out),
        Some(Err(error)) => chain.not_seen("serviceAccounts", error, CLUSTER_ROLE, &mut out),
    }
    let accounts = cluster.service_accounts.as_ref().and_then(|read| read.as_ref().ok());
    match (
        &policy.settings.eks_cluster,
        &observed.account.pod_identity_associations,
    ) {
        (None, _) | (_, None) => {}
        (Some(eks), Some(Ok(associations))) => {
            chain.associations(eks, associations, accounts.map_or(&[], Vec::as_slice), &mut out);
        }
        (Some(_), Some(Err(error))) => chain.not_seen("podIdentity", error, EKS_RIGHTS, &mut out),
    }
    match &cluster.pods {
        None => {}
        Some(Ok(pods)) => chain.pods(pods, cluster, &mut out),
        Some(Err(error)) => chain.not_seen("pods", error, CLUSTER_ROLE, &mut out),
    }
    out
}

const CLUSTER_ROLE: &str = "let the operator's ClusterRole list serviceAccounts and pods";
const EKS_RIGHTS: &str =
    "grant the operator eks:ListPodIdentityAssociations and eks:DescribePodIdentityAssociation on the cluster";

struct Chain<'a> {
    policy: &'a ValidatedPolicy,
    role: &'a RoleTarget,
    arn: &'a str,
    target: Target,
}

impl Chain<'_> {
    fn finding(&self, severity: Severity, gating: Gating, disposition: Disposition) -> Finding {
        let mut finding = Finding::new(Control::IamWorkloadIdentity, self.target.clone(), gating, disposition);
        finding.severity = severity;
        finding
    }

    fn note(&self, severity: Severity) -> Finding {
        self.finding(severity, Gating::ReportOnly, Disposition::Note)
    }

    fn not_seen(&self, what: &str, error: &CallError, way_out: &str, out: &mut Vec<Finding>) {
        match error.class {
            // What was found before still stands: a gap, or a pod with keys of its own would be forgotten for as long as
            // the pods can't be listed.
            ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Credentials => out.push(
                self.finding(Severity::Low, Gating::Gating, Disposition::Unobserved)
                    .diff(what, "readable", "not read")
                    .message(format!(
                        "whether the workloads use this role is not known for now: {error}"
                    )),
            ),
            ErrorClass::AccessDenied | ErrorClass::NotFound | ErrorClass::Unsupported | ErrorClass::Terminal => out
                .push(
                    self.note(Severity::Low)
                        .diff(what, "readable", error.operation)
                        .message(format!(
                            "whether the workloads use this role is not checked: {error}; {way_out}"
                        )),
                ),
        }
    }

    fn service_accounts(&self, accounts: &[ServiceAccountObservation], out: &mut Vec<Finding>) {
        for listed in &self.role.service_accounts {
            let found = accounts
                .iter()
                .find(|a| a.namespace == listed.namespace && a.name == listed.name);
            match self.role.workload_identity {
                WorkloadIdentity::Irsa => out.extend(self.listed(listed, found)),
                WorkloadIdentity::PodIdentity if found.is_none() => out.push(self.absent(listed, "")),
                WorkloadIdentity::PodIdentity => {}
            }
        }
        let unlisted = accounts
            .iter()
            .filter(|a| a.role_arn.as_deref() == Some(self.arn) && !self.lists(&a.namespace, &a.name));
        out.extend(unlisted.map(|a| {
            let ServiceAccountObservation { namespace, name, .. } = a;
            self.note(Severity::Medium)
                .diff(format!("serviceAccounts[{namespace}/{name}]"), "not pointing at the role", "pointing at the role")
                .message(format!(
                    "list the ServiceAccount, or run: kubectl annotate serviceaccount -n {namespace} {name} {ROLE_ARN_ANNOTATION}- (as it is not listed, the role refuses it)"
                ))
        }));
    }

    fn listed(&self, listed: &ServiceAccount, found: Option<&ServiceAccountObservation>) -> Option<Finding> {
        let ServiceAccount { namespace, name } = listed;
        let annotate = format!(
            "kubectl annotate serviceaccount -n {namespace} {name} {ROLE_ARN_ANNOTATION}={} --overwrite",
            self.arn
        );
        let path = format!("serviceAccounts[{namespace}/{name}]");
        let Some(found) = found else {
            return Some(self.absent(listed, &format!(" && {annotate}")));
        };
        let path = format!("{path}.roleARN");
        match found.role_arn.as_deref() {
            Some(arn) if arn == self.arn => None,
            Some(other) => Some(
                self.finding(
                    Severity::High,
                    Gating::Gating,
                    Disposition::NeedsHuman(HumanReason::NotProven),
                )
                .diff(path, self.arn, other)
                .message(format!(
                    "run: {annotate} (pods of a listed ServiceAccount use another role, about which nothing is proven here)"
                )),
            ),
            None => Some(self.note(Severity::Medium).diff(path, self.arn, "absent").message(format!(
                "run: {annotate} (pods of a listed ServiceAccount do not get the role, and may fall back to their node's)"
            ))),
        }
    }

    fn absent(&self, listed: &ServiceAccount, and: &str) -> Finding {
        let ServiceAccount { namespace, name } = listed;
        self.note(Severity::Low)
            .diff(format!("serviceAccounts[{namespace}/{name}]"), "present", "absent")
            .message(format!(
                "run: kubectl create serviceaccount -n {namespace} {name}{and} (a listed ServiceAccount does not exist)"
            ))
    }

    fn pods(&self, pods: &[PodObservation], cluster: &ClusterObservation, out: &mut Vec<Finding>) {
        let mut by_account: BTreeMap<&ServiceAccount, Vec<&PodObservation>> = BTreeMap::new();
        for pod in pods {
            let listed = self
                .role
                .service_accounts
                .iter()
                .find(|a| a.namespace == pod.namespace && a.name == pod.service_account);
            if let Some(account) = listed {
                by_account.entry(account).or_default().push(pod);
            }
        }
        let rules = self.rules();
        for (account, pods) in by_account {
            out.extend(self.static_keys(account, &pods));
            out.extend(self.unnamed_environment(account, &pods));
            if !self.policy.egress.is_empty() {
                out.extend(self.past_the_rules(account, &pods, &rules, cluster));
            }
        }
    }

    /// Keys in the environment come before a role in every AWS SDK.
    fn static_keys(&self, account: &ServiceAccount, pods: &[&PodObservation]) -> Option<Finding> {
        let pod = first(pods.iter().filter(|p| p.static_credentials).copied())?;
        let ServiceAccount { namespace, name } = account;
        let finding = self.finding(
            Severity::High,
            Gating::Gating,
            Disposition::NeedsHuman(HumanReason::NotProven),
        );
        Some(
            finding
                .diff(format!("pods[{namespace}/{name}].env"), "no AWS keys", pod)
                .message(format!(
                    "pods of a listed ServiceAccount, such as {namespace}/{pod}, carry AWS keys in their environment, which are used instead of the role; remove AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from them"
                )),
        )
    }

    /// What comes whole from a Secret or `ConfigMap` may be keys; neither is ever read, so that this can only be said.
    fn unnamed_environment(&self, account: &ServiceAccount, pods: &[&PodObservation]) -> Option<Finding> {
        let pod = first(pods.iter().filter(|p| p.unnamed_environment).copied())?;
        let ServiceAccount { namespace, name } = account;
        let note = self.note(Severity::Low);
        Some(
            note.diff(format!("pods[{namespace}/{name}].envFrom"), "variables by name", pod)
                .message(format!(
                    "whether pods such as {namespace}/{pod} carry AWS keys, which are used instead of the role, is not known: take each variable by name (env, valueFrom) instead of whole Secrets or ConfigMaps (envFrom)"
                )),
        )
    }

    /// The policy's rules as selectors of namespaces and pods. One that can't be read selects nothing: pods are then rather
    /// reported than passed.
    fn rules(&self) -> Vec<(Selector, Selector)> {
        let parse = |selector| Selector::parse(&label_selector(selector)).ok();
        self.policy
            .egress
            .iter()
            .filter_map(|rule| Some((parse(&rule.namespace_selector)?, parse(&rule.pod_selector)?)))
            .collect()
    }

    fn past_the_rules(
        &self,
        account: &ServiceAccount,
        pods: &[&PodObservation],
        rules: &[(Selector, Selector)],
        cluster: &ClusterObservation,
    ) -> Option<Finding> {
        let namespace = cluster.namespaces.iter().find(|n| n.name == account.namespace);
        let selected = |pod: &PodObservation| {
            namespace.is_some_and(|namespace| {
                rules
                    .iter()
                    .any(|(spaces, pods)| spaces.matches(&namespace.labels) && pods.matches(&pod.labels))
            })
        };
        let pod = first(pods.iter().filter(|p| !selected(p)).copied())?;
        let ServiceAccount { namespace, name } = account;
        let finding = Finding::new(
            Control::NetCoverage,
            self.target.clone(),
            Gating::Gating,
            Disposition::NeedsHuman(HumanReason::NotEnforced),
        );
        Some(
            finding
                .diff(format!("pods[{namespace}/{name}].labels"), "selected by an egress rule", pod)
                .message(format!(
                    "pods with the role's credentials, such as {namespace}/{pod}, are selected by no egress rule and may talk to anybody; label them, or widen a rule's selectors"
                )),
        )
    }
}

/// The first pod by name: the same one in every sweep, as long as it lives.
fn first<'a>(pods: impl Iterator<Item = &'a PodObservation>) -> Option<&'a str> {
    pods.map(|p| p.name.as_str()).min()
}
