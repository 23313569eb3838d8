use std::collections::BTreeMap;

use super::*;
use crate::domain::iam::simulated::{MANAGED, SPEC, apply, made, policy_of, role_name, seen, settings};
use crate::domain::policy::{TAG_ADOPT, TAG_MANAGED_BY};

fn policy(deletion: DeletionPolicy) -> ValidatedPolicy {
    let spec = format!("{SPEC}  managedPolicyARNs: ['{MANAGED}']\ndeletionPolicy: {deletion:?}\n");
    policy_of(&spec, &settings())
}

fn without_roles(mut policy: ValidatedPolicy) -> ValidatedPolicy {
    policy.roles.clear();
    policy
}

#[test]
fn a_role_of_ours_is_deleted_with_all_that_we_put_on_it() {
    let policy = policy(DeletionPolicy::Revert);
    let role = made(&policy);
    let plan = revert_role(&policy, &role_name(), &seen(Some(role.clone())));
    assert_eq!(
        plan.actions.iter().map(|a| &a.action).collect::<Vec<_>>(),
        [&Action::DeleteRole {
            role: role_name(),
            inline_policies: BTreeSet::from([INLINE_POLICY.to_owned()]),
            attached_policy_arns: BTreeSet::from([MANAGED.to_owned()]),
        }]
    );
    assert_eq!(apply(Some(role), &plan.actions), None);
}

#[test]
fn under_retain_the_role_stays_with_a_finding_that_does_not_gate() {
    let policy = policy(DeletionPolicy::Retain);
    let role = made(&policy);
    let plan = revert_role(&without_roles(policy), &role_name(), &seen(Some(role)));
    assert_eq!(plan.actions, vec![]);
    assert_eq!(plan.state, TargetState::Orphaned);
    assert_eq!(
        plan.findings
            .iter()
            .map(|f| (f.disposition, f.gating))
            .collect::<Vec<_>>(),
        [(Disposition::NeedsHuman(HumanReason::Orphaned), Gating::ReportOnly)]
    );
}

#[test]
fn a_role_on_which_something_foreign_hangs_is_kept() {
    let policy = policy(DeletionPolicy::Revert);
    let mut inline = made(&policy);
    inline.inline_policies.insert("extra".into(), "{}".into());
    let mut attached = made(&policy);
    attached
        .attached_policy_arns
        .insert("arn:aws:iam::aws:policy/ReadOnlyAccess".into());
    for (role, have) in [(inline, "extra"), (attached, "arn:aws:iam::aws:policy/ReadOnlyAccess")] {
        let plan = revert_role(&policy, &role_name(), &seen(Some(role)));
        assert_eq!(plan.actions, vec![]);
        assert_eq!(plan.findings[0].have, have);
        assert_eq!(
            plan.findings[0].disposition,
            Disposition::NeedsHuman(HumanReason::Orphaned)
        );
    }
}

#[test]
fn once_the_spec_no_longer_says_so_an_attached_policy_counts_as_foreign() {
    let policy = policy(DeletionPolicy::Revert);
    let role = made(&policy);
    let plan = revert_role(&without_roles(policy), &role_name(), &seen(Some(role)));
    assert_eq!(plan.actions, vec![]);
    assert_eq!(plan.findings[0].have, MANAGED);
}

#[test]
fn a_role_that_is_not_ours_is_left_alone_without_a_word() {
    let policy = policy(DeletionPolicy::Revert);
    let mut untagged = made(&policy);
    untagged.tags = BTreeMap::new();
    let mut moved = made(&policy);
    moved.path = "/".into();
    let mut other_cluster = made(&policy);
    other_cluster.tags.insert(TAG_MANAGED_BY.into(), "cluster-b".into());
    let mut other_policy = made(&policy);
    other_policy.tags.insert(TAG_POLICY.into(), "other".into());
    let mut adopted = made(&policy);
    adopted.tags.insert(TAG_ADOPT.into(), policy.name.clone());
    for role in [untagged, moved, other_cluster, other_policy, adopted] {
        let plan = revert_role(&policy, &role_name(), &seen(Some(role)));
        assert_eq!((plan.findings, plan.actions), (vec![], vec![]));
    }
}

#[test]
fn a_role_that_is_gone_needs_nothing_and_an_unread_one_is_not_gone() {
    let policy = policy(DeletionPolicy::Revert);
    let gone = revert_role(&policy, &role_name(), &seen(None));
    assert_eq!(
        (gone.findings, gone.actions, gone.state),
        (vec![], vec![], TargetState::Missing)
    );
    let mut unread = seen(None);
    unread.roles.clear();
    let plan = revert_role(&policy, &role_name(), &unread);
    assert_eq!(
        (plan.findings[0].disposition, plan.state),
        (Disposition::Unobserved, TargetState::Unknown)
    );
}
