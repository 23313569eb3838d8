//! The policies on a role besides our own: those that the policy lists, and those that others put there.

use super::proof::OnRole;
use super::{RolePlan, Stage};
use crate::api::{ForeignPolicies, Severity};
use crate::domain::action::Action;
use crate::domain::control::Control;
use crate::domain::document::{Effect, PolicyDocument};
use crate::domain::finding::{Disposition, HumanReason};
use crate::domain::iam::review;
use crate::domain::iam::role::INLINE_POLICY;
use crate::domain::observed::RoleObservation;
use crate::domain::policy::RoleTarget;

/// Inline policies that are not ours.
pub(super) fn foreign_inline(seen: &RoleObservation) -> impl Iterator<Item = (&String, &String)> {
    seen.inline_policies.iter().filter(|(name, _)| *name != INLINE_POLICY)
}

/// What a policy of others does to the role's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It allows something.
    Allows,
    /// It allows nothing, such as `AWSDenyAll`, or what "revoke active sessions" in the console leaves behind. Taking it off
    /// would give rights.
    OnlyDenies,
    /// Not known: taking it off might give rights.
    Unread,
}

impl Kind {
    fn of(document: Result<&str, String>) -> Self {
        match document.map(PolicyDocument::parse) {
            Ok(Ok(document)) if document.statements.iter().all(|s| s.effect == Effect::Deny) => Self::OnlyDenies,
            Ok(Ok(_)) => Self::Allows,
            Ok(Err(_)) | Err(_) => Self::Unread,
        }
    }
}

/// A policy that others put on the role.
struct Foreign<'a> {
    path: String,
    name: &'a str,
    document: Result<&'a str, String>,
    take_off: Action,
}

impl<'a> RolePlan<'a> {
    /// Judges every policy on the role as it will be after the writes, `own` among them, and puts on what the policy lists if
    /// the role stays read-only with it; returns whether it does.
    pub(super) fn policies(&mut self, seen: Option<&'a RoleObservation>, own: Option<&str>) -> bool {
        let role: &'a RoleTarget = self.role;
        let mut on_role: Vec<OnRole<'_>> = Vec::new();
        on_role.extend(own.map(|text| OnRole {
            name: INLINE_POLICY,
            document: Ok(text),
        }));
        let mut reported = Vec::new();
        for foreign in seen.map(|seen| self.foreign(seen)).unwrap_or_default() {
            let kind = Kind::of(foreign.document.clone());
            if kind == Kind::Allows && role.foreign_policies == ForeignPolicies::Detach {
                self.take_off(foreign);
                continue;
            }
            let Foreign {
                path,
                name,
                document,
                take_off: _,
            } = foreign;
            reported.push((path, kind));
            on_role.push(OnRole { name, document });
        }
        on_role.extend(role.managed_policy_arns.iter().map(|arn| OnRole {
            name: arn,
            document: self.managed_document(arn),
        }));
        let proven = self.prove_read_only(seen, &on_role);
        if proven {
            self.report_bucket_grants(seen);
        }
        self.review_rights(&on_role);
        for (path, kind) in reported {
            self.report_foreign(path, kind, proven);
        }
        for arn in &role.managed_policy_arns {
            if !seen.is_some_and(|seen| seen.attached_policy_arns.contains(arn)) {
                self.attach_listed(arn, proven);
            }
        }
        proven
    }

    fn foreign(&self, seen: &'a RoleObservation) -> Vec<Foreign<'a>> {
        let role = &self.role.name;
        let inline = foreign_inline(seen).map(|(name, document)| Foreign {
            path: format!("inlinePolicies.{name}"),
            name,
            document: Ok(document.as_str()),
            take_off: Action::DeleteRolePolicy {
                role: role.clone(),
                policy_name: name.clone(),
            },
        });
        let unlisted = seen.attached_policy_arns.difference(&self.role.managed_policy_arns);
        let attached = unlisted.map(|arn| Foreign {
            path: format!("attachedPolicies.{arn}"),
            name: arn,
            document: self.managed_document(arn),
            take_off: Action::DetachRolePolicy {
                role: role.clone(),
                policy_arn: arn.clone(),
            },
        });
        inline.chain(attached).collect()
    }

    fn take_off(&mut self, foreign: Foreign<'a>) {
        let mut finding = self
            .finding(Control::IamReadOnly, Disposition::Repair)
            .diff(foreign.path, "absent", "present")
            .message("a policy that is not ours is on the role; it is taken off (foreignPolicies: Detach)");
        finding.severity = Severity::High;
        self.repair(vec![finding], Stage::TakeOff, foreign.take_off);
    }

    /// What it does to the claim the proof says; that it is there is said in any case.
    fn report_foreign(&mut self, path: String, kind: Kind, proven: bool) {
        let severity = if proven { Severity::Medium } else { Severity::High };
        let (severity, have, message) = match kind {
            Kind::OnlyDenies => (
                Severity::Low,
                "present, only denies",
                "a policy that is not ours is on the role; it only denies and is kept",
            ),
            Kind::Allows => (
                severity,
                "present",
                "a policy that is not ours is on the role; remove it, list it in managedPolicyARNs if the job needs it, or set foreignPolicies: Detach",
            ),
            Kind::Unread => (
                severity,
                "present, unreadable",
                "a policy that is not ours is on the role and can't be read; it is kept, as it may be there to deny",
            ),
        };
        let note = self
            .note(Control::IamReadOnly, severity)
            .diff(path, "absent", have)
            .message(message);
        self.findings.push(note);
    }

    fn attach_listed(&mut self, arn: &str, proven: bool) {
        let path = format!("managedPolicyARNs.{arn}");
        if proven {
            let mut finding = self
                .finding(Control::IamRole, Disposition::Repair)
                .diff(path, "attached", "detached")
                .message("a managed policy that the job needs is not on the role; it is attached");
            finding.severity = Severity::Medium;
            let action = Action::AttachRolePolicy {
                role: self.role.name.clone(),
                policy_arn: arn.to_owned(),
            };
            self.repair(vec![finding], Stage::Attach, action);
        } else {
            let mut finding = self
                .finding(Control::IamRole, Disposition::NeedsHuman(HumanReason::NotProven))
                .diff(path, "attached", "detached")
                .message("a managed policy of the policy is attached only once the role is proven read-only with it; see the findings of IAM.ReadOnly");
            finding.severity = Severity::Medium;
            self.findings.push(finding);
        }
    }

    /// Rights that the policy does not need: our own document gives the role what it is to read.
    fn review_rights(&mut self, on_role: &[OnRole<'_>]) {
        for OnRole { name, document } in on_role.iter().filter(|p| p.name != INLINE_POLICY) {
            let Ok(document) = document else { continue };
            let buckets = review::buckets_read(self.policy, document);
            if buckets.is_empty() {
                continue;
            }
            let buckets: Vec<String> = buckets.iter().map(ToString::to_string).collect();
            let note = self
                .note(Control::IamAccessReview, Severity::Low)
                .diff(format!("rights[{name}]"), "no access to the protected buckets", buckets.join(", "))
                .message("another policy on the role lets it read protected buckets, past the buckets, prefixes and tags of `read`; narrow it to what else the job needs");
            self.findings.push(note);
        }
    }

    /// A role that nobody uses.
    pub(super) fn review_use(&mut self, seen: &RoleObservation) {
        let Some(since) = review::unused(seen, self.now) else {
            return;
        };
        let note = self
            .note(Control::IamAccessReview, Severity::Low)
            .diff("lastUsed", "within 90 days", since)
            .message("nobody has used the role for a long time; take it out of the policy if no job needs it");
        self.findings.push(note);
    }
}
