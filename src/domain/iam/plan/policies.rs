//! The policies on a role besides our own: those that the policy lists, and those that others put there.

use super::{RolePlan, Stage};
use crate::api::{ForeignPolicies, Gating, Severity};
use crate::domain::action::Action;
use crate::domain::control::Control;
use crate::domain::document::{Effect, PolicyDocument};
use crate::domain::finding::{Disposition, Finding, HumanReason};
use crate::domain::iam::role::INLINE_POLICY;
use crate::domain::observed::RoleObservation;

/// Inline policies that are not ours.
pub(super) fn foreign_inline(seen: &RoleObservation) -> impl Iterator<Item = (&String, &String)> {
    seen.inline_policies.iter().filter(|(name, _)| *name != INLINE_POLICY)
}

/// Whether a document can be read and allows nothing, such as `AWSDenyAll`, or what "revoke active sessions" in the console
/// leaves behind. Taking one off would give rights.
fn only_denies(document: &str) -> bool {
    PolicyDocument::parse(document).is_ok_and(|d| d.statements.iter().all(|s| s.effect == Effect::Deny))
}

/// A policy that others put on the role.
struct Foreign<'a> {
    path: String,
    /// None: not known.
    document: Option<&'a str>,
    take_off: Action,
}

impl<'a> RolePlan<'a> {
    /// Judges every policy but ours; returns whether nothing on the role, as it will be after the writes, stands against the
    /// claim that it can only read.
    pub(super) fn policies(&mut self, seen: &'a RoleObservation) -> bool {
        let mut read_only = true;
        for foreign in self.foreign(seen) {
            read_only &= self.judge_foreign(foreign);
        }
        for arn in &self.role.managed_policy_arns {
            read_only &= self.judge_listed(arn, seen.attached_policy_arns.contains(arn));
        }
        read_only
    }

    fn foreign(&self, seen: &'a RoleObservation) -> Vec<Foreign<'a>> {
        let role = &self.role.name;
        let inline = foreign_inline(seen).map(|(name, document)| Foreign {
            path: format!("inlinePolicies.{name}"),
            document: Some(document.as_str()),
            take_off: Action::DeleteRolePolicy {
                role: role.clone(),
                policy_name: name.clone(),
            },
        });
        let unlisted = seen.attached_policy_arns.difference(&self.role.managed_policy_arns);
        let attached = unlisted.map(|arn| Foreign {
            path: format!("attachedPolicies.{arn}"),
            document: self.managed_document(arn),
            take_off: Action::DetachRolePolicy {
                role: role.clone(),
                policy_arn: arn.clone(),
            },
        });
        inline.chain(attached).collect()
    }

    fn managed_document(&self, arn: &str) -> Option<&'a str> {
        let read = self.observed.managed_policies.get(arn)?;
        read.as_ref().ok().map(String::as_str)
    }

    fn judge_foreign(&mut self, foreign: Foreign<'a>) -> bool {
        let Foreign {
            path,
            document,
            take_off,
        } = foreign;
        if document.is_some_and(only_denies) {
            let mut note = self
                .finding(Control::IamReadOnly, Disposition::Note)
                .diff(path, "absent", "present, only denies")
                .message("a policy that is not ours is on the role; it only denies and is kept");
            note.severity = Severity::Low;
            note.gating = Gating::ReportOnly;
            self.findings.push(note);
            return true;
        }
        match self.role.foreign_policies {
            ForeignPolicies::Detach => {
                let mut finding = self
                    .finding(Control::IamReadOnly, Disposition::Repair)
                    .diff(path, "absent", "present")
                    .message("a policy that is not ours is on the role; it is taken off (foreignPolicies: Detach)");
                finding.severity = Severity::High;
                self.repair(vec![finding], Stage::TakeOff, take_off);
                true
            }
            ForeignPolicies::Report => {
                let finding = self.not_proven(
                    &path,
                    "absent",
                    "present",
                    "a policy that is not ours is on the role; our Deny keeps it off the policy's buckets, but what else it allows is not proven: remove it, list it in managedPolicyARNs if the job needs it, or set foreignPolicies: Detach",
                );
                self.findings.push(finding);
                false
            }
        }
    }

    fn judge_listed(&mut self, arn: &str, attached: bool) -> bool {
        if !attached {
            let mut finding = self
                .finding(Control::IamRole, Disposition::Repair)
                .diff(format!("managedPolicyARNs.{arn}"), "attached", "detached")
                .message("a managed policy that the job needs is not on the role; it is attached");
            finding.severity = Severity::Medium;
            let action = self.attach(arn);
            self.repair(vec![finding], Stage::Attach, action);
        }
        if self.managed_document(arn).is_some_and(only_denies) {
            return true;
        }
        let finding = self.not_proven(
            &format!("managedPolicyARNs.{arn}"),
            "proven not to touch the protected data",
            "not proven",
            "our Deny keeps this managed policy off the policy's buckets, but what else it allows is not proven",
        );
        self.findings.push(finding);
        false
    }

    pub(super) fn attach(&self, arn: &str) -> Action {
        Action::AttachRolePolicy {
            role: self.role.name.clone(),
            policy_arn: arn.to_owned(),
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
