//! The role's own two documents: whether they are as generated, and what is written where they are not.

use super::policies::foreign_inline;
use super::{RolePlan, Stage, difference};
use crate::api::{Severity, WorkloadIdentity};
use crate::domain::action::Action;
use crate::domain::control::Control;
use crate::domain::document::PolicyDocument;
use crate::domain::document::equivalence::same_meaning;
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::iam::limits;
use crate::domain::iam::role::{self, Document, DocumentError, INLINE_POLICY};
use crate::domain::iam::trust::{self, TrustDefect, WantPods, WantTrust};
use crate::domain::observed::RoleObservation;

pub(super) const TRUST_PATH: &str = "trustPolicy";
pub(super) const INLINE_PATH: &str = "inlinePolicies.aidp-readonly";

impl<'a> RolePlan<'a> {
    /// A document that can't be made: nothing is written, a human must change the policy.
    pub(super) fn unmakable(&mut self, control: Control, path: &str, error: &DocumentError) {
        let (reason, want, have) = match error {
            DocumentError::TooLarge { kind: _, chars, limit } => (
                HumanReason::PolicyTooLarge,
                format!("at most {limit} characters"),
                format!("{chars} characters"),
            ),
            DocumentError::NoOidcProvider
            | DocumentError::NoEksCluster
            | DocumentError::Charset { .. }
            | DocumentError::Malformed { .. } => (
                HumanReason::WriteRefused,
                "a document that IAM takes".into(),
                error.to_string(),
            ),
        };
        let finding = self
            .finding(control, Disposition::NeedsHuman(reason))
            .diff(path, want, have)
            .message(format!(
                "{error}; split the role: fewer ServiceAccounts, buckets or prefixes each"
            ));
        self.findings.push(finding);
    }

    /// Judges our own policy; returns it as it will be on the role after the writes.
    pub(super) fn inline(
        &mut self,
        seen: &'a RoleObservation,
        want: &'a Result<Document, DocumentError>,
    ) -> Option<&'a str> {
        let found = seen.inline_policies.get(INLINE_POLICY);
        let as_it_is = found.map(String::as_str);
        let want = match want {
            Ok(want) => want,
            Err(error) => {
                self.unmakable(Control::IamReadOnly, INLINE_PATH, error);
                return as_it_is;
            }
        };
        let finding = match found.map(|text| PolicyDocument::parse(text)) {
            Some(Ok(found)) if same_meaning(&found, &want.parsed) => return as_it_is,
            Some(Ok(found)) => {
                let difference = difference::between(&want.parsed, &found);
                let mut finding = self
                    .finding(Control::IamReadOnly, Disposition::Repair)
                    .diff(INLINE_PATH, "as generated from the policy", difference.to_string())
                    .message("the role's own policy was changed; it is written again");
                finding.severity = difference.severity();
                finding
            }
            // The document bears our name on our role: unreadable or not, it is ours to replace.
            Some(Err(error)) => self
                .finding(Control::IamReadOnly, Disposition::Repair)
                .diff(INLINE_PATH, "as generated from the policy", error.to_string())
                .message("the role's own policy cannot be read as a policy; it is written again"),
            None => self
                .finding(Control::IamReadOnly, Disposition::Repair)
                .diff(INLINE_PATH, "as generated from the policy", "absent")
                .message("the role lacks its own policy, and with it the Deny of writes; it is written again"),
        };
        let foreign: usize = foreign_inline(seen).map(|(_, text)| limits::chars(text)).sum();
        let total = foreign + limits::chars(&want.json);
        if total > limits::INLINE_CHARS {
            let finding = self
                .finding(
                    Control::IamReadOnly,
                    Disposition::NeedsHuman(HumanReason::PolicyTooLarge),
                )
                .diff(
                    INLINE_PATH,
                    format!("at most {} characters in all inline policies", limits::INLINE_CHARS),
                    format!("{total} characters, {foreign} of them in policies that are not ours"),
                )
                .message(
                    "the role's own policy does not fit beside the other inline policies; remove those from the role",
                );
            self.findings.push(finding);
            return as_it_is;
        }
        let action = Action::PutRolePolicy {
            role: self.role.name.clone(),
            policy_name: INLINE_POLICY.to_owned(),
            document: want.json.clone(),
        };
        self.repair(vec![finding], Stage::Deny, action);
        Some(&want.json)
    }

    /// `read_only`: the role, as it will be after the writes, is proven read-only.
    pub(super) fn trust(
        &mut self,
        seen: &RoleObservation,
        want: &Result<Document, DocumentError>,
        adopted: bool,
        read_only: bool,
    ) {
        let want = match want {
            Ok(want) => want,
            Err(error) => return self.unmakable(Control::IamTrust, TRUST_PATH, error),
        };
        let found = match PolicyDocument::parse(&seen.trust_policy) {
            Ok(found) => found,
            Err(error) => {
                let finding = self
                    .finding(Control::IamTrust, Disposition::NeedsHuman(HumanReason::PolicyUnparsable))
                    .diff(TRUST_PATH, "a trust policy", error.to_string())
                    .message("the trust policy cannot be read, so that it is neither judged nor replaced; correct it by hand");
                self.findings.push(finding);
                return;
            }
        };
        let denies = trust::foreign_denies(&found);
        if !denies.is_empty() {
            let note = self
                .note(Control::IamTrust, Severity::Low)
                .diff("trustPolicy.deny", "none", format!("{} Deny statements", denies.len()))
                .message("the trust policy carries Deny statements that are not ours; they are kept, and may keep the listed ServiceAccounts out");
            self.findings.push(note);
        }
        let statements = want.parsed.statements.iter().cloned().chain(denies).collect();
        let want_whole = want.parsed.with_statements(statements);
        if same_meaning(&found, &want_whole) {
            return;
        }
        if adopted && !read_only {
            let finding = self
                .finding(Control::IamTrust, Disposition::NeedsHuman(HumanReason::NotProven))
                .diff(TRUST_PATH, "as generated from the policy", "as it was found")
                .message("the ServiceAccounts are let into an adopted role only once it is proven read-only; see the findings of IAM.ReadOnly");
            self.findings.push(finding);
            return;
        }
        let findings = self.trust_findings(&found, &want_whole);
        let trust_policy = want_whole.to_json();
        let chars = limits::chars(&trust_policy);
        if chars > limits::TRUST_CHARS {
            let error = DocumentError::TooLarge {
                kind: "trust policy with the Deny statements of others",
                chars,
                limit: limits::TRUST_CHARS,
            };
            return self.unmakable(Control::IamTrust, TRUST_PATH, &error);
        }
        let action = Action::UpdateAssumeRolePolicy {
            role: self.role.name.clone(),
            trust_policy,
        };
        let stage = if adopted { Stage::TrustOfAdopted } else { Stage::Trust };
        self.repair(findings, stage, action);
    }

    fn trust_defects(&self, found: &PolicyDocument) -> Vec<TrustDefect> {
        let accounts = &self.role.service_accounts;
        match self.role.workload_identity {
            WorkloadIdentity::Irsa => {
                let wanted = role::oidc_provider(self.policy).map(|provider| WantTrust {
                    provider,
                    subjects: accounts.iter().map(role::subject).collect(),
                });
                wanted.map(|wanted| trust::defects(found, &wanted))
            }
            WorkloadIdentity::PodIdentity => {
                let wanted = self.policy.settings.eks_cluster.clone().map(|cluster| WantPods {
                    cluster,
                    accounts: accounts.clone(),
                });
                wanted.map(|wanted| trust::pod_defects(found, &wanted))
            }
        }
        .unwrap_or_default()
    }

    fn trust_findings(&self, found: &PolicyDocument, want: &PolicyDocument) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .trust_defects(found)
            .into_iter()
            .map(|defect| {
                let mut finding = self
                    .finding(Control::IamTrust, Disposition::Repair)
                    .diff(defect.path, defect.want, defect.have)
                    .message(format!("{}; the trust policy is written again", defect.message));
                finding.severity = defect.severity;
                finding
            })
            .collect();
        if findings.is_empty() {
            let mut finding = self
                .finding(Control::IamTrust, Disposition::Repair)
                .diff(
                    TRUST_PATH,
                    "as generated from the policy",
                    difference::between(want, found).to_string(),
                )
                .message("the trust policy was changed; it is written again");
            finding.severity = Severity::Medium;
            findings.push(finding);
        }
        findings
    }
}
