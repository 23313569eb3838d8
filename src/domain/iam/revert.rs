//! What becomes of a role of ours when it leaves the policy, or the policy leaves.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::observation::role_seen;
use super::ownership::{Ownership, ownership};
use super::role::INLINE_POLICY;
use crate::api::{DeletionPolicy, Gating, Severity, TargetState};
use crate::domain::action::{Action, PlannedAction};
use crate::domain::control::Control;
use crate::domain::finding::{Disposition, Finding, HumanReason, Target};
use crate::domain::names::RoleName;
use crate::domain::observed::{Observed, RoleObservation};
use crate::domain::policy::{TAG_POLICY, ValidatedPolicy};
use crate::domain::target_plan::{TargetFacts, TargetPlan};

/// The plan for a role that has left the spec, or whose policy is being deleted.
///
/// Under `Revert` the role is deleted, if this policy made it and nothing hangs on it that others put there. Under
/// `Retain`, and where something foreign hangs on it, it stays, with the finding `Orphaned`. A role that is not ours, or
/// is gone, needs nothing: no finding, no action.
pub fn revert_role(policy: &ValidatedPolicy, name: &RoleName, observed: &Observed) -> TargetPlan {
    let target = Target::Role(name.clone());
    let plan = |state, findings, actions, arn| TargetPlan {
        target: target.clone(),
        state,
        findings,
        actions,
        facts: TargetFacts {
            arn,
            ..TargetFacts::default()
        },
    };
    let seen = match role_seen(observed, name) {
        Err(finding) => return plan(TargetState::Unknown, vec![*finding], Vec::new(), None),
        Ok(None) => return plan(TargetState::Missing, Vec::new(), Vec::new(), None),
        Ok(Some(seen)) => seen,
    };
    let mine = seen.tags.get(TAG_POLICY) == Some(&policy.name);
    match ownership(policy, seen) {
        Ownership::Created if mine => {}
        // An adopted role is not ours to delete; it stays as it is, our Deny included.
        Ownership::Created
        | Ownership::Adopted
        | Ownership::Adoptable
        | Ownership::OtherCluster(_)
        | Ownership::Foreign(_) => {
            return plan(TargetState::Orphaned, Vec::new(), Vec::new(), None);
        }
    }
    let arn = Some(seen.arn.clone());
    let foreign = foreign_on(policy, name, seen);
    let (disposition, have, message) = match (policy.deletion_policy, foreign.is_empty()) {
        (DeletionPolicy::Revert, true) => {
            let finding = orphan(&target, Disposition::Repair, "present".into())
                .message("the role has left the policy; it is deleted");
            let action = PlannedAction {
                repairs: vec![finding.key()],
                action: Action::DeleteRole {
                    role: name.clone(),
                    inline_policies: seen.inline_policies.keys().cloned().collect(),
                    attached_policy_arns: seen.attached_policy_arns.clone(),
                },
            };
            return plan(TargetState::Orphaned, vec![finding], vec![action], arn);
        }
        (DeletionPolicy::Revert, false) => (
            Disposition::NeedsHuman(HumanReason::Orphaned),
            foreign.into_iter().collect::<Vec<_>>().join(", "),
            "the role has left the policy but carries policies that are not ours, and is kept; remove those and it is deleted",
        ),
        (DeletionPolicy::Retain, _) => (
            Disposition::NeedsHuman(HumanReason::Orphaned),
            "present".into(),
            "the role has left the policy and is kept (deletionPolicy: Retain); delete it, or list it again",
        ),
    };
    let finding = orphan(&target, disposition, have).message(message);
    plan(TargetState::Orphaned, vec![finding], Vec::new(), arn)
}

fn orphan(target: &Target, disposition: Disposition, have: String) -> Finding {
    // Report-only: what has left the policy is no longer asked for, and must not hold it back.
    let mut finding =
        Finding::new(Control::IamRole, target.clone(), Gating::ReportOnly, disposition).diff("orphan", "absent", have);
    finding.severity = Severity::Low;
    finding
}

/// What others have put on the role: inline policies but ours, and managed policies but those that the spec lists. Once a
/// role has left the spec nothing says which managed policies it listed, so that all of them count.
fn foreign_on(policy: &ValidatedPolicy, name: &RoleName, seen: &RoleObservation) -> BTreeSet<String> {
    let listed = policy.roles.iter().find(|r| r.name == *name);
    let inline = seen.inline_policies.keys().filter(|n| *n != INLINE_POLICY);
    let attached = seen
        .attached_policy_arns
        .iter()
        .filter(|arn| !listed.is_some_and(|r| r.managed_policy_arns.contains(*arn)));
    inline.chain(attached).cloned().collect()
}
