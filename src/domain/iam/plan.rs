//! The plan for one role: what differs from what the policy asks, and the writes that repair it.
//!
//! Does not live here: the documents themselves (`iam::role`), what is wrong with a trust (`iam::trust`), and the bucket's
//! own Deny against the role (`s3`).

mod difference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::limits;
use super::observation::{role_seen, state_of};
use super::ownership::{Ownership, ownership};
use super::role::{self, Document, DocumentError, INLINE_POLICY, RoleDocuments};
use super::trust::{self, WantTrust};
use crate::api::{Gating, Severity, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::document::PolicyDocument;
use crate::domain::document::equivalence::same_meaning;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::observed::{Observed, RoleObservation};
use crate::domain::plan::{TargetFacts, TargetPlan};
use crate::domain::policy::{ROLE_PATH, RoleTarget, TAG_MANAGED_BY, TAG_POLICY, ValidatedPolicy};

/// Judges one training role and decides what to do about it.
///
/// The order of the writes: first what takes rights away (our Deny, the boundary, the trust), last what gives some (the
/// managed policies). Cut anywhere, the role can do no more than before. A new role is born with its trust, since it can do
/// nothing before it has a policy.
pub fn plan_role(policy: &ValidatedPolicy, target: &RoleTarget, observed: &Observed) -> TargetPlan {
    let mut plan = RolePlan::new(target);
    let documents = role::documents(policy, target);
    let (state, arn) = match role_seen(observed, &target.name) {
        Err(finding) => {
            plan.findings.push(*finding);
            (TargetState::Unknown, None)
        }
        Ok(None) => {
            plan.create(policy, target, &documents);
            (TargetState::Missing, None)
        }
        Ok(Some(seen)) => match ownership(policy, seen) {
            Ownership::Ours => {
                plan.inline(seen, &documents.inline);
                plan.boundary(policy, seen);
                plan.trust(policy, target, seen, &documents.trust);
                plan.session(target, seen);
                plan.tags(policy, seen);
                plan.foreign_inline(seen);
                plan.managed(target, seen);
                (state_of(&plan.findings), Some(seen.arn.clone()))
            }
            Ownership::OtherCluster(cluster) => {
                plan.refuse(
                    HumanReason::Conflict,
                    policy,
                    &format!("cluster {cluster}"),
                    "the operator of another cluster manages the role; give this cluster's role another name",
                );
                (TargetState::Conflict, None)
            }
            Ownership::Foreign(lacks) => {
                plan.refuse(
                    HumanReason::AdoptionRefused,
                    policy,
                    &lacks,
                    "a role of this name exists and is not ours; rename it in the policy, or remove the existing role",
                );
                (TargetState::Conflict, None)
            }
        },
    };
    TargetPlan {
        target: plan.target,
        state,
        findings: plan.findings,
        actions: plan.actions,
        facts: TargetFacts {
            arn,
            ..TargetFacts::default()
        },
    }
}

struct RolePlan<'a> {
    role: &'a RoleTarget,
    target: Target,
    findings: Vec<Finding>,
    actions: Vec<PlannedAction>,
}

impl<'a> RolePlan<'a> {
    fn new(role: &'a RoleTarget) -> Self {
        Self {
            role,
            target: Target::Role(role.name.clone()),
            findings: Vec::new(),
            actions: Vec::new(),
        }
    }

    fn finding(&self, control: Control, disposition: Disposition) -> Finding {
        Finding::new(control, self.target.clone(), Gating::Gating, disposition)
    }

    fn repair(&mut self, findings: Vec<Finding>, action: Action) {
        let repairs = findings.iter().map(Finding::key).collect();
        self.findings.extend(findings);
        self.actions.push(PlannedAction { action, repairs });
    }

    /// A document that can't be made: nothing is written, a human must change the policy.
    fn unmakable(&mut self, control: Control, path: &str, error: &DocumentError) {
        let (reason, want, have) = match error {
            DocumentError::TooLarge { kind: _, chars, limit } => (
                HumanReason::PolicyTooLarge,
                format!("at most {limit} characters"),
                format!("{chars} characters"),
            ),
            DocumentError::NoOidcProvider | DocumentError::Charset { .. } | DocumentError::Malformed { .. } => (
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

    fn create(&mut self, policy: &ValidatedPolicy, target: &RoleTarget, documents: &RoleDocuments) {
        let RoleDocuments { trust, inline } = documents;
        let (trust, inline) = match (trust, inline) {
            (Ok(trust), Ok(inline)) => (trust, inline),
            (trust, inline) => {
                if let Err(error) = trust {
                    self.unmakable(Control::IamTrust, TRUST_PATH, error);
                }
                if let Err(error) = inline {
                    self.unmakable(Control::IamReadOnly, INLINE_PATH, error);
                }
                return;
            }
        };
        let finding = self
            .finding(Control::IamRole, Disposition::Repair)
            .diff("role", policy.role_arn(&target.name), "absent")
            .message("the training role does not exist; it is created");
        let key = finding.key();
        let role = target.name.clone();
        self.repair(
            vec![finding],
            Action::CreateRole {
                role: role.clone(),
                path: ROLE_PATH.to_owned(),
                trust_policy: trust.json.clone(),
                max_session_duration_seconds: target.max_session_duration_seconds,
                permissions_boundary_arn: policy.settings.role_boundary_arn.clone(),
                tags: tags(policy),
            },
        );
        let attachments = target.managed_policy_arns.iter().map(|arn| Action::AttachRolePolicy {
            role: role.clone(),
            policy_arn: arn.clone(),
        });
        let put = Action::PutRolePolicy {
            role: role.clone(),
            policy_name: INLINE_POLICY.to_owned(),
            document: inline.json.clone(),
        };
        self.actions
            .extend(std::iter::once(put).chain(attachments).map(|action| PlannedAction {
                action,
                repairs: vec![key.clone()],
            }));
    }

    fn refuse(&mut self, reason: HumanReason, policy: &ValidatedPolicy, have: &str, message: &str) {
        let finding = self
            .finding(Control::IamRole, Disposition::NeedsHuman(reason))
            .diff(
                "role",
                format!("path {ROLE_PATH}, tag {TAG_MANAGED_BY}={}", policy.settings.cluster_id),
                have,
            )
            .message(format!("{message}; nothing is written to it"));
        self.findings.push(finding);
    }

    fn inline(&mut self, seen: &RoleObservation, want: &Result<Document, DocumentError>) {
        let want = match want {
            Ok(want) => want,
            Err(error) => return self.unmakable(Control::IamReadOnly, INLINE_PATH, error),
        };
        let found = seen.inline_policies.get(INLINE_POLICY);
        let finding = match found.map(|text| PolicyDocument::parse(text)) {
            Some(Ok(found)) if same_meaning(&found, &want.parsed) => return,
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
            let mut finding = self
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
            finding.severity = Severity::Critical;
            self.findings.push(finding);
            return;
        }
        let action = Action::PutRolePolicy {
            role: self.role.name.clone(),
            policy_name: INLINE_POLICY.to_owned(),
            document: want.json.clone(),
        };
        self.repair(vec![finding], action);
    }

    fn boundary(&mut self, policy: &ValidatedPolicy, seen: &RoleObservation) {
        // Without a configured boundary, one that somebody else has set only takes rights away.
        let Some(want) = &policy.settings.role_boundary_arn else {
            return;
        };
        if seen.permissions_boundary_arn.as_ref() == Some(want) {
            return;
        }
        let finding = self
            .finding(Control::IamRole, Disposition::Repair)
            .diff(
                "permissionsBoundary",
                want.as_str(),
                seen.permissions_boundary_arn.as_deref().unwrap_or("none"),
            )
            .message("the role does not carry the permissions boundary of the operator's configuration; it is put on");
        let action = Action::PutRolePermissionsBoundary {
            role: self.role.name.clone(),
            permissions_boundary_arn: want.clone(),
        };
        self.repair(vec![finding], action);
    }

    fn trust(
        &mut self,
        policy: &ValidatedPolicy,
        target: &RoleTarget,
        seen: &RoleObservation,
        want: &Result<Document, DocumentError>,
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
            let mut note = self
                .finding(Control::IamTrust, Disposition::Note)
                .diff("trustPolicy.deny", "none", format!("{} Deny statements", denies.len()))
                .message("the trust policy carries Deny statements that are not ours; they are kept, and may keep the listed ServiceAccounts out");
            note.severity = Severity::Low;
            note.gating = Gating::ReportOnly;
            self.findings.push(note);
        }
        let statements = want.parsed.statements.iter().cloned().chain(denies).collect();
        let want_whole = want.parsed.with_statements(statements);
        if same_meaning(&found, &want_whole) {
            return;
        }
        let findings = self.trust_findings(policy, target, &found, &want_whole);
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
        self.repair(findings, action);
    }

    fn trust_findings(
        &self,
        policy: &ValidatedPolicy,
        target: &RoleTarget,
        found: &PolicyDocument,
        want: &PolicyDocument,
    ) -> Vec<Finding> {
        let wanted = role::oidc_provider(policy).map(|provider| WantTrust {
            provider,
            subjects: target.service_accounts.iter().map(role::subject).collect(),
        });
        let mut findings: Vec<Finding> = wanted
            .map(|wanted| trust::defects(found, &wanted))
            .unwrap_or_default()
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

    fn session(&mut self, target: &RoleTarget, seen: &RoleObservation) {
        let (want, have) = (target.max_session_duration_seconds, seen.max_session_duration_seconds);
        if want == have {
            return;
        }
        let mut finding = self
            .finding(Control::IamSessionDuration, Disposition::Repair)
            .diff("maxSessionDurationSeconds", want.to_string(), have.to_string())
            .message("the longest session is not the policy's; it is set");
        if have < want {
            finding.severity = Severity::Low;
        }
        let action = Action::UpdateRole {
            role: self.role.name.clone(),
            max_session_duration_seconds: want,
        };
        self.repair(vec![finding], action);
    }

    fn tags(&mut self, policy: &ValidatedPolicy, seen: &RoleObservation) {
        let want = tags(policy);
        let lacking: BTreeMap<String, String> = want
            .into_iter()
            .filter(|(key, value)| seen.tags.get(key) != Some(value))
            .collect();
        if lacking.is_empty() {
            return;
        }
        let findings = lacking
            .iter()
            .map(|(key, value)| {
                let mut finding = self
                    .finding(Control::IamRole, Disposition::Repair)
                    .diff(
                        format!("tags.{key}"),
                        value.as_str(),
                        seen.tags.get(key).map_or("absent", String::as_str),
                    )
                    .message("a tag of the role is not the policy's; it is set");
                finding.severity = Severity::Low;
                finding
            })
            .collect();
        let action = Action::TagRole {
            role: self.role.name.clone(),
            tags: lacking,
        };
        self.repair(findings, action);
    }

    fn foreign_inline(&mut self, seen: &RoleObservation) {
        for (name, _) in foreign_inline(seen) {
            let finding = self.not_proven(
                &format!("inlinePolicies.{name}"),
                "absent",
                "present",
                "an inline policy that is not ours is on the role; our Deny keeps it off the policy's buckets, but what else it allows is not proven: remove it",
            );
            self.findings.push(finding);
        }
    }

    fn managed(&mut self, target: &RoleTarget, seen: &RoleObservation) {
        for arn in &seen.attached_policy_arns {
            let finding = if target.managed_policy_arns.contains(arn) {
                self.not_proven(
                    &format!("managedPolicyARNs.{arn}"),
                    "proven not to touch the protected data",
                    "not proven",
                    "our Deny keeps this managed policy off the policy's buckets, but what else it allows is not proven",
                )
            } else {
                self.not_proven(
                    &format!("attachedPolicies.{arn}"),
                    "detached",
                    "attached",
                    "a managed policy that the policy does not list is on the role; detach it, or list it in managedPolicyARNs if the job needs it",
                )
            };
            self.findings.push(finding);
        }
        for arn in target.managed_policy_arns.difference(&seen.attached_policy_arns) {
            let mut finding = self
                .finding(Control::IamRole, Disposition::Repair)
                .diff(format!("managedPolicyARNs.{arn}"), "attached", "detached")
                .message("a managed policy that the job needs is not on the role; it is attached");
            finding.severity = Severity::Medium;
            let action = Action::AttachRolePolicy {
                role: self.role.name.clone(),
                policy_arn: arn.clone(),
            };
            self.repair(vec![finding], action);
        }
    }

    fn not_proven(&self, path: &str, want: &str, have: &str, message: &str) -> Finding {
        let mut finding = self
            .finding(Control::IamReadOnly, Disposition::NeedsHuman(HumanReason::NotProven))
            .diff(path, want, have)
            .message(message);
        finding.severity = Severity::High;
        finding
    }
}

const TRUST_PATH: &str = "trustPolicy";
const INLINE_PATH: &str = "inlinePolicies.aidp-readonly";

fn foreign_inline(seen: &RoleObservation) -> impl Iterator<Item = (&String, &String)> {
    seen.inline_policies.iter().filter(|(name, _)| *name != INLINE_POLICY)
}

fn tags(policy: &ValidatedPolicy) -> BTreeMap<String, String> {
    BTreeMap::from([
        (TAG_MANAGED_BY.to_owned(), policy.settings.cluster_id.clone()),
        (TAG_POLICY.to_owned(), policy.name.clone()),
    ])
}
