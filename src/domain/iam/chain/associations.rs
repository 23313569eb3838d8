//! Pod Identity: whether the associations give the listed ServiceAccounts this role, and nobody else. Associations are
//! never written; the command that puts one right is printed.

use std::collections::BTreeSet;

use super::{Chain, ROLE_ARN_ANNOTATION};
use crate::api::{Gating, Severity, WorkloadIdentity};
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::iam::pod_identity::EksCluster;
use crate::domain::observed::{PodIdentityAssociation, ServiceAccountObservation};
use crate::domain::policy::ServiceAccount;

impl Chain<'_> {
    /// Judges the associations of the operator's cluster.
    pub(super) fn associations(
        &self,
        cluster: &EksCluster,
        associations: &BTreeSet<PodIdentityAssociation>,
        service_accounts: &[ServiceAccountObservation],
        out: &mut Vec<Finding>,
    ) {
        for listed in &self.role.service_accounts {
            let found = associations
                .iter()
                .find(|a| a.namespace == listed.namespace && a.service_account == listed.name);
            let annotated = service_accounts
                .iter()
                .find(|a| a.namespace == listed.namespace && a.name == listed.name)
                .and_then(|a| a.role_arn.as_deref());
            match self.role.workload_identity {
                WorkloadIdentity::PodIdentity => out.extend(self.associated(cluster, listed, found, annotated)),
                WorkloadIdentity::Irsa => out.extend(found.map(|found| self.beside_irsa(cluster, listed, found))),
            }
        }
        let unlisted = associations.iter().filter(|a| {
            let gives = a.role_arn == self.arn || a.target_role_arn.as_deref() == Some(self.arn);
            gives && !self.lists(&a.namespace, &a.service_account)
        });
        out.extend(unlisted.map(|a| {
            let PodIdentityAssociation {
                id,
                namespace,
                service_account,
                ..
            } = a;
            self.note(Severity::Medium)
                .diff(
                    format!("podIdentity[{namespace}/{service_account}]"),
                    "no association with the role",
                    "associated",
                )
                .message(format!(
                    "list the ServiceAccount, or run: {} (as it is not listed, the role refuses it)",
                    cluster.delete_command(id)
                ))
        }));
    }

    fn associated(
        &self,
        cluster: &EksCluster,
        listed: &ServiceAccount,
        found: Option<&PodIdentityAssociation>,
        annotated: Option<&str>,
    ) -> Vec<Finding> {
        let ServiceAccount { namespace, name } = listed;
        let path = format!("podIdentity[{namespace}/{name}]");
        let mut out = Vec::new();
        if let Some(annotated) = annotated {
            // Every SDK takes the annotation's token before it asks the agent.
            let (severity, gating, disposition) = if annotated == self.arn {
                (Severity::Medium, Gating::ReportOnly, Disposition::Note)
            } else {
                not_proven()
            };
            out.push(
                self.finding(severity, gating, disposition)
                    .diff(format!("{path}.annotation"), "absent", annotated)
                    .message(format!(
                        "run: kubectl annotate serviceaccount -n {namespace} {name} {ROLE_ARN_ANNOTATION}- (the ServiceAccount has both an IRSA annotation and Pod Identity (AmbiguousIdentity), and the SDKs take the annotation first)"
                    )),
            );
        }
        let Some(found) = found else {
            out.push(self.note(Severity::Medium).diff(path, self.arn, "absent").message(format!(
                "run: {} (pods of a listed ServiceAccount do not get the role, and may fall back to their node's)",
                cluster.create_command(listed, self.arn)
            )));
            return out;
        };
        let PodIdentityAssociation {
            id,
            namespace: _,
            service_account: _,
            role_arn,
            target_role_arn,
            session_tags_disabled,
        } = found;
        if role_arn != self.arn {
            let change = format!("--role-arn {}", self.arn);
            out.push(self.another_role(cluster, found, &format!("{path}.roleARN"), role_arn, &change));
        }
        if let Some(target) = target_role_arn {
            out.push(self.another_role(
                cluster,
                found,
                &format!("{path}.targetRoleARN"),
                target,
                "--target-role-arn ''",
            ));
        }
        if *session_tags_disabled {
            out.push(
                self.note(Severity::Medium)
                    .diff(format!("{path}.sessionTags"), "enabled", "disabled")
                    .message(format!(
                        "run: {} (the role's trust asks for the session tags that this association leaves out, so that pods get no credentials)",
                        cluster.update_command(id, "--no-disable-session-tags")
                    )),
            );
        }
        out
    }

    fn another_role(
        &self,
        cluster: &EksCluster,
        found: &PodIdentityAssociation,
        path: &str,
        other: &str,
        change: &str,
    ) -> Finding {
        let (severity, gating, disposition) = not_proven();
        self.finding(severity, gating, disposition)
            .diff(
                path,
                if path.ends_with("targetRoleARN") {
                    "absent"
                } else {
                    self.arn
                },
                other,
            )
            .message(format!(
                "run: {} (pods of a listed ServiceAccount get the credentials of another role)",
                cluster.update_command(&found.id, change)
            ))
    }

    fn beside_irsa(&self, cluster: &EksCluster, listed: &ServiceAccount, found: &PodIdentityAssociation) -> Finding {
        let ServiceAccount { namespace, name } = listed;
        let gives = found.target_role_arn.as_ref().unwrap_or(&found.role_arn);
        self.note(Severity::Medium)
            .diff(format!("podIdentity[{namespace}/{name}]"), "absent", gives.as_str())
            .message(format!(
                "run: {} (the ServiceAccount has both an IRSA annotation and Pod Identity (AmbiguousIdentity): the SDKs take the annotation first, but any pod can ask for the other)",
                cluster.delete_command(&found.id)
            ))
    }

    /// Whether the role's list has this ServiceAccount.
    pub(super) fn lists(&self, namespace: &str, name: &str) -> bool {
        let mut listed = self.role.service_accounts.iter();
        listed.any(|l| l.namespace == namespace && l.name == name)
    }
}

fn not_proven() -> (Severity, Gating, Disposition) {
    let disposition = Disposition::NeedsHuman(HumanReason::NotProven);
    (Severity::High, Gating::Gating, disposition)
}
